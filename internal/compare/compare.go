package compare

import (
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Options say what counts as a difference.
type Options struct {
	// IDHeader is the header that matches records.
	IDHeader string
	// IgnoreHeaders are names of headers that may differ.
	IgnoreHeaders []string
	// IgnorePartition allows a record to be in another partition.
	IgnorePartition bool
	// Since and Until bound the times of the records that are compared: from
	// Since on, and before Until; zero for no bound. A record outside is a
	// counterpart only: one that has none itself does not count.
	Since, Until time.Time
	// Limit is how many examples of each kind are kept.
	Limit int
}

// Comparison compares two topics. Use it in this order: AddA for each record of
// A, then AddB for each of B, both one partition after the other and by offset;
// then Finish.
type Comparison struct {
	opt    Options
	hash   *hasher
	table  table
	order  order
	result *Result
}

// New makes a Comparison.
func New(opt Options) *Comparison {
	return &Comparison{opt: opt, hash: newHasher(opt.IDHeader, opt.IgnoreHeaders), result: &Result{opt: opt}}
}

// AddA takes a record of A, of which it keeps no bytes.
func (c *Comparison) AddA(r *outbox.Record) {
	side := &c.result.A
	e := c.newEntry(r, side)
	added := c.table.add(e)
	if added.is(repeat) && !added.is(outside) {
		side.Duplicates++
	}
}

// AddB takes a record of B, of which it keeps no bytes.
func (c *Comparison) AddB(r *outbox.Record) {
	b := c.newEntry(r, &c.result.B)
	last := c.table.last(b.id)
	switch {
	case last == nil:
		b.at |= onlyB
		c.table.add(b)
		c.alone(Extra, nil, &b)
		return
	case last.is(onlyB):
		c.repeated(&b)
		c.alone(Extra, nil, &b)
		return
	}
	if c.table.entry(last.next).is(repeat | matched) {
		c.repeated(&b) // the first copy of A has found its own before
	}
	if a := c.table.take(last); a != nil {
		c.pair(a, &b)
	} else {
		c.alone(DuplicateB, last, &b)
	}
}

// repeated counts a record of B whose id B had before.
func (c *Comparison) repeated(b *entry) {
	if !b.is(outside) {
		c.result.B.Duplicates++
	}
}

// newEntry counts a record and makes what is kept of it.
func (c *Comparison) newEntry(r *outbox.Record, side *Side) entry {
	d := c.hash.digest(r)
	side.Records++
	if !d.named {
		side.WithoutID++
	}
	e := entry{id: d.id, key: d.key, value: d.value, headers: d.headers, at: uint64(r.Offset) << flagBits, partition: r.Partition}
	if c.isOutside(r.Time) {
		e.at |= outside
	}
	return e
}

func (c *Comparison) isOutside(t time.Time) bool {
	return !c.opt.Since.IsZero() && t.Before(c.opt.Since) || !c.opt.Until.IsZero() && !t.Before(c.opt.Until)
}

// pair compares a record of A with its counterpart.
func (c *Comparison) pair(a, b *entry) {
	if a.is(outside) && b.is(outside) {
		c.result.A.Outside++
		c.result.B.Outside++
		return
	}
	c.result.Both++
	differ := func(kind Kind, yes bool) {
		if yes {
			c.result.add(kind, Example{A: a.placed(), B: b.placed()})
		}
	}
	differ(Key, a.key != b.key)
	differ(Value, a.value != b.value)
	differ(Headers, a.headers != b.headers)
	differ(Partition, a.partition != b.partition && !c.opt.IgnorePartition)
	if a.key != b.key || a.key == 0 || a.is(repeat) {
		return
	}
	if ahead, overtaken := c.order.see(b.key, a.place(), b.place()); overtaken {
		c.result.add(Reordered, Example{A: a.placed(), B: b.placed(),
			AheadA: &Place{a.partition, ahead.a}, AheadB: &Place{b.partition, ahead.b}})
	}
}

// alone notes a record without counterpart. For a duplicate the other side's
// last copy is known.
func (c *Comparison) alone(kind Kind, a, b *entry) {
	own, side := a, &c.result.A
	if kind == Extra || kind == DuplicateB {
		own, side = b, &c.result.B
	}
	if own.is(outside) {
		side.Outside++
		return
	}
	c.result.add(kind, Example{A: a.placed(), B: b.placed()})
}

func (e *entry) placed() *Place {
	if e == nil {
		return nil
	}
	p := e.place()
	return &p
}

// Finish looks for what B does not have and gives the result. The Comparison is
// of no use any more.
func (c *Comparison) Finish() *Result {
	for i := range c.table.n {
		e := c.table.entry(i)
		if e.is(matched | onlyB) {
			continue
		}
		kind := Missing
		// A later copy is missing only if the first one is, too.
		if last := c.table.last(e.id); e.is(repeat) && c.table.entry(last.next).is(repeat) {
			kind = DuplicateA
		}
		c.alone(kind, e, nil)
	}
	return c.result
}

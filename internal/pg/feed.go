package pg

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// urgentBytes is how much unconfirmed log asks for a checkpoint at once.
const urgentBytes = 8 << 20

// feed turns the messages of the log into batches: it follows relations and
// transactions, skips what an earlier run has done, cuts what is too large, and
// says how far the log is done with. It belongs to the goroutine that reads.
type feed struct {
	tables  []Table
	chosen  []bool   // see Source.Choose
	oids    []string // of the tables, as Connect found them
	whole   bool     // see Source.WholeRows
	lineage string
	h       *outbox.Handoff
	limits  outbox.Limits
	until   lsn // 0: never

	rels map[uint32]*relation
	last *relation // the one used last
	// describe gives what the catalog says about a table's columns, asked
	// again when the log describes the table again; check is Config.Check.
	// Both may be nil.
	describe func(ctx context.Context, table int, again bool) (map[string]columnFacts, error)
	check    func(*outbox.Shape) error

	// done is the end of the log that is done with: the end of a commit, or a
	// keepalive's position outside a transaction. told is what the hand-over
	// knows.
	done, told lsn
	published  atomic.Uint64 // done, for other goroutines; at least as new as the last settle
	confirmed  *atomic.Uint64

	// The transaction that is open, if any.
	in    bool
	begin beginMsg
	rows  uint64 // its outbox rows so far
	// sent is when the server sent the newest message, and behind how long after
	// its commit the newest transaction came, both by the server's clock.
	sent   int64
	behind time.Duration

	// open is the transaction that an earlier run cut; nil when it is done
	// with. skip is how many of its rows are still to be passed over.
	open      *outbox.Open
	openXID   uint32
	openFinal lsn
	skip      uint64

	// batch is the one being appended to, nil while the hand-over has it.
	// begun says that the open transaction has rows in it.
	batch *outbox.Batch
	begun bool

	replyAsked bool // the last keepalive wants an answer
	heard      bool // a keepalive came since the last settle

	text [64]byte // scratch
}

func newFeed(tables []Table, r outbox.Resume, at lsn, h *outbox.Handoff, until lsn, confirmed *atomic.Uint64) (*feed, error) {
	f := &feed{
		tables: tables, lineage: r.Lineage, h: h, limits: h.Limits(), until: until,
		rels: make(map[uint32]*relation), done: at, told: at, confirmed: confirmed,
	}
	f.published.Store(uint64(at))
	if r.Open != nil {
		var err error
		if f.openXID, f.openFinal, err = parseOpen(r.Open.Txn); err != nil {
			return nil, err
		}
		f.open = &outbox.Open{Txn: r.Open.Txn, Rows: r.Open.Rows}
		f.skip = r.Open.Rows
	}
	return f, nil
}

// message takes the body of one CopyData message. outbox.ErrEnd says that the
// position to stop at is reached.
func (f *feed) message(ctx context.Context, b []byte) error {
	if len(b) == 0 {
		return f.malformed("copy data", errShort)
	}
	switch b[0] {
	case 'w':
		// Two positions follow, of no use: relation messages carry zeros there.
		if len(b) < 1+24+1 {
			return f.malformed("XLogData", errShort)
		}
		f.sent = int64(binary.BigEndian.Uint64(b[17:]))
		return f.change(ctx, b[25:])
	case 'k':
		if len(b) != 1+8+8+1 {
			return f.malformed("keepalive", errShort)
		}
		f.replyAsked = f.replyAsked || b[17] != 0
		if !f.in {
			return f.reached(lsn(binary.BigEndian.Uint64(b[1:])))
		}
		return nil
	}
	return f.malformed("copy data", fmt.Errorf("message is of kind %q", b[0]))
}

func (f *feed) change(ctx context.Context, b []byte) error {
	switch b[0] {
	case 'I':
		oid, tuple, err := scanInsert(b)
		if err != nil {
			return f.malformed("insert", err)
		}
		rel := f.last
		if rel == nil || rel.oid != oid {
			if rel = f.rels[oid]; rel == nil {
				return f.malformed("insert", fmt.Errorf("relation %d was never described", oid))
			}
			f.last = rel
		}
		if rel.shape == nil {
			return nil
		}
		return f.insert(ctx, rel, tuple)
	case 'B':
		m, err := scanBegin(b)
		if err != nil {
			return f.malformed("begin", err)
		}
		return f.beginTxn(m)
	case 'C':
		m, err := scanCommit(b)
		if err != nil {
			return f.malformed("commit", err)
		}
		return f.commitTxn(m)
	case 'R':
		return f.relation(ctx, b)
	case 'U', 'D', 'T', 'Y', 'O', 'M':
		return nil
	}
	return f.malformed("change", fmt.Errorf("message is of kind %q", b[0]))
}

func (f *feed) beginTxn(m beginMsg) error {
	if f.in {
		return f.malformed("begin", fmt.Errorf("transaction %d begins inside %d", m.xid, f.begin.xid))
	}
	if m.final < f.done {
		return f.malformed("begin", fmt.Errorf("transaction %d committed at %s, before %s", m.xid, m.final, f.done))
	}
	if f.until != 0 && m.final >= f.until {
		return outbox.ErrEnd
	}
	if f.open != nil && m.final > f.openFinal {
		return f.openGone(m.final)
	}
	f.in, f.begin, f.rows, f.begun = true, m, 0, false
	f.behind = time.Duration(f.sent-m.commit) * time.Microsecond
	return nil
}

// insert adds one row, or passes it over when an earlier run has done it.
func (f *feed) insert(ctx context.Context, rel *relation, tuple []byte) error {
	if !f.in {
		return f.malformed("insert", fmt.Errorf("it stands outside a transaction"))
	}
	if f.open != nil && f.rows == 0 && (f.begin.xid != f.openXID || f.begin.final != f.openFinal) {
		return f.openGone(f.begin.final)
	}
	if f.skip > 0 {
		f.skip--
		f.rows++
		return nil
	}
	if f.batch != nil && f.begun && f.batch.Full(f.limits) {
		f.cut()
	}
	if f.batch == nil {
		b, err := f.h.Acquire(ctx)
		if err != nil {
			return err
		}
		f.batch = b
	}
	if !f.begun {
		f.batch.Begin(appendOpen(f.text[:0], f.begin.xid, f.begin.final), pgTime(f.begin.commit), f.rows)
		f.begun = true
	}
	if err := scanTuple(tuple, rel, f.batch); err != nil {
		return f.malformed("insert", err)
	}
	f.rows++
	return nil
}

// cut hands over a full batch in the middle of a transaction.
func (f *feed) cut() {
	r := f.resume()
	r.Open = &outbox.Open{Txn: string(appendOpen(f.text[:0], f.begin.xid, f.begin.final)), Rows: f.rows}
	f.begun = false
	f.push(r)
}

// push hands the batch over. Whoever gets it may confirm its position at once,
// so that is published first.
func (f *feed) push(r outbox.Resume) {
	f.published.Store(uint64(f.done))
	f.batch.Resume = r
	f.h.Push(f.batch)
	f.batch, f.told = nil, f.done
}

func (f *feed) commitTxn(m commitMsg) error {
	if !f.in || m.final != f.begin.final || m.end <= m.final {
		return f.malformed("commit", fmt.Errorf("it ends a transaction committed at %s, not the open one at %s", m.final, f.begin.final))
	}
	f.in = false
	if f.open != nil && f.begin.xid == f.openXID && f.begin.final == f.openFinal {
		if f.skip > 0 {
			return outbox.Refuse(ReasonOpen, hintReset,
				"transaction %s, of which the checkpoint holds the first %d outbox rows, ends after %d now", f.open.Txn, f.open.Rows, f.rows)
		}
		f.open = nil
	}
	f.done = m.end
	f.rows = 0
	if f.begun {
		f.begun = false
		f.batch.End(appendLSN(f.text[:0], m.end))
		if f.batch.Full(f.limits) {
			f.push(f.resume())
		}
	}
	if f.until != 0 && m.end >= f.until {
		return outbox.ErrEnd
	}
	return nil
}

// reached takes a position outside a transaction before which the server has
// sent everything.
func (f *feed) reached(at lsn) error {
	if f.open != nil && at > f.openFinal {
		return f.openGone(at)
	}
	if f.until != 0 && at >= f.until {
		// No further than asked: with some of the tables chosen, the position
		// counts for the others too.
		f.done = max(f.done, f.until)
		return outbox.ErrEnd
	}
	f.done, f.heard = max(f.done, at), true
	return nil
}

// settle is called before reading waits for the server: what ends on a commit
// is left for the publisher, and progress without rows is told. Inside the
// buffer nothing is handed over, so that a full buffer costs one hand-over and
// not one for each of its transactions.
func (f *feed) settle() {
	f.published.Store(uint64(f.done))
	switch {
	case f.batch != nil && f.begun && f.batch.Overfull(f.limits):
		f.cut()
	case f.batch != nil && !f.begun:
		f.batch.Resume, f.batch.Behind = f.resume(), f.behind
		f.h.Rest(f.batch)
		f.batch, f.told = nil, f.done
	case f.batch == nil && f.rows == 0 && (f.done > f.told || f.heard):
		// A keepalive is told again even if nothing is new: the hand-over may
		// have had no batch to note it in the last time.
		f.told, f.heard = f.done, false
		f.h.Advance(f.resume(), behind(lsn(f.confirmed.Load()), f.done) >= urgentBytes)
	}
}

// end hands the last position over, as a batch of its own if need be.
func (f *feed) end(ctx context.Context) error {
	if f.batch == nil {
		b, err := f.h.Acquire(ctx)
		if err != nil {
			return err
		}
		f.batch = b
	}
	f.done = max(f.done, f.until)
	f.push(f.resume())
	return outbox.ErrEnd
}

// resume is what a checkpoint has to say at the end of what is done with. A
// transaction that an earlier run cut and that was not met yet stays open.
func (f *feed) resume() outbox.Resume {
	r := outbox.Resume{Position: position(f.done), Lineage: f.lineage}
	if f.open != nil {
		open := *f.open
		r.Open = &open
	}
	return r
}

func (f *feed) openGone(at lsn) error {
	return outbox.Refuse(ReasonOpen, hintReset,
		"transaction %s, of which the checkpoint holds the first %d outbox rows, does not come again before %s: its other rows are lost", f.open.Txn, f.open.Rows, at)
}

// relation takes a table's description. It comes before the first row of a
// table on a connection, and again after every change.
func (f *feed) relation(ctx context.Context, b []byte) error {
	m, err := scanRelation(b)
	if err != nil {
		return f.malformed("relation", err)
	}
	rel := &relation{oid: m.oid, wanted: make([]int16, 0, min(m.n, maxColumns))}
	table := f.table(m.oid, m.schema, m.name)
	if table >= 0 && !isChosen(f.chosen, table) {
		table = -1 // a foreign table, for now
	}
	var shape *outbox.Shape
	var facts map[string]columnFacts
	if table >= 0 {
		if f.describe != nil {
			if facts, err = f.describe(ctx, table, f.rels[m.oid] != nil); err != nil {
				return err
			}
		}
		shape = &outbox.Shape{Table: table, Columns: make([]outbox.Column, len(f.tables[table].Columns))}
	}
	for range m.n {
		name, oid, mod, err := m.column()
		if err != nil {
			return f.malformed("relation", err)
		}
		want := unwanted
		if shape != nil {
			for i, c := range f.tables[table].Columns {
				if c == string(name) && shape.Columns[i].Name == "" {
					want = i
					shape.Columns[i] = column(c, oid, mod, facts)
				}
			}
			if want == unwanted && f.whole && len(shape.Rest) < maxColumns {
				want = rest(len(shape.Rest))
				shape.Rest = append(shape.Rest, column(string(name), oid, mod, facts))
			}
		}
		rel.wanted = append(rel.wanted, int16(want))
	}
	if len(m.columns) != 0 {
		return f.malformed("relation", fmt.Errorf("%d bytes follow the last column", len(m.columns)))
	}
	if shape != nil {
		if err := f.complete(table, shape); err != nil {
			return err
		}
		rel.shape = f.same(m.oid, shape)
		if f.check != nil {
			if err := f.check(rel.shape); err != nil {
				return misfit(err)
			}
		}
	}
	f.rels[m.oid], f.last = rel, nil
	return nil
}

// table finds the configured table that a relation is: by its OID, so that a
// table that was renamed loses no row before the watch refuses, else by name.
func (f *feed) table(oid uint32, schema, name []byte) int {
	for i, known := range f.oids {
		if known == strconv.FormatUint(uint64(oid), 10) {
			return i
		}
	}
	for i := range f.tables {
		if f.tables[i].Schema == string(schema) && f.tables[i].Name == string(name) {
			return i
		}
	}
	return -1
}

// same keeps the shape that is known when a description repeats it: its users
// compare pointers.
func (f *feed) same(oid uint32, s *outbox.Shape) *outbox.Shape {
	old := f.rels[oid]
	if old == nil || old.shape == nil || old.shape.Table != s.Table {
		return s
	}
	if !slices.Equal(old.shape.Columns, s.Columns) || !slices.Equal(old.shape.Rest, s.Rest) {
		return s
	}
	return old.shape
}

// complete marks the columns that the table does not have, if it may be
// without them.
func (f *feed) complete(table int, s *outbox.Shape) error {
	t := f.tables[table]
	for i, c := range s.Columns {
		if c.Name == "" && t.optional(i) {
			s.Columns[i] = missing(t.Columns[i])
			continue
		}
		if c.Name == "" {
			return outbox.Refuse(ReasonColumn, "add the column again or map another one; rows written without it cannot be mapped",
				"table %s has no column %q any more, as of the transaction committed at %s", t, t.Columns[i], f.begin.final)
		}
	}
	return nil
}

// misfit makes a Refusal of what the mapping says about a table that changed.
func misfit(err error) error {
	return outbox.Refuse(ReasonColumn, "change the mapping, or the table back; rows written since cannot be mapped",
		"a table has changed: %s", err)
}

// malformed makes an error of a message that cannot be; it names the place.
func (f *feed) malformed(what string, err error) error {
	at := f.done
	if f.in {
		at = f.begin.final
	}
	return fmt.Errorf("decode %s behind %s: %w", what, at, err)
}

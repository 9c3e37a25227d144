package mysql

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// mode says how the server names places in its log.
type mode int

const (
	byGTID   mode = iota // MySQL with gtid_mode=ON
	byDomain             // MariaDB
	byFile               // MySQL otherwise
)

// place is a position in one of the three forms; mode says which of the fields
// holds it.
type place struct {
	mode   mode
	set    gtidSet
	domain domainPos
	file   filePos
}

func parsePlace(m mode, text string) (place, error) {
	p := place{mode: m}
	var err error
	switch m {
	case byGTID:
		var s *gtidSet
		if s, err = parseGTIDSet(text); err == nil {
			p.set = *s
		}
	case byDomain:
		p.domain, err = parseDomainPos(text)
	default:
		p.file, err = parseFilePos(text)
	}
	return p, err
}

func (p *place) append(dst []byte) []byte {
	switch p.mode {
	case byGTID:
		return p.set.append(dst)
	case byDomain:
		return p.domain.append(dst)
	}
	return p.file.append(dst)
}

func (p *place) String() string { return string(p.append(nil)) }

// name is one transaction in the source's own text: a GTID, or where its first
// event begins. Which field holds it is its place's mode.
type txnName struct {
	gtid   gtid
	domain domainGTID
	file   filePos
}

func (n *txnName) append(m mode, dst []byte) []byte {
	switch m {
	case byGTID:
		return n.gtid.append(dst)
	case byDomain:
		return n.domain.append(dst)
	}
	return n.file.append(dst)
}

func (n *txnName) text(m mode) string { return string(n.append(m, nil)) }

func parseTxnName(m mode, text string) (txnName, error) {
	var n txnName
	var err error
	switch m {
	case byGTID:
		n.gtid, err = parseGTID(text)
	case byDomain:
		n.domain, err = parseDomainGTID(text)
	default:
		n.file, err = parseFilePos(text)
	}
	return n, err
}

// lineage is the branch of history that a position lies on, with what a later
// start compares: the transaction read last and its commit time, so that GTIDs
// used again for other transactions are noticed, or the log file's own time.
// Its text is a list of fields: SERVER;last=GTID;at=MICROSECONDS;before=GTID or
// SERVER;created=SECONDS.
type lineage struct {
	// server is server_uuid in MySQL, server_uid in MariaDB (server_id where
	// there is none yet).
	server string
	// last is the transaction that the position ends with, "" when that is not
	// known; at is its commit time in microseconds since 1970 (MariaDB notes
	// whole seconds).
	last string
	at   int64
	// before is the transaction before last in its domain (MariaDB), "" for
	// the first one.
	before string
	// created is the time in the format description of the position's file, in
	// seconds since 1970 (file mode); 0 when it is not known.
	created int64
}

func (l lineage) append(dst []byte) []byte {
	dst = append(dst, l.server...)
	if l.last != "" {
		dst = append(dst, ";last="...)
		dst = append(dst, l.last...)
		dst = append(dst, ";at="...)
		dst = strconv.AppendInt(dst, l.at, 10)
	}
	if l.before != "" {
		dst = append(dst, ";before="...)
		dst = append(dst, l.before...)
	}
	if l.created != 0 {
		dst = append(dst, ";created="...)
		dst = strconv.AppendInt(dst, l.created, 10)
	}
	return dst
}

func (l lineage) String() string { return string(l.append(nil)) }

// parseLineage reads what String wrote; fields it does not know are passed
// over.
func parseLineage(text string) (lineage, error) {
	var l lineage
	var rest string
	l.server, rest, _ = strings.Cut(text, ";")
	for rest != "" {
		var field string
		field, rest, _ = strings.Cut(rest, ";")
		key, value, ok := strings.Cut(field, "=")
		var err error
		switch key {
		case "last":
			l.last = value
		case "before":
			l.before = value
		case "at":
			l.at, err = strconv.ParseInt(value, 10, 64)
		case "created":
			l.created, err = strconv.ParseInt(value, 10, 64)
		}
		if !ok || err != nil {
			return lineage{}, fmt.Errorf("parse lineage %q: field %q is malformed", text, field)
		}
	}
	return l, nil
}

// A step leads from one transaction with outbox rows to the next. In its text,
// which is the transaction's end in a batch, stands what lies between them (a
// GTID set, or the last GTIDs of other domains; nothing when there is nothing),
// an @, and the commit time in microseconds. In file mode it is the position
// behind the transaction, an @, and the file's time.

// appendStep writes a step; between is nil for none.
func appendStep(dst []byte, between *place, at int64) []byte {
	if between != nil {
		dst = between.append(dst)
	}
	dst = append(dst, '@')
	return strconv.AppendInt(dst, at, 10)
}

// after puts together where reading goes on behind the first n transactions of
// a batch: its start, and the steps from there. It is what outbox.Batch.After
// needs.
func after(kind outbox.Kind, m mode, b *outbox.Batch, n int) outbox.Resume {
	p, err := parsePlace(m, b.Start.Position.Text)
	l, lerr := parseLineage(b.Start.Lineage)
	if err != nil || lerr != nil {
		// Stream has parsed both before the first batch.
		panic(fmt.Sprintf("position %q, lineage %q: %v, %v", b.Start.Position.Text, b.Start.Lineage, err, lerr))
	}
	for i := range n {
		id, step := b.TxnText(i)
		if err := p.follow(&l, id, step); err != nil {
			panic(fmt.Sprintf("step %q of transaction %q: %v", step, id, err))
		}
	}
	return outbox.Resume{Position: outbox.Position{Kind: kind, Text: p.String()}, Lineage: l.String()}
}

// follow takes one step, over transaction id.
func (p *place) follow(l *lineage, id, step []byte) error {
	i := bytes.LastIndexByte(step, '@')
	if i < 0 {
		return fmt.Errorf("parse step %q: it has no time", step)
	}
	at, err := strconv.ParseInt(string(step[i+1:]), 10, 64)
	if err != nil {
		return fmt.Errorf("parse step %q: %w", step, err)
	}
	if p.mode == byFile {
		p.file, err = parseFilePos(string(step[:i]))
		l.created = at
		return err
	}
	between, err := parsePlace(p.mode, string(step[:i]))
	if err != nil {
		return err
	}
	name, err := parseTxnName(p.mode, string(id))
	if err != nil {
		return err
	}
	p.union(&between)
	p.done(l, &name, at)
	return nil
}

// union adds what another place of the same mode holds.
func (p *place) union(o *place) {
	switch p.mode {
	case byGTID:
		p.set.union(&o.set)
	case byDomain:
		for _, g := range o.domain {
			p.domain.set(g)
		}
	}
}

// behind is how much of p is not in o: transactions where places are GTIDs,
// bytes in files. Between files, whose lengths are not known, each counts as
// fileSize.
func (p *place) behind(o *place) float64 {
	switch p.mode {
	case byGTID:
		return float64(p.set.minus(&o.set).count())
	case byDomain:
		var n uint64
		for _, g := range p.domain {
			if old, _ := o.domain.last(g.domain); old.seq < g.seq {
				n += g.seq - old.seq
			}
		}
		return float64(n)
	}
	if o.file.compare(p.file) >= 0 {
		return 0
	}
	a, _ := fileNumber(o.file.file)
	b, _ := fileNumber(p.file.file)
	return float64(b-a)*fileSize + float64(p.file.offset) - float64(o.file.offset)
}

// fileSize is what is assumed of a log file whose length nobody asked for:
// max_binlog_size, as it is when nobody sets it.
const fileSize = 1 << 30

// done adds one transaction, the newest, and notes it in the lineage.
func (p *place) done(l *lineage, n *txnName, at int64) {
	l.last, l.at = n.text(p.mode), at
	switch p.mode {
	case byGTID:
		p.set.add(n.gtid)
	case byDomain:
		l.before = ""
		if old, ok := p.domain.last(n.domain.domain); ok {
			l.before = old.String()
		}
		p.domain.set(n.domain)
	}
}

// microTime is a commit time.
func microTime(us int64) time.Time { return time.UnixMicro(us) }

package mysql

import (
	"fmt"

	"github.com/tailer-io/tailer/internal/outbox"
)

// group is one transaction in the log, from its GTID on.
type group struct {
	name       txnName
	at         int64 // commit time, microseconds since 1970
	standalone bool  // one statement, which no COMMIT follows
	began      bool  // a BEGIN was seen, or is implied
	xa         bool  // it began with XA START
	prepared   bool  // it ends with XA PREPARE: the GTID says so
}

// mark is a savepoint: how many outbox rows there were.
type mark struct {
	name string
	rows uint64
}

func (f *feed) begin(h header, g group) error {
	if f.in {
		return f.malformed("GTID", fmt.Errorf("a transaction begins inside %s", f.group.name.text(f.mode)))
	}
	if f.mode == byFile {
		// Not the event's end less its size: checksums are taken off what is
		// sent, and not off the file.
		g.name.file = f.done.file
	}
	if g.at == 0 {
		g.at = int64(h.time) * 1e6
	}
	f.in, f.group, f.rows, f.begun, f.marks = true, g, 0, false, f.marks[:0]
	return nil
}

// commit ends the open transaction.
func (f *feed) commit() error {
	if !f.in {
		return f.malformed("commit", fmt.Errorf("no transaction is open"))
	}
	f.in = false
	g := &f.group
	if f.open != nil && g.name.text(f.mode) == f.open.Txn {
		if f.skip > 0 {
			return outbox.Refuse(ReasonOpen, hintReset,
				"transaction %s, of which the checkpoint holds the first %d outbox rows, ends after %d now", f.open.Txn, f.open.Rows, f.rows)
		}
		f.open = nil
	}
	f.rows = 0
	f.dirty = true
	if f.mode == byFile {
		f.done.file, f.branch.created = f.at, f.created
	} else {
		f.advance(g)
	}
	switch {
	case f.begun:
		f.begun = false
		f.batch.End(f.step())
		f.forget()
		if f.batch.Full(f.limits) {
			f.push(f.resume())
		}
	case f.mode == byGTID:
		f.between.set.add(g.name.gtid)
		f.any = true
	case f.mode == byDomain:
		f.between.domain.set(g.name.domain)
		f.any = true
	}
	if f.until != nil && f.reached(f.until) {
		return outbox.ErrEnd
	}
	return nil
}

// advance adds a transaction to what is done with, as place.done does, without
// making texts.
func (f *feed) advance(g *group) {
	f.moved, f.last, f.branch.at = true, g.name, g.at
	if f.mode == byGTID {
		f.done.set.add(g.name.gtid)
		return
	}
	f.before.domain, _ = f.done.domain.last(g.name.domain.domain)
	f.done.domain.set(g.name.domain)
}

// rollback ends the open transaction without its rows. A group that ends so
// is in the log only when a statement in it could not be taken back (a table of
// an engine without transactions, a temporary table): everything else that is
// rolled back never gets there.
func (f *feed) rollback() error {
	if f.in && f.rows > 0 {
		if !f.begun || f.batch.Txns[len(f.batch.Txns)-1].Before > 0 || f.open != nil {
			return f.rolledBack()
		}
		f.batch.Truncate(f.first)
	}
	f.begun, f.rows = false, 0
	return f.commit()
}

func (f *feed) rolledBack() error {
	return outbox.Refuse(ReasonRollback, "rows of it were published; compensate for them, then `tailer checkpoint set --now` goes on behind the end of the log",
		"transaction %s was too large for one batch, its first rows were published, and it was rolled back", f.group.name.text(f.mode))
}

func (f *feed) preparedXA() error {
	return outbox.Refuse(ReasonXA, "write to the outbox in a transaction of its own kind: XA COMMIT ... ONE PHASE, small enough for one batch, or a plain COMMIT; "+
		"`tailer checkpoint set` with a position that holds this transaction steps over it, and its rows are then not published",
		"transaction %s is an XA transaction that is only prepared: its rows are in the log although it may still be rolled back", f.group.name.text(f.mode))
}

func (f *feed) xaPrepare(body []byte) error {
	onePhase, err := scanXAPrepare(body)
	if err != nil {
		return f.malformed("XA prepare", err)
	}
	if !onePhase && f.rows > 0 {
		return f.preparedXA()
	}
	return f.commit()
}

func (f *feed) openGone() error {
	return outbox.Refuse(ReasonOpen, hintReset,
		"transaction %s, of which the checkpoint holds the first %d outbox rows, does not come again before %s: its other rows are lost",
		f.open.Txn, f.open.Rows, f.group.name.text(f.mode))
}

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tailer-io/tailer/internal/checkpoint"
	"github.com/tailer-io/tailer/internal/outbox"
)

// SkipHalted steps over the row at which the name halted, which must have this
// id: the next start goes on right behind it, in the middle of its transaction
// if need be. With keep the row is put into the dead-letter topic, in the
// transaction that moves the checkpoint; it is read from the log for that. It
// returns the row and the record that was replaced.
//
// A row of a snapshot is not behind any position: the record notes it, and the
// snapshot of the next start leaves it out, and with keep puts it into the
// dead-letter topic.
//
// A holder of the lock is a Refusal that names it. So is a name that did not
// halt, or halted at a row with another id.
func (p *Pipeline) SkipHalted(ctx context.Context, id string, keep bool) (row *checkpoint.Halted, old *checkpoint.Record, err error) {
	defer p.source.Close()
	defer p.sink.Close()
	if _, err = p.hold(ctx, p.source.Connect); err != nil {
		return nil, nil, err
	}
	// Nobody else can change it any more.
	if old, err = p.peek(ctx); err != nil {
		return nil, nil, err
	}
	if row, err = p.haltedAt(old, id); err != nil {
		return nil, nil, err
	}
	next := p.record(old.Resume())
	next.Phase, next.Filter, next.SteppedOver, next.LastCommit = old.Phase, old.Filter, old.SteppedOver, old.LastCommit
	if old.Phase == checkpoint.PhaseSnapshot || row.InSnapshot() {
		next.SteppedOver = append(next.SteppedOver, checkpoint.SteppedOver{Table: row.Table, ID: row.ID, DeadLetter: keep})
		return row, old, p.replace(ctx, next.Encode())
	}
	behind := old.Resume()
	behind.Open = &outbox.Open{Txn: row.Transaction, Rows: row.Ordinal}
	next.SetResume(behind)
	if !keep {
		return row, old, p.replace(ctx, next.Encode())
	}
	err = p.readHalted(ctx, old.Resume(), row, func(b *outbox.Batch) error { return p.buryHalted(ctx, b, row, next) })
	return row, old, err
}

// haltedAt is the row at which a record says that tailer halted.
func (p *Pipeline) haltedAt(rec *checkpoint.Record, id string) (*checkpoint.Halted, error) {
	if rec == nil || rec.Halted == nil {
		return nil, outbox.Refuse("not_halted", "start it: if there is such a row it halts there again, and says so",
			"%q has not halted at a row that cannot be published since its last checkpoint", p.cfg.Name)
	}
	if err := rec.Fits(p.cfg.Name, p.identity, p.cluster, p.configured); err != nil {
		return nil, err
	}
	p.adopt(rec)
	if rec.Open != nil && rec.Open.Tables != checkpoint.TablesHash(p.tables) {
		return nil, tablesChanged()
	}
	if h := rec.Halted; h.ID != id {
		return nil, outbox.Refuse("not_halted", "`tailer checkpoint skip --id "+quoteShell(h.ID)+"` if that is meant",
			"%q has halted at another row: the one with id %q of table %s at %s", p.cfg.Name, h.ID, h.Table, h.Position)
	}
	return rec.Halted, nil
}

// readHalted reads the log from r up to its first row, which must be the one
// that halted, and gives f the batch that begins with it.
func (p *Pipeline) readHalted(ctx context.Context, r outbox.Resume, row *checkpoint.Halted, f func(*outbox.Batch) error) error {
	if err := p.source.Prove(ctx, r); err != nil {
		return fmt.Errorf("compare the checkpoint with the server: %w", err)
	}
	p.log.Info("reading the log up to the row", "position", r.Position.Text, "id", row.ID)
	reading, stop := context.WithCancelCause(ctx)
	p.source.WholeRows(true)
	h := outbox.NewHandoff(batches, p.cfg.Limits, r)
	ended := make(chan struct{})
	go func() { // owner: this function, which waits for ended
		defer close(ended)
		h.Close(p.source.Stream(reading, r, h))
	}()
	defer func() {
		stop(errStop)
		<-ended
	}()
	for {
		b, err := takeRows(ctx, h)
		if err != nil {
			return fmt.Errorf("read the row from the log: %w", err)
		}
		if b == nil {
			continue
		}
		txn, _ := b.TxnText(b.Rows[0].Txn)
		if string(txn) != row.Transaction || b.Ordinal(0) != row.Ordinal || p.mapper.ID(b, 0) != row.ID {
			return errors.New("read the row from the log: another row comes first: id " + p.mapper.ID(b, 0) + " of transaction " + string(txn))
		}
		return f(b)
	}
}

// takeRows takes a batch; nil for one without rows, which it gives back.
func takeRows(ctx context.Context, h *outbox.Handoff) (*outbox.Batch, error) {
	b, err := h.Take(ctx, time.Time{})
	if err != nil || len(b.Rows) > 0 {
		return b, err
	}
	h.Recycle(b)
	return nil, nil
}

// buryHalted commits the dead letter of a batch's first row together with a
// record.
func (p *Pipeline) buryHalted(ctx context.Context, b *outbox.Batch, row *checkpoint.Halted, rec *checkpoint.Record) error {
	if p.topic == nil {
		// hold has not fenced: there is no barrier to write.
		if err := p.sink.Fence(ctx, p.cfg.TransactionTimeout); err != nil {
			return err
		}
	}
	refused, err := p.bury(ctx, b, []outbox.Poison{{Row: 0, Table: row.Table, ID: row.ID, Position: row.Position, Reason: row.Reason}})
	if err != nil {
		return err
	}
	if refused != nil {
		return outbox.Refuse("poison", "mend that, or leave --dead-letter out", "%s", refused.Error())
	}
	m := &p.letters
	p.endWith(m, rec)
	if err := p.sink.Join(ctx, m); err != nil {
		return err
	}
	if err := p.sink.Produce(ctx, m); err != nil {
		return err
	}
	if err := p.sink.Commit(ctx); err != nil {
		return fmt.Errorf("%w; whether it did is not known: `tailer checkpoint show` says", err)
	}
	return p.save(ctx, rec)
}

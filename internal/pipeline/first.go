package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tailer-io/tailer/internal/checkpoint"
	"github.com/tailer-io/tailer/internal/outbox"
)

// allowFirst refuses a first start where it could hide a loss: without a
// record nobody knows what an existing anchor's rows were used for.
// rec is the record that an earlier first start got as far as, nil for none.
func (p *Pipeline) allowFirst(ctx context.Context, rec *checkpoint.Record) error {
	if rec != nil && rec.Filter != nil {
		return p.allowChosen(ctx, *rec.Filter) // an operator has decided, and said which rows
	}
	where := "in topic " + p.cfg.CheckpointTopic
	if p.file != nil {
		where = "in the checkpoint file"
	}
	if p.cfg.RequireCheckpoint {
		return outbox.Refuse("checkpoint_missing", "restore it, or start once without --require-checkpoint if this really is the first start",
			"there is no checkpoint of %q %s, and --require-checkpoint is set", p.cfg.Name, where)
	}
	exists, at, err := p.source.Anchor(ctx)
	if err != nil {
		return fmt.Errorf("look for the slot: %w", err)
	}
	if rec != nil {
		exists = false // it is ours, and will be dropped
	} else if exists && at.Position.IsZero() {
		return errors.New("look for the slot: it is being created by another session; waiting for that to end")
	}
	if exists && p.cfg.Snapshot {
		return outbox.Refuse("checkpoint_missing",
			"`tailer checkpoint set --from-slot` goes on from the slot's position, `tailer checkpoint reset` drops it and starts anew with a snapshot",
			"the slot exists, at %s, but there is no checkpoint of %q %s: what was published after that position is not known, so rows could be published twice",
			at.Position.Text, p.cfg.Name, where)
	}
	if exists || !p.cfg.Snapshot {
		return nil
	}
	return p.allowRows(ctx, "a first start publishes the rows already in the outbox")
}

// allowRows refuses a snapshot of too many rows; why it is taken is for people.
func (p *Pipeline) allowRows(ctx context.Context, why string) error {
	n, err := p.source.Count(ctx, p.cfg.SnapshotMaxRows)
	if err != nil {
		return fmt.Errorf("count the rows in the outbox: %w", err)
	}
	if n > p.cfg.SnapshotMaxRows {
		return outbox.Refuse("snapshot_too_large",
			"delete what was published before, raise --snapshot-max-rows, or begin with new rows only: --snapshot never",
			"%s, and there are more than --snapshot-max-rows %d", why, p.cfg.SnapshotMaxRows)
	}
	return nil
}

// first is the first start. rec is nil, or of phase snapshot when an earlier
// first start did not finish. It returns the record to stream from.
func (p *Pipeline) first(ctx context.Context, rec *checkpoint.Record) (*checkpoint.Record, error) {
	p.setState(Snapshotting, "first start")
	if err := p.allowFirst(ctx, rec); err != nil {
		return nil, err
	}
	return p.begin(ctx, rec)
}

// begin is the first start once it is allowed. A filter in rec chooses the rows
// of the snapshot, which is then taken whatever --snapshot says.
func (p *Pipeline) begin(ctx context.Context, rec *checkpoint.Record) (*checkpoint.Record, error) {
	var before checkpoint.Record
	if rec != nil {
		before = *rec
	}
	filter, steppedOver := before.Filter, before.SteppedOver
	snapshot, chosen := p.cfg.Snapshot, outbox.Filter{}
	if filter != nil {
		snapshot, chosen = true, *filter
	}

	// 1. The publication, before the slot: pgoutput looks it up as of the
	// slot's position. A crash here leaves one that the next start finds.
	if err := p.source.Prepare(ctx); err != nil {
		return nil, fmt.Errorf("prepare the source: %w", err)
	}
	reached(StepFirstPublication)
	exists, at, err := p.source.Anchor(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for the slot: %w", err)
	}
	if exists && !snapshot && !at.Position.IsZero() {
		p.log.Info("adopting the slot that exists", "position", at.Position.Text)
		return p.firstRecord(ctx, at)
	}

	// 2. A record that says what is going on. A crash from here on leaves it,
	// and the next start drops the slot and begins anew, with the same rows.
	rec = p.record(outbox.Resume{})
	rec.Phase, rec.Filter, rec.SteppedOver, rec.LastCommit = checkpoint.PhaseSnapshot, filter, steppedOver, before.LastCommit
	if err := p.keep(ctx, rec); err != nil {
		return nil, err
	}
	reached(StepFirstPhase)

	// 3. The slot (MySQL: nothing but a moment's lock), with a snapshot of the tables at its position. A crash
	// here leaves both the slot and the record.
	if exists {
		if err := p.source.DropAnchor(ctx); err != nil {
			return nil, fmt.Errorf("drop the slot that is there: %w", err)
		}
	}
	p.source.WholeRows(p.cfg.OnPoison == DeadLetter || slices.ContainsFunc(steppedOver, func(s checkpoint.SteppedOver) bool { return s.DeadLetter }))
	waiting := p.keepTurning() // it may wait long for old transactions, and says for whom
	snap, err := p.source.CreateAnchor(ctx, chosen)
	waiting()
	if err != nil {
		return nil, fmt.Errorf("begin at a snapshot of the tables: %w", err)
	}
	defer snap.Close()
	reached(StepFirstSlot)
	if !snapshot {
		return p.firstRecord(ctx, snap.Resume())
	}

	// 4. All rows and the record of phase streaming, in one transaction. A
	// crash before its end leaves nothing that anybody sees.
	phase := rec
	rec, err = p.snapshot(ctx, snap, phase, snap.Resume(), StepFirstProduced)
	var halted snapshotHalted
	if errors.As(err, &halted) {
		return nil, p.haltSnapshot(ctx, phase, halted.row)
	}
	if err != nil {
		p.abandon(ctx, phase)
		return nil, err
	}
	reached(StepFirstCommitted)

	// 5. Back to short transactions. A crash here is an ordinary start.
	now, err := p.fence(ctx, p.cfg.TransactionTimeout)
	if err != nil {
		return nil, err
	}
	if !now.SameResume(rec) {
		return nil, errDiverged
	}
	return rec, nil
}

// snapshot publishes what the tables hold, as one transaction that may last as
// long as the broker allows. Its record, which it returns, says that reading
// goes on at at, and replaces from, the last one that this process committed.
func (p *Pipeline) snapshot(ctx context.Context, snap outbox.Snapshot, from *checkpoint.Record, at outbox.Resume, produced Step) (*checkpoint.Record, error) {
	// Whoever fenced since then is about to publish a snapshot too, or through
	// with it.
	now, err := p.fence(ctx, 0)
	if err != nil {
		return nil, err
	}
	if !p.ours(now, from) {
		return nil, errDiverged
	}
	begin := time.Now()
	p.metrics.forget()
	rec := p.record(at)
	rec.LastCommit = from.LastCommit
	var b outbox.Batch
	var left tally
	rows := 0
	for more := true; more; {
		var err error
		b.Reset(2 * p.cfg.Limits.Bytes)
		b.Resume = at
		if more, err = snap.Read(ctx, &b, p.cfg.Limits); err != nil {
			return nil, fmt.Errorf("read the snapshot: %w", err)
		}
		p.turned()
		p.memory.note(&b)
		m := &p.msgs
		m.Reset()
		p.mapper.Map(&b, m)
		if err := p.admit(ctx, m, &b); err != nil {
			return nil, err
		}
		chosen := p.stepOver(&b, m, from.SteppedOver)
		v, err := p.sortOut(ctx, &b, m, chosen)
		if err != nil {
			return nil, err
		}
		if v.halted != nil {
			return nil, snapshotHalted{v.halted}
		}
		left.add(v.left)
		if !more {
			p.endWith(m, rec)
		}
		if err := p.sink.Join(ctx, m); err != nil {
			return nil, sinkError{err}
		}
		if err := p.sink.Produce(ctx, m); err != nil {
			return nil, sinkError{err}
		}
		rows += p.metrics.count(&b, m)
	}
	reached(produced)
	if err := p.sink.Commit(ctx); err != nil {
		return nil, sinkError{err}
	}
	if err := p.save(ctx, rec); err != nil {
		return nil, err
	}
	p.metrics.flush()
	p.noteLeft(&left)
	p.published.Add(uint64(rows))
	p.log.Info("snapshot published", "rows", rows, "left_out", left.all(), "position", rec.Position, "seconds", time.Since(begin).Seconds())
	return rec, nil
}

// firstRecord makes at the place to stream from, without a snapshot.
func (p *Pipeline) firstRecord(ctx context.Context, at outbox.Resume) (*checkpoint.Record, error) {
	rec := p.record(at)
	if err := p.keep(ctx, rec); err != nil {
		return nil, err
	}
	reached(StepFirstCommitted)
	return rec, nil
}

// keep stores a record by itself.
func (p *Pipeline) keep(ctx context.Context, rec *checkpoint.Record) error {
	if p.inTransaction() {
		return p.write(ctx, p.cfg.Name, rec.Encode())
	}
	return p.save(ctx, rec)
}

// ours tells whether a record that was read behind our own fencing is still
// the last one that this process committed: then nobody has begun a snapshot,
// or finished one, in the meantime.
func (p *Pipeline) ours(now, last *checkpoint.Record) bool {
	return p.topic == nil || now.SameResume(last) && now.Instance == p.cfg.Instance
}

// abandon aborts the snapshot's transaction, which the broker would otherwise
// keep open, and its topics' read_committed consumers waiting, for minutes. It
// tells whether no transaction of ours is open any more, and from is still the
// newest record.
func (p *Pipeline) abandon(ctx context.Context, from *checkpoint.Record) bool {
	if p.source.Locked(ctx) != nil {
		return false // somebody else has the name by now, and a transaction of his own
	}
	if !p.cfg.Transactional {
		return true
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitWithin)
	defer cancel()
	now, err := p.fence(ctx, p.cfg.TransactionTimeout)
	if err != nil && !errors.Is(err, context.Canceled) {
		p.log.Warn("the snapshot's transaction could not be aborted; the broker will, at its time-out", "err", err)
	}
	return err == nil && p.ours(now, from)
}

// keepTurning notes progress while something is waited for that may take
// minutes and is no fault of ours; done ends it.
func (p *Pipeline) keepTurning() (done func()) {
	end := make(chan struct{})
	ended := make(chan struct{})
	go func() { // owner: the caller, which calls done
		defer close(ended)
		t := time.NewTicker(watchInterval)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				p.turned()
			case <-end:
				return
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/tailer-io/tailer/internal/checkpoint"
	"github.com/tailer-io/tailer/internal/outbox"
)

// Recovery is what Recover is about to do.
type Recovery struct {
	// Replaced is the record that it replaces; nil for none.
	Replaced *checkpoint.Record
	// Chosen is how many rows of each table it will publish.
	Chosen []int64
	// Continues says that nothing is lost: the log goes on at Replaced, and a
	// start would too.
	Continues bool
}

// Recover is a first start whose snapshot holds the rows that f chooses: the
// way on when the log behind the checkpoint is gone. It drops the anchor and
// makes another one; the rows that f chooses of the snapshot there, and the
// record from which the next start streams, are one transaction. It returns
// that record.
//
// approve is told beforehand; its error ends it, with nothing changed. Nor is
// anything by an f that does not fit (*outbox.Invalid), by more rows than
// SnapshotMaxRows, or while an instance is active (*outbox.Refusal).
//
// An error or a crash later than that leaves the record of phase snapshot with
// f in it, unless the transaction did commit: Run then begins anew with the
// same rows, and so may Recover.
func (p *Pipeline) Recover(ctx context.Context, f outbox.Filter, approve func(Recovery) error) (*checkpoint.Record, error) {
	defer p.source.Close()
	defer p.sink.Close()
	plan, err := p.planRecovery(ctx, f)
	if err != nil {
		return nil, err
	}
	if err := approve(plan); err != nil {
		return nil, err
	}
	if _, err := p.hold(ctx, p.source.Connect); err != nil {
		return nil, err
	}
	// Nobody else can change it any more.
	old, err := p.peek(ctx)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(encoded(old), encoded(plan.Replaced)) {
		return nil, errors.New("the checkpoint has changed meanwhile; nothing was done, say it again")
	}
	rec := &checkpoint.Record{Phase: checkpoint.PhaseSnapshot, Filter: &f}
	if old != nil {
		rec.SteppedOver, rec.LastCommit = old.SteppedOver, old.LastCommit
	}
	return p.begin(ctx, rec)
}

// planRecovery looks at everything that Recover depends on, and changes
// nothing.
func (p *Pipeline) planRecovery(ctx context.Context, f outbox.Filter) (r Recovery, err error) {
	id, err := p.source.Connect(ctx)
	if err != nil {
		return r, err
	}
	p.identity = id
	before, err := p.peek(ctx) // for the name of who is active
	if err != nil {
		return r, err
	}
	if err := p.takeLock(ctx, before); err != nil {
		return r, err
	}
	if r.Replaced, err = p.peek(ctx); err != nil {
		return r, err
	}
	if r.Replaced != nil {
		var refusal *outbox.Refusal
		if err := r.Replaced.Fits(p.cfg.Name, p.identity, p.cluster, p.tables); errors.As(err, &refusal) && refusal.Reason != checkpoint.ReasonTables {
			return r, err
		}
		r.Continues = r.Replaced.Phase == checkpoint.PhaseStreaming && p.source.Prove(ctx, r.Replaced.Resume()) == nil
	}
	// The lock is given back: counting and the answer may take long, and whoever
	// stands by meanwhile would take a holder without a sign of life for dead.
	p.source.Close()
	if r.Chosen, err = p.source.CountChosen(ctx, f); err != nil {
		return r, err
	}
	return r, p.notTooMany(r.Chosen)
}

// allowChosen allows what Recover has begun to be done anew: its condition is
// proven again, because the tables may have changed.
func (p *Pipeline) allowChosen(ctx context.Context, f outbox.Filter) error {
	counting := p.keepTurning()
	counts, err := p.source.CountChosen(ctx, f)
	counting()
	var invalid *outbox.Invalid
	if errors.As(err, &invalid) {
		return outbox.Refuse("recovery_filter", "`tailer recover` again, with a condition that fits the tables",
			"`tailer recover` did not finish, and its condition cannot be used any more: %s", invalid.Error())
	}
	if err != nil {
		return fmt.Errorf("count the rows to be published: %w", err)
	}
	p.log.Info("beginning anew with the rows that `tailer recover` chose", "rows", f.String())
	return p.notTooMany(counts)
}

func (p *Pipeline) notTooMany(counts []int64) error {
	var n int64
	for _, c := range counts {
		n += c
	}
	if n <= p.cfg.SnapshotMaxRows {
		return nil
	}
	return outbox.Refuse("snapshot_too_large", "choose fewer, or raise --snapshot-max-rows",
		"%d rows would be published, which is more than --snapshot-max-rows %d", n, p.cfg.SnapshotMaxRows)
}

// encoded is a record as it is stored; nil for none.
func encoded(r *checkpoint.Record) []byte {
	if r == nil {
		return nil
	}
	return r.Encode()
}

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tailer-io/tailer/internal/checkpoint"
	"github.com/tailer-io/tailer/internal/outbox"
)

const (
	// viewWithin is how long the first try to open a snapshot may wait for
	// running transactions. Nothing is read meanwhile, so it is given up then,
	// the log is read up to its end, and the next try waits for twice as long,
	// up to viewAtMost.
	viewWithin = 10 * time.Second
	viewAtMost = 2 * time.Minute
	// The log counts as caught up with when reading up to its end took less than
	// caughtUpWithin: the rest, which is read while the snapshot is held open,
	// will take about as long. On a server that writes faster than we read that
	// never comes: after catchUpRounds it has to do.
	caughtUpWithin = 5 * time.Second
	catchUpRounds  = 10
)

var (
	// errExtended ends the session that has added tables: the next one is an
	// ordinary start, which looks at everything anew.
	errExtended = errors.New("tables were added")
	errViewBusy = errors.New("running transactions do not end")
)

// addedTables are tables that are configured and that the checkpoint does not
// know: nothing of them is published, and no record is written for them before
// their snapshot is.
type addedTables struct {
	names []string
	// chosen are they, by the index of all configured tables; others are the rest.
	chosen, others []bool
	steppedOver    []checkpoint.SteppedOver
}

// adopt takes over the list of tables that a record is of: until those that were
// added to the configuration have been snapshotted, the stream and its records
// are of that list. Without a record, and in a first start, it is the configured
// one.
func (p *Pipeline) adopt(rec *checkpoint.Record) {
	p.tables, p.added = p.configured, nil
	if rec != nil && rec.Phase == checkpoint.PhaseStreaming {
		if names := rec.Added(p.configured); len(names) > 0 {
			p.tables = rec.Tables
			p.added = &addedTables{names: names, steppedOver: rec.SteppedOver}
		}
	}
	if p.added == nil {
		p.source.Choose(nil)
		return
	}
	for _, t := range p.cfg.Tables {
		added := slices.Contains(p.added.names, t)
		p.added.chosen, p.added.others = append(p.added.chosen, added), append(p.added.others, !added)
	}
	p.source.Choose(p.added.others)
}

// extend adds tables to a name that streams others. The checkpoint's own list
// says that it is not done: a crash before step 5 is through leaves a record of
// the old list and everything is done again; behind it the next start is an
// ordinary one. It follows Prove, and ends with errExtended.
//
// The boundary is one place in the log. Of the old tables everything up to it
// is read by the stream and nothing behind it, of the added ones everything up
// to it is in the snapshot: then the new list holds for all tables from there
// on, and a transaction with rows in both kinds is not torn apart.
func (p *Pipeline) extend(ctx context.Context) error {
	names := strings.Join(p.added.names, ", ")
	if u := p.cfg.Until; u != "" && u != "now" {
		return outbox.Refuse(checkpoint.ReasonTables, "start once without --until, or with --until now",
			"table %s was added, whose snapshot is of now and not of --until %s", names, u)
	}
	p.extending("table " + names + " was added")
	defer p.extending("")
	p.log.Info("adding tables", "tables", names)

	// 1. The log brings their rows from here on, which are passed over for now. A
	// crash from here on leaves them in the publication, where the next start
	// finds them.
	p.source.Choose(p.added.chosen)
	if p.cfg.Snapshot {
		if err := p.allowRows(ctx, "adding table "+names+" publishes the rows already in it"); err != nil {
			return err
		}
	}
	if err := p.source.Publish(ctx); err != nil {
		return fmt.Errorf("add to the publication: %w", err)
	}
	reached(StepExtendPublication)

	// 2. and 3. Read what has gathered, and open the snapshot: the boundary. A
	// crash leaves a checkpoint further on, of the old list.
	snap, err := p.boundary(ctx)
	if err != nil {
		return err
	}
	defer snap.Close()
	reached(StepExtendView)

	// 4. Up to the boundary with the old list, and no further.
	if err := p.readTo(ctx, snap.Resume().Position.Text); err != nil {
		return err
	}
	from := p.last
	if p.source.Behind(from.Resume().Position, snap.Resume().Position) != 0 || from.Open != nil {
		return fmt.Errorf("read up to the snapshot at %s: the stream ended at %s", snap.Resume().Position.Text, from.Position)
	}
	reached(StepExtendBoundary)

	// 5. All rows of the snapshot and the record of the new list, in one
	// transaction. A crash before its end leaves nothing that anybody sees.
	// At-least-once: the rows are out, and the next start publishes the snapshot
	// again.
	if err := p.publishAdded(ctx, snap, from); err != nil {
		return err
	}
	reached(StepExtendCommitted)
	p.log.Info("tables are added", "tables", names, "position", p.last.Position)
	return errExtended
}

// boundary opens the snapshot of the added tables close behind where the log is
// read up to.
func (p *Pipeline) boundary(ctx context.Context) (outbox.Snapshot, error) {
	for within := viewWithin; ; within = min(2*within, viewAtMost) {
		for range catchUpRounds {
			began := time.Now()
			if err := p.readTo(ctx, "now"); err != nil {
				return nil, err
			}
			if time.Since(began) < caughtUpWithin {
				break
			}
		}
		reached(StepExtendCaughtUp)
		p.source.Choose(p.added.chosen)
		waiting := p.keepTurning()
		snap, err := p.view(ctx, within)
		waiting()
		if !errors.Is(err, errViewBusy) {
			return snap, err
		}
		p.log.Warn("the snapshot of the added tables waits for running transactions; reading on before it is tried again", "waited", within)
	}
}

func (p *Pipeline) view(ctx context.Context, within time.Duration) (outbox.Snapshot, error) {
	opening, cancel := context.WithTimeoutCause(ctx, within, errViewBusy)
	defer cancel()
	snap, err := p.source.View(opening)
	switch {
	case err == nil:
		return snap, nil
	case ctx.Err() == nil && opening.Err() != nil:
		return nil, errViewBusy
	}
	return nil, fmt.Errorf("begin at a snapshot of the added tables: %w", err)
}

// readTo publishes the old tables' rows up to a position, or now.
func (p *Pipeline) readTo(ctx context.Context, until string) error {
	p.source.Choose(p.added.others)
	err := p.stream(ctx, p.last.Resume(), until)
	if errors.Is(err, outbox.ErrEnd) {
		return nil
	}
	return err
}

// publishAdded publishes the snapshot, and the record that knows the new list.
// from is the record at the boundary.
func (p *Pipeline) publishAdded(ctx context.Context, snap outbox.Snapshot, from *checkpoint.Record) error {
	if err := p.stillLocked(ctx); err != nil {
		return err
	}
	p.tables, p.added = p.configured, nil
	if !p.cfg.Snapshot {
		p.last = p.record(from.Resume())
		p.last.LastCommit = from.LastCommit
		return p.keep(ctx, p.last)
	}
	rec, err := p.snapshot(ctx, snap, from, from.Resume(), StepExtendProduced)
	var halted snapshotHalted
	if errors.As(err, &halted) {
		return p.haltSnapshot(ctx, from, halted.row)
	}
	if err != nil {
		p.abandon(ctx, from)
		return err
	}
	p.last = rec
	return nil
}

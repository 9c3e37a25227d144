package pipeline

import (
	"context"
	"slices"
	"strings"

	"github.com/tailer-io/tailer/internal/checkpoint"
	"github.com/tailer-io/tailer/internal/outbox"
)

// ForgetTable takes a table out of the checkpoint that is not configured any
// more, and out of what the log brings. Its rows up to the position are
// published; those behind it are given up. It returns the record that it
// replaced, and what was done about the log, for people.
//
// The record is written first: a table that the log brings and nobody wants is
// passed over. An error of what follows comes with the record, and can be left
// at that.
//
// A holder of the lock is a Refusal that names it. So is a record that stands
// inside a transaction, whose rows it counts for the old list.
func (p *Pipeline) ForgetTable(ctx context.Context, table string) (old *checkpoint.Record, did string, err error) {
	defer p.source.Close()
	defer p.sink.Close()
	if slices.Contains(p.configured, table) {
		return nil, "", outbox.Refuse(checkpoint.ReasonTables, "take it out of the configuration first",
			"table %s is configured: the next start would add it anew, and publish the rows in it once more", table)
	}
	// The table may be gone already, so nothing is asked about tables.
	if _, err = p.hold(ctx, p.source.Reach); err != nil {
		return nil, "", err
	}
	// Nobody else can change it any more.
	if old, err = p.peek(ctx); err != nil {
		return nil, "", err
	}
	if err := p.forgettable(old, table); err != nil {
		return nil, "", err
	}
	next := *old
	next.Tables = slices.DeleteFunc(slices.Clone(old.Tables), func(t string) bool { return t == table })
	// The row it halted at is numbered by the old list. The next start finds it
	// again, unless it was one of this table.
	next.Halted = nil
	stamp := p.record(outbox.Resume{})
	next.Version, next.Time, next.Tailer, next.Instance = stamp.Version, stamp.Time, stamp.Tailer, stamp.Instance
	if err := p.replace(ctx, next.Encode()); err != nil {
		return nil, "", err
	}
	did, err = p.source.Withdraw(ctx, table)
	return old, did, err
}

// forgettable refuses a record that a table cannot be taken out of.
func (p *Pipeline) forgettable(rec *checkpoint.Record, table string) error {
	if rec == nil {
		return outbox.Refuse("checkpoint_missing", "nothing has to be forgotten", "there is no checkpoint of %q", p.cfg.Name)
	}
	if err := rec.Fits(p.cfg.Name, p.identity, p.cluster, rec.Tables); err != nil {
		return err
	}
	list := strings.Join(rec.Tables, ", ")
	switch {
	case rec.Phase == checkpoint.PhaseSnapshot:
		return outbox.Refuse(checkpoint.ReasonTables, "`tailer checkpoint reset` begins the first start anew, with the tables that are configured",
			"the first start of %q has not finished", p.cfg.Name)
	case !slices.Contains(rec.Tables, table):
		return outbox.Refuse(checkpoint.ReasonTables, "name one of these, as it is written there", "the checkpoint of %q does not know table %s; it is of %s", p.cfg.Name, table, list)
	case len(rec.Tables) == 1:
		return outbox.Refuse(checkpoint.ReasonTables, "`tailer checkpoint reset` forgets the checkpoint and starts anew with the tables that are configured",
			"%s is the only table that the checkpoint of %q knows", table, p.cfg.Name)
	case rec.Open != nil:
		return outbox.Refuse(checkpoint.ReasonTables, "run once with the old list, `tailer run --until now` will do, until that transaction is through",
			"the checkpoint stands inside a transaction whose rows were counted for the tables %s", list)
	}
	return nil
}

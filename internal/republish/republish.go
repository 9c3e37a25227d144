// Package republish publishes rows of the outbox tables a second time, beside
// the tailer that published them, whose position it does not move.
//
// All of them are one Kafka transaction, of a producer of its own: either every
// row is there again or none is. A crash leaves a transaction that the next
// republish aborts, or else the broker at its time-out.
package republish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Mapper turns rows into messages; see pipeline.Mapper.
type Mapper interface {
	Map(b *outbox.Batch, m *outbox.Messages)
	ID(b *outbox.Batch, row int) string
}

// Sink is where messages go; see pipeline.Sink, of which these are some methods.
// It must not be fenced by the running tailer, nor fence it.
type Sink interface {
	Fence(ctx context.Context, timeout time.Duration) error
	Admit(ctx context.Context, m *outbox.Messages, b *outbox.Batch) error
	Join(ctx context.Context, m *outbox.Messages) error
	Produce(ctx context.Context, m *outbox.Messages) error
	Commit(ctx context.Context) error
}

// Config says what is published again, and how.
type Config struct {
	// Tables are the configured outbox tables.
	Tables []string
	// Rows are the rows, which are read once.
	Rows   outbox.Snapshot
	Mapper Mapper
	Sink   Sink
	// Limits bounds what is in memory at a time.
	Limits outbox.Limits
	// Topic takes all messages, whatever the mapping says; "" leaves them theirs.
	Topic string
	// SkipPoison leaves rows out that cannot be published; otherwise they keep
	// all others from being published.
	SkipPoison bool
	// DryRun maps and admits, and publishes nothing.
	DryRun bool
}

// ErrPoison says that nothing was published, because there are rows that cannot
// be.
var ErrPoison = errors.New("rows that cannot be published")

// Summary counts rows.
type Summary struct {
	// Published is by table: in a dry run, what would be published.
	Published []int
	// Poison is how many cannot be published.
	Poison int
}

// abortWithin bounds how long an abort may take when ctx has ended.
const abortWithin = 5 * time.Second

// Run publishes the rows. report is told of each that cannot be.
func Run(ctx context.Context, cfg Config, log *slog.Logger, report func(outbox.Poison)) (Summary, error) {
	r := &run{cfg: cfg, report: report, sum: Summary{Published: make([]int, len(cfg.Tables))}}
	if !cfg.DryRun {
		// The longest that the broker allows: it is one transaction. From here
		// on another republish of the name cannot commit.
		if err := cfg.Sink.Fence(ctx, 0); err != nil {
			return r.sum, err
		}
	}
	err := r.all(ctx)
	if err != nil && r.open {
		// Consumers that read committed messages would wait for it otherwise.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortWithin)
		defer cancel()
		if err := cfg.Sink.Fence(ctx, 0); err != nil {
			log.Warn("the transaction could not be aborted; the broker will, at its time-out", "err", err)
		}
	}
	return r.sum, err
}

type run struct {
	cfg    Config
	report func(outbox.Poison)
	sum    Summary
	open   bool // a transaction may be
}

func (r *run) all(ctx context.Context) error {
	var b outbox.Batch
	var m outbox.Messages
	for more := true; more; {
		var err error
		b.Reset(2 * r.cfg.Limits.Bytes)
		if more, err = r.cfg.Rows.Read(ctx, &b, r.cfg.Limits); err != nil {
			return err
		}
		if err := r.mapped(ctx, &b, &m); err != nil {
			return err
		}
		if r.cfg.DryRun || r.halted() {
			continue // the rest is looked at all the same, to name every such row
		}
		r.open = true
		if err := r.cfg.Sink.Join(ctx, &m); err != nil {
			return err
		}
		if err := r.cfg.Sink.Produce(ctx, &m); err != nil {
			return err
		}
	}
	switch {
	case r.halted():
		if !r.cfg.DryRun {
			clear(r.sum.Published)
		}
		return ErrPoison
	case r.cfg.DryRun:
		return nil
	}
	if err := r.cfg.Sink.Commit(ctx); err != nil {
		return fmt.Errorf("%w; whether the rows are published is not known: look into the topics before you say it again", err)
	}
	r.open = false
	return nil
}

// mapped makes messages of rows, and names those of which there can be none.
func (r *run) mapped(ctx context.Context, b *outbox.Batch, m *outbox.Messages) error {
	m.Reset()
	r.cfg.Mapper.Map(b, m)
	if r.cfg.Topic != "" {
		for i := range m.List {
			m.List[i].Topic = r.cfg.Topic
		}
	}
	if err := r.cfg.Sink.Admit(ctx, m, b); err != nil {
		return err
	}
	slices.SortStableFunc(m.Poison, func(a, b outbox.Poison) int { return a.Row - b.Row })
	for i := range m.Poison {
		q := &m.Poison[i]
		if q.Table == "" {
			q.Table, q.ID = r.cfg.Tables[b.Rows[q.Row].Shape.Table], r.cfg.Mapper.ID(b, q.Row)
		}
		r.report(*q)
	}
	r.sum.Poison += len(m.Poison)
	row := -1
	for i := range m.List { // a row may be several messages
		if m.List[i].Row != row {
			row = m.List[i].Row
			r.sum.Published[b.Rows[row].Shape.Table]++
		}
	}
	return nil
}

// halted tells that nothing is to be published, because of a row that cannot be.
func (r *run) halted() bool { return r.sum.Poison > 0 && !r.cfg.SkipPoison }

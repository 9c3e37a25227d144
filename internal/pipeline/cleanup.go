package pipeline

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tailer-io/tailer/internal/outbox"
)

// The clean-up of the outbox tables. A row is deleted when it has outlived its
// retention, and the checkpoint says that it was published:
//
//	pick rows that are old enough, as they are committed
//	-> ask for the end of the server's log: all of their commits lie before it
//	-> wait until the checkpoint has reached that end
//	-> delete exactly these rows, in small batches, with a pause after each
//
// The checkpoint is the one that is committed to Kafka, or saved, and it never
// goes back. So an instance that lost its name, and does not know it yet, may
// finish a batch without harm: what it deletes was published, by itself or by
// one before it.
//
// None of this is in the way of publishing: what fails is counted, logged, and
// tried again later.
const (
	// cleanupPick is how many rows are picked at once. A checkpoint may be
	// seconds away when there is little to publish, and one wait is for all.
	cleanupPick = 5000
	// cleanupBatch is how many rows one transaction deletes.
	cleanupBatch = 500
	// cleanupPause is the least pause after a batch; it is never shorter than
	// the batch took, so that at most half of the time is spent deleting.
	cleanupPause = 10 * time.Millisecond
	// cleanupLook is how often the checkpoint is looked at while it is waited
	// for, cleanupPatience how long before rows are picked anew.
	cleanupLook     = 50 * time.Millisecond
	cleanupPatience = time.Minute
	// cleanupEvery is how often old rows are looked for when there were few;
	// a shorter retention makes it shorter, down to cleanupLeast.
	cleanupEvery = 10 * time.Second
	cleanupLeast = time.Second
	// cleanupTold is how often a failure is logged.
	cleanupTold = time.Minute
)

// mayClean notes the newest durable checkpoint for cleanUp, which runs beside.
func (p *Pipeline) mayClean() {
	if p.cfg.Cleaner != nil {
		at := p.last.Resume().Position
		p.durable.Store(&at)
	}
}

// cleanUp deletes rows that are published and old until ctx ends. While tables
// are added it waits for the session behind: what is in them is not published,
// wherever the checkpoint of the others stands.
func (p *Pipeline) cleanUp(ctx context.Context) {
	if p.cfg.Cleaner == nil || p.keepsNothing() || p.added != nil {
		return
	}
	var told time.Time
	failures := 0
	for {
		more, all := false, true
		for table, name := range p.cfg.Tables {
			c, err := p.cleanTable(ctx, table)
			if ctx.Err() != nil {
				return
			}
			more, all = more || c.more, all && c.all
			if err == nil {
				continue
			}
			p.metrics.cleanup.failures.Inc()
			failures++
			if time.Since(told) > cleanupTold {
				p.log.Warn("clean-up failed; trying again", "table", name, "failures", failures, "err", oneLine(err))
				told, failures = time.Now(), 0
			}
		}
		if all {
			p.metrics.cleanup.done.SetToCurrentTime()
		}
		if !more && !pause(ctx, max(cleanupLeast, min(p.cfg.Retention, cleanupEvery))) {
			return
		}
	}
}

// cleaned is what one visit to a table came to: more means that it is worth
// going on at once, all that no row is left that is old enough, but what
// somebody holds locked.
type cleaned struct{ more, all bool }

// cleanTable deletes at most cleanupPick rows of one table.
func (p *Pipeline) cleanTable(ctx context.Context, table int) (c cleaned, err error) {
	aged, err := p.cfg.Cleaner.Aged(ctx, table, cleanupPick)
	if err != nil {
		return c, err
	}
	few := len(aged.Rows) < cleanupPick
	if len(aged.Rows) > 0 && !p.publishedUpTo(ctx, aged.UpTo) {
		return c, nil
	}
	gone := 0
	for rows := range slices.Chunk(aged.Rows, cleanupBatch) {
		begin := time.Now()
		n, err := p.cfg.Cleaner.Delete(ctx, outbox.Aged{Table: table, UpTo: aged.UpTo, Rows: rows})
		p.metrics.cleanup.deleted[table].Add(float64(n))
		if err != nil {
			return c, err
		}
		gone += n
		if !pause(ctx, max(cleanupPause, time.Since(begin))) {
			return c, nil
		}
	}
	return cleaned{more: !few && gone > 0, all: few}, nil
}

// publishedUpTo waits until the checkpoint has reached a position of the log; false
// when it has not for a while, or ctx ended.
func (p *Pipeline) publishedUpTo(ctx context.Context, end outbox.Position) bool {
	for begin := time.Now(); ; {
		if at := p.durable.Load(); at != nil && p.source.Behind(*at, end) == 0 {
			return true
		}
		if time.Since(begin) > cleanupPatience || !pause(ctx, cleanupLook) {
			return false
		}
	}
}

// cleanupMetrics are there only where rows are deleted.
type cleanupMetrics struct {
	deleted  []prometheus.Counter // by table
	failures prometheus.Counter
	done     prometheus.Gauge
}

func newCleanupMetrics(reg prometheus.Registerer, tables []string) *cleanupMetrics {
	m := &cleanupMetrics{
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tailer_cleanup_failures_total", Help: "Attempts of the clean-up that failed, and were or will be made again.",
		}),
		done: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tailer_cleanup_done_timestamp_seconds", Help: "When the clean-up last left no row that was old enough, Unix time; 0 for never.",
		}),
	}
	deleted := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tailer_cleanup_deleted_total", Help: "Published rows that were deleted from their outbox table.",
	}, []string{"table"})
	for _, t := range tables {
		m.deleted = append(m.deleted, deleted.WithLabelValues(t))
	}
	reg.MustRegister(deleted, m.failures, m.done)
	return m
}

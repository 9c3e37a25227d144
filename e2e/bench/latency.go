package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailer-io/tailer/e2e/harness"
)

// latency is a steady load of one-row transactions, each timed from the sending of its COMMIT until a
// read_committed consumer has the message in hand.
type latency struct {
	o        *options
	delivery string

	// one value a round; milliseconds
	p50, p90, p99, max   []float64
	commit50, commit99   []float64 // the server's share: COMMIT sent to COMMIT answered
	tailerCPU, brokerCPU []float64 // us an event
	rss                  []float64 // MiB
}

// warmUp is the beginning of the load that is not timed: connections are made, the broker's code is compiled.
const warmUp = 3 * time.Second

// writers are enough to keep the rate when a commit waits for the disk.
const writers = 16

func (l *latency) round(ctx context.Context) error {
	w, err := newWorld(ctx, l.o)
	if err != nil {
		return err
	}
	defer w.close()
	p, err := w.start(l.delivery)
	if err != nil {
		return err
	}
	defer p.kill()
	if err := p.ready(ctx); err != nil {
		return err
	}

	warm := int(warmUp.Seconds() * float64(l.o.rate))
	total := warm + int(l.o.duration.Seconds()*float64(l.o.rate))
	sent := make([]time.Time, total) // each written by one writer, read when all are done
	answered := make([]time.Time, total)
	got := make([]time.Time, total)

	consumed := make(chan error, 1)
	consuming, cancel := context.WithTimeout(ctx, warmUp+l.o.duration+30*time.Second)
	defer cancel()
	go func() { consumed <- w.consume(consuming, got) }()

	before := [2]float64{}
	before[0], _ = cpu(p.cmd.Process.Pid)
	if before[1], err = cpu(l.o.brokerPID); err != nil {
		before[1] = -1
	}
	if err := w.steady(ctx, l.o.rate, sent, answered); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if err := <-consumed; err != nil {
		return fmt.Errorf("consume: %w", err)
	}
	used, err := cpu(p.cmd.Process.Pid)
	if err != nil {
		return err
	}
	n := float64(total)
	l.tailerCPU = append(l.tailerCPU, (used-before[0])*1e6/n)
	if broker, err := cpu(l.o.brokerPID); err == nil && before[1] >= 0 {
		l.brokerCPU = append(l.brokerCPU, (broker-before[1])*1e6/n)
	}
	rss, err := harness.PeakRSS(p.cmd.Process.Pid)
	if err != nil {
		return err
	}
	l.rss = append(l.rss, float64(rss)/(1<<20))
	if err := p.stop(); err != nil {
		return err
	}
	if _, err := w.readBack(ctx, total, l.delivery != "exactly-once"); err != nil {
		return err
	}

	at := quantiles(sent[warm:], got[warm:])
	l.p50, l.p90 = append(l.p50, at(0.5)), append(l.p90, at(0.9))
	l.p99, l.max = append(l.p99, at(0.99)), append(l.max, at(1))
	commit := quantiles(sent[warm:], answered[warm:])
	l.commit50, l.commit99 = append(l.commit50, commit(0.5)), append(l.commit99, commit(0.99))
	if l.o.verbose {
		fmt.Fprintf(os.Stderr, "latency, %s: p50 %.1f p90 %.1f p99 %.1f max %.1f ms\n", l.delivery, at(0.5), at(0.9), at(0.99), at(1))
	}
	return nil
}

// quantiles gives the quantiles, in milliseconds, of the times from one list to the other.
func quantiles(from, to []time.Time) func(q float64) float64 {
	took := make([]float64, len(from))
	for i := range from {
		took[i] = float64(to[i].Sub(from[i])) / 1e6
	}
	slices.Sort(took)
	return func(q float64) float64 { return took[min(len(took)-1, int(q*float64(len(took))))] }
}

// steady writes one row every 1/rate s, whether the rows before are through or not: a stall delays what follows
// it, and that is counted.
func (w *world) steady(ctx context.Context, rate int, sent, answered []time.Time) error {
	var wg sync.WaitGroup
	failed := make(chan error, writers)
	begin := time.Now().Add(100 * time.Millisecond)
	for k := range writers {
		wg.Go(func() {
			db, err := pgx.Connect(ctx, w.url)
			if err != nil {
				failed <- err
				return
			}
			defer db.Close(ctx)
			for i := k; i < len(sent); i += writers {
				time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / time.Duration(rate))))
				if err := w.one(ctx, db, i, &sent[i], &answered[i]); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(failed)
	return <-failed
}

func (w *world) one(ctx context.Context, db *pgx.Conn, i int, sent, answered *time.Time) error {
	tx, err := db.Begin(ctx)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload)
		VALUES ($1::text::uuid, $2, $3, 'Changed', rpad('', 200, 'abcdefghij'))`, uuid(i), w.kind, fmt.Sprint("agg-", i%1000)); err != nil {
		return err
	}
	*sent = time.Now()
	err = tx.Commit(ctx)
	*answered = time.Now()
	return err
}

// uuid and number turn the number of an event into its id and back.
func uuid(i int) string { return fmt.Sprintf("00000000-0000-7000-8000-%012x", i) }

func number(id string) (i int, err error) {
	_, err = fmt.Sscanf(id, "00000000-0000-7000-8000-%x", &i)
	return i, err
}

// consume notes when each event arrives.
func (w *world) consume(ctx context.Context, got []time.Time) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(w.o.brokers, ",")...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeTopics(w.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	for left := len(got); left > 0; {
		fetches := client.PollFetches(ctx)
		now := time.Now()
		if ctx.Err() != nil {
			return fmt.Errorf("%d events never came", left)
		}
		if errs := fetches.Errors(); len(errs) > 0 {
			return errs[0].Err
		}
		var bad error
		fetches.EachRecord(func(r *kgo.Record) {
			for _, h := range r.Headers {
				if h.Key != "id" {
					continue
				}
				i, err := number(string(h.Value))
				if err != nil || i < 0 || i >= len(got) {
					bad = errors.Join(bad, fmt.Errorf("id %q", h.Value))
					continue
				}
				if got[i].IsZero() {
					got[i] = now
					left--
				}
			}
		})
		if bad != nil {
			return bad
		}
	}
	return nil
}

func printLatencies(runs []*latency) {
	o := runs[0].o
	fmt.Printf("\nlatency from COMMIT sent to a read_committed consumer, %d one-row transactions/s for %v, medians of %d rounds\n",
		o.rate, o.duration, o.rounds)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "delivery\tp50 ms\tp90\tp99\tmax\tCOMMIT alone p50\tp99\tCPU us/event\tbroker\tpeak RSS MiB\t")
	for _, l := range runs {
		broker := "-"
		if len(l.brokerCPU) > 0 {
			broker = fmt.Sprintf("%.0f", median(l.brokerCPU))
		}
		fmt.Fprintf(t, "%s\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.0f\t%s\t%.0f\t\n", l.delivery, median(l.p50), median(l.p90), median(l.p99),
			median(l.max), median(l.commit50), median(l.commit99), median(l.tailerCPU), broker, median(l.rss))
	}
	t.Flush()
}

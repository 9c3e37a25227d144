package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailer-io/tailer/e2e/bench/measure"
	"github.com/tailer-io/tailer/e2e/bench/relay"
	"github.com/tailer-io/tailer/e2e/bench/report"
	"github.com/tailer-io/tailer/e2e/bench/source"
	"github.com/tailer-io/tailer/e2e/bench/verify"
)

const (
	// warmUp is the beginning of a steady load that is not timed: the broker's code is compiled.
	warmUp = 3 * time.Second
	// writers are enough to keep the rate when a commit waits for the disk.
	writers = 16
	// steadyKeys is a multiple of writers: event n is written by writer n modulo writers, so all of a key by one,
	// and their numbers have the order of their commits.
	steadyKeys = 62 * writers
)

// times are those of each event of a steady load.
type times struct {
	sent, answered []time.Time // COMMIT, written by the event's writer
	got            []time.Time // by the consumer
}

// steady is a load of one-row transactions at a rate, each timed from the sending of its COMMIT until a
// read_committed consumer has the message in hand.
func (c carrier) steady(ctx context.Context, w *world) (run report.Run, err error) {
	i, err := c.Start(ctx, w.relay, relay.How{})
	if err != nil {
		return run, err
	}
	defer i.Kill()
	if err := w.flows(ctx, i); err != nil {
		return run, err
	}
	sampler := measure.Sample(w.processes(i.Process())...)
	defer sampler.Stop()
	begun := time.Now()
	t, wrong, err := w.load(ctx)
	if err != nil {
		return run, err
	}
	sampler.Stop()
	run.Events = w.backlog.Events
	if run.Memory, err = measure.PeakMemory(i.Process().PID); err != nil && wrong == nil {
		return run, err
	}
	if err := i.Stop(); err != nil && wrong == nil {
		return run, err
	}
	if wrong == nil {
		tally, err := w.read(ctx)
		if err != nil {
			return run, err
		}
		run.Doubles, wrong = tally.Doubles, tally.Wrong(c.ExactlyOnce())
	}
	if wrong != nil {
		return report.Run{Wrong: wrong.Error()}, nil
	}
	end, zero := sampler.At(time.Now()), sampler.At(begun.Add(-time.Second))
	run.CPU = report.CPU{Relay: end[0] - zero[0], Server: end[1] - zero[1], Broker: end[2] - zero[2]}
	run.Latency = t.latency(w.workload.rate)
	return run, nil
}

// latency sums up all but the warm-up.
func (t *times) latency(rate int) report.Latency {
	warm := int(warmUp.Seconds() * float64(rate))
	sent, answered, got := t.sent[warm:], t.answered[warm:], t.got[warm:]
	whole, commit := measure.Quantiles(sent, got), measure.Quantiles(sent, answered)
	took := sent[len(sent)-1].Sub(sent[0]).Seconds()
	return report.Latency{P50: whole(0.5), P99: whole(0.99), P999: whole(0.999), Max: whole(1),
		CommitP50: commit(0.5), CommitP99: commit(0.99), Rate: float64(len(sent)-1) / took}
}

// load writes and consumes. wrong is that not all arrived.
func (w *world) load(ctx context.Context) (t *times, wrong, err error) {
	n := w.backlog.Events
	t = &times{make([]time.Time, n), make([]time.Time, n), make([]time.Time, n)}
	consuming, cancel := context.WithCancel(ctx)
	defer cancel()
	consumed := make(chan error, 1)
	ready := make(chan struct{})
	go func() { consumed <- w.consume(consuming, ready, t.got) }()
	select {
	case <-ready:
	case err := <-consumed:
		return nil, nil, fmt.Errorf("consume: %w", err)
	}
	if err := w.write(ctx, t); err != nil {
		return nil, nil, fmt.Errorf("write: %w", err)
	}
	select {
	case err := <-consumed:
		return t, err, nil
	case <-time.After(patience):
		cancel()
		return t, <-consumed, nil
	}
}

// write inserts one row every 1/rate s, whether the rows before are through or not: a stall delays what follows
// it, and that is counted.
func (w *world) write(ctx context.Context, t *times) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	failed := make(chan error, writers)
	begin := time.Now().Add(100 * time.Millisecond)
	for k := range writers {
		wg.Go(func() {
			conn, err := w.db.Connect(ctx)
			if err != nil {
				failed <- err
				cancel()
				return
			}
			defer conn.Close()
			for n := k; n < w.backlog.Events; n += writers {
				time.Sleep(time.Until(begin.Add(time.Duration(n) * time.Second / time.Duration(w.workload.rate))))
				if err := t.insert(ctx, conn, n, w.backlog.Insert(n)); err != nil {
					failed <- err
					cancel()
					return
				}
			}
		})
	}
	wg.Wait()
	close(failed)
	return <-failed
}

func (t *times) insert(ctx context.Context, conn *sql.Conn, n int, statement string) error {
	if _, err := conn.ExecContext(ctx, "BEGIN; "+statement); err != nil {
		return err
	}
	t.sent[n] = time.Now()
	_, err := conn.ExecContext(ctx, "COMMIT")
	t.answered[n] = time.Now()
	return err
}

// consume notes when each event arrives, until all have. It closes ready once it has read what came before the
// load.
func (w *world) consume(ctx context.Context, ready chan<- struct{}, got []time.Time) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(w.o.brokers, ",")...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeTopics(w.topics...),
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
			return fmt.Errorf("%d of %d events never came", left, len(got))
		}
		if errs := fetches.Errors(); len(errs) > 0 {
			return errs[0].Err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if ready != nil {
				close(ready) // there is one at least, of those that showed that the relay carries something
				ready = nil
			}
			if n, ok := event(r); ok && n < len(got) && got[n].IsZero() {
				got[n] = now
				left--
			}
		})
	}
	return nil
}

// event is the number of a record; ok is false when it is none of a load.
func event(r *kgo.Record) (n int, ok bool) {
	for _, h := range r.Headers {
		if h.Key == "id" {
			n, err := source.Number(string(h.Value))
			return n, err == nil && n < verify.FirstWarm
		}
	}
	return 0, false
}

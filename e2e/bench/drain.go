package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"text/tabwriter"
	"time"

	"github.com/tailer-io/tailer/e2e/harness"
)

// drain is one workload: a backlog of transactions of so many rows.
type drain struct {
	o        *options
	rows     int
	delivery string

	tailers, recvs []figures // one a round
}

// figures are what one program made of one backlog.
type figures struct {
	rate    float64 // events/s from the moment that its slot was active
	overall float64 // events/s from the start of the process
	cpu     float64 // us an event, user and system, of the whole process
	rss     float64 // MiB
}

func (o *options) figures(begun, streaming, end time.Time, used float64) figures {
	n := float64(o.events)
	return figures{rate: n / end.Sub(streaming).Seconds(), overall: n / end.Sub(begun).Seconds(), cpu: used * 1e6 / n}
}

func (f figures) String() string {
	return fmt.Sprintf("%.0f/s, %.0f/s from its start, %.2f us, %.0f MiB", f.rate, f.overall, f.cpu, f.rss)
}

// active tells when a slot is taken into use. It asks every few milliseconds, and no longer than it has to.
func (w *world) active(ctx context.Context, slot string) <-chan time.Time {
	found := make(chan time.Time, 1)
	go func() {
		for ctx.Err() == nil {
			var active bool
			err := w.admin.QueryRow(ctx, "SELECT active FROM pg_replication_slots WHERE slot_name = $1", slot).Scan(&active)
			if err != nil {
				return
			}
			if active {
				found <- time.Now()
				return
			}
			time.Sleep(3 * time.Millisecond)
		}
	}()
	return found
}

func (d *drain) name() string {
	return fmt.Sprintf("drain of %d-row transactions, %s", d.rows, d.delivery)
}

func (d *drain) round(ctx context.Context, round int) error {
	w, err := newWorld(ctx, d.o)
	if err != nil {
		return err
	}
	defer w.close()

	// Both slots come before the backlog.
	p, err := w.start(d.delivery)
	if err != nil {
		return err
	}
	defer p.kill()
	if err := p.ready(ctx); err != nil {
		return err
	}
	if err := p.stop(); err != nil {
		return err
	}
	recv := w.name + "_recv"
	if _, err := w.db.Exec(ctx, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", recv); err != nil {
		return err
	}
	end, err := w.backlog(ctx, d.o.events, d.rows)
	if err != nil {
		return fmt.Errorf("write the backlog: %w", err)
	}

	// Taking turns, as the second one finds warmer caches.
	steps := []func() error{
		func() error { return d.recvlogical(ctx, w, recv, end) },
		func() error { return d.tailer(ctx, w) },
	}
	if round%2 == 1 {
		steps[0], steps[1] = steps[1], steps[0]
	}
	return errors.Join(steps[0](), steps[1]())
}

// backlog writes the events and returns the end of the log. Payloads have 200 bytes, so that an event has about
// 250 in all.
func (w *world) backlog(ctx context.Context, events, rows int) (string, error) {
	if _, err := w.db.Exec(ctx, "SET synchronous_commit = off"); err != nil {
		return "", err
	}
	if _, err := w.db.Exec(ctx, fmt.Sprintf(`DO $$
		DECLARE n int := 0; size int;
		BEGIN
			WHILE n < %d LOOP
				size := least(%d, %d - n);
				INSERT INTO outbox (aggregatetype, aggregateid, type, payload)
					SELECT '%s', 'agg-' || (n + i) %% 1000, 'Changed', rpad((n + i)::text || ' ', 200, 'abcdefghij')
					FROM generate_series(1, size) i;
				COMMIT;
				n := n + size;
			END LOOP;
		END $$`, events, rows, events, w.kind)); err != nil {
		return "", err
	}
	if _, err := w.db.Exec(ctx, "SET synchronous_commit = on"); err != nil {
		return "", err
	}
	// A commit that waits makes sure that all of it is flushed, and a checkpoint keeps the writing of its pages out
	// of the measurement.
	var end string
	if _, err := w.db.Exec(ctx, "CREATE TABLE flushed ()"); err != nil {
		return "", err
	}
	if err := w.db.QueryRow(ctx, "SELECT pg_current_wal_flush_lsn()").Scan(&end); err != nil {
		return "", err
	}
	_, err := w.db.Exec(ctx, "CHECKPOINT")
	return end, err
}

func (d *drain) tailer(ctx context.Context, w *world) error {
	streaming := w.active(ctx, w.name)
	p, err := w.start(d.delivery)
	if err != nil {
		return err
	}
	defer p.kill()
	if err := p.until(ctx, "all is published", 10*time.Millisecond, func(_ string, n int) bool { return n >= d.o.events }); err != nil {
		return err
	}
	used, err := cpu(p.cmd.Process.Pid)
	if err != nil {
		return err
	}
	rss, err := harness.PeakRSS(p.cmd.Process.Pid)
	if err != nil {
		return err
	}
	if err := p.stop(); err != nil {
		return err
	}
	last, err := w.readBack(ctx, d.o.events, false)
	if err != nil {
		return err
	}
	f := d.o.figures(p.begun, <-streaming, last, used)
	f.rss = float64(rss) / (1 << 20)
	d.tailers = append(d.tailers, f)
	if d.o.verbose {
		fmt.Fprintf(os.Stderr, "%s: tailer %v\n", d.name(), f)
	}
	return nil
}

func (d *drain) recvlogical(ctx context.Context, w *world, slot, end string) error {
	streaming := w.active(ctx, slot)
	cmd := exec.CommandContext(ctx, d.o.recvlogi, "--dbname="+w.url, "--slot="+slot, "--start", "--file=/dev/null",
		"--endpos="+end, "--no-loop", "--fsync-interval=0", "--option=proto_version=1", "--option=publication_names="+w.name)
	begun := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_recvlogical: %w: %s", err, out)
	}
	done := time.Now()
	used := (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	select {
	case at := <-streaming:
		d.recvs = append(d.recvs, d.o.figures(begun, at, done, used))
	case <-time.After(time.Second):
		return fmt.Errorf("pg_recvlogical ended before its slot was seen active: a larger backlog is needed")
	}
	if d.o.verbose {
		fmt.Fprintf(os.Stderr, "%s: pg_recvlogical %v\n", d.name(), d.recvs[len(d.recvs)-1])
	}
	return nil
}

func printDrains(drains []*drain) {
	o := drains[0].o
	fmt.Printf("drain of a backlog of %d events of about 250 bytes, %d partitions, medians of %d rounds\n", o.events, o.partitions, o.rounds)
	fmt.Println("from the slot's activity (in brackets: from the start of the process) to the last record's append time at the")
	fmt.Println("broker, or to the end of pg_recvlogical; CPU is that of the process, its start included")
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "transactions\tdelivery\ttailer/s\tpg_recvlogical/s\tratio\tus/event\tpg_recvlogical\tpeak RSS MiB\t")
	for _, d := range drains {
		of := func(list []figures, value func(figures) float64) float64 {
			var values []float64
			for _, f := range list {
				values = append(values, value(f))
			}
			return median(values)
		}
		rate, overall := func(f figures) float64 { return f.rate }, func(f figures) float64 { return f.overall }
		cost, rss := func(f figures) float64 { return f.cpu }, func(f figures) float64 { return f.rss }
		// Of each round, as both drained the same backlog in the same minute.
		var ratios, overalls []float64
		for i := range d.tailers {
			ratios = append(ratios, d.tailers[i].rate/d.recvs[i].rate)
			overalls = append(overalls, d.tailers[i].overall/d.recvs[i].overall)
		}
		fmt.Fprintf(t, "%d-row\t%s\t%.0f (%.0f)\t%.0f (%.0f)\t%.2f (%.2f)\t%.2f\t%.2f\t%.0f\t\n", d.rows, d.delivery,
			of(d.tailers, rate), of(d.tailers, overall), of(d.recvs, rate), of(d.recvs, overall), median(ratios), median(overalls),
			of(d.tailers, cost), of(d.recvs, cost), of(d.tailers, rss))
	}
	t.Flush()
}

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/tailer-io/tailer/e2e/bench/measure"
	"github.com/tailer-io/tailer/e2e/bench/relay"
	"github.com/tailer-io/tailer/e2e/bench/report"
	"github.com/tailer-io/tailer/e2e/bench/verify"
)

// fewest events that a rate is made of: with fewer it would be one of the clock's milliseconds.
const fewest = 10_000

// perfFile is a file for what perf counts; "" where it is not to count.
func (wl workload) perfFile() (name string, err error) {
	if !wl.perf {
		return "", nil
	}
	f, err := os.CreateTemp("", "bench-perf")
	if err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}

// counted adds what perf wrote to a file.
func counted(run *report.Run, file string) error {
	if file == "" {
		return nil
	}
	counts, err := measure.PerfCounts(file)
	run.Work.Instructions, run.Work.SystemCalls = counts[measure.Instructions], counts[measure.SystemCalls]
	return err
}

// drain lets it go on and waits until it has carried the backlog.
func (c carrier) drain(ctx context.Context, w *world) (run report.Run, err error) {
	perf, err := w.workload.perfFile()
	if err != nil {
		return run, err
	}
	defer os.Remove(perf)
	watching, stop := context.WithCancel(ctx)
	defer stop()
	streaming := w.db.Streaming(watching)
	before := measure.Sample(w.processes(measure.Process{})...)
	before.Stop()
	i, err := c.Start(ctx, w.relay, relay.How{Cold: w.workload.cold, Perf: perf})
	if err != nil {
		return run, err
	}
	defer i.Kill()
	sampler := measure.Sample(w.processes(i.Process())...)
	defer sampler.Stop()

	tally, wrong, err := w.drained(ctx, i, c.ExactlyOnce())
	if err != nil {
		return run, err
	}
	if wrong != nil {
		return report.Run{Wrong: wrong.Error()}, nil
	}
	sampler.Stop()
	run = report.Run{Events: w.backlog.Events, Doubles: tally.Doubles}
	if run.Memory, err = measure.PeakMemory(i.Process().PID); err != nil {
		return run, err
	}
	if run.Work.Switches, err = measure.Switches(i.Process().PID); err != nil {
		return run, err
	}
	run.Work.Allocations, _ = i.Allocations()
	if err := i.Stop(); err != nil {
		return run, fmt.Errorf("stop: %w", err)
	}
	if err := counted(&run, perf); err != nil {
		return run, err
	}
	if early := i.Begun().Sub(tally.First); early > time.Millisecond { // which is what a record's time is rounded to
		return report.Run{Wrong: fmt.Sprintf("an event was there %v before the start", early)}, nil
	}
	timed(&run, tally, i.Begun(), streaming)
	end, zero := sampler.At(tally.Last), before.At(i.Begun())
	run.CPU = report.CPU{Relay: end[0] - i.Used(), Server: end[1] - zero[1], Broker: end[2] - zero[2]}
	stored, err := w.stored(ctx)
	run.Stored = stored / float64(run.Events)
	return run, err
}

// timed adds what follows from the times at which the events were appended.
func timed(run *report.Run, tally *verify.Tally, begun time.Time, streaming <-chan time.Time) {
	run.First = tally.First.Sub(begun).Seconds()
	if run.Events < fewest {
		return
	}
	read := begun
	select {
	case read = <-streaming:
	default: // One that asks the tables never reads the log.
	}
	n := float64(run.Events)
	run.Rate, run.Overall = n/tally.Last.Sub(read).Seconds(), n/tally.Last.Sub(begun).Seconds()
}

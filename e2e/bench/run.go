package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/tailer-io/tailer/e2e/bench/report"
)

// run goes through all workloads in rounds and gives each run to the function. Rounds are outside, workloads inside:
// a slow minute of the machine then falls on all of them.
func (o *options) run(ctx context.Context, workloads []workload, each func(report.Run) error) error {
	for round := range o.rounds {
		for _, wl := range workloads {
			if err := o.one(ctx, wl, round, each); err != nil {
				return fmt.Errorf("%s, round %d: %w", wl.name, round+1, err)
			}
		}
	}
	return nil
}

// one is one workload in one round: by all contenders that take it, each time another first, as later ones find
// warmer caches.
func (o *options) one(ctx context.Context, wl workload, round int, each func(report.Run) error) error {
	if reason := o.beyond(wl); reason != "" {
		fmt.Fprintf(os.Stderr, "bench: %s is left out: %s\n", wl.name, reason)
		return nil
	}
	var turn []contender
	for i := range o.contenders {
		if c := o.contenders[(i+round)%len(o.contenders)]; c.takes(wl) {
			turn = append(turn, c)
		}
	}
	record := func(c contender, run report.Run) error {
		run.Workload, run.Contender, run.Round = wl.name, c.name(), round
		if o.verbose {
			fmt.Fprintf(os.Stderr, "%s, round %d, %s: %s\n", wl.name, round+1, c.name(), summary(run))
		}
		return each(run)
	}
	if wl.rate == 0 {
		return o.drainAll(ctx, wl, turn, record)
	}
	for _, c := range turn {
		if err := o.steadyOne(ctx, wl, c, record); err != nil {
			return err
		}
	}
	return nil
}

// drainAll lets all drain the same backlog.
func (o *options) drainAll(ctx context.Context, wl workload, turn []contender, record func(contender, report.Run) error) (err error) {
	if len(turn) == 0 {
		return nil
	}
	w, err := newWorld(ctx, o, wl)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	w.met = turn
	failed := map[contender]error{}
	for _, c := range turn {
		if err := c.prepare(ctx, w); err != nil {
			failed[c] = fmt.Errorf("prepare: %w", err)
		}
	}
	if err := w.db.Write(ctx, w.backlog); err != nil {
		return fmt.Errorf("write the backlog: %w", err)
	}
	for _, c := range turn {
		if err := w.clearTopics(ctx); err != nil {
			return fmt.Errorf("clear topics: %w", err)
		}
		if err := try(ctx, w, c, failed[c], record); err != nil {
			return err
		}
	}
	return nil
}

// try runs a contender, unless it has failed already. One that fails has a wrong run, and the others go on.
func try(ctx context.Context, w *world, c contender, failed error, record func(contender, report.Run) error) error {
	var run report.Run
	if failed == nil {
		run, failed = c.run(ctx, w)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if failed != nil {
		run = report.Run{Wrong: failed.Error()}
	}
	return record(c, run)
}

// steadyOne gives a contender a world of its own: what is written for one, all others would have to read.
func (o *options) steadyOne(ctx context.Context, wl workload, c contender, record func(contender, report.Run) error) (err error) {
	w, err := newWorld(ctx, o, wl)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	w.met = []contender{c}
	return try(ctx, w, c, nil, record)
}

// summary is a run in a line.
func summary(r report.Run) string {
	n := float64(r.Events)
	switch {
	case r.Wrong != "":
		return "wrong: " + r.Wrong
	case r.Latency != report.Latency{}:
		l := r.Latency
		return fmt.Sprintf("p50 %.1f p99 %.1f p99.9 %.1f max %.1f ms at %.0f/s; %.0f us an event, %.0f MiB", l.P50, l.P99, l.P999, l.Max, l.Rate,
			r.CPU.Relay*1e6/n, r.Memory/(1<<20))
	}
	return fmt.Sprintf("%.0f/s, %.0f/s from its start, first after %.2f s; us an event: %.2f, server %.2f, broker %.2f; %.0f MiB; "+
		"an event: %.0f instructions, %.3f system calls, %.3f allocations",
		r.Rate, r.Overall, r.First, r.CPU.Relay*1e6/n, r.CPU.Server*1e6/n, r.CPU.Broker*1e6/n, r.Memory/(1<<20),
		r.Work.Instructions/n, r.Work.SystemCalls/n, r.Work.Allocations/n)
}

package main

import (
	"context"
	"errors"
	"slices"

	"github.com/tailer-io/tailer/e2e/bench/measure"
	"github.com/tailer-io/tailer/e2e/bench/relay"
	"github.com/tailer-io/tailer/e2e/bench/report"
)

// contender is a relay, or a program that says what would be possible.
type contender interface {
	name() string
	// takes says whether it can do a workload at all.
	takes(workload) bool
	// prepare fixes, before the backlog, the place from which it will read.
	prepare(context.Context, *world) error
	// run measures it. What arrived and was wrong is in the run; an error ends the benchmark.
	run(context.Context, *world) (report.Run, error)
	// forget removes what it keeps of a world.
	forget(context.Context, *world) error
	close()
}

// carrier is a contender that carries events.
type carrier struct{ relay.Relay }

func (c carrier) name() string { return c.Name() }

// takes: perf counts a process that it starts, which of the relays only tailer is; what is special about one is shown where
// the load is the usual one.
func (c carrier) takes(wl workload) bool {
	t, counted := c.Relay.(*relay.Tailer)
	if counted && t.Special != "" {
		return slices.Contains([]string{"drain-1", "drain-100", "steady-1000"}, wl.name)
	}
	return counted || !wl.perf
}

func (c carrier) close() { c.Close() }

func (c carrier) forget(ctx context.Context, w *world) error {
	err := c.Forget(ctx, w.relay)
	if keeps, ok := c.Relay.(interface{ Topics(relay.World) []string }); ok {
		err = errors.Join(err, w.deleteTopics(ctx, keeps.Topics(w.relay)))
	}
	return err
}

// prepare lets it carry one event and stop: from there it goes on later.
func (c carrier) prepare(ctx context.Context, w *world) error {
	if err := c.Reset(ctx, w.relay); err != nil {
		return err
	}
	i, err := c.Start(ctx, w.relay, relay.How{})
	if err != nil {
		return err
	}
	defer i.Kill()
	if err := w.flows(ctx, i); err != nil {
		return err
	}
	return i.Stop()
}

func (c carrier) run(ctx context.Context, w *world) (report.Run, error) {
	if w.workload.rate > 0 {
		return c.steady(ctx, w)
	}
	return c.drain(ctx, w)
}

// processes are those whose CPU is taken, in the order of report.CPU.
func (w *world) processes(relay measure.Process) []measure.Process {
	return []measure.Process{relay, {PID: w.o.server.PID(), Tree: w.o.server.Kind() == "postgres"}, {PID: w.o.brokerPID}}
}

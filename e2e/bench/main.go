// Command bench measures tailer against real servers and prints a table: how fast a backlog is drained beside
// pg_recvlogical discarding the same backlog, what an event costs, how much memory was resident, and how long a
// commit takes to reach a read_committed consumer.
//
// Nothing is counted at the sender: events are read back from Kafka after every run, and a run that lost or
// doubled one has no figure.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are the command's flags.
type options struct {
	tailer     string
	postgres   string
	brokers    string
	brokerPID  int
	recvlogi   string
	events     int
	rounds     int
	partitions int
	workloads  []string
	deliveries []string
	rate       int
	duration   time.Duration
	extra      []string
	verbose    bool
}

func main() {
	var o options
	var workloads, deliveries, extra string
	flag.StringVar(&o.tailer, "tailer", os.Getenv("E2E_TAILER"), "the binary")
	flag.StringVar(&o.postgres, "postgres", os.Getenv("STACK_PG_URL"), "URL of a superuser")
	flag.StringVar(&o.brokers, "brokers", os.Getenv("STACK_KAFKA"), "host:port list")
	flag.StringVar(&o.recvlogi, "pg_recvlogical", recvlogical(), "the program to compare with")
	flag.IntVar(&o.events, "events", 300_000, "events of a backlog")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds; medians are printed")
	flag.IntVar(&o.partitions, "partitions", 4, "partitions of the topic")
	flag.StringVar(&workloads, "workloads", "1,100,latency", "rows in each transaction of a backlog, and latency")
	flag.StringVar(&deliveries, "delivery", "exactly-once", "exactly-once, at-least-once, or both with a comma")
	flag.IntVar(&o.rate, "rate", 1000, "one-row transactions a second, for latency")
	flag.DurationVar(&o.duration, "duration", 20*time.Second, "of the steady load, for latency")
	flag.StringVar(&extra, "flags", "", "more flags for tailer, separated by blanks")
	flag.BoolVar(&o.verbose, "v", false, "show each round and what tailer logs")
	flag.Parse()
	o.brokerPID, _ = strconv.Atoi(os.Getenv("STACK_KAFKA_PID"))
	o.workloads, o.deliveries, o.extra = strings.Split(workloads, ","), strings.Split(deliveries, ","), strings.Fields(extra)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := o.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// recvlogical is the program of the stack's server if it says where its programs are.
func recvlogical() string {
	if dir := os.Getenv("STACK_PG_BIN"); dir != "" {
		return dir + "/pg_recvlogical"
	}
	return "pg_recvlogical"
}

func (o *options) run(ctx context.Context) error {
	switch {
	case o.tailer == "":
		return fmt.Errorf("-tailer or E2E_TAILER is required")
	case o.postgres == "":
		return fmt.Errorf("-postgres or STACK_PG_URL is required")
	case o.brokers == "":
		return fmt.Errorf("-brokers or STACK_KAFKA is required")
	case flag.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	for _, w := range o.workloads {
		if n, err := strconv.Atoi(w); w != "latency" && (err != nil || n < 1) {
			return fmt.Errorf("-workloads: %q is neither a number of rows nor latency", w)
		}
	}
	var drains []*drain
	for _, delivery := range o.deliveries {
		for _, w := range o.workloads {
			if rows, err := strconv.Atoi(w); err == nil {
				drains = append(drains, &drain{o: o, rows: rows, delivery: delivery})
			}
		}
	}
	// Rounds outside, workloads inside: a slow minute of the machine then falls on all of them.
	for round := range o.rounds {
		for _, d := range drains {
			if err := d.round(ctx, round); err != nil {
				return fmt.Errorf("%s: %w", d.name(), err)
			}
		}
	}
	if len(drains) > 0 {
		printDrains(drains)
	}
	if slices.Contains(o.workloads, "latency") {
		var runs []*latency
		for _, delivery := range o.deliveries {
			l := &latency{o: o, delivery: delivery}
			for range o.rounds {
				if err := l.round(ctx); err != nil {
					return fmt.Errorf("latency, %s: %w", delivery, err)
				}
			}
			runs = append(runs, l)
		}
		printLatencies(runs)
	}
	return nil
}

// median is the middle one; of an even number, the lower of the two in the middle.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)-1)/2]
}

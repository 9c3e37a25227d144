// Command bench measures tailer against real servers.
//
//	bench            how fast a backlog is drained beside the server's own program that discards the same backlog,
//	                 what an event costs, how much memory was resident, and how long a commit takes to reach a
//	                 read_committed consumer: tables on standard output
//	bench compare    the same beside other relays, in interleaved rounds: tables and plots in docs/benchmarks
//	bench growth     how cost grows with other traffic, backlog, topics, keys, compression: likewise
//	bench render     the tables and plots again, from the figures in docs/benchmarks
//
// Nothing is counted at the sender: events are read back from Kafka after every run, and a run in which one is
// missing, doubled or out of order has no figure.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tailer-io/tailer/e2e/bench/relay"
	"github.com/tailer-io/tailer/e2e/bench/source"
)

// options are the command's flags, and what is made of them.
type options struct {
	source     string
	url        string
	reader     string
	tailer     string
	brokers    string
	rounds     int
	partitions int
	events     int
	rate       int
	duration   time.Duration
	scale      float64
	workloads  string
	only       string
	deliveries string
	extra      string
	out        string
	append     bool
	verbose    bool

	brokerPID  int
	perf       bool
	server     source.Server
	contenders []contender
	dbz        *relay.Worker // nil without Debezium
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string) error {
	verb := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		verb, args = args[0], args[1:]
	}
	var o options
	flags := flag.NewFlagSet("bench "+verb, flag.ExitOnError)
	o.flags(flags, verb)
	flags.Parse(args)
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	switch verb {
	case "":
		return o.bench(ctx)
	case "compare":
		return o.suite(ctx, verb, o.comparison)
	case "growth":
		return o.suite(ctx, verb, o.growth)
	case "render":
		return o.render()
	}
	return fmt.Errorf("no command %q: want compare, growth, render, or none", verb)
}

func (o *options) flags(f *flag.FlagSet, verb string) {
	text := func(to *string, name, value, usage string) { f.StringVar(to, name, value, usage) }
	text(&o.out, "out", "../docs/benchmarks", "folder for figures, tables and plots")
	if verb == "render" {
		return
	}
	text(&o.source, "source", env("SOURCE", "postgres"), "postgres, mysql or mariadb")
	text(&o.url, "server", "", "URL of an account that may do everything (default: that of scripts/stack env)")
	text(&o.reader, "reader", "", "the program that reads the log and discards it: pg_recvlogical or mysqlbinlog (default: likewise)")
	text(&o.tailer, "tailer", os.Getenv("E2E_TAILER"), "the binary")
	text(&o.brokers, "brokers", os.Getenv("STACK_KAFKA"), "host:port list")
	text(&o.extra, "flags", "", "more flags for tailer, separated by blanks")
	f.IntVar(&o.partitions, "partitions", 4, "partitions of a topic")
	f.DurationVar(&o.duration, "duration", 20*time.Second, "of a steady load")
	f.BoolVar(&o.verbose, "v", false, "show each run, and what relays log")
	if verb == "" {
		text(&o.workloads, "workloads", "1,100,latency", "rows in each transaction of a backlog; big (a million rows in one); latency")
		text(&o.deliveries, "delivery", "exactly-once", "exactly-once, at-least-once, or both with a comma")
		f.IntVar(&o.rounds, "rounds", 3, "rounds; medians are printed")
		f.IntVar(&o.events, "events", 300_000, "events of a backlog")
		f.IntVar(&o.rate, "rate", 1000, "one-row transactions a second, for latency")
		return
	}
	o.deliveries = "exactly-once,at-least-once"
	text(&o.workloads, "workloads", "", "only these, with commas: whole names (drain-100), or how they begin (drain)")
	text(&o.only, "contenders", "", "only those whose names begin with one of these, with commas")
	f.IntVar(&o.rounds, "rounds", map[string]int{"compare": 9, "growth": 3}[verb], "rounds")
	f.Float64Var(&o.scale, "scale", 1, "make backlogs smaller, to see that it works")
	f.BoolVar(&o.append, "append", false, "add to the figures that are there")
}

func env(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// open connects to the server and fills in what scripts/stack says about it.
func (o *options) open(ctx context.Context) (err error) {
	stack, ok := map[string]string{"postgres": "STACK_PG", "mysql": "STACK_MYSQL", "mariadb": "STACK_MARIADB"}[o.source]
	if !ok {
		return fmt.Errorf("-source or SOURCE: %q is not postgres, mysql or mariadb", o.source)
	}
	if o.url == "" {
		o.url = os.Getenv(stack + "_URL")
	}
	if o.reader == "" {
		o.reader = env(stack+"_BINLOG", "mysqlbinlog")
		if o.source == "postgres" {
			o.reader = "pg_recvlogical"
			if dir := os.Getenv("STACK_PG_BIN"); dir != "" {
				o.reader = dir + "/pg_recvlogical"
			}
		}
	}
	switch {
	case o.tailer == "":
		return fmt.Errorf("-tailer or E2E_TAILER is required")
	case o.url == "":
		return fmt.Errorf("-server or %s_URL is required", stack)
	case o.brokers == "":
		return fmt.Errorf("-brokers or STACK_KAFKA is required")
	}
	pid, _ := strconv.Atoi(os.Getenv(stack + "_PID"))
	o.brokerPID, _ = strconv.Atoi(os.Getenv("STACK_KAFKA_PID"))
	if o.server, err = source.Open(ctx, o.url, pid, o.reader); err != nil {
		return fmt.Errorf("connect to %s: %w", o.source, err)
	}
	return nil
}

// stderr is where relays may write.
func (o *options) stderr() io.Writer {
	if o.verbose {
		return os.Stderr
	}
	return nil
}

// tailers are tailer with each kind of delivery.
func (o *options) tailers() (list []contender, err error) {
	for delivery := range strings.SplitSeq(o.deliveries, ",") {
		if delivery != "exactly-once" && delivery != "at-least-once" {
			return nil, fmt.Errorf("-delivery: %q", delivery)
		}
		list = append(list, carrier{&relay.Tailer{Binary: o.tailer, Delivery: delivery, Flags: strings.Fields(o.extra), Stderr: o.stderr()}})
	}
	return list, nil
}

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/tailer-io/tailer/e2e/bench/measure"
	"github.com/tailer-io/tailer/e2e/bench/report"
)

// bench is `make bench`: tables on standard output.
func (o *options) bench(ctx context.Context) error {
	if err := o.open(ctx); err != nil {
		return err
	}
	defer o.server.Close()
	tailers, err := o.tailers()
	if err != nil {
		return err
	}
	floor := o.server.Reader()
	o.contenders = append(tailers, serverReader(floor))
	workloads, err := o.plain(o.workloads)
	if err != nil {
		return err
	}
	var all report.File
	if err := o.run(ctx, workloads, func(r report.Run) error {
		if r.Wrong != "" {
			return fmt.Errorf("%s: %s: no figure", r.Contender, r.Wrong)
		}
		all.Runs = append(all.Runs, r)
		return nil
	}); err != nil {
		return err
	}
	var drains, steady []workload
	for _, wl := range workloads {
		if wl.rate > 0 {
			steady = append(steady, wl)
		} else {
			drains = append(drains, wl)
		}
	}
	if len(drains) > 0 {
		o.printDrains(all, drains, tailers, floor)
	}
	for _, wl := range steady {
		o.printLatencies(all, wl, tailers)
	}
	return nil
}

func (o *options) printDrains(all report.File, workloads []workload, tailers []contender, floor string) {
	fmt.Printf("drain of a backlog of events of about 250 bytes, %d partitions, %s, medians of %d rounds\n", o.partitions, o.source, o.rounds)
	fmt.Println("from when the log was read (in brackets: from the start of the process) to the last record's append time at the")
	fmt.Printf("broker, or to the end of %s; CPU is that of the process, its start included\n", floor)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "transactions\tevents\tdelivery\ttailer/s\t%s/s\tratio\tus/event\t%s\tserver\tbroker\tpeak RSS MiB\t\n", floor, floor)
	for _, wl := range workloads {
		below, _ := all.Of(wl.name, floor)
		for _, c := range tailers {
			runs, _ := all.Of(wl.name, c.name())
			both := func(column func(report.Column) string) string {
				return column(report.Rate) + " (" + column(report.Overall) + ")"
			}
			ratio := func(c report.Column) string {
				return fmt.Sprintf("%.2f", measure.Median(report.Ratios(runs, below, c)))
			}
			cells := []string{fmt.Sprintf("%d-row", wl.backlog.Rows), fmt.Sprint(wl.backlog.Events), delivery(c),
				both(func(c report.Column) string { return c.Median(runs) }), both(func(c report.Column) string { return c.Median(below) }), both(ratio),
				report.RelayCPU.Median(runs), report.RelayCPU.Median(below), report.ServerCPU.Median(runs), report.BrokerCPU.Median(runs),
				report.Memory.Median(runs)}
			fmt.Fprintln(t, strings.Join(cells, "\t")+"\t")
		}
	}
	t.Flush()
}

func delivery(c contender) string { return strings.TrimPrefix(c.name(), "tailer ") }

func (o *options) printLatencies(all report.File, wl workload, tailers []contender) {
	fmt.Printf("\nlatency from COMMIT sent to a read_committed consumer, %d one-row transactions/s for %v, %s, medians of %d rounds\n",
		wl.rate, o.duration, o.source, o.rounds)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	columns := report.Latencies()
	fmt.Fprint(t, "delivery\t")
	for _, c := range columns {
		fmt.Fprint(t, c.Title+"\t")
	}
	fmt.Fprintln(t)
	for _, c := range tailers {
		runs, _ := all.Of(wl.name, c.name())
		fmt.Fprint(t, delivery(c)+"\t")
		for _, column := range columns {
			fmt.Fprint(t, column.Median(runs)+"\t")
		}
		fmt.Fprintln(t)
	}
	t.Flush()
}

package report

import (
	"fmt"
	"strings"

	"github.com/tailer-io/tailer/e2e/bench/measure"
)

// workTable says what contenders did an event, beyond their start.
func (r *renderer) workTable(workloads []string) {
	columns := []Column{
		{"instructions", 0, func(r Run) float64 { return r.Work.Instructions }},
		{"system calls", 3, func(r Run) float64 { return r.Work.SystemCalls }},
		{"allocations", 3, func(r Run) float64 { return r.Work.Allocations }},
	}
	r.head(2, "contender", "workload", columns[0].Title, columns[1].Title, columns[2].Title)
	for _, w := range workloads {
		for _, name := range r.Contenders(w) {
			runs, _ := r.Of(w, name)
			start, _ := r.Of(strings.Replace(w, "work", "base", 1), name)
			cells := []string{name, about(w)}
			for _, c := range columns {
				whole, base := c.values(runs), c.values(start)
				if len(whole) == 0 || len(base) == 0 || runs[0].Events <= start[0].Events {
					cells = append(cells, "-")
					continue
				}
				n := float64(runs[0].Events - start[0].Events)
				cells = append(cells, c.format((measure.Median(whole)-measure.Median(base))/n))
			}
			r.row(cells...)
		}
	}
	r.WriteByte('\n')
}

func (r *renderer) growth() {
	r.para("# How cost grows, %s", r.server())
	r.facts(r.File, "make bench-growth SOURCE="+r.Source)
	r.foreign()
	for _, g := range []struct {
		name, title, text, below string
		columns                  []Column
	}{
		{"backlog", "With the backlog", "100-row transactions. Below 10,000 events there is no rate: it would be one of the clock.", "events",
			[]Column{Rate, First, RelayCPU, Memory}},
		{"topics", "With the topics", "100-row transactions, each event to another topic than the one before; 12 partitions each, 1,009 keys, which all come to all topics.", "topics",
			[]Column{Rate, RelayCPU, BrokerCPU, Memory}},
		{"keys", "With the keys", "100-row transactions.", "distinct keys", []Column{Rate, RelayCPU, Memory}},
	} {
		workloads := r.group(g.name)
		if len(workloads) < 2 {
			continue
		}
		r.para("## %s", g.title)
		r.para("%s", g.text)
		r.plot(g.name, g.title, r.lines(g.title+", "+r.server(), g.below, workloads, number, Rate, Memory))
		r.series(workloads, g.columns...)
	}
	if codecs := r.group("codec"); len(codecs) > 0 {
		r.para("## Compression")
		r.para("Payloads of words and numbers, about as compressible as JSON; the broker stores what it is sent.")
		r.series(codecs, Rate, RelayCPU, BrokerCPU, Stored, Memory)
	}
}

// series is a table with a line for each workload and contender.
func (r *renderer) series(workloads []string, columns ...Column) {
	titles := []string{"workload", "contender"}
	for _, c := range columns {
		titles = append(titles, c.Title)
	}
	r.head(2, titles...)
	for _, w := range workloads {
		for _, name := range r.Contenders(w) {
			runs, wrong := r.Of(w, name)
			cells := []string{about(w), name}
			for _, c := range columns {
				cells = append(cells, c.Spread(runs))
			}
			if len(runs) == 0 && len(wrong) > 0 {
				cells[1] += " (wrong: " + wrong[0].Wrong + ")"
			}
			r.row(cells...)
		}
	}
	r.WriteByte('\n')
}

// foreign says what a row of another table costs: the same outbox rows without and with 99 times as many others.
func (r *renderer) foreign() {
	var rows []string
	for _, size := range []string{"1", "100"} {
		alone, among := "foreign-"+size+"-0", "foreign-"+size+"-99"
		for _, name := range r.Contenders(among) {
			without, _ := r.Of(alone, name)
			with, _ := r.Of(among, name)
			if len(without) == 0 || len(with) == 0 {
				continue
			}
			// What is common to both, the start too, falls out.
			others := float64(with[0].Events) * 99
			per := func(c func(Run) float64) string {
				total := Column{Of: c}
				return fmt.Sprintf("%.3f", (measure.Median(total.values(with))-measure.Median(total.values(without)))*1e6/others)
			}
			rate := func(run Run) float64 { return run.Rate * 100 }
			rows = append(rows, fmt.Sprintf("| %s | %s-row | %s | %s | %s |", name, size,
				Column{Of: rate}.Spread(with), per(func(run Run) float64 { return run.CPU.Relay }), per(func(run Run) float64 { return run.CPU.Server })))
		}
	}
	if len(rows) == 0 {
		return
	}
	r.para("## With other traffic")
	r.para("One row in a hundred is of the outbox; the others are of a table that is nobody's outbox, each transaction of the one or " +
		"of the other. The cost of a row of the other table is what is spent more than with the same outbox rows alone.")
	r.head(2, "contender", "transactions", "rows/s of the log", "relay, CPU µs a foreign row", "server")
	for _, row := range rows {
		r.WriteString(row + "\n")
	}
	r.WriteByte('\n')
}

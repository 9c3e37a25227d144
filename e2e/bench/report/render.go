package report

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Render writes a page and its plots beside a file of runs. What was not measured does not appear.
func Render(name string) error {
	f, err := Read(name)
	if err != nil {
		return err
	}
	base := strings.TrimSuffix(name, filepath.Ext(name))
	r := &renderer{File: f, base: base}
	if strings.HasPrefix(filepath.Base(base), "growth-") {
		r.growth()
	} else {
		r.compare()
	}
	if r.err != nil {
		return r.err
	}
	return os.WriteFile(base+".md", []byte(strings.TrimRight(r.String(), "\n")+"\n"), 0o644)
}

type renderer struct {
	File
	page
	base string
	err  error
}

// plot writes a drawing beside the page and shows it there.
func (r *renderer) plot(name, title, drawing string) {
	if drawing == "" || r.err != nil {
		return
	}
	file := r.base + "-" + name + ".svg"
	r.err = os.WriteFile(file, []byte(drawing), 0o644)
	r.para("![%s](%s)", title, filepath.Base(file))
}

func (r *renderer) server() string {
	return map[string]string{"postgres": "PostgreSQL", "mysql": "MySQL", "mariadb": "MariaDB"}[r.Source]
}

// group are the workloads of a name that ends in a number, by that, or in a word.
func (r *renderer) group(name string) (list []string) {
	for _, w := range r.Workloads() {
		if prefix, _ := cut(w); prefix == name {
			list = append(list, w)
		}
	}
	slices.SortStableFunc(list, func(a, b string) int { return cmp.Compare(number(a), number(b)) })
	return list
}

// cut cuts a workload's name before its last part.
func cut(workload string) (name, last string) {
	i := strings.LastIndexByte(workload, '-')
	if i < 0 {
		return workload, ""
	}
	return workload[:i], workload[i+1:]
}

// number is the number at the end of a workload's name.
func number(workload string) float64 {
	_, last := cut(workload)
	n, _ := strconv.ParseFloat(last, 64)
	return n
}

func grouped(n float64) string { return Column{}.format(n) }

// about says in words what a workload is.
func about(workload string) string {
	name, last := cut(workload)
	n := grouped(number(workload))
	switch name {
	case "drain":
		return fmt.Sprintf("backlog in %s-row transactions", n)
	case "size":
		return fmt.Sprintf("payloads of %s bytes, 100-row transactions", n)
	case "steady":
		return fmt.Sprintf("%s one-row transactions a second", n)
	case "work":
		return fmt.Sprintf("%s-row transactions", n)
	case "backlog":
		return fmt.Sprintf("backlog of %s events", n)
	case "topics":
		return fmt.Sprintf("%s topics of 12 partitions", n)
	case "keys":
		return fmt.Sprintf("%s distinct keys", n)
	case "codec":
		return "compression: " + last
	}
	return workload
}

func (r *renderer) compare() {
	r.para("# tailer beside others, %s", r.server())
	r.facts(r.File, "make bench-compare SOURCE="+r.Source)
	if drains := append(r.group("drain"), r.group("size")...); len(drains) > 0 {
		r.para("## Draining a backlog")
		r.para("A rate goes from the moment that a contender reads the log to the time at which the broker appended the last " +
			"event; for the program that only reads, to its end; for the producer's test, from its first append. CPU is user and " +
			"system time an event, of the relay's process (for Debezium, of the Connect worker from when the connector was " +
			"resumed), of the database server and of the broker. A ratio is the median of the rounds' ratios with its 95 % bootstrap " +
			"interval; *shown* is the largest ratio that nine or more rounds prove: the median reaches it, and the interval excludes what " +
			"lies one tenth below it.")
		r.drains("throughput", r.group("drain"))
		r.drains("sizes", r.group("size"))
	}
	if steady := r.group("steady"); len(steady) > 0 {
		r.para("## From COMMIT to the consumer")
		r.para("From the moment at which a writer sends COMMIT to the message in the hand of a read_committed consumer; the dots of the " +
			"plot are p50, p99, p99.9 and the longest, medians of the rounds. *COMMIT alone* is until the server answers. 16 connections " +
			"write; where they do not reach the rate, the machine is full.")
		r.plot("latency", "latency", r.ranges("From COMMIT to a read_committed consumer, "+r.server(), steady, about))
		for _, w := range steady {
			r.para("### %s", about(w))
			r.table(r.File, w, Latencies()...)
		}
	}
	r.start()
	r.work()
}

// drains is a plot of rates, one of costs, and the tables of some workloads.
func (r *renderer) drains(name string, workloads []string) {
	if len(workloads) == 0 {
		return
	}
	var rates, spent []panel
	for _, w := range workloads {
		rates = append(rates, panel{about(w), r.barsOf(w, Rate)})
		spent = append(spent, panel{about(w), r.costsOf(w)})
	}
	r.plot(name, "events a second", bars("Events a second, "+r.server(), rates))
	r.plot(name+"-cpu", "CPU an event", bars("CPU, µs an event, "+r.server(), spent, costs[0].name, costs[0].color,
		costs[1].name, costs[1].color, costs[2].name, costs[2].color))
	for _, w := range workloads {
		r.para("### %s", about(w))
		r.table(r.File, w, throughput()...)
		r.ratios(r.File, w, Rate)
	}
}

func (r *renderer) start() {
	if len(r.Contenders("start")) == 0 {
		return
	}
	r.para("## From the start of the process to the first event")
	r.para("Ten events wait. For Debezium the Connect worker is started too, JVM and all, with a connector that has run before.")
	r.plot("start", "time to the first event", bars("Seconds from the start of the process to the first event, "+r.server(),
		[]panel{{"ten events wait", r.barsOf("start", First)}}))
	r.table(r.File, "start", First, Memory)
}

// work subtracts from a drain what the same contender does with ten events: that is its start.
func (r *renderer) work() {
	if len(r.group("work")) == 0 {
		return
	}
	r.para("## Work an event")
	r.para("Counted, so that no neighbour on the machine disturbs it: what the process did in a drain, less what it did in a drain of " +
		"ten events, by event. Instructions are those in user mode; allocations are objects.")
	r.workTable(r.group("work"))
}

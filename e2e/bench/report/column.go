package report

import (
	"fmt"
	"math"
	"slices"

	"github.com/tailer-io/tailer/e2e/bench/measure"
)

// Column is one figure of a run.
type Column struct {
	Title  string
	Digits int // behind the point
	Of     func(Run) float64
}

func each(total func(Run) float64) func(Run) float64 {
	return func(r Run) float64 { return total(r) * 1e6 / float64(r.Events) }
}

// The columns of tables.
var (
	Rate      = Column{"events/s", 0, func(r Run) float64 { return r.Rate }}
	Overall   = Column{"from its start", 0, func(r Run) float64 { return r.Overall }}
	First     = Column{"first event, s", 2, func(r Run) float64 { return r.First }}
	RelayCPU  = Column{"CPU µs/event", 2, each(func(r Run) float64 { return r.CPU.Relay })}
	ServerCPU = Column{"server", 2, each(func(r Run) float64 { return r.CPU.Server })}
	BrokerCPU = Column{"broker", 2, each(func(r Run) float64 { return r.CPU.Broker })}
	Memory    = Column{"peak RSS MiB", 0, func(r Run) float64 { return r.Memory / (1 << 20) }}
	Stored    = Column{"bytes/event stored", 0, func(r Run) float64 { return r.Stored }}
	P50       = Column{"p50 ms", 1, func(r Run) float64 { return r.Latency.P50 }}
	P99       = Column{"p99", 1, func(r Run) float64 { return r.Latency.P99 }}
	P999      = Column{"p99.9", 1, func(r Run) float64 { return r.Latency.P999 }}
	Max       = Column{"max", 1, func(r Run) float64 { return r.Latency.Max }}
	CommitP50 = Column{"COMMIT alone p50", 1, func(r Run) float64 { return r.Latency.CommitP50 }}
	CommitP99 = Column{"p99", 1, func(r Run) float64 { return r.Latency.CommitP99 }}
	Written   = Column{"written/s", 0, func(r Run) float64 { return r.Latency.Rate }}
)

// Latencies are the columns of a steady load.
func Latencies() []Column {
	return []Column{P50, P99, P999, Max, CommitP50, CommitP99, Written, RelayCPU, ServerCPU, BrokerCPU, Memory}
}

// throughput are those of a drain.
func throughput() []Column {
	return []Column{Rate, RelayCPU, ServerCPU, BrokerCPU, Memory}
}

// values are the figures of a column that were taken.
func (c Column) values(runs []Run) (values []float64) {
	for _, r := range runs {
		if v := c.Of(r); v != 0 && !math.IsInf(v, 0) && !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	return values
}

// Median is the median of a column, - where nothing was taken.
func (c Column) Median(runs []Run) string {
	values := c.values(runs)
	if len(values) == 0 {
		return "-"
	}
	return c.format(measure.Median(values))
}

// Spread is the median, and from where to where the rounds lie.
func (c Column) Spread(runs []Run) string {
	values := c.values(runs)
	if len(values) < 2 {
		return c.Median(runs)
	}
	return fmt.Sprintf("%s (%s–%s)", c.format(measure.Median(values)), c.format(slices.Min(values)), c.format(slices.Max(values)))
}

// format groups thousands of whole numbers.
func (c Column) format(v float64) string {
	s := fmt.Sprintf("%.*f", c.Digits, v)
	if c.Digits > 0 {
		return s
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Ratios are those of two contenders' figures on a workload, of each round that both have: they met the same
// backlog in the same minute.
func Ratios(of, to []Run, c Column) (ratios []float64) {
	for _, a := range of {
		for _, b := range to {
			if a.Round == b.Round && c.Of(b) != 0 {
				ratios = append(ratios, c.Of(a)/c.Of(b))
			}
		}
	}
	return ratios
}

// Package report keeps the figures of benchmark runs in a file and makes tables and plots of them.
package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
)

// Discarding is the contender that is tailer without a broker: it reads, maps, and throws away.
const Discarding = "tailer, discarding"

// Run is one contender on one workload in one round. Figures that were not taken are zero.
type Run struct {
	Workload  string `json:"workload"`
	Contender string `json:"contender"`
	Round     int    `json:"round"`
	// Wrong is what was wrong with what arrived; such a run has no figures.
	Wrong string `json:"wrong,omitempty"`

	Events  int `json:"events,omitempty"`
	Doubles int `json:"doubles,omitempty"` // of a contender that may double

	Rate    float64 `json:"rate,omitempty"`    // events/s, from the moment that it read the log to the last append
	Overall float64 `json:"overall,omitempty"` // events/s, from the start of the process
	First   float64 `json:"first,omitempty"`   // seconds from the start of the process to the first append
	CPU     CPU     `json:"cpu,omitzero"`
	Memory  float64 `json:"memory,omitempty"` // the most that was resident, bytes
	Stored  float64 `json:"stored,omitempty"` // bytes an event takes in the broker's log

	Latency Latency `json:"latency,omitzero"`
	Work    Work    `json:"work,omitzero"`
}

// CPU is user and system time, in seconds, of all of the run.
type CPU struct {
	Relay  float64 `json:"relay"`
	Server float64 `json:"server"`
	Broker float64 `json:"broker"`
}

// Latency is in milliseconds.
type Latency struct {
	P50  float64 `json:"p50"` // from COMMIT sent to the message in a consumer's hand
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
	// CommitP50 is from COMMIT sent to COMMIT answered.
	CommitP50 float64 `json:"commit_p50"`
	CommitP99 float64 `json:"commit_p99"`
	// Rate is how many commits a second the writers managed.
	Rate float64 `json:"rate"`
}

// Work is what was done in all of the run, its start included.
type Work struct {
	Instructions float64 `json:"instructions,omitempty"` // in user mode
	SystemCalls  float64 `json:"system_calls,omitempty"`
	Allocations  float64 `json:"allocations,omitempty"` // objects
	Switches     float64 `json:"switches,omitempty"`
}

// File is the first line of a file of runs: what they were taken with.
type File struct {
	Time     string    `json:"time"` // RFC 3339
	Source   string    `json:"source"`
	Versions []string  `json:"versions"`
	Machine  string    `json:"machine"`
	Settings []Setting `json:"settings"`
	Runs     []Run     `json:"-"` // a line each
}

// Setting is a line about how something was set.
type Setting struct {
	What string `json:"what"`
	How  string `json:"how"`
}

// Create begins a file.
func (f File) Create(name string) error {
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(b, '\n'), 0o644)
}

// Append adds a run to a file.
func Append(name string, r Run) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

// Read reads a file.
func Read(name string) (File, error) {
	var f File
	in, err := os.Open(name)
	if err != nil {
		return f, err
	}
	defer in.Close()
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for n := 0; lines.Scan(); n++ {
		var r Run
		var into any = &r
		if n == 0 {
			into = &f
		}
		if err := json.Unmarshal(lines.Bytes(), into); err != nil {
			return f, fmt.Errorf("%s:%d: %w", name, n+1, err)
		}
		if n > 0 {
			f.Runs = append(f.Runs, r)
		}
	}
	return f, lines.Err()
}

// Workloads are the names of the workloads, in the order of their first run.
func (f File) Workloads() []string { return f.names(func(r Run) string { return r.Workload }) }

// Contenders are the names of a workload's contenders, the same in every workload as in the first that has them.
func (f File) Contenders(workload string) []string {
	return slices.DeleteFunc(f.names(func(r Run) string { return r.Contender }), func(name string) bool {
		return !slices.ContainsFunc(f.Runs, func(r Run) bool { return r.Workload == workload && r.Contender == name })
	})
}

func (f File) names(of func(Run) string) (names []string) {
	for _, r := range f.Runs {
		if name := of(r); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Of are the runs of a contender on a workload that have figures, and those that were wrong.
func (f File) Of(workload, contender string) (right, wrong []Run) {
	for _, r := range f.Runs {
		switch {
		case r.Workload != workload || r.Contender != contender:
		case r.Wrong != "":
			wrong = append(wrong, r)
		default:
			right = append(right, r)
		}
	}
	return right, wrong
}

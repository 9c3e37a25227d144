// Package measure reads what processes cost from /proc and perf, and sums rounds up.
package measure

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ticks is USER_HZ, the same on every Linux that Go runs on.
const ticks = 100

// CPU is the user and system time of a process so far, in seconds, from fields 14 and 15 of /proc/PID/stat.
func CPU(pid int) (float64, error) {
	own, _, err := times(pid)
	return own, err
}

// times are the process's own time and that of its children that have ended and were waited for, in seconds.
func times(pid int) (own, children float64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	_, rest, ok := strings.Cut(string(b), ") ") // The name in front may hold anything.
	fields := strings.Fields(rest)
	if !ok || len(fields) < 15 {
		return 0, 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	var sums [2]float64
	for i := range 4 { // utime, stime, cutime, cstime
		n, err := strconv.ParseFloat(fields[11+i], 64)
		if err != nil {
			return 0, 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		sums[i/2] += n / ticks
	}
	return sums[0], sums[1], nil
}

// TreeCPU is CPU of a process with all that it started, whether they live or not: PostgreSQL works in children.
func TreeCPU(pid int) (float64, error) {
	for {
		own, ended, err := times(pid)
		if err != nil {
			return 0, err
		}
		sum := own + ended
		for _, child := range children(pid) {
			if n, err := TreeCPU(child); err == nil { // it may have ended just now
				sum += n
			}
		}
		// A child that ended meanwhile is in neither number, or in both.
		if _, now, err := times(pid); err != nil || now == ended {
			return sum, err
		}
	}
}

func children(pid int) (pids []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		b, err := os.ReadFile(list)
		if err != nil {
			continue
		}
		for _, field := range strings.Fields(string(b)) {
			if child, err := strconv.Atoi(field); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// Child is the only child of a process, 0 while it has none.
func Child(pid int) int {
	if pids := children(pid); len(pids) == 1 {
		return pids[0]
	}
	return 0
}

// ForgetPeak makes PeakMemory begin anew.
func ForgetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// PeakMemory is the most memory that a process had resident, in bytes; with what it started, each at its peak.
func PeakMemory(pid int) (float64, error) {
	kilobytes, err := statusField(fmt.Sprintf("/proc/%d/status", pid), "VmHWM:")
	if err != nil {
		return 0, err
	}
	sum := kilobytes * 1024
	for _, child := range children(pid) {
		if n, err := PeakMemory(child); err == nil {
			sum += n
		}
	}
	return sum, nil
}

// Switches is how often the kernel has taken a process's threads off the processor, by their will or not. Threads
// that ended are not in it.
func Switches(pid int) (sum float64, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) == 0 {
		return 0, fmt.Errorf("process %d has no threads: %w", pid, err)
	}
	for _, thread := range threads {
		for _, name := range []string{"voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"} {
			if n, err := statusField(thread, name); err == nil { // it may have ended just now
				sum += n
			}
		}
	}
	return sum, nil
}

// statusField is the number behind a name in a file like /proc/PID/status.
func statusField(file, name string) (float64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, name); ok {
			return strconv.ParseFloat(strings.Fields(v)[0], 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, name)
}

package measure

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// The events that perf counts. They do not depend on what else the machine does, as times do.
const (
	Instructions = "instructions:u"
	SystemCalls  = "raw_syscalls:sys_enter"
)

// Perf is a command line before which another's words are put: it counts, and writes what it counted to the file.
func Perf(file string) []string {
	return []string{"perf", "stat", "-x,", "-o", file, "-e", Instructions + "," + SystemCalls, "--"}
}

// PerfWorks tells whether this machine lets perf count.
func PerfWorks() error {
	f, err := os.CreateTemp("", "perf")
	if err != nil {
		return err
	}
	f.Close()
	defer os.Remove(f.Name())
	words := append(Perf(f.Name()), "true")
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("perf does not work here: %w: %s", err, bytes.TrimSpace(out))
	}
	_, err = PerfCounts(f.Name())
	return err
}

// PerfCounts reads what perf wrote. A virtual machine without performance counters has no instructions.
func PerfCounts(file string) (map[string]float64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	counts := map[string]float64{}
	for line := range strings.Lines(string(b)) {
		fields := strings.Split(line, ",")
		if len(fields) < 3 {
			continue
		}
		if n, err := strconv.ParseFloat(fields[0], 64); err == nil {
			counts[fields[2]] = n
		}
	}
	if _, ok := counts[SystemCalls]; !ok {
		return nil, fmt.Errorf("perf did not count %s: %s", SystemCalls, bytes.TrimSpace(b))
	}
	return counts, nil
}

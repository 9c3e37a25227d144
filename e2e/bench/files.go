package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// beyond says why a workload is more than the broker can take, "" if it is not. A broker without a file descriptor
// left stops, and takes everything that comes after with it.
func (o *options) beyond(wl workload) string {
	if o.brokerPID == 0 {
		return ""
	}
	// One for each partition, more for a moment when it is made, those of topics deleted a moment ago, and its own.
	need := wl.backlog.Kinds*wl.partitions*3/2 + 1000
	have, err := files(o.brokerPID)
	if err != nil || have >= need {
		return ""
	}
	// As root the limit can be raised.
	exec.Command("prlimit", "--pid", strconv.Itoa(o.brokerPID), fmt.Sprintf("--nofile=%d:%[1]d", need)).Run()
	if have, err = files(o.brokerPID); err == nil && have < need {
		return fmt.Sprintf("the broker may open %d files and would want %d", have, need)
	}
	return ""
}

// files is how many files a process may open.
func files(pid int) (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), "Max open files")
	var n int
	_, err = fmt.Sscan(rest, &n)
	return n, err
}

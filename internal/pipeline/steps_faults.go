//go:build faults

package pipeline

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// crashAt and crashLeft come from FAULT_CRASH_AT=STEP[:N]: the N-th time the
// step is reached the process kills itself, with no chance to clean up.
var (
	crashAt   Step
	crashLeft atomic.Int64
)

func init() {
	at, n, counted := strings.Cut(os.Getenv("FAULT_CRASH_AT"), ":")
	crashAt = Step(at)
	crashLeft.Store(1)
	if counted {
		left, err := strconv.ParseInt(n, 10, 64)
		if err != nil {
			fmt.Fprintln(os.Stderr, "FAULT_CRASH_AT:", err)
			os.Exit(2)
		}
		crashLeft.Store(left)
	}
}

func reached(s Step) {
	if s == crashAt && crashLeft.Add(-1) == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}
}

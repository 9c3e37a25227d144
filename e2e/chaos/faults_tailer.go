package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tailer-io/tailer/e2e/harness"
)

const sigabrt = -int(syscall.SIGABRT)

var tailerFaults = []Fault{
	{Name: "kill -9", Layer: Tailer, Expect: "the next start goes on", Short: true,
		Do: func(w *World) func() {
			p := w.active()
			p.Kill()
			w.pause(0, time.Second)
			w.replace(p)
			return nil
		}},
	{Name: "SIGTERM", Layer: Tailer, Expect: "ends with 0; the next start goes on", Short: true,
		Do: func(w *World) func() {
			p := w.active()
			p.Signal(syscall.SIGTERM)
			p.Want(0, 30*time.Second)
			w.pause(0, time.Second)
			w.replace(p)
			return nil
		}},
	{Name: "SIGSTOP", Layer: Tailer, Expect: "goes on", Min: 100 * time.Millisecond, Max: 3 * time.Second, Short: true,
		Do: frozen},
	{Name: "SIGSTOP beyond the transaction time-out", Layer: Tailer, Expect: "goes on behind what the coordinator aborted", Alone: true,
		Do: func(w *World) func() {
			p := w.active()
			w.outlast(func() { p.Signal(syscall.SIGSTOP) }, func() { p.Signal(syscall.SIGCONT) })
			return func() { p.Signal(syscall.SIGCONT) }
		}},
	{Name: "out of file descriptors", Layer: Tailer, Expect: "goes on once there are some", Min: time.Second, Max: 5 * time.Second,
		Ends: []int{1}, Do: func(w *World) func() {
			p := w.active()
			back := limit(w, p, "nofile", 3)
			w.source.Cut() // What is open already needs no more of them.
			w.each((*Wire).Cut)
			return back
		}},
	{Name: "memory limit", Layer: Tailer, Expect: "goes on, or is aborted and started again", Min: 3 * time.Second, Max: 6 * time.Second,
		Ends: []int{1, sigabrt}, Do: func(w *World) func() {
			// One that has just begun has its memory still to get, while the load's largest transaction comes.
			p := w.active()
			i := slices.Index(w.crew, p)
			p.Kill()
			p = w.tailer()
			w.crew[i] = p
			w.Wait("it answers", time.Minute, func() (bool, string) { s := p.State(); return s != "", s })
			return limit(w, p, "data", dataSize(w, p)+w.random.Intn(4<<20))
		}},
	{Name: "three instances, the active one killed", Layer: Tailer, Expect: "another takes over", Max: time.Second, Alone: true,
		Do: func(w *World) func() {
			w.three()
			p := w.active()
			p.Kill()
			return func() { w.replace(p) }
		}},
	{Name: "two instances, the active one paused", Layer: Tailer, Expect: "the other takes over and fences it", Through: true, Alone: true,
		Do: func(w *World) func() {
			w.two()
			p := w.active()
			p.Signal(syscall.SIGSTOP)
			return func() { p.Signal(syscall.SIGCONT) }
		}},
	{Name: "three instances started at once", Layer: Tailer, Expect: "one becomes active", Max: 2 * time.Second, Alone: true,
		Do: func(w *World) func() {
			w.three()
			for _, p := range w.crew {
				p.Kill()
			}
			for i := range w.crew {
				w.crew[i] = w.tailer()
			}
			return w.oneActive
		}},
}

// frozen stops a tailer's process for a while.
func frozen(w *World) func() {
	p := w.active()
	p.Signal(syscall.SIGSTOP)
	return func() { p.Signal(syscall.SIGCONT) }
}

func (w *World) two()   { w.atLeast(2) }
func (w *World) three() { w.atLeast(3) }

// atLeast adds tailers, and waits until they stand by.
func (w *World) atLeast(n int) {
	w.Helper()
	for len(w.crew) < n {
		w.crew = append(w.crew, w.tailer())
	}
	w.Wait("one is active and the others stand by", time.Minute, func() (bool, string) {
		w.tend()
		states, standing := []string{}, 0
		for _, p := range w.crew {
			s := p.State()
			states = append(states, s)
			if s == "standby" {
				standing++
			}
		}
		return standing == len(w.crew)-1, strings.Join(states, ", ")
	})
}

// oneActive demands that of all tailers one is active.
func (w *World) oneActive() {
	w.Helper()
	w.Wait("one is active", time.Minute, func() (bool, string) {
		w.tend()
		active := 0
		for _, p := range w.crew {
			if p.Metric("active") == 1 {
				active++
			}
		}
		return active == 1, fmt.Sprint(active, " are active")
	})
}

// dataSize is the size of a process's private memory, of which some was never touched, in bytes.
func dataSize(w *World, p *harness.Tailer) int {
	w.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		w.Fatal(err)
	}
	_, line, _ := strings.Cut(string(text), "VmData:")
	var kb int
	if _, err := fmt.Sscan(line, &kb); err != nil {
		w.Fatalf("VmData: %v", err)
	}
	return kb << 10
}

// limit lowers a limit of a running process, and returns what lifts it again.
func limit(w *World, p *harness.Tailer, resource string, n int) (back func()) {
	w.Helper()
	set := func(value string) error {
		out, err := exec.Command("prlimit", fmt.Sprint("--pid=", p.PID()), "--"+resource+"="+value).CombinedOutput()
		if err != nil {
			return fmt.Errorf("prlimit: %w: %s", err, out)
		}
		return nil
	}
	if err := set(fmt.Sprint(n, ":")); err != nil { // the soft limit
		w.Fatal(err)
	}
	return func() {
		soft := map[string]string{"nofile": "1024:", "data": "unlimited:"}[resource]
		if err := set(soft); err != nil && p.Running() {
			w.Fatal(err)
		}
	}
}

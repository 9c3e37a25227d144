package harness

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// output collects what a process writes while it runs.
type output struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// Process is a running or ended tailer.
type Process struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdout output
	stderr output
	done   chan struct{} // closed when the process is gone
	code   int           // exit status, or minus the signal that ended it; valid once done
}

// Exec starts a binary with exactly these arguments; env is added to an environment without any TAILER_
// variable. The process ends with the test at the latest.
func Exec(t testing.TB, binary string, env []string, args ...string) *Process {
	t.Helper()
	return ExecTo(t, nil, binary, env, args...)
}

// ExecTo is Exec with standard output going to a file; nil collects it.
func ExecTo(t testing.TB, stdout *os.File, binary string, env []string, args ...string) *Process {
	t.Helper()
	p := &Process{t: t, cmd: exec.Command(binary, args...), done: make(chan struct{})}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "TAILER_") && !strings.HasPrefix(v, "FAULT_") {
			p.cmd.Env = append(p.cmd.Env, v)
		}
	}
	p.cmd.Env = append(p.cmd.Env, env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if stdout != nil {
		p.cmd.Stdout = stdout
	}
	p.cmd.Dir = t.TempDir()
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", binary, err)
	}
	go func() {
		defer close(p.done)
		err := p.cmd.Wait()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			p.code = exit.ExitCode()
			if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
				p.code = -int(ws.Signal())
			}
		}
	}()
	t.Cleanup(func() { p.Kill() })
	return p
}

// Binary is the tailer under test.
func Binary(t testing.TB) string { t.Helper(); return Env(t, "E2E_TAILER") }

// Faulty is the tailer that kills itself at the step that FAULT_CRASH_AT names.
func Faulty(t testing.TB) string { t.Helper(); return Env(t, "E2E_TAILER_FAULTS") }

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Stdout is everything written to standard output so far.
func (p *Process) Stdout() string { return p.stdout.String() }

// Stderr is everything written to standard error so far.
func (p *Process) Stderr() string { return p.stderr.String() }

// Running reports whether the process is still there.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Signal sends a signal; a process that is already gone is not an error.
func (p *Process) Signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("signal %v: %v", sig, err)
	}
}

// Kill is kill -9, and waits until the process is gone.
func (p *Process) Kill() {
	p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.done
}

// Exit waits until the process has ended and returns its status: the exit code, or minus the signal.
func (p *Process) Exit(within time.Duration) int {
	p.t.Helper()
	if !p.Running() {
		return p.code // whatever the time: select would toss a coin
	}
	select {
	case <-p.done:
		return p.code
	case <-time.After(within):
		// A Go program asked to quit prints where every goroutine stands, which is what one wants to know.
		p.Signal(syscall.SIGQUIT)
		select {
		case <-p.done:
		case <-time.After(5 * time.Second):
			p.Kill()
		}
		p.t.Fatalf("tailer %s did not end within %v\n%s", strings.Join(p.cmd.Args[1:], " "), within, tail(p.Stderr(), 150))
		return 0
	}
}

// Want waits for the end and demands an exit status.
func (p *Process) Want(code int, within time.Duration) {
	p.t.Helper()
	if got := p.Exit(within); got != code {
		p.t.Fatalf("tailer %s ended with %s, wanted %s\nstdout: %s\nstderr: %s", strings.Join(p.cmd.Args[1:], " "),
			status(got), status(code), tail(p.Stdout(), 20), tail(p.Stderr(), 60))
	}
}

func status(code int) string {
	if code < 0 {
		return fmt.Sprintf("signal %v", syscall.Signal(-code))
	}
	return fmt.Sprintf("status %d", code)
}

// tail is the last n lines of a text.
func tail(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	if len(lines) > n {
		lines = append([]string{fmt.Sprintf("(%d lines before)", len(lines)-n)}, lines[len(lines)-n:]...)
	}
	return strings.Join(lines, "\n")
}

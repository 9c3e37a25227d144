// Package relay starts and stops what carries rows from a database to Kafka: tailer, Debezium in Kafka Connect, and
// whatever a person runs and gives as a command. The programs that are no relays and only say what would be possible
// are not here.
package relay

import (
	"context"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"github.com/tailer-io/tailer/e2e/bench/measure"
	"github.com/tailer-io/tailer/e2e/bench/source"
)

// World is what a relay has to carry and where to.
type World struct {
	Kind     string // of the server: postgres, mysql, mariadb
	Database source.Database
	Brokers  string
	Flags    []string // for tailer, of the workload
}

// Relay is a contender. It carries the outbox of a world to the topics outbox.event.KIND, with the key and the
// header id of the usual format.
type Relay interface {
	// Name is what tables call it.
	Name() string
	// ExactlyOnce says that a double is an error.
	ExactlyOnce() bool
	// Reset makes it forget this world, before its first start there; it does not run.
	Reset(ctx context.Context, w World) error
	// Start starts it, or lets it go on from where it was stopped.
	Start(ctx context.Context, w World, how How) (Instance, error)
	// Forget removes what it keeps of this world.
	Forget(ctx context.Context, w World) error
	// Close ends what it kept running between its starts.
	Close()
}

// How is how to start.
type How struct {
	Cold bool   // as after a boot of the machine: what is kept running between starts is started too
	Perf string // a file for what perf counts, "" for not counting
}

// Instance is a running relay.
type Instance interface {
	// Process is what is measured.
	Process() measure.Process
	// Begun is when it was told to start, Used the CPU that the process had used by then, in seconds.
	Begun() time.Time
	Used() float64
	// Failed is why it will carry nothing more; nil while it may.
	Failed() error
	// Allocations is how many objects it has allocated; ok is false where nobody can tell.
	Allocations() (n float64, ok bool)
	// Stop ends it in order.
	Stop() error
	// Kill ends it at once; after Stop it does nothing.
	Kill()
}

// child is a process that was started to relay.
type child struct {
	cmd   *exec.Cmd
	begun time.Time
	done  chan struct{}
	err   error // valid once done
	tree  bool
	perf  bool // the process is perf and the relay its child
}

// spawn starts a process in a group of its own.
func spawn(cmd *exec.Cmd, tree, perf bool) (*child, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c := &child{cmd: cmd, begun: time.Now(), done: make(chan struct{}), tree: tree, perf: perf}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		c.err = cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

func (c *child) Process() measure.Process {
	pid := c.cmd.Process.Pid
	if c.perf {
		pid = c.target()
	}
	return measure.Process{PID: pid, Tree: c.tree}
}

// target waits until perf has started its child.
func (c *child) target() int {
	for range 1000 {
		if pid := measure.Child(c.cmd.Process.Pid); pid != 0 {
			return pid
		}
		time.Sleep(time.Millisecond)
	}
	return c.cmd.Process.Pid
}

func (c *child) Begun() time.Time             { return c.begun }
func (c *child) Used() float64                { return 0 }
func (c *child) Allocations() (float64, bool) { return 0, false }

func (c *child) Failed() error {
	select {
	case <-c.done:
		return fmt.Errorf("it ended: %v", c.err)
	default:
		return nil
	}
}

// Stop sends SIGTERM to the relay, or to all of the group.
func (c *child) Stop() error {
	pid := c.Process().PID
	if c.tree {
		pid = -c.cmd.Process.Pid
	}
	syscall.Kill(pid, syscall.SIGTERM)
	select {
	case <-c.done:
	case <-time.After(30 * time.Second):
		c.Kill()
		return fmt.Errorf("%s did not stop within 30 s", c.cmd.Path)
	}
	if c.tree {
		return nil // what a shell returns after SIGTERM says nothing
	}
	return c.err
}

func (c *child) Kill() {
	select {
	case <-c.done: // the number may be somebody else's by now
		return
	default:
	}
	syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	<-c.done
}

package relay

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// Command is a relay that somebody gave as a command for the shell. It runs in the foreground until SIGTERM, and
// begins where it was stopped. ResetCommand runs once in each world, before the first start, and makes it forget.
//
// Both find in their environment: BENCH_SOURCE (postgres, mysql, mariadb), BENCH_SOURCE_URL, BENCH_HOST, BENCH_PORT,
// BENCH_USER, BENCH_PASSWORD, BENCH_DATABASE, BENCH_BROKERS, and BENCH_NAME, which is new in each world.
type Command struct {
	Label        string
	Command      string
	ResetCommand string
	Stderr       io.Writer
}

const prefix = "BENCH_RELAY_"

// Commands are the relays of an environment: BENCH_RELAY_NAME holds the command, BENCH_RELAY_NAME_RESET how to reset it.
func Commands(environ []string, stderr io.Writer) []*Command {
	var list []*Command
	for _, variable := range environ {
		name, command, _ := strings.Cut(variable, "=")
		label, ours := strings.CutPrefix(name, prefix)
		if !ours || strings.HasSuffix(label, "_RESET") || command == "" {
			continue
		}
		r := &Command{Label: strings.ToLower(strings.ReplaceAll(label, "_", "-")), Command: command, Stderr: stderr}
		for _, other := range environ {
			if v, ok := strings.CutPrefix(other, name+"_RESET="); ok {
				r.ResetCommand = v
			}
		}
		list = append(list, r)
	}
	return list
}

// Name implements Relay.
func (r *Command) Name() string { return r.Label }

// ExactlyOnce implements Relay.
func (r *Command) ExactlyOnce() bool { return false }

func (r *Command) shell(command string, w World) *exec.Cmd {
	a := w.Database.Address()
	cmd := exec.Command("sh", "-c", command)
	cmd.Env = append(os.Environ(), "BENCH_SOURCE="+w.Kind, "BENCH_SOURCE_URL="+w.Database.URL(), "BENCH_HOST="+a.Host,
		"BENCH_PORT="+a.Port, "BENCH_USER="+a.User, "BENCH_PASSWORD="+a.Password, "BENCH_DATABASE="+a.Database,
		"BENCH_BROKERS="+w.Brokers, "BENCH_NAME="+w.Database.Name()+"_"+r.Label)
	cmd.Stderr = r.Stderr
	return cmd
}

// Reset implements Relay.
func (r *Command) Reset(_ context.Context, w World) error {
	if r.ResetCommand == "" {
		return nil
	}
	if err := r.shell(r.ResetCommand, w).Run(); err != nil {
		return fmt.Errorf("reset %s: %w", r.Label, err)
	}
	return nil
}

// Start implements Relay. perf would count the shell with it, so it counts nothing.
func (r *Command) Start(_ context.Context, w World, _ How) (Instance, error) {
	return spawn(r.shell(r.Command, w), true, false)
}

// Forget implements Relay.
func (r *Command) Forget(ctx context.Context, w World) error { return r.Reset(ctx, w) }

// Close implements Relay.
func (r *Command) Close() {}

package relay

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/tailer-io/tailer/e2e/bench/measure"
)

// Tailer is tailer with one kind of delivery.
type Tailer struct {
	Binary   string
	Delivery string   // exactly-once or at-least-once
	Flags    []string // more of them
	Stderr   io.Writer

	// Where they are not empty, they are what is special: what tables call it, what is set in the source's URL, a
	// listener to use instead of the world's.
	Special, Parameter, Brokers string
}

// Name implements Relay.
func (r *Tailer) Name() string {
	if r.Special != "" {
		return "tailer, " + r.Special
	}
	return "tailer " + r.Delivery
}

// ExactlyOnce implements Relay.
func (r *Tailer) ExactlyOnce() bool { return r.Delivery == "exactly-once" }

// instance is its --name; underscores as in the slot and publication that are derived from it.
func (r *Tailer) instance(w World) string {
	return w.Database.Name() + "_" + strings.ToLower(strings.NewReplacer("-", "_", " ", "_", ",", "").Replace(r.Name()))
}

// Reset implements Relay: each world is new to it.
func (r *Tailer) Reset(context.Context, World) error { return nil }

// Start implements Relay.
func (r *Tailer) Start(_ context.Context, w World, how How) (Instance, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	l.Close()
	words := []string{r.Binary}
	if how.Perf != "" {
		words = append(measure.Perf(how.Perf), r.Binary)
	}
	source, brokers := w.Database.URL(), w.Brokers
	if name, value, ok := strings.Cut(r.Parameter, "="); ok {
		u, err := url.Parse(source)
		if err != nil {
			return nil, err
		}
		q := u.Query()
		q.Set(name, value)
		u.RawQuery = q.Encode()
		source = u.String()
	}
	if r.Brokers != "" {
		brokers = r.Brokers
	}
	words = append(words, "run", "--name="+r.instance(w), "--source-url="+source, "--kafka-brokers="+brokers,
		"--http-addr="+addr, "--delivery="+r.Delivery, "--snapshot=never", "--checkpoint-topic="+r.checkpoint(w))
	words = append(append(words, r.Flags...), w.Flags...)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stderr = r.Stderr
	c, err := spawn(cmd, false, how.Perf != "")
	if err != nil {
		return nil, err
	}
	return &running{child: c, addr: addr}, nil
}

func (r *Tailer) checkpoint(w World) string { return "tailer-checkpoint." + r.instance(w) }

// Topics are those that it keeps for itself.
func (r *Tailer) Topics(w World) []string { return []string{r.checkpoint(w)} }

// Forget implements Relay: the slot goes with the database, the topic with the topics of the world.
func (r *Tailer) Forget(context.Context, World) error { return nil }

// Close implements Relay.
func (r *Tailer) Close() {}

// running is a tailer, which says more about itself than others.
type running struct {
	*child
	addr string
}

// Allocations implements Instance.
func (r *running) Allocations() (float64, bool) {
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get("http://" + r.addr + "/metrics")
	if err != nil {
		return 0, false
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "go_memstats_mallocs_total "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			return n, err == nil
		}
	}
	return 0, false
}

// Version is what the binary calls itself.
func (r *Tailer) Version() (string, error) {
	out, err := exec.Command(r.Binary, "version").Output()
	if err != nil {
		return "", fmt.Errorf("%s version: %w", r.Binary, err)
	}
	return strings.TrimSpace(string(out)), nil
}

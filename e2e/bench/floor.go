package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailer-io/tailer/e2e/bench/measure"
	"github.com/tailer-io/tailer/e2e/bench/report"
	"github.com/tailer-io/tailer/e2e/bench/verify"
)

// reader reads a backlog and throws it away. The server's own program does nothing else: less than that no relay can do.
// tailer itself without a broker says what publishing costs in rate.
type reader struct {
	label   string
	ready   func(context.Context, *world) error              // fixes the place from which it will read
	command func(context.Context, *world) (*exec.Cmd, error) // reads from there to the end and ends
	clean   func(*world) error
}

// serverReader is the server's own.
func serverReader(program string) *reader {
	return &reader{program,
		func(ctx context.Context, w *world) error { return w.db.PrepareReader(ctx) },
		func(ctx context.Context, w *world) (*exec.Cmd, error) { return w.db.ReaderCommand(ctx) },
		func(*world) error { return nil }}
}

// tailerReader is tailer that prints its messages to nowhere.
func tailerReader(binary, flags string) *reader {
	file := func(w *world) string { return filepath.Join(os.TempDir(), w.db.Name()+".checkpoint") }
	command := func(ctx context.Context, w *world) (*exec.Cmd, error) {
		words := append([]string{"run", "--name=" + w.db.Name() + "_discarding", "--source-url=" + w.db.URL(), "--sink=stdout", "--http-addr=",
			"--until=now", "--snapshot=never", "--checkpoint-file=" + file(w)}, strings.Fields(flags)...)
		return exec.CommandContext(ctx, binary, words...), nil
	}
	return &reader{report.Discarding,
		func(ctx context.Context, w *world) error {
			cmd, err := command(ctx, w)
			if err != nil {
				return err
			}
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s", err, lastLines(out, 5))
			}
			return nil
		},
		command,
		func(w *world) error { return os.Remove(file(w)) }}
}

func (r *reader) name() string { return r.label }
func (r *reader) takes(wl workload) bool {
	return wl.rate == 0 && !wl.cold && (wl.perf || wl.backlog.Events >= fewest)
}
func (r *reader) prepare(ctx context.Context, w *world) error { return r.ready(ctx, w) }
func (r *reader) forget(_ context.Context, w *world) error    { return r.clean(w) }
func (r *reader) close()                                      {}

func (r *reader) run(ctx context.Context, w *world) (run report.Run, err error) {
	cmd, err := r.command(ctx, w)
	if err != nil {
		return run, err
	}
	perf, err := w.workload.perfFile()
	if err != nil {
		return run, err
	}
	defer os.Remove(perf)
	if perf != "" {
		words := append(measure.Perf(perf), cmd.Args...)
		wrapped := exec.CommandContext(ctx, words[0], words[1:]...)
		wrapped.Env, cmd = cmd.Env, wrapped
	}
	var out bytes.Buffer
	cmd.Stderr = &out
	watching, stop := context.WithCancel(ctx)
	defer stop()
	streaming := w.db.Streaming(watching)
	server := measure.Process{PID: w.o.server.PID(), Tree: w.o.server.Kind() == "postgres"}
	before := server.CPU()
	begun := time.Now()
	if err := cmd.Run(); err != nil {
		return run, fmt.Errorf("%s: %w: %s", r.label, err, lastLines(out.Bytes(), 5))
	}
	done := time.Now()
	run.Events = w.backlog.Events
	run.CPU.Relay = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	run.CPU.Server = server.CPU() - before
	if perf != "" {
		return run, counted(&run, perf) // its resource usage is perf's own
	}
	n := float64(w.backlog.Events)
	select {
	case at := <-streaming:
		run.Rate = n / done.Sub(at).Seconds()
	case <-time.After(time.Second):
		return run, fmt.Errorf("%s ended before it was seen reading: a larger backlog is needed", r.label)
	}
	run.Overall = n / done.Sub(begun).Seconds()
	return run, nil
}

// producer is Kafka's own producer-perf-test: records of the same size, without a database.
type producer struct{ java, classPath string }

func (p producer) name() string                          { return "kafka-producer-perf-test" }
func (p producer) prepare(context.Context, *world) error { return nil }
func (p producer) forget(context.Context, *world) error  { return nil }
func (p producer) close()                                {}
func (p producer) takes(wl workload) bool {
	return wl.rate == 0 && !wl.cold && !wl.perf && wl.backlog.Kinds == 1 && len(wl.flags) == 0 && wl.backlog.Events >= fewest
}

func (p producer) run(ctx context.Context, w *world) (run report.Run, err error) {
	// As long as the message: value, key, and the header id with its name.
	size := w.backlog.Size + len(w.backlog.Key(w.backlog.Keys-1)) + len("id") + 36
	n := w.backlog.Events
	cmd := exec.CommandContext(ctx, p.java, "-Xmx512M", "-cp", p.classPath, "org.apache.kafka.tools.ProducerPerformance",
		"--topic", w.topics[0], "--num-records", strconv.Itoa(n), "--record-size", strconv.Itoa(size), "--throughput", "-1",
		"--producer-props", "bootstrap.servers="+w.o.brokers, "acks=all")
	broker := measure.Process{PID: w.o.brokerPID}
	before := broker.CPU()
	begun := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return run, fmt.Errorf("%s: %w: %s", p.name(), err, lastLines(out, 5))
	}
	run.CPU.Broker = broker.CPU() - before
	var got int
	var first, last time.Time
	if err := verify.Read(ctx, w.o.brokers, w.topics, func(r *kgo.Record) {
		if len(r.Headers) > 0 {
			return // not its own
		}
		if got == 0 || r.Timestamp.Before(first) {
			first = r.Timestamp
		}
		if r.Timestamp.After(last) {
			last = r.Timestamp
		}
		got++
	}); err != nil {
		return run, err
	}
	if got != n {
		return report.Run{Wrong: fmt.Sprintf("%d of %d records", got, n)}, nil
	}
	run.Events = n
	run.Rate, run.Overall = float64(n)/last.Sub(first).Seconds(), float64(n)/last.Sub(begun).Seconds()
	return run, nil
}

func lastLines(out []byte, n int) string {
	var lines []string
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		lines = append(lines, s.Text())
	}
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

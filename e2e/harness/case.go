package harness

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
)

// Case is one test's world: a database, a name, topics that nobody else writes to.
type Case struct {
	testing.TB
	ID    string // tailer's --name
	Type  string // the aggregatetype, or its beginning: topics are outbox.event.<Type>...
	Kafka *Kafka
	DB    Database
	Omit  []string // flags that tailers are not given: told by file or environment, or not at all

	tailers []*Tailer
	sampler *check.Sampler
	told    bool // the tailers' logs are in the test's
}

// New makes the world; everything in it is removed when the test ends.
func New(t testing.TB, server Server) *Case {
	t.Helper()
	return With(t, server.NewDatabase(t))
}

// With makes the world around a database that is already there.
func With(t testing.TB, db Database) *Case {
	t.Helper()
	kafka := NewKafka(t)
	id := Unique()
	c := &Case{TB: t, ID: "e2e-" + id, Type: "T" + id, Kafka: kafka, DB: db}
	t.Cleanup(func() {
		if t.Failed() && !c.told {
			t.Log(c.diagnose())
		}
		for _, p := range c.tailers {
			p.Kill()
		}
		kafka.Delete(t, kafka.Topics(t, id)...)
	})
	return c
}

// Topic is the topic of an aggregate type.
func Topic(aggregateType string) string { return "outbox.event." + aggregateType }

// Checkpoint is the name of the checkpoint topic.
func (c *Case) Checkpoint() string { return "tailer-checkpoint." + c.ID }

// Topics are the topics that carry the case's messages now.
func (c *Case) Topics() []string {
	c.Helper()
	return c.Kafka.Topics(c, Topic(c.Type))
}

// Flags are what every tailer of this case is given; a flag in args replaces its namesake.
func (c *Case) Flags(args ...string) []string {
	given := map[string]bool{}
	for _, a := range append(args, c.Omit...) {
		name, _, _ := strings.Cut(a, "=")
		given[name] = true
	}
	var flags []string
	for _, d := range []string{"--name=" + c.ID, "--source-url=" + c.DB.URL(), "--kafka-brokers=" + c.Kafka.Brokers} {
		if name, _, _ := strings.Cut(d, "="); !given[name] {
			flags = append(flags, d)
		}
	}
	return append(flags, args...)
}

// Run starts `tailer run` and does not wait for anything. Arguments have the form --name=value.
func (c *Case) Run(args ...string) *Tailer {
	c.Helper()
	return c.RunBinary(Binary(c), nil, args...)
}

// RunBinary is Run with another binary and environment.
func (c *Case) RunBinary(binary string, env []string, args ...string) *Tailer {
	c.Helper()
	return c.run(nil, binary, env, args)
}

// RunTo is Run with standard output going to a file.
func (c *Case) RunTo(stdout *os.File, args ...string) *Tailer {
	c.Helper()
	return c.run(stdout, Binary(c), nil, args)
}

func (c *Case) run(stdout *os.File, binary string, env, args []string) *Tailer {
	c.Helper()
	addr := fmt.Sprintf("127.0.0.1:%d", FreePort(c))
	args = append([]string{"run"}, c.Flags(append(args, "--http-addr="+addr)...)...)
	p := &Tailer{Process: ExecTo(c, stdout, binary, env, args...), addr: addr}
	c.tailers = append(c.tailers, p)
	return p
}

// CrashAt starts a tailer that kills itself at a step, the n-th time it comes there.
func (c *Case) CrashAt(step string, n int, args ...string) *Tailer {
	c.Helper()
	return c.RunBinary(Faulty(c), []string{fmt.Sprintf("FAULT_CRASH_AT=%s:%d", step, n)}, args...)
}

// Start starts `tailer run` and waits until it is ready.
func (c *Case) Start(args ...string) *Tailer {
	c.Helper()
	p := c.Run(args...)
	c.Ready(p)
	return p
}

// Ready waits until a tailer says that it is ready and streams.
func (c *Case) Ready(p *Tailer) {
	c.Helper()
	c.Wait("tailer is ready", 30*time.Second, func() (bool, string) {
		if !p.Running() {
			c.Fatalf("tailer ended with %s before it was ready\n%s", status(p.Exit(0)), c.diagnose())
		}
		code, body := p.Get("/readyz")
		state := p.State()
		return code == 200 && (state == "streaming" || state == "caught_up"), fmt.Sprint(code, " ", body, " ", state)
	})
}

// Do runs a short tailer command to its end and demands an exit status.
func (c *Case) Do(code int, command string, args ...string) *Process {
	c.Helper()
	p := Exec(c, Binary(c), nil, append(strings.Fields(command), args...)...)
	p.Want(code, 30*time.Second)
	return p
}

// Wait polls until the condition holds; when it does not come in time, the test ends with what was last seen and
// with the log of every tailer.
func (c *Case) Wait(what string, within time.Duration, condition func() (ok bool, seen string)) {
	c.Helper()
	deadline := time.Now().Add(within)
	pause := 5 * time.Millisecond
	for {
		ok, seen := condition()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			c.Fatalf("after %v still not: %s; last seen: %s\n%s", within, what, seen, c.diagnose())
		}
		time.Sleep(pause)
		pause = min(2*pause, 100*time.Millisecond)
	}
}

// Holds polls for the whole time and demands that the condition never breaks: for things that must not happen.
func (c *Case) Holds(what string, during time.Duration, condition func() (ok bool, seen string)) {
	c.Helper()
	for deadline := time.Now().Add(during); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if ok, seen := condition(); !ok {
			c.Fatalf("broken: %s; seen: %s\n%s", what, seen, c.diagnose())
		}
	}
}

func (c *Case) diagnose() string {
	c.told = true
	var b strings.Builder
	for _, p := range c.tailers[max(0, len(c.tailers)-3):] {
		b.WriteString(p.diagnose() + "\n")
	}
	return b.String()
}

// Sample begins to watch that the confirmed position never leads the checkpoint, where there is one; Check ends it.
func (c *Case) Sample() {
	c.Helper()
	if !c.DB.Confirms() {
		return
	}
	s, err := check.StartSampler(context.Background(), c.Kafka.Brokers, c.Checkpoint(), c.ID, "tailer."+c.ID,
		func(ctx context.Context) (string, bool, error) { return c.DB.Confirmed(ctx, c.ID) }, c.DB.Compare)
	if err != nil {
		c.Fatal(err)
	}
	c.sampler = s
	c.Cleanup(func() {
		if c.sampler != nil {
			c.sampler.Stop()
		}
	})
}

// Arrived waits until n different ids of the case's topics can be read by a read_committed consumer.
func (c *Case) Arrived(r *Reader, n int, within time.Duration) {
	c.Helper()
	c.Wait(fmt.Sprintf("%d ids can be read", n), within, func() (bool, string) {
		ids := r.IDs()
		return ids >= n, fmt.Sprint(ids, " ids", r.trouble())
	})
}

// Check judges the case's topics, read anew from the beginning, and ends the test's claim to a clean record if
// anything is wrong.
func (c *Case) Check(want []check.Want, mode check.Mode) {
	c.Helper()
	report := c.Judge(want, mode)
	if !report.Clean() {
		c.Fatalf("checker: %s\n%s", report, c.diagnose())
	}
	c.Logf("checker: %s", report)
}

// Judge is Check without the verdict.
func (c *Case) Judge(want []check.Want, mode check.Mode) *check.Report {
	c.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 120*time.Second)
	defer cancel()

	topics := map[string]bool{}
	for _, w := range want {
		topics[w.Topic] = true
	}
	for _, t := range c.Topics() {
		topics[t] = true // A topic that nothing was meant for holds foreign records at best.
	}
	var names []string
	for t := range topics {
		names = append(names, t)
	}
	counts, err := check.Partitions(ctx, c.Kafka.Admin, names...)
	if err != nil {
		c.Fatalf("count partitions: %v", err)
	}
	present := names[:0]
	for _, t := range names {
		if counts[t] > 0 {
			present = append(present, t)
		}
	}
	settle, done := context.WithTimeout(ctx, 5*time.Second)
	defer done()
	open, err := check.Open(settle, c.Kafka.Admin, present...)
	if err != nil {
		c.Fatalf("look for open transactions: %v", err)
	}
	records, err := check.Read(ctx, c.Kafka.Brokers, check.Committed, present...)
	if err != nil {
		c.Fatalf("read back: %v", err)
	}
	report := check.Compare(want, records, counts, mode)
	report.Open = open
	if c.sampler != nil {
		samples, led, err := c.sampler.Stop()
		c.sampler = nil
		if err != nil {
			c.Fatalf("sampler: %v", err)
		}
		if samples == 0 {
			c.Errorf("the sampler never saw both a confirmed position and a checkpoint")
		}
		c.Logf("sampler: %d samples", samples)
		report.Led = led
	}
	return report
}

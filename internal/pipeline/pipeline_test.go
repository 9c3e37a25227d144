package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tailer-io/tailer/internal/mapping"
	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/outboxtest"
	"github.com/tailer-io/tailer/internal/pipeline"
)

const (
	topic   = "tailer-checkpoint.test"
	letters = "tailer-dead-letter.test"
)

var (
	_ pipeline.Source          = (*outboxtest.Source)(nil)
	_ pipeline.Sink            = (*outboxtest.Client)(nil)
	_ pipeline.CheckpointTopic = (*outboxtest.Client)(nil)
)

// world is a database and a broker that live through crashes of tailer.
type world struct {
	t  *testing.T
	db *outboxtest.Database
	br *outboxtest.Broker
	// change adapts the next instance's configuration.
	change func(*pipeline.Config)
	starts int
	log    *slog.Logger // nil for none
}

func newWorld(t *testing.T) *world {
	return &world{t: t, db: outboxtest.NewDatabase(), br: outboxtest.NewBroker()}
}

// instance is one process.
type instance struct {
	*pipeline.Pipeline
	source *outboxtest.Source
	client *outboxtest.Client
	cancel context.CancelCauseFunc
	done   chan error
	reg    *prometheus.Registry
}

// restarts is tailer_pipeline_restarts_total of a reason.
func (i *instance) restarts(reason string) float64 {
	families, _ := i.reg.Gather()
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "tailer_pipeline_restarts_total" && m.GetLabel()[0].GetValue() == reason {
				return m.GetCounter().GetValue()
			}
		}
	}
	return -1
}

var errCrash = errors.New("crash")

// start begins a process, adapted by before; until "" runs until it is stopped.
func (w *world) start(until string, before ...func(*instance)) *instance {
	w.t.Helper()
	w.starts++
	i := w.make(until)
	ctx, cancel := context.WithCancelCause(context.Background())
	i.cancel = cancel
	for _, f := range before {
		f(i)
	}
	go func() { i.done <- i.Run(ctx) }()
	return i
}

// make makes a process that does not run.
func (w *world) make(until string) *instance {
	w.t.Helper()
	i := &instance{source: outboxtest.NewSource(w.db), client: outboxtest.NewClient(w.br, topic), done: make(chan error, 1), reg: prometheus.NewRegistry()}
	m, err := mapping.New(mapping.Config{Tables: []mapping.Table{{Name: "outbox"}}})
	if err != nil {
		w.t.Fatal(err)
	}
	cfg := pipeline.Config{
		Name: "test", Version: "1", Instance: fmt.Sprint("instance-", w.starts),
		Source: i.source, Sink: i.client, Mapper: m, Cluster: i.client, Topic: i.client, CheckpointTopic: topic,
		SourceKind: outbox.Postgres, SinkKind: "kafka",
		Transactional: true, Tables: []string{"outbox"}, TransactionTimeout: time.Second,
		Limits: outbox.Limits{Rows: 3, Bytes: 1 << 20}, Snapshot: true, SnapshotMaxRows: 1000,
		CreateTopics: true, Until: until, OnPoison: pipeline.Halt, DeadLetterTopic: letters, OnRefusal: "exit",
	}
	if w.change != nil {
		w.change(&cfg)
	}
	log := w.log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	i.Pipeline = pipeline.New(cfg, log, i.reg)
	return i
}

// crash ends the process as kill -9 does: whatever it tries from now on fails.
func (i *instance) crash() { i.cancel(errCrash) }

// end waits for the process and returns what it ended with.
func (w *world) end(i *instance) error {
	w.t.Helper()
	select {
	case err := <-i.done:
		return err
	case <-time.After(20 * time.Second):
		w.t.Fatalf("the pipeline does not end; status %+v", i.Status())
		return nil
	}
}

// finish runs a new process up to the end of the log, and checks everything.
func (w *world) finish() {
	w.t.Helper()
	if err := w.end(w.start("now")); err != nil {
		w.t.Fatalf("run --until now: %v", err)
	}
	w.check(w.db.Rows())
	if w.br.Open() {
		w.t.Error("a transaction was left open")
	}
}

// check compares what consumers see with what was inserted.
func (w *world) check(want []string) {
	w.t.Helper()
	_, got := w.br.Committed(topic, letters)
	if !slices.Equal(got, want) {
		w.t.Errorf("published\n %v, want\n %v", got, want)
	}
}

// wait waits until consumers see n rows.
func (w *world) wait(n int) {
	w.t.Helper()
	if !w.until(fmt.Sprintf("%d rows arrive", n), w.seen(n)) {
		w.t.FailNow()
	}
}

// seen tells whether consumers see n rows.
func (w *world) seen(n int) func() bool {
	return func() bool {
		keys, _ := w.br.Committed(topic)
		return len(keys) >= n
	}
}

// until waits until ok, and tells whether it came to that. Any goroutine may
// call it.
func (w *world) until(what string, ok func() bool) bool {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.t.Errorf("it has not come to be that %s", what)
			return false
		}
	}
	return true
}

func rows(key string, from, n int) []string {
	var ids []string
	for i := range n {
		ids = append(ids, fmt.Sprintf("%s-%d", key, from+i))
	}
	return ids
}

// Each call of the commit sequence fails once, before it took effect and
// after, in each of the first transactions; then the process goes on, or
// crashes and another one starts.
func TestFaultsInPairs(t *testing.T) {
	for _, call := range []outboxtest.Call{outboxtest.Join, outboxtest.Produce, outboxtest.Commit, outboxtest.Fence, outboxtest.Newest} {
		for n := 1; n <= 8; n++ {
			for _, done := range []bool{false, true} {
				for _, crash := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s/%d/done=%t/crash=%t", call, n, done, crash), func(t *testing.T) {
						t.Parallel()
						w := newWorld(t)
						w.db.Insert(rows("a", 0, 4)...)
						var first *instance
						ready := make(chan struct{})
						fault := outboxtest.Fault{Call: call, N: n, Done: done}
						if crash {
							fault.Then = func() { <-ready; first.crash() }
						}
						w.br.Inject(fault)
						first = w.start("")
						close(ready)
						w.db.Insert(rows("a", 4, 2)...)
						w.db.Insert(rows("b", 0, 8)...) // cut into three
						w.db.Insert(rows("a", 6, 1)...)
						if crash && w.within(5*time.Second, w.br.Fired) {
							w.end(first)
						} else {
							w.wait(15)
							first.crash()
							w.end(first)
						}
						w.br.Inject()
						w.db.Insert(rows("c", 0, 2)...)
						w.finish()
					})
				}
			}
		}
	}
}

// within waits for ok, and tells whether it came true.
func (w *world) within(d time.Duration, ok func() bool) bool {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return true
		}
		if keys, _ := w.br.Committed(topic); len(keys) >= len(w.db.Rows()) {
			return ok()
		}
	}
	return ok()
}

func TestFirstStartCrashesAtEachStep(t *testing.T) {
	crashAt := func(step string) func(*instance) {
		return func(i *instance) {
			i.source.At = func(s string) error {
				if s == step {
					i.crash()
					return errCrash
				}
				return nil
			}
		}
	}
	for _, steps := range [][]string{{"prepare"}, {"create"}, {"read"}, {"read", "drop"}, {"read", "create"}} {
		t.Run(strings.Join(steps, "+"), func(t *testing.T) {
			w := newWorld(t)
			w.db.Insert(rows("a", 0, 7)...)
			for _, s := range steps {
				w.end(w.start("", crashAt(s)))
			}
			w.db.Insert(rows("a", 7, 1)...)
			w.finish()
		})
	}
}

func TestZombieCommitsNothing(t *testing.T) {
	w := newWorld(t)
	first := w.start("")
	w.db.Insert(rows("a", 0, 3)...)
	w.wait(3)
	// The first one's lock session ends without its knowing; a second starts.
	if err := outboxtest.NewSource(w.db).Evict(context.Background()); err != nil {
		t.Fatal(err)
	}
	second := w.start("")
	w.db.Insert(rows("a", 3, 3)...)
	w.wait(6)
	deadline := time.Now().Add(10 * time.Second)
	for first.Status().State != pipeline.Standby && second.Status().State != pipeline.Standby {
		if time.Now().After(deadline) {
			t.Fatalf("nobody stands by: %+v, %+v", first.Status(), second.Status())
		}
		w.db.Insert(rows("b", len(w.db.Rows()), 1)...)
		time.Sleep(5 * time.Millisecond)
	}
	first.crash()
	second.crash()
	w.end(first)
	w.end(second)
	w.finish()
}

// A process that slept between reading the checkpoint and comparing it with
// the server finds what its successor has made of the server meanwhile.
func TestNothingIsRefusedForWhatASuccessorDid(t *testing.T) {
	w := newWorld(t)
	w.db.Insert(rows("a", 0, 3)...)
	w.finish()
	var second *instance
	first := w.start("", func(i *instance) {
		i.source.At = func(step string) error {
			if step != "prove" || second != nil {
				return nil
			}
			if err := outboxtest.NewSource(w.db).Evict(context.Background()); err != nil {
				return err
			}
			second = w.start("")
			w.db.Insert(rows("a", 3, 3)...)
			w.until("the second one publishes", w.seen(6))
			w.until("the second one confirms", func() bool { return w.db.Slot() == 2 })
			return nil
		}
	})
	w.until("the first one stands by", func() bool { return first.Status().State == pipeline.Standby })
	second.crash()
	w.end(second)
	w.db.Insert(rows("a", 6, 1)...)
	w.wait(7)
	first.crash()
	w.end(first)
	w.finish()
}

func TestRefusals(t *testing.T) {
	streamed := func(t *testing.T) *world {
		w := newWorld(t)
		w.db.Insert(rows("a", 0, 3)...)
		w.finish()
		return w
	}
	for _, c := range []struct {
		name   string
		break_ func(*world)
		reason string
		text   string
	}{
		{"slot vanished", func(w *world) { w.db.SetSlot(-1) }, "slot_missing", "slot"},
		{"slot moved", func(w *world) { w.db.Insert("a-9"); w.db.SetSlot(2) }, "slot_ahead", "slot"},
		{"checkpoint topic vanished", func(w *world) { w.br.Drop(topic) }, "checkpoint_missing", "tailer checkpoint set --from-slot"},
		{"other database", func(w *world) { w.db.ID = "sys/other" }, "other_database", "--name"},
		{"other tables", func(w *world) {
			w.change = func(c *pipeline.Config) { c.Tables = []string{"outbox2"} }
		}, "tables_changed", "outbox2"},
		{"require checkpoint", func(w *world) {
			w.br.Drop(topic)
			w.change = func(c *pipeline.Config) { c.RequireCheckpoint = true }
		}, "checkpoint_missing", "--require-checkpoint"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := streamed(t)
			c.break_(w)
			err := w.end(w.start("now"))
			var r *outbox.Refusal
			if !errors.As(err, &r) || r.Reason != c.reason || !strings.Contains(r.Error(), c.text) {
				t.Fatalf("got %v, want a refusal %s with %q", err, c.reason, c.text)
			}
		})
	}
}

func TestCheckpointTopicVanishesWhileRunning(t *testing.T) {
	w := newWorld(t)
	i := w.start("")
	w.db.Insert(rows("a", 0, 3)...)
	w.wait(3)
	w.br.Drop(topic)
	w.db.Insert(rows("a", 3, 1)...)
	err := w.end(i)
	var r *outbox.Refusal
	if !errors.As(err, &r) || r.Reason != "checkpoint_vanished" {
		t.Fatalf("got %v, want a refusal", err)
	}
}

func TestRefusalWaits(t *testing.T) {
	w := newWorld(t)
	w.db.Insert(rows("a", 0, 3)...)
	w.finish()
	at := w.db.Slot()
	w.db.SetSlot(-1)
	w.change = func(c *pipeline.Config) { c.OnRefusal = "wait" }
	i := w.start("")
	deadline := time.Now().Add(5 * time.Second)
	for i.Status().State != pipeline.Refused {
		if time.Now().After(deadline) {
			t.Fatalf("state %s", i.Status().State)
		}
		time.Sleep(time.Millisecond)
	}
	if err := i.Ready(); err == nil {
		t.Error("ready while refused")
	} else if n := strings.Count(err.Error(), "refused"); n != 1 || !strings.HasPrefix(err.Error(), "refused: ") {
		t.Errorf("readiness says %q", err)
	}
	if err := fmt.Sprint(i.Ready()); !strings.HasPrefix(err, "refused: ") || strings.Count(err, "refused") != 1 {
		t.Errorf("the reason is %v", err)
	}
	w.db.SetSlot(at)
	w.db.Insert(rows("a", 3, 1)...)
	w.wait(4)
	i.crash()
	w.end(i)
	w.change = nil
	w.finish()
}

func TestPoisonHaltsExactlyThere(t *testing.T) {
	for bad := range 8 {
		t.Run(fmt.Sprint(bad), func(t *testing.T) {
			w := newWorld(t)
			w.finish()
			w.db.Insert(rows("a", 0, 2)...)
			w.db.Insert(rows("a", 2, 6)...)
			poison := func(i *instance) {
				i.client.Poison = func(v []byte) bool { return string(v) == fmt.Sprint("a-", bad) }
			}
			err := w.end(w.start("now", poison))
			var r *outbox.Refusal
			if !errors.As(err, &r) || r.Reason != "poison" || !strings.Contains(r.Error(), fmt.Sprintf("%q", fmt.Sprint("a-", bad))) {
				t.Fatalf("got %v", err)
			}
			w.check(rows("a", 0, bad))
			// The next start comes to the same row, and publishes nothing twice.
			if err := w.end(w.start("now", poison)); !errors.As(err, &r) {
				t.Fatalf("got %v", err)
			}
			w.check(rows("a", 0, bad))
			w.finish() // once the row fits
		})
	}
}

func TestConfirmedNeverLeadsCheckpoint(t *testing.T) {
	w := newWorld(t)
	w.db.Insert(rows("a", 0, 3)...)
	w.finish()
	i := w.start("")
	w.br.Inject(outboxtest.Fault{Call: outboxtest.Commit, N: 2})
	for n := range 20 {
		w.db.Insert(rows("b", n, 1)...)
	}
	w.wait(23)
	i.crash()
	w.end(i)
	if c := w.db.Confirmed(); c.Text == "0/21" {
		return
	}
	// The last confirmation may be missing after a crash, but never be ahead.
	w.finish()
	if c := w.db.Confirmed(); c.Text != "0/21" {
		t.Errorf("confirmed %s after a clean end, want 0/21", c.Text)
	}
}

func TestAtLeastOnceLosesNothing(t *testing.T) {
	w := newWorld(t)
	w.change = func(c *pipeline.Config) {
		c.Transactional = false
		c.Sink.(*outboxtest.Client).AtLeastOnce = true
	}
	i := w.start("")
	w.br.Inject(outboxtest.Fault{Call: outboxtest.Produce, N: 3, Done: true}, outboxtest.Fault{Call: outboxtest.Produce, N: 6})
	for n := range 10 {
		w.db.Insert(rows("a", 2*n, 2)...)
	}
	w.wait(20)
	i.crash()
	w.end(i)
	if err := w.end(w.start("now")); err != nil {
		t.Fatal(err)
	}
	_, got := w.br.Committed(topic)
	var first []string
	for _, v := range got {
		if !slices.Contains(first, v) {
			first = append(first, v)
		}
	}
	if !slices.Equal(first, w.db.Rows()) {
		t.Errorf("first appearances %v, want %v", first, w.db.Rows())
	}
}

func TestOperatorCommandsNeedTheLock(t *testing.T) {
	w := newWorld(t)
	w.change = func(c *pipeline.Config) {
		if w.starts == 1 {
			c.Instance = "db1/17/x"
		}
	}
	w.db.Insert(rows("a", 0, 3)...)
	i := w.start("")
	w.wait(3)
	other := w.idle()
	_, err := other.ResetCheckpoint(context.Background())
	var r *outbox.Refusal
	if !errors.As(err, &r) || r.Reason != "active" {
		t.Fatalf("reset beside an active instance: %v", err)
	}
	if !strings.Contains(r.Text, "process 17 on host db1 (") {
		t.Errorf("the refusal does not name the holder: %s", r.Text)
	}
	i.crash()
	w.end(i)
	old, err := w.idle().SetCheckpoint(context.Background(), func(context.Context) (outbox.Resume, error) {
		return outbox.Resume{Position: outbox.Position{Kind: outbox.Postgres, Text: "0/1"}, Lineage: "1"}, nil
	})
	if err != nil || old == nil {
		t.Fatalf("set: %v, %v", old, err)
	}
	w.finish()
	if old, err = w.idle().ResetCheckpoint(context.Background()); err != nil || old == nil {
		t.Fatalf("reset: %v, %v", old, err)
	}
	if rec, err := w.idle().ShowCheckpoint(context.Background()); rec != nil || err != nil {
		t.Fatalf("show after reset: %v, %v", rec, err)
	}
}

// idle is a process that was not started.
func (w *world) idle() *pipeline.Pipeline {
	w.starts++
	return w.make("").Pipeline
}

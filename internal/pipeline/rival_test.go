package pipeline_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/checkpoint"
	"github.com/tailer-io/tailer/internal/outboxtest"
	"github.com/tailer-io/tailer/internal/pipeline"
)

// gate stops an instance once, until it is opened.
type gate struct{ reached, open chan struct{} }

func newGate() gate { return gate{make(chan struct{}, 1), make(chan struct{})} }

func (g gate) pass() {
	select {
	case g.reached <- struct{}{}:
		<-g.open
	default: // only once
	}
}

// gated stops before it fences for the snapshot's long transaction.
type gated struct {
	*outboxtest.Client
	gate
}

func (c gated) Fence(ctx context.Context, timeout time.Duration) error {
	if timeout == 0 {
		c.pass()
	}
	return c.Client.Fence(ctx, timeout)
}

func (w *world) standsBy(i *instance) {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); i.Status().State != pipeline.Standby; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("it does not stand by: %+v", i.Status())
		}
	}
}

// Two instances are in their first start, because the lock session of one was
// cut and it has not noticed: the snapshot must not be published by both.
func TestFirstStartBesideARival(t *testing.T) {
	w := newWorld(t)
	w.db.Insert(rows("a", 0, 3)...)
	start := func() (*instance, gate) {
		g := newGate()
		w.change = func(c *pipeline.Config) { c.Sink = gated{c.Sink.(*outboxtest.Client), g} }
		return w.start(""), g
	}
	first, a := start()
	<-a.reached // its slot exists, its snapshot is open
	if err := outboxtest.NewSource(w.db).Evict(context.Background()); err != nil {
		t.Fatal(err) // its lock session is cut
	}
	second, b := start()
	<-b.reached // it has dropped that slot, and made its own
	close(a.open)
	w.standsBy(first)
	close(b.open)
	w.wait(3)
	first.crash()
	second.crash()
	w.end(first)
	w.end(second)
	w.change = nil
	w.finish()
}

// An instance that lost its lock while it was about to drop the slot of an
// unfinished first start must not drop the one its successor streams from.
func TestSlotIsNotDroppedUnderARival(t *testing.T) {
	w := newWorld(t)
	w.db.Insert(rows("a", 0, 3)...)
	w.end(w.start("", func(i *instance) { // leaves the record of phase snapshot, and the slot
		i.source.At = func(s string) error {
			if s == "read" {
				i.crash()
				return errCrash
			}
			return nil
		}
	}))
	g := newGate()
	first := w.start("", func(i *instance) {
		i.source.At = func(s string) error {
			switch s {
			case "drop":
				g.pass()
			case "create": // where it would get if it had dropped it
				i.crash()
				return errCrash
			}
			return nil
		}
	})
	<-g.reached
	if err := outboxtest.NewSource(w.db).Evict(context.Background()); err != nil {
		t.Fatal(err)
	}
	second := w.start("")
	w.wait(3)
	close(g.open)
	w.standsBy(first)
	first.crash()
	second.crash()
	w.end(first)
	w.end(second)
	w.finish()
}

// A checkpoint file that cannot be locked because its folder is not there is no
// other instance: the process says so and tries again.
func TestCheckpointFileWithoutFolder(t *testing.T) {
	w := newWorld(t)
	folder := filepath.Join(t.TempDir(), "missing")
	w.change = func(c *pipeline.Config) {
		c.Transactional = false
		c.Sink.(*outboxtest.Client).AtLeastOnce = true
		c.Topic, c.File = nil, checkpoint.NewFile(filepath.Join(folder, "checkpoint"))
	}
	i := w.start("")
	for end := time.Now().Add(10 * time.Second); i.Status().State != pipeline.Retrying; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not try again: %+v", i.Status())
		}
	}
	if s := i.Status(); !strings.Contains(s.Reason, "no such file") {
		t.Errorf("the reason is %q", s.Reason)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	w.db.Insert("a-1")
	w.wait(1)
	if n := i.restarts("checkpoint"); n < 1 {
		t.Errorf("%v restarts by the checkpoint", n)
	}
	i.crash()
	w.end(i)
}

package pipeline_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/outboxtest"
	"github.com/tailer-io/tailer/internal/pipeline"
)

// watchWithin is longer than it takes to look after the source once.
const watchWithin = 11 * time.Second

// A lock session that has ended without any trouble in the stream is noticed,
// whatever the delivery: somebody else may have the name by now.
func TestLostLock(t *testing.T) {
	for _, transactional := range []bool{true, false} {
		t.Run(fmt.Sprint("transactional ", transactional), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.change = func(c *pipeline.Config) { c.Transactional = transactional }
				i := w.start("")
				time.Sleep(time.Second)
				rival := outboxtest.NewSource(w.db)
				if err := rival.Evict(t.Context()); err != nil {
					t.Fatal(err)
				}
				if held, _, _ := rival.TryLock(t.Context()); !held {
					t.Fatal("the lock is not free")
				}
				time.Sleep(watchWithin)
				if s := i.Status().State; s != pipeline.Standby {
					t.Errorf("without its lock it is %s", s)
				}
				if n := i.restarts("rival"); n != 0 {
					t.Errorf("%v rivals, and nobody has published", n)
				}
				rival.Close()
				w.db.Insert("a-1")
				time.Sleep(watchWithin)
				i.crash()
				<-i.done
				w.check(w.db.Rows())
			})
		})
	}
}

// watched has a Watch of the test's, and counts the starts.
type watched struct {
	*outboxtest.Source
	starts *int
	watch  func() error
}

func (s watched) Watch(context.Context) error { return s.watch() }

func (s watched) Connect(ctx context.Context) (outbox.Identity, error) {
	*s.starts++
	return s.Source.Connect(ctx)
}

// Another server behind the source's address ends the session: everything is
// proven anew. That nobody can look for a moment does not.
func TestWatchFindsAnotherServer(t *testing.T) {
	for _, c := range []struct {
		err    error
		starts int
	}{
		{fmt.Errorf("open the watcher's session: %w", outbox.ErrOtherServer), 2},
		{fmt.Errorf("open the watcher's session: connection refused"), 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			asked, starts := 0, 0
			w.change = func(cfg *pipeline.Config) {
				cfg.Source = watched{cfg.Source.(*outboxtest.Source), &starts, func() error {
					if asked++; asked == 2 {
						return c.err
					}
					return nil
				}}
			}
			i := w.start("")
			time.Sleep(3 * watchWithin)
			i.crash()
			<-i.done
			if starts != c.starts {
				t.Errorf("%v: %d starts, want %d", c.err, starts, c.starts)
			}
		})
	}
}

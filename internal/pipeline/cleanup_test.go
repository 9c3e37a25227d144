package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/outboxtest"
	"github.com/tailer-io/tailer/internal/pipeline"
)

// cleaner deletes from a world's table, in which every row is old. It finds
// rows that are deleted before they are published.
type cleaner struct {
	w      *world
	source *outboxtest.Source
	fail   func() error                    // before each call; may be nil
	during func(context.Context, []string) // while rows are deleted; may be nil

	mu    sync.Mutex // guards all below
	gone  map[string]bool
	calls int
	began []time.Time // of each batch
	ended []time.Time
	sizes []int
}

// cleaning makes every instance clean up, and returns the newest one's cleaner.
func (w *world) cleaning(adapt ...func(*cleaner)) func() *cleaner {
	var newest *cleaner
	w.change = func(cfg *pipeline.Config) {
		gone := map[string]bool{}
		if newest != nil {
			gone = newest.gone
		}
		newest = &cleaner{w: w, source: cfg.Source.(*outboxtest.Source), gone: gone}
		for _, f := range adapt {
			f(newest)
		}
		cfg.Cleaner = newest
	}
	return func() *cleaner { return newest }
}

func (c *cleaner) begin() error {
	c.mu.Lock()
	c.calls++
	c.mu.Unlock()
	if c.fail != nil {
		return c.fail()
	}
	return nil
}

// Aged picks what is not deleted yet.
func (c *cleaner) Aged(ctx context.Context, table, limit int) (outbox.Aged, error) {
	if err := c.begin(); err != nil {
		return outbox.Aged{}, err
	}
	a := outbox.Aged{Table: table}
	for _, id := range c.w.db.Rows() {
		c.mu.Lock()
		if !c.gone[id] && len(a.Rows) < limit {
			a.Rows = append(a.Rows, id)
		}
		c.mu.Unlock()
	}
	g, err := c.source.Gauges(ctx)
	a.UpTo = g.Server
	return a, err
}

// Delete deletes rows of which consumers can see the messages.
func (c *cleaner) Delete(ctx context.Context, a outbox.Aged) (int, error) {
	begin := time.Now()
	if err := c.begin(); err != nil {
		return 0, err
	}
	_, published := c.w.br.Committed(topic)
	for _, id := range a.Rows {
		if !slices.Contains(published, id) {
			c.w.t.Errorf("row %s is deleted before it is published", id)
		}
	}
	if c.during != nil {
		c.during(ctx, a.Rows)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range a.Rows {
		c.gone[id] = true
	}
	c.began, c.ended, c.sizes = append(c.began, begin), append(c.ended, time.Now()), append(c.sizes, len(a.Rows))
	return len(a.Rows), nil
}

// asked is how often anything was asked of it.
func (c *cleaner) asked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}

func (c *cleaner) deleted() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.gone)
}

// Nothing is deleted while the checkpoint is held back, although everything is
// read, and acknowledged by the broker; all of it once the checkpoint is there.
func TestCleanUpWaitsForTheCheckpoint(t *testing.T) {
	for _, transactional := range []bool{true, false} {
		t.Run(fmt.Sprint("transactional ", transactional), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				newest := w.cleaning()
				clean := w.change
				w.change = func(c *pipeline.Config) { clean(c); c.Transactional = transactional }
				i := w.start("")
				time.Sleep(time.Second)
				var faults []outboxtest.Fault
				for n := 1; n <= 200; n++ {
					faults = append(faults, outboxtest.Fault{Call: outboxtest.Produce, N: n}, outboxtest.Fault{Call: outboxtest.Fence, N: n})
				}
				w.br.Inject(faults...)
				w.db.Insert("a-0", "a-1")
				w.db.Insert("b-0")
				time.Sleep(3 * time.Minute)
				if n := newest().deleted(); n != 0 {
					t.Errorf("%d rows are deleted in an outage", n)
				}
				w.br.Inject()
				time.Sleep(time.Minute)
				if n := newest().deleted(); n != 3 {
					t.Errorf("%d rows are deleted after the outage, want 3", n)
				}
				i.crash()
				<-i.done
				w.check(w.db.Rows())
			})
		})
	}
}

// Small batches, with a pause as long as each took, and no wait between them
// while there is more to delete.
func TestCleanUpIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rows, took = 12_000, 30 * time.Millisecond
		w := newWorld(t)
		newest := w.cleaning(func(c *cleaner) {
			c.during = func(context.Context, []string) { time.Sleep(took) }
		})
		clean := w.change
		w.change = func(c *pipeline.Config) { clean(c); c.Limits = outbox.Limits{Rows: 5000, Bytes: 1 << 20} }
		i := w.start("")
		time.Sleep(time.Second)
		ids := make([]string, rows)
		for n := range ids {
			ids[n] = fmt.Sprintf("k%d-%d", n, n)
		}
		w.db.Insert(ids...)
		time.Sleep(time.Minute)
		c := newest()
		if n := c.deleted(); n != rows {
			t.Fatalf("%d rows are deleted, want %d", n, rows)
		}
		for n := range c.began {
			if c.sizes[n] > 500 {
				t.Errorf("a batch of %d rows", c.sizes[n])
			}
			if n > 0 && c.began[n].Sub(c.ended[n-1]) < took {
				t.Errorf("%v after a batch that took %v the next one begins", c.began[n].Sub(c.ended[n-1]), took)
			}
		}
		if all := c.ended[len(c.ended)-1].Sub(c.began[0]); all > 10*time.Second {
			t.Errorf("it took %v: there were idle pauses in between", all)
		}
		i.crash()
		<-i.done
	})
}

// What the clean-up cannot do ends nothing, is logged once a minute at most,
// and done later.
func TestCleanUpFailuresAreRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var lines bytes.Buffer
		w.log = slog.New(slog.NewTextHandler(&lines, nil))
		begin := time.Now()
		newest := w.cleaning(func(c *cleaner) {
			c.fail = func() error {
				if time.Since(begin) < 5*time.Minute {
					return errors.New("canceling statement due to lock timeout")
				}
				return nil
			}
		})
		i := w.start("")
		w.db.Insert("a-0")
		time.Sleep(4 * time.Minute)
		if s := i.Status(); s.State != pipeline.CaughtUp {
			t.Errorf("it is %s: %s", s.State, s.Reason)
		}
		if n := newest().asked(); n < 10 {
			t.Errorf("%d attempts in four minutes", n)
		}
		time.Sleep(2 * time.Minute)
		if n := newest().deleted(); n != 1 {
			t.Errorf("%d rows are deleted, want 1", n)
		}
		i.crash()
		<-i.done
		if n := strings.Count(lines.String(), "clean-up failed"); n < 2 || n > 6 {
			t.Errorf("logged %d times in five minutes:\n%s", n, lines.String())
		}
	})
}

// Only who is active deletes, and it has ended before somebody else can get the
// name's lock.
func TestCleanUpIsTheActiveInstancesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		unlocked := 0
		newest := w.cleaning(func(c *cleaner) {
			c.during = func(ctx context.Context, rows []string) {
				if slices.Contains(rows, "a-1") {
					<-ctx.Done() // a statement that runs when the stop comes
				}
				if c.source.Locked(context.Background()) != nil {
					unlocked++
				}
			}
		})
		first := w.start("")
		time.Sleep(time.Second)
		active := newest()
		second := w.start("")
		standby := newest()
		w.db.Insert("a-0")
		time.Sleep(time.Minute)
		if active.deleted() != 1 || standby.asked() != 0 {
			t.Errorf("the active one deleted %d rows, the standby made %d calls", active.deleted(), standby.asked())
		}
		w.db.Insert("a-1")
		time.Sleep(time.Minute)
		first.cancel(nil)
		if err := <-first.done; err != nil {
			t.Error(err)
		}
		if unlocked > 0 {
			t.Error("rows are deleted after the lock was given back")
		}
		w.db.Insert("b-0")
		time.Sleep(time.Minute)
		if standby.asked() == 0 || standby.deleted() != 3 {
			t.Errorf("after taking over: %d calls, %d rows deleted", standby.asked(), standby.deleted())
		}
		second.crash()
		<-second.done
		w.check(w.db.Rows())
	})
}

// slowToConfirm is a source that takes a second to confirm a position: time for
// whoever looks at the checkpoint.
type slowToConfirm struct{ *outboxtest.Source }

func (s slowToConfirm) Confirm(ctx context.Context, p outbox.Position) error {
	time.Sleep(time.Second)
	return s.Source.Confirm(ctx, p)
}

// Rows of a table that is being added are not published, wherever the
// checkpoint of the other tables stands.
func TestCleanUpLeavesATableThatIsAddedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := streamed(t)
		newest := w.cleaning()
		clean := w.change
		w.both(clean, func(c *pipeline.Config) { c.Source = slowToConfirm{c.Source.(*outboxtest.Source)} })
		i := w.start("")
		time.Sleep(time.Minute)
		w.checkBoth()
		if n, want := newest().deleted(), len(w.db.Rows()); n != want {
			t.Errorf("%d rows are deleted once the table is added, want %d", n, want)
		}
		i.crash()
		<-i.done
	})
}

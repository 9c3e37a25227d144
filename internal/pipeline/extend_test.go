package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tailer-io/tailer/internal/checkpoint"
	"github.com/tailer-io/tailer/internal/mapping"
	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/outboxtest"
	"github.com/tailer-io/tailer/internal/pipeline"
)

// both configures a second table, "new", whose rows are called new.KEY-N.
func (w *world) both(more ...func(*pipeline.Config)) {
	w.change = func(c *pipeline.Config) {
		c.Tables = []string{"outbox", "new"}
		c.Source.(*outboxtest.Source).Tables = []string{"", "new"}
		m, err := mapping.New(mapping.Config{Tables: []mapping.Table{{Name: "outbox"}, {Name: "new"}}})
		if err != nil {
			w.t.Fatal(err)
		}
		c.Mapper = m
		for _, f := range more {
			f(c)
		}
	}
}

// newRows are rows of the second table.
func newRows(key string, from, n int) []string {
	var ids []string
	for _, id := range rows(key, from, n) {
		ids = append(ids, "new."+id)
	}
	return ids
}

// streamed is a world in which the first table is published, and both have rows.
func streamed(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.db.Insert(rows("a", 0, 4)...)
	w.db.Insert(newRows("b", 0, 4)...)
	w.finishOld()
	w.db.Insert("a-4", "new.b-4") // behind the checkpoint, in both
	return w
}

// finishOld runs the instance of the first table alone.
func (w *world) finishOld() {
	w.t.Helper()
	if err := w.end(w.start("now")); err != nil {
		w.t.Fatalf("run --until now: %v", err)
	}
}

// checkBoth demands every row of both tables once, and of each key in order.
func (w *world) checkBoth(except ...string) {
	w.t.Helper()
	_, got := w.br.Committed(topic, letters)
	want := without(w.db.Rows(), except...)
	if a, b := slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want)); !slices.Equal(a, b) {
		w.t.Errorf("published\n %v, want\n %v", a, b)
	}
	last := map[string]int{}
	for _, id := range got {
		key, number, _ := strings.Cut(id, "-")
		var n int
		if _, err := fmt.Sscan(number, &n); err != nil {
			w.t.Fatal(err)
		}
		if n < last[key] {
			w.t.Errorf("%s comes behind %s-%d: %v", id, key, last[key], got)
		}
		last[key] = n
	}
	if w.br.Open() {
		w.t.Error("a transaction was left open")
	}
}

// inserting commits rows of both tables at each step of an extension, and ends
// the process at one of them if it is named.
func (w *world) inserting(crashAt string) func(*instance) {
	next := len(w.db.Rows())
	return func(i *instance) {
		i.source.At = func(step string) error {
			w.db.Insert(fmt.Sprint("a-", next), fmt.Sprint("new.b-", next))
			w.db.Insert(fmt.Sprint("new.b-", next+1))
			w.db.Insert(fmt.Sprint("a-", next+1))
			next += 2
			if step == crashAt {
				i.crash()
				return errCrash
			}
			return nil
		}
	}
}

func TestAddedTableIsPublishedOnceAndInOrder(t *testing.T) {
	w := streamed(t)
	w.both()
	if err := w.end(w.start("now", w.inserting(""))); err != nil {
		t.Fatal(err)
	}
	w.checkBoth()
	w.db.Insert("new.b-100", "a-100")
	w.both()
	w.finishOld()
	w.checkBoth()
	if rec := w.record(); !slices.Equal(rec.Tables, []string{"new", "outbox"}) {
		t.Errorf("the checkpoint is of %v", rec.Tables)
	}
}

func TestAddingCrashesAtEachStep(t *testing.T) {
	for _, steps := range [][]string{{"publish"}, {"view"}, {"viewed"}, {"read"}, {"publish", "viewed", "read"}} {
		t.Run(strings.Join(steps, "+"), func(t *testing.T) {
			w := streamed(t)
			w.both()
			for _, s := range steps {
				w.end(w.start("now", w.inserting(s)))
			}
			if err := w.end(w.start("now", w.inserting(""))); err != nil {
				t.Fatal(err)
			}
			w.checkBoth()
		})
	}
}

// Each call to the broker fails once while a table is added, before it took
// effect and after; then the process goes on, or crashes and another one starts.
func TestAddingWithFaultsInPairs(t *testing.T) {
	for _, call := range []outboxtest.Call{outboxtest.Join, outboxtest.Produce, outboxtest.Commit, outboxtest.Fence, outboxtest.Newest} {
		for n := 1; n <= 7; n++ {
			for _, done := range []bool{false, true} {
				for _, crash := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s/%d/done=%t/crash=%t", call, n, done, crash), func(t *testing.T) {
						t.Parallel()
						w := streamed(t)
						w.both()
						var first *instance
						ready := make(chan struct{})
						fault := outboxtest.Fault{Call: call, N: n, Done: done}
						if crash {
							fault.Then = func() { <-ready; first.crash() }
						}
						w.br.Inject(fault)
						first = w.start("now", w.inserting(""))
						close(ready)
						w.end(first)
						w.br.Inject()
						if err := w.end(w.start("now")); err != nil {
							t.Fatal(err)
						}
						w.checkBoth()
					})
				}
			}
		}
	}
}

// A transaction that was cut under the old list is finished under it.
func TestAddingGoesOnInsideACutTransaction(t *testing.T) {
	w := streamed(t)
	w.db.Insert("a-5", "new.b-5", "a-6", "a-7", "new.b-6", "a-8", "a-9", "a-10", "new.b-7")
	i := w.start("")
	w.br.Inject(outboxtest.Fault{Call: outboxtest.Join, N: 4, Then: i.crash})
	w.end(i)
	if rec := w.record(); rec.Open == nil {
		t.Skipf("it was not stopped inside the transaction: %+v", rec)
	}
	w.br.Inject()
	w.both()
	w.finishOld()
	w.checkBoth()
}

func TestAddingWithoutSnapshotBeginsAtTheBoundary(t *testing.T) {
	w := streamed(t)
	never := func(c *pipeline.Config) { c.Snapshot = false }
	w.both(never)
	before := newRows("b", 0, 5)
	if err := w.end(w.start("now", func(i *instance) {
		i.source.At = func(step string) error {
			if step == "viewed" {
				w.db.Insert("new.b-5", "a-5")
			}
			return nil
		}
	})); err != nil {
		t.Fatal(err)
	}
	w.checkBoth(before...)
}

func TestAddingRefuses(t *testing.T) {
	w := streamed(t)
	w.both(func(c *pipeline.Config) { c.SnapshotMaxRows = 4 })
	refusal(t, w.end(w.start("now")), "snapshot_too_large", "table new", "--snapshot-max-rows 4")
	w.both()
	refusal(t, w.end(w.start("0/1")), "tables_changed", "--until now")
	if got := w.db.Published(); len(got) != 1 {
		t.Errorf("published %q though it was refused", got)
	}
}

// Running transactions that do not end do not hold the old table up.
func TestAddingReadsOnWhileTheSnapshotCannotBeOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := streamed(t)
		tries := 0
		w.both(func(c *pipeline.Config) { c.Source = busy{c.Source.(*outboxtest.Source), w.db, &tries} })
		if err := w.end(w.start("now")); err != nil {
			t.Fatal(err)
		}
		if tries != 2 {
			t.Errorf("%d tries", tries)
		}
		w.checkBoth()
	})
}

// busy waits in vain the first time, and must find then that what was committed
// meanwhile is published.
type busy struct {
	*outboxtest.Source
	db    *outboxtest.Database
	tries *int
}

func (s busy) View(ctx context.Context) (outbox.Snapshot, error) {
	if *s.tries++; *s.tries == 1 {
		s.db.Insert("a-5")
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	if s.db.Confirmed().Text != "0/4" {
		return nil, errors.New("the old table was not read on, but to " + s.db.Confirmed().Text)
	}
	return s.Source.View(ctx)
}

func TestAddingHaltsAndStepsOver(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprint("keep=", keep), func(t *testing.T) {
			w := streamed(t)
			w.both()
			refusal(t, w.end(w.start("now", bad("new.b-2"))), "poison", "new.b-2", "nothing of the snapshot is published")
			rec := w.record()
			if rec.Halted == nil || !rec.Halted.InSnapshot() || !slices.Equal(rec.Tables, []string{"outbox"}) {
				t.Fatalf("the record is %s", rec.Encode())
			}
			if _, _, err := w.idle().SkipHalted(context.Background(), "new.b-2", keep); err != nil {
				t.Fatal(err)
			}
			w.db.Insert("a-5") // a record of the old list follows, and does not forget it
			if err := w.end(w.start("now", bad("new.b-2"))); err != nil {
				t.Fatal(err)
			}
			w.checkBoth("new.b-2")
			if keep {
				w.checkLetters("new.b-2")
			} else {
				w.checkLetters()
			}
			if rec := w.record(); rec.SteppedOver != nil {
				t.Errorf("it is still stepped over: %s", rec.Encode())
			}
		})
	}
}

// A row of the old table halts before the snapshot: it is numbered by the old
// list, and stepped over under it.
func TestAddingStepsOverARowOfTheOldTable(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprint("keep=", keep), func(t *testing.T) {
			w := streamed(t)
			w.db.Insert("new.b-5", "a-5", "new.b-6", "a-6", "new.b-7", "a-7")
			w.both()
			refusal(t, w.end(w.start("now", bad("a-6"))), "poison", "a-6", "everything before it is published")
			if rec := w.record(); rec.Halted == nil || rec.Halted.Ordinal != 2 || rec.Halted.InSnapshot() {
				t.Fatalf("the record is %s", rec.Encode())
			}
			if _, _, err := w.idle().SkipHalted(context.Background(), "a-6", keep); err != nil {
				t.Fatal(err)
			}
			if rec := w.record(); !slices.Equal(rec.Tables, []string{"outbox"}) {
				t.Fatalf("the record is %s", rec.Encode())
			}
			w.finishOld()
			w.checkBoth("a-6")
			if keep {
				w.checkLetters("a-6")
			} else {
				w.checkLetters()
			}
		})
	}
}

// A crash behind the snapshot's rows, and before the record is saved, publishes
// them again, and nothing is lost.
func TestAddingAtLeastOnce(t *testing.T) {
	for _, file := range []bool{false, true} {
		t.Run(fmt.Sprint("file=", file), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "checkpoint")
			once := func(c *pipeline.Config) {
				c.Transactional = false
				c.Sink.(*outboxtest.Client).AtLeastOnce = true
				if file {
					c.Topic, c.File = nil, unlocked{checkpoint.NewFile(path)}
				}
			}
			w := newWorld(t)
			w.change = once
			w.db.Insert(rows("a", 0, 4)...)
			w.db.Insert(newRows("b", 0, 4)...)
			w.finishOld()
			w.both(once)
			sent := func() int { _, got := w.br.Committed(topic); return len(got) }
			old := sent()
			first := w.start("now", func(i *instance) {
				i.source.At = func(step string) error {
					if step == "read" { // what is produced next is the snapshot
						w.br.Inject(outboxtest.Fault{Call: outboxtest.Produce, N: 1, Done: true, Then: i.crash})
					}
					return nil
				}
			})
			w.end(first)
			w.br.Inject()
			if rec := w.record(); slices.Contains(rec.Tables, "new") || sent() == old {
				t.Errorf("%d rows were published behind %d, and the checkpoint is of %v", sent(), old, rec.Tables)
			}
			w.finishOld()
			_, got := w.br.Committed(topic)
			for _, id := range w.db.Rows() {
				if !slices.Contains(got, id) {
					t.Errorf("%s is lost", id)
				}
			}
			if rec := w.record(); !slices.Contains(rec.Tables, "new") {
				t.Errorf("the checkpoint is of %v", rec.Tables)
			}
		})
	}
}

// unlocked hides the lock of a file, which a test's process keeps.
type unlocked struct{ pipeline.Store }

// record is the checkpoint.
func (w *world) record() *checkpoint.Record {
	w.t.Helper()
	rec, err := w.idle().ShowCheckpoint(context.Background())
	if err != nil || rec == nil {
		w.t.Fatalf("the checkpoint is %v, %v", rec, err)
	}
	return rec
}

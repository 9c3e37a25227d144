package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tailer-io/tailer/internal/checkpoint"
	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/outboxtest"
	"github.com/tailer-io/tailer/internal/pipeline"
)

// lost is a world that has published what begins with "old", and whose slot was
// dropped before the rest was read.
func lost(t *testing.T) *world {
	w := newWorld(t)
	w.finish() // the first start
	w.db.Insert(rows("old", 0, 5)...)
	w.finish()
	w.db.SetSlot(-1)
	w.db.Insert(rows("new", 0, 5)...)
	refusal(t, w.end(w.start("now")), "slot_missing")
	return w
}

var chooseNew = outbox.Filter{Where: "new"}

func approved(pipeline.Recovery) error { return nil }

// recoverWith runs the command in a process of its own.
func (w *world) recoverWith(f outbox.Filter, approve func(pipeline.Recovery) error, before ...func(*instance)) (*checkpoint.Record, error) {
	w.t.Helper()
	w.starts++
	i := w.make("")
	ctx, cancel := context.WithCancelCause(context.Background())
	i.cancel = cancel
	for _, f := range before {
		f(i)
	}
	return i.Recover(ctx, f, approve)
}

func TestRecoverPublishesTheChosenRowsAndStreamsOn(t *testing.T) {
	w := lost(t)
	var plan pipeline.Recovery
	rec, err := w.recoverWith(chooseNew, func(r pipeline.Recovery) error { plan = r; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if plan.Continues || plan.Replaced == nil || plan.Replaced.Position != "0/1" || !slices.Equal(plan.Chosen, []int64{5}) {
		t.Errorf("it was to approve %+v", plan)
	}
	if rec.Phase != checkpoint.PhaseStreaming || rec.Filter != nil {
		t.Errorf("the record is %+v", rec)
	}
	w.db.Insert(rows("later", 0, 3)...)
	w.finish() // old, new, later: each once
}

func TestRecoverChangesNothingUnlessApproved(t *testing.T) {
	w := lost(t)
	before := w.stored()
	no := errors.New("no")
	if _, err := w.recoverWith(chooseNew, func(pipeline.Recovery) error { return no }); !errors.Is(err, no) {
		t.Errorf("it said %v", err)
	}
	var invalid *outbox.Invalid
	if _, err := w.recoverWith(outbox.Filter{Where: "?"}, approved); !errors.As(err, &invalid) {
		t.Errorf("a condition that is none: %v", err)
	}
	w.change = func(c *pipeline.Config) { c.SnapshotMaxRows = 4 }
	_, err := w.recoverWith(chooseNew, approved)
	refusal(t, err, "snapshot_too_large", "5", "4")
	w.change = nil
	w.db.ID = "another"
	_, err = w.recoverWith(chooseNew, approved)
	refusal(t, err, "other_database")
	w.db.ID = "sys/db"
	if w.stored() != before || w.db.Slot() >= 0 {
		t.Errorf("the record is %s, was %s; slot %d", w.stored(), before, w.db.Slot())
	}
}

func TestRecoverNeedsTheLock(t *testing.T) {
	w := newWorld(t)
	w.db.Insert("a-0")
	i := w.start("")
	w.wait(1)
	_, err := w.recoverWith(outbox.Filter{Where: "a"}, func(pipeline.Recovery) error { t.Error("it asked"); return nil })
	refusal(t, err, "active", "pid 1")
	i.crash()
	w.end(i)
}

// Somebody else may have done something while the operator was asked.
func TestRecoverReplacesWhatWasShown(t *testing.T) {
	w := lost(t)
	_, err := w.recoverWith(chooseNew, func(pipeline.Recovery) error {
		_, err := w.recoverWith(chooseNew, approved)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "changed meanwhile") {
		t.Errorf("it said %v", err)
	}
	w.finish()
}

// A recovery that was begun and not finished is finished by the next start, with
// the very rows that were chosen: neither all of them, nor, with --snapshot
// never, none.
func TestRecoverCrashesAtEachStep(t *testing.T) {
	for _, step := range []string{"prepare", "drop", "create", "read"} {
		for _, snapshot := range []bool{true, false} {
			for _, again := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, snapshot %v, said again %v", step, snapshot, again), func(t *testing.T) {
					w := lost(t)
					w.db.SetSlot(0) // lost slots are there still
					w.change = func(c *pipeline.Config) { c.Snapshot, c.RequireCheckpoint = snapshot, true }
					_, err := w.recoverWith(chooseNew, approved, func(i *instance) {
						i.source.At = func(s string) error {
							if s == step {
								i.crash()
								return errCrash
							}
							return nil
						}
					})
					if err == nil {
						t.Fatal("it did not crash")
					}
					if step == "prepare" { // before the record: nothing has happened
						again = true
					} else if r := w.record(); r.Phase != checkpoint.PhaseSnapshot || r.Filter == nil || r.Filter.Where != "new" || r.Version != 2 {
						t.Errorf("it left %s", w.stored())
					} else if r.LastCommit.IsZero() { // who says it again needs it again
						t.Errorf("it forgot when the newest published row was committed: %s", w.stored())
					}
					if again {
						if _, err := w.recoverWith(chooseNew, approved); err != nil {
							t.Fatal(err)
						}
					}
					w.db.Insert(rows("new", 5, 3)...) // which is chosen too
					w.finish()
				})
			}
		}
	}
}

// The broker fails, before and after it has done what was asked: whatever the
// command left, the next one, or the next start, brings it to its end.
func TestRecoverThroughFaults(t *testing.T) {
	for _, call := range []outboxtest.Call{outboxtest.Fence, outboxtest.Join, outboxtest.Produce, outboxtest.Commit, outboxtest.Newest} {
		for n := 1; n <= 8; n++ {
			for _, done := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d/done=%t", call, n, done), func(t *testing.T) {
					w := lost(t)
					w.br.Inject(outboxtest.Fault{Call: call, N: n, Done: done})
					_, err := w.recoverWith(chooseNew, approved)
					if fired := w.br.Fired(); fired != (err != nil) {
						t.Fatalf("the fault has happened: %v; it said %v", fired, err)
					}
					w.br.Inject()
					if w.record().Position == "0/1" { // it had not begun
						if _, err := w.recoverWith(chooseNew, approved); err != nil {
							t.Fatal(err)
						}
					}
					w.db.Insert(rows("new", 5, 3)...)
					w.finish()
				})
			}
		}
	}
}

// A condition that fits no more is not forgotten, which would publish all rows.
func TestRecoverRefusesAConditionThatFitsNoMore(t *testing.T) {
	w := lost(t)
	if _, err := w.recoverWith(chooseNew, approved, func(i *instance) {
		i.source.At = func(s string) error {
			if s == "create" {
				return errCrash
			}
			return nil
		}
	}); err == nil {
		t.Fatal("it did not fail")
	}
	err := w.end(w.start("now", func(i *instance) {
		i.source.At = func(s string) error {
			if s == "count" {
				return &outbox.Invalid{Option: "where", Text: "there is no column of that name"}
			}
			return nil
		}
	}))
	refusal(t, err, "recovery_filter", "no column", "tailer recover")
	w.finish()
}

// The row that cannot be published is stepped over, and the rows stay chosen.
func TestPoisonInARecovery(t *testing.T) {
	w := lost(t)
	_, err := w.recoverWith(chooseNew, approved, bad("new-2"))
	refusal(t, err, "poison", "new-2")
	if r := w.record(); r.Filter == nil || r.Halted == nil {
		t.Fatalf("it left %s", w.stored())
	}
	w.starts++
	if _, _, err := w.make("").SkipHalted(context.Background(), "new-2", false); err != nil {
		t.Fatal(err)
	}
	if err := w.end(w.start("now", bad("new-2"))); err != nil {
		t.Fatal(err)
	}
	w.check(without(w.db.Rows(), "new-2"))
}

// Without transactions the same steps hold, and a crash publishes rows twice.
func TestRecoverAtLeastOnce(t *testing.T) {
	w := newWorld(t)
	w.change = func(c *pipeline.Config) { c.Transactional = false }
	plain := func(i *instance) { i.client.AtLeastOnce = true }
	w.db.Insert(rows("old", 0, 5)...)
	if err := w.end(w.start("now", plain)); err != nil {
		t.Fatal(err)
	}
	w.db.SetSlot(-1)
	w.db.Insert(rows("new", 0, 5)...)
	if _, err := w.recoverWith(chooseNew, approved, plain); err != nil {
		t.Fatal(err)
	}
	w.db.Insert(rows("later", 0, 3)...)
	if err := w.end(w.start("now", plain)); err != nil {
		t.Fatal(err)
	}
	w.check(w.db.Rows())
}

// stored is the newest checkpoint as it is stored.
func (w *world) stored() string { return string(w.record().Encode()) }

package pipeline_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tailer-io/tailer/internal/deadletter"
	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/outboxtest"
	"github.com/tailer-io/tailer/internal/pipeline"
)

// bad makes rows poison.
func bad(ids ...string) func(*instance) {
	return func(i *instance) {
		i.client.Poison = func(v []byte) bool { return slices.Contains(ids, string(v)) }
	}
}

func (w *world) deadLetter() {
	w.change = func(c *pipeline.Config) { c.OnPoison = pipeline.DeadLetter }
}

// letters are the dead letters that a consumer sees, by the ids of their rows.
func (w *world) letters() (list []deadletter.Letter) {
	w.t.Helper()
	for _, r := range outboxtest.NewTopic(w.br, letters).Records() {
		var l deadletter.Letter
		if err := json.Unmarshal(r.Value, &l); err != nil {
			w.t.Fatalf("%s: %v", r.Value, err)
		}
		if string(r.Key) != *l.ID || string(r.Headers[0].Value) != l.Table || string(r.Headers[1].Value) != l.Reason {
			w.t.Errorf("key %q, headers %q do not go with %+v", r.Key, r.Headers, l)
		}
		list = append(list, l)
	}
	return list
}

// checkLetters compares the rows of the dead letters.
func (w *world) checkLetters(want ...string) {
	w.t.Helper()
	var got []string
	for _, l := range w.letters() {
		got = append(got, *l.ID)
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("dead letters %q, want %q", got, want)
	}
}

func without(all []string, ids ...string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(id string) bool { return slices.Contains(ids, id) })
}

func refusal(t *testing.T, err error, reason string, words ...string) {
	t.Helper()
	var r *outbox.Refusal
	if !errors.As(err, &r) || r.Reason != reason {
		t.Fatalf("got %v, want a refusal %s", err, reason)
	}
	for _, word := range words {
		if !strings.Contains(r.Error(), word) {
			t.Errorf("%q does not say %q", r.Error(), word)
		}
	}
}

// Rows anywhere in cut and whole transactions go to the dead-letter topic, and
// all others are published.
func TestDeadLettersKeepTheWholeRow(t *testing.T) {
	for n := range 8 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w := newWorld(t)
			w.finish()
			w.db.Insert(rows("a", 0, 2)...)
			w.db.Insert(rows("a", 2, 6)...)
			w.deadLetter()
			id, last := fmt.Sprint("a-", n), "a-7"
			if err := w.end(w.start("now", bad(id, last))); err != nil {
				t.Fatal(err)
			}
			w.check(without(w.db.Rows(), id, last))
			w.checkLetters(slices.Compact([]string{id, last})...)
			l := w.letters()[0]
			txn, ordinal := "txn1", uint64(n+1)
			if n >= 2 {
				txn, ordinal = "txn2", uint64(n-1)
			}
			text := id + "order" + "a" + id
			sum := sha256.Sum256([]byte(text))
			if l.Version != 1 || l.Name != "test" || l.Source.Identity != "sys/db" || l.Table != "outbox" || l.Transaction != txn ||
				l.Ordinal != ordinal || l.Position == "" || l.Reason != "the test says so" || l.Length != len(text) ||
				l.SHA256 != hex.EncodeToString(sum[:]) || l.Time.IsZero() || l.Committed.IsZero() || l.Tailer != "1" {
				t.Errorf("%+v", l)
			}
			for name, want := range map[string]string{"id": id, "aggregatetype": "order", "aggregateid": "a", "payload": id} {
				if v, _ := l.Columns.Find(name); string(v) != want {
					t.Errorf("column %s is %q, want %q", name, v, want)
				}
			}
			if len(l.Shape) != 4 || l.Shape[0].Name != "id" || l.RowID != nil {
				t.Errorf("shape %+v, row id %v", l.Shape, l.RowID)
			}
		})
	}
}

// Whatever fails, and wherever the process crashes: each row is published or
// buried once.
func TestDeadLettersThroughFaults(t *testing.T) {
	poison := []string{"a-1", "b-0", "b-4", "b-7", "c-1"}
	for _, call := range []outboxtest.Call{outboxtest.Join, outboxtest.Produce, outboxtest.Commit, outboxtest.Newest} {
		for n := 1; n <= 7; n++ {
			for _, done := range []bool{false, true} {
				for _, crash := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s/%d/done=%t/crash=%t", call, n, done, crash), func(t *testing.T) {
						t.Parallel()
						w := newWorld(t)
						w.deadLetter()
						w.db.Insert(rows("a", 0, 3)...) // for the snapshot
						var first *instance
						ready := make(chan struct{})
						fault := outboxtest.Fault{Call: call, N: n, Done: done}
						if crash {
							fault.Then = func() { <-ready; first.crash() }
						}
						w.br.Inject(fault)
						first = w.start("", bad(poison...))
						close(ready)
						w.db.Insert(rows("a", 3, 2)...)
						w.db.Insert(rows("b", 0, 8)...) // cut into three
						if crash && w.within(5*time.Second, w.br.Fired) {
							w.end(first)
						} else {
							w.wait(13) // letters too
							first.crash()
							w.end(first)
						}
						w.br.Inject()
						w.db.Insert(rows("c", 0, 2)...)
						if err := w.end(w.start("now", bad(poison...))); err != nil {
							t.Fatal(err)
						}
						w.check(without(w.db.Rows(), poison...))
						w.checkLetters(poison...)
					})
				}
			}
		}
	}
}

// Without transactions nothing is lost either.
func TestDeadLettersAtLeastOnce(t *testing.T) {
	w := newWorld(t)
	w.change = func(c *pipeline.Config) {
		c.OnPoison, c.Transactional = pipeline.DeadLetter, false
		c.Sink.(*outboxtest.Client).AtLeastOnce = true
	}
	w.finish()
	w.db.Insert(rows("a", 0, 8)...)
	w.br.Inject(outboxtest.Fault{Call: outboxtest.Produce, N: 3, Done: true}, outboxtest.Fault{Call: outboxtest.Produce, N: 7})
	if err := w.end(w.start("now", bad("a-0", "a-5"))); err != nil {
		t.Fatal(err)
	}
	if !w.br.Fired() {
		t.Error("there was no fault")
	}
	var got []string
	for _, l := range w.letters() {
		got = append(got, *l.ID)
	}
	slices.Sort(got)
	sent := w.published()
	slices.Sort(sent)
	if !slices.Equal(slices.Compact(got), []string{"a-0", "a-5"}) || !slices.Equal(slices.Compact(sent), without(w.db.Rows(), "a-0", "a-5")) {
		t.Errorf("dead letters %q, published %q", got, sent)
	}
}

// A row too large for the dead-letter topic is named there, with what finds it
// again.
func TestDeadLetterTooLargeForItsTopic(t *testing.T) {
	w := newWorld(t)
	w.deadLetter()
	large := "a-" + strings.Repeat("x", 5000)
	w.db.Insert("a-0", large)
	room := func(i *instance) { i.client.MaxValue = 6000 }
	if err := w.end(w.start("now", bad(large, "a-0"), room)); err != nil {
		t.Fatal(err)
	}
	w.checkLetters("a-0", large)
	l := w.letters()
	sum := sha256.Sum256([]byte(large + "order" + "a" + large))
	id, _ := l[1].RowID.Find("id")
	if l[0].Columns == nil || l[1].Columns != nil || l[1].Shape != nil || string(id) != large || l[1].Length != 2*len(large)+6 ||
		l[1].SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("%+v", l)
	}
}

// A dead letter that cannot be written halts, and nothing is lost.
func TestDeadLetterRefusedHalts(t *testing.T) {
	for n := range 8 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w := newWorld(t)
			w.finish()
			w.db.Insert(rows("a", 0, 8)...)
			w.deadLetter()
			id := fmt.Sprint("a-", n)
			err := w.end(w.start("now", bad("a-0", "a-2", "a-3", id), func(i *instance) {
				i.client.PoisonLetter = func(key []byte) bool { return string(key) == id }
			}))
			refusal(t, err, "poison", id, "the test says so; and it cannot be kept as a dead letter: the test says so", "tailer checkpoint skip --id "+id)
			before := rows("a", 0, n)
			w.check(without(before, "a-0", "a-2", "a-3"))
			w.checkLetters(slices.DeleteFunc([]string{"a-0", "a-2", "a-3"}, func(s string) bool { return !slices.Contains(before, s) })...)
			w.change = nil
			if err := w.end(w.start("now")); err != nil {
				t.Fatal(err)
			}
			if got := len(w.letters()); got+len(w.published()) != 8 {
				t.Errorf("%d letters and %q, of 8 rows", got, w.published())
			}
		})
	}
}

func (w *world) published() []string {
	_, got := w.br.Committed(topic, letters)
	return got
}

// skip steps over exactly the row that halted, wherever it stands.
func TestSkipHalted(t *testing.T) {
	for _, keep := range []bool{false, true} {
		for n := range 8 {
			t.Run(fmt.Sprintf("keep=%t/%d", keep, n), func(t *testing.T) {
				w := newWorld(t)
				w.finish()
				ctx := context.Background()
				_, _, err := w.idle().SkipHalted(ctx, "a-0", keep)
				refusal(t, err, "not_halted", "has not halted")
				w.db.Insert(rows("a", 0, 2)...)
				w.db.Insert(rows("a", 2, 5)...)
				w.db.Insert("a-7")
				id := fmt.Sprint("a-", n)
				refusal(t, w.end(w.start("now", bad(id))), "poison", "tailer checkpoint skip --id "+id)
				_, _, err = w.idle().SkipHalted(ctx, "a-9", keep)
				refusal(t, err, "not_halted", "another row", id)
				row, old, err := w.idle().SkipHalted(ctx, id, keep)
				if err != nil || row.ID != id || old.Halted == nil {
					t.Fatalf("%+v, %+v, %v", row, old, err)
				}
				_, _, err = w.idle().SkipHalted(ctx, id, keep)
				refusal(t, err, "not_halted")
				if err := w.end(w.start("now")); err != nil {
					t.Fatal(err)
				}
				w.check(without(w.db.Rows(), id))
				if keep {
					w.checkLetters(id)
				} else {
					w.checkLetters()
				}
			})
		}
	}
}

// Two rows in a row halt, and both are stepped over.
func TestSkipHaltedTwice(t *testing.T) {
	w := newWorld(t)
	w.finish()
	w.db.Insert(rows("a", 0, 8)...)
	for _, id := range []string{"a-3", "a-4"} {
		refusal(t, w.end(w.start("now", bad("a-3", "a-4"))), "poison", id)
		if _, _, err := w.idle().SkipHalted(context.Background(), id, true); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.end(w.start("now")); err != nil {
		t.Fatal(err)
	}
	w.check(without(w.db.Rows(), "a-3", "a-4"))
	w.checkLetters("a-3", "a-4")
}

func TestSkipHaltedNeedsTheLock(t *testing.T) {
	w := newWorld(t)
	i := w.start("")
	w.db.Insert("a-0")
	w.wait(1)
	_, _, err := w.idle().SkipHalted(context.Background(), "a-0", false)
	refusal(t, err, "active", "stop it first")
	// One that is just ending is waited for.
	time.AfterFunc(200*time.Millisecond, i.crash)
	_, _, err = w.idle().SkipHalted(context.Background(), "a-0", false)
	refusal(t, err, "not_halted")
	w.end(i)
}

// The dead letter and the checkpoint behind its row are there together, or not.
func TestSkipHaltedThroughFaults(t *testing.T) {
	for _, call := range []outboxtest.Call{outboxtest.Join, outboxtest.Produce, outboxtest.Commit} {
		for n := 1; n <= 2; n++ { // the barrier's, the letter's
			for _, done := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d/done=%t", call, n, done), func(t *testing.T) {
					w := newWorld(t)
					w.finish()
					w.db.Insert(rows("a", 0, 4)...)
					refusal(t, w.end(w.start("now", bad("a-2"))), "poison")
					w.br.Inject(outboxtest.Fault{Call: call, N: n, Done: done})
					if _, _, err := w.idle().SkipHalted(context.Background(), "a-2", true); err == nil {
						t.Fatal("the fault went unnoticed")
					}
					w.br.Inject()
					committed := call == outboxtest.Commit && n == 2 && done
					_, _, err := w.idle().SkipHalted(context.Background(), "a-2", true)
					if committed {
						refusal(t, err, "not_halted")
					} else if err != nil {
						t.Fatal(err)
					}
					if err := w.end(w.start("now")); err != nil {
						t.Fatal(err)
					}
					w.check(without(w.db.Rows(), "a-2"))
					w.checkLetters("a-2")
				})
			}
		}
	}
}

// The snapshot follows the same policies; halted, it publishes nothing, and a row
// that is stepped over is left out of it.
func TestPoisonInTheSnapshot(t *testing.T) {
	for _, policy := range []string{pipeline.Skip, pipeline.DeadLetter} {
		t.Run(policy, func(t *testing.T) {
			w := newWorld(t)
			w.change = func(c *pipeline.Config) { c.OnPoison = policy }
			w.db.Insert(rows("a", 0, 8)...)
			i := w.start("now", bad("a-0", "a-5"))
			if err := w.end(i); err != nil {
				t.Fatal(err)
			}
			w.check(without(w.db.Rows(), "a-0", "a-5"))
			action := strings.ReplaceAll(policy, "-", "_")
			if s := i.Status(); s.Poison[action] != 2 || s.Published != 6 {
				t.Errorf("status %+v", s)
			}
			if policy == pipeline.DeadLetter {
				w.checkLetters("a-0", "a-5")
			} else {
				w.checkLetters()
			}
		})
	}
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("halt/keep=%t", keep), func(t *testing.T) {
			w := newWorld(t)
			w.db.Insert(rows("a", 0, 8)...)
			for _, id := range []string{"a-4", "a-6"} {
				refusal(t, w.end(w.start("now", bad("a-4", "a-6"))), "poison", id, "nothing of the snapshot is published", "checkpoint skip --id "+id)
				w.check(nil)
				if w.br.Open() {
					t.Error("the snapshot's transaction was left open")
				}
				if _, _, err := w.idle().SkipHalted(context.Background(), id, keep); err != nil {
					t.Fatal(err)
				}
			}
			// a-6 fits by now: it is left out all the same.
			if err := w.end(w.start("now", bad("a-4"))); err != nil {
				t.Fatal(err)
			}
			w.check(without(w.db.Rows(), "a-4", "a-6"))
			if keep {
				w.checkLetters("a-4", "a-6")
			} else {
				w.checkLetters()
			}
		})
	}
}

// Rows that are left out are counted each, and logged at most once a minute.
func TestLeftOutRowsAreLoggedOnceAMinute(t *testing.T) {
	for policy, text := range map[string]string{pipeline.Skip: "skipped rows", pipeline.DeadLetter: "dead-letter topic"} {
		t.Run(policy, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				var out bytes.Buffer
				w.log = slog.New(slog.NewTextHandler(&out, nil))
				w.change = func(c *pipeline.Config) { c.OnPoison = policy }
				i := w.start("", bad(rows("a", 0, 200)...))
				time.Sleep(time.Second)
				for n := range 100 {
					w.db.Insert(rows("a", 2*n, 2)...)
					time.Sleep(time.Second)
				}
				i.crash()
				w.end(i)
				logged := strings.Count(out.String(), text)
				if logged != 2 || !strings.Contains(out.String(), "rows=2 total=2 ") || !strings.Contains(out.String(), "rows=120 total=122 ") {
					t.Errorf("%d lines:\n%s", logged, out.String())
				}
				if s := i.Status(); s.Poison[strings.ReplaceAll(policy, "-", "_")] != 200 || s.Published != 0 {
					t.Errorf("status %+v", s)
				}
			})
		})
	}
}

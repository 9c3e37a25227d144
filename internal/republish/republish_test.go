package republish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/tailer-io/tailer/internal/mapping"
	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/outboxtest"
)

type world struct {
	t  *testing.T
	db *outboxtest.Database
	br *outboxtest.Broker
}

func newWorld(t *testing.T) *world {
	w := &world{t, outboxtest.NewDatabase(), outboxtest.NewBroker()}
	for i := range 7 {
		w.db.Insert(fmt.Sprint("a-", i))
	}
	w.db.Insert("b-0", "b-1")
	return w
}

// run publishes the rows that begin like this; before may adapt everything.
func (w *world) run(where string, before func(*Config, *outboxtest.Client)) (Summary, []string, error) {
	w.t.Helper()
	m, err := mapping.New(mapping.Config{Tables: []mapping.Table{{Name: "outbox"}}})
	if err != nil {
		w.t.Fatal(err)
	}
	rows, err := outboxtest.NewSource(w.db).Chosen(context.Background(), outbox.Filter{Where: where})
	if err != nil {
		w.t.Fatal(err)
	}
	client := outboxtest.NewClient(w.br, "none")
	cfg := Config{Tables: []string{"outbox"}, Rows: rows, Mapper: m, Sink: client, Limits: outbox.Limits{Rows: 3, Bytes: 1 << 20}}
	if before != nil {
		before(&cfg, client)
	}
	var poison []string
	sum, err := Run(context.Background(), cfg, slog.New(slog.DiscardHandler), func(q outbox.Poison) {
		if q.Table != "outbox" || q.Reason == "" {
			w.t.Errorf("a row that cannot be published is told of as %+v", q)
		}
		poison = append(poison, q.ID)
	})
	return sum, poison, err
}

// published are the values that consumers see; nothing may be left open.
func (w *world) published(want ...string) {
	w.t.Helper()
	if _, got := w.br.Committed(); !slices.Equal(got, want) {
		w.t.Errorf("published %v, want %v", got, want)
	}
	if w.br.Open() {
		w.t.Error("a transaction is open")
	}
}

func a(numbers ...int) (ids []string) {
	for _, n := range numbers {
		ids = append(ids, fmt.Sprint("a-", n))
	}
	return ids
}

func TestChosenRowsArePublished(t *testing.T) {
	w := newWorld(t)
	sum, _, err := w.run("a", nil)
	if err != nil || !slices.Equal(sum.Published, []int{7}) {
		t.Errorf("%+v, %v", sum, err)
	}
	w.published(a(0, 1, 2, 3, 4, 5, 6)...)
	if sum, _, err = w.run("none", nil); err != nil || sum.Published[0] != 0 {
		t.Errorf("no rows: %+v, %v", sum, err)
	}
	sum, _, err = w.run("b", func(c *Config, _ *outboxtest.Client) { c.DryRun = true })
	if err != nil || sum.Published[0] != 2 {
		t.Errorf("dry run: %+v, %v", sum, err)
	}
	w.published(a(0, 1, 2, 3, 4, 5, 6)...)
}

func TestAnotherTopicTakesThemAll(t *testing.T) {
	w := newWorld(t)
	if _, _, err := w.run("b", func(c *Config, _ *outboxtest.Client) { c.Topic = "rebuilt" }); err != nil {
		t.Fatal(err)
	}
	if n := len(outboxtest.NewTopic(w.br, "rebuilt").Records()); n != 2 {
		t.Errorf("%d records", n)
	}
}

// One row that cannot be published keeps all from being, also those that were
// sent before it was met; all such rows are named.
func TestPoisonKeepsAllFromBeingPublished(t *testing.T) {
	bad := func(c *outboxtest.Client) {
		c.Poison = func(v []byte) bool { return string(v) == "a-4" || strings.HasPrefix(string(v), "b-1") }
	}
	w := newWorld(t)
	sum, poison, err := w.run("", func(_ *Config, c *outboxtest.Client) { bad(c) })
	if !errors.Is(err, ErrPoison) || sum.Poison != 2 || sum.Published[0] != 0 || !slices.Equal(poison, []string{"a-4", "b-1"}) {
		t.Errorf("%+v, %v, %v", sum, poison, err)
	}
	w.published()
	sum, _, err = w.run("", func(cfg *Config, c *outboxtest.Client) { bad(c); cfg.SkipPoison = true })
	if err != nil || sum.Published[0] != 7 || sum.Poison != 2 {
		t.Errorf("left out: %+v, %v", sum, err)
	}
	w.published(append(a(0, 1, 2, 3, 5, 6), "b-0")...)
}

// Whatever fails, all rows are there or none, and no consumer is kept waiting by
// a transaction that was left open.
func TestFaultsLeaveAllOrNothing(t *testing.T) {
	for _, call := range []outboxtest.Call{outboxtest.Fence, outboxtest.Join, outboxtest.Produce, outboxtest.Commit} {
		for n := 1; n <= 3; n++ {
			for _, done := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d/done=%t", call, n, done), func(t *testing.T) {
					w := newWorld(t)
					w.br.Inject(outboxtest.Fault{Call: call, N: n, Done: done})
					_, _, err := w.run("a", nil)
					if fired := w.br.Fired(); fired != (err != nil) {
						t.Fatalf("the fault has happened: %v; it said %v", fired, err)
					}
					if err == nil || call == outboxtest.Commit && done {
						w.published(a(0, 1, 2, 3, 4, 5, 6)...)
					} else {
						w.published()
					}
				})
			}
		}
	}
}

package pipeline_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/tailer-io/tailer/internal/outboxtest"
	"github.com/tailer-io/tailer/internal/pipeline"
)

func TestRemovedTableIsForgotten(t *testing.T) {
	w := streamed(t)
	w.both()
	w.finishOld()
	w.change = nil // the second one is not configured any more
	w.db.Insert("a-5", "new.b-5")
	refusal(t, w.end(w.start("now")), "tables_changed", "new", "tailer checkpoint forget-table")

	forget := func(table string) error { _, _, err := w.idle().ForgetTable(context.Background(), table); return err }
	refusal(t, forget("outbox"), "tables_changed", "is configured")
	refusal(t, forget("odd"), "tables_changed", "does not know table odd", "new, outbox")
	holder := outboxtest.NewSource(w.db)
	if held, _, err := holder.TryLock(context.Background()); !held || err != nil {
		t.Fatalf("the lock: %t, %v", held, err)
	}
	refusal(t, forget("new"), "active")
	holder.Close()
	old, did, err := w.idle().ForgetTable(context.Background(), "new")
	if err != nil || old == nil || did == "" {
		t.Fatalf("%v, %q, %v", old, did, err)
	}
	if got := w.db.Published(); slices.Contains(got, "new") {
		t.Errorf("published are %q", got)
	}
	w.finishOld()
	w.checkBoth("new.b-5")

	// Configured again it is a new one, with a snapshot.
	w.both()
	w.finishOld()
	if _, got := w.br.Committed(topic); !slices.Contains(got, "new.b-5") {
		t.Errorf("new.b-5 is not published: %v", got)
	}
}

func TestForgettingFailsAtTheLog(t *testing.T) {
	w := streamed(t)
	w.both()
	w.finishOld()
	w.change = func(c *pipeline.Config) {
		c.Source.(*outboxtest.Source).At = func(step string) error {
			if step == "withdraw" {
				return errors.New("not the owner")
			}
			return nil
		}
	}
	old, _, err := w.idle().ForgetTable(context.Background(), "new")
	if err == nil || old == nil {
		t.Fatalf("%v, %v", old, err)
	}
	w.change = nil
	w.db.Insert("a-5", "new.b-5") // which the log brings, and nobody wants
	w.finishOld()
	w.checkBoth("new.b-5")
}

// A record inside a transaction counts rows of the old list.
func TestForgettingRefusesInsideATransaction(t *testing.T) {
	w := streamed(t)
	w.both()
	w.finishOld()
	w.db.Insert("a-5", "new.b-5", "a-6", "a-7", "new.b-6", "a-8", "a-9", "a-10", "new.b-7")
	i := w.start("")
	w.br.Inject(outboxtest.Fault{Call: outboxtest.Join, N: 3, Then: i.crash})
	w.end(i)
	w.br.Inject()
	if w.record().Open == nil {
		t.Skipf("it was not stopped inside the transaction: %s", w.record().Encode())
	}
	w.change = nil
	_, _, err := w.idle().ForgetTable(context.Background(), "new")
	refusal(t, err, "tables_changed", "inside a transaction", "run once with the old list")
	w.both()
	w.finishOld()
	w.change = nil
	if _, _, err := w.idle().ForgetTable(context.Background(), "new"); err != nil {
		t.Fatal(err)
	}
}

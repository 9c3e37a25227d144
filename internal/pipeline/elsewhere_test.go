package pipeline_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/outboxtest"
	"github.com/tailer-io/tailer/internal/pipeline"
)

// A command with the wrong database finds that database's lock free, and must
// not forget the checkpoint of the instance that is active with another one.
func TestOperatorCommandBesideAnInstanceOfAnotherDatabase(t *testing.T) {
	besideAnother(t, func(wrong *outboxtest.Database) { wrong.ID = "sys/other" })
}

// So with another server: identities are the same where databases are told by
// their names, and the one that a standby was promoted from may still be there.
func TestOperatorCommandBesideAnInstanceOfAnotherServer(t *testing.T) {
	besideAnother(t, func(wrong *outboxtest.Database) { wrong.Branch = "2" })
}

func besideAnother(t *testing.T, other func(*outboxtest.Database)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.change = func(c *pipeline.Config) {
			if w.starts == 1 {
				c.Instance = "db1/17/x"
			}
		}
		w.db.Insert(rows("a", 0, 3)...)
		i := w.start("")
		synctest.Wait()
		right := w.db
		wrong := outboxtest.NewDatabase()
		other(wrong)
		reset := func() error {
			w.db = wrong
			defer func() { w.db = right }()
			_, err := w.idle().ResetCheckpoint(context.Background())
			return err
		}
		var r *outbox.Refusal
		if err := reset(); !errors.As(err, &r) || r.Reason != "active" || !strings.Contains(r.Text, "process 17 on host db1") {
			t.Fatalf("reset with another database beside an active instance: %v", err)
		}
		right.Insert(rows("a", 3, 3)...)
		time.Sleep(time.Second)
		if n := i.Status().Published; n != 6 || i.Status().State != pipeline.CaughtUp {
			t.Errorf("the active instance was disturbed: %+v", i.Status())
		}
		i.crash()
		<-i.done
		if err := reset(); err != nil {
			t.Fatalf("reset once it has ended: %v", err)
		}
		if rec, err := w.idle().ShowCheckpoint(context.Background()); rec != nil || err != nil {
			t.Fatalf("show after reset: %v, %v", rec, err)
		}
	})
}

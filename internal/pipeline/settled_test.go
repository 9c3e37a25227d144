package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tailer-io/tailer/internal/checkpoint"
	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/pipeline"
)

// lateTopic shows an older record until it is settled, as a topic does while the
// markers of the last transaction are being written; one that never settles has
// a transaction that nobody ends.
type lateTopic struct {
	pipeline.CheckpointTopic
	older          []byte
	never, settled bool
}

func (t *lateTopic) Newest(ctx context.Context, keys []string, upTo *outbox.Barrier) (map[string][]byte, error) {
	got, err := t.CheckpointTopic.Newest(ctx, keys, upTo)
	if upTo == nil && !t.settled && err == nil {
		got["test"] = t.older
	}
	return got, err
}

func (t *lateTopic) Settled(ctx context.Context) error {
	if t.never {
		<-ctx.Done()
		return ctx.Err()
	}
	t.settled = true
	return nil
}

// A command right after a tailer has ended must not take the record before the
// last one for the newest: whoever goes on from it publishes a batch again.
func TestCommandsWaitForTheLastTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		run := func(keys ...string) []byte {
			t.Helper()
			w.db.Insert(keys...)
			if err := w.end(w.start("now")); err != nil {
				t.Fatal(err)
			}
			rec, err := w.idle().ShowCheckpoint(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			return rec.Encode()
		}
		older, newest := run("a-1"), run("a-2")
		var said bytes.Buffer
		for _, never := range []bool{false, true} {
			w.log = slog.New(slog.NewTextHandler(&said, nil))
			w.change = func(c *pipeline.Config) {
				c.Topic = &lateTopic{CheckpointTopic: c.Topic, older: older, never: never}
			}
			want, warned := newest, never
			if never {
				want = older // and it is said
			}
			rec, err := w.idle().ShowCheckpoint(context.Background())
			if err != nil || !bytes.Equal(rec.Encode(), want) {
				t.Errorf("never settled %t: show gives %s, %v", never, rec.Encode(), err)
			}
			if strings.Contains(said.String(), "a transaction of this name is open") != warned {
				t.Errorf("never settled %t: it says %s", never, said.String())
			}
		}
		// Behind its own fence a command knows, whatever it saw before.
		last, err := checkpoint.Decode(newest)
		if err != nil {
			t.Fatal(err)
		}
		old, err := w.idle().SetCheckpoint(context.Background(), func(context.Context) (outbox.Resume, error) { return last.Resume(), nil })
		if err != nil || old == nil || !bytes.Equal(old.Encode(), newest) {
			t.Errorf("set replaces %+v, %v", old, err)
		}
	})
}

// A start right after a command has replaced a record that did not fit must not
// refuse the one before it; one that is there for good is refused.
func TestAStartRefusesNoRecordThatIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.db.Insert("a-1")
		if err := w.end(w.start("now")); err != nil {
			t.Fatal(err)
		}
		rec, err := w.idle().ShowCheckpoint(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		rec.Tables = append(rec.Tables, "zoo")
		for _, never := range []bool{false, true} {
			w.change = func(c *pipeline.Config) {
				c.Topic = &lateTopic{CheckpointTopic: c.Topic, older: rec.Encode(), never: never}
			}
			err := w.end(w.start("now"))
			if refusal := new(outbox.Refusal); errors.As(err, &refusal) != never || err != nil != never {
				t.Errorf("never settled %t: it ends with %v", never, err)
			}
		}
	})
}

package pipeline

import (
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/checkpoint"
	"github.com/tailer-io/tailer/internal/outbox"
)

// The checkpoint must not claim of a transaction that it is published whole
// when only a part of it is: an operator chooses by it what is not.
func TestLastCommit(t *testing.T) {
	before, first, second := time.Unix(100, 0).UTC(), time.Unix(200, 0).UTC(), time.Unix(300, 0).UTC()
	shape := &outbox.Shape{Columns: []outbox.Column{{Name: "id"}}}
	batch := func(open *outbox.Open, commits ...time.Time) *outbox.Batch {
		b := &outbox.Batch{}
		for _, c := range commits {
			b.Begin([]byte("txn"), c, 0)
			b.Add(shape)
			b.End([]byte("0/1"))
		}
		b.Resume.Open = open
		return b
	}
	cut := &outbox.Open{Txn: "txn", Rows: 1}
	for name, c := range map[string]struct {
		b      *outbox.Batch
		halted bool
		want   time.Time
	}{
		"no rows":              {batch(nil), false, before},
		"two transactions":     {batch(nil, first, second), false, second},
		"the second is cut":    {batch(cut, first, second), false, first},
		"the only one is cut":  {batch(cut, first), false, before},
		"it halts at some row": {batch(nil, first, second), true, before},
	} {
		p := &Pipeline{last: &checkpoint.Record{LastCommit: before}}
		if got := p.lastCommit(c.b, c.halted); !got.Equal(c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if got := new(Pipeline).lastCommit(batch(nil), false); !got.IsZero() {
		t.Errorf("nothing is known: %s", got)
	}
}

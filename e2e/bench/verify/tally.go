// Package verify decides whether what arrived in Kafka is a backlog: every event once, under its key, in its topic,
// in the order of its key there. It looks at one record at a time, so that ten million take no memory to speak of.
package verify

import (
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailer-io/tailer/e2e/bench/source"
)

// FirstWarm is the number of the first event that is no part of any backlog: such events only show that a relay
// carries something, and are not looked at.
const FirstWarm = 1 << 36

// TopicPrefix is what the aggregate type stands behind in a topic's name.
const TopicPrefix = "outbox.event."

// Tally is what arrived so far.
type Tally struct {
	backlog source.Backlog
	seen    []bool        // by event
	newest  map[place]int // the newest event
	wrong   error         // the first

	Events  int // different ones
	Doubles int
	First   time.Time // of the appends
	Last    time.Time
}

// place is where order counts: a key in a topic.
type place struct{ kind, key int }

// New begins a tally of a backlog.
func New(backlog source.Backlog) *Tally {
	return &Tally{backlog: backlog, seen: make([]bool, backlog.Events), newest: map[place]int{}}
}

// Add counts a record and returns its event; ok is false when it is none of the backlog.
func (t *Tally) Add(r *kgo.Record) (event int, ok bool) {
	id := ""
	for _, h := range r.Headers {
		if h.Key == "id" {
			id = string(h.Value)
		}
	}
	n, err := source.Number(id)
	switch {
	case err != nil:
		t.fail("%s/%d, offset %d: %w", r.Topic, r.Partition, r.Offset, err)
		return 0, false
	case n >= FirstWarm:
		return 0, false
	case n >= t.backlog.Events:
		t.fail("event %d of %d", n, t.backlog.Events)
		return 0, false
	}
	if t.Events == 0 || r.Timestamp.Before(t.First) {
		t.First = r.Timestamp
	}
	if r.Timestamp.After(t.Last) {
		t.Last = r.Timestamp
	}
	if t.seen[n] {
		t.Doubles++
		return n, true
	}
	t.seen[n] = true
	t.Events++
	t.check(r, n)
	return n, true
}

// check looks at the first copy of an event.
func (t *Tally) check(r *kgo.Record, n int) {
	key, topic := t.backlog.Key(n), TopicPrefix+t.backlog.Kind(n)
	if string(r.Key) != key {
		t.fail("event %d has the key %q, not %q", n, r.Key, key)
	}
	if r.Topic != topic {
		t.fail("event %d is in topic %s, not %s", n, r.Topic, topic)
	}
	number, _, _ := strings.Cut(string(r.Value[:min(len(r.Value), 20)]), " ")
	if len(r.Value) != t.backlog.Size || number != fmt.Sprint(n) {
		t.fail("event %d has %d bytes that begin with %q, not %d bytes", n, len(r.Value), number, t.backlog.Size)
	}
	at := place{n % t.backlog.Kinds, n % t.backlog.Keys}
	before, any := t.newest[at]
	if any && before > n {
		t.fail("event %d came after event %d of the same key", n, before)
	}
	t.newest[at] = n
}

func (t *Tally) fail(format string, args ...any) {
	if t.wrong == nil {
		t.wrong = fmt.Errorf(format, args...)
	}
}

// Wrong is what is wrong with it now that all has arrived that will.
func (t *Tally) Wrong(exactlyOnce bool) error {
	switch {
	case t.wrong != nil:
		return t.wrong
	case t.Events < len(t.seen):
		return fmt.Errorf("%d of %d events", t.Events, len(t.seen))
	case t.Doubles > 0 && exactlyOnce:
		return fmt.Errorf("%d doubles", t.Doubles)
	}
	return nil
}

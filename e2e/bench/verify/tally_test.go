package verify

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailer-io/tailer/e2e/bench/source"
)

var backlog = source.Backlog{Events: 40, Rows: 1, Size: 30, Keys: 3, Kinds: 2, Prefix: "k"}

// records are the backlog as it should arrive.
func records() []*kgo.Record {
	var list []*kgo.Record
	for n := range backlog.Events {
		list = append(list, record(n))
	}
	return list
}

func record(n int) *kgo.Record {
	return &kgo.Record{Topic: TopicPrefix + backlog.Kind(n), Key: []byte(backlog.Key(n)), Value: []byte(backlog.Payload(n)),
		Headers: []kgo.RecordHeader{{Key: "id", Value: []byte(source.ID(n))}}, Timestamp: time.UnixMilli(int64(1000 + n))}
}

func TestTally(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func([]*kgo.Record) []*kgo.Record
		once   string // what is wrong under exactly-once
		least  string // under at-least-once
	}{
		{"as it should be", func(r []*kgo.Record) []*kgo.Record { return r }, "", ""},
		{"warm events", func(r []*kgo.Record) []*kgo.Record { return append(r, record(FirstWarm), record(FirstWarm+2)) }, "", ""},
		{"lost", func(r []*kgo.Record) []*kgo.Record { return append(r[:7:7], r[8:]...) }, "39 of 40 events", "39 of 40 events"},
		{"doubled", func(r []*kgo.Record) []*kgo.Record { return append(r, r[39]) }, "1 doubles", ""},
		{"swapped", func(r []*kgo.Record) []*kgo.Record { r[3], r[9] = r[9], r[3]; return r },
			"event 3 came after event 9 of the same key", "event 3 came after event 9 of the same key"},
		{"other keys swapped", func(r []*kgo.Record) []*kgo.Record { r[3], r[4] = r[4], r[3]; return r }, "", ""},
		{"other topics swapped", func(r []*kgo.Record) []*kgo.Record { r[3], r[6] = r[6], r[3]; return r }, "", ""},
		{"other key", func(r []*kgo.Record) []*kgo.Record { r[5].Key = []byte("agg-0"); return r },
			`event 5 has the key "agg-0", not "agg-2"`, `event 5 has the key "agg-0", not "agg-2"`},
		{"other topic", func(r []*kgo.Record) []*kgo.Record { r[5].Topic = r[4].Topic; return r },
			"event 5 is in topic outbox.event.k-0, not outbox.event.k-1", "event 5 is in topic outbox.event.k-0, not outbox.event.k-1"},
		{"other value", func(r []*kgo.Record) []*kgo.Record { r[5].Value = r[6].Value; return r },
			`event 5 has 30 bytes that begin with "6", not 30 bytes`, `event 5 has 30 bytes that begin with "6", not 30 bytes`},
		{"not ours", func(r []*kgo.Record) []*kgo.Record { r[5].Headers = nil; return r },
			`outbox.event.k-1/0, offset 0: id "" is not of this benchmark`, `outbox.event.k-1/0, offset 0: id "" is not of this benchmark`},
	} {
		t.Run(c.name, func(t *testing.T) {
			tally := New(backlog)
			for _, r := range c.change(records()) {
				tally.Add(r)
			}
			for once, want := range map[bool]string{true: c.once, false: c.least} {
				got := ""
				if err := tally.Wrong(once); err != nil {
					got = err.Error()
				}
				if got != want {
					t.Errorf("exactly once %v: %q, want %q", once, got, want)
				}
			}
		})
	}
}

func TestTallyTimes(t *testing.T) {
	tally := New(backlog)
	list := records()
	for i := range list { // partitions come in any order
		tally.Add(list[(i+20)%len(list)])
	}
	if first, last := tally.First.UnixMilli(), tally.Last.UnixMilli(); first != 1000 || last != 1039 {
		t.Errorf("appended from %d to %d, want 1000 to 1039", first, last)
	}
}

package check

import (
	"bytes"
	"fmt"
	"sort"
	"strings"
)

// Mode says which guarantee is judged.
type Mode int

const (
	// ExactlyOnce allows no second copy of anything.
	ExactlyOnce Mode = iota
	// AtLeastOnce allows copies; the order of first appearance must still hold.
	AtLeastOnce
)

// Want is one message that must be in Kafka.
type Want struct {
	ID    string
	Topic string
	Key   string
	Value []byte // nil stands for SQL NULL and Kafka's null value; empty is something else
	Seq   int64  // commit order among the messages of Topic and Key, from 1; 0 demands no order
}

// Header is one record header.
type Header struct {
	Key   string
	Value []byte
}

// Record is one message as a consumer found it.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	Key       []byte // nil is a null key
	Value     []byte // nil is a null value
	Headers   []Header
	Millis    int64 // the record's timestamp, Unix milliseconds
}

// ID is the value of the header "id", and whether there is exactly one.
func (r *Record) ID() (string, bool) {
	var id string
	var n int
	for _, h := range r.Headers {
		if h.Key == "id" {
			id, n = string(h.Value), n+1
		}
	}
	return id, n == 1
}

func (r *Record) at() string { return fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, r.Offset) }

// Report is what a comparison found; each entry names one message. The zero value is a clean report.
type Report struct {
	Wanted, Read int

	Lost, Doubled, Disordered, Foreign, Wrong, Misplaced, Open, Led []string
}

// Clean reports whether nothing was found.
func (r *Report) Clean() bool {
	for _, c := range r.classes() {
		if len(c.found) > 0 {
			return false
		}
	}
	return true
}

type class struct {
	name  string
	found []string
}

func (r *Report) classes() []class {
	return []class{
		{"lost", r.Lost}, {"doubled", r.Doubled}, {"disordered", r.Disordered}, {"foreign", r.Foreign},
		{"wrong", r.Wrong}, {"misplaced", r.Misplaced}, {"open", r.Open}, {"led", r.Led},
	}
}

// String gives one line of counts and up to five examples of each finding.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "wanted %d, read %d", r.Wanted, r.Read)
	for _, c := range r.classes() {
		fmt.Fprintf(&b, ", %s %d", c.name, len(c.found))
	}
	for _, c := range r.classes() {
		for i, f := range c.found {
			if i == 5 {
				fmt.Fprintf(&b, "\n  %s: and %d more", c.name, len(c.found)-i)
				break
			}
			fmt.Fprintf(&b, "\n  %s: %s", c.name, f)
		}
	}
	return b.String()
}

// stream is what one key has on one partition: the unit in which Kafka keeps an order.
type stream struct {
	topic     string
	partition int32
	key       string
}

// Compare judges the records of all topics against everything committed. partitions holds the partition count
// of each topic; a topic without one is not checked for placement. Records may come in any order: they are
// judged by offset.
func Compare(want []Want, got []Record, partitions map[string]int32, mode Mode) *Report {
	report := &Report{Wanted: len(want), Read: len(got)}

	byID := make(map[string]*Want, len(want))
	for i := range want {
		byID[want[i].ID] = &want[i]
	}
	if len(byID) != len(want) {
		// A list that names an id twice would let a doubled message pass for two wanted ones.
		report.Wrong = append(report.Wrong, fmt.Sprintf("the list itself names %d ids twice", len(want)-len(byID)))
	}

	sorted := make([]*Record, len(got))
	for i := range got {
		sorted[i] = &got[i]
	}
	sort.Slice(sorted, func(i, j int) bool {
		a, b := sorted[i], sorted[j]
		if a.Topic != b.Topic {
			return a.Topic < b.Topic
		}
		if a.Partition != b.Partition {
			return a.Partition < b.Partition
		}
		return a.Offset < b.Offset
	})

	seen := make(map[string]*Record, len(want))
	newest := map[stream]*Want{}
	for _, r := range sorted {
		id, ok := r.ID()
		w := byID[id]
		if !ok || w == nil || w.Topic != r.Topic {
			report.Foreign = append(report.Foreign, fmt.Sprintf("%s id %q key %q", r.at(), id, r.Key))
			continue
		}
		if what := differs(w, r); what != "" {
			report.Wrong = append(report.Wrong, fmt.Sprintf("%s id %s: %s", r.at(), id, what))
		}
		if n := partitions[r.Topic]; n > 0 && r.Key != nil && Partition(r.Key, n) != r.Partition {
			report.Misplaced = append(report.Misplaced,
				fmt.Sprintf("%s id %s: key %q belongs on %d", r.at(), id, r.Key, Partition(r.Key, n)))
		}
		if first := seen[id]; first != nil {
			if mode == ExactlyOnce {
				report.Doubled = append(report.Doubled, fmt.Sprintf("id %s at %s and %s", id, first.at(), r.at()))
			}
			continue // A copy says nothing about the order of first appearance.
		}
		seen[id] = r
		if w.Seq == 0 {
			continue
		}
		s := stream{r.Topic, r.Partition, w.Key}
		if n := newest[s]; n != nil && n.Seq > w.Seq {
			report.Disordered = append(report.Disordered,
				fmt.Sprintf("%s id %s: key %s number %d comes behind number %d", r.at(), id, w.Key, w.Seq, n.Seq))
			continue
		}
		newest[s] = w
	}
	for i := range want {
		if w := &want[i]; seen[w.ID] == nil {
			report.Lost = append(report.Lost, fmt.Sprintf("id %s topic %s key %s number %d", w.ID, w.Topic, w.Key, w.Seq))
		}
	}
	return report
}

// differs says how the record's bytes differ from the committed ones, or nothing.
func differs(w *Want, r *Record) string {
	switch {
	case r.Key == nil || string(r.Key) != w.Key:
		return fmt.Sprintf("key %q, committed %q", clip(r.Key), clip([]byte(w.Key)))
	case (r.Value == nil) != (w.Value == nil):
		return fmt.Sprintf("value null: %t, committed null: %t", r.Value == nil, w.Value == nil)
	case !bytes.Equal(r.Value, w.Value):
		return fmt.Sprintf("value %q, committed %q", clip(r.Value), clip(w.Value))
	case len(r.Headers) != 1:
		return fmt.Sprintf("%d headers, wanted only id", len(r.Headers))
	}
	return ""
}

func clip(b []byte) []byte {
	if len(b) > 80 {
		return b[:80]
	}
	return b
}

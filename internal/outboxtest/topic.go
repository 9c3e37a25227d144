package outboxtest

import (
	"bytes"
	"context"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

func cloneHeaders(list []outbox.Header) []outbox.Header {
	var out []outbox.Header
	for _, h := range list {
		out = append(out, outbox.Header{Key: bytes.Clone(h.Key), Value: bytes.Clone(h.Value)})
	}
	return out
}

// Topic reads one topic as a read_committed consumer does: it is the Topic that
// package deadletter wants.
type Topic struct {
	b    *Broker
	name string
}

// NewTopic reads from b.
func NewTopic(b *Broker, name string) *Topic { return &Topic{b, name} }

// all are the records of the topic, and its last stable offset. b.mu is held.
func (t *Topic) all() (list []record, stable int64) {
	stable = -1
	for _, r := range t.b.log {
		if r.topic != t.name {
			continue
		}
		if _, ended := t.b.state[r.txn]; stable < 0 && r.txn != 0 && !ended {
			stable = int64(len(list))
		}
		list = append(list, r)
	}
	if stable < 0 {
		stable = int64(len(list))
	}
	return list, stable
}

// Span knows no times: everything is younger than since.
func (t *Topic) Span(context.Context, time.Time) (start, end, hidden int64, err error) {
	t.b.mu.Lock()
	defer t.b.mu.Unlock()
	list, stable := t.all()
	return 0, stable, int64(len(list)) - stable, nil
}

// Read gives committed records.
func (t *Topic) Read(_ context.Context, from, to int64, f func(*outbox.Record)) error {
	for _, r := range t.Records() {
		if r.Offset >= from && r.Offset < to {
			f(&r)
		}
	}
	return nil
}

// Records are those that are committed.
func (t *Topic) Records() []outbox.Record {
	t.b.mu.Lock()
	defer t.b.mu.Unlock()
	list, stable := t.all()
	var out []outbox.Record
	for i, r := range list[:stable] {
		if r.txn == 0 || t.b.state[r.txn] {
			out = append(out, outbox.Record{Offset: int64(i), Key: r.key, Value: r.value, Headers: r.headers})
		}
	}
	return out
}

package publish

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/tailer-io/tailer/internal/outbox"
)

// data and marker make the batches of a fetch answer.
func data(pid, at int64, transactional bool, keys ...string) *sarama.Records {
	b := &sarama.RecordBatch{FirstOffset: at, LastOffsetDelta: int32(len(keys) - 1), ProducerID: pid, IsTransactional: transactional}
	for i, k := range keys {
		b.Records = append(b.Records, &sarama.Record{OffsetDelta: int64(i), Key: []byte(k), Value: []byte(k)})
	}
	return &sarama.Records{RecordBatch: b}
}

func marker(pid, at int64, kind uint16) *sarama.Records {
	key := binary.BigEndian.AppendUint16([]byte{0, 0}, kind)
	return &sarama.Records{RecordBatch: &sarama.RecordBatch{
		FirstOffset: at, ProducerID: pid, IsTransactional: true, Control: true, Records: []*sarama.Record{{Key: key}},
	}}
}

func TestCommittedLeavesOutAborted(t *testing.T) {
	const abort, commit = 0, 1
	aborted := func(pidAndFirst ...int64) (list []*sarama.AbortedTransaction) {
		for i := 0; i < len(pidAndFirst); i += 2 {
			list = append(list, &sarama.AbortedTransaction{ProducerID: pidAndFirst[i], FirstOffset: pidAndFirst[i+1]})
		}
		return list
	}
	for _, c := range []struct {
		name     string
		aborted  []*sarama.AbortedTransaction
		sets     []*sarama.Records
		from, to int64
		want     string
		next     int64
	}{
		{"nothing", nil, nil, 5, 9, "", 5},
		{"plain", nil, []*sarama.Records{data(-1, 0, false, "a", "b")}, 0, 9, "a b", 2},
		{"committed", nil, []*sarama.Records{data(1, 0, true, "a"), marker(1, 1, commit)}, 0, 9, "a", 2},
		{"aborted then committed, one producer", aborted(1, 0),
			[]*sarama.Records{data(1, 0, true, "x"), marker(1, 1, abort), data(1, 2, true, "a"), marker(1, 3, commit)}, 0, 9, "a", 4},
		{"committed then aborted", aborted(1, 2),
			[]*sarama.Records{data(1, 0, true, "a"), marker(1, 1, commit), data(1, 2, true, "x"), marker(1, 3, abort)}, 0, 9, "a", 4},
		{"interleaved producers", aborted(2, 1),
			[]*sarama.Records{data(1, 0, true, "a"), data(2, 1, true, "x"), data(1, 2, true, "b"), marker(1, 3, commit), data(2, 4, true, "y"), marker(2, 5, abort)},
			0, 9, "a b", 6},
		{"answer begins inside an aborted transaction", aborted(1, 0),
			[]*sarama.Records{data(1, 4, true, "x"), marker(1, 5, abort), data(1, 6, true, "a"), marker(1, 7, commit)}, 4, 9, "a", 8},
		{"two aborts in a row, listed backwards", aborted(1, 2, 1, 0),
			[]*sarama.Records{data(1, 0, true, "x"), marker(1, 1, abort), data(1, 2, true, "y"), marker(1, 3, abort), data(1, 4, true, "a"), marker(1, 5, commit)},
			0, 9, "a", 6},
		{"not transactional by the same id", aborted(1, 0),
			[]*sarama.Records{data(1, 0, true, "x"), data(1, 1, false, "a"), marker(1, 2, abort)}, 0, 9, "a", 3},
		{"window cuts batches", nil, []*sarama.Records{data(-1, 2, false, "a", "b", "c"), data(-1, 5, false, "d", "e")}, 3, 6, "b c d", 7},
		{"hole of compaction", nil, []*sarama.Records{data(-1, 0, false, "a"), data(-1, 50, false, "b")}, 0, 99, "a b", 51},
		{"cut off batch", nil, []*sarama.Records{data(-1, 0, false, "a"), {RecordBatch: &sarama.RecordBatch{FirstOffset: 1, LastOffsetDelta: 5, PartialTrailingRecord: true}}},
			0, 99, "a", 1},
	} {
		var got []string
		next := committed(&sarama.FetchResponseBlock{AbortedTransactions: c.aborted, RecordsSet: c.sets}, c.from, c.to, func(r record) {
			got = append(got, string(r.key))
		})
		if strings.Join(got, " ") != c.want || next != c.next {
			t.Errorf("%s: got %v, next %d; want %s, next %d", c.name, got, next, c.want, c.next)
		}
	}
}

// point makes messages for the checkpoint topic.
func (r *rig) point(texts ...string) *outbox.Messages {
	m := msgs(r.cfg.CheckpointTopic, texts...)
	for i := range m.List {
		m.List[i].Row, m.List[i].Partition = -1, 0
	}
	return m
}

// abort leaves the records of m in the log, aborted.
func (r *rig) abort(m *outbox.Messages) {
	r.t.Helper()
	ctx := ctxT(r.t)
	must(r.t, r.Admit(ctx, m, nil))
	must(r.t, r.Join(ctx, m))
	must(r.t, r.Produce(ctx, m))
	must(r.t, r.Fence(ctx, 10*time.Second))
}

func (r *rig) wantNewest(upTo *outbox.Barrier, want map[string]string) {
	r.t.Helper()
	keys := make([]string, 0, len(want))
	for k := range want {
		keys = append(keys, k)
	}
	got, err := r.Newest(ctxT(r.t), keys, upTo)
	must(r.t, err)
	for k, v := range want {
		if string(got[k]) != v || (v == "") != (got[k] == nil) {
			r.t.Errorf("newest of %s: %q, want %q", k, got[k], v)
		}
	}
}

func TestNewest(t *testing.T) {
	r := newRig(t, nil)
	ctx := ctxT(t)
	must(t, r.Create(ctx))
	must(t, r.Fence(ctx, 10*time.Second))

	transact(t, r.Kafka, r.point("first=1", "dead=1"))
	tomb := r.point("dead=")
	tomb.List[0].Value = nil
	transact(t, r.Kafka, tomb)
	r.abort(r.point("first=aborted", "name=aborted"))
	// Thousands of records of others between: several windows, several fetches.
	for i := range 4 {
		m := new(outbox.Messages)
		for j := range 1500 {
			m.List = append(m.List, r.point(fmt.Sprintf("busy-%d=%d.%s", j%7, i*1500+j, strings.Repeat("x", 300))).List[0])
		}
		transact(t, r.Kafka, m)
	}
	transact(t, r.Kafka, r.point("name=1"))
	r.abort(r.point("name=aborted"))
	transact(t, r.Kafka, r.point("name=2"))
	r.abort(r.point("name=aborted", "busy-0=aborted"))

	barrier := &outbox.Barrier{Key: "name/barrier", Value: []byte("me")}
	transact(t, r.Kafka, r.point("name/barrier=somebody"))
	transact(t, r.Kafka, r.point("name/barrier=me"))
	r.wantNewest(barrier, map[string]string{"name": "2", "first": "1", "dead": "", "never": ""})

	// What comes behind the barrier does not count, unless nobody asks for it.
	transact(t, r.Kafka, r.point("name=3"))
	r.wantNewest(barrier, map[string]string{"name": "2"})
	r.stable(ctx, []string{r.cfg.CheckpointTopic})
	r.wantNewest(nil, map[string]string{"name": "3", "dead": ""})

	// An open transaction hides itself, and what is behind it.
	m := r.point("name=open")
	must(t, r.Admit(ctx, m, nil))
	must(t, r.Join(ctx, m))
	must(t, r.Produce(ctx, m))
	r.wantNewest(nil, map[string]string{"name": "3"})
	r.wantNewest(barrier, map[string]string{"name": "2"})
	must(t, r.Commit(ctx))
	r.stable(ctx, []string{r.cfg.CheckpointTopic})
	r.wantNewest(nil, map[string]string{"name": "open"})
}

func TestNewestWaitsForTheBarrier(t *testing.T) {
	r := newRig(t, nil)
	ctx := ctxT(t)
	must(t, r.Create(ctx))
	must(t, r.Fence(ctx, 10*time.Second))
	transact(t, r.Kafka, r.point("name=1"))

	type result struct {
		got map[string][]byte
		err error
	}
	reader := r.another()
	found := make(chan result, 1)
	go func() {
		got, err := reader.Newest(ctx, []string{"name"}, &outbox.Barrier{Key: "name/barrier", Value: []byte("me")})
		found <- result{got, err}
	}()
	transact(t, r.Kafka, r.point("name=2"))
	select {
	case res := <-found:
		t.Fatalf("came back without the barrier: %v, %v", res.got, res.err)
	default:
	}
	transact(t, r.Kafka, r.point("name/barrier=me"))
	if res := <-found; res.err != nil || string(res.got["name"]) != "2" {
		t.Errorf("%v, %v", res.got, res.err)
	}

	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := reader.Newest(short, nil, &outbox.Barrier{Key: "name/barrier", Value: []byte("nobody")}); err == nil ||
		!strings.Contains(err.Error(), "wait for barrier") {
		t.Errorf("a barrier that never comes: %v", err)
	}
}

// What was committed before Settled is what Newest gives after it, and an open
// transaction is waited for.
func TestSettled(t *testing.T) {
	r := newRig(t, nil)
	ctx := ctxT(t)
	must(t, r.Create(ctx))
	must(t, r.Fence(ctx, 10*time.Second))
	reader := r.another()
	for i := range 50 {
		transact(t, r.Kafka, r.point(fmt.Sprintf("name=%d", i)))
		must(t, reader.Settled(ctx))
		got, err := reader.Newest(ctx, []string{"name"}, nil)
		if err != nil || string(got["name"]) != fmt.Sprint(i) {
			t.Fatalf("behind transaction %d: %q, %v", i, got["name"], err)
		}
	}
	m := r.point("name=open")
	must(t, r.Admit(ctx, m, nil))
	must(t, r.Join(ctx, m))
	must(t, r.Produce(ctx, m))
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if err := reader.Settled(short); err == nil || short.Err() == nil {
		t.Errorf("beside an open transaction: %v", err)
	}
	must(t, r.Commit(ctx))
	must(t, reader.Settled(ctx))
	got, err := reader.Newest(ctx, []string{"name"}, nil)
	if err != nil || string(got["name"]) != "open" {
		t.Errorf("%q, %v", got["name"], err)
	}
}

func TestNewestAfterTheLogMoved(t *testing.T) {
	r := newRig(t, nil)
	ctx := ctxT(t)
	must(t, r.Create(ctx))
	must(t, r.Fence(ctx, 10*time.Second))
	for i := range 100 {
		transact(t, r.Kafka, r.point(fmt.Sprintf("name=%d", i)))
	}
	r.stable(ctx, []string{r.cfg.CheckpointTopic})
	l, err := r.openLog(ctx)
	must(t, err)
	// Deleting records needs a topic that deletes.
	r.alter("cleanup.policy", "delete")
	r.deleteBefore(150)
	// l still believes that the log starts at 0.
	got, err := l.newest(ctx, []string{"name", "never"}, l.stable)
	if err != nil || string(got["name"]) != "99" || got["never"] != nil {
		t.Errorf("%q, %v", got, err)
	}
	r.wantNewest(nil, map[string]string{"name": "99", "never": ""})
}

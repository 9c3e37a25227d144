package publish

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tailer-io/tailer/internal/outbox"
)

// A transaction of 100,000 messages does not fit one record batch per
// partition, nor one request.
func TestBigTransaction(t *testing.T) {
	for _, transactional := range []bool{true, false} {
		t.Run(fmt.Sprint(transactional), func(t *testing.T) {
			r := newRig(t, func(c *KafkaConfig) { c.TopicPartitions, c.Transactional = 12, transactional })
			must(t, r.Fence(ctxT(t), 30*time.Second))
			const n = 100_000
			m := load(r.topic, n, 250)
			for i := range m.List {
				m.List[i].Value = fmt.Appendf(m.List[i].Value[:0:0], "%0250d", i)
			}
			transact(t, r.Kafka, m)
			got := make(map[string][]string) // by key
			recs := r.read(r.topic)
			if len(recs) != n {
				t.Errorf("%d records", len(recs))
			}
			for _, rec := range recs {
				got[string(rec.Key)] = append(got[string(rec.Key)], string(rec.Value))
				if rec.Partition != partitionOf(rec.Key, 12) {
					t.Fatalf("key %q in partition %d", rec.Key, rec.Partition)
				}
			}
			for key, list := range got {
				if !slices.IsSorted(list) || len(slices.Compact(list)) != n/1000 {
					t.Fatalf("key %s: %d values, sorted: %v", key, len(list), slices.IsSorted(list))
				}
			}
		})
	}
}

// The largest record that a topic takes passes; one byte more is poison before
// anything is sent.
func TestPoisonAtTheExactSize(t *testing.T) {
	for _, limit := range []int{100_000, defaultMaxMessage, 3_000_000} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			r := newRig(t, nil)
			ctx := ctxT(t)
			must(t, r.Fence(ctx, 10*time.Second))
			r.createTopic(r.topic, 1, "max.message.bytes", fmt.Sprint(limit))
			m := msgs(r.topic, "key=")
			m.List[0].Headers = []outbox.Header{{Key: []byte("id"), Value: []byte("4711")}}
			fit := func(n int) { m.List[0].Value = bytes.Repeat([]byte("v"), n) }
			fit(limit - batchOverhead)
			for batchOverhead+recordSize(&m.List[0], 0, 0) > limit {
				fit(len(m.List[0].Value) - 1)
			}
			if got := batchOverhead + recordSize(&m.List[0], 0, 0); got != limit {
				t.Fatalf("batch of %d bytes, want %d", got, limit)
			}
			transact(t, r.Kafka, m)
			fit(len(m.List[0].Value) + 1)
			big := &outbox.Messages{List: []outbox.Message{m.List[0], msgs(r.topic, "k=next").List[0]}}
			big.List[1].Row = 1
			must(t, r.Admit(ctx, big, nil))
			if len(big.Poison) != 1 || big.Poison[0].ID != "4711" || !strings.Contains(big.Poison[0].Reason, "max.message.bytes") {
				t.Errorf("poison: %+v", big.Poison)
			}
			big.Poison = nil
			transact(t, r.Kafka, big)
			if got := r.read(r.topic); len(got) != 2 || string(got[1].Value) != "next" {
				t.Errorf("%d records", len(got))
			}
		})
	}
}

// Bytes that do not compress, right at the limit and in full batches, pass with
// every codec.
func TestIncompressibleAtTheLimit(t *testing.T) {
	rnd := rand.NewChaCha8([32]byte{1})
	for _, codec := range Compressions() {
		t.Run(string(codec), func(t *testing.T) {
			r := newRig(t, func(c *KafkaConfig) { c.Compression, c.TopicPartitions = codec, 1 })
			must(t, r.Fence(ctxT(t), 10*time.Second))
			r.createTopic(r.topic, 1, "max.message.bytes", "60000")
			m := new(outbox.Messages)
			for i := range 200 {
				v := make([]byte, 5_000)
				if i%50 == 0 {
					v = make([]byte, 60_000-batchOverhead-12)
				}
				_, _ = rnd.Read(v)
				m.List = append(m.List, outbox.Message{Topic: r.topic, Partition: 0, Key: []byte("k"), Value: v, Row: i})
			}
			if size := batchOverhead + recordSize(&m.List[0], 0, 0); size != 60_000 {
				t.Fatalf("batch of %d bytes", size)
			}
			transact(t, r.Kafka, m)
			recs := r.read(r.topic)
			if len(recs) != 200 {
				t.Fatalf("%d records", len(recs))
			}
			for i := range recs {
				if !bytes.Equal(recs[i].Value, m.List[i].Value) {
					t.Fatalf("record %d differs", i)
				}
			}
		})
	}
}

func TestProduceWithoutJoin(t *testing.T) {
	r := newRig(t, nil)
	ctx := ctxT(t)
	must(t, r.Fence(ctx, 10*time.Second))
	m := msgs(r.topic, "k=1")
	must(t, r.Admit(ctx, m, nil))
	if err := r.Produce(ctx, m); err == nil || !strings.Contains(err.Error(), "not joined") {
		t.Errorf("%v", err)
	}
}

// createTopic creates a topic with the independent client.
func (r *rig) createTopic(name string, partitions int32, settings ...string) {
	r.t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
	for i := 0; i < len(settings); i += 2 {
		set := kmsg.NewCreateTopicsRequestTopicConfig()
		set.Name, set.Value = settings[i], &settings[i+1]
		topic.Configs = append(topic.Configs, set)
	}
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctxT(r.t), r.peer)
	must(r.t, err)
	must(r.t, kerr.ErrorForCode(resp.Topics[0].ErrorCode))
	r.settle(name)
}

// settle waits until the leaders of a topic know it.
func (r *rig) settle(name string) {
	r.t.Helper()
	probe := r.another()
	ctx := ctxT(r.t)
	for {
		found, err := probe.cluster.metadata(ctx, name)
		must(r.t, err)
		if probe.cluster.led(ctx, found[name]) {
			return
		}
	}
}

func TestWhatIsNoMessage(t *testing.T) {
	r := newRig(t, nil)
	ctx := ctxT(t)
	must(t, r.Fence(ctx, 10*time.Second))
	m := msgs(r.topic, "k=good", "k=illegal", "k=partition", "k=old", "k=good")
	m.List[1].Topic = "no topic"
	m.List[2].Partition = 3
	m.List[3].Time = time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC)
	b := new(outbox.Batch)
	b.Begin([]byte("1@0/1"), time.Now(), 0)
	for range m.List {
		b.Add(&outbox.Shape{})
	}
	b.End([]byte("0/99"))
	must(t, r.Admit(ctx, m, b))
	if len(m.List) != 2 || len(m.Poison) != 3 {
		t.Fatalf("%d messages, poison %v", len(m.List), m.Poison)
	}
	for i, want := range []string{"topic name", "3 partitions", "1969"} {
		if p := m.Poison[i]; p.Row != i+1 || p.Position != "0/99" || !strings.Contains(p.Reason, want) {
			t.Errorf("%+v, want %q", p, want)
		}
	}
	m.Poison = nil
	transact(t, r.Kafka, m)
	if got := values(r.read(r.topic)); got != "good good" {
		t.Errorf("read %q", got)
	}
}

func TestRoundTrip(t *testing.T) {
	for _, codec := range Compressions() {
		t.Run(string(codec), func(t *testing.T) {
			r := newRig(t, func(c *KafkaConfig) { c.Compression = codec })
			must(t, r.Fence(ctxT(t), 10*time.Second))
			at := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
			m := &outbox.Messages{List: []outbox.Message{
				{Topic: r.topic, Partition: 1, Key: []byte("k"), Value: bytes.Repeat([]byte("value "), 1000), Time: at,
					Headers: []outbox.Header{{Key: []byte("a"), Value: []byte("1")}, {Key: []byte("null")}, {Key: []byte("empty"), Value: []byte{}}}},
				{Topic: r.topic, Partition: 1, Value: []byte{}, Row: 1},
				{Topic: r.topic, Partition: 1, Key: []byte{}, Row: 2},
			}}
			transact(t, r.Kafka, m)
			got := r.read(r.topic)
			if len(got) != 3 {
				t.Fatalf("%d records", len(got))
			}
			if string(got[0].Key) != "k" || !bytes.Equal(got[0].Value, m.List[0].Value) || !got[0].Timestamp.Equal(at) {
				t.Errorf("first: %+v", got[0])
			}
			if h := got[0].Headers; len(h) != 3 || h[0].Key != "a" || string(h[0].Value) != "1" || h[1].Value != nil || h[2].Value == nil {
				t.Errorf("headers %+v", h)
			}
			if got[1].Key != nil || got[1].Value == nil || got[2].Key == nil || got[2].Value != nil {
				t.Errorf("null and empty: %+v, %+v", got[1], got[2])
			}
			if d := time.Since(got[1].Timestamp); d < 0 || d > time.Minute {
				t.Errorf("time of publishing is %s ago", d)
			}
		})
	}
}

func TestTopicsAreCreatedOnce(t *testing.T) {
	r := newRig(t, func(c *KafkaConfig) { c.TopicPartitions = 5 })
	ctx := ctxT(t)
	must(t, r.Fence(ctx, 10*time.Second))
	transact(t, r.Kafka, msgs(r.topic, "a=1", "b=2"))
	if got := len(r.find(r.topic).parts); got != 5 {
		t.Errorf("%d partitions", got)
	}
	if n := strings.Count(r.logs.String(), "created topic"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, r.logs)
	}

	// Deleted by somebody: an error, and it stays deleted.
	req := kmsg.NewPtrDeleteTopicsRequest()
	one := kmsg.NewDeleteTopicsRequestTopic()
	one.Topic = kmsg.StringPtr(r.topic)
	req.Topics, req.TopicNames = append(req.Topics, one), []string{r.topic}
	_, err := req.RequestWith(ctx, r.peer)
	must(t, err)
	m := msgs(r.topic, "a=3")
	for err = nil; err == nil; must(t, ctx.Err()) {
		if err = r.Fence(ctx, 10*time.Second); err != nil {
			break
		}
		if err = r.Admit(ctx, m, nil); err != nil {
			break
		}
		if err = r.Join(ctx, m); err != nil {
			err = nil // the transaction breaks; fence, and look again
			continue
		}
		if r.Produce(ctx, m) == nil {
			_ = r.Commit(ctx)
		}
	}
	if !strings.Contains(err.Error(), "is gone") {
		t.Errorf("%v", err)
	}
	if err := r.Admit(ctx, m, nil); err == nil || !strings.Contains(err.Error(), "does not re-create") {
		t.Errorf("%v", err)
	}

	// Created again by its owner: on we go.
	r.createTopic(r.topic, 2)
	must(t, r.Fence(ctx, 10*time.Second))
	transact(t, r.Kafka, msgs(r.topic, "a=4"))
	if got := values(r.read(r.topic)); got != "4" {
		t.Errorf("read %q", got)
	}
	if !strings.Contains(r.logs.String(), "re-created by somebody") {
		t.Errorf("log:\n%s", r.logs)
	}
}

func TestTopicsAreNotCreatedWhenForbidden(t *testing.T) {
	r := newRig(t, func(c *KafkaConfig) { c.CreateTopics = false })
	ctx := ctxT(t)
	if err := r.Admit(ctx, msgs(r.topic, "a=1"), nil); err == nil || !strings.Contains(err.Error(), "--create-topics") {
		t.Errorf("%v", err)
	}
}

func TestMorePartitions(t *testing.T) {
	r := newRig(t, nil)
	ctx := ctxT(t)
	must(t, r.Fence(ctx, 10*time.Second))
	m := load(r.topic, 200, 10)
	transact(t, r.Kafka, m)
	req := kmsg.NewPtrCreatePartitionsRequest()
	one := kmsg.NewCreatePartitionsRequestTopic()
	one.Topic, one.Count = r.topic, 7
	req.Topics, req.TimeoutMillis = append(req.Topics, one), 10_000
	resp, err := req.RequestWith(ctx, r.peer)
	must(t, err)
	must(t, kerr.ErrorForCode(resp.Topics[0].ErrorCode))
	r.settle(r.topic)

	m = load(r.topic, 200, 10)
	transact(t, r.Kafka, m) // pinned until it is time to look
	if n := len(r.find(r.topic).parts); n != 3 {
		t.Fatalf("%d partitions", n)
	}
	r.refreshed = time.Time{}
	m = load(r.topic, 200, 10)
	transact(t, r.Kafka, m)
	for i := range m.List {
		if m.List[i].Partition != partitionOf(m.List[i].Key, 7) {
			t.Fatalf("key %q to partition %d", m.List[i].Key, m.List[i].Partition)
		}
	}
	if !strings.Contains(r.logs.String(), "more partitions") {
		t.Errorf("log:\n%s", r.logs)
	}
	if n := len(r.read(r.topic)); n != 600 {
		t.Errorf("%d records", n)
	}
}

func TestCommitWithNothingJoined(t *testing.T) {
	r := newRig(t, nil)
	ctx := ctxT(t)
	if err := r.Commit(ctx); err == nil {
		t.Error("commit before fence went through")
	}
	must(t, r.Fence(ctx, 0)) // the longest timeout
	must(t, r.Commit(ctx))
	must(t, r.Join(ctx, new(outbox.Messages)))
	must(t, r.Produce(ctx, new(outbox.Messages)))
	must(t, r.Commit(ctx))
}

func TestTimeoutLongerThanAllowed(t *testing.T) {
	r := newRig(t, nil)
	const want = "--kafka-transaction-timeout: 300h0m0s is longer than the brokers' transaction.max.timeout.ms allows"
	if err := r.Fence(ctxT(t), 300*time.Hour); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestNoBroker(t *testing.T) {
	k := NewKafka(KafkaConfig{Brokers: []string{"127.0.0.1:1"}, Transactional: true, TransactionalID: "x"}, slog.New(slog.DiscardHandler), nil)
	defer k.Close()
	err := k.Fence(context.Background(), time.Second)
	if err == nil || !strings.Contains(err.Error(), "no broker answers") || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("%v", err)
	}
}

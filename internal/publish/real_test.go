package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tailer-io/tailer/internal/outbox"
)

// The tests of this file and its neighbours talk to a real broker, and look at
// what it stored with another client library.

// brokers gives the addresses of the real brokers, or skips.
func brokers(t testing.TB) []string {
	t.Helper()
	addr := os.Getenv("STACK_KAFKA")
	if addr == "" {
		t.Skip("STACK_KAFKA names no broker; scripts/stack up brings one")
	}
	return strings.Split(addr, ",")
}

// rig is a Kafka under test, and an independent client.
type rig struct {
	*Kafka
	t     testing.TB
	peer  *kgo.Client
	topic string // a name nobody else uses
	logs  *bytes.Buffer
}

func newRig(t testing.TB, change func(*KafkaConfig)) *rig {
	t.Helper()
	seeds := brokers(t)
	topic := fmt.Sprintf("publish-%d-%s", time.Now().UnixNano(), strings.ToLower(strings.NewReplacer("/", ".", "=", "-").Replace(t.Name())))
	topic = topic[:min(len(topic), 200)]
	cfg := KafkaConfig{
		Brokers:         seeds,
		Transactional:   true,
		TransactionalID: topic,
		CreateTopics:    true,
		TopicPartitions: 3,
		CheckpointTopic: topic + ".checkpoint",
	}
	if change != nil {
		change(&cfg)
	}
	peer, err := kgo.NewClient(kgo.SeedBrokers(seeds...))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, peer: peer, topic: topic, logs: new(bytes.Buffer)}
	r.Kafka = NewKafka(cfg, slog.New(slog.NewTextHandler(r.logs, nil)), nil)
	t.Cleanup(func() {
		r.Close()
		req := kmsg.NewPtrDeleteTopicsRequest()
		for name := range r.topics {
			one := kmsg.NewDeleteTopicsRequestTopic()
			one.Topic = kmsg.StringPtr(name)
			req.Topics = append(req.Topics, one)
			req.TopicNames = append(req.TopicNames, name)
		}
		_, _ = req.RequestWith(context.Background(), peer)
		peer.Close()
	})
	return r
}

// another gives a second Kafka with the same configuration.
func (r *rig) another() *Kafka {
	k := NewKafka(r.cfg, slog.New(slog.DiscardHandler), nil)
	r.t.Cleanup(k.Close)
	return k
}

func ctxT(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// msgs makes messages of one topic from "key=value" texts.
func msgs(topic string, texts ...string) *outbox.Messages {
	m := new(outbox.Messages)
	for i, text := range texts {
		k, v, _ := strings.Cut(text, "=")
		m.List = append(m.List, outbox.Message{Topic: topic, Partition: outbox.ByKey, Key: []byte(k), Value: []byte(v), Row: i})
	}
	return m
}

// transact brings m through a whole transaction.
func transact(t testing.TB, k *Kafka, m *outbox.Messages) {
	t.Helper()
	ctx := ctxT(t)
	must(t, k.Admit(ctx, m, new(outbox.Batch)))
	if len(m.Poison) > 0 {
		t.Fatalf("poison: %v", m.Poison)
	}
	must(t, k.Join(ctx, m))
	must(t, k.Produce(ctx, m))
	must(t, k.Commit(ctx))
}

// read reads topics as a read_committed consumer until what it has seen is
// everything below the last stable offsets.
func (r *rig) read(topics ...string) []*kgo.Record {
	r.t.Helper()
	ctx := ctxT(r.t)
	ends := r.stable(ctx, topics)
	opts := []kgo.Opt{
		kgo.SeedBrokers(r.cfg.Brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
	}
	parts := make(map[string]map[int32]kgo.Offset)
	left := make(map[string]map[int32]int64)
	n := 0
	for topic, list := range ends {
		parts[topic], left[topic] = make(map[int32]kgo.Offset), make(map[int32]int64)
		for p, end := range list {
			if end > 0 {
				parts[topic][p] = kgo.NewOffset().AtStart()
				left[topic][p] = end
				n++
			}
		}
	}
	cl, err := kgo.NewClient(append(opts, kgo.ConsumePartitions(parts))...)
	must(r.t, err)
	defer cl.Close()
	var out []*kgo.Record
	done := make(map[string]bool)
	for len(done) < n {
		fetches := cl.PollFetches(ctx)
		must(r.t, fetches.Err0())
		fetches.EachRecord(func(rec *kgo.Record) {
			end := left[rec.Topic][rec.Partition]
			if rec.Offset >= end-1 {
				// Control records are kept: every transaction ends in one.
				done[fmt.Sprint(rec.Topic, rec.Partition)] = true
			}
			if !rec.Attrs.IsControl() && rec.Offset < end {
				out = append(out, rec)
			}
		})
	}
	return out
}

// stable waits until no transaction is open, and gives the ends of the logs.
func (r *rig) stable(ctx context.Context, topics []string) map[string]map[int32]int64 {
	r.t.Helper()
	list := func(isolation int8) map[string]map[int32]int64 {
		out := make(map[string]map[int32]int64)
		meta := kmsg.NewPtrMetadataRequest()
		for _, topic := range topics {
			one := kmsg.NewMetadataRequestTopic()
			one.Topic = kmsg.StringPtr(topic)
			meta.Topics = append(meta.Topics, one)
		}
		resp, err := meta.RequestWith(ctx, r.peer)
		must(r.t, err)
		req := kmsg.NewPtrListOffsetsRequest()
		req.IsolationLevel = isolation
		for _, t := range resp.Topics {
			must(r.t, kerr.ErrorForCode(t.ErrorCode))
			one := kmsg.NewListOffsetsRequestTopic()
			one.Topic = *t.Topic
			out[one.Topic] = make(map[int32]int64)
			for _, p := range t.Partitions {
				part := kmsg.NewListOffsetsRequestTopicPartition()
				part.Partition, part.Timestamp = p.Partition, -1
				one.Partitions = append(one.Partitions, part)
			}
			req.Topics = append(req.Topics, one)
		}
		for _, shard := range r.peer.RequestSharded(ctx, req) {
			must(r.t, shard.Err)
			for _, t := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
				for _, p := range t.Partitions {
					must(r.t, kerr.ErrorForCode(p.ErrorCode))
					out[t.Topic][p.Partition] = p.Offset
				}
			}
		}
		return out
	}
	for {
		ends, stable := list(0), list(1)
		if fmt.Sprint(ends) == fmt.Sprint(stable) {
			return stable
		}
		must(r.t, ctx.Err())
	}
}

func values(recs []*kgo.Record) string {
	var s []string
	for _, r := range recs {
		s = append(s, string(r.Value))
	}
	return strings.Join(s, " ")
}

func TestTwoTransactionsInARow(t *testing.T) {
	r := newRig(t, nil)
	must(t, r.Fence(ctxT(t), 10*time.Second))
	transact(t, r.Kafka, msgs(r.topic, "k=1", "k=2"))
	transact(t, r.Kafka, msgs(r.topic, "k=3"))
	if got := values(r.read(r.topic)); got != "1 2 3" {
		t.Errorf("read %q", got)
	}
}

func TestAbortByFence(t *testing.T) {
	r := newRig(t, nil)
	ctx := ctxT(t)
	must(t, r.Fence(ctx, 10*time.Second))
	m := msgs(r.topic, "k=lost")
	must(t, r.Admit(ctx, m, new(outbox.Batch)))
	must(t, r.Join(ctx, m))
	must(t, r.Produce(ctx, m))
	must(t, r.Fence(ctx, 10*time.Second))
	transact(t, r.Kafka, msgs(r.topic, "k=kept"))
	if got := values(r.read(r.topic)); got != "kept" {
		t.Errorf("read %q", got)
	}
}

func TestZombieIsFenced(t *testing.T) {
	r := newRig(t, nil)
	ctx := ctxT(t)
	must(t, r.Fence(ctx, 10*time.Second))
	transact(t, r.Kafka, msgs(r.topic, "k=1"))
	m := msgs(r.topic, "k=zombie")
	must(t, r.Admit(ctx, m, new(outbox.Batch)))
	must(t, r.Join(ctx, m))
	must(t, r.Produce(ctx, m))

	heir := r.another()
	must(t, heir.Fence(ctx, 10*time.Second))
	if err := r.Commit(ctx); !Fenced(err) {
		t.Errorf("commit of the zombie: %v", err)
	}
	if err := r.Join(ctx, m); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("join after the error: %v", err)
	}
	transact(t, heir, msgs(r.topic, "k=2"))
	if got := values(r.read(r.topic)); got != "1 2" {
		t.Errorf("read %q", got)
	}

	// The same with the fence between Join and Produce.
	m = msgs(r.topic, "k=zombie")
	must(t, heir.Admit(ctx, m, new(outbox.Batch)))
	must(t, heir.Join(ctx, m))
	must(t, r.Fence(ctx, 10*time.Second))
	if err := heir.Produce(ctx, m); err == nil {
		t.Error("produce of the zombie went through")
	}
	transact(t, r.Kafka, msgs(r.topic, "k=3"))
	if got := values(r.read(r.topic)); got != "1 2 3" {
		t.Errorf("read %q", got)
	}
}

func TestCheckpointTopic(t *testing.T) {
	r := newRig(t, nil)
	ctx := ctxT(t)
	id, err := r.Identity(ctx)
	if err != nil || id == "" {
		t.Fatalf("identity %q: %v", id, err)
	}
	if ok, err := r.Exists(ctx); ok || err != nil {
		t.Fatalf("exists before: %v, %v", ok, err)
	}
	m := msgs(r.cfg.CheckpointTopic, "name=1")
	m.List[0].Row, m.List[0].Partition = -1, 0
	if err := r.Admit(ctx, m, new(outbox.Batch)); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("admit without checkpoint topic: %v", err)
	}
	must(t, r.Create(ctx))
	must(t, r.Create(ctx))
	if ok, err := r.Exists(ctx); !ok || err != nil {
		t.Fatalf("exists after: %v, %v", ok, err)
	}
	if got, err := r.Newest(ctx, []string{"name"}, nil); err != nil || got["name"] != nil {
		t.Fatalf("newest of an empty topic: %v, %v", got, err)
	}
	must(t, r.Fence(ctx, 10*time.Second))
	transact(t, r.Kafka, m)
	barrier := &outbox.Barrier{Key: "name/barrier", Value: []byte("me")}
	mb := msgs(r.cfg.CheckpointTopic, "name/barrier=me")
	mb.List[0].Row, mb.List[0].Partition = -1, 0
	transact(t, r.Kafka, mb)
	got, err := r.Newest(ctx, []string{"name", "other"}, barrier)
	if err != nil || string(got["name"]) != "1" || got["other"] != nil {
		t.Fatalf("newest: %v, %v", got, err)
	}
}

func TestWrongCheckpointTopicIsRefused(t *testing.T) {
	r := newRig(t, nil)
	ctx := ctxT(t)
	for i, c := range []struct {
		partitions int32
		policy     string
		want       string
	}{
		{3, "compact", "has 3 partitions"},
		{1, "delete", `cleanup.policy "delete"`},
		{1, "compact,delete", "deletes checkpoints by age"},
	} {
		k := r.another()
		k.cfg.CheckpointTopic = fmt.Sprintf("%s.%d", r.topic, i)
		r.createTopic(k.cfg.CheckpointTopic, c.partitions, "cleanup.policy", c.policy)
		r.topics[k.cfg.CheckpointTopic] = nil // to be deleted
		var refusal *outbox.Refusal
		if _, err := k.Exists(ctx); !errors.As(err, &refusal) || !strings.Contains(err.Error(), c.want) || refusal.Reason != "checkpoint_topic_settings" {
			t.Errorf("exists: %v, want %q", err, c.want)
		}
	}
}

// alter changes a setting of the checkpoint topic.
func (r *rig) alter(name, value string) {
	r.t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	res := kmsg.NewIncrementalAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, r.cfg.CheckpointTopic
	set := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	set.Name, set.Op, set.Value = name, kmsg.IncrementalAlterConfigOpSet, &value
	res.Configs = append(res.Configs, set)
	req.Resources = append(req.Resources, res)
	resp, err := req.RequestWith(ctxT(r.t), r.peer)
	must(r.t, err)
	must(r.t, kerr.ErrorForCode(resp.Resources[0].ErrorCode))
}

// deleteBefore moves the start of the checkpoint topic's log.
func (r *rig) deleteBefore(offset int64) {
	r.t.Helper()
	req := kmsg.NewPtrDeleteRecordsRequest()
	topic := kmsg.NewDeleteRecordsRequestTopic()
	topic.Topic = r.cfg.CheckpointTopic
	part := kmsg.NewDeleteRecordsRequestTopicPartition()
	part.Offset = offset
	topic.Partitions = append(topic.Partitions, part)
	req.Topics, req.TimeoutMillis = append(req.Topics, topic), 5000
	for deadline := ctxT(r.t); ; must(r.t, deadline.Err()) { // the setting takes a moment to arrive
		resp, err := req.RequestWith(deadline, r.peer)
		must(r.t, err)
		err = kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
		if err == nil {
			return
		}
		if !errors.Is(err, kerr.PolicyViolation) {
			r.t.Fatal(err)
		}
	}
}

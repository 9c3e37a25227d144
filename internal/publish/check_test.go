package publish

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

func levels(found []outbox.Finding) map[string]outbox.Level {
	m := make(map[string]outbox.Level)
	for _, f := range found {
		if m[f.What] != outbox.Fail {
			m[f.What] = f.Level
		}
	}
	return m
}

// Check says what is there, creates nothing, and leaves a running tailer of
// the same name its epoch.
func TestCheck(t *testing.T) {
	r := newRig(t, nil)
	ctx := ctxT(t)
	must(t, r.Fence(ctx, 10*time.Second))
	transact(t, r.Kafka, msgs(r.topic, "k=1"))
	epoch := r.producer.epoch

	other := r.another()
	found := other.Check(ctx)
	got := levels(found)
	for _, what := range []string{whatBrokers, whatVersion, whatTransaction, whatCheckpoint, whatMaxMessage} {
		if got[what] != outbox.OK {
			t.Errorf("%s: %v in %+v", what, got[what], found)
		}
	}
	if ok, err := r.Exists(ctx); ok || err != nil {
		t.Errorf("check created the checkpoint topic: %v", err)
	}
	transact(t, r.Kafka, msgs(r.topic, "k=2"))
	if r.producer.epoch != epoch {
		t.Errorf("epoch %d, was %d", r.producer.epoch, epoch)
	}

	must(t, r.Create(ctx))
	found = r.Check(ctx)
	text := ""
	for _, f := range found {
		text += string(f.Level) + " " + f.What + ": " + f.Found + "\n"
		if f.Level == outbox.Fail || f.Level == outbox.OK != (f.Fix == "") {
			t.Errorf("%+v", f)
		}
	}
	if len(r.cluster.nodes) == 1 && !strings.Contains(text, "has one replica") {
		t.Errorf("no warning of the one replica in\n%s", text)
	}
	for _, want := range []string{"1 partition, compacted", r.topic + ": 3 partitions, max.message.bytes=1048588"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	transact(t, r.Kafka, msgs(r.topic, "k=3"))
}

func TestCheckAtLeastOnce(t *testing.T) {
	r := newRig(t, func(c *KafkaConfig) { c.Transactional, c.CheckpointTopic = false, "" })
	if got := levels(r.Check(ctxT(t))); got[whatIdempotent] != outbox.OK {
		t.Errorf("%v", got)
	}
}

func TestCheckWithoutBroker(t *testing.T) {
	k := NewKafka(KafkaConfig{Brokers: []string{"127.0.0.1:1"}}, slog.New(slog.DiscardHandler), nil)
	defer k.Close()
	found := k.Check(ctxT(t))
	if len(found) != 1 || found[0].Level != outbox.Fail || found[0].Fix == "" {
		t.Errorf("%+v", found)
	}
}

func TestSetupLines(t *testing.T) {
	k := NewKafka(KafkaConfig{
		Brokers: []string{"a:9092", "b:9092"}, Transactional: true, TransactionalID: "tailer.shop",
		CheckpointTopic: "tailer-checkpoint.shop", CreateTopics: true, TopicPrefix: "outbox.event.",
	}, slog.New(slog.DiscardHandler), nil)
	want := `kafka-topics.sh --bootstrap-server a:9092,b:9092 --create --topic tailer-checkpoint.shop --partitions 1 --replication-factor 3 --config cleanup.policy=compact --config min.insync.replicas=2 --config segment.bytes=16777216 --config delete.retention.ms=60000
kafka-acls.sh --bootstrap-server a:9092,b:9092 --add --allow-principal User:shop --operation Write --operation Describe --transactional-id tailer.shop
kafka-acls.sh --bootstrap-server a:9092,b:9092 --add --allow-principal User:shop --operation Write --operation Describe --transactional-id tailer.shop.republish
kafka-acls.sh --bootstrap-server a:9092,b:9092 --add --allow-principal User:shop --operation Write --operation Describe --operation DescribeConfigs --operation Create --resource-pattern-type prefixed --topic outbox.event.
kafka-acls.sh --bootstrap-server a:9092,b:9092 --add --allow-principal User:shop --operation Read --operation Write --operation Describe --operation DescribeConfigs --topic tailer-checkpoint.shop`
	if got := strings.Join(k.SetupLines("shop"), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

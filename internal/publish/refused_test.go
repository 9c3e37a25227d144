package publish

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/tailer-io/tailer/internal/outbox"
)

// What a broker says about the right to write decides; where it says nothing, what a
// request was told holds for a while.
func TestAllowed(t *testing.T) {
	const describe = 1 << 8
	k := NewKafka(KafkaConfig{}, slog.New(slog.DiscardHandler), nil)
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	for name, c := range map[string]struct {
		denied time.Time
		ops    int32
		want   bool
	}{
		"may":                       {time.Time{}, describe | mayWrite, false},
		"may not":                   {time.Time{}, describe, true},
		"may again":                 {ago(time.Second), describe | mayWrite, false},
		"may not still":             {ago(time.Hour), describe, true},
		"old broker":                {time.Time{}, 0, false},
		"old broker, refused":       {ago(time.Second), 0, true},
		"does not say, refused":     {ago(time.Second), math.MinInt32, true},
		"does not say, refused ago": {ago(time.Hour), math.MinInt32, false},
	} {
		topic := &topic{denied: c.denied}
		k.allowed(topic, &sarama.TopicMetadata{TopicAuthorizedOperations: c.ops})
		if got := !topic.denied.IsZero(); got != c.want {
			t.Errorf("%s: denied %t, want %t", name, got, c.want)
		}
	}
}

// An answer of TOPIC_AUTHORIZATION_FAILED makes the topic's rows poison, and no
// others.
func TestDeniedByARequest(t *testing.T) {
	k := NewKafka(KafkaConfig{MaxRequestBytes: 1 << 20}, slog.New(slog.DiscardHandler), nil)
	for _, name := range []string{"shut", "open"} {
		k.topics[name] = testTopic(name, 1)
		k.topics[name].limits = defaultLimits()
	}
	k.refreshed = time.Now()
	k.noteDenied(fmt.Errorf("join: %w", &brokerError{step: stepJoin, topic: "shut", code: sarama.ErrTopicAuthorizationFailed}))
	k.noteDenied(&brokerError{step: "produce", topic: "open", code: sarama.ErrNotLeaderForPartition})
	m := msgs("shut", "a=1")
	m.List = append(m.List, msgs("open", "b=2").List...)
	m.List[1].Row = 1
	must(t, k.Admit(ctxT(t), m, nil))
	if len(m.List) != 1 || m.List[0].Topic != "open" || len(m.Poison) != 1 || m.Poison[0].Row != 0 || !strings.Contains(m.Poison[0].Reason, "not authorised to write") {
		t.Errorf("%+v", m)
	}
}

// A name that differs from another topic's in nothing but dots and underscores is
// refused by the brokers, for ever.
func TestTopicThatTheBrokersRefuse(t *testing.T) {
	r := newRig(t, nil)
	ctx := ctxT(t)
	must(t, r.Admit(ctx, msgs(r.topic+".x", "a=1"), nil))
	m := msgs(r.topic+"_x", "a=1")
	must(t, r.Admit(ctx, m, nil))
	if len(m.List) != 0 || len(m.Poison) != 1 || !strings.Contains(m.Poison[0].Reason, "collides") {
		t.Errorf("%+v", m)
	}
}

// A compacted topic takes no record without a key: the brokers would refuse the
// batch, again and again.
func TestCompactedTopicWantsAKey(t *testing.T) {
	r := newRig(t, nil)
	r.createTopic(r.topic, 1, "cleanup.policy", "compact")
	m := msgs(r.topic, "a=1", "b=2")
	m.List[0].Key, m.List[1].Row = nil, 1
	must(t, r.Admit(ctxT(t), m, nil))
	if len(m.List) != 1 || m.List[0].Row != 1 || len(m.Poison) != 1 || !strings.Contains(m.Poison[0].Reason, "compacted") {
		t.Errorf("%+v", m)
	}
}

// Room is what fits, and finds or creates the topic that keeps dead letters.
func TestRoomOfTheDeadLetterTopic(t *testing.T) {
	r := newRig(t, func(c *KafkaConfig) { c.TopicPartitions = 3 })
	r.cfg.DeadLetterTopic = r.topic + ".dead"
	ctx := ctxT(t)
	room, err := r.Room(ctx, r.cfg.DeadLetterTopic)
	must(t, err)
	m := &outbox.Messages{List: []outbox.Message{{Topic: r.cfg.DeadLetterTopic, Key: []byte("key"), Value: bytes.Repeat([]byte("v"), room-3-2-6),
		Headers: []outbox.Header{{Key: []byte("h"), Value: []byte("1")}, {Key: []byte("header"), Value: nil}}}}}
	must(t, r.Admit(ctx, m, nil))
	if len(m.List) != 1 || room < defaultMaxMessage-1000 {
		t.Errorf("room %d: %+v", room, m.Poison)
	}
	found, err := r.cluster.configs(ctx, nil, sarama.TopicResource, []string{r.cfg.DeadLetterTopic}, configRetention, configCleanup)
	must(t, err)
	if got := found[r.cfg.DeadLetterTopic]; got[configRetention] != "-1" || got[configCleanup] != "delete" {
		t.Errorf("settings %v", got)
	}
	if n := len(r.find(r.cfg.DeadLetterTopic).parts); n != 1 {
		t.Errorf("%d partitions", n)
	}
	if room, err = r.Room(ctx, "no topic!"); room != 0 || err != nil {
		t.Errorf("room of a topic that cannot be: %d, %v", room, err)
	}

	// check and setup speak of it once rows go there.
	if lines := strings.Join(r.SetupLines("name"), "\n"); strings.Contains(lines, r.cfg.DeadLetterTopic) {
		t.Errorf("setup prints\n%s", lines)
	}
	r.cfg.DeadLetters = true
	lines := strings.Join(r.SetupLines("name"), "\n")
	for _, want := range []string{"--create --topic " + r.cfg.DeadLetterTopic + " --partitions 1", "--config retention.ms=-1",
		"--operation Read --operation Write --operation Describe --operation DescribeConfigs --topic " + r.cfg.DeadLetterTopic,
		"--transactional-id " + r.cfg.TransactionalID + ".replay"} {
		if !strings.Contains(lines, want) {
			t.Errorf("setup does not print %q:\n%s", want, lines)
		}
	}
	check := func() (levels string) {
		for _, f := range r.checkDeadLetters(ctx) {
			levels += fmt.Sprint(f.Level, " ", f.Found, "\n")
		}
		return levels
	}
	if got := check(); !strings.Contains(got, "ok "+r.cfg.DeadLetterTopic) {
		t.Errorf("check says %q", got)
	}
	week := "604800000"
	r.cfg.CheckpointTopic = r.cfg.DeadLetterTopic // what alter alters
	r.alter(configRetention, week)
	for got := ""; !strings.Contains(got, "warn "+r.cfg.DeadLetterTopic+" has retention.ms="+week); got = check() {
		must(t, ctx.Err())
	}
}

package publish

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Preview says what Admit would do, and does none of it.
func TestPreview(t *testing.T) {
	r := newRig(t, func(c *KafkaConfig) { c.TopicPartitions = 7 })
	ctx := ctxT(t)
	preview := func(msg *outbox.Message) (bool, string) {
		t.Helper()
		exists, reason, err := r.another().Preview(ctx, msg)
		must(t, err)
		return exists, reason
	}
	for range 2 {
		m := msgs(r.topic, "k=1")
		if exists, reason := preview(&m.List[0]); exists || reason != "" || m.List[0].Partition != outbox.ByKey {
			t.Errorf("no topic: %t, %q, %+v", exists, reason, m.List[0])
		}
	}
	meta := kmsg.NewPtrMetadataRequest()
	one := kmsg.NewMetadataRequestTopic()
	one.Topic = &r.topic
	meta.Topics = append(meta.Topics, one)
	resp, err := meta.RequestWith(ctx, r.peer)
	must(t, err)
	if code := resp.Topics[0].ErrorCode; code != kerr.UnknownTopicOrPartition.Code {
		t.Fatalf("the topic exists: %d", code)
	}

	must(t, r.Fence(ctx, 10*time.Second))
	sent := msgs(r.topic, "k=1", "other=1", "z=1")
	must(t, r.Admit(ctx, sent, new(outbox.Batch)))
	shown := msgs(r.topic, "k=1", "other=1", "z=1")
	for i := range shown.List {
		if exists, reason := preview(&shown.List[i]); !exists || reason != "" || shown.List[i].Partition != sent.List[i].Partition {
			t.Errorf("message %d: %t, %q, partition %d, want %d", i, exists, reason, shown.List[i].Partition, sent.List[i].Partition)
		}
	}
	large := msgs(r.topic, "k="+strings.Repeat("x", 2<<20))
	far := msgs(r.topic, "k=1")
	far.List[0].Partition = 7
	bad := msgs("a/b", "k=1")
	for _, c := range []struct {
		msg  *outbox.Message
		want string
	}{{&large.List[0], "max.message.bytes of topic "}, {&far.List[0], "has 7 partitions, none is number 7"}, {&bad.List[0], "has a character that is none of"}} {
		if _, reason := preview(c.msg); !strings.Contains(reason, c.want) {
			t.Errorf("got %q, want %q", reason, c.want)
		}
	}
	none := msgs(r.topic+"-none", "k=1")
	for _, at := range []time.Time{time.UnixMilli(-1), time.UnixMilli(maxTime + 1)} {
		m := none.List[0]
		m.Time = at
		want := "Kafka cannot store the time " + at.UTC().Format(time.RFC3339)
		if exists, reason := preview(&m); exists || reason != want {
			t.Errorf("no topic: %t, %q, want %q", exists, reason, want)
		}
		if got := Illegal(&m); got != want {
			t.Errorf("without Kafka: %q, want %q", got, want)
		}
	}
	if got := Illegal(&bad.List[0]); !strings.Contains(got, "has a character") {
		t.Errorf("without Kafka: %q", got)
	}
}

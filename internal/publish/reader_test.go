package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tailer-io/tailer/internal/outbox"
)

func (r *rig) reader(committed bool) *Reader {
	rd := NewReader(r.cfg, committed, slog.New(slog.NewTextHandler(r.logs, nil)))
	r.t.Cleanup(rd.Close)
	return rd
}

// all reads a topic; what it gives is a copy.
func (r *rig) all(rd *Reader, topic string) (out []outbox.Record, spans []Span) {
	r.t.Helper()
	ctx := ctxT(r.t)
	spans, err := rd.Spans(ctx, topic, time.Time{})
	must(r.t, err)
	for i, s := range spans {
		removed, err := rd.Read(ctx, topic, int32(i), s, func(rec *outbox.Record) {
			c := *rec
			c.Key, c.Value, c.Headers = bytes.Clone(rec.Key), bytes.Clone(rec.Value), slices.Clone(rec.Headers)
			out = append(out, c)
		})
		must(r.t, err)
		if removed != 0 {
			r.t.Errorf("%d removed", removed)
		}
	}
	return out, spans
}

func line(partition int32, offset int64, at time.Time, key, value []byte, headers string) string {
	return fmt.Sprintf("%d/%d %d %q %t %q %t %s", partition, offset, at.UnixMilli(), key, key == nil, value, value == nil, headers)
}

// lines are the records in the form of peerLines.
func lines(list []outbox.Record) (out []string) {
	for _, r := range list {
		var h []string
		for _, x := range r.Headers {
			h = append(h, fmt.Sprintf("%q=%q/%t", x.Key, x.Value, x.Value == nil))
		}
		out = append(out, line(r.Partition, r.Offset, r.Time, r.Key, r.Value, strings.Join(h, ",")))
	}
	return out
}

// peerLines are what another client library reads.
func peerLines(list []*kgo.Record) (out []string) {
	for _, r := range list {
		var h []string
		for _, x := range r.Headers {
			h = append(h, fmt.Sprintf("%q=%q/%t", x.Key, x.Value, x.Value == nil))
		}
		out = append(out, line(r.Partition, r.Offset, r.Timestamp, r.Key, r.Value, strings.Join(h, ",")))
	}
	return out
}

func sortedValues(list []outbox.Record) string {
	var s []string
	for _, r := range list {
		s = append(s, string(r.Value))
	}
	slices.Sort(s)
	return strings.Join(s, " ")
}

func TestReaderReadsWhatOthersRead(t *testing.T) {
	r := newRig(t, nil)
	ctx := ctxT(t)
	must(t, r.Fence(ctx, 10*time.Second))
	m := msgs(r.topic, "a=1", "b=2", "c=3", "d=4", "a=5", "e=")
	m.List[0].Headers = []outbox.Header{{Key: []byte("id"), Value: []byte("x")}, {Key: []byte("n")}, {Key: []byte("e"), Value: []byte{}}}
	m.List[1].Key = nil
	m.List[3].Value = nil
	transact(t, r.Kafka, m)
	r.abort(msgs(r.topic, "a=lost", "b=lost", "c=lost", "d=lost"))
	for i := range 20 {
		transact(t, r.Kafka, msgs(r.topic, fmt.Sprintf("k%d=%s", i, strings.Repeat("x", 50_000))))
	}
	rd := r.reader(true)
	rd.window = 200_000 // several fetches, batches that are cut
	got, _ := r.all(rd, r.topic)
	want := r.read(r.topic)
	slices.SortFunc(want, func(a, b *kgo.Record) int {
		if a.Partition != b.Partition {
			return int(a.Partition - b.Partition)
		}
		return int(a.Offset - b.Offset)
	})
	if g, w := lines(got), peerLines(want); !slices.Equal(g, w) || len(w) != 26 {
		t.Errorf("%d records, want %d\n%.300s\n%.300s", len(g), len(w), g, w)
	}

	for _, rec := range got[:3] {
		one, err := rd.At(ctx, r.topic, rec.Partition, rec.Offset)
		must(t, err)
		if one == nil || lines([]outbox.Record{*one})[0] != lines([]outbox.Record{rec})[0] {
			t.Errorf("read again: %+v, want %+v", one, rec)
		}
	}
	rd.patience = 10 * time.Millisecond
	if one, err := rd.At(ctx, r.topic, got[0].Partition, got[0].Offset+1_000_000); err == nil {
		t.Errorf("behind the end: %+v", one)
	}
}

func TestReaderIsolation(t *testing.T) {
	r := newRig(t, func(c *KafkaConfig) { c.TopicPartitions = 1 })
	ctx := ctxT(t)
	must(t, r.Fence(ctx, 10*time.Second))
	transact(t, r.Kafka, msgs(r.topic, "a=1"))
	r.abort(msgs(r.topic, "a=aborted"))
	transact(t, r.Kafka, msgs(r.topic, "a=2"))
	r.stable(ctx, []string{r.topic})
	m := msgs(r.topic, "a=open")
	must(t, r.Admit(ctx, m, nil))
	must(t, r.Join(ctx, m))
	must(t, r.Produce(ctx, m))

	got, spans := r.all(r.reader(true), r.topic)
	if sortedValues(got) != "1 2" || spans[0].Hidden != 1 {
		t.Errorf("read_committed: %s, %+v", sortedValues(got), spans)
	}
	got, spans = r.all(r.reader(false), r.topic)
	if sortedValues(got) != "1 2 aborted open" || spans[0].Hidden != 0 {
		t.Errorf("read_uncommitted: %s, %+v", sortedValues(got), spans)
	}
}

// An answer to a read_uncommitted fetch has no last stable offset.
func TestEndOfAnAnswer(t *testing.T) {
	block := &sarama.FetchResponseBlock{HighWaterMarkOffset: 7, LastStableOffset: -1}
	if got := (&partitionLog{isolation: sarama.ReadUncommitted}).end(block); got != 7 {
		t.Errorf("read_uncommitted: %d", got)
	}
	block.LastStableOffset = 5
	if got := (&partitionLog{isolation: sarama.ReadCommitted}).end(block); got != 5 {
		t.Errorf("read_committed: %d", got)
	}
}

func TestReaderSince(t *testing.T) {
	r := newRig(t, func(c *KafkaConfig) { c.TopicPartitions = 1 })
	ctx := ctxT(t)
	r.createTopic(r.topic, 1)
	r.topics[r.topic] = nil // to be deleted
	begin := time.Now().Add(-time.Hour).Truncate(time.Second)
	for i := range 5 {
		rec := &kgo.Record{Topic: r.topic, Value: fmt.Append(nil, i), Timestamp: begin.Add(time.Duration(i) * time.Minute)}
		must(t, r.peer.ProduceSync(ctx, rec).FirstErr())
	}
	rd := r.reader(true)
	for _, c := range []struct {
		since time.Duration
		want  string
	}{{-time.Minute, "0 1 2 3 4"}, {2 * time.Minute, "2 3 4"}, {2*time.Minute + 1, "2 3 4"}, {2*time.Minute + time.Second, "3 4"}, {time.Hour, ""}} {
		spans, err := rd.Spans(ctx, r.topic, begin.Add(c.since))
		must(t, err)
		var got []string
		_, err = rd.Read(ctx, r.topic, 0, spans[0], func(rec *outbox.Record) { got = append(got, string(rec.Value)) })
		must(t, err)
		if strings.Join(got, " ") != c.want {
			t.Errorf("since %s: %v, want %s", c.since, got, c.want)
		}
	}
}

func TestReaderAfterRetention(t *testing.T) {
	r := newRig(t, func(c *KafkaConfig) { c.TopicPartitions = 1 })
	ctx := ctxT(t)
	must(t, r.Create(ctx))
	must(t, r.Fence(ctx, 10*time.Second))
	for i := range 10 {
		transact(t, r.Kafka, r.point(fmt.Sprintf("name=%d", i)))
	}
	r.stable(ctx, []string{r.cfg.CheckpointTopic})
	rd := r.reader(true)
	spans, err := rd.Spans(ctx, r.cfg.CheckpointTopic, time.Time{})
	must(t, err)
	r.alter("cleanup.policy", "delete")
	r.deleteBefore(14) // each transaction is a record and a marker
	var got []string
	removed, err := rd.Read(ctx, r.cfg.CheckpointTopic, 0, spans[0], func(rec *outbox.Record) { got = append(got, string(rec.Value)) })
	if err != nil || removed != 14 || strings.Join(got, " ") != "7 8 9" {
		t.Errorf("%v, %d removed, %v", got, removed, err)
	}
	if one, err := rd.At(ctx, r.cfg.CheckpointTopic, 0, 4); err != nil || one != nil {
		t.Errorf("a record that is gone: %+v, %v", one, err)
	}
	r.deleteBefore(20)
	got = nil
	removed, err = rd.Read(ctx, r.cfg.CheckpointTopic, 0, spans[0], func(rec *outbox.Record) { got = append(got, string(rec.Value)) })
	if err != nil || removed != 20 || len(got) != 0 {
		t.Errorf("%v, %d removed, %v", got, removed, err)
	}
}

func TestReaderWithoutTopic(t *testing.T) {
	r := newRig(t, nil)
	_, err := r.reader(true).Spans(ctxT(t), r.topic, time.Time{})
	if err == nil || err.Error() != "look up topic "+r.topic+": there is no such topic" {
		t.Errorf("%v", err)
	}
	var invalid *outbox.Invalid
	if _, err := r.reader(true).Spans(ctxT(t), "a/b", time.Time{}); !errors.As(err, &invalid) {
		t.Errorf("%v", err)
	}
	// Asking must not make one.
	meta := kmsg.NewPtrMetadataRequest()
	one := kmsg.NewMetadataRequestTopic()
	one.Topic = &r.topic
	meta.Topics = append(meta.Topics, one)
	resp, err := meta.RequestWith(ctxT(t), r.peer)
	must(t, err)
	if code := resp.Topics[0].ErrorCode; code != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("the topic exists: %d", code)
	}
}

// A connection that breaks and a leader that has moved are passed over, and
// each record is given once.
func TestReaderGoesOn(t *testing.T) {
	f := newFaults(t)
	r := newRig(t, func(c *KafkaConfig) { c.TopicPartitions = 1 })
	ctx := ctxT(t)
	must(t, r.Fence(ctx, 10*time.Second))
	var want []string
	for i := range 20 {
		transact(t, r.Kafka, msgs(r.topic, fmt.Sprintf("k=%d%s", i, strings.Repeat("x", 3000))))
		want = append(want, fmt.Sprint(i))
	}
	r.stable(ctx, []string{r.topic})
	cfg := r.cfg
	cfg.Brokers = []string{f.l.Addr().String()}
	for _, what := range []fate{cutBefore, cutAfter, refuse} {
		rd := NewReader(cfg, true, slog.New(slog.DiscardHandler))
		t.Cleanup(rd.Close)
		spans, err := rd.Spans(ctx, r.topic, time.Time{})
		must(t, err)
		n := 0
		f.set(func(req kmsg.Request) (fate, int16) {
			if req.Key() == apiFetch {
				if n++; n%3 == 0 {
					return what, kerr.NotLeaderForPartition.Code
				}
			}
			return pass, 0
		})
		var got []string
		l := rd.partition(r.topic, 0)
		l.window = 8000
		_, err = rd.read(ctx, l, spans[0], func(rec *outbox.Record) { got = append(got, strings.Trim(string(rec.Value), "x")) })
		if err != nil || !slices.Equal(got, want) || n < 6 {
			t.Errorf("fate %d, %d fetches: %v, %v", what, n, got, err)
		}
	}

	rd := NewReader(cfg, true, slog.New(slog.DiscardHandler))
	t.Cleanup(rd.Close)
	rd.patience = 50 * time.Millisecond
	f.set(func(req kmsg.Request) (fate, int16) {
		if req.Key() == apiFetch {
			return cutBefore, 0
		}
		return pass, 0
	})
	if _, err := rd.Read(ctx, r.topic, 0, Span{End: 5}, func(*outbox.Record) {}); err == nil ||
		!strings.Contains(err.Error(), "read topic "+r.topic+" partition 0: fetch offset 0") {
		t.Errorf("a broker that never answers: %v", err)
	}
	short, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := rd.Read(short, r.topic, 0, Span{End: 5}, func(*outbox.Record) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

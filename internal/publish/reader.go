package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/IBM/sarama"

	"github.com/tailer-io/tailer/internal/outbox"
)

const (
	// readWindow is how many bytes a fetch of a Reader asks for.
	readWindow = 1 << 20
	// oneWindow is the same for a single record; a larger one costs a second
	// fetch.
	oneWindow = 64 << 10
	// readPatience bounds how long a Reader tries again without getting on.
	readPatience = 30 * time.Second
)

// Reader reads topics as a consumer without a group does: it commits no
// offsets and creates nothing. It is used by one goroutine at a time.
type Reader struct {
	cluster   cluster
	log       *slog.Logger
	isolation sarama.IsolationLevel
	patience  time.Duration
	window    int32
}

// Span is what there is to read of a partition.
type Span struct {
	// Start and End are the first offset and the one behind the last.
	Start, End int64
	// Hidden is how many offsets lie behind End because a transaction is open;
	// 0 for read_uncommitted.
	Hidden int64
}

// NewReader makes a Reader that is not connected; of cfg it takes how to reach
// the brokers. committed hides what was aborted, and what is in an open
// transaction or behind it, as isolation.level=read_committed does.
func NewReader(cfg KafkaConfig, committed bool, log *slog.Logger) *Reader {
	if cfg.ClientID == "" {
		cfg.ClientID = "tailer"
	}
	relayLogs(log)
	r := &Reader{cluster: newCluster(cfg), log: log, isolation: sarama.ReadUncommitted, patience: readPatience, window: readWindow}
	if committed {
		r.isolation = sarama.ReadCommitted
	}
	return r
}

// Close ends every connection. A later call opens them again.
func (r *Reader) Close() { r.cluster.close() }

// Spans says what there is to read now of each partition of a topic, in their
// order: to the end, from the first record that is not older than since (older
// ones may follow it: a topic need not be in the order of time), or with a zero
// since from the beginning.
func (r *Reader) Spans(ctx context.Context, topic string, since time.Time) ([]Span, error) {
	spans, err := r.spans(ctx, topic, since)
	if err != nil {
		return nil, fmt.Errorf("look up topic %s: %w", topic, err)
	}
	return spans, nil
}

func (r *Reader) spans(ctx context.Context, topic string, since time.Time) ([]Span, error) {
	if reason, ok := legalTopic(topic); !ok {
		return nil, &outbox.Invalid{Text: reason}
	}
	meta, err := r.metadata(ctx, topic)
	if isCode(err, sarama.ErrUnknownTopicOrPartition) {
		return nil, errors.New("there is no such topic")
	}
	if err != nil {
		return nil, err
	}
	spans := make([]Span, len(meta.Partitions))
	for i := range spans {
		l := r.partition(topic, int32(i))
		if err := l.find(meta); err != nil {
			return nil, fmt.Errorf("partition %d: %w", i, err)
		}
		if spans[i], err = l.span(ctx, since); err != nil {
			return nil, fmt.Errorf("partition %d: %w", i, err)
		}
	}
	return spans, nil
}

// metadata looks the topic up.
func (r *Reader) metadata(ctx context.Context, topic string) (*sarama.TopicMetadata, error) {
	found, err := r.cluster.metadata(ctx, topic)
	if err != nil {
		return nil, err
	}
	return found[topic], knownTopic(found[topic])
}

func (r *Reader) partition(topic string, index int32) *partitionLog {
	return &partitionLog{c: &r.cluster, topic: topic, index: index, isolation: r.isolation, window: r.window}
}

// span asks for the bounds of what is not older than since.
func (l *partitionLog) span(ctx context.Context, since time.Time) (Span, error) {
	if err := l.bounds(ctx); err != nil {
		return Span{}, err
	}
	s := Span{Start: l.start, End: l.stable}
	if l.isolation == sarama.ReadCommitted {
		high, err := l.offset(ctx, sarama.OffsetNewest, sarama.ReadUncommitted)
		if err != nil {
			return Span{}, err
		}
		s.Hidden = max(high-s.End, 0)
	}
	if !since.IsZero() {
		at, err := l.offset(ctx, since.UnixMilli(), l.isolation)
		if err != nil {
			return Span{}, err
		}
		if at < 0 || at > s.End {
			at = s.End // nothing is that young
		}
		s.Start = max(s.Start, at)
	}
	return s, nil
}

// Read gives the records of a span, in order. f must not keep a record or its
// bytes. A connection that breaks or a leader that moves is passed over, within
// limits. removed is how many offsets of the span retention had taken away
// before they were read.
func (r *Reader) Read(ctx context.Context, topic string, partition int32, s Span, f func(*outbox.Record)) (removed int64, err error) {
	return r.read(ctx, r.partition(topic, partition), s, f)
}

func (r *Reader) read(ctx context.Context, l *partitionLog, s Span, f func(*outbox.Record)) (removed int64, err error) {
	var out outbox.Record
	give := func(in record) {
		out = outbox.Record{Partition: l.index, Offset: in.offset, Time: in.time, Key: in.key, Value: in.value, Headers: out.Headers[:0]}
		for _, h := range in.headers {
			out.Headers = append(out.Headers, outbox.Header{Key: h.Key, Value: h.Value})
		}
		f(&out)
	}
	at := s.Start
	pause := r.pause()
	for {
		var next int64
		if next, err = r.scan(ctx, l, at, s.End, give); next > at {
			at, pause = next, r.pause()
		}
		if l.start > s.Start+removed {
			removed = min(l.start, s.End) - s.Start
		}
		if err == nil {
			return removed, nil
		}
		if permanent(err) {
			break
		}
		r.log.Warn("reading a topic goes on after an error", keyTopic, l.topic, keyPartition, l.index, keyErr, err)
		if werr := pause.wait(ctx); werr != nil {
			break
		}
	}
	return removed, fmt.Errorf("read topic %s partition %d: %w", l.topic, l.index, err)
}

func (r *Reader) pause() *backoff {
	return newBackoff(min(100*time.Millisecond, r.patience), 2*time.Second, r.patience)
}

// permanent reports whether to ask again is pointless.
func permanent(err error) bool {
	var invalid *outbox.Invalid
	return errors.As(err, &invalid) || errors.Is(err, errLegacyFormat) || classify(err) != retriable
}

// scan finds the leader and reads from it.
func (r *Reader) scan(ctx context.Context, l *partitionLog, from, to int64, f func(record)) (int64, error) {
	if from >= to {
		return from, nil
	}
	meta, err := r.metadata(ctx, l.topic)
	if err != nil {
		return from, err
	}
	if err := l.find(meta); err != nil {
		return from, err
	}
	return l.scan(ctx, from, to, f)
}

// At reads one record again; its bytes belong to the caller. nil says that it
// is not there any more.
func (r *Reader) At(ctx context.Context, topic string, partition int32, offset int64) (*outbox.Record, error) {
	var found *outbox.Record
	l := r.partition(topic, partition)
	l.window = oneWindow
	_, err := r.read(ctx, l, Span{Start: offset, End: offset + 1}, func(rec *outbox.Record) {
		kept := *rec
		kept.Key, kept.Value, kept.Headers = bytes.Clone(rec.Key), bytes.Clone(rec.Value), slices.Clone(rec.Headers)
		for i, h := range kept.Headers {
			kept.Headers[i] = outbox.Header{Key: bytes.Clone(h.Key), Value: bytes.Clone(h.Value)}
		}
		found = &kept
	})
	return found, err
}

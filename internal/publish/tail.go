package publish

import (
	"context"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/tailer-io/tailer/internal/outbox"
)

const (
	// firstWindow is how many offsets the backward read looks at first; each
	// further window is windowGrowth times as large. A running tailer writes
	// its key with every transaction, so the first window nearly always has it.
	firstWindow  = 64
	windowGrowth = 8
	// barrierPatience bounds the pauses between two looks for a barrier.
	barrierPatience = 50 * time.Millisecond
)

// Newest reads the checkpoint topic backwards, as a read_committed consumer
// sees it, for the newest record of each key: below everything that is
// committed and stable when it is called, or, when upTo is not nil, up to the
// record with upTo's key and value, for which it waits until ctx ends. A key
// without record, or with a tombstone, has a nil value. Only a key that was
// never written makes it read from the beginning.
func (k *Kafka) Newest(ctx context.Context, keys []string, upTo *outbox.Barrier) (map[string][]byte, error) {
	l, err := k.openLog(ctx)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint topic %s: %w", k.cfg.CheckpointTopic, err)
	}
	end := l.stable
	if upTo != nil {
		if end, err = l.findBarrier(ctx, upTo); err != nil {
			return nil, fmt.Errorf("wait for barrier in checkpoint topic %s: %w", l.topic, err)
		}
	}
	found, err := l.newest(ctx, keys, end)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint topic %s: %w", l.topic, err)
	}
	return found, nil
}

// tailLog is the one partition of the checkpoint topic, as a reader sees it.
type tailLog struct {
	k      *Kafka
	topic  string
	leader *node
	start  int64 // the first offset there is
	stable int64 // the last stable offset: no open transaction lies below
}

// openLog finds the leader and the bounds of the log.
func (k *Kafka) openLog(ctx context.Context) (*tailLog, error) {
	l := &tailLog{k: k, topic: k.cfg.CheckpointTopic}
	found, err := k.cluster.metadata(ctx, l.topic)
	if err != nil {
		return nil, err
	}
	meta := found[l.topic]
	switch {
	case meta == nil:
		return nil, fmt.Errorf("the broker's answer does not name it")
	case meta.Err != sarama.ErrNoError:
		return nil, &brokerError{step: "look up topic", code: meta.Err}
	case len(meta.Partitions) == 0 || meta.Partitions[0].Leader < 0:
		return nil, &brokerError{step: "find leader", code: sarama.ErrLeaderNotAvailable}
	}
	if l.leader = k.cluster.nodes[meta.Partitions[0].Leader]; l.leader == nil {
		return nil, &brokerError{step: "find leader", code: sarama.ErrLeaderNotAvailable}
	}
	return l, l.bounds(ctx)
}

// bounds asks for the first offset and the last stable offset.
func (l *tailLog) bounds(ctx context.Context) (err error) {
	if l.start, err = l.offset(ctx, sarama.OffsetOldest); err != nil {
		return err
	}
	l.stable, err = l.offset(ctx, sarama.OffsetNewest)
	return err
}

func (l *tailLog) offset(ctx context.Context, at int64) (int64, error) {
	const step = "list offsets"
	req := sarama.NewOffsetRequest(l.k.cluster.conf.Version)
	req.IsolationLevel = sarama.ReadCommitted // "newest" is then the last stable offset
	req.AddBlock(l.topic, 0, at, 1)
	resp, err := call(ctx, &l.k.cluster, l.leader, func(b *sarama.Broker) (*sarama.OffsetResponse, error) {
		return b.GetAvailableOffsets(req)
	})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", step, err)
	}
	block := resp.GetBlock(l.topic, 0)
	if block == nil {
		return 0, fmt.Errorf("%s: the broker's answer does not name the partition", step)
	}
	return block.Offset, refusal(step, block.Err)
}

// findBarrier waits for a record and returns the offset behind it. Each round
// looks at what is new, and a window further back: the barrier was committed
// moments ago, so it is near the end, or not yet visible because the markers
// of its transaction are still being written.
func (l *tailLog) findBarrier(ctx context.Context, want *outbox.Barrier) (int64, error) {
	top, bottom := l.stable, l.stable
	window := int64(firstWindow)
	pause := newBackoff(time.Millisecond, barrierPatience, time.Duration(1<<62))
	for {
		end := int64(-1)
		look := func(r record) {
			if string(r.key) == want.Key && r.value != nil && string(r.value) == string(want.Value) {
				end = max(end, r.offset+1)
			}
		}
		if low := max(l.start, bottom-window); low < bottom {
			if err := l.scan(ctx, low, bottom, look); err != nil {
				return 0, err
			}
			bottom, window = low, window*windowGrowth
		} else if err := pause.wait(ctx); err != nil {
			return 0, err
		}
		if end < 0 {
			if err := l.bounds(ctx); err != nil {
				return 0, err
			}
			if top < l.stable {
				if err := l.scan(ctx, top, l.stable, look); err != nil {
					return 0, err
				}
				top = l.stable
			}
		}
		if end >= 0 {
			return end, nil
		}
	}
}

// newest reads windows backwards from end until every key is found.
func (l *tailLog) newest(ctx context.Context, keys []string, end int64) (map[string][]byte, error) {
	found := make(map[string][]byte, len(keys))
	missing := make(map[string]bool, len(keys))
	for _, key := range keys {
		found[key], missing[key] = nil, true
	}
	for window := int64(firstWindow); len(missing) > 0 && end > l.start; window *= windowGrowth {
		low := max(l.start, end-window)
		here := make(map[string][]byte)
		err := l.scan(ctx, low, end, func(r record) {
			if key := string(r.key); missing[key] && r.key != nil {
				here[key] = r.value // the later one wins
			}
		})
		if err != nil {
			return nil, err
		}
		for key, value := range here {
			found[key] = value
			delete(missing, key)
		}
		end = low
	}
	return found, nil
}

// record is a record that a read_committed consumer sees. Its bytes are not
// shared with anybody.
type record struct {
	offset     int64
	key, value []byte
}

// scan gives the committed records of [from, to), in order; to is at most the
// last stable offset. Offsets without a record (markers, aborted records, what
// compaction removed) are passed over.
func (l *tailLog) scan(ctx context.Context, from, to int64, f func(record)) error {
	size := int32(1 << 20)
	for at := from; at < to; {
		block, err := l.fetch(ctx, at, size)
		if isCode(err, sarama.ErrOffsetOutOfRange) {
			// Retention or compaction moved the log's start meanwhile: what
			// stood below it is no record any more.
			if err := l.bounds(ctx); err != nil {
				return err
			}
			if l.start <= at {
				return fmt.Errorf("fetch offset %d: out of range, yet the log starts at %d", at, l.start)
			}
			at = l.start
			continue
		}
		if err != nil {
			return err
		}
		if partial(block) {
			size *= 2 // one batch is larger than what was asked for
			if size <= 0 {
				return fmt.Errorf("fetch offset %d: the record batch there is larger than 1 GiB", at)
			}
			continue
		}
		next := committed(block, at, to, f)
		if next == at {
			// Compaction leaves empty batches behind, which sarama drops
			// without saying where they end: step over one offset of them.
			if block.LastStableOffset <= at {
				return fmt.Errorf("fetch offset %d: the log ended at %d before and ends at %d now", at, to, block.LastStableOffset)
			}
			next++
		}
		at = next
	}
	return nil
}

// partial reports whether a fetch brought nothing but the head of a batch.
func partial(block *sarama.FetchResponseBlock) bool {
	if block.Partial {
		return true
	}
	return len(block.RecordsSet) == 1 && block.RecordsSet[0].RecordBatch != nil &&
		block.RecordsSet[0].RecordBatch.PartialTrailingRecord
}

// fetch reads from one offset on.
func (l *tailLog) fetch(ctx context.Context, at int64, size int32) (*sarama.FetchResponseBlock, error) {
	step := fmt.Sprintf("fetch offset %d", at)
	req := &sarama.FetchRequest{
		Version:      11,
		MaxWaitTime:  500,
		MinBytes:     1,
		MaxBytes:     size,
		Isolation:    sarama.ReadCommitted,
		SessionEpoch: -1, // no session: one question, one answer
	}
	req.AddBlock(l.topic, 0, at, size, -1)
	for {
		resp, err := call(ctx, &l.k.cluster, l.leader, func(b *sarama.Broker) (*sarama.FetchResponse, error) {
			return b.Fetch(req)
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", step, err)
		}
		if code := sarama.KError(resp.ErrorCode); code != sarama.ErrNoError {
			return nil, &brokerError{step: step, code: code}
		}
		block := resp.GetBlock(l.topic, 0)
		if block == nil {
			return nil, fmt.Errorf("%s: the broker's answer does not name the partition", step)
		}
		if resp.ThrottleTime > 0 && len(block.RecordsSet) == 0 && block.Err == sarama.ErrNoError {
			// A broker that throttles answers without records (KIP-219), which
			// must not pass for a gap. sarama waits before the next request.
			if err := ctx.Err(); err != nil {
				return nil, context.Cause(ctx)
			}
			continue
		}
		return block, refusal(step, block.Err)
	}
}

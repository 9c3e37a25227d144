package publish

import (
	"bytes"
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

// Settled waits until readers see what came of every transaction that had written
// to the checkpoint topic when it was called: the coordinator answers a Commit
// once it is decided, and writes the markers behind which it can be read
// afterwards. A transaction that nobody ends is waited for until ctx ends.
func (k *Kafka) Settled(ctx context.Context) error {
	l, err := k.openLog(ctx)
	if err != nil {
		return fmt.Errorf("read checkpoint topic %s: %w", k.cfg.CheckpointTopic, err)
	}
	written, err := l.offset(ctx, sarama.OffsetNewest, sarama.ReadUncommitted)
	for pause := newBackoff(time.Millisecond, barrierPatience, time.Duration(1<<62)); err == nil && l.stable < written; {
		if err = pause.wait(ctx); err == nil {
			err = l.bounds(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("wait for transactions in checkpoint topic %s: %w", l.topic, err)
	}
	return nil
}

// tailWindow is how many bytes a fetch of the checkpoint topic asks for.
const tailWindow = 1 << 20

// tailLog is the one partition of the checkpoint topic, as a read_committed
// consumer sees it.
type tailLog struct{ partitionLog }

// openLog finds the leader and the bounds of the log.
func (k *Kafka) openLog(ctx context.Context) (*tailLog, error) {
	l := &tailLog{partitionLog{c: &k.cluster, topic: k.cfg.CheckpointTopic, isolation: sarama.ReadCommitted, window: tailWindow}}
	found, err := k.cluster.metadata(ctx, l.topic)
	if err != nil {
		return nil, err
	}
	if err := l.find(found[l.topic]); err != nil {
		return nil, err
	}
	return l, l.bounds(ctx)
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
			if _, err := l.scan(ctx, low, bottom, look); err != nil {
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
				if _, err := l.scan(ctx, top, l.stable, look); err != nil {
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
		_, err := l.scan(ctx, low, end, func(r record) {
			if key := string(r.key); missing[key] && r.key != nil {
				// The later one wins. The answer may be a megabyte, and what is
				// kept must not pin it.
				here[key] = bytes.Clone(r.value)
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

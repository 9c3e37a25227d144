package publish

import (
	"context"
	"errors"
	"fmt"

	"github.com/IBM/sarama"
)

// partitionLog is one partition, as a reader of one isolation level sees it.
type partitionLog struct {
	c         *cluster
	topic     string
	index     int32
	leader    *node
	isolation sarama.IsolationLevel
	window    int32 // bytes that a fetch asks for

	start int64 // the first offset there is
	// stable is the end of what may be read: the last stable offset, below
	// which no transaction is open, or for read_uncommitted the high watermark.
	stable int64
}

var errLegacyFormat = errors.New("the topic holds records in the format from before Kafka 0.11, which tailer does not read")

// find looks up the leader in the metadata of the topic.
func (l *partitionLog) find(meta *sarama.TopicMetadata) error {
	if err := knownTopic(meta); err != nil {
		return err
	}
	for _, p := range meta.Partitions {
		if p.ID == l.index {
			if l.leader = l.c.nodes[p.Leader]; l.leader != nil {
				return nil
			}
		}
	}
	return &brokerError{step: "find leader", code: sarama.ErrLeaderNotAvailable}
}

// knownTopic tells whether a metadata answer describes the topic.
func knownTopic(meta *sarama.TopicMetadata) error {
	switch {
	case meta == nil:
		return errors.New("the broker's answer does not name it")
	case meta.Err != sarama.ErrNoError:
		return &brokerError{step: "look up topic", code: meta.Err}
	}
	return nil
}

// bounds asks for the first offset and the end.
func (l *partitionLog) bounds(ctx context.Context) (err error) {
	if l.start, err = l.offset(ctx, sarama.OffsetOldest, l.isolation); err != nil {
		return err
	}
	l.stable, err = l.offset(ctx, sarama.OffsetNewest, l.isolation)
	return err
}

// offset asks for the offset at a time in milliseconds, OffsetOldest or
// OffsetNewest; -1 says that nothing is as young as that time.
func (l *partitionLog) offset(ctx context.Context, at int64, isolation sarama.IsolationLevel) (int64, error) {
	const step = "list offsets"
	req := sarama.NewOffsetRequest(l.c.conf.Version)
	req.IsolationLevel = isolation // it decides what "newest" is
	req.AddBlock(l.topic, l.index, at, 1)
	resp, err := call(ctx, l.c, l.leader, func(b *sarama.Broker) (*sarama.OffsetResponse, error) {
		return b.GetAvailableOffsets(req)
	})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", step, err)
	}
	block := resp.GetBlock(l.topic, l.index)
	if block == nil {
		return 0, fmt.Errorf("%s: the broker's answer does not name the partition", step)
	}
	return block.Offset, refusal(step, block.Err)
}

// scan gives the visible records of [from, to), in order, and returns the
// offset up to which it came; to is at most the end as bounds found it. Offsets
// without a record (markers, aborted records, what compaction or retention
// removed) are passed over.
func (l *partitionLog) scan(ctx context.Context, from, to int64, f func(record)) (at int64, err error) {
	size := l.window
	for at = from; at < to; {
		block, err := l.fetch(ctx, at, size)
		if isCode(err, sarama.ErrOffsetOutOfRange) {
			// Retention or compaction moved the log's start meanwhile: what
			// stood below it is no record any more.
			if err := l.bounds(ctx); err != nil {
				return at, err
			}
			if l.start <= at {
				return at, fmt.Errorf("fetch offset %d: out of range, yet the log starts at %d", at, l.start)
			}
			at = l.start
			continue
		}
		if err != nil {
			return at, err
		}
		if partial(block) {
			size *= 2 // one batch is larger than what was asked for
			if size <= 0 {
				return at, fmt.Errorf("fetch offset %d: the record batch there is larger than 1 GiB", at)
			}
			continue
		}
		if legacy(block) {
			return at, fmt.Errorf("fetch offset %d: %w", at, errLegacyFormat)
		}
		next := committed(block, at, to, f)
		if next == at {
			// Compaction leaves empty batches behind, which sarama drops
			// without saying where they end: step over one offset of them.
			if end := l.end(block); end <= at {
				return at, fmt.Errorf("fetch offset %d: the log ended at %d before and ends at %d now", at, to, end)
			}
			next++
		}
		at = next
	}
	return at, nil
}

// end is where the readable part of the log ends, by a fetch answer.
func (l *partitionLog) end(block *sarama.FetchResponseBlock) int64 {
	if l.isolation == sarama.ReadCommitted {
		return block.LastStableOffset
	}
	return block.HighWaterMarkOffset
}

// partial reports whether a fetch brought nothing but the head of a batch.
func partial(block *sarama.FetchResponseBlock) bool {
	if block.Partial {
		return true
	}
	return len(block.RecordsSet) == 1 && block.RecordsSet[0].RecordBatch != nil &&
		block.RecordsSet[0].RecordBatch.PartialTrailingRecord
}

// legacy reports whether a fetch brought messages that are not in batches.
func legacy(block *sarama.FetchResponseBlock) bool {
	for _, set := range block.RecordsSet {
		if set.MsgSet != nil {
			return true
		}
	}
	return false
}

// fetch reads from one offset on.
func (l *partitionLog) fetch(ctx context.Context, at int64, size int32) (*sarama.FetchResponseBlock, error) {
	step := fmt.Sprintf("fetch offset %d", at)
	req := &sarama.FetchRequest{
		Version:      11,
		MaxWaitTime:  500,
		MinBytes:     1,
		MaxBytes:     size,
		Isolation:    l.isolation,
		SessionEpoch: -1, // no session: one question, one answer
	}
	req.AddBlock(l.topic, l.index, at, size, -1)
	for {
		resp, err := callFor(ctx, l.c, l.leader, int(size), func(b *sarama.Broker) (*sarama.FetchResponse, error) {
			return b.Fetch(req)
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", step, err)
		}
		if code := sarama.KError(resp.ErrorCode); code != sarama.ErrNoError {
			return nil, &brokerError{step: step, code: code}
		}
		block := resp.GetBlock(l.topic, l.index)
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

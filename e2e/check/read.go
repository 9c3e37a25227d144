package check

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Isolation is what the reading consumer is allowed to see.
type Isolation int

const (
	// Committed sees what transactions committed: the reader that exactly-once is promised to.
	Committed Isolation = iota
	// Uncommitted sees everything that was ever appended.
	Uncommitted
)

func (i Isolation) level() kgo.IsolationLevel {
	if i == Uncommitted {
		return kgo.ReadUncommitted()
	}
	return kgo.ReadCommitted()
}

// ends lists the offset of each partition behind which this isolation sees nothing.
func ends(ctx context.Context, admin *kadm.Client, isolation Isolation, topics ...string) (kadm.ListedOffsets, error) {
	list := admin.ListCommittedOffsets
	if isolation == Uncommitted {
		list = admin.ListEndOffsets
	}
	offsets, err := list(ctx, topics...)
	if err != nil {
		return nil, err
	}
	return offsets, offsets.Error()
}

// Read returns every record of the topics from their beginning up to the end they had when it was called.
func Read(ctx context.Context, brokers string, isolation Isolation, topics ...string) ([]Record, error) {
	if len(topics) == 0 {
		return nil, nil // An empty list would mean every topic of the cluster.
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.FetchIsolationLevel(isolation.level()),
		// A partition ends with a control record more often than not; without seeing it the end is never reached.
		kgo.KeepControlRecords(),
		kgo.FetchMaxWait(100*time.Millisecond),
	)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)

	starts, err := admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("list start offsets: %w", err)
	}
	stops, err := ends(ctx, admin, isolation, topics...)
	if err != nil {
		return nil, fmt.Errorf("list end offsets: %w", err)
	}

	type place struct {
		topic     string
		partition int32
	}
	left := map[place]int64{}
	from := map[string]map[int32]kgo.Offset{}
	stops.Each(func(o kadm.ListedOffset) {
		start, ok := starts.Lookup(o.Topic, o.Partition)
		if !ok || start.Offset >= o.Offset {
			return
		}
		left[place{o.Topic, o.Partition}] = o.Offset
		if from[o.Topic] == nil {
			from[o.Topic] = map[int32]kgo.Offset{}
		}
		from[o.Topic][o.Partition] = kgo.NewOffset().At(start.Offset)
	})
	client.AddConsumePartitions(from)

	var records []Record
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("%d partitions not read to their end: %w", len(left), err)
		}
		if errs := fetches.Errors(); len(errs) > 0 {
			return nil, fmt.Errorf("fetch %s/%d: %w", errs[0].Topic, errs[0].Partition, errs[0].Err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			p := place{r.Topic, r.Partition}
			end, reading := left[p]
			if !reading {
				return
			}
			if r.Offset < end && !r.Attrs.IsControl() {
				records = append(records, FromKgo(r))
			}
			if r.Offset >= end-1 {
				delete(left, p)
			}
		})
	}
	return records, nil
}

// FromKgo takes over a record that a franz-go client read.
func FromKgo(r *kgo.Record) Record {
	out := Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value,
		Millis: r.Timestamp.UnixMilli()}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, Header{h.Key, h.Value})
	}
	return out
}

// Partitions counts the partitions of each topic that exists.
func Partitions(ctx context.Context, admin *kadm.Client, topics ...string) (map[string]int32, error) {
	details, err := admin.ListTopics(ctx, topics...)
	if err != nil {
		return nil, err
	}
	counts := map[string]int32{}
	for name, d := range details {
		if d.Err == nil {
			counts[name] = int32(len(d.Partitions))
		}
	}
	return counts, nil
}

// Open waits until no partition of the topics has a transaction under way, and returns those that still have
// one when the context ends. The markers of a committed transaction are written after its producer was
// answered, so a partition may be open for a moment without anybody being at fault.
func Open(ctx context.Context, admin *kadm.Client, topics ...string) ([]string, error) {
	if len(topics) == 0 {
		return nil, nil
	}
	for {
		// The stable offset first: it can only have grown when the end is asked.
		stable, err := ends(ctx, admin, Committed, topics...)
		if err != nil {
			return nil, fmt.Errorf("list last stable offsets: %w", err)
		}
		last, err := ends(ctx, admin, Uncommitted, topics...)
		if err != nil {
			return nil, fmt.Errorf("list high watermarks: %w", err)
		}
		var open []string
		last.Each(func(o kadm.ListedOffset) {
			if s, ok := stable.Lookup(o.Topic, o.Partition); ok && s.Offset < o.Offset {
				open = append(open, fmt.Sprintf("%s/%d: stable %d of %d", o.Topic, o.Partition, s.Offset, o.Offset))
			}
		})
		if len(open) == 0 {
			return nil, nil
		}
		select {
		case <-ctx.Done():
			return open, nil
		case <-time.After(20 * time.Millisecond):
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < 50*time.Millisecond {
			return open, nil
		}
	}
}

package verify

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Read gives every record that a read_committed consumer finds in the topics now to the function, partition by
// partition in the order of their offsets.
func Read(ctx context.Context, brokers string, topics []string, each func(*kgo.Record)) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// A partition ends with a control record more often than not; without seeing it the end is never reached.
		kgo.KeepControlRecords(),
		kgo.FetchMaxWait(100*time.Millisecond),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	ends, err := Ends(ctx, kadm.NewClient(client), topics)
	if err != nil {
		return err
	}
	starts, err := kadm.NewClient(client).ListStartOffsets(ctx, topics...)
	if err != nil {
		return fmt.Errorf("list offsets: %w", err)
	}
	from := map[string]map[int32]kgo.Offset{}
	left := map[string]map[int32]int64{}
	partitions := 0
	ends.Each(func(o kadm.ListedOffset) {
		start, _ := starts.Lookup(o.Topic, o.Partition)
		if o.Offset == start.Offset {
			return
		}
		if from[o.Topic] == nil {
			from[o.Topic], left[o.Topic] = map[int32]kgo.Offset{}, map[int32]int64{}
		}
		from[o.Topic][o.Partition], left[o.Topic][o.Partition] = kgo.NewOffset().At(start.Offset), o.Offset
		partitions++
	})
	client.AddConsumePartitions(from)
	for partitions > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("%d partitions not read to their end: %w", partitions, ctx.Err())
		}
		if errs := fetches.Errors(); len(errs) > 0 {
			return fmt.Errorf("fetch %s/%d: %w", errs[0].Topic, errs[0].Partition, errs[0].Err)
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			end := left[p.Topic][p.Partition]
			for _, r := range p.Records {
				if r.Offset < end && !r.Attrs.IsControl() {
					each(r)
				}
				if r.Offset == end-1 {
					partitions--
				}
			}
		})
	}
	return nil
}

// Ends are the offsets behind which a read_committed consumer finds nothing.
func Ends(ctx context.Context, admin *kadm.Client, topics []string) (kadm.ListedOffsets, error) {
	ends, err := admin.ListCommittedOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("list offsets: %w", err)
	}
	return ends, ends.Error()
}

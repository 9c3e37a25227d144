package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailer-io/tailer/e2e/bench/source"
	"github.com/tailer-io/tailer/e2e/bench/verify"
)

// The topics of a world: each contender finds them empty.

// createTopics makes them. The broker's clock stamps each record when it is appended: the end of a drain is read
// from there, and the consumer can read afterwards.
func (w *world) createTopics(ctx context.Context) error {
	stamp := "LogAppendTime"
	config := map[string]*string{"message.timestamp.type": &stamp}
	if err := inChunks(w.topics, func(topics []string) error {
		answers, err := w.kafka.CreateTopics(ctx, int32(w.workload.partitions), 1, config, topics...)
		if err != nil {
			return err
		}
		return answers.Error()
	}); err != nil {
		return err
	}
	// A topic exists a moment before its broker knows that it has it.
	return again(ctx, kerr.UnknownTopicOrPartition, func() error {
		_, err := w.appended(ctx, w.topics)
		return err
	})
}

// again does something until it fails with something else than this, or not at all.
func again(ctx context.Context, with error, do func() error) error {
	for {
		err := do()
		if !errors.Is(err, with) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// many is from how many partitions on topics are emptied and not made anew: a broker keeps the files of what was
// deleted for another minute.
const many = 1000

// clearTopics makes them empty for the next contender, and notes what is in them all the same.
func (w *world) clearTopics(ctx context.Context) error {
	clear := w.renewTopics
	if len(w.topics)*w.workload.partitions >= many {
		clear = w.emptyTopics
	}
	if err := clear(ctx); err != nil {
		return err
	}
	var err error
	w.before, err = w.appended(ctx, w.topics)
	return err
}

// emptyTopics deletes the records.
func (w *world) emptyTopics(ctx context.Context) error {
	if !w.touched {
		if err := w.touch(ctx); err != nil {
			return err
		}
	}
	ends, err := w.kafka.ListEndOffsets(ctx, w.topics...)
	if err != nil {
		return err
	}
	answers, err := w.kafka.DeleteRecords(ctx, ends.Offsets())
	if err != nil {
		return err
	}
	return answers.Error()
}

// renewTopics deletes the topics and creates them.
func (w *world) renewTopics(ctx context.Context) error {
	if err := w.deleteTopics(ctx, w.topics); err != nil {
		return err
	}
	// A broker that learned of both at once would keep the old records under the new topic.
	if err := again(ctx, errPresent, func() error { return w.absent(ctx) }); err != nil {
		return err
	}
	if err := w.createTopics(ctx); err != nil {
		return err
	}
	if n, err := w.appended(ctx, w.topics); err != nil || n > 0 {
		return fmt.Errorf("%d records in new topics: %w", n, err)
	}
	return w.touch(ctx)
}

var errPresent = errors.New("there are topics that were deleted")

func (w *world) absent(ctx context.Context) error {
	details, err := w.kafka.ListTopics(ctx, w.topics...)
	if err != nil {
		return err
	}
	for _, d := range details {
		if !errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
			return errPresent
		}
	}
	return nil
}

// touch writes a record that is none of the backlog to each partition: what a broker does at the first one, such as
// flushing a file, is no contender's cost.
func (w *world) touch(ctx context.Context) error {
	producer, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(w.o.brokers, ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer producer.Close()
	var records []*kgo.Record
	for _, topic := range w.topics {
		for p := range w.workload.partitions {
			records = append(records, &kgo.Record{Topic: topic, Partition: int32(p),
				Headers: []kgo.RecordHeader{{Key: "id", Value: []byte(source.ID(verify.FirstWarm))}}})
		}
	}
	if err := producer.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return err
	}
	w.touched = true
	return nil
}

func (w *world) deleteTopics(ctx context.Context, topics []string) error {
	return inChunks(topics, func(topics []string) error {
		answers, err := w.kafka.DeleteTopics(ctx, topics...)
		if err != nil {
			return err
		}
		for _, a := range answers {
			if a.Err != nil && !errors.Is(a.Err, kerr.UnknownTopicOrPartition) {
				return fmt.Errorf("delete topic %s: %w", a.Topic, a.Err)
			}
		}
		return nil
	})
}

// inChunks keeps requests short: a broker takes a thousand topics in one, but not within its timeout.
func inChunks(topics []string, do func([]string) error) error {
	for chunk := range slices.Chunk(topics, 50) {
		if err := do(chunk); err != nil {
			return err
		}
	}
	return nil
}

// appended sums the offsets up to which a read_committed consumer finds something; control records count too.
func (w *world) appended(ctx context.Context, topics []string) (sum int64, err error) {
	ends, err := verify.Ends(ctx, w.kafka, topics)
	if err != nil {
		return 0, err
	}
	ends.Each(func(o kadm.ListedOffset) { sum += o.Offset })
	return sum, nil
}

// stored is how many bytes the topics take in the broker's log.
func (w *world) stored(ctx context.Context) (bytes float64, err error) {
	var set kadm.TopicsSet
	for _, topic := range w.topics {
		set.Add(topic)
	}
	dirs, err := w.kafka.DescribeAllLogDirs(ctx, set)
	if err != nil {
		return 0, err
	}
	dirs.Each(func(d kadm.DescribedLogDir) {
		err = errors.Join(err, d.Err)
		bytes += float64(d.Size())
	})
	return bytes, err
}

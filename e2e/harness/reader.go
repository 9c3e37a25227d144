package harness

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailer-io/tailer/e2e/check"
)

// Reader follows topics as a read_committed consumer while a test goes on. It tells tests when to go on; the
// verdict comes from check, which reads again.
type Reader struct {
	client *kgo.Client

	mu      sync.Mutex // guards all below
	ids     map[string]int
	records []check.Record
	keep    bool
	err     error
}

// Follow begins to read topics from their beginning; they need not exist yet.
func (c *Case) Follow(topics ...string) *Reader { c.Helper(); return c.follow(false, topics) }

// Collect is Follow for tests that look at the records too.
func (c *Case) Collect(topics ...string) *Reader { c.Helper(); return c.follow(true, topics) }

func (c *Case) follow(keep bool, topics []string) *Reader {
	c.Helper()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(c.Kafka.Brokers, ",")...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(50*time.Millisecond),
		kgo.MetadataMinAge(50*time.Millisecond),
		kgo.MetadataMaxAge(time.Second), // A topic that tailer creates should be seen soon.
		kgo.UnknownTopicRetries(-1),
	)
	if err != nil {
		c.Fatal(err)
	}
	r := &Reader{client: client, ids: map[string]int{}, keep: keep}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.run(ctx)
	}()
	c.Cleanup(func() { cancel(); <-done; client.Close() })
	return r
}

func (r *Reader) run(ctx context.Context) {
	for ctx.Err() == nil {
		fetches := r.client.PollFetches(ctx)
		r.mu.Lock()
		fetches.EachError(func(topic string, partition int32, err error) {
			if ctx.Err() == nil {
				r.err = fmt.Errorf("%s/%d: %w", topic, partition, err)
			}
		})
		fetches.EachRecord(func(k *kgo.Record) {
			record := check.FromKgo(k)
			if id, ok := record.ID(); ok {
				r.ids[id]++
			}
			if r.keep {
				r.records = append(r.records, record)
			}
		})
		r.mu.Unlock()
	}
}

// IDs counts the different ids read so far.
func (r *Reader) IDs() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ids)
}

// Has reports whether an id was read.
func (r *Reader) Has(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ids[id] > 0
}

// Records are those read so far, in the order they came.
func (r *Reader) Records() []check.Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]check.Record(nil), r.records...)
}

func (r *Reader) trouble() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		return ""
	}
	return fmt.Sprint(", reader: ", r.err)
}

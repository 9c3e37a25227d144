package publish

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// load makes n messages as the mapping makes them: keys of 1,000 aggregates, a
// header id, values of size bytes.
func load(topic string, n, size int) *outbox.Messages {
	m := new(outbox.Messages)
	idKey := []byte("id")
	for i := range n {
		h := m.Headers(1)
		h[0] = outbox.Header{Key: idKey, Value: fmt.Appendf(nil, "00000000-0000-4000-8000-%012d", i)}
		m.List = append(m.List, outbox.Message{
			Topic: topic, Partition: outbox.ByKey, Row: i,
			Key:     fmt.Appendf(nil, "order-%d", i%1000),
			Value:   bytes.Repeat([]byte{'a' + byte(i%26)}, size),
			Headers: h,
		})
	}
	return m
}

// unroute takes back the partitions that Admit chose.
func unroute(m *outbox.Messages) {
	for i := range m.List {
		m.List[i].Partition = outbox.ByKey
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkBatch publishes batches of 10,000 messages to 12 partitions of a
// real broker, and reports the CPU of this process.
func BenchmarkBatch(b *testing.B) {
	for _, transactional := range []bool{true, false} {
		b.Run(fmt.Sprintf("transactional=%v", transactional), func(b *testing.B) {
			const n = 10_000
			r := newRig(b, func(c *KafkaConfig) { c.Transactional, c.TopicPartitions = transactional, 12 })
			m := load(r.topic, n, 300)
			ctx := context.Background()
			must(b, r.Fence(ctx, 10*time.Second))
			one := func() {
				unroute(m)
				must(b, r.Admit(ctx, m, nil))
				must(b, r.Join(ctx, m))
				must(b, r.Produce(ctx, m))
				must(b, r.Commit(ctx))
			}
			for range 3 {
				one()
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := cpu()
			for b.Loop() {
				one()
			}
			used := cpu() - start
			runtime.ReadMemStats(&after)
			total := float64(b.N) * n
			b.ReportMetric(float64(used.Microseconds())/total, "cpu-us/msg")
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/total, "allocs/msg")
			b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/total, "B/msg")
			b.ReportMetric(total/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}

// BenchmarkOne publishes transactions of one message and reports their
// latency.
func BenchmarkOne(b *testing.B) {
	r := newRig(b, nil)
	m := load(r.topic, 1, 300)
	ctx := context.Background()
	must(b, r.Fence(ctx, 10*time.Second))
	var took []time.Duration
	for b.Loop() {
		unroute(m)
		start := time.Now()
		must(b, r.Admit(ctx, m, nil))
		must(b, r.Join(ctx, m))
		must(b, r.Produce(ctx, m))
		must(b, r.Commit(ctx))
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

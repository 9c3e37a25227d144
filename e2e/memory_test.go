package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/harness"
)

// promised is what tailer may have resident beside copies of the largest row, in bytes.
const promised = 48_000_000

// Rows almost as large as --max-row-bytes allows, one after the other: what is read ahead, the batches and the requests
// do not add up. Not parallel: the measure is of a process that gets its share of the processors.
func TestLargeRowsKeepMemory(t *testing.T) {
	const rows, size = 6, 12_800_000
	c := world(t, source(t))
	topic := harness.Topic(c.Type)
	c.Kafka.Create(t, topic, 1, "max.message.bytes", fmt.Sprint(2*size))
	p := c.Start()
	c.DB.Fill(t, c.Type, rows, 1, size/32)
	c.Wait("all are published", time.Minute, func() (bool, string) {
		n := p.Metric("events_published_total")
		return n == rows, fmt.Sprint(n)
	})
	peak := p.PeakRSS()
	p.Stop()
	t.Logf("%d rows of %d bytes: at most %.1f MB were resident", rows, size, float64(peak)/1e6)
	copies := int64(2)
	if bound := promised + copies*size; peak > bound {
		t.Errorf("%d bytes were resident, %d are promised", peak, bound)
	}
	records := c.Kafka.Records(t, topic)
	if len(records) != rows {
		t.Fatalf("%d records", len(records))
	}
	for _, r := range records {
		if len(r.Value) != size {
			t.Errorf("a value of %d bytes", len(r.Value))
		}
	}
}

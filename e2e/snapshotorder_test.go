package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/harness"
)

// A snapshot is published in the order of the column that was named, rows without a value first; what comes behind it
// in the order of commits. A column that is not there is said before anything is made.
func TestTheSnapshotHasTheOrderOfAColumn(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	book := c.Ledger()
	c.DB.Exec(t, "ALTER TABLE outbox ADD COLUMN n integer")
	c.Kafka.Create(t, harness.Topic(c.Type), 1)
	const rows = 50
	for i := range rows {
		id := book.Insert(fmt.Sprint("key ", i%3), fmt.Sprint(i))
		if i > 0 {
			c.DB.Exec(t, fmt.Sprintf("UPDATE outbox SET n = %d WHERE id = '%s'", rows-i, id))
		}
	}
	p := c.Do(2, "run", flags(c, "--snapshot-order-by=seq")...)
	holds(t, "run", p.Stderr(), `--snapshot-order-by: table `, `has no column "seq"; it has `)

	r := c.Collect(harness.Topic(c.Type))
	run := c.Start("--snapshot-order-by=n")
	c.Arrived(r, rows, 30*time.Second)
	book.Insert("key 0", "streamed")
	c.Arrived(r, rows+1, 30*time.Second)
	run.Stop()
	want := []string{"0"}
	for i := rows - 1; i > 0; i-- {
		want = append(want, fmt.Sprint(i))
	}
	want = append(want, "streamed")
	var got []string
	for _, record := range r.Records() {
		got = append(got, string(record.Value))
	}
	if !slices.Equal(got, want) {
		t.Errorf("published in the order\n %v, want\n %v", got, want)
	}
}

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/harness"
)

// Headers tell consumers where a row was committed and which of its transaction's rows it is: the same for a
// transaction however often it is cut, and also when tailer dies in the middle of it.
func TestPositionHeaders(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	const rows = 12_000 // more than two batches
	config := filepath.Join(t.TempDir(), "tailer.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, `
tables:
  - table: %s
    headers:
      - {name: commit, meta: position}
      - {name: nth, meta: ordinal}
`, c.DB.Outbox()), 0o600); err != nil {
		t.Fatal(err)
	}
	topic := harness.Topic(c.Type)
	c.Kafka.Create(t, topic, 1)
	r := c.Follow(topic)
	c.Start("--config=" + config).Stop()
	c.DB.Fill(t, c.Type, rows, 10, 1)
	c.CrashAt("commit.committed", 2, "--config="+config).Exit(60 * time.Second)
	p := c.Start("--config=" + config)
	c.Arrived(r, rows, 60*time.Second)
	p.Stop()

	records := c.Kafka.Records(t, topic)
	if len(records) != rows {
		t.Fatalf("%d records, wanted %d", len(records), rows)
	}
	first := ""
	for i, r := range records {
		var text []string
		for _, h := range r.Headers[1:] {
			text = append(text, h.Key+"="+string(h.Value))
		}
		commit, nth, _ := strings.Cut(strings.Join(text, " "), " ")
		if i == 0 {
			first = commit
		}
		if commit != first || nth != fmt.Sprint("nth=", i+1) {
			t.Fatalf("headers of record %d: %s, wanted %s and its number", i, text, first)
		}
	}
	if !anyPosition.MatchString(first) {
		t.Errorf("%s is no position", first)
	}
}

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// plannedLine is a line of `tailer plan --output json`.
type plannedLine struct {
	Topic     string
	Key       any
	Value     any
	Headers   [][2]any
	Table     string
	Partition *int32
	Timestamp *string
	Poison    string
	ID        string
}

func plan(c *harness.Case, args ...string) (out []plannedLine) {
	c.Helper()
	p := c.Do(0, "plan --output=json", flags(c, args...)...)
	for line := range strings.Lines(p.Stdout()) {
		var l plannedLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			c.Fatalf("%v: %s", err, line)
		}
		out = append(out, l)
	}
	return out
}

// shown is a planned message as recorded has a record.
func (l plannedLine) shown() string {
	text := func(v any) string {
		switch v := v.(type) {
		case nil:
			return "null"
		case string:
			return fmt.Sprintf("%q", v)
		case map[string]any:
			b, _ := base64.StdEncoding.DecodeString(fmt.Sprint(v["base64"]))
			return fmt.Sprintf("%q", b)
		}
		return fmt.Sprintf("%T", v)
	}
	var headers []string
	for _, h := range l.Headers {
		headers = append(headers, text(h[0])+"="+text(h[1]))
	}
	return fmt.Sprintf("%s/%d %s %s %s", l.Topic, *l.Partition, text(l.Key), text(l.Value), headers)
}

func recorded(r check.Record) string {
	text := func(v []byte) string {
		if v == nil {
			return "null"
		}
		return fmt.Sprintf("%q", v)
	}
	var headers []string
	for _, h := range r.Headers {
		headers = append(headers, fmt.Sprintf("%q=%s", h.Key, text(h.Value)))
	}
	return fmt.Sprintf("%s/%d %s %s %s", r.Topic, r.Partition, text(r.Key), text(r.Value), headers)
}

func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tailer.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What plan shows is what run publishes, and plan leaves no trace.
func TestPlanIsWhatRunPublishes(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	topic := harness.Topic(c.Type)
	c.Kafka.Create(t, topic, 7)
	c.DB.Exec(t, "ALTER TABLE outbox ADD COLUMN bin "+by("bytea", "varbinary(10)")+", ADD COLUMN at "+by("timestamptz", "datetime(3)")+", ADD COLUMN amount decimal(10,3)")
	insert := "INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, bin, at, amount) VALUES "
	for i := range 9 {
		payload := fmt.Sprintf(`'{"n": %d, "text": "züg <&>"}'`, i)
		if i == 5 {
			payload = "NULL"
		}
		c.DB.Exec(t, fmt.Sprintf("%s('%d', '%s', 'key-%d', 'Changed', %s, %s, '2024-01-02 03:04:05.6', 12.5)", insert, i, c.Type, i%4, payload, by(`'\x00ff'`, "x'00ff'")))
	}
	config := configFile(t, fmt.Sprintf(`tables:
  - table: %s
    headers:
      - column: type
        name: eventType
      - column: bin
      - column: at
      - column: amount
`, c.DB.Outbox()))
	trace := func() string {
		return fmt.Sprint(publications(t, c), " ", c.DB.Slots(t), " ", c.Kafka.Topics(t, strings.TrimPrefix(c.Type, "T")))
	}
	before := trace()
	lines := plan(c, "--config="+config, "--rows=100")
	few := plan(c, "--config="+config, "--rows=3")
	if len(lines) != 9 || len(few) != 3 || few[0].shown() != lines[6].shown() {
		t.Fatalf("%d and %d lines", len(lines), len(few))
	}
	if got := plan(c, "--config="+config, "--rows=2", "--order-by=aggregateid"); len(got) != 2 || got[0].Key != "key-3" || got[1].Key != "key-3" {
		t.Errorf("by another column: %+v", got)
	}
	p := c.Do(0, "plan", flags(c, "--config="+config, "--rows=1")...)
	holds(t, "plan", p.Stdout(), topic, "partition ", "key-0", `{"n": 8, "text": "züg <&>"}`, "eventType = Changed", "when it is published")
	if after := trace(); after != before {
		t.Errorf("publications, slots and topics: %s before, %s after", before, after)
	}

	// Without Kafka, and to a topic that is not there, the partition is not known.
	for _, other := range []string{"--kafka-brokers=" + harness.ClosedAddr(t), "--topic-prefix=none."} {
		for i, l := range plan(c, "--config="+config, other) {
			if l.Partition != nil || !strings.HasSuffix(l.Topic, topic) {
				t.Fatalf("%s: line %d: %+v", other, i, l)
			}
			l.Partition, l.Topic = lines[i].Partition, topic
			if l.shown() != lines[i].shown() {
				t.Errorf("%s: got %s, want %s", other, l.shown(), lines[i].shown())
			}
		}
	}

	r := c.Follow(topic)
	run := c.Start("--config=" + config)
	c.Arrived(r, 9, 30*time.Second)
	run.Stop()
	published := map[string]string{}
	for _, rec := range c.Kafka.Records(t, topic) {
		id, _ := rec.ID()
		published[id] = recorded(rec)
	}
	for i, l := range lines {
		if want := published[fmt.Sprint(i)]; l.shown() != want {
			t.Errorf("row %d\nplanned   %s\npublished %s", i, l.shown(), want)
		}
		if l.Table != c.DB.Outbox() && !strings.HasSuffix(l.Table, "."+c.DB.Outbox()) {
			t.Errorf("table %q", l.Table)
		}
	}
}

func TestPlanShowsPoison(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	topic := harness.Topic(c.Type)
	c.Kafka.Create(t, topic, 3, "max.message.bytes", "2000")
	book := c.Ledger()
	book.Insert("a", "fine")
	book.Into(c.DB.Outbox(), "no topic", "a", "x")
	book.Insert("a", strings.Repeat("x", 1500))
	book.Insert("a", strings.Repeat("x", 3000))
	lines := plan(c)
	if len(lines) != 4 || lines[0].Poison != "" || lines[2].Poison != "" {
		t.Fatalf("%+v", lines)
	}
	holds(t, "a topic that Kafka does not take", lines[1].Poison, "no topic", "none of a-z")
	holds(t, "a row that is too long for Kafka", lines[3].Poison, "max.message.bytes", "2000")
	if lines[1].ID == "" || lines[1].Table == "" {
		t.Errorf("%+v", lines[1])
	}
	lines = plan(c, "--max-row-bytes=1k")
	holds(t, "a row that is too long for tailer", lines[2].Poison, "--max-row-bytes")
	p := c.Do(0, "plan", flags(c)...)
	holds(t, "plan", p.Stdout(), "cannot be published", "none of a-z", "... (1500 bytes)")
	p = c.Do(0, "plan --full", flags(c)...)
	holds(t, "plan --full", p.Stdout(), strings.Repeat("x", 1500))
}

func TestPlanOfWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	c := harness.New(t, source(t))
	p := c.Do(2, "plan", flags(c)...)
	holds(t, "plan without a table", p.Stderr(), "outbox-table", "does not exist")
	c.DB.CreateOutbox(t, c.DB.Outbox())
	p = c.Do(0, "plan", flags(c)...)
	holds(t, "plan of an empty table", p.Stdout(), "no rows")
	p = c.Do(2, "plan --order-by=created", flags(c)...)
	holds(t, "plan by a column that is not there", p.Stderr(), "order-by", `"created"`, "aggregateid")
	c.DB.Exec(t, "ALTER TABLE outbox DROP COLUMN payload")
	p = c.Do(2, "plan", flags(c)...)
	holds(t, "plan of a table without payload", p.Stderr(), "payload")
	p = c.Do(1, "plan", flags(c, "--source-url="+c.DB.Kind()+"://u@"+harness.ClosedAddr(t)+"/db")...)
	if p.Stdout() != "" {
		t.Errorf("plan of a server that is not there prints %q", p.Stdout())
	}
}

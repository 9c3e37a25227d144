package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/protocol/kafka_sarama/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// parsed is the event that the CloudEvents project's own library for Go finds in a record, valid by its own word.
func parsed(t *testing.T, r check.Record) event.Event {
	t.Helper()
	contentType, headers := "", map[string][]byte{}
	for _, h := range r.Headers {
		if h.Key == "content-type" {
			contentType = string(h.Value)
		}
		headers[h.Key] = h.Value
	}
	// The library forgives a media type under another name; the binding does not.
	if _, ok := headers["ce_datacontenttype"]; ok || (contentType == "") != (r.Value == nil) {
		t.Errorf("the media type is not in the header content-type, or is there without data: %v", r.Headers)
	}
	message := kafka_sarama.NewMessage(r.Value, contentType, headers)
	if e := message.ReadEncoding(); e != binding.EncodingBinary {
		t.Fatalf("the library reads the encoding %s from the headers %v", e, r.Headers)
	}
	e, err := binding.ToEvent(context.Background(), message)
	if err != nil {
		t.Fatalf("the library finds no event in the headers %v: %v", r.Headers, err)
	}
	if err := e.Validate(); err != nil {
		t.Errorf("the library says that the event of the headers %v is not valid: %v", r.Headers, err)
	}
	return *e
}

// Flags alone and the outbox of the default form give events.
func TestCloudEventsDefaults(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	topic := harness.Topic(c.Type)
	c.Kafka.Create(t, topic, 3)
	r := c.Collect(topic)
	p := c.Start("--preset=cloudevents")
	c.DB.Exec(t, fmt.Sprintf(`INSERT INTO %s (id, aggregatetype, aggregateid, type, payload) VALUES ('event-1', '%s', 'order-é 1', 'com.example.created', '{"n": 1}')`,
		c.DB.Outbox(), c.Type))
	landed(c, r, 1)
	p.Stop()
	record := c.Kafka.Records(t, topic)[0]
	e := parsed(t, record)
	got := fmt.Sprintf("%s %s %s %s %s %v %s %s", e.SpecVersion(), e.ID(), e.Source(), e.Type(), e.Subject(), e.Extensions(), e.DataContentType(), e.Data())
	want := fmt.Sprintf(`1.0 event-1 /%s com.example.created order-é 1 map[partitionkey:order-é 1] application/json {"n": 1}`, c.ID)
	if got != want || string(record.Key) != "order-é 1" {
		t.Errorf("key %q, event\n %s, want\n %s", record.Key, got, want)
	}
}

// Every attribute can be mapped, and a row that is no event does not get out.
func TestCloudEventsAttributes(t *testing.T) {
	t.Parallel()
	c := harness.New(t, source(t))
	schema, plain := c.DB.Schema(t, "shop")
	c.DB.Exec(t, fmt.Sprintf(`CREATE TABLE %s.events (no BIGINT PRIMARY KEY, kind VARCHAR(100), origin VARCHAR(100), entity VARCHAR(100), happened %s,
		body %s, media VARCHAR(100), tenant VARCHAR(100), attempt INT)`, schema, by("TIMESTAMPTZ", "DATETIME(6)"), by("BYTEA", "LONGBLOB")))
	topic := c.ID + ".events"
	c.Kafka.Create(t, topic, 1)
	config := filepath.Join(t.TempDir(), "tailer.yaml")
	if err := os.WriteFile(config, []byte(fmt.Sprintf(`
preset: cloudevents
on-poison: skip
tables:
  - table: %s.events
    columns: {id: "no", aggregateid: entity, payload: body}
    topic: %s
    key: "{tenant}/{entity}"
    attributes:
      - {name: type, column: kind}
      - {name: source, column: origin}
      - {name: time, column: happened}
      - {name: datacontenttype, column: media}
      - {name: dataschema, value: "https://schemas.example/order/1"}
      - {name: subject}
      - {name: tenant, column: tenant}
      - {name: attempt, column: attempt}
      - {name: sequence, meta: ordinal}
    headers:
      - {name: commit, meta: position}
`, plain, topic)), 0o600); err != nil {
		t.Fatal(err)
	}
	r := c.Collect(topic)
	p := c.Start("--config=" + config)
	insert := func(no int, kind, origin, happened, body, media, tenant string) {
		c.DB.Exec(t, fmt.Sprintf(`INSERT INTO %s.events VALUES (%d, %s, %s, 'e-1', %s, %s, %s, %s, 3)`, schema, no, kind, origin, happened, body, media, tenant))
	}
	at := by("'2024-02-29 12:34:56.789012+00'", "'2024-02-29 12:34:56.789012'")
	bytes := by(`'\x00ff80'`, "x'00ff80'")
	insert(1, "'order.created'", "'/shop/eu'", at, bytes, "'application/octet-stream'", "'t-1'")
	insert(2, "NULL", "'/shop/eu'", at, bytes, "NULL", "'t-1'")
	insert(3, "'order.created'", "'not a URI'", at, bytes, "NULL", "'t-1'")
	insert(4, "'order.created'", "''", at, bytes, "NULL", "'t-1'")
	insert(5, "'order.paid'", "'urn:shop'", "NULL", "NULL", "NULL", "'t-1'")
	landed(c, r, 2)
	p.Counts(c, 3, "events_poison_total", "action=skip")
	p.Stop()
	records := c.Kafka.Records(t, topic)
	if len(records) != 2 {
		t.Fatalf("%d records, wanted 2", len(records))
	}
	first, second := parsed(t, records[0]), parsed(t, records[1])
	got := fmt.Sprintf("%s %s %s %q %s %v %s %s %x", first.ID(), first.Source(), first.Type(), first.Subject(), first.Time().Format(time.RFC3339Nano), first.Extensions(),
		first.DataContentType(), first.DataSchema(), first.Data())
	want := `1 /shop/eu order.created "" 2024-02-29T12:34:56.789012Z map[attempt:3 partitionkey:t-1/e-1 sequence:1 tenant:t-1] ` +
		`application/octet-stream https://schemas.example/order/1 00ff80`
	if got != want || string(records[0].Key) != "t-1/e-1" {
		t.Errorf("key %q, event\n %s, want\n %s", records[0].Key, got, want)
	}
	got = fmt.Sprintf("%s %s %s %v %q %q %t", second.ID(), second.Source(), second.Type(), second.Time().IsZero(), second.DataContentType(), second.Data(), records[1].Value == nil)
	if want := `5 urn:shop order.paid true "" "" true`; got != want {
		t.Errorf("event\n %s, want\n %s", got, want)
	}
	for _, r := range records {
		h := r.Headers[len(r.Headers)-1]
		if h.Key != "commit" || !anyPosition.MatchString(string(h.Value)) {
			t.Errorf("the last header is %s: %s, wanted the position of the commit", h.Key, h.Value)
		}
	}
}

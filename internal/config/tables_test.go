package config

import (
	"reflect"
	"testing"

	"github.com/tailer-io/tailer/internal/mapping"
	"github.com/tailer-io/tailer/internal/mapping/connect"
)

func TestWholeTable(t *testing.T) {
	path := write(t, "t.yaml", `
sink: stdout
tables:
  - table: app.events
    columns: {id: event_id, payload: body, timestamp: created, partition: p, schema-version: v, traceparent: trace}
    topic: {regex: '(.*)', replacement: 'x.$1'}
    key: "{a}-{b}"
    id-header: eventId
    headers:
      - {column: type, name: eventType}
      - {name: source, value: shop}
      - {name: lsn, meta: position}
    envelope:
      - {column: type}
      - {column: n, name: number}
    missing-columns: ignore
    tombstone-on-empty-payload: true
    expand-json: true
    expand-json-nulls: true
    schema-name: shop.app.events
    formats: {key: string, value: json-schema, headers: simple}
    uuid-columns: [event_id, ref]
    cleanup-column: occurred
    types: {binary: hex, decimal: string, unsigned-bigint: precise, time: isostring}
  - table: app.more
    topic: "more.{region}"
  - table: app.regex
    topic: {replacement: all}
`)
	c := mustLoad(t, []string{"--config", path, "--source-url", testURL, "--cleanup-column=created_at"}, nil)
	want := []Table{
		{Schema: "app", Name: "events", CleanupColumn: "occurred", Mapping: mapping.Table{
			ID: "event_id", Payload: "body", Timestamp: "created", Partition: "p", SchemaVersion: "v", Traceparent: "trace",
			Topic: mapping.Topic{Regex: "(.*)", Replacement: "x.$1"}, Key: "{a}-{b}", IDHeader: "eventId",
			Headers: []mapping.Header{{Column: "type", Name: "eventType"}, {Name: "source", Value: "shop"},
				{Name: "lsn", Meta: "position"}},
			Envelope:      []mapping.Field{{Column: "type"}, {Column: "n", Name: "number"}},
			IgnoreMissing: true, Tombstone: true, Expand: true, ExpandNulls: true, SchemaName: "shop.app.events",
			UUIDs:     []string{"event_id", "ref"},
			KeyFormat: mapping.FormatString, ValueFormat: mapping.FormatJSONSchema, HeaderFormat: mapping.FormatSimple,
			Modes: connect.Modes{Binary: "hex", Decimal: "string", UnsignedBigint: "precise", Time: "isostring"},
		}},
		{Schema: "app", Name: "more", CleanupColumn: "created_at", Mapping: mapping.Table{Topic: mapping.Topic{Template: "more.{region}"}}},
		{Schema: "app", Name: "regex", CleanupColumn: "created_at", Mapping: mapping.Table{
			Topic: mapping.Topic{Regex: "(?<routedByValue>.*)", Replacement: "all"}}},
	}
	if !reflect.DeepEqual(c.Tables, want) {
		t.Errorf("got\n%+v\nwant\n%+v", c.Tables, want)
	}
}

// An alias is what it stands for, in lists too.
func TestAliases(t *testing.T) {
	path := write(t, "t.yaml", `
kafka-brokers: [&k "k1:9092", *k]
tables:
  - {table: app.first, headers: [&h {column: type}]}
  - {table: app.second, headers: [*h]}
`)
	c := mustLoad(t, []string{"--config", path, "--source-url", testURL}, nil)
	header := mapping.Table{Headers: []mapping.Header{{Column: "type"}}}
	want := []Table{{Schema: "app", Name: "first", Mapping: header}, {Schema: "app", Name: "second", Mapping: header}}
	if !reflect.DeepEqual(c.Tables, want) || !reflect.DeepEqual(c.KafkaBrokers, []string{"k1:9092", "k1:9092"}) {
		t.Errorf("got %+v, %q", c.Tables, c.KafkaBrokers)
	}
	_, err := parseFile("t.yaml", []byte("tables: &a [*a]\n"))
	wantInvalid(t, err, "--config: t.yaml:1: an element of tables: a list is not a mapping of keys to values")
}

func TestBadTables(t *testing.T) {
	for _, c := range []struct{ name, key, want string }{
		{"format", "formats: {value: avro}", `--config: t.yaml:2: value: "avro" is not one of text, string, json, json-schema, bytes, bytes-or-json, bytes-or-json-schema`},
		{"header format", "formats: {headers: bytes}", `--config: t.yaml:2: headers: "bytes" is not one of text, simple, string, json, json-schema`},
		{"mode", "types: {time: exact}", `--config: t.yaml:2: time: "exact" is not one of adaptive, adaptive_time_microseconds, microseconds, nanoseconds, isostring, connect`},
		{"boolean", "expand-json: yes", `--config: t.yaml:2: expand-json: "yes" is not one of true, false`},
		{"missing", "missing-columns: warn", `--config: t.yaml:2: missing-columns: "warn" is not one of error, ignore`},
		{"format list", "formats: {key: [text]}", "--config: t.yaml:2: key: a list is not one of text, string, json, json-schema, bytes, bytes-or-json, bytes-or-json-schema"},
		{"formats", "formats: json", `--config: t.yaml:2: formats: "json" is not a mapping of keys to values`},
		{"binary mode", "types: {binary: octal}", `--config: t.yaml:2: binary: "octal" is not one of bytes, base64, base64-url-safe, hex`},
		{"decimal mode", "types: {decimal: float}", `--config: t.yaml:2: decimal: "float" is not one of precise, string, double`},
		{"unsigned mode", "types: {unsigned-bigint: int}", `--config: t.yaml:2: unsigned-bigint: "int" is not one of long, precise`},
		{"no headers", "headers: []", "--config: t.yaml:2: headers: an empty list is not a list of one or more"},
		{"header", "headers: [type]", `--config: t.yaml:2: an element of headers: "type" is not a mapping of keys to values`},
		{"attribute", "attributes: [{name: a, colum: b}]", `--config: t.yaml:2: unknown key "colum"; did you mean column? allowed are name, column, value, meta`},
		{"envelope", "envelope: type", `--config: t.yaml:2: envelope: "type" is not a list of one or more`},
		{"envelope key", "envelope: [{column: a, place: b}]", `--config: t.yaml:2: unknown key "place"; allowed are name, column`},
		{"key", "key: {a: b}", "--config: t.yaml:2: key: a mapping is not a name"},
		{"empty topic", "topic: ''", `--config: t.yaml:2: topic: "" is not a name`},
		{"headers", "headers: {column: a}", "--config: t.yaml:2: headers: a mapping is not a list of one or more"},
		{"header key", "headers: [{colum: a}]", `--config: t.yaml:2: unknown key "colum"; did you mean column? allowed are name, column, value, meta`},
		{"topic", "topic: {pattern: a}", `--config: t.yaml:2: unknown key "pattern"; allowed are regex, replacement`},
		{"topic list", "topic: [a]", "--config: t.yaml:2: topic: a list is not a mapping of keys to values"},
		{"no columns", "uuid-columns: id", `--config: t.yaml:2: uuid-columns: "id" is not a list of one or more`},
		{"no column", "uuid-columns: [[id]]", "--config: t.yaml:2: an element of uuid-columns: a list is not a name"},
		{"replacement", "topic: {replacement: [a]}", "--config: t.yaml:2: replacement: a list is not a text"},
	} {
		_, err := parseFile("t.yaml", []byte("tables:\n- {table: a.b, "+c.key+"}\n"))
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: got\n %v\nwant\n %s", c.name, err, c.want)
		}
	}
}

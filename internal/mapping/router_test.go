package mapping

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/mapping/connect"
	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/outboxtest"
)

// world maps rows given as "column type" -> value; a value of nil is NULL. The
// columns that the mapping wants and that are not given are missing.
type world struct {
	types  map[string]string
	values map[string]any
}

func (w world) shape(m *Mapper) *outbox.Shape {
	s := &outbox.Shape{}
	for _, name := range m.Columns(0) {
		typ, notNull := strings.CutSuffix(w.types[name], " not null")
		c := outbox.Column{Name: name, Type: typ, NotNull: notNull, Precision: -1, Scale: -1, Missing: typ == ""}
		if of, in, ok := strings.Cut(typ, "("); ok {
			c.Type = of
			_, _ = fmt.Sscanf(in, "%d,%d", &c.Precision, &c.Scale) // one of them for bits
		}
		s.Columns = append(s.Columns, c)
	}
	return s
}

func (w world) run(t *testing.T, table Table) (*outbox.Messages, error) {
	t.Helper()
	return w.runOn(t, connect.Postgres, table)
}

func (w world) runOn(t *testing.T, source connect.Source, table Table) (*outbox.Messages, error) {
	t.Helper()
	table.Name = "public.outbox"
	m, err := New(Config{Source: source, Run: "the-run", Tables: []Table{table}})
	if err != nil {
		return nil, err
	}
	s := w.shape(m)
	if err := m.Check(s); err != nil {
		return nil, err
	}
	b := &outbox.Batch{}
	b.Begin([]byte("7@0/2"), time.Unix(1, 0), 4)
	b.Add(s)
	for i, c := range s.Columns {
		if v, ok := w.values[c.Name].(string); ok {
			b.SetCell(i, []byte(v))
		}
	}
	b.End([]byte("0/3"))
	out := &outbox.Messages{}
	m.Map(b, out)
	return out, nil
}

func order() world {
	return world{
		types: map[string]string{"id": "uuid not null", "aggregatetype": "varchar not null", "aggregateid": "varchar not null",
			"type": "varchar not null", "payload": "jsonb", "n": "int4", "p": "int4", "v": "int4", "b": "bytea", "at": "timestamp",
			"day": "date", "stamp": "text", "ms": "int8", "bits": "bit(8)", "dec": "numeric(10,2)", "trace": "text", "region": "text"},
		values: map[string]any{"id": "i-1", "aggregatetype": "order", "aggregateid": "4711", "type": "Created", "payload": `{"a": 1}`,
			"n": "5", "p": "2", "v": "3", "b": `\x00ff`, "bits": "10000001", "dec": "12.50", "at": "2024-02-29 12:34:56.789012", "day": "2024-02-29",
			"stamp": "2024-02-29T12:34:56+02", "ms": "1709210096789", "region": "eu",
			"trace": "#Wed Nov 22\ntraceparent=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\ntracestate=a=b\n"},
	}
}

func line(m *outbox.Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d %s %s", m.Topic, m.Partition, show(m.Key), show(m.Value))
	for _, h := range m.Headers {
		fmt.Fprintf(&b, " %s=%s", h.Key, show(h.Value))
	}
	if !m.Time.IsZero() {
		fmt.Fprintf(&b, " @%d", m.Time.UnixMilli())
	}
	return b.String()
}

func TestTables(t *testing.T) {
	for _, c := range []struct {
		name  string
		table Table
		set   map[string]any
		want  string
	}{
		{"regex", Table{Topic: Topic{Regex: "o(r)der", Replacement: "x.$1.$0"}}, nil,
			`x.r.order -1 "4711" "{\"a\": 1}" id="i-1"`},
		{"no match", Table{Topic: Topic{Regex: "cart", Replacement: "x"}}, nil, `order -1 "4711" "{\"a\": 1}" id="i-1"`},
		{"template", Table{Topic: Topic{Template: "x_{region}.{type}"}, Key: "{{{region}}}-{aggregateid}"}, nil,
			`x_eu.Created -1 "{eu}-4711" "{\"a\": 1}" id="i-1"`},
		{"headers", Table{IDHeader: "eventId", Headers: []Header{{Column: "type"}, {Column: "n", Name: "number"}, {Name: "source", Value: "shop"},
			{Name: "lsn", Meta: MetaPosition}, {Name: "nth", Meta: MetaOrdinal}}}, nil,
			`outbox.event.order -1 "4711" "{\"a\": 1}" eventId="i-1" type="Created" number="5" source="shop" lsn="0/2" nth="5"`},
		{"no id", Table{IDHeader: "-"}, nil, `outbox.event.order -1 "4711" "{\"a\": 1}"`},
		{"context", Table{ContextHeaders: "shop"}, nil, `outbox.event.order -1 "4711" "{\"a\": 1}" __debezium.context.connectorLogicalName="shop" ` +
			`__debezium.context.taskId="0" __debezium.context.connectorName="postgresql" __debezium.context.runId="the-run" id="i-1"`},
		{"trace", Table{Traceparent: "trace"}, nil, `outbox.event.order -1 "4711" "{\"a\": 1}" ` +
			`traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" tracestate="a=b" id="i-1"`},
		{"bare trace", Table{Traceparent: "trace"}, map[string]any{"trace": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
			`outbox.event.order -1 "4711" "{\"a\": 1}" traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" id="i-1"`},
		{"no trace", Table{Traceparent: "trace"}, map[string]any{"trace": "%%%"}, `outbox.event.order -1 "4711" "{\"a\": 1}" id="i-1"`},
		{"partition", Table{Partition: "p"}, nil, `outbox.event.order 2 "4711" "{\"a\": 1}" id="i-1"`},
		{"no partition", Table{Partition: "p"}, map[string]any{"p": nil}, `outbox.event.order -1 "4711" "{\"a\": 1}" id="i-1"`},
		{"bytes", Table{Payload: "b", ValueFormat: FormatBytes}, nil, `outbox.event.order -1 "4711" "\x00\xff" id="i-1"`},
		{"empty bytes", Table{Payload: "b", ValueFormat: FormatBytes}, map[string]any{"b": `\x`}, `outbox.event.order -1 "4711" "" id="i-1"`},
		{"null bytes", Table{Payload: "b", ValueFormat: FormatBytesJSON}, map[string]any{"b": nil}, `outbox.event.order -1 "4711" null id="i-1"`},
		{"bits", Table{Payload: "bits", KeyFormat: FormatBytesJSON, ValueFormat: FormatBytesJSON}, nil, `outbox.event.order -1 "\"4711\"" "\x81" id="i-1"`},
		{"no bit set", Table{Payload: "bits", ValueFormat: FormatBytesJSONSchema}, map[string]any{"bits": "00000000"}, `outbox.event.order -1 "4711" "" id="i-1"`},
		{"null bits", Table{Payload: "bits", ValueFormat: FormatBytesJSONSchema}, map[string]any{"bits": nil}, `outbox.event.order -1 "4711" null id="i-1"`},
		{"bits as json", Table{Payload: "bits", ValueFormat: FormatJSON}, nil, `outbox.event.order -1 "4711" "\"gQ==\"" id="i-1"`},
		{"decimal", Table{Payload: "dec", ValueFormat: FormatBytesJSON}, nil, `outbox.event.order -1 "4711" "\"BOI=\"" id="i-1"`},
		{"null decimal", Table{Payload: "dec", ValueFormat: FormatBytesJSON}, map[string]any{"dec": nil}, `outbox.event.order -1 "4711" null id="i-1"`},
		{"null decimal with schema", Table{Payload: "dec", ValueFormat: FormatBytesJSONSchema}, map[string]any{"dec": nil}, `outbox.event.order -1 "4711" null id="i-1"`},
		{"decimal that is no number", Table{Payload: "dec", ValueFormat: FormatBytesJSON}, map[string]any{"dec": "NaN"}, `outbox.event.order -1 "4711" null id="i-1"`},
		{"null decimal as json", Table{Payload: "dec", ValueFormat: FormatJSON}, map[string]any{"dec": nil}, `outbox.event.order -1 "4711" "null" id="i-1"`},
		{"null json", Table{ValueFormat: FormatBytesJSON}, map[string]any{"payload": nil}, `outbox.event.order -1 "4711" "null" id="i-1"`},
		{"hex", Table{Payload: "b", ValueFormat: FormatString, Modes: connect.Modes{Binary: "hex"}}, nil, `outbox.event.order -1 "4711" "00ff" id="i-1"`},
		{"timestamp", Table{Timestamp: "at"}, nil, `outbox.event.order -1 "4711" "{\"a\": 1}" id="i-1" @1709210096789`},
		{"text time", Table{Timestamp: "stamp"}, nil, `outbox.event.order -1 "4711" "{\"a\": 1}" id="i-1" @1709202896000`},
		{"date", Table{Timestamp: "day"}, nil, `outbox.event.order -1 "4711" "{\"a\": 1}" id="i-1" @1709164800000`},
		{"milliseconds", Table{Timestamp: "ms"}, nil, `outbox.event.order -1 "4711" "{\"a\": 1}" id="i-1" @1709210096789`},
		{"before 1970", Table{Timestamp: "at"}, map[string]any{"at": "1969-12-31 23:59:59.9995"}, `outbox.event.order -1 "4711" "{\"a\": 1}" id="i-1" @0`},
		{"null time", Table{Timestamp: "at"}, map[string]any{"at": nil}, `outbox.event.order -1 "4711" "{\"a\": 1}" id="i-1"`},
		{"tombstone", Table{Tombstone: true}, map[string]any{"payload": "\x01 \t"}, `outbox.event.order -1 "4711" null id="i-1"`},
		{"no tombstone", Table{Tombstone: true}, map[string]any{"payload": "\u00a0"}, "outbox.event.order -1 \"4711\" \"\\u00a0\" id=\"i-1\""},
		{"bytes are no tombstone", Table{Tombstone: true, Payload: "b"}, map[string]any{"b": `\x`}, `outbox.event.order -1 "4711" "" id="i-1"`},
		{"json", Table{KeyFormat: FormatJSON, ValueFormat: FormatJSON, HeaderFormat: FormatSimple, Headers: []Header{{Column: "b"}}}, nil,
			`outbox.event.order -1 "\"4711\"" "\"{\\\"a\\\": 1}\"" id="i-1" b="AP8="`},
		{"schema", Table{ValueFormat: FormatJSONSchema}, nil, `outbox.event.order -1 "4711" "{\"schema\":{\"type\":\"string\",\"optional\":true,` +
			`\"name\":\"io.debezium.data.Json\",\"version\":1},\"payload\":\"{\\\"a\\\": 1}\"}" id="i-1"`},
		{"expand", Table{ValueFormat: FormatJSON, Expand: true}, map[string]any{"payload": `{"a": [1, null], "b": null}`},
			`outbox.event.order -1 "4711" "{\"a\":[1,null]}" id="i-1"`},
		{"expand nulls", Table{ValueFormat: FormatJSON, Expand: true, ExpandNulls: true}, map[string]any{"payload": `{"a": 1, "b": null}`},
			`outbox.event.order -1 "4711" "{\"a\":1,\"b\":null}" id="i-1"`},
		{"envelope", Table{ValueFormat: FormatJSON, Envelope: []Field{{Column: "type", Name: "eventType"}, {Column: "n"}}}, nil,
			`outbox.event.order -1 "4711" "{\"payload\":\"{\\\"a\\\": 1}\",\"eventType\":\"Created\",\"n\":5}" id="i-1"`},
		{"envelope as text", Table{ValueFormat: FormatString, Envelope: []Field{{Column: "type"}, {Column: "n"}}}, map[string]any{"n": nil},
			`outbox.event.order -1 "4711" "Struct{payload={\"a\": 1},type=Created}" id="i-1"`},
		{"version", Table{ValueFormat: FormatJSONSchema, SchemaVersion: "v", SchemaName: "shop.public.outbox", Envelope: []Field{{Column: "n"}}}, nil,
			`outbox.event.order -1 "4711" "{\"schema\":{\"type\":\"struct\",\"fields\":[{\"type\":\"string\",\"optional\":true,` +
				`\"name\":\"io.debezium.data.Json\",\"version\":1,\"field\":\"payload\"},{\"type\":\"int32\",\"optional\":true,\"field\":\"n\"}],` +
				`\"optional\":false,\"name\":\"shop.public.outbox.order.Value\",\"version\":3},\"payload\":{\"payload\":\"{\\\"a\\\": 1}\",\"n\":5}}" id="i-1"`},
		{"missing", Table{IgnoreMissing: true, Headers: []Header{{Column: "nope"}, {Column: "n"}}}, nil,
			`outbox.event.order -1 "4711" "{\"a\": 1}" id="i-1" n="5"`},
		{"key is payload", Table{AggregateID: "payload"}, nil, `outbox.event.order -1 "{\"a\": 1}" "{\"a\": 1}" id="i-1"`},
	} {
		w := order()
		for k, v := range c.set {
			w.values[k] = v
		}
		out, err := w.run(t, c.table)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if len(out.List) != 1 {
			t.Errorf("%s: %d messages, poison %v", c.name, len(out.List), out.Poison)
			continue
		}
		if got := line(&out.List[0]); got != c.want {
			t.Errorf("%s:\n got  %s\n want %s", c.name, got, c.want)
		}
	}
}

func TestMorePoison(t *testing.T) {
	for _, c := range []struct {
		name  string
		table Table
		set   map[string]any
		want  string
	}{
		{"template", Table{Topic: Topic{Template: "x.{region}"}}, map[string]any{"region": nil},
			"column region is NULL, so there is no topic to send it to"},
		{"key", Table{Key: "{region}"}, map[string]any{"region": nil}, "column region of the key is NULL"},
		{"partition", Table{Partition: "p"}, map[string]any{"p": "-1"}, "column p is no partition: -1"},
		{"time", Table{Timestamp: "stamp"}, map[string]any{"stamp": "soon"},
			`column stamp: "soon" is no date or time in the ISO form that the server was asked for`},
		{"infinity", Table{Timestamp: "at"}, map[string]any{"at": "infinity"},
			`column at: "infinity" is no date or time in the ISO form that the server was asked for`},
		{"hex", Table{Payload: "b", ValueFormat: FormatBytes}, map[string]any{"b": "00"},
			"column b is not in the hex form that the server was asked for"},
		{"money", Table{HeaderFormat: FormatSimple, Headers: []Header{{Column: "amount"}}}, map[string]any{"amount": "1.234,50 €"},
			"column amount is no amount of money as the locale C has it, such as -$1,234.50: lc_monetary of the session is another"},
		{"version", Table{ValueFormat: FormatJSONSchema, SchemaVersion: "v", Envelope: []Field{{Column: "n"}}}, map[string]any{"v": "soon"},
			`column v is no version: "soon"`},
		{"array", Table{HeaderFormat: FormatSimple, Headers: []Header{{Column: "list"}}}, map[string]any{"list": "{{1},{2}}"},
			"column list is no array of one dimension"},
	} {
		w := order()
		w.types["list"], w.types["amount"] = "_int4", "money"
		for k, v := range c.set {
			w.values[k] = v
		}
		out, err := w.run(t, c.table)
		if err != nil || len(out.List) != 0 || len(out.Poison) != 1 {
			t.Errorf("%s: %v, %+v", c.name, err, out)
			continue
		}
		if got := out.Poison[0].Reason; got != c.want {
			t.Errorf("%s: got\n %s, want\n %s", c.name, got, c.want)
		}
	}
}

func TestEveryRefusalHasItsText(t *testing.T) {
	outboxtest.Refusals(t, map[string]int{"invalid": 1, "Errorf": 0, "New": 0})
}

func TestBadMappings(t *testing.T) {
	const at = "tables: public.outbox: "
	for _, c := range []struct {
		name  string
		table Table
		want  string
	}{
		{"format", Table{ValueFormat: "avro"}, at + `formats.value: "avro" is not one of text, string, json, json-schema, bytes, bytes-or-json, bytes-or-json-schema`},
		{"simple key", Table{KeyFormat: FormatSimple}, at + `formats.key: "simple" is not one of text, string, json, json-schema, bytes, bytes-or-json, bytes-or-json-schema`},
		{"header bytes", Table{HeaderFormat: FormatBytes}, at + `formats.headers: "bytes" is not one of text, simple, string, json, json-schema`},
		{"text envelope", Table{Envelope: []Field{{Column: "n"}}}, at + "formats.value: text cannot hold the fields of envelope; allowed are string, json, json-schema"},
		{"text expanded", Table{Expand: true}, at + "formats.value: text is not changed by expand-json; allowed are string, json, json-schema"},
		{"nulls alone", Table{ExpandNulls: true}, at + "expand-json-nulls: has no effect without expand-json"},
		{"key template", Table{Key: "{n}", KeyFormat: FormatJSON}, at + "formats.key: json is not for a key template; allowed are text, string"},
		{"context", Table{ContextHeaders: "x", HeaderFormat: FormatJSON}, at + "context-headers: they are not known in the format json; allowed are text, simple, string"},
		{"two topics", Table{Topic: Topic{Template: "a", Regex: "b"}}, at + "topic: is a template, or a regex with its replacement, not both"},
		{"template", Table{Topic: Topic{Template: "a{b"}}, at + `topic: "{b" is not closed or empty; a column stands in braces, {{ is a brace`},
		{"stray brace", Table{Key: "a}b"}, at + `key: "}b" is not closed or empty; a column stands in braces, {{ is a brace`},
		{"regex", Table{Topic: Topic{Regex: "(", Replacement: "x"}}, at + "topic: regex: missing closing ): `(`"},
		{"open class", Table{Topic: Topic{Regex: "[a", Replacement: "x"}}, at + "topic: regex: missing closing ]: `[a`"},
		{"digit in class", Table{Topic: Topic{Regex: `[\12]`, Replacement: "x"}}, at + `topic: regex: \1 inside of [...]: the same syntax means something else in Java and in Go here, or has no equivalent; write it otherwise`},
		{"lines", Table{Topic: Topic{Regex: "(?im)a", Replacement: "x"}}, at + "topic: regex: flag in (?im)a: the same syntax means something else in Java and in Go here, or has no equivalent; write it otherwise"},
		{"illegal topic", Table{Topic: Topic{Template: "orders/{region}"}}, at + `topic: "orders/" has a character that no topic's name may have; allowed are a-z A-Z 0-9 . _ -`},
		{"illegal replacement", Table{Topic: Topic{Regex: "(.*)", Replacement: `x\$$1`}}, at + `topic: "x$" has a character that no topic's name may have; allowed are a-z A-Z 0-9 . _ -`},
		{"long topic", Table{Topic: Topic{Template: strings.Repeat("x", 250) + "{region}"}}, at + "topic: its own characters are 250, and Kafka takes names of 249"},
		{"empty replacement", Table{Topic: Topic{Regex: "(.*)"}}, at + "topic: the replacement is empty, and no topic has an empty name"},
		{"dots", Table{Topic: Topic{Template: ".."}}, at + `topic: ".." is no topic name`},
		{"idle route", Table{AggregateType: "type", Topic: Topic{Template: "x.{region}"}}, at + "columns.aggregatetype: has no effect beside a topic template without {type}"},
		{"idle key", Table{AggregateID: "type", Key: "x.{region}"}, at + "columns.aggregateid: has no effect beside a key without {type}"},
		{"idle schema name", Table{SchemaName: "x", ValueFormat: FormatJSONSchema}, at + "schema-name: has no effect without envelope"},
		{"idle types", Table{Modes: connect.Modes{Decimal: "string"}}, at + "types: has no effect on the format text; formats takes the others"},
		{"trace of a number", Table{Traceparent: "n"}, at + `columns.traceparent: column "n" is of type int4; allowed are texts`},
		{"trace of bytes", Table{Traceparent: "b"}, at + `columns.traceparent: column "b" is of type bytea; allowed are texts`},
		{"lookahead", Table{Topic: Topic{Regex: "(?=a)b", Replacement: "x"}}, at + "topic: regex: invalid or unsupported Perl syntax: `(?=`"},
		{"nested class", Table{Topic: Topic{Regex: "[a[b]]", Replacement: "x"}}, at + "topic: regex: [ inside of [...]: the same syntax means something else in Java and in Go here, or has no equivalent; write it otherwise"},
		{"back reference", Table{Topic: Topic{Regex: `(a)\1`, Replacement: "x"}}, at + `topic: regex: \1: the same syntax means something else in Java and in Go here, or has no equivalent; write it otherwise`},
		{"surrogate", Table{Topic: Topic{Regex: `\ud83d\ude00`, Replacement: "x"}}, at + `topic: regex: \u: the same syntax means something else in Java and in Go here, or has no equivalent; write it otherwise`},
		{"short number", Table{Topic: Topic{Regex: `[\u00e]`, Replacement: "x"}}, at + `topic: regex: \u: the same syntax means something else in Java and in Go here, or has no equivalent; write it otherwise`},
		{"octal 8", Table{Topic: Topic{Regex: `\08`, Replacement: "x"}}, at + `topic: regex: \0: the same syntax means something else in Java and in Go here, or has no equivalent; write it otherwise`},
		{"control", Table{Topic: Topic{Regex: `a\c`, Replacement: "x"}}, at + `topic: regex: \c: the same syntax means something else in Java and in Go here, or has no equivalent; write it otherwise`},
		{"group", Table{Topic: Topic{Regex: "(a)", Replacement: "$2"}}, at + "topic: replacement: the regex has no group 2"},
		{"named group", Table{Topic: Topic{Regex: "(?<a>.)", Replacement: "${b}"}}, at + `topic: replacement: the regex has no group named "b"`},
		{"dollar", Table{Topic: Topic{Regex: "a", Replacement: "x$"}}, at + `topic: replacement: no group follows a $; \$ is a dollar sign`},
		{"backslash", Table{Topic: Topic{Regex: "a", Replacement: `x\`}}, at + `topic: replacement: nothing follows the \ at its end`},
		{"empty header", Table{Headers: []Header{{Name: "x"}}}, at + "headers: number 1 has not exactly one of column, value, meta"},
		{"full header", Table{Headers: []Header{{Column: "n", Value: "x"}}}, at + "headers: number 1 has not exactly one of column, value, meta"},
		{"nameless header", Table{Headers: []Header{{Value: "x"}}}, at + "headers: number 1 has no name"},
		{"meta", Table{Headers: []Header{{Name: "x", Meta: "lsn"}}}, at + `headers: meta "lsn" is not one of position, ordinal`},
		{"field", Table{ValueFormat: FormatJSON, Envelope: []Field{{Name: "x"}}}, at + "envelope: number 1 has no column"},
		{"twice", Table{ValueFormat: FormatJSON, Envelope: []Field{{Column: "n"}, {Column: "p", Name: "n"}}}, at + "envelope: the name n is there twice; payload is the value's own"},
		{"payload", Table{ValueFormat: FormatJSON, Envelope: []Field{{Column: "n", Name: "payload"}}}, at + "envelope: the name payload is there twice; payload is the value's own"},

		{"flag", Table{Topic: Topic{Regex: "(?U)a", Replacement: "x"}}, at + "topic: regex: flag in (?U)a: the same syntax means something else in Java and in Go here, or has no equivalent; write it otherwise"},
		{"intersection", Table{Topic: Topic{Regex: "[a&&b]", Replacement: "x"}}, at + "topic: regex: & inside of [...]: the same syntax means something else in Java and in Go here, or has no equivalent; write it otherwise"},
		{"no uuid", Table{UUIDs: []string{"n"}}, at + `uuid-columns: column "n" is not mapped`},

		{"timestamp type", Table{Timestamp: "n"}, at + `columns.timestamp: column "n" is of type int4; allowed are times with a date, date, text in ISO form, and bigint with milliseconds since 1970`},
		{"partition type", Table{Partition: "type"}, at + `columns.partition: column "type" is of type varchar; allowed are whole numbers such as int`},
		{"version type", Table{SchemaVersion: "ms", ValueFormat: FormatJSON, Envelope: []Field{{Column: "n"}}}, at + `columns.schema-version: column "ms" is of type int8; allowed is int`},
		{"bytes of text", Table{ValueFormat: FormatBytes}, at + `formats.value: bytes is only for columns of bytes, and column "payload" is of type jsonb`},
		{"string of a number", Table{AggregateID: "num", KeyFormat: FormatString}, at + `formats.key: string has no form for column "num" of type numeric, of which Java prints the identity of an object`},
		{"string of an envelope", Table{ValueFormat: FormatString, Payload: "b", Envelope: []Field{{Column: "n"}}}, at + "formats.value: string has no form for an envelope with bytes in it, of which Java prints the identity of an object"},
		{"unknown type", Table{HeaderFormat: FormatSimple, Headers: []Header{{Column: "odd"}}}, at + `formats.headers: type pg_lsn of column "odd" has no form in Kafka Connect that tailer writes; text is the format that takes every type`},
		{"unknown id", Table{HeaderFormat: FormatSimple, ID: "odd"}, at + `formats.headers: type pg_lsn of column "odd" has no form in Kafka Connect that tailer writes; text is the format that takes every type`},
		{"unknown in envelope", Table{ValueFormat: FormatJSON, Envelope: []Field{{Column: "odd"}}}, at + `envelope: type pg_lsn of column "odd" has no form in Kafka Connect that tailer writes; text is the format that takes every type`},
	} {
		w := order()
		w.types["num"], w.types["odd"] = "numeric", "pg_lsn"
		_, err := w.run(t, c.table)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: got\n %v, want\n %s", c.name, err, c.want)
		}
	}
}

// Only what every use of a column can do without may be missing.
func TestOptionalColumns(t *testing.T) {
	m, err := New(Config{Tables: []Table{{Name: "a.b", IgnoreMissing: true, ValueFormat: FormatJSON, Timestamp: "at",
		Headers: []Header{{Column: "type"}, {Column: "at"}}, Envelope: []Field{{Column: "type"}, {Column: "n"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(m.Columns(0), m.Optional(0))
	if want := "[id aggregatetype aggregateid payload at type n] [false false false false false true true]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestJavaRegex(t *testing.T) {
	for _, c := range []struct{ regex, replacement, value, want string }{
		{"(a)(b)", "rt.$12", "ab", "rt.a2"},
		{"(?<kind>[a-z]+)\\.(?<entity>.*)", "${entity}.events.${kind}", "user.created.v1", "created.v1.events.user"},
		{"(a)?(b)", "rt.$1.$2", "b", "rt..b"},
		{".*", "x", "a\nb", "a\nb"},
		{".*", "x", "a\u2028b", "a\u2028b"},
		{"(?s).*", "x", "a\nb", "x"},
		{"a|ab", "x", "ab", "xb"}, // the whole matches, the first match is shorter
		{".*", `a\$\\$0`, "v", `a$\v`},
		{"[\\s]+x", "y", "\v x", "y"},
		{"(?i)(order|cart)s?", "rt.$1", "Orders", "rt.Order"},
		{"", "x", "", "x"},
		{"[]a]+", "x", "]a", "x"},
		{"(?is)A.b", "x", "a\nB", "x"},
		{"(?i)A.b", "x", "a\nB", "a\nB"},
		{"(?i-s)A.b", "x", "a\nB", "a\nB"},
		{"(?s:A.)(.)", "x", "A\nb", "x"},
		{"(?s:A.)(.)", "x", "Ab\n", "Ab\n"},
		{"(A(?s).)(.)", "x", "A\nb", "x"},
		{"(A(?s).)(.)", "x", "Ab\n", "Ab\n"},
		{"(?s)A(?-s:.)(.)", "x", "Ab\n", "x"},
		{"(?s)A(?-s:.)(.)", "x", "A\nb", "A\nb"},
		{"(.|A(?s).)(.)", "x", "A\nb", "x"},
		{`a\vb`, "x", "a\u2028b", "x"},
		{`a[\v.]b`, "x", "a\rb", "x"},
		{`a[\\s]b`, "x", `a\b`, "x"},
		{`a[\\s]b`, "x", "a b", "a b"},
		{`a[^\s]b`, "x", "a\vb", "a\vb"},
		{`a[\s-x]b`, "x", "a-b", "x"},
		{`a[\s-x]b`, "x", "azb", "azb"},
		{`a\h[\h]\Hb`, "x", "a\u1680\u2005\u200bb", "x"},
		{`a\Hb`, "x", "a\u3000b", "a\u3000b"},
		{`a\0101\07\0477[\060-\071]`, "x", "aA\a'75", "x"}, // \047 and a 7: above \0377 there is no octal number
		{`\x41\u0042[\u00e9]\cA\e`, "x", "ABé\x01\x1b", "x"},
		{`a\Q.*\E(.*)`, "$1", "a.*b", "b"},
		{`a\Q.*`, "x", "a.*", "x"},
		{`a\Q.*`, "x", "abc", "abc"},
		{`a\\Q.`, "x", `a\Qb`, "x"},
	} {
		r, err := newRegex(c.regex, c.replacement)
		if err != nil {
			t.Errorf("%s: %v", c.regex, err)
		} else if got := r.replace(c.value); got != c.want {
			t.Errorf("%s, %s of %q: got %q, want %q", c.regex, c.replacement, c.value, got, c.want)
		}
	}
}

// The name of an envelope's schema stays that of the first route.
func TestEnvelopeNameIsKept(t *testing.T) {
	m, err := New(Config{Source: connect.Postgres, Tables: []Table{{Name: "a.b", ValueFormat: FormatJSONSchema, Envelope: []Field{{Column: "n"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range []string{"first", "second"} {
		w := order()
		s := w.shape(m)
		b := &outbox.Batch{}
		b.Begin([]byte("7@0/2"), time.Unix(1, 0), 0)
		b.Add(s)
		w.values["aggregatetype"] = route
		for i, c := range s.Columns {
			b.SetCell(i, []byte(w.values[c.Name].(string)))
		}
		var out outbox.Messages
		m.Map(b, &out)
		if v := string(out.List[0].Value); !strings.Contains(v, `"a.b.first.Value"`) {
			t.Errorf("%s: %s", route, v)
		}
	}
}

// A source that does not ask Check still gets no guess: the rows are poison.
func TestMisfitIsPoison(t *testing.T) {
	m, err := New(Config{Tables: []Table{{Name: "a.b", ValueFormat: FormatJSON}}})
	if err != nil {
		t.Fatal(err)
	}
	var out outbox.Messages
	m.Map(batch(shape("text"), [4]string{"1", "order", "k", "v"}), &out)
	want := `tables: a.b: formats.value: type text of column "payload" has no form in Kafka Connect that tailer writes; text is the format that takes every type`
	if len(out.Poison) != 1 || out.Poison[0].Reason != want {
		t.Errorf("%+v", out.Poison)
	}
}

// benchTables are mappings that are common; the short way has a benchmark of
// its own.
var benchTables = map[string]Table{
	"headers": {KeyFormat: FormatString, ValueFormat: FormatString, HeaderFormat: FormatSimple,
		Headers: []Header{{Column: "type", Name: "eventType"}, {Column: "n"}}},
	"json":   {KeyFormat: FormatJSON, ValueFormat: FormatJSON, HeaderFormat: FormatSimple},
	"expand": {ValueFormat: FormatJSON, Expand: true},
}

func benchmarkWorld(t testing.TB, table Table) (*Mapper, *outbox.Batch) {
	table.Name = "public.outbox"
	m, err := New(Config{Source: connect.Postgres, Tables: []Table{table}})
	if err != nil {
		t.Fatal(err)
	}
	w := order()
	s := w.shape(m)
	b := &outbox.Batch{}
	b.Begin([]byte("7@0/2"), time.Unix(1, 0), 0)
	for range 1000 {
		b.Add(s)
		for i, c := range s.Columns {
			b.SetCell(i, []byte(w.values[c.Name].(string)))
		}
	}
	return m, b
}

// Texts with headers, the most common mapping there is, allocate nothing.
func TestHeadersAllocateNothing(t *testing.T) {
	m, b := benchmarkWorld(t, benchTables["headers"])
	out := &outbox.Messages{}
	run := func() { out.Reset(); m.Map(b, out) }
	run()
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%.0f allocations for 1,000 rows, want 0", n)
	}
}

func BenchmarkTables(b *testing.B) {
	for name, table := range benchTables {
		b.Run(name, func(b *testing.B) {
			m, rows := benchmarkWorld(b, table)
			out := &outbox.Messages{}
			b.ReportAllocs()
			for b.Loop() {
				out.Reset()
				m.Map(rows, out)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows.Rows)), "ns/row")
		})
	}
}

// What says something is not idle: with the column in the template, with
// another format, as the subject of an event.
func TestNotIdle(t *testing.T) {
	for name, table := range map[string]Table{
		"route":     {AggregateType: "type", Topic: Topic{Template: "x.{type}"}},
		"key":       {AggregateID: "type", Key: "{type}"},
		"subject":   {AggregateID: "type", Key: "{region}", CloudEvents: &CloudEvents{Source: "shop"}},
		"types":     {HeaderFormat: FormatSimple, Modes: connect.Modes{Decimal: "string"}},
		"name":      {ValueFormat: FormatJSON, SchemaName: "x", Envelope: []Field{{Column: "n"}}}, // as convert writes it
		"expansion": {ValueFormat: FormatJSON, Payload: "b", Expand: true},                        // Debezium leaves bytes alone
		"trace":     {Traceparent: "stamp"},
	} {
		if _, err := order().run(t, table); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNoTables(t *testing.T) {
	const want = "--outbox-table: no outbox table is configured"
	if _, err := New(Config{}); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

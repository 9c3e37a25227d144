package mapping

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/mapping/connect"
	"github.com/tailer-io/tailer/internal/outbox"
)

const eventStart = `ce_specversion="1.0" ce_id="i-1" ce_source="/shop" ce_type="Created"`

// attributes makes a table of CloudEvents with these attributes.
func attributes(list ...Header) Table {
	return Table{CloudEvents: &CloudEvents{Source: "/shop", Attributes: list}}
}

func TestCloudEvents(t *testing.T) {
	const subject, key, json = ` ce_subject="4711"`, ` ce_partitionkey="4711"`, ` content-type="application/json"`
	const topic = `outbox.event.order -1 "4711" `
	withHeaders := attributes()
	withHeaders.Headers = []Header{{Column: "n"}}
	withHeaders.IDHeader, withHeaders.Traceparent = "id", "trace"
	withKey := attributes()
	withKey.Key, withKey.Topic.Template = "{region}/{type}", "shop.{aggregatetype}"
	uuid := attributes(Header{Name: "id", Column: "u"})
	uuid.UUIDs = []string{"u"}
	for _, c := range []struct {
		name  string
		table Table
		set   map[string]any
		want  string
	}{
		{"default", attributes(), nil, topic + `"{\"a\": 1}" ` + eventStart + subject + key + json},
		{"no data", attributes(), map[string]any{"payload": nil}, topic + `null ` + eventStart + subject + key},
		{"no subject, no key", attributes(), map[string]any{"aggregateid": nil}, `outbox.event.order -1 null "{\"a\": 1}" ` + eventStart + json},
		{"empty", attributes(), map[string]any{"aggregateid": ""}, `outbox.event.order -1 "" "{\"a\": 1}" ` + eventStart + json},
		{"left out", attributes(Header{Name: "subject"}, Header{Name: "partitionkey"}, Header{Name: "datacontenttype"}), nil, topic + `"{\"a\": 1}" ` + eventStart},
		{"key of columns", withKey, nil, `shop.order -1 "eu/Created" "{\"a\": 1}" ` + eventStart + subject + ` ce_partitionkey="eu/Created"` + json},
		{"in their place", attributes(Header{Name: "type", Value: "com.example.created"}, Header{Name: "source", Column: "region"}, Header{Name: "subject", Column: "type"}), nil,
			topic + `"{\"a\": 1}" ce_specversion="1.0" ce_id="i-1" ce_source="eu" ce_type="com.example.created" ce_subject="Created"` + key + json},
		{"added", attributes(Header{Name: "time", Column: "at"}, Header{Name: "dataschema", Value: "urn:x:1"}, Header{Name: "datacontenttype", Column: "stamp"},
			Header{Name: "n1", Column: "n"}, Header{Name: "flag", Column: "yes"}, Header{Name: "day", Column: "day"}, Header{Name: "sequence", Meta: MetaOrdinal}, Header{Name: "lsn", Meta: MetaPosition}),
			map[string]any{"stamp": "text/plain; charset=utf-8"},
			topic + `"{\"a\": 1}" ` + eventStart + subject + key + ` content-type="text/plain; charset=utf-8" ce_time="2024-02-29T12:34:56.789012Z" ce_dataschema="urn:x:1"` +
				` ce_n1="5" ce_flag="true" ce_day="2024-02-29T00:00:00Z" ce_sequence="5" ce_lsn="0/2"`},
		{"null ones", attributes(Header{Name: "time", Column: "at"}, Header{Name: "n1", Column: "n"}, Header{Name: "flag", Column: "yes"}),
			map[string]any{"at": nil, "n": nil, "yes": "f"}, topic + `"{\"a\": 1}" ` + eventStart + subject + key + json + ` ce_flag="false"`},
		{"time of milliseconds", attributes(Header{Name: "time", Column: "ms"}), nil, topic + `"{\"a\": 1}" ` + eventStart + subject + key + json + ` ce_time="2024-02-29T12:34:56.789Z"`},
		{"time of text", attributes(Header{Name: "time", Column: "stamp"}), nil, topic + `"{\"a\": 1}" ` + eventStart + subject + key + json + ` ce_time="2024-02-29T12:34:56+02:00"`},
		{"time of a constant", attributes(Header{Name: "time", Value: "2024-02-29 12:34:56+02"}), nil, topic + `"{\"a\": 1}" ` + eventStart + subject + key + json + ` ce_time="2024-02-29T12:34:56+02:00"`},
		{"other headers", withHeaders, map[string]any{"trace": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, topic + `"{\"a\": 1}" ` + eventStart + subject + key + json +
			` traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" id="i-1" n="5"`},
		{"uuid", uuid, nil, topic + `"{\"a\": 1}" ` + strings.Replace(eventStart, "i-1", "61626364-6566-6768-696a-6b6c6d6e6f70", 1) + subject + key + json},
	} {
		w := order()
		w.types["yes"], w.values["yes"] = "bool", "t"
		w.types["u"], w.values["u"] = "binary", "abcdefghijklmnop"
		source := connect.Postgres
		if c.name == "uuid" {
			source = connect.MySQL
			w.types["payload"] = "json"
		}
		for k, v := range c.set {
			w.values[k] = v
		}
		out, err := w.runOn(t, source, c.table)
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

func TestCloudEventsPoison(t *testing.T) {
	for _, c := range []struct {
		table Table
		set   map[string]any
		want  string
	}{
		{attributes(), map[string]any{"id": nil}, "its attribute id is NULL or empty, and a CloudEvent needs it"},
		{attributes(), map[string]any{"type": ""}, "its attribute type is NULL or empty, and a CloudEvent needs it"},
		{attributes(Header{Name: "source", Column: "region"}), map[string]any{"region": nil}, "its attribute source is NULL or empty, and a CloudEvent needs it"},
		{attributes(Header{Name: "source", Column: "region"}), map[string]any{"region": "a b"}, "its attribute source is no URI reference"},
		{attributes(Header{Name: "dataschema", Column: "region"}), map[string]any{"region": "a/b"}, "its attribute dataschema is no URI with a scheme"},
		{attributes(Header{Name: "datacontenttype", Column: "region"}), map[string]any{"region": "json"}, "its attribute datacontenttype is no media type"},
		{attributes(Header{Name: "datacontenttype", Column: "region"}), map[string]any{"region": "Application/CloudEvents+json"},
			"its attribute datacontenttype is the media type of a structured event, and this is none"},
		{attributes(), map[string]any{"aggregateid": "a\nb"}, "its attribute subject is no text that a CloudEvent may have: it is not UTF-8, or holds control characters or noncharacters"},
		{attributes(Header{Name: "time", Column: "at"}), map[string]any{"at": "infinity"}, "its attribute time is no date and time from the year 1 to 9999 that RFC 3339 can write"},
		{attributes(Header{Name: "time", Column: "ms"}), map[string]any{"ms": "253402300800000"}, "its attribute time is no date and time from the year 1 to 9999 that RFC 3339 can write"},
		{attributes(Header{Name: "flag", Column: "yes"}), map[string]any{"yes": "x"}, "its attribute flag is neither t nor f"},
	} {
		w := order()
		w.types["yes"] = "bool"
		for k, v := range c.set {
			w.values[k] = v
		}
		out, err := w.run(t, c.table)
		if err != nil || len(out.List) != 0 || len(out.Poison) != 1 {
			t.Errorf("%s: %v, %+v", c.want, err, out)
			continue
		}
		if got := out.Poison[0].Reason; got != c.want {
			t.Errorf("got\n %s, want\n %s", got, c.want)
		}
	}
}

func TestBadAttributes(t *testing.T) {
	const at = "tables: public.outbox: "
	for _, c := range []struct {
		table Table
		want  string
	}{
		{attributes(Header{Value: "x"}), at + "attributes: number 1 has no name"},
		{attributes(Header{Name: "my-name", Value: "x"}), at + `attributes: the name "my-name" is not made of a to z and 0 to 9`},
		{attributes(Header{Name: "specversion", Value: "1.0"}), at + "attributes: specversion cannot be set"},
		{attributes(Header{Name: "data", Column: "n"}), at + "attributes: data cannot be set"},
		{attributes(Header{Name: "a", Column: "n", Value: "x"}), at + "attributes: a has more than one of column, value, meta"},
		{attributes(Header{Name: "source"}), at + "attributes: source has no value, and every CloudEvent needs it"},
		{Table{CloudEvents: &CloudEvents{}}, at + "attributes: source has no value, and every CloudEvent needs it"},
		{Table{CloudEvents: &CloudEvents{Source: "{x}"}}, at + `attributes: source is no URI reference: "{x}"`},
		{attributes(Header{Name: "a", Value: "x"}, Header{Name: "a", Value: "y"}), at + "attributes: a is there twice"},
		{attributes(Header{Name: "a", Meta: "key"}), at + `attributes: meta "key" is not one of position, ordinal`},
		{attributes(Header{Name: "source", Value: "a b"}), at + `attributes: source is no URI reference: "a b"`},
		{attributes(Header{Name: "datacontenttype", Value: "application/cloudevents+json"}), at +
			`attributes: datacontenttype is the media type of a structured event, and this is none: "application/cloudevents+json"`},
		{attributes(Header{Name: "datacontenttype", Value: "json"}), at + `attributes: datacontenttype is no media type: "json"`},
		{attributes(Header{Name: "dataschema", Value: "orders"}), at + `attributes: dataschema is no URI with a scheme: "orders"`},
		{attributes(Header{Name: "time", Value: "now"}), at + `attributes: time is no date and time from the year 1 to 9999 that RFC 3339 can write: "now"`},
		{attributes(Header{Name: "a", Value: "x\x00"}), at +
			`attributes: a is no text that a CloudEvent may have: it is not UTF-8, or holds control characters or noncharacters: "x\x00"`},
		{attributes(Header{Name: "time", Meta: MetaPosition}), at + "attributes: time is no position; allowed are column and value"},
		{attributes(Header{Name: "a", Column: "b"}), at + `attributes: column "b" is of type bytea, which makes no a`},
		{attributes(Header{Name: "time", Column: "n"}), at + `attributes: column "n" is of type int4, which makes no time`},
	} {
		if _, err := order().run(t, c.table); err == nil || err.Error() != c.want {
			t.Errorf("got\n %v, want\n %s", err, c.want)
		}
	}
}

func TestRFC3339(t *testing.T) {
	for in, want := range map[string]string{
		"2024-02-29 12:34:56":           "2024-02-29T12:34:56Z",
		"2024-02-29 12:34:56.123456":    "2024-02-29T12:34:56.123456Z",
		"2024-02-29 12:34:56.5+00":      "2024-02-29T12:34:56.5Z",
		"2024-02-29 12:34:56-08":        "2024-02-29T12:34:56-08:00",
		"2024-02-29 12:34:56+05:30":     "2024-02-29T12:34:56+05:30",
		"2024-02-29T12:34:56.000000Z":   "2024-02-29T12:34:56.000000Z",
		"2024-02-29t12:34:56z":          "2024-02-29T12:34:56Z",
		"2024-02-29":                    "2024-02-29T00:00:00Z",
		"0001-01-01 00:00:00":           "0001-01-01T00:00:00Z",
		"9999-12-31 23:59:59.999999+00": "9999-12-31T23:59:59.999999Z",
		"2023-02-29":                    "", "0000-00-00 00:00:00": "", "0000-01-01": "", "10000-01-01 00:00:00": "", "0044-03-15 00:00:00 BC": "", "infinity": "", "": "",
		"2024-02-29 24:00:00": "", "2024-02-29 12:34": "", "2024-02-29 12:34:56.": "", "2024-02-29 12:34:56 ": "", "1800-01-01 00:00:00+00:53:28": "",
		"2024-02-29 12:34:56+5": "", "2024-02-29  2:34:56": "",
	} {
		got, err := appendRFC3339([]byte("x"), []byte(in))
		if want == "" {
			if err == nil {
				t.Errorf("%q: %s, want an error", in, got)
			}
		} else if err != nil || string(got) != "x"+want {
			t.Errorf("%q: %s, %v; want %s", in, got, err, want)
		}
	}
}

func TestEventTexts(t *testing.T) {
	for _, c := range []struct {
		name string
		good []string
		bad  []string
	}{
		{"subject", []string{"a b", "é🚀\u2028\u00a0"}, []string{"\x00", "\x1f", "\x7f", "\u0080", "\u009f", "\ufdd0", "\ufffe", "\U0001ffff", "\xff", "\xed\xa0\x80"}},
		{"source", []string{"/shop", "urn:a:b", "https://x.example/a?b=c#d", "a%20b", "mailto:a@b"}, []string{"a b", "a%2", "a%zz", "é", "<a>", `a\b`, "{a}"}},
		{"dataschema", []string{"urn:a", "https://x/y", "a+b-1.2:x"}, []string{"/a", "1a:b", ":b", "a"}},
		{"datacontenttype", []string{"application/json", "text/plain; charset=utf-8", "a/b+c ;x"}, []string{"json", "a/", "/b", "a b/c", "a/b/c", "application/cloudevents", "application/CloudEvents-batch+json"}},
	} {
		for _, v := range c.good {
			if err := checkText(c.name, []byte(v)); err != nil {
				t.Errorf("%s %q: %v", c.name, v, err)
			}
		}
		for _, v := range c.bad {
			if err := checkText(c.name, []byte(v)); err == nil {
				t.Errorf("%s %q: no error", c.name, v)
			}
		}
	}
}

func eventWorld(t testing.TB) (*Mapper, *outbox.Batch, *outbox.Messages) {
	table := attributes(Header{Name: "time", Column: "created"}, Header{Name: "sequence", Meta: MetaOrdinal}, Header{Name: "tenant", Column: "tenant"})
	table.Name = "public.outbox"
	m, err := New(Config{Source: connect.Postgres, Tables: []Table{table}})
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]string{"id": "uuid", "payload": "jsonb", "created": "timestamptz"}
	s := &outbox.Shape{}
	for _, c := range m.Columns(0) {
		typ := types[c]
		if typ == "" {
			typ = "text"
		}
		s.Columns = append(s.Columns, outbox.Column{Name: c, Type: typ, Precision: -1, Scale: -1})
	}
	b := &outbox.Batch{}
	b.Begin([]byte("7@0/2"), time.Unix(1, 0), 0)
	for i := range 1000 {
		row := map[string]string{"id": "da8d6de6-3b77-45ff-8f44-000000000003", "aggregatetype": "order", "aggregateid": fmt.Sprint(i % 100), "type": "com.example.OrderCreated",
			"payload": `{"a": 1, "b": "some text that is longer"}`, "created": "2024-02-29 12:34:56.123456+00", "tenant": "t-1"}
		b.Add(s)
		for c, column := range m.Columns(0) {
			b.SetCell(c, []byte(row[column]))
		}
	}
	b.End([]byte("0/3"))
	return m, b, &outbox.Messages{}
}

func TestCloudEventsAllocateNothing(t *testing.T) {
	m, b, out := eventWorld(t)
	run := func() { out.Reset(); m.Map(b, out) }
	run()
	if len(out.List) != 1000 {
		t.Fatalf("%d messages, poison %v", len(out.List), out.Poison[0])
	}
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%.0f allocations for 1,000 rows, want 0", n)
	}
}

func BenchmarkMapCloudEvents(b *testing.B) {
	m, rows, out := eventWorld(b)
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		m.Map(rows, out)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows.Rows)), "ns/row")
}

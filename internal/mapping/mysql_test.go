package mapping

import (
	"testing"

	"github.com/tailer-io/tailer/internal/mapping/connect"
	"github.com/tailer-io/tailer/internal/outbox"
)

const rawUUID = "\x01\x94\xc2\xe4\x7a\x3b\x7c\x5d\x8e\x9f\x00\x00\x00\x00\x00\x01"

func binaryOrder() world {
	return world{
		types: map[string]string{"id": "binary not null", "aggregatetype": "varchar not null", "aggregateid": "binary not null",
			"payload": "longblob", "json": "json", "at": "datetime", "atn": "datetime not null", "v": "mediumint", "p": "bigint unsigned",
			"tiny": "tinyint"},
		values: map[string]any{"id": rawUUID, "aggregatetype": "order", "aggregateid": rawUUID, "payload": " \x00", "json": `{"a": 1.0}`,
			"at": "2024-02-29 12:34:56.789012", "atn": "0000-00-00 00:00:00", "v": "3", "p": "2", "tiny": "1"},
	}
}

func TestMySQLTables(t *testing.T) {
	const raw, text = `"\x01\x94\xc2\xe4z;|]\x8e\x9f\x00\x00\x00\x00\x00\x01"`, `"0194c2e4-7a3b-7c5d-8e9f-000000000001"`
	both := []string{"id", "aggregateid"}
	for _, c := range []struct {
		name  string
		table Table
		set   map[string]any
		want  string
	}{
		{"bytes", Table{}, nil, `outbox.event.order -1 ` + raw + ` " \x00" id=` + raw},
		{"uuids", Table{UUIDs: both}, nil, `outbox.event.order -1 ` + text + ` " \x00" id=` + text},
		{"null uuid", Table{UUIDs: both}, map[string]any{"aggregateid": nil}, `outbox.event.order -1 null " \x00" id=` + text},
		{"long way", Table{UUIDs: both, KeyFormat: FormatString, HeaderFormat: FormatSimple}, nil,
			`outbox.event.order -1 ` + text + ` " \x00" id=` + text},
		{"json", Table{UUIDs: both, KeyFormat: FormatJSONSchema, IDHeader: "-"}, nil, `outbox.event.order -1 "{\"schema\":{\"type\":\"string\",` +
			`\"optional\":false,\"name\":\"io.debezium.data.Uuid\",\"version\":1},\"payload\":\"0194c2e4-7a3b-7c5d-8e9f-000000000001\"}" " \x00"`},
		{"template", Table{UUIDs: both[:1], Key: "{id}/{p}", IDHeader: "-"}, nil, `outbox.event.order -1 "0194c2e4-7a3b-7c5d-8e9f-000000000001/2" " \x00"`},
		{"spaces in bytes are no tombstone", Table{Tombstone: true, IDHeader: "-", Key: "k"}, map[string]any{"payload": "  "},
			`outbox.event.order -1 "k" "  "`},
		{"the server's JSON", Table{Payload: "json", IDHeader: "-", Key: "k"}, nil, `outbox.event.order -1 "k" "{\"a\": 1.0}"`},
		{"the log's JSON", Table{Payload: "json", IDHeader: "-", Key: "k", ValueFormat: FormatString}, nil, `outbox.event.order -1 "k" "{\"a\":1.0}"`},
		{"time", Table{Timestamp: "at", IDHeader: "-", Key: "k"}, nil, `outbox.event.order -1 "k" " \x00" @1709210096789`},
		{"zero time", Table{Timestamp: "at", IDHeader: "-", Key: "k"}, map[string]any{"at": "0000-00-00 00:00:00"}, `outbox.event.order -1 "k" " \x00"`},
		{"zero time, not null", Table{Timestamp: "atn", IDHeader: "-", Key: "k"}, nil, `outbox.event.order -1 "k" " \x00" @0`},
		{"partition", Table{Partition: "p", IDHeader: "-", Key: "k"}, nil, `outbox.event.order 2 "k" " \x00"`},
		{"version", Table{SchemaVersion: "v", Envelope: []Field{{Column: "v"}}, IDHeader: "-", Key: "k", ValueFormat: FormatJSON}, nil,
			`outbox.event.order -1 "k" "{\"payload\":\"IAA=\",\"v\":3}"`},
	} {
		w := binaryOrder()
		for k, v := range c.set {
			w.values[k] = v
		}
		out, err := w.runOn(t, connect.MySQL, c.table)
		if err != nil || len(out.List) != 1 {
			t.Errorf("%s: %v, %+v", c.name, err, out)
		} else if got := line(&out.List[0]); got != c.want {
			t.Errorf("%s: got\n %s, want\n %s", c.name, got, c.want)
		}
	}
}

func TestBadMySQLTables(t *testing.T) {
	for _, c := range []struct {
		name  string
		table Table
		want  string
	}{
		{"uuid of a text", Table{UUIDs: []string{"payload"}, Payload: "json"},
			`tables: public.outbox: uuid-columns: column "payload" is not mapped`},
		{"text", Table{UUIDs: []string{"json"}, Payload: "json"},
			`tables: public.outbox: uuid-columns: column "json" is of type json; allowed are columns of bytes, such as binary(16)`},
		{"route", Table{UUIDs: []string{"aggregatetype"}},
			`tables: public.outbox: uuid-columns: column "aggregatetype" is the route; write the topic as a template`},
		{"version", Table{SchemaVersion: "tiny", Envelope: []Field{{Column: "v"}}, ValueFormat: FormatJSON},
			`tables: public.outbox: columns.schema-version: column "tiny" is of type tinyint; allowed is int`},
		{"adaptive", Table{ValueFormat: FormatJSON, Payload: "at", Modes: connect.Modes{Time: "adaptive"}},
			`tables: public.outbox: formats.value: type datetime of column "at" has no form with types: {time: adaptive}, which is for PostgreSQL; adaptive_time_microseconds is the default here; text is the format that takes every type`},
	} {
		if _, err := binaryOrder().runOn(t, connect.MySQL, c.table); err == nil || err.Error() != c.want {
			t.Errorf("%s: got\n %v, want\n %s", c.name, err, c.want)
		}
	}
}

// A row whose bytes are no UUID is poison, named by what it has.
func TestBadUUIDs(t *testing.T) {
	for _, c := range []struct {
		table Table
		set   string
		want  string
		id    string
	}{
		{Table{UUIDs: []string{"id", "aggregateid"}}, "aggregateid", "a column is no UUID: it has not 16 bytes", "0194c2e4-7a3b-7c5d-8e9f-000000000001"},
		{Table{UUIDs: []string{"id"}, HeaderFormat: FormatJSON}, "id", "column id is no UUID: it has not 16 bytes", "short"},
		{Table{UUIDs: []string{"id"}, Key: "{id}"}, "id", "column id of the key is no UUID: it has not 16 bytes", "short"},
		{Table{UUIDs: []string{"id"}, Topic: Topic{Template: "t.{id}"}}, "id", "column id is no UUID: it has not 16 bytes, so there is no topic to send it to", "short"},
	} {
		w := binaryOrder()
		w.values[c.set] = "short"
		out, err := w.runOn(t, connect.MySQL, c.table)
		if err != nil || len(out.Poison) != 1 || out.Poison[0].Reason != c.want || out.Poison[0].ID != c.id {
			t.Errorf("%+v: %v, %+v, want %s", c.table, err, out, c.want)
		}
	}
}

func TestUUIDsAllocateNothingWhenWarm(t *testing.T) {
	m, err := New(Config{Source: connect.MySQL, Tables: []Table{{Name: "a.b", UUIDs: []string{"id", "aggregateid"}}}})
	if err != nil {
		t.Fatal(err)
	}
	b := batch(binaryOrder().shape(m), [4]string{rawUUID, "order", rawUUID, "\x00"}, [4]string{rawUUID, "order", rawUUID, "\x00"})
	var out outbox.Messages
	run := func() {
		out.Reset()
		m.Map(b, &out)
	}
	run()
	if len(out.List) != 2 {
		t.Fatalf("%+v", out)
	}
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%.0f allocations, want 0", n)
	}
}

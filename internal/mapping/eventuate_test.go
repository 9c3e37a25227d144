package mapping

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/mapping/connect"
	"github.com/tailer-io/tailer/internal/outbox"
)

// tramTable maps rows of one table of Eventuate Tram: id (or dbid),
// destination, headers, payload, published; "NULL" is SQL NULL.
func tramTable(t testing.TB, e Eventuate, rows ...[]string) *outbox.Messages {
	t.Helper()
	m, err := New(Config{TopicPrefix: "p.", MaxRowBytes: 1 << 20, Tables: []Table{{Name: "eventuate.message", Eventuate: &e}}})
	if err != nil {
		t.Fatal(err)
	}
	b := tramBatch(t, m, "text", rows...)
	out := &outbox.Messages{}
	m.Map(b, out)
	return out
}

func tramBatch(t testing.TB, m *Mapper, typ string, rows ...[]string) *outbox.Batch {
	t.Helper()
	s := &outbox.Shape{}
	for _, c := range m.Columns(0) {
		s.Columns = append(s.Columns, outbox.Column{Name: c, Type: typ})
	}
	if err := m.Check(s); err != nil {
		t.Fatal(err)
	}
	b := &outbox.Batch{}
	b.Begin([]byte("7@0/2"), time.Unix(1, 0), 0)
	for _, r := range rows {
		b.Add(s)
		for i, v := range r {
			if v != "NULL" {
				b.SetCell(i, []byte(v))
			}
		}
	}
	b.End([]byte("0/3"))
	return b
}

type tramVector struct {
	Source string
	Row    struct {
		ID, Destination, Headers, Payload string
		DBID                              int64
	}
	Record struct {
		Topic, Key, Value string
		RecordHeaders     []any
	}
}

func tramVectors(t testing.TB) []tramVector {
	data, err := os.ReadFile("../../e2e/testdata/golden/eventuate/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []tramVector }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	return file.Vectors
}

// Rows that the real producer wrote become the records that the real CDC
// service made of them, byte for byte. The CDC adds an id that the database
// made in the order of a Java HashMap: there the content counts.
func TestEventuateVectors(t *testing.T) {
	byContent, sameBytes := 0, 0
	for i, v := range tramVectors(t) {
		e, id := Eventuate{}, v.Row.ID
		if v.Source == "postgres-dbid" {
			e, id = Eventuate{DatabaseIDs: true, OutboxID: 7}, fmt.Sprint(v.Row.DBID)
		}
		// The polling reader has set published to 1 before the rows were recorded.
		out := tramTable(t, e, []string{id, v.Row.Destination, v.Row.Headers, v.Row.Payload, "0"})
		if len(out.List) != 1 {
			t.Errorf("%d: %+v", i, out)
			continue
		}
		got := out.List[0]
		if got.Topic != "p."+v.Record.Topic || got.Key == nil || string(got.Key) != v.Record.Key || len(got.Headers) != len(v.Record.RecordHeaders) ||
			got.Partition != outbox.ByKey || !got.Time.IsZero() {
			t.Errorf("%d: topic %s, key %q, headers %v", i, got.Topic, got.Key, got.Headers)
		}
		same := string(got.Value) == v.Record.Value
		if e.DatabaseIDs {
			byContent++
			if same {
				sameBytes++
			}
			same = reflect.DeepEqual(decoded(t, got.Value), decoded(t, []byte(v.Record.Value)))
		}
		if !same {
			t.Errorf("%d: value\n got  %s\n want %s", i, got.Value, v.Record.Value)
		}
	}
	if byContent != 19 || sameBytes != 11 {
		t.Errorf("%d records with ids of the database, %d of them byte for byte; want 19 and 11", byContent, sameBytes)
	}
}

func decoded(t testing.TB, value []byte) (v struct {
	Payload *string
	Headers map[string]any
}) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", value, err)
	}
	return v
}

func TestEventuateRows(t *testing.T) {
	const id = `"ID":"1-1"`
	for _, c := range []struct {
		name       string
		e          Eventuate
		row        []string
		key, value string
	}{
		{"no partition id", Eventuate{}, []string{"1-1", "d", `{` + id + `}`, `{}`, "0"}, "1-1", `{"payload":"{}","headers":{"ID":"1-1"}}`},
		{"partition id null", Eventuate{}, []string{"1-1", "d", `{"PARTITION_ID":null,` + id + `}`, "", "0"}, "1-1", `{"payload":"","headers":{"PARTITION_ID":null,"ID":"1-1"}}`},
		{"partition id empty", Eventuate{}, []string{"1-1", "d", `{"PARTITION_ID":"",` + id + `}`, "", "0"}, "", `{"payload":"","headers":{"PARTITION_ID":"","ID":"1-1"}}`},
		{"partition id a number", Eventuate{}, []string{"1-1", "d", `{"PARTITION_ID":1.50,` + id + `}`, "", "0"}, "1.50", `{"payload":"","headers":{"PARTITION_ID":1.50,"ID":"1-1"}}`},
		{"last of two", Eventuate{}, []string{"1-1", "d", `{"PARTITION_ID":"a",` + id + `,"PARTITION_ID":"b"}`, "", "0"}, "b", `{"payload":"","headers":{"PARTITION_ID":"a","ID":"1-1","PARTITION_ID":"b"}}`},
		{"escapes", Eventuate{}, []string{"1-1", "d", `{"\u0050ARTITION_ID":"a\u00e9\ud83d\uDE80\ud800\/\"\\\b\f\n\r\t",` + id + `}`, "", "0"},
			"aé🚀?/\"\\\b\f\n\r\t", `{"payload":"","headers":{"\u0050ARTITION_ID":"a\u00e9\ud83d\uDE80\ud800\/\"\\\b\f\n\r\t","ID":"1-1"}}`},
		{"text of a JSON column", Eventuate{}, []string{"1-1", "d", `{"ID": "1-1", "PARTITION_ID": "7"}`, `{"a": 1}`, "0"}, "7", `{"payload":"{\"a\": 1}","headers":{"ID": "1-1", "PARTITION_ID": "7"}}`},
		{"scalars and spaces", Eventuate{}, []string{"1-1", "d", " {\t" + id + `, "n" : -1.5e+3 ,"b":true,"c":false,"z":null } `, "x", "0"}, "1-1",
			"{\"payload\":\"x\",\"headers\": {\t" + id + `, "n" : -1.5e+3 ,"b":true,"c":false,"z":null } }`},
		{"payload null", Eventuate{}, []string{"1-1", "d", `{` + id + `}`, "NULL", "0"}, "1-1", `{"payload":null,"headers":{"ID":"1-1"}}`},
		{"published null", Eventuate{}, []string{"1-1", "d", `{` + id + `}`, "x", "NULL"}, "1-1", `{"payload":"x","headers":{"ID":"1-1"}}`},
		{"published false", Eventuate{}, []string{"1-1", "d", `{` + id + `}`, "x", "f"}, "1-1", `{"payload":"x","headers":{"ID":"1-1"}}`},
		{"database id", Eventuate{DatabaseIDs: true, OutboxID: 0x1_0003}, []string{"255", "d", `{"a": "b" } `, "x", "0"}, "00000000000000ff-0000000000010003",
			`{"payload":"x","headers":{"a": "b" ,"ID":"00000000000000ff-0000000000010003"} }`},
		{"database id alone", Eventuate{DatabaseIDs: true}, []string{"1", "d", `{}`, "x", "0"}, "0000000000000001-0000000000000000",
			`{"payload":"x","headers":{"ID":"0000000000000001-0000000000000000"}}`},
		{"own id beside", Eventuate{DatabaseIDs: true, OutboxID: 7}, []string{"NULL", "d", `{` + id + `}`, "x", "0"}, "1-1", `{"payload":"x","headers":{"ID":"1-1"}}`},
		{"event", Eventuate{}, []string{"1-1", "d", `{"event-type":"t","event-aggregate-type":"a","event-aggregate-id":"",` + id + `}`, ` [1] `, "0"}, "1-1",
			`{"payload":" [1] ","headers":{"event-type":"t","event-aggregate-type":"a","event-aggregate-id":"","ID":"1-1"}}`},
		{"null beside no command", Eventuate{}, []string{"1-1", "d", `{"command_x":null,` + id + `}`, "x", "0"}, "1-1", `{"payload":"x","headers":{"command_x":null,"ID":"1-1"}}`},
	} {
		out := tramTable(t, c.e, c.row)
		if len(out.List) != 1 {
			t.Errorf("%s: %+v", c.name, out)
			continue
		}
		got := out.List[0]
		if got.Topic != "p.d" || string(got.Key) != c.key || got.Key == nil || string(got.Value) != c.value {
			t.Errorf("%s: topic %s, key %q, value\n got  %s\n want %s", c.name, got.Topic, got.Key, got.Value, c.value)
		}
		decoded(t, got.Value)
	}
}

// Rows that are published already are nobody's business, whatever they hold.
func TestEventuatePublishedRows(t *testing.T) {
	out := tramTable(t, Eventuate{},
		[]string{"", "CDC-IGNORED", `{}`, `{}`, "1"},
		[]string{"1-1", "d", strings.Repeat("x", 2<<20), "", "1"},
		[]string{"1-1", "NULL", "NULL", "NULL", "t"},
		[]string{"1-2", "d", `{"ID":"1-2"}`, "x", "0"})
	if len(out.List) != 1 || out.List[0].Row != 3 || len(out.Poison) != 0 {
		t.Errorf("%d messages, poison %v", len(out.List), out.Poison)
	}
}

func TestEventuatePoison(t *testing.T) {
	const event = `"event-type":"t","event-aggregate-type":"a","event-aggregate-id":"1","ID":"1-1"`
	const command = `"command_type":"t","ID":"1-1"`
	database := Eventuate{DatabaseIDs: true, OutboxID: 7}
	for _, c := range []struct {
		e       Eventuate
		headers string
		payload string
		want    string
	}{
		{Eventuate{}, "NULL", "x", "its headers are no JSON object"},
		{Eventuate{}, "", "x", "its headers are no JSON object"},
		{Eventuate{}, "null", "x", "its headers are no JSON object"},
		{Eventuate{}, `"{}"`, "x", "its headers are no JSON object"},
		{Eventuate{}, `["ID"]`, "x", "its headers are no JSON object"},
		{Eventuate{}, `{"ID":"1-1"} {}`, "x", "its headers are no JSON from byte 13 on"},
		{Eventuate{}, `{"ID":"1-1"`, "x", "its headers are no JSON from byte 11 on"},
		{Eventuate{}, `{"ID":"1-1",}`, "x", "its headers are no JSON from byte 12 on"},
		{Eventuate{}, `{"ID" "1-1"}`, "x", "its headers are no JSON from byte 6 on"},
		{Eventuate{}, `{"ID":"1-1","a":01}`, "x", "its headers are no JSON from byte 16 on"},
		{Eventuate{}, "{\"ID\":\"1-1\n\"}", "x", "its headers are no JSON from byte 6 on"},
		{Eventuate{}, `{"ID":"1\x31"}`, "x", "its headers are no JSON from byte 6 on"},
		{Eventuate{}, `{"ID":"1-1","a":{}}`, "x", `its header "a" is no text but an object or array`},
		{Eventuate{}, `{"ID":["1-1"]}`, "x", `its header "ID" is no text but an object or array`},
		{Eventuate{}, "{\"ID\":\"\xff\"}", "x", "its headers or its payload are not in UTF-8"},
		{Eventuate{}, `{"ID":"1-1"}`, "\xc3(", "its headers or its payload are not in UTF-8"},
		{Eventuate{}, `{}`, "x", "its header ID is missing, on which a consumer stops for good; for ids that the database makes there is --outbox-id"},
		{Eventuate{}, `{"id":"1-1"}`, "x", "its header ID is missing, on which a consumer stops for good; for ids that the database makes there is --outbox-id"},
		{Eventuate{}, `{"ID":null}`, "x", "its header ID has no value, on which a consumer stops for good"},
		{database, `{"ID":null}`, "x", "its header ID has no value, on which a consumer stops for good"},
		{Eventuate{}, `{"ID":""}`, "x", "its header ID is empty: consumers would skip all such messages but the first as duplicates"},
		{Eventuate{}, `{"ID":"` + strings.Repeat("é", 256) + `"}`, "x", "its header ID has 256 characters, and received_messages takes 255"},
		{Eventuate{}, `{"ID":"a\u0000"}`, "x", "its header ID holds U+0000, which received_messages does not take"},
		{Eventuate{}, `{"event-type":"t","ID":"1-1"}`, "{}", "its header event-aggregate-type has no value, on which a consumer stops for good"},
		{Eventuate{}, `{"event-aggregate-type":"t","ID":"1-1"}`, "{}", "its header event-type has no value, on which a consumer stops for good"},
		{Eventuate{}, `{"event-type":"t","event-aggregate-type":"t","ID":"1-1"}`, "{}", "its header event-aggregate-id has no value, on which a consumer stops for good"},
		{Eventuate{}, `{"event-aggregate-id":"1","ID":"1-1"}`, "{}", "its header event-type has no value, on which a consumer stops for good"},
		{Eventuate{}, `{` + event + `,"event-type":null}`, "{}", "its header event-type has no value, on which a consumer stops for good"},
		{Eventuate{}, `{` + event + `}`, "plain text", "its payload is no JSON, on which a consumer stops for good"},
		{Eventuate{}, `{` + event + `}`, "", "its payload is no JSON, on which a consumer stops for good"},
		{Eventuate{}, `{` + event + `}`, "NULL", "its payload is no JSON, on which a consumer stops for good"},
		{Eventuate{}, `{` + event + `}`, `{"a":1`, "its payload is no JSON, on which a consumer stops for good"},
		{Eventuate{}, `{` + command + `}`, "plain text", "its payload is no JSON, on which a consumer stops for good"},
		{Eventuate{}, `{"command_reply_to":"r","ID":"1-1"}`, "{}", "its header command_type has no value, on which a consumer stops for good"},
		{Eventuate{}, `{` + command + `,"command_saga_id":null}`, "{}", "its header command_saga_id has no value, on which a consumer stops for good"},
		{Eventuate{}, `{"ID":"1-1"}`, strings.Repeat("x", 1<<20), "its 1048592 bytes exceed --max-row-bytes 1048576"},
	} {
		out := tramTable(t, c.e, []string{"11", "d", c.headers, c.payload, "0"})
		if len(out.List) != 0 || len(out.Poison) != 1 || out.Poison[0].ID != "11" {
			t.Errorf("%.100s, %.100s: %d messages, poison %v", c.headers, c.payload, len(out.List), out.Poison)
			continue
		}
		if got := out.Poison[0].Reason; got != c.want {
			t.Errorf("%.100s, %.100s:\n got  %s\n want %s", c.headers, c.payload, got, c.want)
		}
	}
	out := tramTable(t, database, []string{"NULL", "d", `{}`, "x", "0"}, []string{"1", "NULL", `{}`, "x", "0"})
	got := fmt.Sprint(out.Poison[0].Reason, "; ", out.Poison[1].Reason)
	if want := `column dbid is no whole number: ""; column destination is NULL, so there is no topic to send it to`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A row is poison if and only if the real library's consumers stop on it, as they said themselves
// (e2e/eventuate, Judge).
func TestEventuateAsItsConsumers(t *testing.T) {
	data, err := os.ReadFile("testdata/tram.json")
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		Headers string
		Payload *string
		Stops   bool
	}
	if err := json.Unmarshal(data, &rows); err != nil || len(rows) < 100 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, r := range rows {
		payload := "NULL"
		if r.Payload != nil {
			payload = *r.Payload
		}
		out := tramTable(t, Eventuate{}, []string{"1-1", "d", r.Headers, payload, "0"})
		if poison := len(out.Poison) == 1; poison != r.Stops || len(out.List)+len(out.Poison) != 1 {
			t.Errorf("%s, %s: poison %v, stops a consumer %t", r.Headers, payload, out.Poison, r.Stops)
		}
	}
}

func TestEventuateColumns(t *testing.T) {
	m, err := New(Config{Source: connect.MySQL, Tables: []Table{{Name: "a.message", Eventuate: &Eventuate{}}, {Name: "a.message1", Eventuate: &Eventuate{DatabaseIDs: true}}}})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(m.Columns(0), m.Columns(1), m.Optional(0))
	if want := "[id destination headers payload published] [dbid destination headers payload published] [false false false false true]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	s := &outbox.Shape{Columns: make([]outbox.Column, 5)}
	s.Columns[tramPayload] = outbox.Column{Name: "payload", Type: "longblob"}
	want := `tables: a.message: preset: column "payload" is of type longblob; eventuate has texts there, or JSON`
	if err := m.Check(s); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// tramWorld is a batch like a busy service's: 1,000 domain events.
func tramWorld(t testing.TB, e Eventuate) (*Mapper, *outbox.Batch, *outbox.Messages) {
	m, err := New(Config{Tables: []Table{{Name: "eventuate.message", Eventuate: &e}}})
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for i := range 1000 {
		id := fmt.Sprintf("000001a2045663%02x-02fc0000%08x", i%256, i)
		headers := fmt.Sprintf(`{"PARTITION_ID":"%d","event-aggregate-type":"shop.Order","DATE":"Sun, 22 Nov 2026 17:38:20 GMT",`+
			`"event-aggregate-id":"%d","event-type":"shop.events.OrderCreated","DESTINATION":"shop.Order","ID":"%s"}`, i%100, i%100, id)
		if e.DatabaseIDs {
			headers = headers[:strings.LastIndex(headers, `,"ID"`)] + "}"
			id = fmt.Sprint(i)
		}
		rows = append(rows, []string{id, "shop.Order", headers, `{"customer":"c-1","total":1001,"lines":[{"sku":"a","n":2},{"sku":"b \"x\"","n":1}]}`, "0"})
	}
	return m, tramBatch(t, m, "text", rows...), &outbox.Messages{}
}

func TestEventuateAllocatesNothing(t *testing.T) {
	for _, e := range []Eventuate{{}, {DatabaseIDs: true, OutboxID: 7}} {
		m, b, out := tramWorld(t, e)
		run := func() { out.Reset(); m.Map(b, out) }
		run()
		if len(out.List) != 1000 {
			t.Fatalf("%d messages, poison %v", len(out.List), out.Poison[0])
		}
		if n := testing.AllocsPerRun(20, run); n != 0 {
			t.Errorf("%.0f allocations for 1,000 rows, want 0", n)
		}
	}
}

func BenchmarkMapEventuate(b *testing.B) {
	m, rows, out := tramWorld(b, Eventuate{})
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		m.Map(rows, out)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows.Rows)), "ns/row")
}

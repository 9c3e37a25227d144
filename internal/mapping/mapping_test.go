package mapping

import (
	"fmt"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/mapping/connect"
	"github.com/tailer-io/tailer/internal/outbox"
)

func shape(payload string) *outbox.Shape {
	return &outbox.Shape{Columns: []outbox.Column{
		{Name: "id", Type: "uuid"}, {Name: "aggregatetype", Type: "varchar"}, {Name: "aggregateid", Type: "varchar"}, {Name: "payload", Type: payload},
	}}
}

// batch holds one row for each list of four cells; "NULL" is SQL NULL.
func batch(s *outbox.Shape, rows ...[4]string) *outbox.Batch {
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

func mapper(t *testing.T, cfg Config) *Mapper {
	t.Helper()
	cfg.Source, cfg.Tables = connect.Postgres, []Table{{Name: "public.outbox"}}
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestDefaultMapping(t *testing.T) {
	var out outbox.Messages
	mapper(t, Config{TopicPrefix: "shadow."}).Map(batch(shape("jsonb"),
		[4]string{"id-1", "order", "4711", `{"a": 1}`},
		[4]string{"id-2", "customer", "é😀", ""},
		[4]string{"id-3", "order", "", "NULL"},
		[4]string{"NULL", "order", "NULL", "x"},
	), &out)
	want := []string{
		`shadow.outbox.event.order "4711" "{\"a\": 1}" [id="id-1"] 0`,
		`shadow.outbox.event.customer "é😀" "" [id="id-2"] 1`,
		`shadow.outbox.event.order "" null [id="id-3"] 2`,
		`shadow.outbox.event.order null "x" [id=null] 3`,
	}
	if len(out.Poison) != 0 || len(out.List) != len(want) {
		t.Fatalf("%d messages, poison %v", len(out.List), out.Poison)
	}
	for i, m := range out.List {
		if m.Partition != outbox.ByKey || !m.Time.IsZero() {
			t.Errorf("message %d: partition %d, time %s", i, m.Partition, m.Time)
		}
		got := fmt.Sprintf("%s %s %s [%s=%s] %d", m.Topic, show(m.Key), show(m.Value), m.Headers[0].Key, show(m.Headers[0].Value), m.Row)
		if got != want[i] {
			t.Errorf("message %d:\n %s, want\n %s", i, got, want[i])
		}
	}
}

func show(b []byte) string {
	if b == nil {
		return "null"
	}
	return fmt.Sprintf("%q", b)
}

func TestByteaIsItsBytes(t *testing.T) {
	m := mapper(t, Config{})
	for in, want := range map[string]string{`\x`: `""`, `\x00ff807f0a`: `"\x00\xff\x80\x7f\n"`, "NULL": "null"} {
		var out outbox.Messages
		m.Map(batch(shape("bytea"), [4]string{"1", "order", "k", in}), &out)
		if len(out.List) != 1 || show(out.List[0].Value) != want {
			t.Errorf("%s: %+v, want %s", in, out, want)
		}
	}
	for _, in := range []string{`\x0`, `\xzz`, "escape"} {
		var out outbox.Messages
		m.Map(batch(shape("bytea"), [4]string{"1", "order", "k", in}), &out)
		if len(out.List) != 0 || len(out.Poison) != 1 {
			t.Errorf("%s: %+v, want poison", in, out)
		}
	}
}

// The type of a column may change while tailer runs.
func TestShapeChanges(t *testing.T) {
	m := mapper(t, Config{})
	for _, typ := range []string{"bytea", "text", "bytea"} {
		var out outbox.Messages
		m.Map(batch(shape(typ), [4]string{"1", "order", "k", `\x41`}), &out)
		want := map[string]string{"bytea": `"A"`, "text": `"\\x41"`}[typ]
		if show(out.List[0].Value) != want {
			t.Errorf("%s: %s, want %s", typ, show(out.List[0].Value), want)
		}
	}
}

func TestPoison(t *testing.T) {
	var out outbox.Messages
	mapper(t, Config{MaxRowBytes: 20}).Map(batch(shape("text"),
		[4]string{"1", "NULL", "k", "v"},
		[4]string{"2", "order", "k", "v"},
		[4]string{"3", "order", "k", "a value of many bytes"},
	), &out)
	if len(out.List) != 1 || out.List[0].Row != 1 || len(out.Poison) != 2 {
		t.Fatalf("%+v", out)
	}
	for i, want := range []string{
		`row with id "1" of table public.outbox at 0/3 cannot be published: column aggregatetype is NULL, so there is no topic to send it to`,
		`row with id "3" of table public.outbox at 0/3 cannot be published: its 28 bytes exceed --max-row-bytes 20`,
	} {
		if got := out.Poison[i].Error(); got != want {
			t.Errorf("got\n %s, want\n %s", got, want)
		}
	}
}

func warm(t testing.TB) (*Mapper, *outbox.Batch, *outbox.Messages) {
	m, err := New(Config{Tables: []Table{{Name: "public.outbox"}}})
	if err != nil {
		t.Fatal(err)
	}
	s := shape("jsonb")
	b := &outbox.Batch{}
	b.Begin([]byte("7@0/2"), time.Unix(1, 0), 0)
	for i := range 1000 {
		b.Add(s)
		for c, v := range []string{"da8d6de6-3b77-45ff-8f44-000000000003", "order", fmt.Sprint(i % 100), `{"a": 1, "b": "some text that is longer"}`} {
			b.SetCell(c, []byte(v))
		}
	}
	return m, b, &outbox.Messages{}
}

func TestMapAllocatesNothing(t *testing.T) {
	m, b, out := warm(t)
	run := func() { out.Reset(); m.Map(b, out) }
	run()
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%.0f allocations for 1,000 rows, want 0", n)
	}
}

func BenchmarkMap(b *testing.B) {
	m, rows, out := warm(b)
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		m.Map(rows, out)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows.Rows)), "ns/row")
}

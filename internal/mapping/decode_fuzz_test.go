package mapping

import (
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// A trace context is whole or left out.
func FuzzTrace(f *testing.F) {
	f.Add([]byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
	f.Add([]byte("traceparent=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\ntracestate: a=b\nbaggage=x"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var out [3]outbox.Header
		if h := traceHeaders(text, &out); len(h) > 0 && (string(h[0].Key) != "traceparent" || !isTraceparent(h[0].Value)) {
			t.Errorf("%q became %q", text, h)
		}
	})
}

// Any pattern of Java's is refused or compiles, and replaces in any text.
func FuzzRegex(f *testing.F) {
	f.Add(`(?<n>[a-z]+)-(\d*)`, `x-${n}.$2`, "order-17")
	f.Add(`(a*)*b\Q.\E`, `$1\$`, "aaab.")
	f.Add(`[^\p{Alpha}&&[a]]`, `$0`, "é")
	f.Fuzz(func(t *testing.T, pattern, replacement, value string) {
		if len(pattern) > 200 || len(value) > 2000 {
			return
		}
		if r, err := newRegex(pattern, replacement); err == nil {
			r.replace(value)
		}
	})
}

// A mapper of any templates is refused or maps any cells, each row to one
// message or one poison.
func FuzzMap(f *testing.F) {
	f.Add("orders.{region}", "{region}-{id}", "h", []byte("eu"), []byte("7"), []byte(`{"a":1}`), byte(0))
	f.Add("", "", "", []byte{}, []byte("\xff"), []byte(" "), byte(3))
	f.Add("{{x}}", "{payload}", "-", []byte("a b"), []byte("k"), []byte(`[{"x":[]}]`), byte(1))
	f.Add("", "", "", []byte("a.b"), []byte(`{"ID":"1"}`), []byte(`{}`), byte(4))
	f.Add("", "", "", []byte("order.placed"), []byte("1"), []byte(`{}`), byte(8))
	f.Fuzz(func(t *testing.T, topic, key, header string, region, id, payload []byte, form byte) {
		table := Table{Name: "public.outbox", Topic: Topic{Template: topic}, Key: key, Tombstone: form&1 != 0, Expand: form&2 != 0}
		if header != "" {
			table.Headers = []Header{{Name: header, Column: "region"}}
		}
		switch {
		case form&4 != 0:
			table = Table{Name: "eventuate.message", Eventuate: &Eventuate{}}
		case form&8 != 0:
			table.CloudEvents = &CloudEvents{}
		}
		m, err := New(Config{MaxRowBytes: 1 << 20, Tables: []Table{table}})
		if err != nil {
			return
		}
		shape := &outbox.Shape{}
		for _, name := range m.Columns(0) {
			shape.Columns = append(shape.Columns, outbox.Column{Name: name, Type: "text", Precision: -1, Scale: -1})
		}
		if m.Check(shape) != nil {
			return
		}
		var b outbox.Batch
		b.Begin([]byte("t"), time.Unix(1, 0), 0)
		for _, cells := range [][3][]byte{{region, id, payload}, {id, payload, region}, {nil, id, nil}} {
			b.Add(shape)
			for i, c := range shape.Columns {
				v := cells[2]
				switch c.Name {
				case "region", "aggregatetype", "destination", "type":
					v = cells[0]
				case "id", "aggregateid", "headers":
					v = cells[1]
				}
				if v != nil {
					b.SetCell(i, v)
				}
			}
		}
		b.End([]byte("0/1"))
		var out outbox.Messages
		m.Map(&b, &out)
		if n := len(out.List) + len(out.Poison); n > 3 || n < 3 && table.Eventuate == nil { // which leaves out published rows
			t.Errorf("3 rows became %d messages and %d poison", len(out.List), len(out.Poison))
		}
	})
}

package publish

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tailer-io/tailer/internal/mapping"
	"github.com/tailer-io/tailer/internal/outbox"
)

// oneRow is a batch of one row.
func oneRow(cells ...[]byte) *outbox.Batch {
	s := &outbox.Shape{}
	for _, name := range []string{"id", "aggregatetype", "aggregateid", "payload"} {
		s.Columns = append(s.Columns, outbox.Column{Name: name, Type: "text", Precision: -1, Scale: -1})
	}
	b := &outbox.Batch{}
	b.Begin([]byte("7@0/2"), time.Unix(1, 0), 0)
	b.Add(s)
	for i, v := range cells {
		b.SetCell(i, v)
	}
	b.End([]byte("0/3"))
	return b
}

func plainMapper(t *testing.T, maxRow int) *mapping.Mapper {
	t.Helper()
	m, err := mapping.New(mapping.Config{MaxRowBytes: maxRow, Tables: []mapping.Table{{Name: "outbox"}}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// assembled maps a row and puts it into a record batch. p is a partition of a
// topic that takes whatever comes.
func assembled(t *testing.T, m *mapping.Mapper, a *assembler, p *part, b *outbox.Batch) *batch {
	t.Helper()
	var out outbox.Messages
	m.Map(b, &out)
	if len(out.List) != 1 {
		t.Fatalf("the row became %d messages, poison %v", len(out.List), out.Poison)
	}
	if !a.add(p, &out.List[0], 1) {
		t.Fatal("no room in an empty shipment")
	}
	made := p.open
	a.seal(made, producer{id: 7, epoch: 3}, true)
	return made
}

// Rows of 0 bytes to 100 MB with keys of 0 bytes to 1 MB: byte for byte what
// the database gave, in a batch whose size is known exactly, and not copied
// once more.
func TestRowsOfAnySize(t *testing.T) {
	const mega = 1 << 20
	keys := []int{0, 1, 127, 128, 16383, 16384, mega}
	values := []int{0, 1, 63, 64, 8191, 8192, mega - 1, mega, 16 * mega}
	m := plainMapper(t, 0)
	top := testTopic("outbox.event.order", 1)
	top.limits.maxBytes = 1 << 30
	var a assembler
	check := func(key, value int) {
		k, v := bytes.Repeat([]byte("k"), key), bytes.Repeat([]byte("v"), value)
		b := oneRow([]byte("1"), []byte("order"), k, v)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		made := assembled(t, m, &a, top.parts[0], b)
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 256<<10 {
			t.Errorf("key %d, value %d: %d bytes more were allocated", key, value, grown)
		}
		r := made.wire.Records[0]
		if !bytes.Equal(r.Key, k) || !bytes.Equal(r.Value, v) || r.Key == nil || r.Value == nil {
			t.Errorf("key %d, value %d: came out as %d and %d", key, value, len(r.Key), len(r.Value))
		}
		msg := &outbox.Message{Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			msg.Headers = append(msg.Headers, outbox.Header{Key: h.Key, Value: h.Value})
		}
		if value <= mega {
			if want := batchOverhead + encodedSize(msg, 0, 0); made.size != want {
				t.Errorf("key %d, value %d: a batch of %d bytes, want %d", key, value, made.size, want)
			}
		} else if over := made.size - key - value; over < batchOverhead || over > batchOverhead+40 {
			t.Errorf("key %d, value %d: a batch of %d bytes", key, value, made.size)
		}
		for a.busy > 0 {
			a.release(a.shipments[0])
		}
	}
	for _, key := range keys {
		for _, value := range values {
			check(key, value)
		}
	}
	check(mega, 100*mega)
}

// A row above --max-row-bytes is poison that names its size, not its bytes.
func TestRowBeyondLimit(t *testing.T) {
	const limit = 1 << 20
	m := plainMapper(t, limit)
	for _, n := range []int{limit - 10, limit + 1, 100 << 20} {
		var out outbox.Messages
		m.Map(oneRow([]byte("1"), []byte("order"), []byte("k"), make([]byte, n)), &out)
		if poison := len(out.Poison) == 1; poison != (n > limit) {
			t.Fatalf("a payload of %d bytes: %d messages, poison %v", n, len(out.List), out.Poison)
		}
		if len(out.Poison) == 1 && len(out.Poison[0].Reason) > 300 {
			t.Errorf("a reason of %d bytes", len(out.Poison[0].Reason))
		}
	}
}

// Every code point there is, plane by plane, and NUL: as key, payload and id it
// comes out as it went in; as a topic it is poison or a legal name.
func TestEveryUnicodePlane(t *testing.T) {
	m := plainMapper(t, 0)
	top := testTopic("outbox.event.order", 1)
	top.limits.maxBytes = 1 << 30
	var a assembler
	for plane := range rune(17) {
		for part := range rune(16) {
			var text []byte
			first := plane<<16 | part<<12
			for c := first; c < first+1<<12; c++ {
				if utf8.ValidRune(c) {
					text = utf8.AppendRune(text, c)
				}
			}
			if len(text) == 0 {
				continue // surrogates
			}
			r := assembled(t, m, &a, top.parts[0], oneRow(text, []byte("order"), text, text)).wire.Records[0]
			if !bytes.Equal(r.Key, text) || !bytes.Equal(r.Value, text) || !bytes.Equal(r.Headers[0].Value, text) {
				t.Errorf("from U+%04X on something else came out", first)
			}
			for a.busy > 0 {
				a.release(a.shipments[0])
			}
			one, _ := utf8.DecodeRune(text)
			var out outbox.Messages
			m.Map(oneRow([]byte("1"), []byte(string(one)), []byte("k"), []byte("v")), &out)
			for i := range out.List {
				if reason, ok := legalTopic(out.List[i].Topic); !ok && reason == "" {
					t.Errorf("topic %q is refused without a reason", out.List[i].Topic)
				} else if ok && one > 127 {
					t.Errorf("topic %q is taken", out.List[i].Topic)
				}
			}
			if len(out.List)+len(out.Poison) != 1 {
				t.Error(fmt.Sprintf("U+%04X as a topic: ", one), len(out.List), " messages")
			}
		}
	}
}

package mysql

import (
	"testing"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Whatever bytes come, decoders return an error and neither panic nor read
// behind the end.

func FuzzJSON(f *testing.F) {
	f.Add([]byte{jsonSmallObject, 1, 0, 12, 0, 11, 0, 1, 0, jsonInt16, 5, 0, 'a'})
	f.Add([]byte{jsonLargeArray, 1, 0, 0, 0, 13, 0, 0, 0, jsonDouble, 13, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte{jsonOpaque, typeNewDecimal, 4, 3, 2, 0x80, 0})
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = appendJSON(nil, b) })
}

func FuzzTableMap(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 0, 0, 1, 0, 1, 'd', 0, 1, 't', 0, 2, typeLong, typeVarchar, 2, 100, 0, 3, 1, 1, 0x80, 4, 4, 1, 'a', 1, 'b'},
		[]byte{0, 1, 0, 0, 0, 2, 'x', 'y'})
	f.Fuzz(func(t *testing.T, body, row []byte) {
		if len(body) < 6 {
			return
		}
		table := Table{Schema: "d", Name: "t", Columns: []string{"a", "b"}, Optional: []bool{true, true}}
		m, err := describe(table, 0, &tableFacts{}, body, nil, false, true)
		if err != nil {
			return
		}
		present := make([]byte, (len(m.columns)+7)/8)
		for i := range present {
			present[i] = 0xff
		}
		var b outbox.Batch
		var scratch []byte
		b.Begin(nil, microTime(0), 0)
		n, err := m.addRow(&b, present, row, &scratch)
		size, serr := m.rowSize(present, row)
		if err == nil && (serr != nil || n != size) {
			t.Fatalf("a row of %d bytes measures %d, %v", n, size, serr)
		}
	})
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 1, 0, 0, 0, 0, 0, 0, 0, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _, _ = scanGTID(b)
		_, _, _ = scanMariaDBGTID(b, 1)
		_, _, _ = scanQuery(b)
		_, _ = scanXAPrepare(b)
		_, _, _, _ = scanTableName(b)
		_, _ = scanRows(b, 1)
		_, _ = scanRows(b, 2)
		_, _ = scanRotate(b)
		if len(b) > 0 && b[0]&7 < 2 { // no more than 255 bytes are asked for
			_, _ = inflate(b, 1<<20)
		}
		p := payload{}
		_ = p.each(b, func(header, []byte) error { return nil })
		p.close()
	})
}

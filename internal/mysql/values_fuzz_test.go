package mysql

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// Any value of any type has a size, and a text when it is whole.
func FuzzValue(f *testing.F) {
	for typ, value := range map[byte][]byte{
		typeTiny: {0x80}, typeLongLong: {1, 2, 3, 4, 5, 6, 7, 0x88}, typeNewDecimal: {0x80, 0, 0, 1, 2}, typeDate: {0x21, 0xd4, 0x0f}, typeTime2: {0x7f, 0xff, 0xfe, 0x10, 0, 1},
		typeDatetime2: {0x99, 0xb6, 0xc4, 0x31, 0x45, 0, 1, 2}, typeBit: {1, 2}, typeEnum: {3}, typeSet: {5}, typeVarchar: {2, 'x', 'y'}, typeYear: {0x7e}, typeDouble: {1, 2, 3, 4, 5, 6, 0xf0, 0x7f},
	} {
		f.Add(typ, uint16(6), value, uint8(0), true)
		f.Add(typ, uint16(0x0a02), value, uint8(9), false)
	}
	f.Fuzz(func(t *testing.T, typ byte, meta uint16, value []byte, width uint8, flag bool) {
		switch typ {
		case typeTime2, typeDatetime2, typeTimestamp2:
			if meta > 6 {
				return // refused by scanColumns
			}
		}
		c := column{typ: typ, meta: meta, unsigned: flag, pad: int(width), zerofill: int(width), scale: int(width%32) - 1, uuid: flag, members: [][]byte{[]byte("a"), nil}}
		n, err := c.valueSize(value)
		if err != nil || n > len(value) {
			return
		}
		if n < 0 {
			t.Fatalf("type %d, meta %#x: %d bytes", typ, meta, n)
		}
		if _, err := c.appendText(nil, value[:n]); err != nil && errors.Is(err, errShort) && typ != typeJSON {
			t.Fatalf("type %d, meta %#x: a value of its own size is too short", typ, meta)
		}
	})
}

// A table map's columns: an error, or as many as there are types.
func FuzzColumns(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 0, 0, 1, 0, 1, 'd', 0, 1, 't', 0, 2, typeLong, typeString, 2, 0xfe, 10, 3, 1, 1, 0x80, 4, 4, 1, 'a', 1, 'b'}, true)
	f.Add([]byte{1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, typeString, 2, typeEnum, 1, 0, 6, 4, 2, 1, 'x', 1}, false)
	f.Fuzz(func(_ *testing.T, b []byte, mariadb bool) { _, _, _ = scanColumns(b, mariadb) })
}

// Positions, GTIDs and lineages as a checkpoint holds them: what is read is
// written as something that reads the same.
func FuzzPosition(f *testing.F) {
	for _, s := range []string{
		"3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7,tag:3", "0-1-5,2-3-18446744073709551615", "binlog.000001:4",
		"3e11fa47-71ca-11e1-9e33-c80aa9429562:tag:2", "0-1-5", "s;last=0-1-5;at=3;before=0-2-4", "s;created=99", ":", "-", ";=",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, m := range []mode{byGTID, byDomain, byFile} {
			if p, err := parsePlace(m, text); err == nil {
				again, err := parsePlace(m, p.String())
				if err != nil || again.String() != p.String() {
					t.Errorf("place %q is written %q, then %v", text, p.String(), err)
				}
				if p.behind(&again) != 0 {
					t.Errorf("place %q is behind itself", text)
				}
			}
			if n, err := parseTxnName(m, text); err == nil {
				again, err := parseTxnName(m, n.text(m))
				if err != nil || again.text(m) != n.text(m) {
					t.Errorf("transaction %q is written %q, then %v", text, n.text(m), err)
				}
			}
		}
		if l, err := parseLineage(text); err == nil {
			if again, err := parseLineage(l.String()); err != nil || again.String() != l.String() {
				t.Errorf("lineage %q is written %q, then %v", text, l.String(), err)
			}
		}
	})
}

// A compressed transaction of any events, and one that is damaged.
func FuzzPayload(f *testing.F) {
	event := make([]byte, headerSize)
	event[4] = 2
	binary.LittleEndian.PutUint32(event[9:], headerSize+3)
	f.Add(append(event, 1, 2, 3), uint16(0), byte(0))
	f.Add(event, uint16(9), byte(0x40))
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		f.Fatal(err)
	}
	var p payload
	f.Fuzz(func(t *testing.T, events []byte, at uint16, flip byte) {
		body := enc.EncodeAll(events, nil)
		b := append([]byte{payloadCompression, 1, compressionZstd, payloadEnd}, body...)
		b[int(at)%len(b)] ^= flip
		total := 0
		err := p.each(b, func(h header, body []byte) error {
			if int(h.size) != headerSize+len(body) {
				t.Errorf("an event of %d bytes has a body of %d", h.size, len(body))
			}
			total += int(h.size)
			return nil
		})
		if flip == 0 && err == nil && total != len(events) {
			t.Errorf("%d bytes of %d came out", total, len(events))
		}
	})
}

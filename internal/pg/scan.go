package pg

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// The messages of pgoutput, protocol version 1, text format; see
// https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html.
// All are scanned in place, and none of their bytes is trusted.

var errShort = errors.New("message is too short")

// beginMsg opens a transaction.
type beginMsg struct {
	final  lsn // where its commit record begins
	commit int64
	xid    uint32
}

func scanBegin(b []byte) (m beginMsg, err error) {
	if len(b) != 1+8+8+4 {
		return m, errShort
	}
	m.final = lsn(binary.BigEndian.Uint64(b[1:]))
	m.commit = int64(binary.BigEndian.Uint64(b[9:]))
	m.xid = binary.BigEndian.Uint32(b[17:])
	return m, nil
}

// commitMsg ends a transaction.
type commitMsg struct {
	final lsn // as in beginMsg
	end   lsn // where the commit record ends
}

func scanCommit(b []byte) (m commitMsg, err error) {
	if len(b) != 1+1+8+8+8 {
		return m, errShort
	}
	m.final = lsn(binary.BigEndian.Uint64(b[2:]))
	m.end = lsn(binary.BigEndian.Uint64(b[10:]))
	return m, nil
}

// pgTime converts microseconds since 2000-01-01 UTC.
func pgTime(us int64) time.Time {
	const epoch = 946684800 // 2000-01-01 in Unix seconds
	return time.Unix(epoch+us/1e6, us%1e6*1e3)
}

// relation is a table as the log described it last.
type relation struct {
	oid   uint32
	shape *outbox.Shape // nil: not an outbox table, its rows are ignored
	// wanted maps each column of the tuple to its index among the shape's
	// Columns; unwanted for one that is not wanted; below that, to one of its
	// Rest: see rest.
	wanted []int16
}

const unwanted = -1

// maxColumns is how many columns a table may have (MaxHeapAttributeNumber).
const maxColumns = 1600

// rest is what relation.wanted has for column i of a shape's Rest, and the
// other way round.
func rest(i int) int { return unwanted - 1 - i }

type relationMsg struct {
	oid          uint32
	schema, name []byte
	columns      []byte // not yet scanned
	n            int
}

func scanRelation(b []byte) (m relationMsg, err error) {
	if len(b) < 1+4 {
		return m, errShort
	}
	m.oid = binary.BigEndian.Uint32(b[1:])
	b = b[5:]
	var ok bool
	if m.schema, b, ok = cstring(b); !ok {
		return m, errShort
	}
	if m.name, b, ok = cstring(b); !ok {
		return m, errShort
	}
	if len(b) < 1+2 {
		return m, errShort
	}
	m.n = int(binary.BigEndian.Uint16(b[1:]))
	m.columns = b[3:]
	return m, nil
}

// column scans the next column of a relation message: a flag, its name, the
// OID of its type, a type modifier.
func (m *relationMsg) column() (name []byte, oid uint32, mod int32, err error) {
	b := m.columns
	if len(b) < 1 {
		return nil, 0, 0, errShort
	}
	name, b, ok := cstring(b[1:])
	if !ok || len(b) < 4+4 {
		return nil, 0, 0, errShort
	}
	oid = binary.BigEndian.Uint32(b)
	mod = int32(binary.BigEndian.Uint32(b[4:]))
	m.columns = b[8:]
	return name, oid, mod, nil
}

func cstring(b []byte) (s, rest []byte, ok bool) {
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return nil, nil, false
	}
	return b[:i], b[i+1:], true
}

// scanInsert splits an insert message into its relation's OID and its tuple.
func scanInsert(b []byte) (oid uint32, tuple []byte, err error) {
	if len(b) < 1+4+1+2 {
		return 0, nil, errShort
	}
	if b[5] != 'N' {
		return 0, nil, fmt.Errorf("tuple is of kind %q, not 'N'", b[5])
	}
	return binary.BigEndian.Uint32(b[1:]), b[6:], nil
}

// scanTuple adds a row to the batch. A tuple has two bytes for the number of
// its columns; each is 'n' for NULL, or 't', four bytes of length, and text.
// On an error the batch holds a part of the row and is not to be used.
func scanTuple(t []byte, rel *relation, b *outbox.Batch) error {
	if n := int(binary.BigEndian.Uint16(t)); n != len(rel.wanted) {
		return fmt.Errorf("tuple has %d columns, its relation %d", n, len(rel.wanted))
	}
	b.Add(rel.shape)
	at := 2
	for i, want := range rel.wanted {
		if at >= len(t) {
			return errShort
		}
		switch t[at] {
		case 'n':
			at++
		case 't':
			if len(t)-at < 5 {
				return errShort
			}
			size := int(binary.BigEndian.Uint32(t[at+1:]))
			at += 5
			if size > len(t)-at {
				return errShort
			}
			if want >= 0 {
				b.SetCell(int(want), t[at:at+size])
			} else if want != unwanted {
				b.SetRest(rest(int(want)), t[at:at+size])
			}
			at += size
		default:
			// 'u' stands for a value that an update left as it was, 'b' for
			// the binary format that was not asked for.
			return fmt.Errorf("column %d of the tuple is of kind %q", i, t[at])
		}
	}
	if at != len(t) {
		return fmt.Errorf("%d bytes follow the tuple", len(t)-at)
	}
	return nil
}

package mysql

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

// The parts of binary log events that matter, read in place. Layouts:
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_replication_binlog_event.html
// and https://mariadb.com/kb/en/replication-protocol/.

// reader takes bytes from the front of an event. After a read behind the end
// bad is set and everything reads as zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) uint(n int) uint64 { return littleEndian(r.bytes(n)) }

// packed is a length-encoded integer.
func (r *reader) packed() int {
	first := r.uint(1)
	var v uint64
	switch {
	case first < 251:
		return int(first)
	case first == 252:
		v = r.uint(2)
	case first == 253:
		v = r.uint(3)
	case first == 254:
		v = r.uint(8)
	default:
		r.bad = true
	}
	if v > 1<<31 {
		r.bad = true
		return 0
	}
	return int(v)
}

func (r *reader) err() error {
	if r.bad {
		return errShort
	}
	return nil
}

// scanGTID reads a GTID event, named or anonymous: the name, and when the
// transaction was committed where it first was, in microseconds; 0 when the
// server does not say.
func scanGTID(b []byte) (g gtid, at int64, err error) {
	r := reader{b: b}
	r.bytes(1) // flags
	copy(g.sid[:], r.bytes(16))
	g.gno = r.uint(8)
	if err := r.err(); err != nil {
		return g, 0, err
	}
	if len(r.b) >= 17+7 && r.b[0] == 2 { // logical timestamps, then times
		r.bytes(17)
		at = int64(r.uint(7))
		if at>>55 != 0 { // the original time follows
			at = int64(r.uint(7))
		}
		if r.bad {
			return g, 0, errShort
		}
	}
	return g, at, nil
}

// scanTaggedGTID reads the event that came with MySQL 8.3, by the library.
func scanTaggedGTID(b []byte) (g gtid, at int64, err error) {
	var e replication.GtidTaggedLogEvent
	if err := e.Decode(b); err != nil {
		return g, 0, err
	}
	if len(e.SID) != 16 || e.GNO < 1 {
		return g, 0, errors.New("it names no transaction")
	}
	copy(g.sid[:], e.SID)
	g.tag, g.gno = e.Tag.String(), uint64(e.GNO)
	at = int64(e.OriginalCommitTimestamp)
	if at == 0 {
		at = int64(e.ImmediateCommitTimestamp)
	}
	return g, at, nil
}

// Flags of MariaDB's GTID event.
const (
	flagStandalone = 1 << 0 // one statement that commits itself, no COMMIT follows
	flagPreparedXA = 1 << 6
)

// scanMariaDBGTID reads MariaDB's GTID event; the server id is in the header.
func scanMariaDBGTID(b []byte, server uint32) (g domainGTID, flags byte, err error) {
	r := reader{b: b}
	g.seq, g.domain, g.server = r.uint(8), uint32(r.uint(4)), server
	flags = byte(r.uint(1))
	return g, flags, r.err()
}

// scanQuery reads the statement and its database from a query event.
func scanQuery(b []byte) (schema, text []byte, err error) { return scanStatement(b, 0) }

// scanLoadQuery reads them from an EXECUTE_LOAD_QUERY event, which tells more:
// the file, where its name stands in the text, and what of duplicates.
func scanLoadQuery(b []byte) (schema, text []byte, err error) { return scanStatement(b, 4+4+4+1) }

func scanStatement(b []byte, more int) (schema, text []byte, err error) {
	r := reader{b: b}
	r.bytes(4 + 4) // thread, duration
	n := int(r.uint(1))
	r.bytes(2) // error code
	status := int(r.uint(2))
	r.bytes(more)
	r.bytes(status)
	schema = r.bytes(n)
	r.bytes(1)
	return schema, r.b, r.err()
}

// scanXAPrepare tells whether an XA transaction was committed in one phase.
func scanXAPrepare(b []byte) (onePhase bool, err error) {
	r := reader{b: b}
	return r.uint(1) != 0, r.err()
}

// scanTableID reads the table id that table maps and row events begin with.
func scanTableID(b []byte) (uint64, error) {
	r := reader{b: b}
	return r.uint(6), r.err()
}

// scanTableName reads the table's name from a table map.
func scanTableName(b []byte) (id uint64, schema, table []byte, err error) {
	r := reader{b: b}
	id = r.uint(6)
	r.bytes(2) // flags
	schema = r.bytes(int(r.uint(1)))
	r.bytes(1)
	table = r.bytes(int(r.uint(1)))
	return id, schema, table, r.err()
}

// rowsEvent is what a WRITE_ROWS event begins with.
type rowsEvent struct {
	columns int
	present []byte // a bit for each column
	rows    []byte
}

// scanRows reads a WRITE_ROWS event of version 1 or 2.
func scanRows(b []byte, version int) (e rowsEvent, err error) {
	r := reader{b: b}
	r.bytes(6 + 2) // table id, flags
	if version == 2 {
		r.bytes(int(r.uint(2)) - 2)
	}
	e.columns = r.packed()
	e.present = r.bytes((e.columns + 7) / 8)
	e.rows = r.b
	return e, r.err()
}

// inflate opens what MariaDB compressed (log_bin_compress): a byte whose low
// bits give the width of the length, the length, then zlib. limit bounds it.
func inflate(b []byte, limit int) ([]byte, error) {
	if len(b) < 1 || len(b) < 1+int(b[0]&7) {
		return nil, errShort
	}
	if n := bigEndian(b[1 : 1+int(b[0]&7)]); n > uint64(limit) {
		return nil, fmt.Errorf("it claims to hold %d bytes", n)
	}
	return mysql.DecompressMariadbData(b)
}

// maxEvent is the largest event that a server writes, see max_allowed_packet
// and binlog_row_event_max_size.
const maxEvent = 1<<30 + 1<<20

// scanRotate reads the name of the file that follows.
func scanRotate(b []byte) (filePos, error) {
	r := reader{b: b}
	p := filePos{offset: r.uint(8)}
	p.file = string(r.b)
	return p, r.err()
}

// metadata is the optional part of a table map.
type metadata struct {
	unsigned  []byte // bits, one for each numeric column, high ones first
	signs     bool   // unsigned is there
	names     [][]byte
	collation map[int]int // of each character column, by its index among all columns; nil: not there
	enums     [][][]byte  // members of each ENUM column
	sets      [][][]byte
}

// scanColumns reads types, metadata and the optional part of a table map.
func scanColumns(b []byte, mariadb bool) ([]column, metadata, error) {
	r := reader{b: b}
	r.bytes(6 + 2)
	r.bytes(int(r.uint(1)))
	r.bytes(1)
	r.bytes(int(r.uint(1)))
	r.bytes(1)
	n := r.packed()
	types := r.bytes(n)
	meta := reader{b: r.bytes(r.packed())}
	r.bytes((n + 7) / 8)
	if r.bad {
		return nil, metadata{}, errShort
	}
	columns := make([]column, n)
	for i := range columns {
		c := &columns[i]
		*c = column{typ: types[i], want: -1, scale: -1}
		if !c.scanMeta(&meta) {
			return nil, metadata{}, &unknownType{at: i, of: n, typ: c.typ}
		}
		switch c.typ {
		case typeTime2, typeDatetime2, typeTimestamp2:
			if c.meta > 6 {
				return nil, metadata{}, fmt.Errorf("column %d has %d digits of a second", i+1, c.meta)
			}
		}
	}
	if meta.bad {
		return nil, metadata{}, errShort
	}
	if len(meta.b) > 0 {
		return nil, metadata{}, &unknownType{at: -1}
	}
	m, err := scanMetadata(r.b, columns, mariadb)
	return columns, m, err
}

// scanMeta reads what the log says of a column beside its type. How long that
// is depends on the type: behind one that is not known nothing can be read.
func (c *column) scanMeta(meta *reader) bool {
	switch c.typ {
	case typeString:
		// The real type, and two bits of the length folded into it.
		t, length := uint16(meta.uint(1)), uint16(meta.uint(1))
		if t&0x30 != 0x30 {
			length |= (t&0x30 ^ 0x30) << 4
			t |= 0x30
		}
		c.typ, c.meta = byte(t), length
	case typeNewDecimal:
		c.meta = uint16(meta.uint(1)) << 8
		c.meta |= uint16(meta.uint(1))
	case typeBit:
		bits := uint16(meta.uint(1))
		c.meta = uint16(meta.uint(1))<<8 | bits
	case typeVarchar, typeVarString, typeVarcharCompressed:
		c.meta = uint16(meta.uint(2))
	case typeBlob, typeBlobCompressed, typeDouble, typeFloat, typeGeometry, typeJSON, typeVector, typeTime2, typeDatetime2, typeTimestamp2:
		c.meta = uint16(meta.uint(1))
	case typeTiny, typeShort, typeInt24, typeLong, typeLongLong, typeYear, typeDate, typeTime, typeDatetime, typeTimestamp:
	default:
		return false
	}
	return true
}

// unknownType is a column of a table map that cannot be read, nor what stands
// behind it; at is -1 for a map that says more than its columns need.
type unknownType struct {
	at, of int
	typ    byte
}

func (e *unknownType) Error() string {
	if e.at < 0 {
		return "its columns have more metadata than their types need"
	}
	return fmt.Sprintf("column %d is of type %d, which is not known", e.at+1, e.typ)
}

func scanMetadata(b []byte, columns []column, mariadb bool) (metadata, error) {
	var m metadata
	r := reader{b: b}
	for len(r.b) > 0 && !r.bad {
		kind := byte(r.uint(1))
		v := reader{b: r.bytes(r.packed())}
		switch kind {
		case replication.TABLE_MAP_OPT_META_SIGNEDNESS:
			m.unsigned, m.signs = v.b, true
		case replication.TABLE_MAP_OPT_META_DEFAULT_CHARSET:
			m.collation = make(map[int]int)
			collation := v.packed()
			var text []int
			for i := range columns {
				if columns[i].character(mariadb) {
					text = append(text, i)
					m.collation[i] = collation
				}
			}
			for len(v.b) > 0 && !v.bad {
				at, other := v.packed(), v.packed()
				if at >= len(text) {
					return m, fmt.Errorf("collation of character column %d of %d", at+1, len(text))
				}
				m.collation[text[at]] = other
			}
		case replication.TABLE_MAP_OPT_META_COLUMN_CHARSET:
			m.collation = make(map[int]int)
			for i := range columns {
				if columns[i].character(mariadb) {
					m.collation[i] = v.packed()
				}
			}
		case replication.TABLE_MAP_OPT_META_COLUMN_NAME:
			for len(v.b) > 0 && !v.bad {
				m.names = append(m.names, v.bytes(v.packed()))
			}
			if len(m.names) != len(columns) {
				return m, fmt.Errorf("%d names for %d columns", len(m.names), len(columns))
			}
		case replication.TABLE_MAP_OPT_META_ENUM_STR_VALUE:
			m.enums = scanMembers(&v)
		case replication.TABLE_MAP_OPT_META_SET_STR_VALUE:
			m.sets = scanMembers(&v)
		}
		if v.bad {
			return m, errShort
		}
	}
	return m, r.err()
}

func scanMembers(r *reader) [][][]byte {
	var out [][][]byte
	for len(r.b) > 0 && !r.bad {
		n := r.packed()
		var list [][]byte
		for range n {
			if r.bad {
				break
			}
			list = append(list, bytes.Clone(r.bytes(r.packed())))
		}
		out = append(out, list)
	}
	return out
}

// character: does the log note a collation for this column?
func (c *column) character(mariadb bool) bool {
	switch c.typ {
	case typeString, typeVarchar, typeVarString, typeBlob, typeBlobCompressed, typeVarcharCompressed:
		return true
	case typeGeometry:
		return mariadb
	}
	return false
}

// numeric: does the log note a sign for this column?
func (c *column) numeric() bool {
	switch c.typ {
	case typeTiny, typeShort, typeInt24, typeLong, typeLongLong, typeNewDecimal, typeFloat, typeDouble, typeYear:
		return true
	}
	return false
}

// isBitSet reads a bitmap whose first bit is the lowest of its first byte.
func isBitSet(bitmap []byte, i int) bool { return bitmap[i/8]>>(i%8)&1 != 0 }

// header is what every event begins with, in the log and inside a payload.
type header struct {
	typ    replication.EventType
	time   uint32
	server uint32
	size   uint32
	end    uint32 // low 32 bits of the position behind the event; 0: not given
	flags  uint16
}

const headerSize = 19

func scanHeader(b []byte) header {
	return header{
		time: binary.LittleEndian.Uint32(b), typ: replication.EventType(b[4]), server: binary.LittleEndian.Uint32(b[5:]),
		size: binary.LittleEndian.Uint32(b[9:]), end: binary.LittleEndian.Uint32(b[13:]), flags: binary.LittleEndian.Uint16(b[17:]),
	}
}

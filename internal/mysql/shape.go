package mysql

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tailer-io/tailer/internal/outbox"
)

// tableMap is how the log described an outbox table last.
type tableMap struct {
	id      uint64 // of the description that is in force; 0 for none
	body    []byte // all of it but the id, to notice that nothing changed
	shape   *outbox.Shape
	columns []column
	present int  // wanted columns in the table
	named   bool // the log names its columns
	// stale: DDL about the table was met since the facts were asked for. taken:
	// rows were read with these facts.
	stale, taken bool
}

// describe makes a table map's columns usable: which are wanted, and what the
// log does not say of them. Names come from the log (binlog_row_metadata=FULL);
// without them the columns of information_schema must be as many and of the
// same types, in the same order. whole makes the others the shape's Rest.
func describe(t Table, index int, f *tableFacts, body []byte, collations map[int]string, mariadb, whole bool) (*tableMap, error) {
	columns, meta, err := scanColumns(body, mariadb)
	var unknown *unknownType
	if errors.As(err, &unknown) {
		return nil, unknown.refuse(t, f)
	}
	if err != nil {
		return nil, err
	}
	names, err := columnNames(t, f, columns, meta)
	if err != nil {
		return nil, err
	}
	m := &tableMap{columns: columns, named: meta.names != nil, shape: &outbox.Shape{Table: index, Columns: make([]outbox.Column, len(t.Columns))}}
	var numeric, enum, set int
	for i := range columns {
		c := &columns[i]
		known := f.column(names[i])
		if known != nil {
			c.unsigned = known.unsigned()
		}
		if c.numeric() {
			if meta.signs && numeric/8 < len(meta.unsigned) {
				c.unsigned = meta.unsigned[numeric/8]>>(7-numeric%8)&1 != 0
			}
			numeric++
		}
		switch c.typ {
		case typeEnum:
			if enum < len(meta.enums) {
				c.members = meta.enums[enum]
			}
			enum++
		case typeSet:
			if set < len(meta.sets) {
				c.members = meta.sets[set]
			}
			set++
		}
		want := slices.IndexFunc(t.Columns, func(w string) bool { return strings.EqualFold(w, names[i]) })
		if want < 0 {
			if whole {
				c.keep(t, names[i], known, i, meta, collations, m.shape)
			}
			continue
		}
		c.want = want
		if err := c.complete(t, names[i], known, i, meta, collations); err != nil {
			return nil, err
		}
		m.shape.Columns[want] = shapeColumn(t.Columns[want], c, known)
		m.present++
	}
	for i, c := range m.shape.Columns {
		if c.Name != "" {
			continue
		}
		if !t.optional(i) {
			return nil, outbox.Refuse(ReasonColumn, "add the column again or map another one; rows written without it cannot be mapped",
				"table %s has no column %q any more", t, t.Columns[i])
		}
		m.shape.Columns[i] = missingColumn(t.Columns[i])
	}
	return m, nil
}

// refuse names the column as the table has it now, where that can be told.
func (e *unknownType) refuse(t Table, f *tableFacts) error {
	text := e.Error()
	if e.at >= 0 && len(f.columns) == e.of {
		text += fmt.Sprintf(" (it is %q now, %s)", f.columns[e.at].name, f.columns[e.at].full)
	}
	return outbox.Refuse(ReasonType, "use another type, or a version of tailer that knows it; `tailer checkpoint set --now` steps over what was written before",
		"rows of table %s cannot be read from the log: %s", t, text)
}

func columnNames(t Table, f *tableFacts, columns []column, meta metadata) ([]string, error) {
	names := make([]string, len(columns))
	if meta.names != nil {
		for i, n := range meta.names {
			names[i] = string(n)
		}
		return names, nil
	}
	const hint = "SET GLOBAL binlog_row_metadata = 'FULL' and in the configuration file: then the log names its columns"
	if len(f.columns) != len(columns) {
		return nil, outbox.Refuse(ReasonColumn, hint+"; `tailer checkpoint set --now` steps over what was written before",
			"rows of table %s have %d columns in the log and the table has %d now: which is which cannot be told", t, len(columns), len(f.columns))
	}
	for i := range columns {
		c := &f.columns[i]
		if !slices.Contains(storedAs[c.dataType], columns[i].typ) {
			return nil, outbox.Refuse(ReasonColumn, hint+"; `tailer checkpoint set --now` steps over what was written before",
				"column %d of table %s is a %s now, and was of another type when rows were written: which column is which cannot be told", i+1, t, c.dataType)
		}
		names[i] = c.name
	}
	return names, nil
}

// storedAs are the log's types for those of information_schema; a type that
// is not here cannot be told without names in the log.
var storedAs = map[string][]byte{
	"tinyint": {typeTiny}, "smallint": {typeShort}, "mediumint": {typeInt24}, "int": {typeLong}, "bigint": {typeLongLong},
	"decimal": {typeNewDecimal}, "float": {typeFloat}, "double": {typeDouble}, "bit": {typeBit}, "year": {typeYear},
	"date": {typeDate}, "time": {typeTime, typeTime2}, "datetime": {typeDatetime, typeDatetime2}, "timestamp": {typeTimestamp, typeTimestamp2},
	"char": {typeString}, "varchar": {typeVarchar, typeVarString, typeVarcharCompressed}, "binary": {typeString}, "varbinary": {typeVarchar, typeVarString, typeVarcharCompressed},
	"enum": {typeEnum}, "set": {typeSet}, "json": {typeJSON}, "uuid": {typeString}, "inet4": {typeString}, "inet6": {typeString},
	"tinytext": {typeBlob, typeBlobCompressed}, "text": {typeBlob, typeBlobCompressed}, "mediumtext": {typeBlob, typeBlobCompressed}, "longtext": {typeBlob, typeBlobCompressed},
	"tinyblob": {typeBlob, typeBlobCompressed}, "blob": {typeBlob, typeBlobCompressed}, "mediumblob": {typeBlob, typeBlobCompressed}, "longblob": {typeBlob, typeBlobCompressed},
	"geometry": {typeGeometry}, "point": {typeGeometry}, "linestring": {typeGeometry}, "polygon": {typeGeometry},
	"multipoint": {typeGeometry}, "multilinestring": {typeGeometry}, "multipolygon": {typeGeometry},
	"geomcollection": {typeGeometry}, "geometrycollection": {typeGeometry}, "vector": {typeVector},
}

// complete adds what a wanted column needs to be written as text, and refuses
// one whose bytes are not what a client sees. known is nil for a column that
// information_schema does not have (any more).
func (c *column) complete(t Table, name string, known *columnFacts, at int, meta metadata, collations map[int]string) error {
	charset := ""
	if c.typ == typeBlobCompressed || c.typ == typeVarcharCompressed {
		return outbox.Refuse(ReasonType, "ALTER TABLE "+t.quoted()+" MODIFY the column without COMPRESSED; rows written before cannot be read",
			"column %q of table %s was compressed when rows were written: the log holds its bytes as they are stored", name, t)
	}
	if id, ok := meta.collation[at]; ok {
		if charset, ok = collations[id]; !ok && c.rest {
			charset = "unknown"
		} else if !ok {
			return outbox.Refuse(ReasonCharset, "ALTER TABLE "+t.quoted()+" CONVERT TO CHARACTER SET utf8mb4; rows written before cannot be read",
				"column %q of table %s had collation %d when rows were written, which the server does not list: its character set is not known", name, t, id)
		}
	} else if known != nil {
		charset = known.charset
	}
	switch same := slices.Contains(sameBytes, charset); {
	case !same && c.rest:
		c.charset = charset
	case !same:
		return outbox.Refuse(ReasonCharset, "ALTER TABLE "+t.quoted()+" CONVERT TO CHARACTER SET utf8mb4; rows written before cannot be read",
			"column %q of table %s was in %s when rows were written: the log holds the bytes of that character set, not what a client sees", name, t, charset)
	}
	if c.typ == typeString && (charset == "binary" || charset == "" && known != nil && known.dataType == "binary") {
		c.pad = int(c.meta)
	}
	if known == nil {
		if (c.typ == typeEnum || c.typ == typeSet) && c.members == nil {
			return outbox.Refuse(ReasonColumn, "SET GLOBAL binlog_row_metadata = 'FULL'", "the members of column %q of table %s are not known", name, t)
		}
		return nil
	}
	c.uuid = known.dataType == "uuid" && c.typ == typeString
	c.zerofill = known.zerofill()
	if known.dataType == "float" || known.dataType == "double" {
		c.scale = known.scale
	}
	if (c.typ == typeEnum || c.typ == typeSet) && c.members == nil {
		for _, v := range known.members() {
			// information_schema has this for every character outside of utf8mb3.
			if strings.Contains(v, "?") {
				return outbox.Refuse(ReasonColumn, "SET GLOBAL binlog_row_metadata = 'FULL' and in the configuration file: then the log names its members",
					"column %q of table %s has a member %q, which may be another one: information_schema writes ? for characters of four bytes", name, t, v)
			}
			c.members = append(c.members, []byte(v))
		}
	}
	return nil
}

// keep makes a column that is not wanted one of the shape's Rest. Text is there
// in the bytes of its own character set; what cannot be read at all is named as
// missing.
func (c *column) keep(t Table, name string, known *columnFacts, at int, meta metadata, collations map[int]string, s *outbox.Shape) {
	c.rest = true
	if err := c.complete(t, name, known, at, meta, collations); err != nil {
		c.rest = false
		s.Rest = append(s.Rest, missingColumn(name))
		return
	}
	c.want = len(s.Rest)
	s.Rest = append(s.Rest, shapeColumn(name, c, known))
}

func missingColumn(name string) outbox.Column {
	return outbox.Column{Name: name, Missing: true, Precision: -1, Scale: -1}
}

func shapeColumn(name string, c *column, known *columnFacts) outbox.Column {
	out := outbox.Column{Name: name, Precision: -1, Scale: -1, Charset: c.charset}
	if known != nil {
		out.Type, out.NotNull, out.Precision, out.Scale = known.dataType, known.notNull, known.precision, known.scale
		out.Default = known.fallback
		if c.unsigned {
			out.Type += " unsigned"
		}
	} else {
		out.Type = fmt.Sprintf("type:%d", c.typ)
	}
	if c.typ == typeEnum || c.typ == typeSet {
		out.Labels = string(bytes.Join(c.members, []byte(",")))
	}
	return out
}

// addRow appends one row of the log to b and returns how long it was. present
// has a bit for each column that the log gives.
func (m *tableMap) addRow(b *outbox.Batch, present, row []byte, scratch *[]byte) (int, error) {
	given := 0
	for i := range m.columns {
		if isBitSet(present, i) {
			given++
		}
	}
	nulls := (given + 7) / 8
	if len(row) < nulls {
		return 0, errShort
	}
	bitmap, at := row[:nulls], nulls
	b.Add(m.shape)
	n := -1
	for i := range m.columns {
		c := &m.columns[i]
		if !isBitSet(present, i) {
			continue
		}
		n++
		if isBitSet(bitmap, n) {
			continue
		}
		size, err := c.valueSize(row[at:])
		if err != nil {
			return 0, fmt.Errorf("column %d: %w", i+1, err)
		}
		if size > len(row)-at {
			return 0, fmt.Errorf("column %d: %w", i+1, errShort)
		}
		v := row[at : at+size]
		at += size
		if c.want < 0 {
			continue
		}
		if plain, ok := c.plain(v); ok {
			c.set(b, plain)
			continue
		}
		text, err := c.appendText((*scratch)[:0], v)
		if err != nil {
			return 0, fmt.Errorf("column %d: %w", i+1, err)
		}
		c.set(b, text)
		if *scratch = text; cap(text) > keepEvent {
			*scratch = nil
		}
	}
	return at, nil
}

func (c *column) set(b *outbox.Batch, v []byte) {
	if c.rest {
		b.SetRest(c.want, v)
		return
	}
	b.SetCell(c.want, v)
}

// plain gives the bytes of a value that needs no formatting.
func (c *column) plain(v []byte) ([]byte, bool) {
	switch c.typ {
	case typeBlob, typeGeometry, typeVector:
		return v[c.meta:], true
	case typeVarchar, typeVarString, typeString:
		if c.uuid {
			return nil, false
		}
		width := 1
		if c.meta > 255 {
			width = 2
		}
		v = v[width:]
		return v, len(v) >= c.pad
	}
	return nil, false
}

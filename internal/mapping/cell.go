package mapping

import (
	"fmt"

	"github.com/tailer-io/tailer/internal/mapping/connect"
	"github.com/tailer-io/tailer/internal/outbox"
)

// cell says how one column becomes the bytes of a key, a value or a header.
type cell struct {
	col    int
	name   string // the column's, for errors
	raw    bool   // the database's text, in this form
	form   bytesForm
	format Format // else: FormatSimple, FormatString, FormatJSON, FormatJSONSchema, FormatBytes
	typ    connect.Type
	before []byte // what FormatJSONSchema has before the payload
	null   []byte // what NULL is; nil for a null
}

// newCell makes the cell of a column for a format; the error says why the two
// do not go together.
func (m *Mapper) newCell(t *table, s *outbox.Shape, col int, f Format) (cell, error) {
	column := &s.Columns[col]
	c := cell{col: col, name: column.Name, raw: true, form: m.bytesForm(t, column)}
	if f == FormatText {
		return c, nil
	}
	var err error
	if c.typ, err = m.typeOf(t, column); err != nil {
		return c, err
	}
	bytes := c.typ.Schema.Type == "bytes" && c.typ.Schema.Name == ""
	delegates := f == FormatBytesJSON || f == FormatBytesJSONSchema
	switch {
	case bytes && (f == FormatBytes || delegates || f == FormatString):
		return c, nil
	case delegates && c.typ.Schema.Type == "bytes" && !c.typ.Schema.IsDecimal():
		f = FormatBytes // bits
	case f == FormatBytes:
		return c, fmt.Errorf("bytes is only for columns of bytes, and column %q is of type %s", column.Name, column.Type)
	case f == FormatBytesJSON:
		f = FormatJSON
	case f == FormatBytesJSONSchema:
		f = FormatJSONSchema
	}
	c.raw, c.format = false, f
	switch f {
	case FormatString, FormatSimple:
		c.raw = c.typ.Plain
		if f == FormatString && !connect.HasText(c.typ.Schema) {
			return c, fmt.Errorf("string has no form for column %q of type %s, of which Java prints the identity of an object", column.Name, column.Type)
		}
	case FormatJSON:
		c.null = []byte("null")
	case FormatJSONSchema:
		c.before = documentBefore(c.typ.Schema)
		c.null = append(append(c.null, c.before...), "null}"...)
	}
	if delegates && c.typ.Schema.Type == "bytes" {
		// A decimal: the delegate is only asked about what is not null.
		c.null = nil
	}
	return c, nil
}

// typeOf is the column's form in Kafka Connect.
func (m *Mapper) typeOf(t *table, c *outbox.Column) (connect.Type, error) {
	if t.isUUID(c.Name) {
		return connect.UUID(!c.NotNull), nil
	}
	typ, err := m.cfg.Source.Type(columnOf(c), t.Modes)
	if err != nil {
		return typ, fmt.Errorf("type %s of column %q %w; text is the format that takes every type", c.Type, c.Name, err)
	}
	return typ, nil
}

func columnOf(c *outbox.Column) connect.Column {
	return connect.Column{Name: c.Type, Precision: c.Precision, Scale: c.Scale, Labels: c.Labels, NotNull: c.NotNull, Default: c.Default}
}

// bytesForm is how the column's text becomes bytes.
func (m *Mapper) bytesForm(t *table, c *outbox.Column) bytesForm {
	switch {
	case t.isUUID(c.Name):
		return fromUUID
	case m.cfg.Source.Hex(columnOf(c)):
		return fromHex
	}
	return asIs
}

// documentBefore is what stands before the payload of a JSON document with its
// schema.
func documentBefore(s *connect.Schema) []byte {
	b := connect.AppendSchema([]byte(`{"schema":`), s)
	return append(b, `,"payload":`...)
}

// bytes are the cell of a row as it goes out: nil for a null.
func (c *cell) bytes(m *Mapper, b *outbox.Batch, r *outbox.Row, out *outbox.Messages) ([]byte, error) {
	v, ok := b.Value(r, c.col)
	switch {
	case !ok:
		return c.null, nil
	case c.raw:
		raw, err := c.form.of(b, r, c.col, out)
		if err != nil {
			return nil, fmt.Errorf("column %s %w", c.name, err)
		}
		return raw, nil
	}
	value, err := c.typ.Read(v)
	if err != nil {
		return nil, fmt.Errorf("column %s %w", c.name, err)
	}
	if value.Kind == connect.Null {
		return c.null, nil
	}
	return m.encode(c.format, c.before, c.typ.Schema, value, out), nil
}

// encode writes a value that is not null; the bytes live as long as out.
func (m *Mapper) encode(f Format, before []byte, s *connect.Schema, v connect.Value, out *outbox.Messages) []byte {
	dst := m.buf[:0]
	switch f {
	case FormatBytes:
		dst = append(dst, v.Bytes...)
	case FormatSimple:
		dst = connect.AppendSimple(dst, s, v)
	case FormatString:
		dst = connect.AppendString(dst, s, v)
	case FormatJSON:
		dst = connect.AppendJSON(dst, s, v)
	case FormatJSONSchema:
		dst = append(dst, before...)
		dst = connect.AppendJSON(dst, s, v)
		dst = append(dst, '}')
	}
	m.buf = dst
	return kept(dst, out)
}

// kept copies bytes into out; they are never nil.
func kept(b []byte, out *outbox.Messages) []byte {
	if len(b) == 0 {
		return []byte{}
	}
	room := out.Bytes(len(b))
	copy(room, b)
	return room
}

package mapping

import (
	"fmt"
	"strconv"

	"github.com/tailer-io/tailer/internal/mapping/connect"
	"github.com/tailer-io/tailer/internal/outbox"
)

// value is the value of a row's message: nil for a null one.
func (m *Mapper) value(t *table, p *plan, b *outbox.Batch, r *outbox.Row, out *outbox.Messages) ([]byte, error) {
	v := &p.value
	text, ok := b.Value(r, t.payload)
	if t.Tombstone && (!ok || v.text && m.blank(v, text)) {
		return nil, nil
	}
	if v.envelope != nil {
		return m.wrapped(t, v, b, r, out)
	}
	if t.Expand && ok && v.text {
		payload, err := v.typ.Read(text)
		if err != nil {
			return nil, fmt.Errorf("column %s %w", v.cell.name, err)
		}
		if s, e, err := connect.Expand(payload.Bytes, t.Payload, t.ExpandNulls); err == nil {
			var before []byte
			if v.format == FormatJSONSchema {
				before = documentBefore(s)
			}
			return m.encode(v.format, before, s, e, out), nil
		}
	}
	return v.cell.bytes(m, b, r, out)
}

// blank reports whether a text is what Java's trim leaves nothing of.
func (m *Mapper) blank(v *valuePlan, text []byte) bool {
	if v.typ.Read != nil && !v.typ.Plain {
		value, err := v.typ.Read(text)
		if err != nil {
			return false
		}
		text = value.Bytes
	}
	for _, c := range text {
		if c > ' ' {
			return false
		}
	}
	return true
}

// wrapped is the envelope: a struct of the payload and other columns.
func (m *Mapper) wrapped(t *table, v *valuePlan, b *outbox.Batch, r *outbox.Row, out *outbox.Messages) ([]byte, error) {
	schema := v.envelope
	list := make([]connect.Value, len(schema.Fields))
	read := func(i, col int, name string, typ *connect.Type) error {
		text, ok := b.Value(r, col)
		if !ok {
			return nil
		}
		var err error
		if list[i], err = typ.Read(text); err != nil {
			return fmt.Errorf("column %s %w", name, err)
		}
		return nil
	}
	if err := read(0, t.payload, t.Payload, &v.typ); err != nil {
		return nil, err
	}
	for i := range v.fields {
		f := &v.fields[i]
		if err := read(i+1, f.col, f.name, &f.typ); err != nil {
			return nil, err
		}
	}
	if t.Expand && v.text && list[0].Kind == connect.String {
		if s, e, err := connect.Expand(list[0].Bytes, t.Payload, t.ExpandNulls); err == nil && s != nil {
			expanded := *schema
			expanded.Fields = append([]connect.Field{{Name: "payload", Schema: s}}, schema.Fields[1:]...)
			schema, list[0] = &expanded, e
		}
	}
	var before []byte
	if v.format == FormatJSONSchema {
		named := *schema
		if err := m.nameEnvelope(t, &named, b, r); err != nil {
			return nil, err
		}
		before = documentBefore(&named)
	}
	return m.encode(v.format, before, schema, connect.Value{Kind: connect.Struct, List: list}, out), nil
}

// nameEnvelope gives the envelope's schema its version and its name. The name
// holds the route value, and, as the original keeps the schemas it has made,
// that of the first row since the start that had this version and this schema
// of the payload.
func (m *Mapper) nameEnvelope(t *table, s *connect.Schema, b *outbox.Batch, r *outbox.Row) error {
	var version []byte
	if t.version != none {
		version, _ = b.Value(r, t.version)
		n, err := strconv.ParseInt(string(version), 10, 32)
		if err != nil && version != nil {
			return fmt.Errorf("column %s is no version: %q", t.SchemaVersion, version)
		}
		s.Version, s.Versioned = int32(n), version != nil
	}
	key := append(append(m.buf[:0], version...), ' ')
	key = connect.AppendSchema(key, s.Fields[0].Schema)
	m.buf = key
	name, ok := t.names[string(key)]
	if !ok {
		name = t.SchemaName
		if t.route != none {
			route, _ := b.Value(r, t.route)
			name += "." + string(route)
		}
		name += ".Value"
		if len(t.names) >= keptNames {
			clear(t.names)
		}
		t.names[string(key)] = name
	}
	s.Name = name
	return nil
}

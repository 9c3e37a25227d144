package mapping

import (
	"errors"
	"slices"

	"github.com/tailer-io/tailer/internal/mapping/connect"
	"github.com/tailer-io/tailer/internal/outbox"
)

// plan is what a shape means for the mapping of its table.
type plan struct {
	shape *outbox.Shape
	err   error // the shape does not fit: every row of it is poison
	short bool  // the short way, see table.plain
	bytes [shortColumns]bytesForm

	id, key cell
	headers []header
	// attributes are those of the row's CloudEvent.
	attributes []attributePlan
	value      valuePlan
	time       func(text []byte) (connect.Value, error) // in milliseconds; null for none
}

// header is one header behind the id.
type header struct {
	name []byte
	cell cell   // where meta and text are empty
	text []byte // a constant
	meta string
}

// makePlan says what a shape means; the error is an *outbox.Invalid.
func (m *Mapper) makePlan(s *outbox.Shape) (*plan, error) {
	t := m.tables[s.Table]
	if t.Eventuate != nil {
		return &plan{shape: s}, m.checkTram(t, s)
	}
	p := &plan{shape: s, short: t.plain()}
	for i := range s.Columns {
		c := &s.Columns[i]
		if t.isUUID(c.Name) && !c.Missing && !m.cfg.Source.Binary(columnOf(c)) {
			return nil, t.invalid("uuid-columns", "column %q is of type %s; allowed are columns of bytes, such as binary(16)", c.Name, c.Type)
		}
	}
	if p.short {
		for i := range p.bytes {
			p.bytes[i] = m.bytesForm(t, &s.Columns[i])
		}
		return p, nil
	}
	var err error
	if p.id, err = m.newCell(t, s, colID, t.HeaderFormat); err != nil {
		return nil, t.invalid("formats.headers", "%s", err)
	}
	if t.key != none {
		if p.key, err = m.newCell(t, s, t.key, t.KeyFormat); err != nil {
			return nil, t.invalid("formats.key", "%s", err)
		}
	}
	for i, h := range t.Headers {
		hp := header{name: []byte(h.Name), text: []byte(h.Value), meta: h.Meta}
		if col := t.headers[i]; col != none {
			if s.Columns[col].Missing {
				continue
			}
			if hp.cell, err = m.newCell(t, s, col, t.HeaderFormat); err != nil {
				return nil, t.invalid("formats.headers", "%s", err)
			}
		}
		p.headers = append(p.headers, hp)
	}
	if p.attributes, err = m.planAttributes(t, s); err != nil {
		return nil, err
	}
	if p.value, err = m.valuePlan(t, s); err != nil {
		return nil, err
	}
	return p, m.planColumns(t, s, p)
}

// planColumns checks the types of the columns that are read here.
func (m *Mapper) planColumns(t *table, s *outbox.Shape, p *plan) error {
	if t.timestamp != none {
		c := &s.Columns[t.timestamp]
		if p.time = m.cfg.Source.Millis(columnOf(c)); p.time == nil {
			return t.invalid("columns.timestamp", "column %q is of type %s; allowed are times with a date, date, text in ISO form, and bigint with milliseconds since 1970", c.Name, c.Type)
		}
	}
	if t.partition != none {
		if c := &s.Columns[t.partition]; !m.integer(c, "int16", "int32", "int64") {
			return t.invalid("columns.partition", "column %q is of type %s; allowed are whole numbers such as int", c.Name, c.Type)
		}
	}
	if t.version != none {
		if c := &s.Columns[t.version]; !m.integer(c, "int32") {
			return t.invalid("columns.schema-version", "column %q is of type %s; allowed is int", c.Name, c.Type)
		}
	}
	if t.trace != none {
		return m.checkTrace(t, &s.Columns[t.trace])
	}
	return nil
}

// integer reports whether a column's form in Kafka Connect is a plain number of
// one of these types.
func (m *Mapper) integer(c *outbox.Column, kinds ...string) bool {
	typ, err := m.cfg.Source.Type(columnOf(c), connect.Modes{})
	return err == nil && typ.Schema.Name == "" && slices.Contains(kinds, typ.Schema.Type)
}

// valuePlan says how the payload becomes the value.
type valuePlan struct {
	cell     cell
	format   Format // how a struct is written
	text     bool   // the payload is a text, which may be empty or expanded
	typ      connect.Type
	envelope *connect.Schema // nil without one; its first field is the payload
	fields   []envelopeField
}

type envelopeField struct {
	col  int
	name string // the column's
	typ  connect.Type
}

func (m *Mapper) valuePlan(t *table, s *outbox.Shape) (v valuePlan, err error) {
	if len(t.Envelope) == 0 {
		v.cell, err = m.newCell(t, s, t.payload, t.ValueFormat)
	}
	if err == nil && (len(t.Envelope) > 0 || t.Expand || t.Tombstone && t.ValueFormat != FormatText) {
		v.typ, err = m.typeOf(t, &s.Columns[t.payload])
	}
	if err != nil {
		return v, t.invalid("formats.value", "%s", err)
	}
	payload := &s.Columns[t.payload]
	v.text = v.typ.Schema != nil && v.typ.Schema.Type == "string" || v.typ.Schema == nil && v.cell.form == asIs && !m.cfg.Source.Binary(columnOf(payload))
	switch v.format = t.ValueFormat; v.format {
	case FormatBytesJSON:
		v.format = FormatJSON
	case FormatBytesJSONSchema:
		v.format = FormatJSONSchema
	}
	if len(t.Envelope) == 0 {
		return v, nil
	}
	v.envelope = &connect.Schema{Type: "struct", Fields: []connect.Field{{Name: "payload", Schema: v.typ.Schema}}}
	for i, f := range t.Envelope {
		c := &s.Columns[t.envelope[i]]
		if c.Missing {
			continue
		}
		typ, err := m.typeOf(t, c)
		if err != nil {
			return v, t.invalid("envelope", "%s", err)
		}
		v.fields = append(v.fields, envelopeField{t.envelope[i], c.Name, typ})
		v.envelope.Fields = append(v.envelope.Fields, connect.Field{Name: f.Name, Schema: typ.Schema})
	}
	if v.format == FormatString && !connect.HasText(v.envelope) {
		return v, t.invalid("formats.value", "%s", errNoText)
	}
	return v, nil
}

var errNoText = errors.New("string has no form for an envelope with bytes in it, of which Java prints the identity of an object")

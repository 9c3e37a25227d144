package mapping

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/tailer-io/tailer/internal/outbox"
)

// CloudEvents makes every row a CloudEvent 1.0 in the binary mode of the Kafka
// binding (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md):
// its attributes are headers, the payload is the value. A row that gives no
// valid event is poison.
type CloudEvents struct {
	// Source is the attribute source of all rows, unless Attributes has it.
	Source string
	// Attributes are added to those that every event has (defaultAttributes),
	// or take their place. One with a name and nothing else leaves it out.
	Attributes []Header
}

// metaKey as Header.Meta is the message's key.
const metaKey = "key"

// attributeTime is the attribute that is no text but a time.
const attributeTime = "time"

// eventHeader are the headers of attributes that are not named ce_ and the
// attribute (section 3.2.3 of the binding).
var eventHeader = map[string]string{"datacontenttype": "content-type"}

// requiredAttributes are those without which there is no event.
var requiredAttributes = []string{"id", "source", "type"}

// defaultAttributes are the attributes of an event of which nobody has said
// otherwise, in the order of the headers.
func defaultAttributes(t *Table) []Header {
	return []Header{
		{Name: "id", Column: t.ID},
		{Name: "source", Value: t.CloudEvents.Source},
		{Name: "type", Column: "type"},
		{Name: "subject", Column: t.AggregateID},
		{Name: "partitionkey", Meta: metaKey},
		{Name: "datacontenttype", Value: "application/json"},
	}
}

// attribute is one attribute of a table's events.
type attribute struct {
	Header
	required bool
	col      int // of Column, or none
}

// placeAttributes makes the list of a table's attributes.
func (t *table) placeAttributes() error {
	if t.CloudEvents == nil {
		return nil
	}
	list := defaultAttributes(&t.Table)
	seen := map[string]bool{}
	for i, a := range t.CloudEvents.Attributes {
		if err := t.checkAttribute(i, a); err != nil {
			return err
		}
		if seen[a.Name] {
			return t.invalid("attributes", "%s is there twice", a.Name)
		}
		seen[a.Name] = true
		at := slices.IndexFunc(list, func(d Header) bool { return d.Name == a.Name })
		if at < 0 {
			list = append(list, a)
		} else {
			list[at] = a
		}
	}
	for _, a := range list {
		required := slices.Contains(requiredAttributes, a.Name)
		if a.Column == "" && a.Value == "" && a.Meta == "" {
			if required {
				return t.invalid("attributes", "%s has no value, and every CloudEvent needs it", a.Name)
			}
			continue
		}
		if a.Value != "" {
			v, err := constant(a.Name, a.Value)
			if err != nil {
				return t.invalid("attributes", "%s %s: %q", a.Name, err, a.Value)
			}
			a.Value = v
		}
		t.attributes = append(t.attributes, attribute{a, required, t.want(a.Column, false)})
	}
	return nil
}

func (t *table) checkAttribute(i int, a Header) error {
	set := 0
	for _, s := range []string{a.Column, a.Value, a.Meta} {
		if s != "" {
			set++
		}
	}
	switch {
	case a.Name == "":
		return t.invalid("attributes", "number %d has no name", i+1)
	case !isAttributeName(a.Name):
		return t.invalid("attributes", "the name %q is not made of a to z and 0 to 9", a.Name)
	case a.Name == "specversion" || a.Name == "data":
		return t.invalid("attributes", "%s cannot be set", a.Name)
	case set > 1:
		return t.invalid("attributes", "%s has more than one of column, value, meta", a.Name)
	case a.Meta != "" && a.Meta != MetaPosition && a.Meta != MetaOrdinal:
		return t.invalid("attributes", "meta %q is not one of position, ordinal", a.Meta)
	case a.Name == attributeTime && a.Meta != "":
		return t.invalid("attributes", "time is no %s; allowed are column and value", a.Meta)
	}
	return nil
}

// constant is the value of an attribute that is the same for all rows, as it is
// written: a time in the one form that there is.
func constant(name, value string) (string, error) {
	if err := checkText(name, []byte(value)); err != nil || name != attributeTime {
		return value, err
	}
	text, err := appendRFC3339(nil, []byte(value))
	return string(text), err
}

// isAttributeName checks the form of names, see section Naming Conventions of
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md.
func isAttributeName(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && !isDigit(c) {
			return false
		}
	}
	return s != ""
}

// attributePlan says how an attribute's header is made.
type attributePlan struct {
	key []byte
	// data tells that the attribute is about the data, and left out where
	// there is none.
	data     bool
	name     string
	required bool
	// text is a constant, meta a fact about the row, both empty for a column.
	text []byte
	meta string
	col  int
	form bytesForm
	read attributeForm
}

// attributeForm is how the text of a column becomes an attribute.
type attributeForm uint8

const (
	readText attributeForm = iota
	readBool               // t and f of PostgreSQL
	readTime               // a time of the database, as RFC 3339 has it
	readMillis
)

// planAttributes says how a shape's columns become attributes.
func (m *Mapper) planAttributes(t *table, s *outbox.Shape) ([]attributePlan, error) {
	var list []attributePlan
	for _, a := range t.attributes {
		key := "ce_" + a.Name
		if k, ok := eventHeader[a.Name]; ok {
			key = k
		}
		p := attributePlan{key: []byte(key), data: key == "content-type", name: a.Name, required: a.required,
			text: []byte(a.Value), meta: a.Meta, col: a.col}
		if a.col != none {
			c := &s.Columns[a.col]
			var ok bool
			if p.read, ok = m.attributeForm(t, c, a.Name); !ok {
				return nil, t.invalid("attributes", "column %q is of type %s, which makes no %s", c.Name, c.Type, a.Name)
			}
			p.form = m.bytesForm(t, c)
		}
		list = append(list, p)
	}
	return list, nil
}

// attributeForm finds the form of a column; ok is false where it has none.
func (m *Mapper) attributeForm(t *table, c *outbox.Column, name string) (f attributeForm, ok bool) {
	switch c.Type {
	case "timestamp", "timestamptz", "datetime", "date":
		return readTime, true
	case "bool":
		return readBool, name != attributeTime
	}
	if name != attributeTime {
		return readText, t.isUUID(c.Name) || !m.cfg.Source.Hex(columnOf(c)) && !m.cfg.Source.Binary(columnOf(c))
	}
	switch c.Type {
	case "int8", "bigint":
		return readMillis, true
	case "text", "varchar", "bpchar", "char", "tinytext", "mediumtext", "longtext":
		return readTime, true
	}
	return readText, false
}

var textTrue, textFalse = []byte("true"), []byte("false")

var specVersion = outbox.Header{Key: []byte("ce_specversion"), Value: []byte("1.0")}

// attributes puts the headers of a row's event into list, which has room for
// all, and returns their number. The error says why there is no event.
func (m *Mapper) attributes(p *plan, b *outbox.Batch, i int, msg *outbox.Message, out *outbox.Messages, list []outbox.Header) (int, error) {
	list[0] = specVersion
	n := 1
	for k := range p.attributes {
		a := &p.attributes[k]
		if a.data && msg.Value == nil {
			continue
		}
		v := a.text
		if len(v) == 0 {
			var err error
			if v, err = m.attribute(a, b, i, msg, out); err == nil && len(v) > 0 {
				err = checkText(a.name, v)
			}
			if err != nil {
				return 0, fmt.Errorf("its attribute %s %w", a.name, err)
			}
		}
		switch {
		case len(v) > 0:
			list[n] = outbox.Header{Key: a.key, Value: v}
			n++
		case a.required:
			return 0, fmt.Errorf("its attribute %s %w", a.name, errNoValue)
		}
	}
	return n, nil
}

var (
	errNoValue = errors.New("is NULL or empty, and a CloudEvent needs it")
	errNoBool  = errors.New("is neither t nor f")
)

// attribute is the value of an attribute that is no constant; empty for none.
func (m *Mapper) attribute(a *attributePlan, b *outbox.Batch, i int, msg *outbox.Message, out *outbox.Messages) ([]byte, error) {
	switch a.meta {
	case metaKey:
		return msg.Key, nil
	case MetaPosition:
		return b.CommitText(i), nil
	case MetaOrdinal:
		m.buf = strconv.AppendUint(m.buf[:0], b.Ordinal(i), 10)
		return kept(m.buf, out), nil
	}
	v, err := a.form.of(b, &b.Rows[i], a.col, out)
	if err != nil || v == nil {
		return nil, err
	}
	switch a.read {
	case readBool:
		switch string(v) {
		case "t":
			return textTrue, nil
		case "f":
			return textFalse, nil
		}
		return nil, errNoBool
	case readTime:
		if m.buf, err = appendRFC3339(m.buf[:0], v); err != nil {
			return nil, err
		}
		return kept(m.buf, out), nil
	case readMillis:
		if m.buf, err = appendMillis(m.buf[:0], v); err != nil {
			return nil, err
		}
		return kept(m.buf, out), nil
	}
	return v, nil
}

package connect

import (
	"slices"
	"strconv"
)

// Schema describes values, as JsonConverter writes it beside them.
type Schema struct {
	// Type is Connect's name: boolean, int16, int32, int64, float, double,
	// string, bytes, array, struct.
	Type string
	// Name is that of a logical type or a struct; "" for none.
	Name string
	// Version is written when it is not 0, or Versioned.
	Version   int32
	Versioned bool
	// Doc is the documentation that some logical types carry.
	Doc string
	// Params are written in this order.
	Params [][2]string
	// Optional allows null.
	Optional bool
	// Default is what stands in the schema as default; nil for none.
	Default *Value
	// Items is what an array holds.
	Items *Schema
	// Fields are those of a struct.
	Fields []Field
}

// Field is one field of a struct.
type Field struct {
	Name   string
	Schema *Schema
}

// The logical types of Connect itself whose values have a form of their own.
const (
	nameDecimal   = "org.apache.kafka.connect.data.Decimal"
	nameDate      = "org.apache.kafka.connect.data.Date"
	nameTime      = "org.apache.kafka.connect.data.Time"
	nameTimestamp = "org.apache.kafka.connect.data.Timestamp"
)

// Equal reports whether two schemas are the same.
func (s *Schema) Equal(o *Schema) bool {
	if s == nil || o == nil {
		return s == o
	}
	return s.Type == o.Type && s.Name == o.Name && s.Version == o.Version && s.Doc == o.Doc &&
		s.Optional == o.Optional && slices.Equal(s.Params, o.Params) && (s.Default == nil) == (o.Default == nil) &&
		s.Items.Equal(o.Items) &&
		slices.EqualFunc(s.Fields, o.Fields, func(a, b Field) bool { return a.Name == b.Name && a.Schema.Equal(b.Schema) })
}

// IsDecimal reports whether values are numbers, whatever Type says.
func (s *Schema) IsDecimal() bool { return s.Name == nameDecimal }

// field is the index of a field, -1 if there is none.
func (s *Schema) field(name string) int {
	return slices.IndexFunc(s.Fields, func(f Field) bool { return f.Name == name })
}

// AppendSchema appends the JSON form of a schema, in JsonConverter's order of
// names (JsonConverter.asJsonSchema of Apache Kafka). A nil schema is null.
func AppendSchema(dst []byte, s *Schema) []byte { return appendSchema(dst, s, "") }

func appendSchema(dst []byte, s *Schema, field string) []byte {
	if s == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, `{"type":"`...)
	dst = append(dst, s.Type...)
	dst = append(dst, '"')
	switch s.Type {
	case "array":
		dst = append(dst, `,"items":`...)
		dst = appendSchema(dst, s.Items, "")
	case "struct":
		dst = append(dst, `,"fields":[`...)
		for i, f := range s.Fields {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendSchema(dst, f.Schema, f.Name)
		}
		dst = append(dst, ']')
	}
	dst = append(dst, `,"optional":`...)
	dst = strconv.AppendBool(dst, s.Optional)
	if s.Name != "" {
		dst = append(dst, `,"name":`...)
		dst = AppendQuoted(dst, []byte(s.Name))
	}
	if s.Version != 0 || s.Versioned {
		dst = append(dst, `,"version":`...)
		dst = strconv.AppendInt(dst, int64(s.Version), 10)
	}
	if s.Doc != "" {
		dst = append(dst, `,"doc":`...)
		dst = AppendQuoted(dst, []byte(s.Doc))
	}
	if len(s.Params) > 0 {
		dst = append(dst, `,"parameters":{`...)
		for i, p := range s.Params {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendQuoted(dst, []byte(p[0]))
			dst = append(dst, ':')
			dst = AppendQuoted(dst, []byte(p[1]))
		}
		dst = append(dst, '}')
	}
	if s.Default != nil {
		dst = append(dst, `,"default":`...)
		dst = AppendJSON(dst, s, *s.Default)
	}
	if field != "" {
		dst = append(dst, `,"field":`...)
		dst = AppendQuoted(dst, []byte(field))
	}
	return append(dst, '}')
}

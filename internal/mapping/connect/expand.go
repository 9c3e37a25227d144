package connect

import "errors"

// errExpand says that a JSON text has no schema that could be inferred.
var errExpand = errors.New("has no uniform schema")

// Expand reads a text that holds a JSON object and infers a schema for it,
// as Debezium's router does for table.expand.json.payload (JsonSchemaData):
// numbers are int32, int64 or double; a name without a value, or with an empty
// array, is left out; elements of an array are of one type; objects in an
// array get the fields of all of them. name is the name of the top schema.
// With nulls, a null is bytes that are null.
//
// An error means that the text stays what it is: it is no JSON, no object, or
// not uniform. That includes what the original stumbles over only after it
// has chosen a schema, and what it would drop without a word. An empty array
// is kept as a text too, but its schema is nil: JsonConverter writes null.
func Expand(text []byte, name string, nulls bool) (*Schema, Value, error) {
	if len(text) == 0 || text[0] != '{' && text[0] != '[' {
		return nil, Value{}, errJSON
	}
	n, err := parseJSON(text)
	switch {
	case err != nil:
		return nil, Value{}, err
	case n.kind == Array && len(n.items) == 0:
		return nil, Text(text), nil
	case n.kind == Array:
		return nil, Value{}, errExpand
	}
	x := expander{nulls: nulls}
	s, err := x.schema(name, &n)
	if err != nil {
		return nil, Value{}, err
	}
	v, err := x.data(&n, s)
	return s, v, err
}

type expander struct{ nulls bool }

func optional(kind string) *Schema { return &Schema{Type: kind, Optional: true} }

// schema infers; nil without an error is for what is left out.
func (x expander) schema(key string, n *node) (*Schema, error) {
	switch n.kind {
	case String:
		return optional("string"), nil
	case Bool:
		return optional("boolean"), nil
	case Int:
		if n.value.Int == int64(int32(n.value.Int)) {
			return optional("int32"), nil
		}
		return optional("int64"), nil
	case Float64:
		return optional("double"), nil
	case Null:
		if x.nulls {
			return optional("bytes"), nil
		}
		return nil, nil
	case Array:
		if len(n.items) == 0 {
			return nil, nil
		}
		items, err := x.items(key, n)
		if err != nil {
			return nil, err
		}
		return &Schema{Type: "array", Items: items, Optional: true}, nil
	case Struct:
		return x.object(key, n)
	}
	return nil, errExpand // an integer of more than 64 bits
}

func (x expander) object(key string, n *node) (*Schema, error) {
	s := &Schema{Type: "struct", Name: key, Optional: true}
	for i := range n.names {
		name := string(n.names[i])
		path := name
		if key != "" {
			path = key + "." + name
		}
		f, err := x.schema(path, &n.items[i])
		if err != nil {
			return nil, err
		}
		if f == nil {
			continue
		}
		if name == "" {
			return nil, errExpand // Connect has no field without a name
		}
		s.Fields = append(s.Fields, Field{name, f})
	}
	return s, nil
}

// items is the schema of an array's elements, of which there is at least one.
func (x expander) items(key string, n *node) (*Schema, error) {
	var first *node
	for i := range n.items {
		e := &n.items[i]
		if e.kind == Null {
			continue
		}
		if first == nil {
			first = e
		}
		if e.kind != first.kind {
			return nil, errExpand
		}
		if e.kind == Int && (e.value.Int == int64(int32(e.value.Int))) != (first.value.Int == int64(int32(first.value.Int))) {
			return nil, errExpand
		}
	}
	if first == nil {
		first = &node{}
	}
	if first.kind != Struct {
		s, err := x.schema("", first)
		if err == nil && s == nil {
			err = errExpand // only nulls, or an empty array first
		}
		return s, err
	}
	var merged *Schema
	for i := range n.items {
		if n.items[i].kind != Struct {
			continue
		}
		s, err := x.schema(key, &n.items[i])
		if err != nil {
			return nil, err
		}
		merged = x.merge(merged, s)
	}
	return merged, nil
}

// merge adds the fields that only the right one has. Schemas that are the same
// stay as they are; a merged one is not optional.
func (x expander) merge(left, right *Schema) *Schema {
	if left == nil || left.Equal(right) {
		return right
	}
	out := &Schema{Type: left.Type, Name: left.Name, Fields: append([]Field{}, left.Fields...)}
	for _, f := range right.Fields {
		i := out.field(f.Name)
		switch {
		case i < 0:
			out.Fields = append(out.Fields, f)
		case out.Fields[i].Schema.Type == "bytes" && f.Schema.Type != "bytes":
			out.Fields[i] = f // it was null before
		}
	}
	return out
}

// data makes the value that the schema describes.
func (x expander) data(n *node, s *Schema) (Value, error) {
	switch {
	case n.kind == Null && !s.Optional:
		return Value{}, errExpand // among objects whose schemas were merged
	case n.kind == Null:
		return Value{}, nil
	case s.Type == "array" && n.kind == Array:
		v := Value{Kind: Array, List: make([]Value, len(n.items))}
		for i := range n.items {
			var err error
			if v.List[i], err = x.data(&n.items[i], s.Items); err != nil {
				return Value{}, err
			}
		}
		return v, nil
	case s.Type == "struct" && n.kind == Struct:
		return x.fields(n, s)
	case n.kind == scalarKind[s.Type]:
		if s.Type == "int32" && n.value.Int != int64(int32(n.value.Int)) ||
			s.Type == "int64" && n.value.Int == int64(int32(n.value.Int)) {
			return Value{}, errExpand
		}
		return n.value, nil
	}
	return Value{}, errExpand
}

var scalarKind = map[string]Kind{"string": String, "boolean": Bool, "int32": Int, "int64": Int, "double": Float64}

func (x expander) fields(n *node, s *Schema) (Value, error) {
	v := Value{Kind: Struct, List: make([]Value, len(s.Fields))}
	for i, f := range s.Fields {
		e := n.get(f.Name)
		if e == nil {
			continue
		}
		var err error
		if v.List[i], err = x.data(e, f.Schema); err != nil {
			return Value{}, err
		}
	}
	for i := range n.names {
		e := &n.items[i]
		if s.field(string(n.names[i])) < 0 && e.kind != Null && (e.kind != Array || len(e.items) > 0) {
			return Value{}, errExpand // it would be lost
		}
	}
	return v, nil
}

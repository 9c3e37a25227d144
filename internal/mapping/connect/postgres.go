package connect

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"strings"
)

// postgresType is the Type that Debezium's PostgreSQL connector gives to a column
// (PostgresValueConverter). Names are those of pg_type; an array is its
// element with an underscore before it, an enumeration is "enum".
func postgresType(c Column, m Modes) (Type, error) {
	if element, ok := strings.CutPrefix(c.Name, "_"); ok && arrays[element] {
		c.Name = element
		of, err := postgresType(c, m)
		if err != nil {
			return Type{}, err
		}
		t := array(of)
		if element == "numeric" {
			t = withoutSpecial(c, t)
		}
		return t, nil
	}
	switch c.Name {
	case "text", "varchar", "bpchar", "inet", "cidr", "macaddr", "macaddr8", "citext",
		"int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange":
		return plainString(""), nil
	case "uuid":
		return plainString("io.debezium.data.Uuid"), nil
	case "json", "jsonb":
		return plainString("io.debezium.data.Json"), nil
	case "xml":
		return plainString("io.debezium.data.Xml"), nil
	case "tsvector":
		return plainString("io.debezium.data.Tsvector"), nil
	case "ltree":
		return plainString("io.debezium.data.Ltree"), nil
	case "enum":
		t := plainString("io.debezium.data.Enum")
		t.Schema.Params = [][2]string{{"allowed", c.Labels}}
		return t, nil
	case "int2":
		return integer("int16", 16), nil
	case "int4":
		return integer("int32", 32), nil
	case "int8", "oid":
		return integer("int64", 64), nil
	case "bool":
		return boolean('t'), nil
	case "float4":
		return float("float", Float32, 32), nil
	case "float8":
		return float("double", Float64, 64), nil
	case "bytea":
		return bytesType(m.Binary, unhex)
	case "bit", "varbit":
		return postgresBits(c)
	case "numeric":
		return postgresNumeric(c, m)
	case "money":
		return postgresMoney(m)
	case "point":
		return postgresPoint(), nil
	case "interval":
		return instant("int64", "io.debezium.time.MicroDuration", parseInterval), nil
	case "date", "time", "timetz", "timestamp", "timestamptz":
		return postgresTime(c, m)
	}
	return Type{}, ErrUnsupported
}

// arrays are the elements whose arrays are known to be written as here.
// Elements with a time zone are not: Debezium reads them in the zone of its
// machine.
var arrays = set("int2", "int4", "int8", "oid", "text", "varchar", "bpchar", "inet", "cidr", "macaddr", "macaddr8",
	"int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange", "numeric", "float4", "float8", "bool",
	"date", "uuid", "json", "jsonb", "bytea")

var errSpecial = errors.New("has an element that is no number, in a column that is NOT NULL")

// withoutSpecial makes an array of numerics null that has one which is no
// number: the original, for which its driver reads arrays, only warns.
func withoutSpecial(c Column, t Type) Type {
	read := t.Read
	t.Read = func(text []byte) (Value, error) {
		switch {
		case !bytes.ContainsAny(text, "NI") || !bytes.Contains(text, []byte("NaN")) && !bytes.Contains(text, []byte("Infinity")):
			return read(text)
		case c.NotNull:
			return Value{}, errSpecial
		}
		return Value{}, nil
	}
	return t
}

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

// postgresBits: one bit is a boolean, more are bytes, least significant first
// and without those behind the last bit that is set.
func postgresBits(c Column) (Type, error) {
	switch {
	case c.Precision < 1:
		return Type{}, ErrUnsupported // bit varying without a limit
	case c.Precision == 1:
		t := boolean('1')
		read := t.Read
		t.Read = func(text []byte) (Value, error) {
			switch {
			case len(text) > 0:
				return read(text)
			case c.NotNull:
				return Value{}, errNoBit
			}
			return Value{}, nil
		}
		return t, nil
	}
	schema := &Schema{Type: "bytes", Name: "io.debezium.data.Bits", Version: 1,
		Params: [][2]string{{"length", strconv.Itoa(c.Precision)}}}
	return Type{Schema: schema, Read: func(t []byte) (Value, error) {
		t = bytes.TrimLeft(t, "0")
		b := make([]byte, (len(t)+7)/8)
		for i, c := range t {
			if c == '1' {
				n := len(t) - 1 - i
				b[n/8] |= 1 << (n % 8)
			}
		}
		return Value{Kind: Bytes, Bytes: b}, nil
	}}, nil
}

var errNoBit = errors.New("is of no bit, in a column that is NOT NULL")

// special are the values of numeric that are no numbers, and the names that
// Debezium gives them as a string.
var special = map[string]string{"NaN": "NAN", "Infinity": "POSITIVE_INFINITY", "-Infinity": "NEGATIVE_INFINITY"}

func postgresNumeric(c Column, m Modes) (Type, error) {
	variable := c.Precision <= 0
	switch {
	case m.Decimal == "double":
		return float("double", Float64, 64), nil
	case m.Decimal == "string":
		return formatted("", func(dst, text []byte) ([]byte, error) {
			if s, ok := special[string(text)]; ok {
				return append(dst, s...), nil
			}
			return append(dst, text...), nil
		}), nil
	case !variable && c.Scale < 0:
		return Type{}, ErrUnsupported // rounds to tens: PostgreSQL 15 and later
	}
	t := Type{Schema: variableDecimalSchema(), Read: variableDecimalOf}
	if !variable {
		t.Schema = decimalSchema(c.Scale, [2]string{"connect.decimal.precision", strconv.Itoa(c.Precision)})
		t.Read = func(text []byte) (Value, error) { return decimalOf(text, c.Scale) }
	}
	read := t.Read
	t.Read = func(text []byte) (Value, error) {
		if _, ok := special[string(text)]; ok {
			return Value{}, nil // as Debezium has it, which only warns
		}
		return read(text)
	}
	return t, nil
}

// postgresMoney reads an amount as the server writes it in the locale C.
func postgresMoney(m Modes) (Type, error) {
	switch m.Decimal {
	case "double":
		f := float("double", Float64, 64)
		return Type{Schema: f.Schema, Read: func(t []byte) (Value, error) {
			n, err := appendAmount(nil, t)
			if err != nil {
				return Value{}, err
			}
			return f.Read(n)
		}}, nil
	case "string":
		return formatted("", appendAmount), nil
	}
	return Type{Schema: decimalSchema(2), Read: func(t []byte) (Value, error) {
		n, err := appendAmount(nil, t)
		if err != nil {
			return Value{}, err
		}
		return decimalOf(n, 2)
	}}, nil
}

var errMoney = errors.New("is no amount of money as the locale C has it, such as -$1,234.50: lc_monetary of the session is another")

// appendAmount appends the number in an amount such as -$1,234.50. What other
// locales write is refused: there, a point may stand between thousands.
func appendAmount(dst, text []byte) ([]byte, error) {
	rest, minus := bytes.CutPrefix(text, []byte("-"))
	rest, dollar := bytes.CutPrefix(rest, []byte("$"))
	whole, cents, point := bytes.Cut(rest, []byte("."))
	if !dollar || !point || len(cents) != 2 || !allDigits(cents) {
		return dst, errMoney
	}
	if minus {
		dst = append(dst, '-')
	}
	for i, group := range bytes.Split(whole, []byte(",")) {
		if !allDigits(group) || len(group) > 3 || i > 0 && len(group) != 3 {
			return dst, errMoney
		}
		dst = append(dst, group...)
	}
	return append(append(dst, '.'), cents...), nil
}

func allDigits(text []byte) bool { return len(text) > 0 && len(bytes.Trim(text, "0123456789")) == 0 }

// javaBits is Double.doubleToLongBits, which knows one NaN.
func javaBits(f float64) uint64 {
	if math.IsNaN(f) {
		return 0x7ff8000000000000
	}
	return math.Float64bits(f)
}

func postgresPoint() Type {
	schema := &Schema{Type: "struct", Name: "io.debezium.data.geometry.Point", Version: 1, Doc: "Geometry (POINT)", Fields: []Field{
		{"x", &Schema{Type: "double"}}, {"y", &Schema{Type: "double"}},
		{"wkb", &Schema{Type: "bytes", Optional: true}}, {"srid", &Schema{Type: "int32", Optional: true}},
	}}
	return Type{Schema: schema, Read: func(t []byte) (Value, error) {
		xt, yt, ok := bytes.Cut(bytes.Trim(t, "()"), []byte(","))
		x, err1 := strconv.ParseFloat(string(xt), 64)
		y, err2 := strconv.ParseFloat(string(yt), 64)
		if !ok || err1 != nil || err2 != nil {
			return Value{}, errNumber
		}
		// Well-known binary: little-endian, a point.
		wkb := append(make([]byte, 0, 21), 1, 1, 0, 0, 0)
		wkb = binary.LittleEndian.AppendUint64(wkb, javaBits(x))
		wkb = binary.LittleEndian.AppendUint64(wkb, javaBits(y))
		return Value{Kind: Struct, List: []Value{
			{Kind: Float64, Float: x}, {Kind: Float64, Float: y}, {Kind: Bytes, Bytes: wkb}, {},
		}}, nil
	}}
}

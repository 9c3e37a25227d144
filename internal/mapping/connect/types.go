package connect

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// Type is what a column's type becomes: how its values are described, and how
// the database's text of one is read.
type Type struct {
	Schema *Schema
	// Plain says that Read gives the very text as a string.
	Plain bool
	// Read makes a value of the text of a cell that is not NULL. It may keep
	// text.
	Read func(text []byte) (Value, error)

	zero *Value // what stands for a null that Read gives, in a column that is NOT NULL; nil for the null
}

// Modes are choices that Debezium's connectors offer for some types, by their
// names there. An empty one is the connector's default.
type Modes struct {
	Binary         string // bytes, base64, base64-url-safe, hex
	Decimal        string // precise, string, double
	Time           string // adaptive, adaptive_time_microseconds, microseconds, nanoseconds, isostring, connect
	UnsignedBigint string // long, precise
}

// The choices of each of the modes. The first is the default, but MySQL and
// MariaDB know no adaptive: there it is adaptive_time_microseconds.
var (
	BinaryModes         = []string{"bytes", "base64", "base64-url-safe", "hex"}
	DecimalModes        = []string{"precise", "string", "double"}
	TimeModes           = []string{"adaptive", "adaptive_time_microseconds", "microseconds", "nanoseconds", "isostring", "connect"}
	UnsignedBigintModes = []string{"long", "precise"}
)

// Column describes a column's type as the source knows it.
type Column struct {
	// Name is the database's own name of the type.
	Name string
	// Precision and Scale are what was declared, -1 where nothing was: the
	// digits of a number, the digits of a fraction of a second (Precision),
	// the bits of a bit string (Precision).
	Precision, Scale int
	// Labels are an enumeration's or a set's, joined by commas.
	Labels string
	// NotNull says that the column is declared NOT NULL.
	NotNull bool
	// Default is the expression of its default, as the database prints it; ""
	// for none.
	Default string
}

// ErrUnsupported is what a type without a known form is refused with.
var ErrUnsupported = errors.New("has no form in Kafka Connect that tailer writes")

func plainString(name string) Type {
	s := &Schema{Type: "string", Name: name}
	if name != "" {
		s.Version = 1
	}
	return Type{Schema: s, Plain: true, Read: func(t []byte) (Value, error) { return Text(t), nil }}
}

// UUID is the Type of sixteen bytes that are to be the text of a UUID.
func UUID(optional bool) Type {
	t := formatted("io.debezium.data.Uuid", func(dst, b []byte) ([]byte, error) {
		if len(b) != 16 {
			return dst, errUUID
		}
		return AppendUUID(dst, b), nil
	})
	t.Schema.Optional = optional
	return t
}

var errUUID = errors.New("is no UUID: it has not 16 bytes")

// AppendUUID writes sixteen bytes as 8-4-4-4-12 hex digits.
func AppendUUID(dst, b []byte) []byte {
	for i, end := range [...]int{4, 6, 8, 10, 16} {
		if i > 0 {
			dst = append(dst, '-')
		}
		from := [...]int{0, 4, 6, 8, 10}[i]
		dst = hex.AppendEncode(dst, b[from:end])
	}
	return dst
}

// formatted is a string that is not the database's own text.
func formatted(name string, read func(dst, text []byte) ([]byte, error)) Type {
	t := plainString(name)
	t.Plain = false
	t.Read = func(text []byte) (Value, error) {
		b, err := read(make([]byte, 0, len(text)+8), text)
		return Text(b), err
	}
	return t
}

func integer(kind string, bits int) Type {
	return Type{Schema: &Schema{Type: kind}, Read: func(t []byte) (Value, error) {
		n, err := strconv.ParseInt(string(t), 10, bits)
		if err != nil {
			return Value{}, errNumber
		}
		return Value{Kind: Int, Int: n}, nil
	}}
}

func float(kind string, k Kind, bits int) Type {
	return Type{Schema: &Schema{Type: kind}, Read: func(t []byte) (Value, error) {
		f, err := strconv.ParseFloat(string(t), bits)
		if err != nil && !math.IsInf(f, 0) {
			return Value{}, errNumber
		}
		return Value{Kind: k, Float: f}, nil
	}}
}

// instant is a whole number that a logical type gives a meaning.
func instant(kind, name string, read func(text []byte) (int64, error)) Type {
	return Type{Schema: &Schema{Type: kind, Name: name, Version: 1}, Read: func(t []byte) (Value, error) {
		n, err := read(t)
		return Value{Kind: Int, Int: n}, err
	}}
}

// dated is a java.util.Date, of milliseconds.
func dated(kind, name string, read func(text []byte) (int64, error)) Type {
	return Type{Schema: &Schema{Type: kind, Name: name, Version: 1}, Read: func(t []byte) (Value, error) {
		n, err := read(t)
		return Value{Kind: Date, Int: n}, err
	}}
}

func boolean(yes byte) Type {
	return Type{Schema: &Schema{Type: "boolean"}, Read: func(t []byte) (Value, error) {
		v := Value{Kind: Bool}
		if len(t) > 0 && t[0] == yes {
			v.Int = 1
		}
		return v, nil
	}}
}

// bytesType is a column of bytes, written as the mode says; raw makes the bytes
// of the text.
func bytesType(mode string, raw func(text []byte) ([]byte, error)) (Type, error) {
	var encode func(dst, raw []byte) []byte
	switch mode {
	case "", "bytes":
		return Type{Schema: &Schema{Type: "bytes"}, Read: func(t []byte) (Value, error) {
			b, err := raw(t)
			return Value{Kind: Bytes, Bytes: b}, err
		}}, nil
	case "base64":
		encode = base64.StdEncoding.AppendEncode
	case "base64-url-safe":
		encode = base64.URLEncoding.AppendEncode
	case "hex":
		encode = hex.AppendEncode
	default:
		return Type{}, fmt.Errorf("%q is no mode of binary values", mode)
	}
	return formatted("", func(dst, text []byte) ([]byte, error) {
		b, err := raw(text)
		return encode(dst, b), err
	}), nil
}

var errHex = errors.New("is not in the hex form that the server was asked for")

func unhex(t []byte) ([]byte, error) {
	if len(t) < 2 || t[0] != '\\' || t[1] != 'x' {
		return nil, errHex
	}
	b := make([]byte, hex.DecodedLen(len(t)-2))
	if _, err := hex.Decode(b, t[2:]); err != nil {
		return nil, errHex
	}
	return b, nil
}

// array is an array of one dimension; its elements may be null.
func array(of Type) Type {
	items := *of.Schema
	items.Optional = true
	return Type{Schema: &Schema{Type: "array", Items: &items}, Read: func(t []byte) (Value, error) {
		elements, err := splitArray(t)
		if err != nil {
			return Value{}, err
		}
		v := Value{Kind: Array, List: make([]Value, len(elements))}
		for i, e := range elements {
			if e == nil {
				continue
			}
			if v.List[i], err = of.Read(e); err != nil {
				return Value{}, err
			}
		}
		return v, nil
	}}
}

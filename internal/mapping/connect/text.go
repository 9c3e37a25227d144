package connect

import (
	"encoding/base64"
	"strconv"
)

// AppendString appends a value as StringConverter writes it, which is Java's
// toString. Null has no bytes at all: the caller has to see to it. Bytes have
// no text in Java but an object's identity; HasText tells such schemas.
func AppendString(dst []byte, s *Schema, v Value) []byte {
	switch v.Kind {
	case Null:
		return append(dst, "null"...)
	case Bool:
		return strconv.AppendBool(dst, v.Int != 0)
	case Int:
		return strconv.AppendInt(dst, v.Int, 10)
	case Float32, Float64:
		return appendFloat(dst, v)
	case String:
		return appendUTF8(dst, v.Bytes)
	case Decimal:
		return appendDecimal(dst, v)
	case Date:
		return appendJavaDate(dst, v.Int)
	case Array:
		dst = append(dst, '[')
		for i, e := range v.List {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = AppendString(dst, s.Items, e)
		}
		return append(dst, ']')
	case Struct:
		dst = append(dst, "Struct{"...)
		first := true
		for i, f := range s.Fields {
			if v.List[i].Kind == Null {
				continue
			}
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = append(dst, f.Name...)
			dst = append(dst, '=')
			dst = AppendString(dst, f.Schema, v.List[i])
		}
		return append(dst, '}')
	}
	return append(dst, v.Bytes...)
}

// HasText reports whether every value of the schema has a text in Java: bytes
// have none.
func HasText(s *Schema) bool {
	switch {
	case s == nil:
		return true
	case s.Type == "bytes":
		return s.Name == nameDecimal
	case s.Type == "array":
		return HasText(s.Items)
	}
	for _, f := range s.Fields {
		if !HasText(f.Schema) {
			return false
		}
	}
	return true
}

// appendUTF8 writes a Java string as UTF-8, where a lone surrogate is "?".
func appendUTF8(dst, s []byte) []byte {
	for i := 0; i+2 < len(s); i++ {
		if s[i] == 0xed && s[i+1] >= 0xa0 {
			dst = append(append(dst, s[:i]...), '?')
			return appendUTF8(dst, s[i+3:])
		}
	}
	return append(dst, s...)
}

// AppendSimple appends a value as SimpleHeaderConverter writes it (Values of
// Apache Kafka): strings as they are, arrays and structs in a form like JSON.
func AppendSimple(dst []byte, s *Schema, v Value) []byte { return appendSimple(dst, s, v, false) }

func appendSimple(dst []byte, s *Schema, v Value, embedded bool) []byte {
	quote := func(do func()) {
		if embedded {
			dst = append(dst, '"')
		}
		do()
		if embedded {
			dst = append(dst, '"')
		}
	}
	switch v.Kind {
	case String:
		if !embedded {
			return appendUTF8(dst, v.Bytes)
		}
		return appendSimpleQuoted(dst, v.Bytes)
	case Bytes:
		quote(func() { dst = base64.StdEncoding.AppendEncode(dst, v.Bytes) })
		return dst
	case Date:
		return appendSimpleDate(dst, v.Int)
	case Array:
		dst = append(dst, '[')
		for i, e := range v.List {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendSimple(dst, s.Items, e, true)
		}
		return append(dst, ']')
	case Struct:
		dst = append(dst, '{')
		for i, f := range s.Fields {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendSimpleQuoted(dst, []byte(f.Name))
			dst = append(dst, ':')
			dst = appendSimple(dst, f.Schema, v.List[i], true)
		}
		return append(dst, '}')
	}
	return AppendString(dst, s, v)
}

// appendSimpleQuoted escapes backslashes and quotes, and nothing else.
func appendSimpleQuoted(dst, s []byte) []byte {
	dst = append(dst, '"')
	from := 0
	for i, c := range s {
		if c == '"' || c == '\\' {
			dst = appendUTF8(dst, s[from:i])
			dst = append(dst, '\\')
			from = i
		}
	}
	dst = appendUTF8(dst, s[from:])
	return append(dst, '"')
}

package connect

import (
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"
)

// AppendJSON appends a value as JsonConverter writes it, without its schema.
// The schema names the fields of structs; it may be nil for other values.
func AppendJSON(dst []byte, s *Schema, v Value) []byte {
	switch v.Kind {
	case Null:
		return append(dst, "null"...)
	case Bool:
		return strconv.AppendBool(dst, v.Int != 0)
	case Int:
		return strconv.AppendInt(dst, v.Int, 10)
	case Float32, Float64:
		// Jackson puts what JSON has no number for into quotes.
		if math.IsNaN(v.Float) || math.IsInf(v.Float, 0) {
			dst = append(dst, '"')
			return append(appendFloat(dst, v), '"')
		}
		return appendFloat(dst, v)
	case String:
		return AppendQuoted(dst, v.Bytes)
	case Bytes, Decimal:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, v.Bytes)
		return append(dst, '"')
	case Date:
		if s != nil && s.Name == nameDate {
			return strconv.AppendInt(dst, floorDiv(v.Int, millisPerDay), 10)
		}
		return strconv.AppendInt(dst, v.Int, 10)
	case Array:
		dst = append(dst, '[')
		for i, e := range v.List {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendJSON(dst, s.Items, e)
		}
		return append(dst, ']')
	}
	dst = append(dst, '{')
	for i, f := range s.Fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendQuoted(dst, []byte(f.Name))
		dst = append(dst, ':')
		dst = AppendJSON(dst, f.Schema, v.List[i])
	}
	return append(dst, '}')
}

const hexUpper = "0123456789ABCDEF"

// AppendQuoted appends a JSON string as Jackson writes UTF-8: short escapes
// where there are, upper-case hex for other controls, characters beyond the
// basic plane as two escaped surrogates, all else as it is.
func AppendQuoted(dst, s []byte) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < 0xed {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = append(dst, s[from:i]...)
			dst = appendEscape(dst, c)
			i++
			from = i
			continue
		}
		if c == 0xed && i+2 < len(s) && s[i+1] >= 0xa0 {
			// A surrogate without its other half, see Text.
			dst = append(dst, s[from:i]...)
			dst = appendUnit(dst, rune(c&0x0f)<<12|rune(s[i+1]&0x3f)<<6|rune(s[i+2]&0x3f))
			i += 3
			from = i
			continue
		}
		r, n := utf8.DecodeRune(s[i:])
		if r >= 0x10000 {
			dst = append(dst, s[from:i]...)
			r -= 0x10000
			dst = appendUnit(dst, 0xd800+r>>10)
			dst = appendUnit(dst, 0xdc00+r&0x3ff)
			from = i + n
		}
		i += n
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\t':
		return append(dst, '\\', 't')
	case '\n':
		return append(dst, '\\', 'n')
	case '\f':
		return append(dst, '\\', 'f')
	case '\r':
		return append(dst, '\\', 'r')
	}
	return appendUnit(dst, rune(c))
}

// appendUnit escapes one UTF-16 code unit.
func appendUnit(dst []byte, u rune) []byte {
	return append(dst, '\\', 'u', hexUpper[u>>12&15], hexUpper[u>>8&15], hexUpper[u>>4&15], hexUpper[u&15])
}

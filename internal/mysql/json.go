package mysql

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// MySQL stores JSON in a binary form, which the log holds as it is; SELECT
// shows it as text. appendJSON writes that very text. The format:
// https://github.com/mysql/mysql-server/blob/trunk/sql-common/json_binary.h

const (
	jsonSmallObject = 0x00
	jsonLargeObject = 0x01
	jsonSmallArray  = 0x02
	jsonLargeArray  = 0x03
	jsonLiteral     = 0x04
	jsonInt16       = 0x05
	jsonUint16      = 0x06
	jsonInt32       = 0x07
	jsonUint32      = 0x08
	jsonInt64       = 0x09
	jsonUint64      = 0x0a
	jsonDouble      = 0x0b
	jsonString      = 0x0c
	jsonOpaque      = 0x0f

	// jsonDepth is how deep the server lets documents nest.
	jsonDepth = 100
)

var errJSON = errors.New("malformed JSON value")

// appendJSON writes a stored JSON document as the server's own text. An empty
// document, which INSERT IGNORE can leave behind, is the JSON null.
func appendJSON(dst, b []byte) ([]byte, error) {
	if len(b) == 0 {
		return append(dst, "null"...), nil
	}
	return appendJSONValue(dst, b[0], b[1:], 0)
}

func appendJSONValue(dst []byte, typ byte, b []byte, depth int) ([]byte, error) {
	if depth > jsonDepth {
		return dst, errJSON
	}
	short := func(n int) bool { return len(b) < n }
	switch typ {
	case jsonSmallObject, jsonLargeObject:
		return appendJSONContainer(dst, b, typ == jsonLargeObject, true, depth)
	case jsonSmallArray, jsonLargeArray:
		return appendJSONContainer(dst, b, typ == jsonLargeArray, false, depth)
	case jsonLiteral:
		if short(1) {
			return dst, errJSON
		}
		return appendJSONLiteral(dst, b[0])
	case jsonInt16:
		if short(2) {
			return dst, errJSON
		}
		return strconv.AppendInt(dst, int64(int16(binary.LittleEndian.Uint16(b))), 10), nil
	case jsonUint16:
		if short(2) {
			return dst, errJSON
		}
		return strconv.AppendUint(dst, uint64(binary.LittleEndian.Uint16(b)), 10), nil
	case jsonInt32:
		if short(4) {
			return dst, errJSON
		}
		return strconv.AppendInt(dst, int64(int32(binary.LittleEndian.Uint32(b))), 10), nil
	case jsonUint32:
		if short(4) {
			return dst, errJSON
		}
		return strconv.AppendUint(dst, uint64(binary.LittleEndian.Uint32(b)), 10), nil
	case jsonInt64:
		if short(8) {
			return dst, errJSON
		}
		return strconv.AppendInt(dst, int64(binary.LittleEndian.Uint64(b)), 10), nil
	case jsonUint64:
		if short(8) {
			return dst, errJSON
		}
		return strconv.AppendUint(dst, binary.LittleEndian.Uint64(b), 10), nil
	case jsonDouble:
		if short(8) {
			return dst, errJSON
		}
		return appendJSONDouble(dst, math.Float64frombits(binary.LittleEndian.Uint64(b))), nil
	case jsonString:
		s, err := jsonBytes(b)
		if err != nil {
			return dst, err
		}
		return appendJSONString(dst, s), nil
	case jsonOpaque:
		if short(1) {
			return dst, errJSON
		}
		s, err := jsonBytes(b[1:])
		if err != nil {
			return dst, err
		}
		return appendJSONOpaque(dst, b[0], s)
	}
	return dst, fmt.Errorf("%w: type %d", errJSON, typ)
}

func appendJSONLiteral(dst []byte, v byte) ([]byte, error) {
	switch v {
	case 0:
		return append(dst, "null"...), nil
	case 1:
		return append(dst, "true"...), nil
	case 2:
		return append(dst, "false"...), nil
	}
	return dst, fmt.Errorf("%w: literal %d", errJSON, v)
}

// appendJSONContainer writes an object or an array: count, size, then entries
// of keys (offset, length), entries of values (type, offset or the value
// itself), all offsets from the container's begin.
func appendJSONContainer(dst, b []byte, large, object bool, depth int) ([]byte, error) {
	word := 2
	if large {
		word = 4
	}
	read := func(at int) int {
		if large {
			return int(binary.LittleEndian.Uint32(b[at:]))
		}
		return int(binary.LittleEndian.Uint16(b[at:]))
	}
	if len(b) < 2*word {
		return dst, errJSON
	}
	n, size := read(0), read(word)
	keyEntry, valueEntry := 0, 1+word
	if object {
		keyEntry = word + 2
	}
	if size > len(b) || n > (size-2*word)/(keyEntry+valueEntry) {
		return dst, errJSON
	}
	b = b[:size]
	open, end := byte('['), byte(']')
	if object {
		open, end = '{', '}'
	}
	dst = append(dst, open)
	keys := 2 * word
	values := keys + n*keyEntry
	var err error
	for i := range n {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		if object {
			at := keys + i*keyEntry
			offset, length := read(at), int(binary.LittleEndian.Uint16(b[at+word:]))
			if offset > len(b) || length > len(b)-offset {
				return dst, errJSON
			}
			dst = appendJSONString(dst, b[offset:offset+length])
			dst = append(dst, ": "...)
		}
		at := values + i*valueEntry
		typ := b[at]
		inline := typ == jsonLiteral || typ == jsonInt16 || typ == jsonUint16 ||
			large && (typ == jsonInt32 || typ == jsonUint32)
		if inline {
			dst, err = appendJSONValue(dst, typ, b[at+1:at+valueEntry], depth+1)
		} else {
			offset := read(at + 1)
			if offset > len(b) {
				return dst, errJSON
			}
			dst, err = appendJSONValue(dst, typ, b[offset:], depth+1)
		}
		if err != nil {
			return dst, err
		}
	}
	return append(dst, end), nil
}

// jsonBytes reads a length, seven bits a byte, low ones first, and as many
// bytes.
func jsonBytes(b []byte) ([]byte, error) {
	n := uint64(0)
	for i := range 5 {
		if i >= len(b) {
			return nil, errJSON
		}
		n |= uint64(b[i]&0x7f) << (7 * i)
		if b[i]&0x80 == 0 {
			b = b[i+1:]
			if n > uint64(len(b)) {
				return nil, errJSON
			}
			return b[:n], nil
		}
	}
	return nil, errJSON
}

// appendJSONDouble: as any double, and what looks like an integer gets ".0".
func appendJSONDouble(dst []byte, v float64) []byte {
	at := len(dst)
	dst = appendDouble(dst, v)
	for _, c := range dst[at:] {
		if c == '.' || c == 'e' {
			return dst
		}
	}
	return append(dst, ".0"...)
}

// appendJSONString quotes as the server does: control characters, quote and
// backslash escaped, everything else as it is.
func appendJSONString(dst, s []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= 0x20:
			dst = append(dst, c)
		case c == '\b':
			dst = append(dst, `\b`...)
		case c == '\f':
			dst = append(dst, `\f`...)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\r':
			dst = append(dst, `\r`...)
		case c == '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(dst, '"')
}

// appendJSONOpaque writes a value of an SQL type that JSON does not have.
func appendJSONOpaque(dst []byte, typ byte, b []byte) ([]byte, error) {
	switch typ {
	case typeNewDecimal:
		// Precision, scale, and the digits as in a column.
		if len(b) < 2 {
			return dst, errJSON
		}
		n, err := decimalSize(int(b[0]), int(b[1]))
		if err != nil || len(b)-2 < n {
			return dst, errJSON
		}
		return appendDecimal(dst, b[2:2+n], int(b[0]), int(b[1])), nil
	case typeDate, typeDatetime, typeTimestamp, typeTime:
		if len(b) < 8 {
			return dst, errJSON
		}
		dst = append(dst, '"')
		v := int64(binary.LittleEndian.Uint64(b))
		if typ == typeTime {
			dst = appendPackedTime(dst, v, 6)
		} else {
			dst = appendPackedDatetime(dst, v, 6, typ == typeDate)
		}
		return append(dst, '"'), nil
	}
	dst = append(dst, `"base64:type`...)
	dst = strconv.AppendUint(dst, uint64(typ), 10)
	dst = append(dst, ':')
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, '"'), nil
}

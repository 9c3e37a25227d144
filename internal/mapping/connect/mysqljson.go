package connect

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"
)

// binlogJSON writes a JSON document, given in the server's own text, as
// Debezium's reader of the log does (JsonStringFormatter of its binlog client):
// no spaces, upper-case hex in escapes, bytes without their type, and doubles
// in Java's form, or with all their digits where that would have an exponent.
//
// Dates and times in a document stay as the server writes them: that they are
// none of its strings cannot be told from the text.
func binlogJSON(dst, text []byte) ([]byte, error) {
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == ' ':
			i++
		case c == '"':
			n := quoted(text[i:])
			if n < 0 {
				return dst, errJSON
			}
			name := i+n < len(text) && text[i+n] == ':'
			dst = appendBinlogString(dst, text[i:i+n], name)
			i += n
		case c == '-' || c >= '0' && c <= '9':
			n := 1
			for i+n < len(text) && bytes.IndexByte([]byte("0123456789.eE+-"), text[i+n]) >= 0 {
				n++
			}
			dst = appendBinlogNumber(dst, text[i:i+n])
			i += n
		default:
			dst = append(dst, c)
			i++
		}
	}
	return dst, nil
}

// quoted is the length of the string that s begins with, quotes included; -1
// when it does not end.
func quoted(s []byte) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// appendBinlogString takes over a string with its quotes; a name is never
// bytes.
func appendBinlogString(dst, s []byte, name bool) []byte {
	if raw := opaque(s[1 : len(s)-1]); raw != nil && !name {
		return append(append(append(dst, '"'), raw...), '"')
	}
	for i := 0; i < len(s); i++ {
		dst = append(dst, s[i])
		if s[i] != '\\' || i+1 == len(s) {
			continue
		}
		i++
		dst = append(dst, s[i])
		if s[i] == 'u' && i+4 < len(s) {
			dst = append(dst, bytes.ToUpper(s[i+1:i+5])...)
			i += 4
		}
	}
	return dst
}

// opaque is the base64 of a value of a type that JSON does not have, which the
// server writes as base64:typeNUMBER:DATA; nil for any other string.
func opaque(s []byte) []byte {
	rest, ok := bytes.CutPrefix(s, []byte("base64:type"))
	number, data, found := bytes.Cut(rest, []byte{':'})
	if !ok || !found {
		return nil
	}
	if n, err := strconv.ParseUint(string(number), 10, 8); err != nil || n < 15 {
		return nil
	}
	if _, err := base64.StdEncoding.Strict().DecodeString(string(data)); err != nil {
		return nil
	}
	return data
}

// appendBinlogNumber: integers and decimals stay what they are, and a double is
// told from a decimal by its text, which is the shortest that there is.
func appendBinlogNumber(dst, text []byte) []byte {
	if !bytes.ContainsAny(text, ".eE") {
		return append(dst, text...)
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !isDoubleText(text, f) {
		return append(dst, text...)
	}
	at := len(dst)
	dst = appendFloat(dst, Value{Kind: Float64, Float: f})
	if bytes.IndexByte(dst[at:], 'E') < 0 {
		return dst
	}
	// Every double has an end in decimal, after 1,074 digits at most.
	dst = strconv.AppendFloat(dst[:at], f, 'f', 1074, 64)
	return bytes.TrimSuffix(bytes.TrimRight(dst, "0"), []byte{'.'})
}

// isDoubleText reports whether the server writes this double so: with an
// exponent beyond fifteen digits, and with .0 behind what is whole.
func isDoubleText(text []byte, f float64) bool {
	if bytes.IndexByte(text, 'e') >= 0 {
		return true
	}
	if a := math.Abs(f); a >= 1e15 || a < 1e-15 && a != 0 {
		return false
	}
	var buf [40]byte
	return bytes.Equal(bytes.TrimSuffix(text, []byte(".0")), strconv.AppendFloat(buf[:0], f, 'f', -1, 64))
}

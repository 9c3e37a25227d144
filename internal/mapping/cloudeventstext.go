package mapping

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The values of a CloudEvent's attributes, see section Type System of
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md.

var (
	errBadText    = errors.New("is no text that a CloudEvent may have: it is not UTF-8, or holds control characters or noncharacters")
	errNoURI      = errors.New("is no URI reference")
	errNoFullURI  = errors.New("is no URI with a scheme")
	errNoMedia    = errors.New("is no media type")
	errStructured = errors.New("is the media type of a structured event, and this is none")
	errNoTime     = errors.New("is no date and time from the year 1 to 9999 that RFC 3339 can write")
)

// structured begins the media types of events in structured mode.
var structured = []byte("application/cloudevents")

// checkText says what is wrong with the value of an attribute.
func checkText(name string, v []byte) error {
	if !isEventText(v) {
		return errBadText
	}
	switch name {
	case "source":
		if !isURI(v) {
			return errNoURI
		}
	case "dataschema":
		if !isURI(v) || !hasScheme(v) {
			return errNoFullURI
		}
	case "datacontenttype":
		switch {
		case !isMediaType(v):
			return errNoMedia
		case len(v) >= len(structured) && bytes.EqualFold(v[:len(structured)], structured):
			return errStructured
		}
	}
	return nil
}

// isEventText checks the type String: no control characters, no
// noncharacters, no halves of surrogate pairs.
func isEventText(v []byte) bool {
	for i := 0; i < len(v); {
		c := v[i]
		if c < utf8.RuneSelf {
			if c < ' ' || c == 0x7f {
				return false
			}
			i++
			continue
		}
		r, n := utf8.DecodeRune(v[i:])
		if r == utf8.RuneError && n == 1 || r < 0xa0 || r >= 0xfdd0 && r <= 0xfdef || r&0xfffe == 0xfffe {
			return false
		}
		i += n
	}
	return true
}

// isURI checks that only characters of RFC 3986 are there, and each % begins an
// escape.
func isURI(v []byte) bool {
	for i, c := range v {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', isDigit(c):
		case c == '%':
			if i+2 >= len(v) || !isHex(v[i+1]) || !isHex(v[i+2]) {
				return false
			}
		case strings.IndexByte("-._~:/?#[]@!$&'()*+,;=", c) < 0:
			return false
		}
	}
	return true
}

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

func hasScheme(v []byte) bool {
	scheme, _, ok := bytes.Cut(v, []byte{':'})
	for i, c := range scheme {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || !isDigit(c) && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return ok && len(scheme) > 0
}

// isMediaType checks type/subtype, and that parameters begin with a semicolon
// (RFC 2045).
func isMediaType(v []byte) bool {
	media, _, _ := bytes.Cut(v, []byte{';'})
	typ, sub, ok := bytes.Cut(bytes.TrimRight(media, " "), []byte{'/'})
	return ok && isToken(typ) && isToken(sub)
}

func isToken(v []byte) bool {
	for _, c := range v {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?=`, c) >= 0 {
			return false
		}
	}
	return len(v) > 0
}

// appendRFC3339 writes a time that a database printed in its ISO form, or that
// is in the form of RFC 3339 already. Without an offset it is UTC, and a date
// is its midnight.
func appendRFC3339(dst, v []byte) ([]byte, error) {
	const form = "0000-00-00T00:00:00"
	start := len(dst)
	for i := range form {
		switch {
		case i >= len(v) && i != len("0000-00-00"):
			return dst, errNoTime
		case i >= len(v):
			dst = append(dst, "T00:00:00Z"...)
			return checkTime(dst, start)
		case form[i] == '0' && isDigit(v[i]), form[i] == v[i]:
			dst = append(dst, v[i])
		case form[i] == 'T' && (v[i] == ' ' || v[i] == 't'):
			dst = append(dst, 'T')
		default:
			return dst, errNoTime
		}
	}
	v = v[len(form):]
	if len(v) > 1 && v[0] == '.' {
		n := 1
		for n < len(v) && isDigit(v[n]) {
			n++
		}
		if n == 1 {
			return dst, errNoTime
		}
		dst, v = append(dst, v[:n]...), v[n:]
	}
	switch {
	case len(v) == 0 || string(v) == "Z" || string(v) == "z" || string(v) == "+00":
		dst = append(dst, 'Z')
	case len(v) == len("+00"):
		dst = append(append(dst, v...), ":00"...)
	default:
		dst = append(dst, v...)
	}
	return checkTime(dst, start)
}

// checkTime has the last word on what was written from start on.
func checkTime(dst []byte, start int) ([]byte, error) {
	var t time.Time
	if err := t.UnmarshalText(dst[start:]); err != nil || t.Year() < 1 {
		return dst, errNoTime
	}
	return dst, nil
}

// appendMillis writes a number of milliseconds since 1970.
func appendMillis(dst, v []byte) ([]byte, error) {
	n, err := strconv.ParseInt(string(v), 10, 64)
	t := time.UnixMilli(n).UTC()
	if err != nil || t.Year() < 1 || t.Year() > 9999 {
		return dst, errNoTime
	}
	return t.AppendFormat(dst, time.RFC3339Nano), nil
}

package mapping

import (
	"unicode/utf16"
	"unicode/utf8"
)

// Jackson writes the text of a string as it is but for these characters.
// Go's encoders escape more (<, >, &, U+2028, U+2029), and in lower case.

// escapes tells for each byte what stands for it: 0 for itself, 'u' for
// \u00XX, else the letter behind a backslash.
var escapes = func() (t [256]byte) {
	for c := range ' ' {
		t[c] = 'u'
	}
	t['\b'], t['\t'], t['\n'], t['\f'], t['\r'], t['"'], t['\\'] = 'b', 't', 'n', 'f', 'r', '"', '\\'
	return t
}()

// escapedLen is the length of what appendEscaped appends.
func escapedLen(s []byte) int {
	n := len(s)
	for _, c := range s {
		switch escapes[c] {
		case 0:
		case 'u':
			n += 5
		default:
			n++
		}
	}
	return n
}

// appendEscaped appends the content of a JSON string, without quotes, as
// Jackson writes it.
func appendEscaped(dst, s []byte) []byte {
	const digits = "0123456789ABCDEF"
	from := 0
	for i, c := range s {
		e := escapes[c]
		if e == 0 {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		dst = append(dst, '\\', e)
		if e == 'u' {
			dst = append(dst, '0', '0', digits[c>>4], digits[c&15])
		}
	}
	return append(dst, s[from:]...)
}

// appendUnescaped appends the text of the content of a JSON string that
// scanString has read. Half of a surrogate pair, which UTF-8 cannot hold,
// becomes a question mark, as Java's encoder has it.
func appendUnescaped(dst, s []byte) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			dst = append(dst, s[i])
			continue
		}
		i++
		switch c := s[i]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, _ := hex4(s, i+1)
			if i += 4; !utf16.IsSurrogate(r) {
				dst = utf8.AppendRune(dst, r)
				continue
			}
			pair := rune(utf8.RuneError)
			if i+2 < len(s) && s[i+1] == '\\' && s[i+2] == 'u' {
				if low, ok := hex4(s, i+3); ok {
					pair = utf16.DecodeRune(r, low)
				}
			}
			if pair == utf8.RuneError {
				dst = append(dst, '?')
				continue
			}
			dst = utf8.AppendRune(dst, pair)
			i += 6
		default: // " \ /
			dst = append(dst, c)
		}
	}
	return dst
}

package mapping

// The functions of this file walk over JSON text (RFC 8259) without building
// anything of it, and judge as Jackson's parser does in its default settings:
// strings hold no bare control characters, numbers have no leading zeros, and
// what follows the first value is not looked at. Each takes an index into the
// text and returns the index behind what it read, or bad.

// bad is the index behind something that is not there.
const bad = -1

func skipSpace(s []byte, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r') {
		i++
	}
	return i
}

// scanString reads a string with its quotes; plain tells that it has no
// escapes.
func scanString(s []byte, i int) (end int, plain bool) {
	if i >= len(s) || s[i] != '"' {
		return bad, false
	}
	plain = true
	for i++; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return i + 1, plain
		case c < ' ':
			return bad, false
		case c == '\\':
			plain = false
			if i = scanEscape(s, i); i == bad {
				return bad, false
			}
		}
	}
	return bad, false
}

// scanEscape reads an escape from its backslash on and returns the index of
// its last byte.
func scanEscape(s []byte, i int) int {
	if i++; i >= len(s) {
		return bad
	}
	switch s[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i
	case 'u':
		if _, ok := hex4(s, i+1); ok {
			return i + 4
		}
	}
	return bad
}

// hex4 reads four hexadecimal digits.
func hex4(s []byte, i int) (v rune, ok bool) {
	if i+4 > len(s) {
		return 0, false
	}
	for _, c := range s[i : i+4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		v = v<<4 | rune(c)
	}
	return v, true
}

// scanScalar reads a number, true, false or null; behind it the text ends, or
// a space or punctuation follows.
func scanScalar(s []byte, i int) int {
	start := i
	if i < len(s) && (s[i] == '-' || isDigit(s[i])) {
		i = scanNumber(s, i)
	} else {
		for i < len(s) && 'a' <= s[i] && s[i] <= 'z' {
			i++
		}
		if w := string(s[start:i]); w != "true" && w != "false" && w != "null" {
			return bad
		}
	}
	if i < 0 || i < len(s) && skipSpace(s, i) == i && s[i] != ',' && s[i] != '}' && s[i] != ']' {
		return bad
	}
	return i
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func scanNumber(s []byte, i int) int {
	digits := func() bool {
		from := i
		for i < len(s) && isDigit(s[i]) {
			i++
		}
		return i > from
	}
	if s[i] == '-' {
		i++
	}
	first := i
	if !digits() || s[first] == '0' && i > first+1 {
		return bad
	}
	if i < len(s) && s[i] == '.' {
		if i++; !digits() {
			return bad
		}
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		if i++; i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if !digits() {
			return bad
		}
	}
	return i
}

// scanName reads the name of a member and its colon.
func scanName(s []byte, i int) int {
	i, _ = scanString(s, skipSpace(s, i))
	if i == bad {
		return bad
	}
	if i = skipSpace(s, i); i >= len(s) || s[i] != ':' {
		return bad
	}
	return i + 1
}

// scanValue reads any value, with the spaces before it. stack is scratch, and
// returned to be used again.
func scanValue(s []byte, i int, stack []byte) (end int, scratch []byte) {
	stack = stack[:0]
	for {
		if i = skipSpace(s, i); i >= len(s) {
			return bad, stack
		}
		switch c := s[i]; c {
		case '{', '[':
			inside := skipSpace(s, i+1)
			if inside < len(s) && s[inside] == c+2 { // } is two behind {, and ] behind [
				i = inside + 1
				break
			}
			stack = append(stack, c)
			if i++; c == '{' {
				if i = scanName(s, i); i == bad {
					return bad, stack
				}
			}
			continue
		case '"':
			i, _ = scanString(s, i)
		default:
			i = scanScalar(s, i)
		}
		if i == bad || len(stack) == 0 {
			return i, stack
		}
		if i, stack = scanNext(s, i, stack); i == bad || len(stack) == 0 {
			return i, stack
		}
	}
}

// scanNext goes from the end of a value to where the next one is expected, or,
// with nothing left on the stack, to the end of the outermost.
func scanNext(s []byte, i int, stack []byte) (at int, scratch []byte) {
	for len(stack) > 0 {
		if i = skipSpace(s, i); i >= len(s) {
			return bad, stack
		}
		open := stack[len(stack)-1]
		switch s[i] {
		case ',':
			if i++; open == '{' {
				i = scanName(s, i)
			}
			return i, stack
		case open + 2:
			stack = stack[:len(stack)-1]
			i++
		default:
			return bad, stack
		}
	}
	return i, stack
}

// isJSON reports whether Jackson reads a value from the text.
func (m *Mapper) isJSON(text []byte) bool {
	end, scratch := scanValue(text, 0, m.buf)
	m.buf = scratch
	return end != bad
}

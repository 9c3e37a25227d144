package mapping

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
)

var errSyntax = errors.New("the same syntax means something else in Java and in Go here, or has no equivalent; write it otherwise")

// javaDot is what a dot matches in Java: no line terminator.
const javaDot = `[^\n\r\x{85}\x{2028}\x{2029}]`

// translate makes Go's pattern of Java's. What Go does not know it refuses
// itself; what both know with another meaning is translated, or refused.
func translate(p string) (string, error) {
	dotAll := []bool{false} // whether a dot matches everything, in each of the groups that are open
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c == '\\' && i+1 < len(p):
			n, err := escape(p[i:], &b)
			if err != nil {
				return "", err
			}
			i += n - 1
		case c == '.' && !dotAll[len(dotAll)-1]:
			b.WriteString(javaDot)
		case c == '[':
			n, err := class(p[i:], &b)
			if err != nil {
				return "", err
			}
			i += n - 1
		case c == '(':
			on, off, n := flags(p[i:])
			if strings.ContainsAny(on+off, "Um") {
				return "", fmt.Errorf("regex: flag in %.8s: %w", p[i:], errSyntax)
			}
			all := (dotAll[len(dotAll)-1] || strings.Contains(on, "s")) && !strings.Contains(off, "s")
			if n > 0 && p[i+n-1] == ')' {
				dotAll[len(dotAll)-1] = all
			} else {
				dotAll = append(dotAll, all)
			}
			n = max(n, 1)
			b.WriteString(p[i : i+n])
			i += n - 1
		case c == ')' && len(dotAll) > 1:
			dotAll = dotAll[:len(dotAll)-1]
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

// What \s, \v and \h stand for in Java. Go knows the first without a vertical tab, the second as that alone, and the
// third not at all. Each ends in a range, so that a - that follows it inside of [...] is itself.
const (
	javaSpace      = ` \t-\r`
	javaVertical   = `\x{85}\x{2028}\x{2029}\n-\r`
	javaHorizontal = ` \t\x{A0}\x{1680}\x{180E}\x{202F}\x{205F}\x{3000}\x{2000}-\x{200A}`
)

// escape translates what the backslash stands for that p begins with, outside of [...], and gives its length.
func escape(p string, b *strings.Builder) (int, error) {
	char, n, err := character(p)
	if n > 0 || err != nil {
		b.WriteString(char)
		return n, err
	}
	switch c := p[1]; {
	case c == 's':
		b.WriteString(`[` + javaSpace + `]`)
	case c == 'S':
		b.WriteString(`[^` + javaSpace + `]`)
	case c == 'v':
		b.WriteString(`[` + javaVertical + `]`)
	case c == 'h':
		b.WriteString(`[` + javaHorizontal + `]`)
	case c == 'H':
		b.WriteString(`[^` + javaHorizontal + `]`)
	case c == 'Q':
		quoted, _, closed := strings.Cut(p[2:], `\E`)
		b.WriteString(regexp.QuoteMeta(quoted))
		if !closed {
			return len(p), nil
		}
		return len(quoted) + 4, nil
	case c >= '1' && c <= '9' || c == 'C':
		return 0, fmt.Errorf(`regex: \%c: %w`, c, errSyntax)
	default:
		b.WriteString(p[:2])
	}
	return 2, nil
}

// character translates the escapes of single characters that Go has not: \0 with up to three octal digits, \u with
// four of 16, \c with a letter, \e. The length is 0 where p begins with none of them.
func character(p string) (char string, n int, err error) {
	switch p[1] {
	case 'e':
		return `\x{1B}`, 2, nil
	case 'c':
		if len(p) > 2 && p[2] < 0x80 {
			return fmt.Sprintf(`\x{%X}`, p[2]^0x40), 3, nil
		}
	case 'u':
		if len(p) >= 6 {
			// One half of a surrogate pair is no character to Go.
			if r, err := strconv.ParseUint(p[2:6], 16, 16); err == nil && !utf16.IsSurrogate(rune(r)) {
				return fmt.Sprintf(`\x{%X}`, r), 6, nil
			}
		}
	case '0':
		r, digits := 0, 0
		for digits < 3 && 2+digits < len(p) && p[2+digits] >= '0' && p[2+digits] <= '7' && (digits < 2 || p[2] <= '3') {
			r = r*8 + int(p[2+digits]-'0')
			digits++
		}
		if digits > 0 {
			return fmt.Sprintf(`\x{%X}`, r), 2 + digits, nil
		}
	default:
		return "", 0, nil
	}
	return "", 0, fmt.Errorf(`regex: \%c: %w`, p[1], errSyntax)
}

// class translates the character class that p begins with, and gives its
// length. Java nests and intersects classes.
func class(p string, b *strings.Builder) (int, error) {
	b.WriteByte('[')
	for i := 1; i < len(p); i++ {
		switch {
		case p[i] == '\\' && i+1 < len(p):
			char, n, err := character(p[i:])
			if err != nil {
				return 0, err
			}
			if n > 0 {
				b.WriteString(char)
				i += n - 1
				continue
			}
			i++
			switch c := p[i]; {
			case c == 's':
				b.WriteString(javaSpace)
			case c == 'v':
				b.WriteString(javaVertical)
			case c == 'h':
				b.WriteString(javaHorizontal)
			case c == 'S' || c == 'H' || c == 'Q' || c >= '1' && c <= '9':
				return 0, fmt.Errorf(`regex: \%c inside of [...]: %w`, c, errSyntax)
			default:
				b.WriteString(p[i-1 : i+1])
			}
			continue
		case p[i] == '[' || strings.HasPrefix(p[i:], "&&"):
			return 0, fmt.Errorf("regex: %s inside of [...]: %w", p[i:i+1], errSyntax)
		case p[i] == ']' && i > 1 && p[:i] != "[^":
			b.WriteByte(']')
			return i + 1, nil
		}
		b.WriteByte(p[i])
	}
	return 0, errors.New("regex: missing closing ]: `" + p + "`")
}

// flags are those that the group sets and clears which p begins with, such as (?i-s) or (?i:a), and n is the length up to
// its ) or : or 0 where it is no such group.
func flags(p string) (on, off string, n int) {
	rest, ok := strings.CutPrefix(p, "(?")
	end := strings.IndexAny(rest, "):<=!>")
	if !ok || end < 0 || rest[end] != ')' && rest[end] != ':' {
		return "", "", 0
	}
	on, off, _ = strings.Cut(rest[:end], "-")
	return on, off, len("(?") + end + 1
}

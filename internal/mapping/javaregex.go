package mapping

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// regex does what Kafka Connect's RegexRouter does with a pattern of Java
// (java.util.regex): the whole value has to match, then the first match in it
// is replaced.
type regex struct {
	whole, first *regexp.Regexp
	parts        []part
}

// part is a piece of a replacement: a text, or a group.
type part struct {
	text  string
	group int // of the pattern; -1 for a text
}

var errSyntax = errors.New("the same syntax means something else in Java and in Go here, or has no equivalent; write it otherwise")

// newRegex compiles a pattern and its replacement.
func newRegex(pattern, replacement string) (*regex, error) {
	translated, err := translate(pattern)
	if err != nil {
		return nil, err
	}
	r := &regex{}
	if r.first, err = regexp.Compile(translated); err != nil {
		return nil, fmt.Errorf("regex: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	if r.whole, err = regexp.Compile(`\A(?:` + translated + `)\z`); err != nil {
		return nil, fmt.Errorf("regex: %w", err)
	}
	r.parts, err = parseReplacement(replacement, r.first)
	return r, err
}

// replace gives the topic of a value; one that does not match is itself.
func (r *regex) replace(value string) string {
	if !r.whole.MatchString(value) {
		return value
	}
	m := r.first.FindStringSubmatchIndex(value)
	if m == nil {
		return value
	}
	var b strings.Builder
	b.WriteString(value[:m[0]])
	for _, p := range r.parts {
		switch {
		case p.group < 0:
			b.WriteString(p.text)
		case m[2*p.group] >= 0:
			b.WriteString(value[m[2*p.group]:m[2*p.group+1]])
		}
	}
	b.WriteString(value[m[1]:])
	return b.String()
}

// javaDot is what a dot matches in Java: no line terminator.
const javaDot = `[^\n\r\x{85}\x{2028}\x{2029}]`

// translate makes Go's pattern of Java's. What Go does not know it refuses
// itself; what both know with another meaning is translated, or refused.
func translate(p string) (string, error) {
	lead := leadingFlags(p)
	on, _, _ := strings.Cut(lead, "-")
	dotAll := strings.Contains(on, "s")
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c == '\\' && i+1 < len(p):
			i++
			switch {
			case p[i] == 's':
				b.WriteString(`[ \t\n\v\f\r]`)
			case p[i] == 'S':
				b.WriteString(`[^ \t\n\v\f\r]`)
			case p[i] == 'v':
				b.WriteString(`[` + javaVertical + `]`)
			case p[i] == 'Q' || p[i] >= '0' && p[i] <= '9' || p[i] == 'C':
				return "", fmt.Errorf(`regex: \%c: %w`, p[i], errSyntax)
			default:
				b.WriteString(p[i-1 : i+1])
			}
		case c == '.' && !dotAll:
			b.WriteString(javaDot)
		case c == '[':
			n, err := class(p[i:], &b)
			if err != nil {
				return "", err
			}
			i += n - 1
		case c == '(' && flags(p[i:], "Um") || c == '(' && (i > 0 || lead == "") && flags(p[i:], "s"):
			return "", fmt.Errorf("regex: flag in %.8s: %w", p[i:], errSyntax)
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

// javaVertical are the characters of \v: in Go it is one of them.
const javaVertical = `\n\x0B\f\r\x{85}\x{2028}\x{2029}`

// class translates the character class that p begins with, and gives its
// length. Java nests and intersects classes.
func class(p string, b *strings.Builder) (int, error) {
	b.WriteByte('[')
	for i := 1; i < len(p); i++ {
		switch {
		case p[i] == '\\' && i+1 < len(p):
			i++
			switch c := p[i]; {
			case c == 's':
				b.WriteString(` \t\n\x0B\f\r`)
			case c == 'v':
				b.WriteString(javaVertical)
			case c == 'S' || c == 'Q' || c >= '0' && c <= '9':
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

// leadingFlags are the flags in a group of nothing else at the very start, such
// as is in (?is); "" for none.
func leadingFlags(p string) string {
	rest, ok := strings.CutPrefix(p, "(?")
	end := strings.IndexAny(rest, "):<=!>")
	if !ok || end < 0 || rest[end] != ')' {
		return ""
	}
	return rest[:end]
}

// flags reports whether p begins with a group of flags that has one of them.
func flags(p, want string) bool {
	rest, ok := strings.CutPrefix(p, "(?")
	if !ok {
		return false
	}
	end := strings.IndexAny(rest, "):<=!>")
	return end > 0 && (rest[end] == ')' || rest[end] == ':') && strings.ContainsAny(rest[:end], want)
}

// parseReplacement reads Matcher.appendReplacement's syntax: \x is x, $n the
// n-th group, with as many digits as there are groups for, ${name} a named one.
func parseReplacement(s string, re *regexp.Regexp) ([]part, error) {
	var parts []part
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			parts = append(parts, part{text.String(), -1})
			text.Reset()
		}
	}
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			if i++; i == len(s) {
				return nil, errors.New(`replacement: nothing follows the \ at its end`)
			}
			text.WriteByte(s[i])
		case s[i] != '$':
			text.WriteByte(s[i])
		case strings.HasPrefix(s[i:], "${"):
			name, _, ok := strings.Cut(s[i+2:], "}")
			group := re.SubexpIndex(name)
			if !ok || group < 0 {
				return nil, fmt.Errorf("replacement: the regex has no group named %q", name)
			}
			flush()
			parts = append(parts, part{group: group})
			i += len(name) + 2
		default:
			group, n := groupNumber(s[i+1:], re.NumSubexp())
			if n == 0 {
				return nil, errors.New(`replacement: no group follows a $; \$ is a dollar sign`)
			}
			if group > re.NumSubexp() {
				return nil, fmt.Errorf("replacement: the regex has no group %d", group)
			}
			flush()
			parts = append(parts, part{group: group})
			i += n
		}
	}
	flush()
	return parts, nil
}

// groupNumber reads digits as long as they name a group; the first always
// counts.
func groupNumber(s string, groups int) (group, n int) {
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		next := group*10 + int(s[n]-'0')
		if n > 0 && next > groups {
			break
		}
		group, n = next, n+1
	}
	return group, n
}

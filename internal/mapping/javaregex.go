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
		return nil, fmt.Errorf("regex: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
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

package connect

import (
	"bytes"
	"errors"
	"strconv"
	"unicode/utf8"
)

// errJSON says that a text is no JSON that Jackson reads.
var errJSON = errors.New("is no JSON")

// Jackson's own limits (StreamReadConstraints).
const (
	maxDepth  = 1000
	maxNumber = 1000
	maxName   = 50_000     // in Java's characters, see units
	maxString = 20_000_000 // the same
)

// node is a JSON value as Jackson's tree has it: kinds Null, Bool, Int (it
// fits 64 bits), Float64, String, Array, Struct, and Decimal for an integer
// that does not fit.
type node struct {
	kind  Kind
	value Value
	items []node
	names [][]byte // of an object, beside items: first place, last value
}

// parser reads one JSON value the way Jackson does by default: strict, but
// what stands behind the value does not matter.
type parser struct {
	s     []byte
	depth int
}

func parseJSON(text []byte) (node, error) {
	p := &parser{s: text}
	return p.value()
}

func (p *parser) space() {
	i := 0
	for i < len(p.s) && (p.s[i] == ' ' || p.s[i] == '\t' || p.s[i] == '\n' || p.s[i] == '\r') {
		i++
	}
	p.s = p.s[i:]
}

// next skips white space and gives the byte that follows, 0 at the end.
func (p *parser) next() byte {
	p.space()
	if len(p.s) == 0 {
		return 0
	}
	return p.s[0]
}

func (p *parser) value() (node, error) {
	switch c := p.next(); c {
	case '{', '[':
		if p.depth++; p.depth > maxDepth {
			return node{}, errJSON
		}
		p.s = p.s[1:]
		read := p.object
		if c == '[' {
			read = p.array
		}
		n, err := read()
		p.depth--
		return n, err
	case '"':
		s, err := p.text(maxString)
		return node{kind: String, value: Text(s)}, err
	case 't':
		return p.word("true", node{kind: Bool, value: Value{Kind: Bool, Int: 1}})
	case 'f':
		return p.word("false", node{kind: Bool, value: Value{Kind: Bool}})
	case 'n':
		return p.word("null", node{})
	}
	return p.number()
}

func (p *parser) word(w string, n node) (node, error) {
	rest, ok := bytes.CutPrefix(p.s, []byte(w))
	if !ok || len(rest) > 0 && !bytes.ContainsRune([]byte(",]} \t\r\n"), rune(rest[0])) {
		return node{}, errJSON
	}
	p.s = rest
	return n, nil
}

func (p *parser) object() (node, error) {
	n := node{kind: Struct}
	for first := true; ; first = false {
		c := p.next()
		if c == '}' && first {
			p.s = p.s[1:]
			return n, nil
		}
		if c != '"' {
			return node{}, errJSON
		}
		name, err := p.text(maxName)
		if err != nil || p.next() != ':' {
			return node{}, errJSON
		}
		p.s = p.s[1:]
		v, err := p.value()
		if err != nil {
			return node{}, err
		}
		n.set(name, v)
		c = p.next()
		if c != ',' && c != '}' {
			return node{}, errJSON
		}
		p.s = p.s[1:]
		if c == '}' {
			return n, nil
		}
	}
}

func (n *node) set(name []byte, v node) {
	for i := range n.names {
		if bytes.Equal(n.names[i], name) {
			n.items[i] = v
			return
		}
	}
	n.names, n.items = append(n.names, name), append(n.items, v)
}

// get is a field of an object, nil if it has none of the name.
func (n *node) get(name string) *node {
	for i := range n.names {
		if string(n.names[i]) == name {
			return &n.items[i]
		}
	}
	return nil
}

func (p *parser) array() (node, error) {
	n := node{kind: Array}
	if p.next() == ']' {
		p.s = p.s[1:]
		return n, nil
	}
	for {
		v, err := p.value()
		if err != nil {
			return node{}, err
		}
		n.items = append(n.items, v)
		c := p.next()
		if c != ',' && c != ']' {
			return node{}, errJSON
		}
		p.s = p.s[1:]
		if c == ']' {
			return n, nil
		}
	}
}

// number reads a number by JSON's grammar: no leading zero, no bare point.
func (p *parser) number() (node, error) {
	digits := func(i int) int {
		for i < len(p.s) && p.s[i] >= '0' && p.s[i] <= '9' {
			i++
		}
		return i
	}
	at := func(i int, set string) bool { return i < len(p.s) && bytes.IndexByte([]byte(set), p.s[i]) >= 0 }
	start := 0
	if at(0, "-") {
		start = 1
	}
	end := digits(start)
	if end == start || p.s[start] == '0' && end > start+1 {
		return node{}, errJSON
	}
	whole := true
	if at(end, ".") {
		whole = false
		from := end + 1
		if end = digits(from); end == from {
			return node{}, errJSON
		}
	}
	if at(end, "eE") {
		whole = false
		from := end + 1
		if at(from, "+-") {
			from++
		}
		if end = digits(from); end == from {
			return node{}, errJSON
		}
	}
	if end > maxNumber || end < len(p.s) && !at(end, ",]} \t\r\n") {
		return node{}, errJSON
	}
	text := string(p.s[:end])
	p.s = p.s[end:]
	if !whole {
		f, _ := strconv.ParseFloat(text, 64) // out of range is an infinity, as in Java
		return node{kind: Float64, value: Value{Kind: Float64, Float: f}}, nil
	}
	i, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return node{kind: Decimal}, nil
	}
	return node{kind: Int, value: Value{Kind: Int, Int: i}}, nil
}

// text reads a string of at most limit units. Half a surrogate pair stays what
// it is, in three bytes.
func (p *parser) text(limit int) ([]byte, error) {
	out := []byte{}
	s := p.s[1:]
	for {
		i := 0
		for i < len(s) && s[i] != '"' && s[i] != '\\' && s[i] >= 0x20 {
			i++
		}
		out = append(out, s[:i]...)
		if i == len(s) || s[i] < 0x20 {
			return nil, errJSON
		}
		if s[i] == '"' {
			p.s = s[i+1:]
			if len(out) > limit && units(out) > limit {
				return nil, errJSON
			}
			return out, nil
		}
		var err error
		if out, s, err = unescape(out, s[i+1:]); err != nil {
			return nil, err
		}
	}
}

// units is the length of a text in Java: what UTF-8 has four bytes for counts
// twice.
func units(text []byte) (n int) {
	for _, c := range text {
		switch {
		case c >= 0xf0:
			n += 2
		case c < 0x80 || c >= 0xc0:
			n++
		}
	}
	return n
}

func unescape(out, s []byte) ([]byte, []byte, error) {
	if len(s) == 0 {
		return nil, nil, errJSON
	}
	c := s[0]
	if i := bytes.IndexByte([]byte(`"\/bfnrt`), c); i >= 0 {
		return append(out, "\"\\/\b\f\n\r\t"[i]), s[1:], nil
	}
	u, ok := unit(s)
	if !ok {
		return nil, nil, errJSON
	}
	s = s[5:]
	if u >= 0xd800 && u < 0xdc00 && len(s) > 0 && s[0] == '\\' {
		if low, ok := unit(s[1:]); ok && low >= 0xdc00 && low < 0xe000 {
			return utf8.AppendRune(out, 0x10000+(u-0xd800)<<10+(low-0xdc00)), s[6:], nil
		}
	}
	if u >= 0xd800 && u < 0xe000 {
		return append(out, 0xe0|byte(u>>12), 0x80|byte(u>>6&0x3f), 0x80|byte(u&0x3f)), s, nil
	}
	return utf8.AppendRune(out, u), s, nil
}

// unit reads uXXXX.
func unit(s []byte) (rune, bool) {
	if len(s) < 5 || s[0] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(s[1:5]), 16, 16)
	return rune(n), err == nil && s[1] != '+' && s[1] != '-'
}

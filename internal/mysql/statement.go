package mysql

import (
	"bytes"
	"strings"
)

// lexer gives the words of a statement: keywords, names, numbers. Comments,
// strings and everything else are passed over.
type lexer struct{ text []byte }

// word is "" behind the end. quoted says that it is no keyword, and "?" stands
// for a comment that some servers execute and others do not.
func (x *lexer) word() (word string, quoted bool) {
	for len(x.text) > 0 {
		c := x.text[0]
		switch {
		case c == '#', c == '-' && len(x.text) > 2 && x.text[1] == '-' && x.text[2] <= ' ':
			x.skipPast("\n", 1)
		case bytes.HasPrefix(x.text, []byte("/*!")):
			x.text = x.text[3:]
			// MariaDB executes none that asks for MySQL 5.7 or later.
			if n := x.take(isDigit); n > "50699" || len(n) > 5 {
				return "?", true
			}
		case bytes.HasPrefix(x.text, []byte("/*M!")):
			x.text = x.text[4:]
			return "?", true
		case bytes.HasPrefix(x.text, []byte("/*")):
			x.skipPast("*/", 2)
		case c == '\'':
			x.quoted(c)
		case c == '`', c == '"':
			return x.quoted(c), true
		case isName(c):
			return x.take(isName), false
		default:
			x.text = x.text[1:]
		}
	}
	return "", false
}

// keyword is the next word in capitals, "?" for one that is quoted.
func (x *lexer) keyword() string {
	w, quoted := x.word()
	if quoted {
		return "?"
	}
	return strings.ToUpper(w)
}

// find goes behind the next of several keywords, and tells which it was.
func (x *lexer) find(keywords ...string) string {
	for w := x.keyword(); w != ""; w = x.keyword() {
		for _, k := range keywords {
			if w == k {
				return k
			}
		}
	}
	return ""
}

// name reads a name that may be qualified; schema stands in for what is not.
func (x *lexer) name(schema string) (string, string) {
	w, quoted := x.word()
	for !quoted && (strings.EqualFold(w, "if") || strings.EqualFold(w, "not") || strings.EqualFold(w, "exists") || strings.EqualFold(w, "body")) {
		w, quoted = x.word()
	}
	if rest := bytes.TrimLeft(x.text, " \t\r\n"); len(rest) > 0 && rest[0] == '.' {
		x.text = rest
		name, _ := x.word()
		return w, name
	}
	return schema, w
}

func (x *lexer) skipPast(end string, from int) {
	i := bytes.Index(x.text[from:], []byte(end))
	if i < 0 {
		x.text = nil
		return
	}
	x.text = x.text[from+i+len(end):]
}

func (x *lexer) take(is func(byte) bool) string {
	n := 0
	for n < len(x.text) && is(x.text[n]) {
		n++
	}
	w := string(x.text[:n])
	x.text = x.text[n:]
	return w
}

// quoted reads up to the closing quote; a doubled one is part of the text, and
// in a string so is one behind a backslash.
func (x *lexer) quoted(quote byte) string {
	var w []byte
	i := 1
	for ; i < len(x.text); i++ {
		c := x.text[i]
		if c == '\\' && quote != '`' && i+1 < len(x.text) {
			i++
			c = x.text[i]
		} else if c == quote {
			if i+1 == len(x.text) || x.text[i+1] != quote {
				break
			}
			i++
		}
		w = append(w, c)
	}
	x.text = x.text[min(i+1, len(x.text)):]
	return string(w)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isName(c byte) bool {
	return isPlain(c) || c >= 0x80
}
func isPlain(c byte) bool {
	return c == '_' || c == '$' || isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// pattern finds a name in a statement, whatever quotes are around it and
// whatever character set the statement is in. It may find too much: names in
// comments and strings too.
type pattern struct {
	piece string // of the name, the longest that every quoting leaves as it is
	whole bool   // piece is the name: other letters beside it make another name
}

func patternOf(name string) pattern {
	pieces := strings.FieldsFunc(name, func(r rune) bool { return r >= 0x80 || r < ' ' || strings.ContainsRune("`\"'\\", r) })
	p := pattern{whole: true}
	for _, s := range pieces {
		if len(s) > len(p.piece) {
			p.piece = s
		}
	}
	for i := range len(name) {
		p.whole = p.whole && isPlain(name[i])
	}
	return p
}

func (p pattern) in(text []byte) bool {
	n := len(p.piece)
	for i := 0; i+n <= len(text); i++ {
		if !bytes.EqualFold(text[i:i+n], []byte(p.piece)) {
			continue
		}
		if !p.whole || (i == 0 || !isPlain(text[i-1])) && (i+n == len(text) || !isPlain(text[i+n])) {
			return true
		}
	}
	return false
}

// effect is what a statement can do to an outbox, by its first words.
type effect int

const (
	idle      effect = iota // DDL and administration: it writes no rows
	selecting               // CREATE TABLE ... SELECT: it may call functions
	changing                // UPDATE, DELETE: besides, triggers
	writing                 // anything else may insert as well
)

func effectOf(text []byte) effect {
	x := lexer{text}
	switch x.keyword() {
	case "ALTER", "DROP", "TRUNCATE", "RENAME", "GRANT", "REVOKE", "FLUSH", "OPTIMIZE", "REPAIR", "XA", "INSTALL", "UNINSTALL":
		return idle
	case "CREATE":
		if objectOf(text) == "TABLE" && x.find("SELECT") != "" {
			return selecting
		}
		return idle
	case "ANALYZE": // MariaDB has ANALYZE INSERT, too
		switch x.keyword() {
		case "TABLE", "LOCAL", "NO_WRITE_TO_BINLOG":
			return idle
		}
	case "SET": // MariaDB has SET STATEMENT ... FOR INSERT, too
		switch x.keyword() {
		case "PASSWORD", "DEFAULT", "ROLE":
			return idle
		}
	case "UPDATE", "DELETE":
		// MariaDB inserts what is left of a row FOR PORTION OF a period.
		if x.find("PORTION") == "" {
			return changing
		}
	}
	return writing
}

// objectOf is what kind of thing a CREATE, ALTER, DROP or RENAME is about; ""
// for others.
func objectOf(text []byte) string {
	x := lexer{text}
	switch x.keyword() {
	case "CREATE", "ALTER", "DROP", "RENAME":
		return x.find("TABLE", "TABLES", "VIEW", "TRIGGER", "FUNCTION", "PROCEDURE", "PACKAGE", "INDEX", "EVENT", "SEQUENCE", "DATABASE", "SCHEMA", "USER", "ROLE", "SERVER", "TABLESPACE")
	}
	return ""
}

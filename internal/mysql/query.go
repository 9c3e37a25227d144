package mysql

import (
	"bytes"
	"fmt"

	"github.com/tailer-io/tailer/internal/outbox"
)

// compressedQuery opens what MariaDB compressed of a query event: the
// statement behind the event's fixed part.
func (f *feed) compressedQuery(body []byte) error {
	schema, packed, err := scanQuery(body)
	if err != nil {
		return f.malformed("query", err)
	}
	text, err := inflate(packed, maxEvent)
	if err != nil {
		return f.malformed("compressed query", err)
	}
	return f.statementText(schema, text)
}

// query takes a statement. Those that begin and end transactions come as text
// too.
func (f *feed) query(body []byte) error {
	schema, text, err := scanQuery(body)
	if err != nil {
		return f.malformed("query", err)
	}
	return f.statementText(schema, text)
}

func (f *feed) statementText(schema, text []byte) error {
	if !f.in {
		return f.malformed("query", fmt.Errorf("it stands outside a transaction: %.40q", text))
	}
	switch {
	case string(text) == "BEGIN":
		f.group.began = true
		return nil
	case string(text) == "COMMIT":
		return f.commit()
	case string(text) == "ROLLBACK":
		return f.rollback()
	case bytes.HasPrefix(text, []byte("XA START ")):
		f.group.began, f.group.xa = true, true
		return nil
	case bytes.HasPrefix(text, []byte("XA END ")):
		return nil
	case bytes.HasPrefix(text, []byte("SAVEPOINT ")):
		f.marks = append(f.marks, mark{string(text[len("SAVEPOINT "):]), f.rows})
		return nil
	case bytes.HasPrefix(text, []byte("ROLLBACK TO ")):
		return f.rollbackTo(string(bytes.TrimPrefix(text[len("ROLLBACK TO "):], []byte("SAVEPOINT "))))
	}
	if err := f.foreignStatement(schema, text); err != nil {
		return err
	}
	if f.group.began {
		return nil
	}
	// One statement that commits itself: DDL, XA COMMIT, XA ROLLBACK.
	return f.commit()
}

// rollbackTo drops the rows behind a savepoint. It stands in the log only
// when something behind the savepoint could not be taken back; usually the
// server takes the rows out of the log itself.
func (f *feed) rollbackTo(name string) error {
	for i := len(f.marks) - 1; i >= 0; i-- {
		if f.marks[i].name != name {
			continue
		}
		rows := f.marks[i].rows
		f.marks = f.marks[:i+1]
		if rows == f.rows {
			return nil
		}
		before := f.rows
		if f.begun {
			before = f.batch.Txns[len(f.batch.Txns)-1].Before
		}
		if rows < before || f.skip > 0 {
			return f.rolledBack()
		}
		f.batch.Truncate(f.first + int(rows-before))
		f.rows = rows
		f.begun = rows > before
		return nil
	}
	return f.malformed("query", fmt.Errorf("savepoint %s was never set", name))
}

// statement takes LOAD DATA that was logged as a statement.
func (f *feed) statement(body []byte) error {
	schema, text, err := scanQuery(body)
	if err != nil {
		return f.malformed("load query", err)
	}
	return f.foreignStatement(schema, text)
}

// foreignStatement refuses a statement that writes to an outbox table: with a
// binlog_format other than ROW, which a session can choose, its rows are not in
// the log. DDL that names one makes the table be looked up again.
func (f *feed) foreignStatement(schema, text []byte) error {
	for i := range f.facts {
		if !containsFold(text, f.facts[i].name) {
			continue
		}
		if string(schema) != f.facts[i].schema && !containsFold(text, f.facts[i].schema) {
			continue
		}
		if writes(text) {
			return outbox.Refuse(ReasonFormat, formatHint+"; publish its rows by hand, then `tailer checkpoint set` with a position that holds this transaction steps over it",
				"transaction %s writes to table %s by a statement (binlog_format other than ROW): its rows are not in the log",
				f.group.name.text(f.mode), f.tables[i])
		}
	}
	return nil
}

// writes: does a statement insert rows?
func writes(text []byte) bool {
	word := bytes.TrimLeft(text, " \t\r\n(")
	for bytes.HasPrefix(word, []byte("/*")) {
		i := bytes.Index(word, []byte("*/"))
		if i < 0 {
			return false
		}
		word = bytes.TrimLeft(word[i+2:], " \t\r\n(")
	}
	for _, w := range []string{"INSERT", "REPLACE", "LOAD", "WITH"} {
		if len(word) > len(w) && bytes.EqualFold(word[:len(w)], []byte(w)) {
			return true
		}
	}
	return false
}

// containsFold: does text contain an ASCII name, in whatever letters?
func containsFold(text []byte, name string) bool {
	for i := 0; i+len(name) <= len(text); i++ {
		if bytes.EqualFold(text[i:i+len(name)], []byte(name)) {
			return true
		}
	}
	return false
}

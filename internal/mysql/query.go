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

// loadStatement takes LOAD DATA that was logged as a statement.
func (f *feed) loadStatement(body []byte) error {
	schema, text, err := scanLoadQuery(body)
	if err != nil {
		return f.malformed("load query", err)
	}
	return f.foreignStatement(schema, text)
}

// foreignStatement refuses a statement that may have written to an outbox
// table: with a binlog_format other than ROW, which a session can choose, its
// rows are not in the log. DDL that is about one makes it be looked up again.
func (f *feed) foreignStatement(schema, text []byte) error {
	if why := f.reach.writes(string(schema), text); why != "" {
		hint := formatHint + ": a session keeps the format with which it began"
		if f.reach.blind {
			hint += "; so that tailer can tell what a statement leads to: " + f.sight
		}
		return outbox.Refuse(ReasonFormat, hint+"; publish its rows by hand, then `tailer checkpoint set` with a position that holds this transaction steps over it",
			"transaction %s holds a statement that %s (binlog_format other than ROW): rows that it wrote are not in the log",
			f.group.name.text(f.mode), why)
	}
	if f.reach.learn(string(schema), text) && f.relook != nil {
		if err := f.relook(); err != nil {
			return err
		}
	}
	return f.changes(schema, text)
}

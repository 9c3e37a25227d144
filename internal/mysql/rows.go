package mysql

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/tailer-io/tailer/internal/outbox"
)

// someRows makes a snapshot give some rows of the tables only. columns are the
// wanted ones in the form in which they are read.
type someRows interface {
	selectSQL(t Table, f *tableFacts, columns []string) string
}

// rowsByID are the rows of one table with one id.
type rowsByID struct {
	table Table
	id    []byte
}

// ByID gives the rows of a table whose id column equals an id, as the log brings
// it and as far as its collation tells; the values are the very bytes that the
// log brings. It wants Connect before, touches nothing, and has no position to
// resume at.
func (s *Source) ByID(ctx context.Context, table int, id []byte) (outbox.Snapshot, error) {
	x, err := s.open(ctx, "connect to the source")
	if err != nil {
		return nil, err
	}
	if _, err := x.query(ctx, "start transaction read only"); err != nil {
		x.close()
		return nil, fmt.Errorf("begin a read-only transaction: %w", err)
	}
	return &snapshot{src: s, began: time.Now(), x: x, some: &rowsByID{s.cfg.Tables[table], id}, facts: s.tables}, nil
}

func (r *rowsByID) selectSQL(t Table, f *tableFacts, columns []string) string {
	sql := wholeTable(t, columns)
	if t.Schema != r.table.Schema || t.Name != r.table.Name {
		return sql + " where false"
	}
	// Hex digits alone would be a number beside a number, so text stays text.
	value := "x'" + hex.EncodeToString(r.id) + "'"
	if utf8.Valid(r.id) {
		value = quoteLiteral(string(r.id))
	}
	return sql + " where " + quoteIdent(t.Columns[0]) + " = " + value
}

package pg

import (
	"context"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// someRows makes a snapshot give some rows of the tables only. columns are
// quoted, "NULL" for one that the table does not have.
type someRows interface {
	selectSQL(t Table, f *tableFacts, columns []string) string
}

// rowsByID are the rows of one table with one id.
type rowsByID struct {
	table Table
	id    string
}

// ByID gives the rows of a table whose id column equals an id, as the log brings
// it; the values are the very bytes that the log brings. It wants Connect before,
// touches nothing, and has no position to resume at.
func (s *Source) ByID(ctx context.Context, table int, id []byte) (outbox.Snapshot, error) {
	x, err := s.openReadOnly(ctx)
	if err != nil {
		return nil, err
	}
	v := &snapshot{src: s, began: time.Now(), conn: x.conn, some: &rowsByID{s.cfg.Tables[table], string(id)}, facts: s.tables}
	v.ctx, v.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return v, nil
}

func (r *rowsByID) selectSQL(t Table, f *tableFacts, columns []string) string {
	if t.Schema != r.table.Schema || t.Name != r.table.Name {
		return wholeTable(t, columns) + " WHERE false"
	}
	// A constant without a type takes that of the column.
	return wholeTable(t, columns) + " WHERE " + quoteIdent(t.Columns[0]) + " = " + quoteLiteral(r.id)
}

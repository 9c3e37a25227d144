package pg

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// newestRows makes a snapshot give the newest rows only.
type newestRows struct {
	rows    int
	orderBy string // a column; "" for the primary key
}

// Newest gives the newest rows of each table, at most so many, the oldest of
// them first; the values are the very bytes that the log brings. Newest is what
// stands last in the order of a column, with the primary key to decide between
// equals, or with orderBy "" in that of the primary key alone. The order may
// not be that of the commits.
//
// It needs neither Connect nor the right to replicate, and touches nothing: one
// ordinary session, in one read-only transaction. A table that the mapping does
// not fit is an *outbox.Invalid. The view has no position to resume at.
func (s *Source) Newest(ctx context.Context, rows int, orderBy string) (outbox.Snapshot, error) {
	if err := Validate(s.cfg); err != nil {
		return nil, err
	}
	x, err := s.openReadOnly(ctx)
	if err != nil {
		return nil, err
	}
	n := &newestRows{rows, orderBy}
	v := &snapshot{src: s, began: time.Now(), conn: x.conn, some: n}
	v.ctx, v.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	if s.tables, err = s.describeAll(ctx, x, n.fits); err != nil {
		v.Close()
		return nil, err
	}
	v.facts = s.tables
	return v, nil
}

// openReadOnly makes a session that is in a read-only transaction.
func (s *Source) openReadOnly(ctx context.Context) (*session, error) {
	x, err := s.open(ctx, "connect to the source")
	if err != nil {
		return nil, err
	}
	for _, sql := range []string{"set default_transaction_read_only = on", "begin transaction isolation level repeatable read read only"} {
		if _, err := x.query(ctx, sql); err != nil {
			x.close()
			return nil, fmt.Errorf("begin a read-only transaction: %w", err)
		}
	}
	return x, nil
}

// describeAll looks at the tables as Connect does; fits says whether they also
// serve what is asked of them here.
func (s *Source) describeAll(ctx context.Context, x *session, fits func(Table, *tableFacts) error) ([]tableFacts, error) {
	r, err := x.row(ctx, "select current_setting('server_version_num')::int / 10000")
	if err != nil {
		return nil, fmt.Errorf("ask the server's version: %w", err)
	}
	version, err := strconv.Atoi(r[0])
	if err != nil {
		return nil, fmt.Errorf("ask the server's version: %w", err)
	}
	var tables []tableFacts
	for i, t := range s.cfg.Tables {
		f, err := loadTable(ctx, x, t)
		if err == nil {
			err = f.judge(t, version, false)
		}
		if err == nil {
			err = s.fits(i, &f)
		}
		if err == nil {
			err = fits(t, &f)
		}
		if err != nil {
			return nil, err
		}
		tables = append(tables, f)
	}
	return tables, nil
}

// fits tells whether a table has the columns of the order.
func (n *newestRows) fits(t Table, f *tableFacts) error {
	switch {
	case n.orderBy != "":
		return f.has("order-by", t, n.orderBy)
	case len(f.key) == 0:
		return &outbox.Invalid{Option: "order-by", Text: fmt.Sprintf("is required: table %s has no primary key", t)}
	}
	return nil
}

// selectSQL puts the newest rows around again, so that the oldest comes first.
// columns are the quoted columns of the result, "NULL" for a missing one.
func (n *newestRows) selectSQL(t Table, f *tableFacts, columns []string) string {
	order := slices.Clone(f.key)
	if n.orderBy != "" {
		order = append([]string{n.orderBy}, slices.DeleteFunc(order, func(c string) bool { return c == n.orderBy })...)
	}
	inner := slices.DeleteFunc(slices.Clone(columns), func(c string) bool { return c == "NULL" })
	var down, up []string
	for _, c := range order {
		q := quoteIdent(c)
		if !slices.Contains(inner, q) {
			inner = append(inner, q)
		}
		if f.details[c].notNull {
			down, up = append(down, q+" DESC"), append(up, q)
		} else { // what has no value is not the newest
			down, up = append(down, q+" DESC NULLS LAST"), append(up, q+" NULLS FIRST")
		}
	}
	return fmt.Sprintf("SELECT %s FROM (SELECT %s FROM %s ORDER BY %s LIMIT %d) AS newest ORDER BY %s",
		strings.Join(columns, ", "), strings.Join(inner, ", "), t.quoted(), strings.Join(down, ", "), n.rows, strings.Join(up, ", "))
}

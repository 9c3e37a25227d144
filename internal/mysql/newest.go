package mysql

import (
	"context"
	"fmt"
	"slices"
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
// It needs neither Connect nor the right to replicate, nor the log, and touches
// nothing: one ordinary session, in one read-only transaction. A table that the
// mapping does not fit is an *outbox.Invalid. The view has no position to
// resume at.
func (s *Source) Newest(ctx context.Context, rows int, orderBy string) (outbox.Snapshot, error) {
	if err := Validate(s.cfg); err != nil {
		return nil, err
	}
	x, err := s.choose(ctx, "connect to the source")
	if err != nil {
		return nil, err
	}
	n := &newestRows{rows, orderBy}
	if s.id, s.tables, err = s.viewNow(ctx, x, n.fits); err != nil {
		x.close()
		return nil, err
	}
	return &snapshot{src: s, began: time.Now(), x: x, some: n, facts: s.tables}, nil
}

// viewNow looks at the server and the tables as Connect does, and begins a
// read-only transaction; fits says whether the tables also serve what is asked
// of them here.
func (s *Source) viewNow(ctx context.Context, x *session, fits func(Table, *tableFacts) error) (id identity, tables []tableFacts, err error) {
	if id, err = s.identify(ctx, x); err != nil {
		return id, nil, err
	}
	if err := s.ofKind(id); err != nil {
		return id, nil, err
	}
	for _, sql := range []string{"set session transaction isolation level repeatable read", "start transaction read only"} {
		if _, err := x.query(ctx, sql); err != nil {
			return id, nil, fmt.Errorf("begin a read-only transaction: %w", err)
		}
	}
	if tables, err = s.loadTables(ctx, x, false); err != nil {
		return id, nil, err
	}
	for i, t := range s.cfg.Tables {
		if err := fits(t, &tables[i]); err != nil {
			return id, nil, err
		}
	}
	return id, tables, nil
}

// ofKind tells whether the server is of the kind that the URL says.
func (s *Source) ofKind(id identity) error {
	if id.kind == s.addr.kind {
		return nil
	}
	return &outbox.Invalid{Option: "source-url", Text: fmt.Sprintf("the server is %s %s", id.kind, id.version),
		Hint: "write " + string(id.kind) + ":// instead of " + string(s.addr.kind) + "://"}
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
// columns are the wanted ones in the form in which they are read. What is NULL
// in the order's column counts as the oldest, as the server sorts it.
func (n *newestRows) selectSQL(t Table, f *tableFacts, columns []string) string {
	order := slices.Clone(f.key)
	if n.orderBy != "" {
		order = append([]string{n.orderBy}, slices.DeleteFunc(order, func(c string) bool { return strings.EqualFold(c, n.orderBy) })...)
	}
	var inner, down, up []string
	need := func(name string) {
		if c := f.column(name); c != nil && !slices.Contains(inner, quoteIdent(c.name)) {
			inner = append(inner, quoteIdent(c.name))
		}
	}
	for _, name := range t.Columns {
		need(name)
	}
	for _, name := range order {
		need(name)
		down, up = append(down, quoteIdent(name)+" desc"), append(up, "newest."+quoteIdent(name))
	}
	return fmt.Sprintf("select %s from (select %s from %s order by %s limit %d) newest order by %s",
		strings.Join(columns, ", "), strings.Join(inner, ", "), t.quoted(), strings.Join(down, ", "), n.rows, strings.Join(up, ", "))
}

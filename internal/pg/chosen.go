package pg

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailer-io/tailer/internal/outbox"
)

// chosenRows makes a snapshot give the rows that a filter chooses, in the order
// of the primary key.
type chosenRows struct{ filter outbox.Filter }

// CountChosen counts, for each table, the rows that f chooses. A condition that
// is not one expression, that the server does not understand, or that fails for
// a row, is an *outbox.Invalid. It needs no Connect and touches nothing: one
// session of its own, in one read-only transaction, for as long as it takes.
func (s *Source) CountChosen(ctx context.Context, f outbox.Filter) ([]int64, error) {
	c := &chosenRows{f}
	x, tables, err := s.openChosen(ctx, c)
	if err != nil {
		return nil, err
	}
	defer x.close()
	counts := make([]int64, len(tables))
	for i, t := range s.cfg.Tables {
		r := x.conn.ExecParams(ctx, "select count(*) from "+t.quoted()+c.where(t, &tables[i]), nil, nil, nil, nil).Read()
		if r.Err != nil {
			return nil, s.chosenError("count the rows of "+t.String(), t, r.Err)
		}
		if counts[i], err = strconv.ParseInt(texts(r)[0][0], 10, 64); err != nil {
			return nil, fmt.Errorf("count the rows of %s: %w", t, err)
		}
	}
	return counts, nil
}

// Chosen gives the rows that f chooses as of now, in the order of the primary
// key; the values are the very bytes that the log brings. It needs no Connect,
// touches nothing, and has no position to resume at. What is wrong with f is as
// in CountChosen, or an error of Read.
func (s *Source) Chosen(ctx context.Context, f outbox.Filter) (outbox.Snapshot, error) {
	c := &chosenRows{f}
	x, tables, err := s.openChosen(ctx, c)
	if err != nil {
		return nil, err
	}
	s.tables = tables
	v := &snapshot{src: s, began: time.Now(), conn: x.conn, some: c, facts: s.tables}
	v.ctx, v.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return v, nil
}

// openChosen makes a session in a read-only transaction, looks at the tables as
// Connect does, and proves the filter.
func (s *Source) openChosen(ctx context.Context, c *chosenRows) (*session, []tableFacts, error) {
	if err := Validate(s.cfg); err != nil {
		return nil, nil, err
	}
	x, err := s.openReadOnly(ctx)
	if err != nil {
		return nil, nil, err
	}
	tables, err := s.describeAll(ctx, x, c.fits)
	if err == nil {
		_, err = x.query(ctx, "set statement_timeout = 0") // it takes as long as the table is large
	}
	for i := 0; err == nil && i < len(tables); i++ {
		err = s.proveChosen(ctx, x, c, s.cfg.Tables[i])
	}
	if err != nil {
		x.close()
		return nil, nil, err
	}
	return x, tables, nil
}

// proveChosen lets the server parse a condition twice, as a prepared statement
// of its own each: between parentheses, where it will stand, and between words
// without any. A closing parenthesis that is not opened before, by which it
// could leave the ones around it, is an error in the second form, and whatever
// could leave that one ("true then true end or ...") is an error in the first.
// Nothing follows it in which a quote could end that it leaves open, and a
// prepared statement takes no second command.
func (s *Source) proveChosen(ctx context.Context, x *session, c *chosenRows, t Table) error {
	if c.filter.Where == "" || !c.filter.Has(t.String()) {
		return nil
	}
	from := "select 1 from " + t.quoted() + " where "
	for _, sql := range []string{
		from + "case when\n" + c.filter.Where + "\nthen true else false end",
		from + "(\n" + c.filter.Where + "\n)",
	} {
		if err := x.parse(ctx, sql); err != nil {
			return s.chosenError("look at the condition", t, err)
		}
	}
	return nil
}

// parse lets the server parse and plan a statement, and runs nothing.
func (x *session) parse(ctx context.Context, sql string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTimeout, errNoAnswer)
	defer cancel()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.conn == nil || x.conn.IsClosed() {
		return errSessionLost
	}
	d, err := x.conn.Prepare(ctx, "", sql, nil)
	if err == nil && len(d.ParamOIDs) > 0 {
		return &pgconn.PgError{Code: "42P02", Message: "there are no parameters such as $1 here"}
	}
	return err
}

// chosenError tells a condition that is at fault from a server that is.
func (s *Source) chosenError(step string, t Table, err error) error {
	state := sqlState(err)
	if state == "42501" {
		return outbox.Refuse(ReasonPrivilege, s.grantSelectSQL(), "the role may not read the outbox: %s", message(err))
	}
	if len(state) == 5 && slices.Contains([]string{"08", "40", "53", "55", "57", "58", "XX"}, state[:2]) || state == "" {
		return fmt.Errorf("%s: %w", step, err)
	}
	return &outbox.Invalid{Option: "where", Text: fmt.Sprintf("is no condition that can be asked of table %s: %s", t, message(err)),
		Hint: "it is one SQL expression, without a semicolon; functions outside of pg_catalog need their schema's name, and times without a zone are UTC"}
}

var (
	wholeNumber = regexp.MustCompile(`^-?[0-9]+$`)
	uuidOfTime  = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)
)

// fits tells whether a table has a primary key of which From is one, and whose
// order is one in time: random ids have none.
func (c *chosenRows) fits(t Table, f *tableFacts) error {
	if c.filter.From == "" || !c.filter.Has(t.String()) {
		return nil
	}
	const instead = "name the rows by a condition: --where \"created_at >= '...'\""
	if len(f.key) != 1 {
		return &outbox.Invalid{Option: "from-id", Text: fmt.Sprintf("table %s has no primary key of one column", t), Hint: instead}
	}
	switch typ := f.details[f.key[0]].typ; typ {
	case "int2", "int4", "int8", "numeric":
		if !wholeNumber.MatchString(c.filter.From) {
			return &outbox.Invalid{Option: "from-id", Text: fmt.Sprintf("%q is no number, and column %q of table %s is", c.filter.From, f.key[0], t)}
		}
	case "uuid":
		if !uuidOfTime.MatchString(c.filter.From) {
			return &outbox.Invalid{Option: "from-id", Text: fmt.Sprintf("%q is no UUID of version 7: others have no order in time", c.filter.From), Hint: instead}
		}
	default:
		return &outbox.Invalid{Option: "from-id", Text: fmt.Sprintf("column %q of table %s is %s, whose order need not be one in time", f.key[0], t, typ), Hint: instead}
	}
	return nil
}

func (c *chosenRows) selectSQL(t Table, f *tableFacts, columns []string) string {
	return wholeTable(t, columns) + c.where(t, f) + inOrder(t, f)
}

// where is the clause that chooses rows of a table; "" for all.
func (c *chosenRows) where(t Table, f *tableFacts) string {
	switch {
	case !c.filter.Has(t.String()):
		return " WHERE false"
	case c.filter.From != "":
		return " WHERE " + quoteIdent(f.key[0]) + " >= " + quoteLiteral(c.filter.From)
	case c.filter.Where != "":
		return " WHERE (\n" + c.filter.Where + "\n)"
	}
	return ""
}

package mysql

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/tailer-io/tailer/internal/outbox"
)

// countWithin bounds how long the rows of one table may take to be counted.
const countWithin = 24 * time.Hour

// chosenRows makes a snapshot give the rows that a filter chooses, in the order
// of the primary key.
type chosenRows struct{ filter outbox.Filter }

// CountChosen counts, for each table, the rows that f chooses. A condition that
// is not one expression, that the server does not understand, or that fails for
// a row, is an *outbox.Invalid. It needs no Connect and touches nothing: one
// session of its own, in one read-only transaction, for as long as it takes.
func (s *Source) CountChosen(ctx context.Context, f outbox.Filter) ([]int64, error) {
	c := &chosenRows{f}
	x, _, tables, err := s.openChosen(ctx, c)
	if err != nil {
		return nil, err
	}
	defer x.close()
	counts := make([]int64, len(tables))
	for i, t := range s.cfg.Tables {
		rows, err := x.queryWithin(ctx, countWithin, "select count(*) from "+t.quoted()+c.where(t, &tables[i]))
		if err != nil {
			return nil, s.chosenError("count the rows of "+t.String(), t, err)
		}
		if counts[i], err = strconv.ParseInt(rows[0][0], 10, 64); err != nil {
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
	x, id, tables, err := s.openChosen(ctx, c)
	if err != nil {
		return nil, err
	}
	s.id, s.tables = id, tables
	return &snapshot{src: s, began: time.Now(), x: x, some: c, facts: s.tables}, nil
}

// openChosen makes a session in a read-only transaction, looks at the tables as
// Connect does, and proves the filter.
func (s *Source) openChosen(ctx context.Context, c *chosenRows) (x *session, id identity, tables []tableFacts, err error) {
	if err := Validate(s.cfg); err != nil {
		return nil, id, nil, err
	}
	if x, err = s.open(ctx, "connect to the source"); err != nil {
		return nil, id, nil, err
	}
	// The server waits for a reader that waits for Kafka.
	_, err = x.query(ctx, fmt.Sprintf("set session net_write_timeout = %d", writeTimeout))
	if err == nil {
		id, tables, err = s.viewNow(ctx, x, c.fits)
	}
	for i := 0; err == nil && i < len(s.cfg.Tables); i++ {
		err = s.proveChosen(ctx, x, c, s.cfg.Tables[i])
	}
	if err != nil {
		x.close()
		return nil, id, nil, err
	}
	return x, id, tables, nil
}

// proveChosen lets the server parse a condition twice, by EXPLAIN, which reads
// no row: between parentheses, where it will stand, and between words without
// any. A closing parenthesis that is not opened before, by which it could leave
// the ones around it, is an error in the second form, and whatever could leave
// that one ("true then true end or ...") is an error in the first. Nothing
// follows it in which a quote could end that it leaves open, and the connection
// takes one statement at a time.
func (s *Source) proveChosen(ctx context.Context, x *session, c *chosenRows, t Table) error {
	if c.filter.Where == "" || !c.filter.Has(t.String()) {
		return nil
	}
	from := "explain select 1 from " + t.quoted() + " where "
	for _, sql := range []string{
		from + "case when\n" + c.filter.Where + "\nthen true else false end",
		from + "(\n" + c.filter.Where + "\n)",
	} {
		if _, err := x.query(ctx, sql); err != nil {
			return s.chosenError("look at the condition", t, err)
		}
	}
	return nil
}

// chosenError tells a condition that is at fault from a server that is.
func (s *Source) chosenError(step string, t Table, err error) error {
	switch errorCode(err) {
	case 0, mysql.ER_LOCK_WAIT_TIMEOUT, mysql.ER_LOCK_DEADLOCK, mysql.ER_QUERY_INTERRUPTED, mysql.ER_SERVER_SHUTDOWN, mysql.ER_TABLE_DEF_CHANGED:
		return fmt.Errorf("%s: %w", step, err)
	}
	if err := s.privilegeError(step, err); isRefusal(err) {
		return err
	}
	return &outbox.Invalid{Option: "where", Text: fmt.Sprintf("is no condition that can be asked of table %s: %s", t, message(err)),
		Hint: "it is one SQL expression, without a semicolon; now() and the times of TIMESTAMP columns are UTC"}
}

func isRefusal(err error) bool {
	_, ok := err.(*outbox.Refusal)
	return ok
}

var wholeNumber = regexp.MustCompile(`^-?[0-9]+$`)

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
	key := f.column(f.key[0])
	if key == nil || !strings.HasSuffix(key.dataType, "int") && key.dataType != "decimal" {
		return &outbox.Invalid{Option: "from-id", Text: fmt.Sprintf("column %q of table %s is no number: its order need not be one in time", f.key[0], t), Hint: instead}
	}
	if !wholeNumber.MatchString(c.filter.From) {
		return &outbox.Invalid{Option: "from-id", Text: fmt.Sprintf("%q is no number, and column %q of table %s is", c.filter.From, f.key[0], t)}
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
		return " where false"
	case c.filter.From != "":
		return " where " + quoteIdent(f.key[0]) + " >= " + c.filter.From // a number, as fits has seen
	case c.filter.Where != "":
		return " where (\n" + c.filter.Where + "\n)"
	}
	return ""
}

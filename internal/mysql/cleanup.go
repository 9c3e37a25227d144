package mysql

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/tailer-io/tailer/internal/outbox"
)

// The clean-up's session waits for no lock longer than cleanupLock, in seconds,
// and its searches end after cleanupStatement, in seconds too. The server ends
// it when nothing is heard for cleanupSilent, and within a transaction, which
// keeps rows and the table's form locked, for cleanupStall: a process may be
// stopped, or its host gone.
const (
	cleanupLock      = 1
	cleanupStatement = 10
	cleanupSilent    = 600
	cleanupStall     = 10
)

// keyForms writes a key's value as a literal that is compared as the column
// itself is, so that its index serves; by DATA_TYPE, with the column's name.
var keyForms = func() map[string]string {
	forms := map[string]string{}
	for form, types := range map[string]string{
		`cast(%s as char)`:        "tinyint smallint mediumint int bigint decimal year",
		`quote(cast(%s as char))`: "date datetime timestamp time uuid",
		`concat('_utf8mb4 x''', hex(convert(%s using utf8mb4)), '''')`: "char varchar enum",
		`concat('x''', hex(%s), '''')`:                                 "binary varbinary",
	} {
		for _, t := range strings.Fields(types) {
			forms[t] = form
		}
	}
	return forms
}()

// cleanable tells whether old rows of a table can be found and deleted. The
// error is an *outbox.Invalid.
func (s *Source) cleanable(t Table, f *tableFacts) error {
	if len(f.key) == 0 {
		return &outbox.Invalid{Option: "cleanup", Text: fmt.Sprintf("table %s has no primary key", t),
			Hint: "ALTER TABLE " + t.quoted() + " ADD PRIMARY KEY (...)"}
	}
	for _, name := range f.key {
		if c := f.column(name); c == nil || keyForms[c.dataType] == "" {
			return &outbox.Invalid{Option: "cleanup",
				Text: fmt.Sprintf("column %q of the primary key of table %s is of a type by which rows cannot be found safely", name, t)}
		}
	}
	_, err := s.outlived(t, f)
	return err
}

// outlived is the condition that a row has outlived its retention, by the
// server's clock. DATETIME is taken for UTC, as every session of ours has it.
func (s *Source) outlived(t Table, f *tableFacts) (string, error) {
	if t.CleanupColumn == "" {
		return "true", nil
	}
	age := s.cfg.CleanupAfter
	if err := f.has("cleanup-column", t, t.CleanupColumn); err != nil {
		return "", err
	}
	c := f.column(t.CleanupColumn)
	switch c.dataType {
	case "timestamp", "datetime":
		return fmt.Sprintf("%s <= utc_timestamp(6) - interval %d microsecond", quoteIdent(c.name), age.Microseconds()), nil
	case "bigint":
		return fmt.Sprintf("%s <= cast(unix_timestamp(utc_timestamp(3)) * 1000 as signed) - %d", quoteIdent(c.name), age.Milliseconds()), nil
	}
	return "", &outbox.Invalid{Option: "cleanup-column",
		Text: fmt.Sprintf("column %q of table %s is of type %s; allowed are timestamp, datetime, and bigint for milliseconds since 1970", c.name, t, c.dataType)}
}

// keyed are a table's key columns, as a tuple, and what selects a row's key as
// a literal of such a tuple.
func keyed(f *tableFacts) (tuple, literal string) {
	names, parts := make([]string, len(f.key)), make([]string, len(f.key))
	for i, name := range f.key {
		names[i] = quoteIdent(name)
		parts[i] = fmt.Sprintf(keyForms[f.column(name).dataType], names[i])
	}
	return "(" + strings.Join(names, ", ") + ")", "concat('(', " + strings.Join(parts, ", ', ', ") + ", ')')"
}

// Aged implements the pipeline's Cleaner. A row is named by its primary key: a
// row that is deleted and inserted anew under the same key has the same name,
// and is spared by its age.
func (s *Source) Aged(ctx context.Context, table, limit int) (outbox.Aged, error) {
	a := outbox.Aged{Table: table}
	x, err := s.cleanSession(ctx)
	if err != nil {
		return a, err
	}
	rows, err := s.pick(ctx, x, table, limit)
	if err == nil && len(rows) > 0 {
		// Asked for behind the rows: what they were seen by is in the log.
		var end place
		end, err = s.seenEnd(ctx, x)
		a.UpTo, a.Rows = s.position(&end), rows
	}
	if err != nil {
		s.dropCleanSession()
		return outbox.Aged{}, s.cleanupError(fmt.Sprintf("pick old rows of table %s", s.cfg.Tables[table]), err)
	}
	return a, nil
}

func (s *Source) pick(ctx context.Context, x *session, table, limit int) ([]string, error) {
	t, f := s.cfg.Tables[table], &s.cleanTables[table]
	if err := s.cleanable(t, f); err != nil {
		return nil, err
	}
	where, err := s.outlived(t, f)
	if err != nil {
		return nil, err
	}
	_, literal := keyed(f)
	sql := "select " + literal + " from " + t.quoted() + " where " + where
	if t.CleanupColumn != "" {
		// Without an index the whole table would be sorted for each pick.
		indexed, err := s.cleanupIndexed(ctx, x, t)
		if err != nil {
			return nil, err
		}
		if indexed {
			sql += " order by " + quoteIdent(t.CleanupColumn)
		}
	}
	rows, err := x.query(ctx, sql+" limit "+strconv.Itoa(limit))
	return firsts(rows), err
}

// firsts are the first columns of rows.
func firsts(rows [][]string) []string {
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = r[0]
	}
	return names
}

func (s *Source) cleanupIndexed(ctx context.Context, x *session, t Table) (bool, error) {
	r, err := x.row(ctx, `select count(*) from information_schema.statistics
where table_schema = %s and table_name = %s and seq_in_index = 1 and column_name = %s`, t.Schema, t.Name, t.CleanupColumn)
	if err != nil {
		return false, err
	}
	return r[0] != "0", nil
}

// seenEnd is a place behind every transaction that anybody could see before.
// They are in the log first. But MySQL shows what a transaction wrote for a
// moment before it counts its GTID as executed: meanwhile the GTID is owned.
// From owned to executed it goes at once, so asking in this order misses none.
// (One that is rolled back is never executed; then the place is not reached,
// and is asked for anew.)
func (s *Source) seenEnd(ctx context.Context, x *session) (place, error) {
	if s.id.mode != byGTID {
		return s.end(ctx, x)
	}
	r, err := x.row(ctx, "select @@global.gtid_owned")
	if err != nil {
		return place{}, fmt.Errorf("ask for transactions under way: %w", err)
	}
	owned, err := parseGTIDSet(ownerText.ReplaceAllString(r[0], ""))
	if err != nil {
		return place{}, fmt.Errorf("ask for transactions under way: %w", err)
	}
	p, err := s.end(ctx, x)
	if err == nil {
		p.set.union(owned)
	}
	return p, err
}

// ownerText is the thread that owns a GTID, as gtid_owned has it behind each.
var ownerText = regexp.MustCompile(`#[0-9]+`)

// Delete implements the pipeline's Cleaner. Rows that somebody holds locked are
// left out; the others are locked before any is deleted, so that none is waited
// for with locks in hand.
func (s *Source) Delete(ctx context.Context, a outbox.Aged) (int, error) {
	x, err := s.cleanSession(ctx)
	if err != nil {
		return 0, err
	}
	n, err := s.delete(ctx, x, a)
	if err != nil {
		s.dropCleanSession() // which takes back what was begun
		return n, s.cleanupError(fmt.Sprintf("delete old rows of table %s", s.cfg.Tables[a.Table]), err)
	}
	return n, nil
}

func (s *Source) delete(ctx context.Context, x *session, a outbox.Aged) (int, error) {
	for _, sql := range []string{waitTimeout(cleanupStall), "start transaction"} {
		if _, err := x.query(ctx, sql); err != nil {
			return 0, err
		}
	}
	free, err := s.lockFree(ctx, x, a)
	if err != nil {
		return 0, err
	}
	// A statement for each: of several keys at once, servers search a small
	// table from its begin, and wait for the rows that are not free. In this
	// form of the statement one whole key is always looked up.
	table := s.cfg.Tables[a.Table].quoted()
	tuple, _ := keyed(&s.cleanTables[a.Table])
	for _, key := range free {
		if _, err := x.query(ctx, "delete from "+table+" using "+table+" where "+tuple+" = "+key); err != nil {
			return 0, err
		}
	}
	if _, err := x.query(ctx, "commit"); err != nil {
		return 0, err
	}
	_, err = x.query(ctx, waitTimeout(cleanupSilent))
	return len(free), err
}

func waitTimeout(seconds int) string { return fmt.Sprintf("set session wait_timeout = %d", seconds) }

// lockFree locks those of the rows that nobody else holds, and names them.
func (s *Source) lockFree(ctx context.Context, x *session, a outbox.Aged) ([]string, error) {
	t, f := s.cfg.Tables[a.Table], &s.cleanTables[a.Table]
	where, err := s.outlived(t, f)
	if err != nil {
		return nil, err
	}
	tuple, literal := keyed(f)
	rows, err := x.query(ctx, "select "+literal+" from "+t.quoted()+" force index (primary) where "+tuple+
		" in ("+strings.Join(a.Rows, ", ")+") and "+where+" for update skip locked")
	return firsts(rows), err
}

// cleanSession is the clean-up's own connection, to the server that was proven
// and no other: positions of two servers say nothing of each other's rows.
func (s *Source) cleanSession(ctx context.Context) (*session, error) {
	if s.clean != nil && !s.clean.lost() {
		return s.clean, nil
	}
	s.dropCleanSession()
	x, err := s.openSame(ctx, "open the clean-up's session")
	if err != nil {
		return nil, err
	}
	if err := s.prepareClean(ctx, x); err != nil {
		x.close()
		return nil, fmt.Errorf("open the clean-up's session: %w", err)
	}
	s.clean = x
	return x, nil
}

func (s *Source) prepareClean(ctx context.Context, x *session) error {
	limit := fmt.Sprintf("max_execution_time = %d", cleanupStatement*1000)
	if s.id.kind == outbox.MariaDB {
		limit = fmt.Sprintf("max_statement_time = %d", cleanupStatement)
	}
	for _, sql := range []string{
		// Where a key is not there any more, the gap would be locked otherwise,
		// and with it the application's inserts.
		"set session transaction isolation level read committed",
		fmt.Sprintf("set session innodb_lock_wait_timeout = %d, session lock_wait_timeout = %[1]d, session %s", cleanupLock, limit),
		waitTimeout(cleanupSilent),
	} {
		if _, err := x.query(ctx, sql); err != nil {
			return err
		}
	}
	s.cleanTables = make([]tableFacts, len(s.cfg.Tables))
	for i, t := range s.cfg.Tables {
		f, err := loadTable(ctx, x, t)
		if err != nil {
			return err
		}
		s.cleanTables[i] = f
	}
	return nil
}

// dropCleanSession makes the next use begin anew, with the tables as they are
// then.
func (s *Source) dropCleanSession() {
	s.clean.close()
	s.clean = nil
}

// cleanupError names the grants where rights are what is missing.
func (s *Source) cleanupError(step string, err error) error {
	if slices.Contains([]uint16{mysql.ER_TABLEACCESS_DENIED_ERROR, mysql.ER_COLUMNACCESS_DENIED_ERROR}, errorCode(err)) {
		return fmt.Errorf("%s: %w; %s", step, err, strings.Join(s.cleanupGrants("'USER'@'HOST'"), "; "))
	}
	return fmt.Errorf("%s: %w", step, err)
}

// cleanupGrants are the rights that the clean-up takes.
func (s *Source) cleanupGrants(account string) []string {
	var out []string
	for _, t := range s.cfg.Tables {
		out = append(out, "GRANT SELECT, DELETE ON "+t.quoted()+" TO "+account)
	}
	return out
}

// cleanupIndex is the statement for the index that finds old rows.
func cleanupIndex(t Table) string {
	return "ALTER TABLE " + t.quoted() + " ADD INDEX (" + quoteIdent(t.CleanupColumn) + ")"
}

// checkCleanup runs the statements in a way that touches no row: the server
// checks rights and types all the same.
func (s *Source) checkCleanup(ctx context.Context, x *session, r *outbox.Findings, i int, f *tableFacts) {
	t := s.cfg.Tables[i]
	what := "clean-up of " + t.String()
	if err := s.cleanable(t, f); err != nil {
		r.Err(what, "", err)
		return
	}
	s.cleanTables = make([]tableFacts, len(s.cfg.Tables))
	s.cleanTables[i] = *f
	_, err := s.pick(ctx, x, i, 0)
	for _, sql := range []string{
		"select 1 from " + t.quoted() + " where false for update skip locked",
		"delete from " + t.quoted() + " where false",
	} {
		if err == nil {
			_, err = x.query(ctx, sql)
		}
	}
	if err != nil {
		r.Fail(what, s.cleanupGrants("'USER'@'HOST'")[i], "old rows cannot be deleted: %s", message(err))
		return
	}
	if t.CleanupColumn != "" {
		indexed, err := s.cleanupIndexed(ctx, x, t)
		if err != nil {
			r.Err(what, "", err)
			return
		}
		if !indexed {
			r.Warn(what, cleanupIndex(t), "no index begins with column %q: each search for old rows reads the table", t.CleanupColumn)
			return
		}
	}
	r.OK(what, "rows that are published and older than %s are deleted", s.cfg.CleanupAfter)
}

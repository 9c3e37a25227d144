package pg

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tailer-io/tailer/internal/outbox"
)

// The clean-up's session waits for no lock longer than cleanupLock, and no
// statement of it runs longer than cleanupStatement.
const (
	cleanupLock      = "200ms"
	cleanupStatement = "10s"
)

// cleanable tells whether old rows of a table can be found and deleted. The
// error is an *outbox.Invalid.
//
// Rows are deleted by their place, but a table without a primary key is not
// taken: where another publication publishes deletes, the server would refuse
// each of ours.
func (s *Source) cleanable(t Table, f *tableFacts) error {
	if len(f.key) == 0 {
		return &outbox.Invalid{Option: "cleanup", Text: fmt.Sprintf("table %s has no primary key", t),
			Hint: "ALTER TABLE " + t.quoted() + " ADD PRIMARY KEY (...)"}
	}
	_, err := s.outlived(t, f)
	return err
}

// outlived is the condition that a row has outlived its retention, by the
// server's clock. A time without time zone is taken for UTC, as every session
// of ours has it.
func (s *Source) outlived(t Table, f *tableFacts) (string, error) {
	if t.CleanupColumn == "" {
		return "true", nil
	}
	age := s.cfg.CleanupAfter
	if err := f.has("cleanup-column", t, t.CleanupColumn); err != nil {
		return "", err
	}
	c := f.details[t.CleanupColumn]
	column := "t." + quoteIdent(t.CleanupColumn)
	switch c.typ {
	case "timestamptz", "timestamp":
		return fmt.Sprintf("%s <= now()::%s - interval '%d microseconds'", column, c.typ, age.Microseconds()), nil
	case "int8":
		return fmt.Sprintf("%s <= (extract(epoch from now()) * 1000)::bigint - %d", column, age.Milliseconds()), nil
	}
	return "", &outbox.Invalid{Option: "cleanup-column",
		Text: fmt.Sprintf("column %q of table %s is of type %s; allowed are timestamptz, timestamp, and bigint for milliseconds since 1970", t.CleanupColumn, t, c.typ)}
}

// Aged implements the pipeline's Cleaner. A row is named by its partition, its
// place in it and the transaction that wrote it there: no other version of a
// row, nor another row, ever has the same name.
func (s *Source) Aged(ctx context.Context, table, limit int) (outbox.Aged, error) {
	a := outbox.Aged{Table: table}
	x, err := s.cleanSession(ctx)
	if err != nil {
		return a, err
	}
	rows, err := s.pick(ctx, x, table, limit)
	if err == nil && len(rows) > 0 {
		// Asked for behind the rows: what they were seen by is in the log.
		var end lsn
		end, err = insertEnd(ctx, x)
		a.UpTo, a.Rows = position(end), rows
	}
	if err != nil {
		s.dropCleanSession()
		return outbox.Aged{}, s.cleanupError(fmt.Sprintf("pick old rows of table %s", s.cfg.Tables[table]), err)
	}
	return a, nil
}

const cleanupIndexSQL = `select exists (select 1 from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
  where i.indrelid = $1::oid and i.indisvalid and i.indpred is null and a.attname = $2)`

func (s *Source) pick(ctx context.Context, x *session, table, limit int) ([]string, error) {
	t, f := s.cfg.Tables[table], &s.cleanTables[table]
	where, err := s.outlived(t, f)
	if err != nil {
		return nil, err
	}
	sql := fmt.Sprintf("select concat_ws(' ', t.tableoid, t.ctid, t.xmin) from %s as t where %s", t.quoted(), where)
	if t.CleanupColumn != "" {
		// Without an index the whole table would be sorted for each pick.
		r, err := x.row(ctx, cleanupIndexSQL, f.oid, t.CleanupColumn)
		if err != nil {
			return nil, err
		}
		if r[0] == "t" {
			sql += " order by t." + quoteIdent(t.CleanupColumn)
		}
	}
	rows, err := x.query(ctx, sql+" limit "+strconv.Itoa(limit))
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = r[0]
	}
	return names, err
}

// Delete implements the pipeline's Cleaner, in one statement. Its places find
// the rows without any index.
func (s *Source) Delete(ctx context.Context, a outbox.Aged) (int, error) {
	x, err := s.cleanSession(ctx)
	if err != nil {
		return 0, err
	}
	n, err := s.delete(ctx, x, a)
	if err != nil {
		s.dropCleanSession()
		return 0, s.cleanupError(fmt.Sprintf("delete old rows of table %s", s.cfg.Tables[a.Table]), err)
	}
	return n, nil
}

// Rows that somebody holds locked are left out. The others are locked before
// any is deleted, so that none is waited for with locks in hand. The condition
// on places alone lets the server read nothing else of the table.
const deleteSQL = `with free as materialized (
  select t.tableoid as part, t.ctid as place
  from %[1]s as t, unnest($1::oid[], $2::tid[], $3::xid[]) as k (part, place, txn)
  where t.ctid = any($2::tid[]) and t.tableoid = k.part and t.ctid = k.place and t.xmin = k.txn and %[2]s
  for update of t skip locked),
gone as (
  delete from %[1]s as t using free
  where t.ctid = any($2::tid[]) and t.tableoid = free.part and t.ctid = free.place
  returning 1)
select count(*) from gone`

func (s *Source) delete(ctx context.Context, x *session, a outbox.Aged) (int, error) {
	t := s.cfg.Tables[a.Table]
	where, err := s.outlived(t, &s.cleanTables[a.Table])
	if err != nil {
		return 0, err
	}
	var parts, places, txns []string
	for _, name := range a.Rows {
		f := strings.Fields(name)
		parts, places, txns = append(parts, f[0]), append(places, `"`+f[1]+`"`), append(txns, f[2])
	}
	list := func(items []string) string { return "{" + strings.Join(items, ",") + "}" }
	r, err := x.row(ctx, fmt.Sprintf(deleteSQL, t.quoted(), where), list(parts), list(places), list(txns))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(r[0])
}

// cleanSession is the clean-up's own connection, to the server that was proven
// and no other: positions of two servers say nothing of each other's rows.
func (s *Source) cleanSession(ctx context.Context) (*session, error) {
	if s.clean != nil && !s.clean.lost() {
		return s.clean, nil
	}
	s.dropCleanSession()
	x, err := s.open(ctx, "open the clean-up's session")
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
	// The name of the log's newest file begins with the timeline, and a server
	// in recovery does not give it.
	r, err := x.row(ctx, `select system_identifier, current_database(), left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) from pg_control_system()`)
	if err != nil {
		return err
	}
	timeline, err := strconv.ParseUint(r[2], 16, 32)
	if err != nil {
		return fmt.Errorf("ask for the timeline: %w", err)
	}
	if err := s.sameServer(identity{system: r[0], database: r[1], timeline: uint32(timeline)}); err != nil {
		return err
	}
	// A deletion that a crash takes back is made again; one that waits for a
	// synchronous standby would keep its locks meanwhile.
	if _, err := x.query(ctx, `select set_config('lock_timeout', $1, false), set_config('statement_timeout', $2, false),
  set_config('synchronous_commit', 'off', false), set_config('default_transaction_isolation', 'read committed', false)`,
		cleanupLock, cleanupStatement); err != nil {
		return err
	}
	s.cleanTables = s.cleanTables[:0]
	for _, t := range s.cfg.Tables {
		f, err := loadTable(ctx, x, t)
		if err != nil {
			return err
		}
		s.cleanTables = append(s.cleanTables, f)
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
	if sqlState(err) == "42501" {
		return fmt.Errorf("%s: %w; %s", step, err, strings.Join(s.cleanupGrants(), "; "))
	}
	return fmt.Errorf("%s: %w", step, err)
}

// cleanupGrants are the rights that the clean-up takes. Locking a row asks for
// the right to update any one column.
func (s *Source) cleanupGrants() []string {
	role := "ROLE"
	if c, err := parseURL(s.cfg); err == nil {
		role = quoteIdent(c.User)
	}
	var out []string
	for _, t := range s.cfg.Tables {
		column := t.CleanupColumn
		if i := slices.Index(t.Optional, false); column == "" && len(t.Columns) > 0 {
			column = t.Columns[max(i, 0)]
		}
		out = append(out, fmt.Sprintf("GRANT SELECT, DELETE, UPDATE (%s) ON %s TO %s", quoteIdent(column), t.quoted(), role))
	}
	return out
}

// cleanupIndex is the statement for the index that finds old rows. That of a
// partitioned table cannot be made beside writers.
func cleanupIndex(t Table, kind string) string {
	how := "CONCURRENTLY "
	if kind == "p" {
		how = ""
	}
	return "CREATE INDEX " + how + "ON " + t.quoted() + " (" + quoteIdent(t.CleanupColumn) + ")"
}

// checkCleanup runs the statements with no row to delete: the server checks
// rights and types all the same.
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
	if err == nil {
		_, err = s.delete(ctx, x, outbox.Aged{Table: i})
	}
	if err != nil {
		r.Fail(what, s.cleanupGrants()[i], "old rows cannot be deleted: %s", message(err))
		return
	}
	if t.CleanupColumn != "" {
		row, err := x.row(ctx, cleanupIndexSQL, f.oid, t.CleanupColumn)
		if err != nil {
			r.Err(what, "", err)
			return
		}
		if row[0] != "t" {
			r.Warn(what, cleanupIndex(t, f.kind), "no index begins with column %q: each search for old rows reads the table", t.CleanupColumn)
			return
		}
	}
	r.OK(what, "rows that are published and older than %s are deleted", s.cfg.CleanupAfter)
}

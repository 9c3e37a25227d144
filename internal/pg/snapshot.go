package pg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailer-io/tailer/internal/outbox"
)

// snapshot is an outbox.Snapshot: a transaction that took over the snapshot
// exported with the slot. A row is either in it or behind the position at
// which the slot begins.
type snapshot struct {
	src    *Source
	resume outbox.Resume
	began  time.Time
	conn   *pgconn.PgConn

	cancel context.CancelCauseFunc // interrupts the statement that runs
	ctx    context.Context

	table   int                       // the table being read, or to be read next
	results *pgconn.MultiResultReader // nil between tables
	rows    *pgconn.ResultReader
	shape   *outbox.Shape
	before  uint64 // rows handed out

	some someRows // nil: all rows

	chosen []bool       // by table; nil for all
	facts  []tableFacts // of the tables
}

// CreateAnchor creates the slot by the replication command, which exports a
// snapshot, and opens that snapshot on another session (see
// https://www.postgresql.org/docs/current/protocol-replication.html). Creating
// waits until every transaction that runs now has ended; for whom is logged
// every few seconds. A slot that exists is an error. From 17 on the slot is
// marked for failover. The snapshot gives the rows that f chooses.
func (s *Source) CreateAnchor(ctx context.Context, f outbox.Filter) (outbox.Snapshot, error) {
	v, err := s.openView(ctx, s.cfg.Slot, false)
	if err != nil {
		return nil, err
	}
	if !f.IsZero() {
		v.some = &chosenRows{f}
	}
	return v, nil
}

// openView creates a slot, one that lives as long as its connection or one that
// stays, and opens the snapshot that is exported with it.
func (s *Source) openView(ctx context.Context, slot string, temporary bool) (*snapshot, error) {
	repl, err := s.openReplication(ctx, "open a replication connection", nil)
	if err != nil {
		return nil, err
	}
	// The exported snapshot lives until the next command on its connection,
	// or its end: keep it until the other session has taken it over.
	defer closeConn(repl)
	id, err := s.identifySystem(ctx, repl)
	if err != nil {
		return nil, err
	}
	if err := s.sameServer(id); err != nil {
		return nil, err
	}
	at, name, err := s.createSlot(ctx, repl, slot, temporary, true)
	if err != nil {
		return nil, err
	}
	if temporary {
		s.log.Info("opened snapshot", "lsn", at.String())
	} else {
		s.log.Info("created slot", "slot", slot, "lsn", at.String())
	}
	return s.openSnapshot(ctx, s.resumeAt(at), name)
}

// createSlot runs CREATE_REPLICATION_SLOT and returns the consistent point and
// the exported snapshot's name.
func (s *Source) createSlot(ctx context.Context, repl *pgconn.PgConn, name string, temporary, export bool) (lsn, string, error) {
	stop := s.logBlockers(ctx, repl.PID())
	results, err := repl.Exec(ctx, createSlotCommand(name, s.id.version, temporary, export)).ReadAll()
	stop()
	if err != nil {
		switch sqlState(err) {
		case "42501":
			return 0, "", outbox.Refuse(ReasonPrivilege, s.replicationHint(), "the role may not create a slot: %s", message(err))
		case "53400":
			return 0, "", outbox.Refuse(ReasonSlots, "raise max_replication_slots, or drop a slot that nobody uses",
				"the server has no replication slot left: %s", message(err))
		}
		return 0, "", fmt.Errorf("create slot: %w", err)
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) < 3 {
		return 0, "", fmt.Errorf("create slot: unexpected answer")
	}
	row := results[0].Rows[0]
	at, err := parseLSN(string(row[1]))
	if err != nil {
		return 0, "", fmt.Errorf("create slot: %w", err)
	}
	return at, string(row[2]), nil
}

// createSlotCommand writes the command for the server's version: options in
// parentheses came with 15, FAILOVER with 17.
func createSlotCommand(name string, version int, temporary, export bool) string {
	cmd := "CREATE_REPLICATION_SLOT " + quoteIdent(name)
	if temporary {
		cmd += " TEMPORARY"
	}
	cmd += " LOGICAL pgoutput"
	if version < 15 {
		if export {
			return cmd + " EXPORT_SNAPSHOT"
		}
		return cmd + " NOEXPORT_SNAPSHOT"
	}
	action := "nothing"
	if export {
		action = "export"
	}
	cmd += " (SNAPSHOT '" + action + "'"
	if version >= 17 && !temporary {
		cmd += ", FAILOVER true"
	}
	return cmd + ")"
}

// logBlockers logs every few seconds, and after a minute once a minute, which
// transactions a slot that is being created by server process self waits for,
// the oldest first. The function that it returns ends it and waits for its end.
func (s *Source) logBlockers(ctx context.Context, self uint32) func() {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		wait := 3 * time.Second
		for begin := time.Now(); pause(ctx, wait) == nil; {
			if time.Since(begin) > time.Minute {
				wait = time.Minute
			}
			rows, err := s.ctl.query(ctx, `select who from (
  select 'process ' || pid || ' (xid ' || backend_xid || ', application ' || quote_literal(application_name)
    || coalesce(', open for ' || date_trunc('second', now() - xact_start), '') || ')' as who, xact_start as since
  from pg_stat_activity where backend_xid is not null and pid <> $1::int
  union all select 'prepared transaction ' || quote_literal(gid) || ' (xid ' || transaction || ')', prepared from pg_prepared_xacts
) as t order by since limit 10`, fmt.Sprint(self))
			if err != nil {
				continue
			}
			var who []string
			for _, r := range rows {
				who = append(who, r[0])
			}
			s.log.Info("slot waits for running transactions", "slot", s.cfg.Slot, "waits_for", strings.Join(who, "; "))
		}
	}()
	return func() { cancel(); <-done }
}

// openSnapshot takes the exported snapshot over into a session that lives as
// long as the view.
func (s *Source) openSnapshot(ctx context.Context, r outbox.Resume, name string) (*snapshot, error) {
	c, err := s.dialConfig(ctx)
	if err != nil {
		return nil, err
	}
	// A view lives as long as publishing it takes.
	c.RuntimeParams["statement_timeout"] = "0"
	conn, err := pgconn.ConnectConfig(ctx, c)
	if err != nil {
		return nil, s.connectError("open the snapshot's session", err)
	}
	sql := "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT " + quoteLiteral(name)
	if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
		closeConn(conn)
		return nil, fmt.Errorf("take over the snapshot: %w", err)
	}
	v := &snapshot{src: s, resume: r, began: time.Now(), conn: conn, facts: s.tables}
	v.ctx, v.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return v, nil
}

// Resume is where streaming takes over.
func (v *snapshot) Resume() outbox.Resume { return v.resume }

// Read appends rows to b until it is full or the tables are read: then more is
// false. Rows come in the order of the primary key, one table after the other;
// the whole snapshot is one transaction named "snapshot". Memory is constant:
// the server is only read as far as there is room.
func (v *snapshot) Read(ctx context.Context, b *outbox.Batch, l outbox.Limits) (more bool, err error) {
	stop := context.AfterFunc(ctx, func() { v.cancel(context.Cause(ctx)) })
	defer stop()
	begun := false
	for v.table < len(v.src.cfg.Tables) {
		if !isChosen(v.chosen, v.table) {
			v.table++
			continue
		}
		if v.results == nil {
			if err := v.openTable(); err != nil {
				return false, v.fail(err)
			}
		}
		for !b.Full(l) && v.rows.NextRow() {
			if !begun {
				b.Begin([]byte(outbox.SnapshotTxn), v.began, v.before)
				begun = true
			}
			b.Add(v.shape)
			for i, cell := range v.rows.Values() {
				switch wanted := len(v.shape.Columns); {
				case cell == nil:
				case i < wanted:
					b.SetCell(i, cell)
				default:
					b.SetRest(i-wanted, cell)
				}
			}
			v.before++
		}
		if b.Full(l) {
			// There may be no row left; the next call finds that out.
			return true, nil
		}
		if err := v.closeTable(); err != nil {
			return false, v.fail(err)
		}
	}
	return false, nil
}

func (v *snapshot) openTable() error {
	t, facts := v.src.cfg.Tables[v.table], v.facts[v.table]
	cols := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		if cols[i] = quoteIdent(c); !slices.Contains(facts.columns, c) {
			cols[i] = "NULL" // it is optional
		}
	}
	var rest []string
	if v.src.whole {
		rest = facts.rest(t)
	}
	for _, c := range rest {
		cols = append(cols, quoteIdent(c))
	}
	sql := selectSQL(t, &facts, cols)
	if v.some != nil {
		sql = v.some.selectSQL(t, &facts, cols)
	}
	v.results = v.conn.Exec(v.ctx, sql)
	if !v.results.NextResult() {
		return cmp.Or(v.results.Close(), errors.New("the server gave no result"))
	}
	v.rows = v.results.ResultReader()
	v.shape = &outbox.Shape{Table: v.table}
	for i, f := range v.rows.FieldDescriptions() {
		if i >= len(t.Columns) {
			name := rest[i-len(t.Columns)]
			v.shape.Rest = append(v.shape.Rest, column(name, facts.declared(name, f.DataTypeOID), f.TypeModifier, facts.details))
			continue
		}
		c := missing(t.Columns[i])
		if slices.Contains(facts.columns, c.Name) {
			c = column(c.Name, facts.declared(c.Name, f.DataTypeOID), f.TypeModifier, facts.details)
		}
		v.shape.Columns = append(v.shape.Columns, c)
	}
	return nil
}

// selectSQL reads a whole table; columns are quoted.
func selectSQL(t Table, f *tableFacts, columns []string) string {
	return wholeTable(t, columns) + inOrder(t, f)
}

// inOrder is the clause that asks for a snapshot's order; "" where there is
// none.
func inOrder(t Table, f *tableFacts) string {
	var by []string
	if t.SnapshotOrder != "" {
		by = append(by, quoteIdent(t.SnapshotOrder)+" NULLS FIRST")
	}
	for _, c := range f.key {
		if c != t.SnapshotOrder {
			by = append(by, quoteIdent(c))
		}
	}
	if len(by) == 0 {
		return ""
	}
	return " ORDER BY " + strings.Join(by, ", ")
}

// wholeTable reads a table in no order.
func wholeTable(t Table, columns []string) string {
	return fmt.Sprintf("SELECT %s FROM %s", strings.Join(columns, ", "), t.quoted())
}

func (v *snapshot) closeTable() error {
	err := v.results.Close()
	v.results, v.rows = nil, nil
	if err == nil {
		v.table++
	}
	return err
}

func (v *snapshot) fail(err error) error {
	if cause := context.Cause(v.ctx); cause != nil {
		return cause
	}
	if _, ok := v.some.(*chosenRows); ok && sqlState(err) != "" {
		return v.src.chosenError("read the snapshot", v.src.cfg.Tables[v.table], err)
	}
	if v.some != nil && sqlState(err) == "42501" {
		return outbox.Refuse(ReasonPrivilege, v.src.grantSelectSQL(), "the role may not read the outbox: %s", message(err))
	}
	return v.src.selectError("read the snapshot", err)
}

// Close ends the view; the slot stays.
func (v *snapshot) Close() {
	// A statement that still runs is cut off: saying goodbye would wait for it.
	v.cancel(nil)
	closeConn(v.conn)
}

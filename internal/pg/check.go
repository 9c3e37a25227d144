package pg

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Check is the preflight: a finding for each requirement, proven by doing
// where that changes nothing. It needs no Connect, changes nothing in the
// database, and closes what it opened.
func (s *Source) Check(ctx context.Context) []outbox.Finding {
	var r outbox.Findings
	if err := Validate(s.cfg); err != nil {
		r.Err("configuration", "", err)
		return r.List
	}
	x, err := s.open(ctx, "connect")
	if err != nil {
		r.Err("connection", "check host, port, TLS settings, role and password in --source-url", err)
		return r.List
	}
	defer x.close()
	r.OK("connection", "the server answers")
	version := s.checkServer(ctx, x, &r)
	if version == 0 {
		return r.List
	}
	s.id.version = version
	s.checkReplication(ctx, &r)
	s.checkCapacity(ctx, x, &r)
	facts := s.checkTables(ctx, x, &r)
	s.checkPublication(ctx, x, &r, facts)
	s.checkFailover(ctx, x, &r, s.checkSlot(ctx, x, &r))
	s.checkSettings(ctx, x, &r)
	s.checkTransactions(ctx, x, &r)
	return r.List
}

// checkServer returns the major version, 0 when there is no point in going on.
func (s *Source) checkServer(ctx context.Context, x *session, r *outbox.Findings) int {
	row, err := x.row(ctx, serverSQL)
	if err != nil {
		r.Err("server version", "", err)
		return 0
	}
	version, err := strconv.Atoi(row[0])
	if err != nil {
		r.Err("server version", "", err)
		return 0
	}
	if version < 14 {
		r.Fail("server version", "use PostgreSQL 14 or later", "PostgreSQL %s", row[1])
		return 0
	}
	r.OK("server version", "PostgreSQL %s", row[1])
	if row[2] == "t" {
		r.Fail("primary", "point --source-url at the primary, or name every host", "the server is in recovery (a standby)")
	}
	if row[3] == "logical" {
		r.OK("wal_level", "logical")
	} else {
		r.Fail("wal_level", walLevelHint, "%s", row[3])
	}
	return version
}

// checkReplication opens a replication connection: neither a role's flag nor
// pg_hba.conf tells whether that works, and a pooler shows here.
func (s *Source) checkReplication(ctx context.Context, r *outbox.Findings) {
	id, err := s.identify(ctx)
	switch {
	case err == nil:
		s.id.system, s.id.database, s.id.timeline = id.system, id.database, id.timeline
		r.OK("replication", "a replication connection opens (system %s, timeline %d)", id.system, id.timeline)
	case sqlState(err) == "53300":
		r.Fail("replication", "raise max_wal_senders, then restart the server", "%v", err)
	default:
		r.Err("replication", s.replicationHint()+"; and a line in pg_hba.conf that lets the role reach this database", err)
	}
}

func (s *Source) checkCapacity(ctx context.Context, x *session, r *outbox.Findings) {
	row, err := x.row(ctx, `select current_setting('max_replication_slots'), (select count(*) from pg_replication_slots),
  (select count(*) from pg_replication_slots where slot_name = $1),
  current_setting('max_wal_senders'), (select count(*) from pg_stat_get_wal_senders())`, s.cfg.Slot)
	if err != nil {
		r.Err("replication slots", "", err)
		return
	}
	n := make([]int, len(row))
	for i := range row {
		n[i], _ = strconv.Atoi(row[i])
	}
	const managed = " (RDS, Cloud SQL, Azure: the parameter of that name), then restart the server"
	if n[1] >= n[0] && n[2] == 0 {
		r.Fail("replication slots", fmt.Sprintf("ALTER SYSTEM SET max_replication_slots = %d%s", n[0]+4, managed), "%d of %d are in use", n[1], n[0])
	} else {
		r.OK("replication slots", "%d of %d are in use", n[1], n[0])
	}
	if n[4] >= n[3] {
		r.Fail("wal senders", fmt.Sprintf("ALTER SYSTEM SET max_wal_senders = %d%s", n[3]+4, managed), "%d of %d are in use", n[4], n[3])
	} else {
		r.OK("wal senders", "%d of %d are in use", n[4], n[3])
	}
}

func (s *Source) checkTables(ctx context.Context, x *session, r *outbox.Findings) []tableFacts {
	facts := make([]tableFacts, len(s.cfg.Tables))
	for i, t := range s.cfg.Tables {
		what := "table " + t.String()
		var err error
		if facts[i], err = loadTable(ctx, x, t); err != nil {
			r.Err(what, "", err)
			continue
		}
		f := facts[i]
		if err := f.judge(t, s.id.version, false); err != nil {
			r.Err(what, "", err)
			continue
		}
		if err := s.fits(i, &f); err != nil {
			r.Err(what, "", err)
			continue
		}
		kind := "table"
		if f.kind == "p" {
			kind = "partitioned table"
		}
		r.OK(what, "%s with columns %s", kind, strings.Join(t.Columns, ", "))
		if len(f.key) == 0 {
			r.Warn(what, "ALTER TABLE "+t.quoted()+" ADD PRIMARY KEY (...)", "it has no primary key: a snapshot comes in no particular order")
		}
		s.checkSelect(ctx, x, r, t, &f)
		if s.cfg.Cleanup {
			s.checkCleanup(ctx, x, r, i, &f)
		}
	}
	return facts
}

// checkSelect reads nothing, but the server checks the right to.
func (s *Source) checkSelect(ctx context.Context, x *session, r *outbox.Findings, t Table, f *tableFacts) {
	what := "right to read " + t.String()
	var cols []string
	for _, c := range t.Columns {
		if slices.Contains(f.columns, c) {
			cols = append(cols, quoteIdent(c))
		}
	}
	if _, err := x.query(ctx, fmt.Sprintf("select %s from %s limit 0", strings.Join(cols, ", "), t.quoted())); err != nil {
		r.Warn(what, s.grantSelectSQL(), "the first start's snapshot cannot be read (--snapshot never needs none): %s", message(err))
		return
	}
	r.OK(what, "granted")
}

func (s *Source) checkPublication(ctx context.Context, x *session, r *outbox.Findings, facts []tableFacts) {
	what := "publication " + s.cfg.Publication
	p, err := s.loadPublication(ctx, x)
	switch {
	case err != nil:
		r.Err(what, "", err)
	case !p.exists:
		s.checkMayPublish(ctx, x, r, what)
	default:
		fl := s.flaws(p, facts)
		if len(fl) == 0 {
			r.OK(what, "brings every inserted row")
		}
		for _, f := range fl {
			r.Fail(what, f.fix, "%s", f.text)
		}
		s.checkMayAdd(ctx, x, r, p, facts)
	}
}

// checkMayPublish creates the publication and takes that back: only the server
// knows whether it may be.
func (s *Source) checkMayPublish(ctx context.Context, x *session, r *outbox.Findings, what string) {
	if _, err := x.query(ctx, "begin"); err != nil {
		r.Err(what, "", err)
		return
	}
	_, err := x.query(ctx, s.createPublicationSQL())
	if _, rerr := x.query(ctx, "rollback"); err == nil {
		err = rerr
	}
	if err != nil {
		r.Fail(what, "as the owner of the tables: "+s.createPublicationSQL(), "it does not exist, and cannot be created: %s", message(err))
		return
	}
	r.OK(what, "it does not exist yet; run and setup may create it")
}

func (s *Source) checkSlot(ctx context.Context, x *session, r *outbox.Findings) slot {
	what := "slot " + s.cfg.Slot
	sl, err := s.loadSlot(ctx, x, s.cfg.Slot)
	if err != nil {
		r.Err(what, "", err)
		return sl
	}
	if !sl.exists {
		r.OK(what, "it does not exist: the first start creates it; one that finds a checkpoint refuses (%s)", ReasonSlotMissing)
		return sl
	}
	if s.id.database != "" {
		if err := sl.foreign(s.id.database); err != nil {
			r.Err(what, "", err)
			return sl
		}
	}
	retained, _ := strconv.ParseInt(sl.retained, 10, 64)
	state := "inactive"
	if sl.active {
		state = "read by server process " + sl.pid
	}
	switch {
	case sl.lost() != "":
		r.Fail(what, hintReset, "it is lost: %s", sl.lost())
	case sl.walStatus == "unreserved":
		r.Warn(what, "start tailer soon; ALTER SYSTEM SET max_slot_wal_keep_size to more", "%s; its log may go at the next checkpoint; %s of log retained", state, mega(retained))
	default:
		r.OK(what, "%s, confirmed up to %s, %s of log retained", state, sl.confirmed, mega(retained))
	}
	return sl
}

func mega(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }

// checkSettings looks at what limits how long tailer may be away.
func (s *Source) checkSettings(ctx context.Context, x *session, r *outbox.Findings) {
	rows, err := x.query(ctx, `select name, setting::bigint, coalesce(unit, '') from pg_settings
where name in ('max_slot_wal_keep_size', 'idle_replication_slot_timeout', 'wal_sender_timeout')`)
	if err != nil {
		r.Err("settings", "", err)
		return
	}
	for _, row := range rows {
		n, _ := strconv.ParseInt(row[1], 10, 64)
		switch row[0] {
		case "max_slot_wal_keep_size":
			if n < 0 {
				r.Warn(row[0], "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB' (a size that the disk holds), and SELECT pg_reload_conf()",
					"unlimited: while tailer is away the log fills the disk")
			} else {
				r.OK(row[0], "%d MB of log may gather while tailer is away; beyond it the slot is lost", n)
			}
		case "idle_replication_slot_timeout":
			if n > 0 {
				r.Warn(row[0], "ALTER SYSTEM SET idle_replication_slot_timeout = 0, and SELECT pg_reload_conf()",
					"the slot is lost when tailer is away for %d %s", n, row[2])
			} else {
				r.OK(row[0], "off")
			}
		case "wal_sender_timeout":
			// Ours is set by the connection itself; the server's only shows
			// how others live.
			r.OK(row[0], "%d ms; tailer's own connection uses %d ms", n, senderTimeout.Milliseconds())
		}
	}
}

// checkTransactions: a first start waits for every transaction that writes.
func (s *Source) checkTransactions(ctx context.Context, x *session, r *outbox.Findings) {
	rows, err := x.query(ctx, `select pid::text, date_trunc('second', now() - xact_start)::text from pg_stat_activity
where backend_xid is not null and now() - xact_start > interval '1 minute'
union all select 'prepared transaction ' || quote_literal(gid), date_trunc('second', now() - prepared)::text from pg_prepared_xacts
where now() - prepared > interval '1 minute' limit 5`)
	if err != nil {
		r.Err("long transactions", "", err)
		return
	}
	if len(rows) == 0 {
		r.OK("long transactions", "none older than a minute")
		return
	}
	var who []string
	for _, row := range rows {
		who = append(who, fmt.Sprintf("%s (%s)", row[0], row[1]))
	}
	r.Warn("long transactions", "end them: SELECT pg_terminate_backend(PID), or ROLLBACK PREPARED",
		"a first start waits for, and log is held back by: %s", strings.Join(who, ", "))
}

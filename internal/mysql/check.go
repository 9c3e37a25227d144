package mysql

import (
	"context"
	"errors"
	"strings"

	"github.com/go-mysql-org/go-mysql/replication"

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
	s.Close()
	if len(s.addr.hosts) > 1 {
		s.checkHosts(ctx, &r)
	}
	x, err := s.choose(ctx, "connect")
	if err != nil {
		r.Err("connection", "check host, port, ssl-mode, account and password in --source-url", err)
		return r.List
	}
	s.ctl = x
	defer s.Close()
	r.OK("connection", "%s answers", s.at.host)
	id, err := s.identify(ctx, x)
	if err != nil {
		r.Err("server settings", "", err)
		return r.List
	}
	s.id = id
	if id.kind != s.addr.kind {
		r.Fail("server", "write "+string(id.kind)+":// in --source-url", "it is %s %s", id.kind, id.version)
		return r.List
	}
	r.OK("server", "%s %s, %s", id.kind, id.version, id.server)
	s.checkLog(&r)
	if !strings.EqualFold(id.vars["log_bin"], "ON") {
		return r.List
	}
	s.checkFilters(ctx, x, &r)
	s.checkDurable(&r)
	s.checkReplica(ctx, x, &r)
	s.checkRetention(ctx, x, &r)
	s.checkTables(ctx, x, &r)
	s.checkDump(ctx, x, &r)
	return r.List
}

// checkHosts asks each of several hosts what it is.
func (s *Source) checkHosts(ctx context.Context, r *outbox.Findings) {
	primary := ""
	for _, e := range s.addr.hosts {
		what := "host " + e.host
		x, is, err := s.ask(ctx, e, "connect")
		x.close()
		switch {
		case err != nil:
			r.Warn(what, "start it, or take it out of --source-url", "it cannot be followed after a failover: %v", err)
		case is == replicating:
			r.Warn(what, "SET GLOBAL read_only = ON and in the configuration file of every replica",
				"it %s: while no other host answers it is taken for the primary", is)
		case is == writable && primary != "":
			r.Warn(what, "SET GLOBAL read_only = ON on every server but the primary", "it %s, and so does %s, which is taken", is, primary)
		case is == writable:
			primary = e.host
			r.OK(what, "it %s", is)
		default:
			r.OK(what, "it %s", is)
		}
	}
}

// checkLog looks at how the log is written.
func (s *Source) checkLog(r *outbox.Findings) {
	flaws := map[string]*outbox.Refusal{}
	for _, f := range s.id.flaws() {
		flaws[f.Reason] = f
	}
	for _, v := range []struct{ reason, name string }{
		{ReasonVersion, "version"}, {ReasonBinlog, "log_bin"}, {ReasonFormat, "binlog_format"}, {ReasonImage, "binlog_row_image"},
	} {
		if f := flaws[v.reason]; f != nil {
			r.Fail(v.name, f.Hint, "%s", f.Text)
		} else {
			r.OK(v.name, "%s", s.id.vars[v.name])
		}
	}
	if v := s.id.vars["binlog_row_metadata"]; strings.EqualFold(v, "FULL") {
		r.OK("binlog_row_metadata", "%s", v)
	} else {
		r.Warn("binlog_row_metadata", "SET GLOBAL binlog_row_metadata = 'FULL' and in the configuration file",
			"%s: the log does not name its columns: tailer stops when a mapped column is changed, and rows that wait while one is changed may be published with columns of the same type mixed up before it stops", v)
	}
	if s.id.kind == outbox.MariaDB {
		if v := s.id.vars["gtid_strict_mode"]; strings.EqualFold(v, "ON") {
			r.OK("gtid_strict_mode", "%s", v)
		} else {
			r.Warn("gtid_strict_mode", "SET GLOBAL gtid_strict_mode = ON and in the configuration file, on every server",
				"%s: after a failover tailer refuses to go on", v)
		}
		return
	}
	if s.id.mode == byGTID {
		r.OK("gtid_mode", "ON")
	} else {
		r.Warn("gtid_mode", "SET GLOBAL enforce_gtid_consistency = ON, then gtid_mode = OFF_PERMISSIVE, ON_PERMISSIVE, ON, step by step; then `tailer checkpoint set`",
			"%s: positions are places in files, and after a failover tailer refuses to go on", s.id.vars["gtid_mode"])
	}
}

func (s *Source) checkFilters(ctx context.Context, x *session, r *outbox.Findings) {
	_, f, err := s.logStatus(ctx, x, s.id)
	if err != nil {
		r.Err("right to see the log's state", strings.Join(s.grants("'USER'@'HOST'"), "; "), s.privilegeError("ask for the log's end", err))
		return
	}
	if err := f.judge(s.cfg.Tables); err != nil {
		r.Err("binlog filters", "", err)
		return
	}
	r.OK("binlog filters", "none that hides a table")
}

// checkDurable: what is published must not be lost to the database.
func (s *Source) checkDurable(r *outbox.Findings) {
	for _, c := range []struct{ name, why string }{
		{"sync_binlog", "after a crash of the host the log may lack transactions whose rows were published"},
		{"innodb_flush_log_at_trx_commit", "after a crash of the host the database may lack transactions whose rows were published"},
	} {
		name, why := c.name, c.why
		if v := s.id.vars[name]; v == "1" {
			r.OK(name, "1")
		} else {
			r.Fail(name, "SET GLOBAL "+name+" = 1 and in the configuration file (RDS: in the parameter group)", "%s: %s", v, why)
		}
	}
}

// first is the first of several names under which a server knows a setting.
func (id *identity) first(names ...string) (name, value string) {
	for _, n := range names {
		if v, ok := id.vars[n]; ok {
			return n, v
		}
	}
	return "", ""
}

// checkReplica: a server that is itself a replica must log what it applies, in
// the order in which the source committed.
func (s *Source) checkReplica(ctx context.Context, x *session, r *outbox.Findings) {
	sql := "show all slaves status"
	if s.id.kind == outbox.MySQL {
		sql = "show replica status"
		if s.id.number < 80022 {
			sql = "show slave status"
		}
	}
	rows, err := x.query(ctx, sql)
	if err != nil {
		r.Warn("replication", "GRANT REPLICA MONITOR ON *.* TO 'USER'@'HOST' (MySQL: REPLICATION CLIENT)", "it cannot be told whether the server is a replica: %s", message(err))
		return
	}
	name, order := s.id.first("replica_preserve_commit_order", "slave_preserve_commit_order")
	if name != "" && !strings.EqualFold(order, "ON") {
		r.Fail(name, "SET GLOBAL "+name+" = ON and in the configuration file, on every server that may be promoted",
			"%s: a replica may commit in another order than its source, and after a failover rows of one aggregate may come in another order", order)
	} else if name != "" {
		r.OK(name, "%s", order)
	}
	if len(rows) == 0 {
		r.OK("replication", "the server is no replica")
		return
	}
	name, updates := s.id.first("log_replica_updates", "log_slave_updates")
	if !strings.EqualFold(updates, "ON") {
		r.Fail(name, name+" = ON in the configuration file, then restart the server", "%s: the server is a replica and does not log what it applies", updates)
		return
	}
	r.Warn("replication", "point --source-url at the primary unless this is meant", "the server is a replica: rows are published after they have arrived here")
}

func (s *Source) checkTables(ctx context.Context, x *session, r *outbox.Findings) {
	for i, t := range s.cfg.Tables {
		what := "table " + t.String()
		f, err := s.loadTable(ctx, x, i, false)
		if err == nil {
			err = s.fits(f.shape(i, t))
		}
		if err != nil {
			r.Err(what, "", err)
			continue
		}
		r.OK(what, "%s with columns %s", f.engine, strings.Join(t.Columns, ", "))
		if len(f.key) == 0 {
			r.Warn(what, "ALTER TABLE "+t.quoted()+" ADD PRIMARY KEY (...)", "it has no primary key: a snapshot comes in no particular order")
		}
		s.checkSelect(ctx, x, r, t, &f)
		if s.cfg.Cleanup {
			s.checkCleanup(ctx, x, r, i, &f)
		}
	}
}

// checkSelect reads nothing, but the server checks the right to; the lock that
// the snapshot takes is tried for a second.
func (s *Source) checkSelect(ctx context.Context, x *session, r *outbox.Findings, t Table, f *tableFacts) {
	what := "right to read " + t.String()
	var cols []string
	for _, c := range t.Columns {
		if known := f.column(c); known != nil {
			cols = append(cols, quoteIdent(known.name))
		}
	}
	const without = "the first start's snapshot cannot be read (--snapshot never needs none): %s"
	if _, err := x.query(ctx, "select "+strings.Join(cols, ", ")+" from "+t.quoted()+" limit 0"); err != nil {
		r.Warn(what, "GRANT SELECT ON "+t.quoted()+" TO 'USER'@'HOST'", without, message(err))
		return
	}
	if s.id.kind == outbox.MySQL {
		// EXPLAIN does not check it, and taking the lock would hold up writers.
		rows, err := x.query(ctx, "show grants")
		if err == nil && !grantsLock(rows) {
			r.Warn(what, "GRANT LOCK TABLES ON "+quoteIdent(t.Schema)+".* TO 'USER'@'HOST'", without, "LOCK TABLES is not granted")
			return
		}
	}
	r.OK(what, "granted")
}

func grantsLock(rows [][]string) bool {
	for _, r := range rows {
		g := strings.ToUpper(r[0])
		if strings.Contains(g, "LOCK TABLES") || strings.Contains(g, "ALL PRIVILEGES") {
			return true
		}
	}
	return len(rows) == 0
}

// checkDump reads the log from its end until the server has described it: no
// list of rights tells whether that works.
func (s *Source) checkDump(ctx context.Context, x *session, r *outbox.Findings) {
	if err := s.proveServerID(ctx, x); err != nil {
		r.Err("server id", "", err)
		return
	}
	r.OK("server id", "%d is free", s.serverID())
	holder, err := s.lockHolder(ctx, x, "reader")
	if err != nil {
		r.Err("log", "", err)
		return
	}
	if holder != "" {
		r.OK("log", "it is being read by %s, under this name", s.describe(ctx, x, holder))
		return
	}
	end, err := s.end(ctx, x)
	if err == nil {
		ctx, cancel := context.WithTimeoutCause(ctx, probeWithin, errors.New("the server sent nothing"))
		defer cancel()
		d := &dump{src: s}
		d.event = func(h header, _ []byte) error {
			if h.typ != replication.FORMAT_DESCRIPTION_EVENT {
				return nil
			}
			return errFound
		}
		err = d.run(ctx, &end)
	}
	if !errors.Is(err, errFound) {
		r.Err("log", strings.Join(s.grants("'USER'@'HOST'"), "; "), err)
		return
	}
	r.OK("log", "it can be read, up to %s", end.String())
}

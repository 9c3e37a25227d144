package mysql

import (
	"context"
	"slices"
	"strings"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Setup makes sure that everything is there. There is nothing to create in the
// database: it is checked as a start does it, and what is wrong is returned.
func (s *Source) Setup(ctx context.Context, _ bool) ([]string, error) {
	if _, err := s.Connect(ctx); err != nil {
		return nil, err
	}
	return []string{"nothing to create in " + string(s.id.kind) + ": settings, rights and tables are in order"}, nil
}

// grants are the least rights, for an account written as 'USER'@'HOST'.
func (s *Source) grants(account string) []string {
	rights := "REPLICATION SLAVE, REPLICATION CLIENT"
	if s.addr != nil && s.addr.kind == outbox.MariaDB {
		rights = "REPLICATION SLAVE, REPLICATION MASTER ADMIN, BINLOG MONITOR"
	}
	out := []string{"GRANT " + rights + " ON *.* TO " + account}
	var schemas []string
	for _, t := range s.cfg.Tables {
		out = append(out, "GRANT SELECT ON "+t.quoted()+" TO "+account)
		if s.addr != nil && s.addr.kind == outbox.MySQL && !slices.Contains(schemas, t.Schema) {
			// MySQL has no LOCK TABLES for a single table.
			schemas = append(schemas, t.Schema)
			out = append(out, "GRANT LOCK TABLES ON "+quoteIdent(t.Schema)+".* TO "+account)
		}
	}
	return out
}

// SetupSQL gives the statements for the least rights and the settings that
// tailer can do with, a line each, to be run by an administrator. It opens no
// connection.
func (s *Source) SetupSQL() []string {
	user, mariadb := "tailer", false
	if s.addr != nil {
		user, mariadb = s.addr.user, s.addr.kind == outbox.MariaDB
	}
	account := quoteLiteral(user) + "@'%'"
	out := []string{
		"-- as an administrator; REQUIRE SSL where the network is not trusted:",
		"CREATE USER " + account + " IDENTIFIED BY '...';",
	}
	for _, g := range s.grants(account) {
		if strings.HasPrefix(g, "GRANT LOCK TABLES") {
			g += "; -- for the first start's snapshot"
			out = append(out, g)
			continue
		}
		out = append(out, g+";")
	}
	if mariadb { // to MySQL's servers REPLICATION CLIENT is enough
		out = append(out, "GRANT SLAVE MONITOR ON *.* TO "+account+"; -- for tailer check: whether the server is a replica")
	}
	if s.cfg.Cleanup {
		out = append(out, "-- for --cleanup:")
		for _, g := range s.cleanupGrants(account) {
			out = append(out, g+";")
		}
		for _, t := range s.cfg.Tables {
			if t.CleanupColumn != "" {
				out = append(out, "-- unless an index begins with that column: "+cleanupIndex(t)+";")
			}
		}
	}
	out = append(out, "-- settings, in the configuration file too (RDS and Aurora: in the parameter group):",
		"SET GLOBAL binlog_format = 'ROW';", "SET GLOBAL binlog_row_image = 'FULL';", "SET GLOBAL binlog_row_metadata = 'FULL';")
	if mariadb {
		return append(out, "SET GLOBAL gtid_strict_mode = ON;",
			"-- how long the log is kept, in seconds: longer than tailer is ever away",
			"SET GLOBAL binlog_expire_logs_seconds = 604800;")
	}
	return append(out,
		"-- gtid_mode: OFF -> OFF_PERMISSIVE -> ON_PERMISSIVE -> ON, step by step, with enforce_gtid_consistency = ON first",
		"-- how long the log is kept, in seconds: longer than tailer is ever away (RDS: CALL mysql.rds_set_configuration('binlog retention hours', 168))",
		"SET PERSIST binlog_expire_logs_seconds = 604800;")
}

// Belongings is nil: Teardown has nothing to remove.
func (s *Source) Belongings() []string { return nil }

// Teardown ends what an instance of this name left connected; there is nothing
// to drop. While an instance is active it refuses. It opens what it needs; the
// caller ends it with Close.
func (s *Source) Teardown(ctx context.Context) ([]string, error) {
	s.Close()
	if err := Validate(s.cfg); err != nil {
		return nil, err
	}
	x, err := s.choose(ctx, "connect to the source")
	if err != nil {
		return nil, err
	}
	s.ctl = x
	held, holder, err := s.TryLock(ctx)
	if err != nil {
		return nil, err
	}
	if !held {
		return nil, outbox.Refuse("active", "stop that tailer first", "an instance of %q is active: %s", s.cfg.Name, holder)
	}
	return []string{"nothing to drop in the database; the account and its rights stay"}, nil
}

package pg

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailer-io/tailer/internal/outbox"
)

// identity is who answers.
type identity struct {
	system   string // system identifier of the cluster
	database string
	timeline uint32 // current timeline
	version  int    // major version
	text     string // version for people
}

func (i identity) lineage() string { return strconv.FormatUint(uint64(i.timeline), 10) }

// Connect opens the ordinary session, and a replication connection for as long
// as it takes to prove that the server gives one and to ask it who it is:
// IDENTIFY_SYSTEM alone tells the timeline truly right after a promotion. It
// closes what an earlier Connect opened, changes nothing in the database, and
// checks version, wal_level and tables. A server in recovery is refused at the
// first connection; later it is taken for a failover in progress, a transient
// error.
func (s *Source) Connect(ctx context.Context) (outbox.Identity, error) {
	id, err := s.reach(ctx)
	if err != nil {
		return outbox.Identity{}, err
	}
	x, version := s.ctl, id.version
	s.tables = s.tables[:0]
	for _, t := range s.cfg.Tables {
		f, err := loadTable(ctx, x, t)
		if err != nil {
			return outbox.Identity{}, err
		}
		if err := f.judge(t, version, s.worked); err != nil {
			return outbox.Identity{}, err
		}
		if err := s.fits(len(s.tables), &f); err != nil {
			if s.worked {
				err = misfit(err)
			}
			return outbox.Identity{}, err
		}
		if s.cfg.Cleanup && !s.worked { // later the clean-up says so itself, and tailer goes on
			if err := s.cleanable(t, &f); err != nil {
				return outbox.Identity{}, err
			}
		}
		s.tables = append(s.tables, f)
	}
	s.id, s.worked = id, true
	return id.public(), nil
}

// Reach does what Connect does, but does not look at the tables: an operator
// may want to tear down what cannot run any more.
func (s *Source) Reach(ctx context.Context) (outbox.Identity, error) {
	id, err := s.reach(ctx)
	if err != nil {
		return outbox.Identity{}, err
	}
	s.id, s.worked = id, true
	return id.public(), nil
}

// reach opens the ordinary session and asks who answers.
func (s *Source) reach(ctx context.Context) (identity, error) {
	s.Close()
	if err := Validate(s.cfg); err != nil {
		return identity{}, err
	}
	x, err := s.open(ctx, "connect to the source")
	if err != nil {
		return identity{}, err
	}
	s.ctl = x
	version, text, err := s.requireServer(ctx, x)
	if err != nil {
		return identity{}, err
	}
	id, err := s.identify(ctx)
	if err != nil {
		return identity{}, err
	}
	id.version, id.text = version, text
	return id, nil
}

func (i identity) public() outbox.Identity {
	return outbox.Identity{Kind: outbox.Postgres, ID: i.system + "/" + i.database, Lineage: i.lineage(), Version: i.text}
}

const serverSQL = `select current_setting('server_version_num')::int / 10000, current_setting('server_version'),
  pg_is_in_recovery(), current_setting('wal_level')`

// requireServer checks what does not depend on the tables.
func (s *Source) requireServer(ctx context.Context, x *session) (version int, text string, err error) {
	r, err := x.row(ctx, serverSQL)
	if err != nil {
		return 0, "", fmt.Errorf("ask the server's version: %w", err)
	}
	if version, err = strconv.Atoi(r[0]); err != nil {
		return 0, "", fmt.Errorf("ask the server's version: %w", err)
	}
	text = r[1]
	switch {
	case version < 14:
		return 0, "", outbox.Refuse(ReasonVersion, "use PostgreSQL 14 or later", "the server is PostgreSQL %s", text)
	case r[2] == "t" && s.worked:
		return 0, "", fmt.Errorf("connect to the source: the server is in recovery (a standby): waiting for a primary")
	case r[2] == "t":
		return 0, "", outbox.Refuse(ReasonRecovery, "point --source-url at the primary, or name every host: with several a primary is chosen",
			"the server is in recovery (a standby)")
	case r[3] != "logical":
		return 0, "", outbox.Refuse(ReasonWalLevel, walLevelHint, "wal_level is %s, and must be logical", r[3])
	}
	return version, text, nil
}

const walLevelHint = "ALTER SYSTEM SET wal_level = logical, then restart the server " +
	"(RDS and Aurora: rds.logical_replication = 1 in the parameter group; Cloud SQL: flag cloudsql.logical_decoding=on; " +
	"Azure: server parameter wal_level = logical)"

// identify asks over a replication connection, which thereby is proven to be
// had.
func (s *Source) identify(ctx context.Context) (identity, error) {
	conn, err := s.openReplication(ctx, "open a replication connection", nil)
	if err != nil {
		return identity{}, err
	}
	defer closeConn(conn)
	return s.identifySystem(ctx, conn)
}

func (s *Source) identifySystem(ctx context.Context, conn *pgconn.PgConn) (identity, error) {
	sys, err := pglogrepl.IdentifySystem(ctx, conn)
	if err != nil {
		if sqlState(err) == "42601" {
			// Whoever takes the command for SQL is no walsender.
			return identity{}, outbox.Refuse(ReasonPooler, "point --source-url at the database server itself, not at a connection pooler",
				"a pooler stands between tailer and the database: a replication connection was answered by an ordinary session")
		}
		return identity{}, fmt.Errorf("identify system: %w", err)
	}
	return identity{system: sys.SystemID, database: sys.DBName, timeline: uint32(sys.Timeline)}, nil
}

// sameServer refuses to go on when another server answers than the one that
// was proven: a failover happened in between.
func (s *Source) sameServer(id identity) error {
	if id.system != s.id.system || id.database != s.id.database || id.timeline != s.id.timeline {
		return fmt.Errorf("another server answers now (system %s timeline %d, before: system %s timeline %d): starting again",
			id.system, id.timeline, s.id.system, s.id.timeline)
	}
	return nil
}

// Close ends every connection. A later Connect may open them again.
func (s *Source) Close() {
	if s.strm != nil {
		s.strm.close()
		s.strm = nil
	}
	s.ctl.close()
	s.lock.close()
	s.dropCleanSession()
	s.watchMu.Lock()
	s.watch.close()
	s.watch, s.good = nil, 0
	s.watchMu.Unlock()
	s.ctl, s.lock = nil, nil
	s.conf.Store(0)
}

// control is the ordinary session, or an error before Connect.
func (s *Source) control() (*session, error) {
	if s.ctl == nil {
		return nil, errSessionLost
	}
	return s.ctl, nil
}

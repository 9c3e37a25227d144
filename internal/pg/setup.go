package pg

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Setup creates what is missing: the publication, and with withSlot the slot,
// as for --snapshot never. It returns what it did, a line for each, also
// beside an error. It opens what it needs; the caller ends it with Close.
func (s *Source) Setup(ctx context.Context, withSlot bool) ([]string, error) {
	if _, err := s.Connect(ctx); err != nil {
		return nil, err
	}
	var did []string
	created, err := s.preparePublication(ctx, s.ctl)
	if err != nil {
		return did, err
	}
	if created {
		did = append(did, "created publication "+s.cfg.Publication)
	} else {
		did = append(did, "publication "+s.cfg.Publication+" is there already")
	}
	if !withSlot {
		return did, nil
	}
	exists, at, err := s.Anchor(ctx)
	if err != nil {
		return did, err
	}
	if exists {
		return append(did, "slot "+s.cfg.Slot+" is there already, at "+at.Position.Text), nil
	}
	repl, err := s.openReplication(ctx, "open a replication connection", nil)
	if err != nil {
		return did, err
	}
	defer closeConn(repl)
	l, _, err := s.createSlot(ctx, repl, s.cfg.Slot, false, false)
	if err != nil {
		return did, err
	}
	return append(did, "created slot "+s.cfg.Slot+" at "+l.String()), nil
}

// SetupSQL gives the statements for the least rights that tailer can do with,
// a line each, to be run by an administrator and by the owner of the tables.
// It opens no connection.
func (s *Source) SetupSQL() []string {
	role, database := "tailer", "DATABASE"
	if c, err := parseURL(s.cfg); err == nil {
		role, database = c.User, c.Database
		if database == "" {
			database = role
		}
	}
	q, slot := quoteIdent(role), strings.TrimSpace(quoteLiteral(s.cfg.Slot))
	out := []string{
		"-- as an administrator; on RDS and Aurora, instead of REPLICATION: GRANT rds_replication TO " + q + ";",
		"CREATE ROLE " + q + " WITH LOGIN REPLICATION PASSWORD '...';",
		"GRANT CONNECT ON DATABASE " + quoteIdent(database) + " TO " + q + ";",
	}
	var schemas []string
	for _, t := range s.cfg.Tables {
		if !slices.Contains(schemas, t.Schema) {
			schemas = append(schemas, t.Schema)
			out = append(out, "GRANT USAGE ON SCHEMA "+quoteIdent(t.Schema)+" TO "+q+";")
		}
	}
	if s.cfg.Cleanup {
		out = append(out, "-- for --cleanup (locking a row takes the right to update a column; tailer updates none):")
		for _, g := range s.cleanupGrants() {
			out = append(out, g+";")
		}
		for _, t := range s.cfg.Tables {
			if t.CleanupColumn != "" {
				out = append(out, "-- unless an index begins with that column: "+cleanupIndex(t, "r")+";")
			}
		}
	}
	return append(out,
		"-- for the first start's snapshot:",
		s.grantSelectSQL()+";",
		"-- as the owner of the tables, who also needs CREATE on the database:",
		s.createPublicationSQL()+";",
		"-- only with --snapshot never (otherwise the first start creates it, with a snapshot); behind the publication:",
		"SELECT pg_create_logical_replication_slot("+slot+", 'pgoutput');",
		"-- PostgreSQL 17 and later, instead, so that standbys keep a copy of it for a failover:",
		"-- SELECT pg_create_logical_replication_slot("+slot+", 'pgoutput', failover => true);",
	)
}

// Belongings names what Teardown removes, for the question before.
func (s *Source) Belongings() []string {
	return []string{"slot " + s.cfg.Slot, "publication " + s.cfg.Publication}
}

// Teardown drops the slot and the publication, and returns what it did, a line
// for each, also beside an error. While somebody reads from the slot it
// refuses. It opens what it needs; the caller ends it with Close.
func (s *Source) Teardown(ctx context.Context) ([]string, error) {
	s.Close()
	if err := Validate(s.cfg); err != nil {
		return nil, err
	}
	x, err := s.open(ctx, "connect to the source")
	if err != nil {
		return nil, err
	}
	// Less than Connect: what cannot be run can still be torn down.
	s.ctl = x
	row, err := x.row(ctx, `select current_setting('server_version_num')::int / 10000, current_database()`)
	if err != nil {
		return nil, fmt.Errorf("ask the server's version: %w", err)
	}
	if _, err := fmt.Sscan(row[0], &s.id.version); err != nil {
		return nil, fmt.Errorf("ask the server's version: %w", err)
	}
	s.id.database = row[1]
	did, err := s.dropSlot(ctx, x, nil)
	if err != nil {
		return did, err
	}
	p, err := s.loadPublication(ctx, x)
	if err != nil {
		return did, err
	}
	if !p.exists {
		return append(did, "publication "+s.cfg.Publication+" does not exist"), nil
	}
	drop := "DROP PUBLICATION " + quoteIdent(s.cfg.Publication)
	if _, err := x.query(ctx, drop); err != nil {
		if sqlState(err) == "42501" {
			return did, outbox.Refuse(ReasonPrivilege, "as its owner: "+drop, "the role may not drop the publication: %s", message(err))
		}
		return did, fmt.Errorf("drop publication: %w", err)
	}
	return append(did, "dropped publication "+s.cfg.Publication), nil
}

func (s *Source) dropSlot(ctx context.Context, x *session, did []string) ([]string, error) {
	sl, err := s.loadSlot(ctx, x, s.cfg.Slot)
	if err != nil {
		return did, err
	}
	if !sl.exists {
		return append(did, "slot "+s.cfg.Slot+" does not exist"), nil
	}
	if err := sl.foreign(s.id.database); err != nil {
		return did, err
	}
	if sl.active {
		return did, slotActive(s.cfg.Slot, sl.pid)
	}
	switch _, err := x.query(ctx, `select pg_drop_replication_slot($1)`, s.cfg.Slot); {
	case err == nil:
		return append(did, "dropped slot "+s.cfg.Slot), nil
	case sqlState(err) == "55006":
		return did, slotActive(s.cfg.Slot, "unknown")
	default:
		return did, fmt.Errorf("drop slot: %w", err)
	}
}

func slotActive(name, pid string) error {
	return outbox.Refuse(ReasonSlotActive, "stop that tailer first", "slot %s is being read by server process %s", name, pid)
}

package pg

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Prepare creates the publication when it is missing. It comes before the slot
// because pgoutput reads publications with the catalog as of each change: one
// created later would not exist for earlier rows. One that exists is never
// altered: a flaw is a Refusal with the statement that mends it.
func (s *Source) Prepare(ctx context.Context) error {
	x, err := s.control()
	if err != nil {
		return err
	}
	_, err = s.preparePublication(ctx, x)
	return err
}

func (s *Source) preparePublication(ctx context.Context, x *session) (created bool, err error) {
	p, err := s.loadPublication(ctx, x)
	if err != nil {
		return false, err
	}
	if p.exists {
		return false, s.provePublication(ctx, x, s.tables, "")
	}
	sql := s.createPublicationSQL()
	switch _, err := x.query(ctx, sql); sqlState(err) {
	case "":
		if err != nil {
			return false, fmt.Errorf("create publication: %w", err)
		}
	case "42501":
		return false, outbox.Refuse(ReasonPrivilege, "as the owner of the tables: "+sql,
			"the role may not create publication %s: %v", s.cfg.Publication, message(err))
	case "42710": // somebody was quicker
		return false, s.provePublication(ctx, x, s.tables, "")
	default:
		return false, fmt.Errorf("create publication: %w", err)
	}
	s.log.Info("created publication", "publication", s.cfg.Publication)
	return true, nil
}

// message is the server's own text of an error.
func message(err error) string {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Message
	}
	return err.Error()
}

// Anchor reports whether the slot exists and how far it is confirmed, on the
// current timeline; one that is still being created has no position yet. A slot
// of another plugin, kind or database is a Refusal.
func (s *Source) Anchor(ctx context.Context) (exists bool, at outbox.Resume, err error) {
	x, err := s.control()
	if err != nil {
		return false, outbox.Resume{}, err
	}
	sl, err := s.loadSlot(ctx, x, s.cfg.Slot)
	if err != nil || !sl.exists {
		return false, outbox.Resume{}, err
	}
	if err := sl.foreign(s.id.database); err != nil {
		return true, outbox.Resume{}, err
	}
	if sl.confirmed == 0 {
		return true, outbox.Resume{}, nil
	}
	return true, s.resumeAt(sl.confirmed), nil
}

func (s *Source) resumeAt(l lsn) outbox.Resume {
	return outbox.Resume{Position: position(l), Lineage: s.id.lineage()}
}

// DropAnchor drops the slot; one that does not exist is no error. A session of
// ours that is still reading from it, left over from a broken connection, is
// ended first. A slot that is not ours is a Refusal. It wants the name's lock.
func (s *Source) DropAnchor(ctx context.Context) error {
	// On the lock's own session: when that has ended somebody else may have the
	// name by now, and stream from the slot.
	x := s.lock
	if x == nil {
		return errors.New("drop slot: the name's lock is not held")
	}
	sl, err := s.loadSlot(ctx, x, s.cfg.Slot)
	if err != nil || !sl.exists {
		return err
	}
	if err := sl.foreign(s.id.database); err != nil {
		return err
	}
	if s.strm != nil {
		s.strm.close()
		s.strm = nil
	}
	if err := s.freeSlot(ctx, x, s.cfg.Slot); err != nil {
		return err
	}
	if _, err := x.query(ctx, `select pg_drop_replication_slot($1)`, s.cfg.Slot); err != nil && sqlState(err) != "42704" {
		return fmt.Errorf("drop slot: %w", err)
	}
	s.log.Info("dropped slot", "slot", s.cfg.Slot)
	return nil
}

// freeSlot waits until nobody reads from the slot, up to 10 s: a server
// process outlives a cut connection by a moment, or by wal_sender_timeout when
// the cut went unnoticed. One of ours by name is ended after 1 s.
func (s *Source) freeSlot(ctx context.Context, x *session, name string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, fmt.Errorf("slot %s is still in use after 10 s", name))
	defer cancel()
	began, killed := time.Now(), ""
	for {
		rows, err := x.query(ctx, `select r.active_pid, coalesce(a.application_name, '') from pg_replication_slots r
  left join pg_stat_activity a on a.pid = r.active_pid where r.slot_name = $1 and r.active_pid is not null`, name)
		if err != nil {
			return fmt.Errorf("look up slot: %w", err)
		}
		if len(rows) == 0 {
			return nil
		}
		pid, app := rows[0][0], rows[0][1]
		// An empty name is a process that is ending or not yet known.
		if app != s.app && app != "" {
			return fmt.Errorf("slot %s is in use by server process %s, application name %q", name, pid, app)
		}
		if app == s.app && pid != killed && time.Since(began) > time.Second {
			killed = pid
			s.log.Warn("ending a left-over reader of the slot", "slot", name, "pid", pid)
			if _, err := x.query(ctx, `select pg_terminate_backend($1::int)`, pid); err != nil {
				return fmt.Errorf("terminate server process %s: %w", pid, err)
			}
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// Count is the number of rows in the outbox tables, counted no further than
// limit+1.
func (s *Source) Count(ctx context.Context, limit int64) (int64, error) {
	x, err := s.control()
	if err != nil {
		return 0, err
	}
	var parts []string
	for i, t := range s.cfg.Tables {
		if isChosen(s.chosen, i) {
			parts = append(parts, "select 1 from "+t.quoted())
		}
	}
	sql := fmt.Sprintf("select count(*) from (%s limit %d) rows", strings.Join(parts, " union all "), limit+1)
	r, err := x.row(ctx, sql)
	if err != nil {
		return 0, s.selectError("count rows", err)
	}
	return strconv.ParseInt(r[0], 10, 64)
}

// selectError makes a missing right to read the tables a Refusal.
func (s *Source) selectError(step string, err error) error {
	if sqlState(err) != "42501" {
		return fmt.Errorf("%s: %w", step, err)
	}
	return outbox.Refuse(ReasonPrivilege, s.grantSelectSQL()+"; or start with --snapshot never",
		"the role may not read the outbox: %s", message(err))
}

func (s *Source) grantSelectSQL() string {
	role := "ROLE"
	if c, err := parseURL(s.cfg); err == nil {
		role = quoteIdent(c.User)
	}
	names := make([]string, len(s.cfg.Tables))
	for i, t := range s.cfg.Tables {
		names[i] = t.quoted()
	}
	return fmt.Sprintf("GRANT SELECT ON %s TO %s", strings.Join(names, ", "), role)
}

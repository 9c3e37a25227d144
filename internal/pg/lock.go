package pg

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// lockKey derives the advisory lock's key from the name. It is per database,
// as such locks are; see
// https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS.
func lockKey(name string) int64 {
	sum := sha256.Sum256([]byte("tailer/" + name))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// locksSQL finds who holds a lock with a key of 64 bits: pg_locks shows its
// halves, and objsubid 1.
const locksSQL = `from pg_locks l left join pg_stat_activity a on a.pid = l.pid
where l.locktype = 'advisory' and l.granted and l.objsubid = 1
  and l.database = (select oid from pg_database where datname = current_database())
  and l.classid::bigint = (($1::bigint >> 32) & 4294967295) and l.objid::bigint = ($1::bigint & 4294967295)`

// TryLock takes the name's lock on a session of its own, which it opens when
// there is none. When somebody else holds it, holder says who.
func (s *Source) TryLock(ctx context.Context) (held bool, holder string, err error) {
	if s.lock == nil {
		x, err := s.open(ctx, "open the lock's session")
		if err != nil {
			return false, "", err
		}
		s.lock = x
	}
	key := strconv.FormatInt(lockKey(s.cfg.Name), 10)
	// Taken twice it would count twice; asking for one that is held already
	// must not.
	r, err := s.lock.row(ctx, `select case when exists (select 1 `+locksSQL+` and l.pid = pg_backend_pid())
  then true else pg_try_advisory_lock($1::bigint) end`, key)
	if err != nil {
		s.lock.close()
		s.lock = nil
		return false, "", fmt.Errorf("take the name's lock: %w", err)
	}
	if r[0] == "t" {
		return true, "", nil
	}
	rows, err := s.lock.query(ctx, `select l.pid, coalesce(host(a.client_addr), 'a local socket'), coalesce(a.application_name, ''),
  coalesce(to_char(a.backend_start at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), '') `+locksSQL, key)
	if err != nil {
		return false, "", fmt.Errorf("ask who holds the name's lock: %w", err)
	}
	if len(rows) == 0 {
		return false, "a session that has just ended", nil
	}
	h := rows[0]
	return false, fmt.Sprintf("server process %s from %s, application %q, since %s", h[0], h[1], h[2], h[3]), nil
}

// Locked asks the server, on the very session that took the lock, whether it
// is still held. It may be called beside Stream.
func (s *Source) Locked(ctx context.Context) error {
	if s.lock == nil {
		return fmt.Errorf("the name's lock was never taken, or its session was closed")
	}
	rows, err := s.lock.query(ctx, `select 1 `+locksSQL+` and l.pid = pg_backend_pid()`, strconv.FormatInt(lockKey(s.cfg.Name), 10))
	if err != nil {
		return fmt.Errorf("ask for the name's lock: %w", err)
	}
	if len(rows) == 0 {
		return fmt.Errorf("the name's lock is lost")
	}
	return nil
}

// Evict ends the sessions that hold the name's lock or read from the slot, if
// their application_name is ours and they are not this process's own. Only a
// fenced instance may be evicted: call it after fencing. It waits up to 10 s
// for the slot and the lock to be free; what is in the way under another name
// is an error.
func (s *Source) Evict(ctx context.Context) error {
	x, err := s.control()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, fmt.Errorf("slot or lock is still held after 10 s"))
	defer cancel()
	killed := make(map[string]bool)
	for {
		holders, err := s.inTheWay(ctx, x)
		if err != nil {
			return fmt.Errorf("evict: %w", err)
		}
		if len(holders) == 0 {
			return nil
		}
		for _, h := range holders {
			if h.app != s.app {
				return fmt.Errorf("evict: server process %s holds the slot or the lock under application name %q, not %q", h.pid, h.app, s.app)
			}
			if killed[h.pid] {
				continue
			}
			killed[h.pid] = true
			s.log.Warn("ending a session of another instance", "pid", h.pid, "application_name", h.app)
			if _, err := x.query(ctx, `select pg_terminate_backend($1::int)`, h.pid); err != nil {
				return fmt.Errorf("evict: terminate server process %s: %w", h.pid, err)
			}
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("evict: %w", err)
		}
	}
}

type holder struct{ pid, app string }

// inTheWay lists who holds the lock or the slot and is not this process.
func (s *Source) inTheWay(ctx context.Context, x *session) ([]holder, error) {
	rows, err := x.query(ctx, `select l.pid, coalesce(a.application_name, '') `+locksSQL+`
union select r.active_pid, coalesce(a.application_name, '') from pg_replication_slots r
  left join pg_stat_activity a on a.pid = r.active_pid where r.slot_name = $2 and r.active_pid is not null`,
		strconv.FormatInt(lockKey(s.cfg.Name), 10), s.cfg.Slot)
	if err != nil {
		return nil, err
	}
	own := s.ownPIDs()
	var out []holder
	for _, r := range rows {
		if !strings.Contains(own, " "+r[0]+" ") {
			out = append(out, holder{pid: r[0], app: r[1]})
		}
	}
	return out, nil
}

// ownPIDs are the server processes behind this Source's connections.
func (s *Source) ownPIDs() string {
	own := " "
	for _, x := range []*session{s.ctl, s.lock} {
		if x != nil {
			own += strconv.FormatUint(uint64(x.pid), 10) + " "
		}
	}
	if st := s.strm; st != nil && !st.closed {
		own += strconv.FormatUint(uint64(st.pid), 10) + " "
	}
	return own
}

// pause waits for d, or returns the context's cause.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

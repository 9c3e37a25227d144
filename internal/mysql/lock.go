package mysql

import (
	"context"
	"fmt"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// Two user locks keep instances of one name apart (see
// https://dev.mysql.com/doc/refman/8.4/en/locking-functions.html): "active" is
// held by the instance that publishes, on a session kept for it, and "reader"
// by the connection on which it reads the log. The server forgets both with
// their sessions, and IS_USED_LOCK tells the connection that holds one: so a
// session is known to be ours by its name without performance_schema or any
// right beyond that to end one's own sessions.

// TryLock takes the name's lock on a session of its own, which it opens when
// there is none. When somebody else holds it, holder says who.
func (s *Source) TryLock(ctx context.Context) (held bool, holder string, err error) {
	if s.lock == nil {
		// A lock on another server would keep nobody away.
		x, err := s.openSame(ctx, "open the lock's session")
		if err != nil {
			return false, "", err
		}
		// It is idle from one question (Locked) to the next. A first start can
		// take hours without any.
		if _, err := x.query(ctx, "set session wait_timeout = 86400"); err != nil {
			x.close()
			return false, "", fmt.Errorf("open the lock's session: %w", err)
		}
		s.lock = x
	}
	name := s.lockName("active")
	// Taken twice it would count twice; asking for one that is held already
	// must not.
	r, err := s.lock.row(ctx, "select if(is_used_lock(%s) <=> connection_id(), 1, get_lock(%s, 0))", name, name)
	if err != nil {
		s.lock.close()
		s.lock = nil
		return false, "", fmt.Errorf("take the name's lock: %w", err)
	}
	if r[0] == "1" {
		return true, "", nil
	}
	id, err := s.lockHolder(ctx, s.lock, "active")
	if err != nil {
		return false, "", fmt.Errorf("ask who holds the name's lock: %w", err)
	}
	if id == "" {
		return false, "a session that has just ended", nil
	}
	return false, s.describe(ctx, s.lock, id), nil
}

// lockHolder is the connection that holds a lock of ours, "" for none.
func (s *Source) lockHolder(ctx context.Context, x *session, purpose string) (string, error) {
	r, err := x.row(ctx, "select coalesce(is_used_lock(%s), '')", s.lockName(purpose))
	if err != nil {
		return "", err
	}
	return r[0], nil
}

// describe says who a connection is, as far as this account may know.
func (s *Source) describe(ctx context.Context, x *session, id string) string {
	rows, err := x.query(ctx, "select user, host, time from information_schema.processlist where id = %s", id)
	if err != nil || len(rows) == 0 {
		return "connection " + id
	}
	return fmt.Sprintf("connection %s of %s from %s", id, rows[0][0], rows[0][1])
}

// Locked asks the server, on the very session that took the lock, whether it
// is still held. It may be called beside Stream.
func (s *Source) Locked(ctx context.Context) error {
	if s.lock == nil {
		return fmt.Errorf("the name's lock was never taken, or its session was closed")
	}
	r, err := s.lock.row(ctx, "select is_used_lock(%s) <=> connection_id()", s.lockName("active"))
	if err != nil {
		return fmt.Errorf("ask for the name's lock: %w", err)
	}
	if r[0] != "1" {
		return fmt.Errorf("the name's lock is lost")
	}
	return nil
}

// Evict ends the sessions that hold the name's locks, which only an instance
// of this name takes. Only a fenced instance may be evicted: call it after
// fencing. It waits up to 10 s for them to be free.
func (s *Source) Evict(ctx context.Context) error {
	x, err := s.control()
	if err != nil {
		return err
	}
	for _, purpose := range []string{"reader", "active"} {
		if err := s.free(ctx, x, purpose); err != nil {
			return fmt.Errorf("evict: %w", err)
		}
	}
	return nil
}

// free ends the session that holds a lock of ours, unless it is our own, and
// waits up to 10 s for it to be gone.
func (s *Source) free(ctx context.Context, x *session, purpose string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, fmt.Errorf("the %s lock of this name is still held after 10 s", purpose))
	defer cancel()
	killed := ""
	for {
		id, err := s.lockHolder(ctx, x, purpose)
		if err != nil {
			return fmt.Errorf("ask who holds the %s lock: %w", purpose, err)
		}
		if id == "" || s.lock != nil && id == fmt.Sprint(s.lock.id) {
			return nil
		}
		if id != killed {
			killed = id
			s.log.Warn("ending a session of another run under this name", "connection", id, "lock", purpose)
			if _, err := x.query(ctx, "kill "+id); err != nil && errorCode(err) != mysql.ER_NO_SUCH_THREAD {
				return s.privilegeError("end connection "+id, err)
			}
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
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

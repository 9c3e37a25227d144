package mysql

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// On a busy outbox some transaction is open at every moment. The snapshot gets
// its lock all the same, and holds nobody up for long.
func TestSnapshotBesideBusyWriters(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox()
		s := w.source()
		var writers sync.WaitGroup
		done := make(chan struct{})
		slowest := make([]time.Duration, 8)
		for i := range slowest {
			c := w.session()
			writers.Go(func() {
				time.Sleep(time.Duration(i) * 50 * time.Millisecond) // so that they never pause together
				for n := 1; ; n++ {
					select {
					case <-done:
						return
					default:
					}
					w.on(c, "begin")
					begin := time.Now()
					w.on(c, insert(1000*i+n))
					slowest[i] = max(slowest[i], time.Since(begin))
					time.Sleep(400 * time.Millisecond) // the writer's own time
					w.on(c, "commit")
				}
			})
		}
		time.Sleep(500 * time.Millisecond) // all have begun
		begin := time.Now()
		v, err := s.CreateAnchor(w.ctx(), outbox.Filter{})
		took := time.Since(begin)
		close(done)
		writers.Wait()
		if err != nil {
			w.Fatal(err)
		}
		v.Close()
		worst := time.Duration(0)
		for _, d := range slowest {
			worst = max(worst, d)
		}
		w.Logf("the snapshot began after %s; an insert waited %s at most", took, worst)
		if took > 15*time.Second || worst > time.Second {
			w.Errorf("the snapshot began after %s; an insert waited %s", took, worst)
		}
	})
}

// A replica with read_only refuses the lock for writing, to an account that
// has no more than its rights: then the polite one is waited for.
func TestSnapshotOfAReadOnlyServer(t *testing.T) {
	t.Parallel()
	w := private(t, "STACK_MYSQL_URL", 1)
	w.app()
	cfg := w.config()
	cfg.URL = strings.Replace(cfg.URL, "root@", "reader@", 1)
	s := New(cfg, quiet())
	t.Cleanup(s.Close)
	w.exec("create user reader@'%'")
	for _, line := range s.SetupSQL() {
		if strings.HasPrefix(line, "GRANT") {
			w.exec(strings.Replace(line, "'reader'", "reader", 1))
		}
	}
	w.exec("set global read_only = on")
	if _, err := s.Connect(w.ctx()); err != nil {
		t.Fatal(err)
	}
	open := w.session()
	w.on(open, "begin", insert(1))
	var writer sync.WaitGroup
	writer.Go(func() {
		time.Sleep((politeTries*(politeWait+1) + 1) * time.Second) // the writer's own time
		w.on(open, "commit")
	})
	v, err := s.CreateAnchor(w.ctx(), outbox.Filter{})
	writer.Wait()
	if err != nil {
		t.Fatal(err)
	}
	v.Close()
}

// Whoever asks when a Source is closed finds the lock free, though the server
// may not have noticed yet that the session has ended.
func TestCloseReleasesTheLock(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox()
		for i := range 50 {
			s := w.source()
			held, holder, err := s.TryLock(w.ctx())
			if !held || err != nil {
				w.Fatalf("lock %d: held by %q, %v", i, holder, err)
			}
			s.Close()
			if id := w.value("select coalesce(is_used_lock('" + s.lockName("active") + "'), 'nobody')"); id != "nobody" {
				w.Fatalf("lock %d: still held by connection %s", i, id)
			}
		}
	})
}

// A backup reads all the while, and a transaction writes for a moment: once
// that one has ended the tables can be locked against writes, which a reader
// does not mind.
func TestSnapshotBesideAReader(t *testing.T) {
	w := newWorld(t, "STACK_MYSQL_URL")
	w.outbox()
	s := w.source()
	reader, open := w.session(), w.session()
	w.on(reader, "start transaction with consistent snapshot", "select count(*) from outbox")
	w.on(open, "begin", insert(1))
	var writer sync.WaitGroup
	writer.Go(func() {
		time.Sleep((politeTries*(politeWait+1) + 1) * time.Second) // the writer's own time
		w.on(open, "commit")
	})
	begin := time.Now()
	s.lockWithin = 20 * time.Second
	v, err := s.CreateAnchor(w.ctx(), outbox.Filter{})
	writer.Wait()
	if err != nil {
		t.Fatalf("after %s: %v", time.Since(begin), err)
	}
	v.Close()
}

// What does not end is refused; the server does not keep the lock of a session
// that says nothing.
func TestTablesThatCannotBeLocked(t *testing.T) {
	w := newWorld(t, "STACK_MYSQL_URL")
	w.outbox()
	s := w.source()
	open := w.session()
	w.on(open, "begin", insert(1))
	s.lockWithin = 2 * time.Second
	_, err := s.CreateAnchor(w.ctx(), outbox.Filter{})
	w.refused(err, ReasonSnapshot)
	w.on(open, "commit")
	locker, err := s.open(w.ctx(), "lock")
	if err != nil {
		t.Fatal(err)
	}
	defer locker.close()
	if err := s.lockTables(w.ctx(), locker, s.ctl); err != nil {
		t.Fatal(err)
	}
	w.exec("set session lock_wait_timeout = 15")
	begin := time.Now()
	w.exec(insert(2)) // the locker hangs
	if d := time.Since(begin); d < time.Second || d > 2*lockHeld*time.Second {
		t.Errorf("an insert waited %s for a session that hangs", d)
	}
}

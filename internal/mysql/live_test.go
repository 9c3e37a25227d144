package mysql

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// running is a stream whose batches a test takes by itself.
type running struct {
	w    *world
	h    *outbox.Handoff
	stop func()
	err  chan error
}

func (w *world) stream(s *Source, r outbox.Resume, l outbox.Limits) *running {
	ctx, cancel := context.WithCancel(w.ctx())
	x := &running{w: w, h: outbox.NewHandoff(3, l, r), err: make(chan error, 1)}
	var reader sync.WaitGroup
	x.stop = func() { // a source is closed once nothing reads from it
		cancel()
		reader.Wait()
	}
	reader.Go(func() {
		err := s.Stream(ctx, r, x.h)
		x.h.Close(err)
		x.err <- err
	})
	w.Cleanup(x.stop)
	return x
}

// opened waits until the log is being read.
func (x *running) opened() {
	x.w.Helper()
	x.w.eventually("the log is read", func() bool {
		select {
		case err := <-x.err:
			x.w.Fatalf("stream: %v", err)
		default:
		}
		return x.h.Opened()
	})
}

// next gives the rows of batches until there are n.
func (x *running) next(n int) []string {
	x.w.Helper()
	var got []string
	for len(got) < n {
		b, err := x.h.Take(x.w.ctx(), time.Time{})
		if err != nil {
			x.w.Fatalf("%d of %d rows, then: %v", len(got), n, err)
		}
		got = append(got, copyBatch(b).rows...)
		x.h.Recycle(b)
	}
	return got
}

func (w *world) eventually(what string, ok func() bool) {
	w.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			w.Fatalf("%s: not within 20 s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestLock(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox()
		a, b := w.source(), w.source()
		for range 2 { // asking again does no harm
			if held, holder, err := a.TryLock(w.ctx()); !held || err != nil {
				w.Fatalf("first: held by %q, %v", holder, err)
			}
		}
		held, holder, err := b.TryLock(w.ctx())
		if held || err != nil || !strings.Contains(holder, "connection") {
			w.Fatalf("second: %t, %q, %v", held, holder, err)
		}
		if err := a.Locked(w.ctx()); err != nil {
			w.Error(err)
		}
		if err := b.Evict(w.ctx()); err != nil {
			w.Fatal(err)
		}
		if held, holder, err := b.TryLock(w.ctx()); !held || err != nil {
			w.Fatalf("after evict: held by %q, %v", holder, err)
		}
		if err := a.Locked(w.ctx()); err == nil {
			w.Error("the evicted one still believes that it has the lock")
		}
	})
}

// A reader that an earlier run left behind is ended; a reader of another name
// is not touched, and one with the same server id is a refusal.
func TestLeftOverReader(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox()
		a := w.source()
		start := w.here(a)
		first := w.stream(a, start, outbox.Limits{Rows: 100, Bytes: 1 << 20})
		first.opened()
		cfg := w.config()
		cfg.Name, cfg.ServerID = "another", a.serverID()
		other := w.sourceOf(cfg)
		err := other.Stream(w.ctx(), start, outbox.NewHandoff(2, outbox.Limits{Rows: 1, Bytes: 1}, start))
		w.refused(err, ReasonServerID)
		b := w.source()
		second := w.stream(b, start, outbox.Limits{Rows: 100, Bytes: 1 << 20})
		second.opened()
		if err := <-first.err; err == nil || errors.Is(err, context.Canceled) {
			w.Errorf("the first stream ended with %v", err)
		}
		w.exec(insert(1))
		w.want(second.next(1), row(1))
		second.stop()
		if err := <-second.err; !errors.Is(err, context.Canceled) {
			w.Errorf("the second stream ended with %v", err)
		}
		w.eventually("the reader's lock is free", func() bool { // KILL does not wait
			id, err := b.lockHolder(w.ctx(), b.ctl, "reader")
			return err == nil && id == ""
		})
	})
}

// Rows come as they are committed, and the position moves when only other
// tables are busy.
func TestLive(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox().exec("create table other (id int primary key auto_increment)")
		s := w.source()
		x := w.stream(s, outbox.Resume{}, outbox.Limits{Rows: 100, Bytes: 1 << 20})
		x.opened()
		for i := range 20 {
			w.exec(insert(i + 1))
			w.want(x.next(1), row(i+1))
		}
		w.exec("insert into other values ()")
		end := w.here(s)
		w.eventually("the position moves", func() bool {
			return s.Behind(x.h.ReadUpTo().Position, end.Position) == 0
		})
		g, err := s.Gauges(w.ctx())
		if err != nil || g.Server.IsZero() {
			w.Errorf("gauges: %+v, %v", g, err)
		}
		if err := s.Watch(w.ctx()); err != nil {
			w.Error(err)
		}
	})
}

// A publisher that stalls pushes back without harm to the connection.
func TestBackPressure(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox()
		s := w.source()
		start := w.here(s)
		for i := range 60 {
			w.exec(insert(i + 1))
		}
		x := w.stream(s, start, outbox.Limits{Rows: 5, Bytes: 1 << 20})
		w.eventually("the reader waits", func() bool { return x.h.InFlight() > 0 && len(x.err) == 0 && s.dump.Load() != 0 })
		id := s.dump.Load()
		var timeout string
		w.eventually("the dump session shows", func() bool {
			r, err := w.admin.Execute(fmt.Sprintf("select count(*) from information_schema.processlist where id = %d and command like 'Binlog Dump%%'", id))
			if err != nil {
				w.Fatal(err)
			}
			timeout, _ = r.GetString(0, 0)
			return timeout == "1"
		})
		w.want(x.next(60)[59:], row(60))
		if s.dump.Load() != id {
			w.Error("the stream was opened anew")
		}
	})
}

func TestWatch(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox()
		s := w.source()
		if err := s.Watch(w.ctx()); err != nil {
			w.Fatal(err)
		}
		w.exec("alter table outbox engine=myisam")
		w.refused(s.Watch(w.ctx()), ReasonTable)
		w.exec("alter table outbox engine=innodb", "alter table outbox modify payload longtext character set latin1")
		w.refused(s.Watch(w.ctx()), ReasonCharset)
		w.exec("alter table outbox modify payload longtext character set utf8mb4", "alter table outbox drop column k")
		w.refused(s.Watch(w.ctx()), ReasonColumn)
		w.exec("drop table outbox")
		r := w.refused(s.Watch(w.ctx()), ReasonTable)
		if !strings.Contains(r.Text, "in order up to") {
			w.Errorf("no position: %s", r.Text)
		}
	})
}

func TestConnectRefuses(t *testing.T) {
	onServers(t, func(w *world) {
		connect := func(change func(*Config)) error {
			cfg := w.config()
			change(&cfg)
			s := New(cfg, quiet())
			defer s.Close()
			_, err := s.Connect(w.ctx())
			return err
		}
		invalid := func(err error, option string) {
			w.Helper()
			var inv *outbox.Invalid
			if !errors.As(err, &inv) || inv.Option != option {
				w.Errorf("got %v, want --%s to be invalid", err, option)
			}
		}
		invalid(connect(func(*Config) {}), "outbox-table") // no table yet
		w.outbox()
		invalid(connect(func(c *Config) { c.Tables[0].Columns = []string{"nothing"} }), "outbox-table")
		other := map[bool]string{true: "mysql://", false: "mariadb://"}[w.mariadb()]
		invalid(connect(func(c *Config) { c.URL = strings.Replace(c.URL, w.url.Scheme+"://", other, 1) }), "source-url")
		invalid(connect(func(c *Config) { c.Password = fixed("wrong") }), "source-url")
		w.exec("create table isam (id int) engine=myisam", "create table latin (id int, v text character set latin1) engine=innodb", "create table geo (id int, v point) engine=innodb")
		w.refused(connect(func(c *Config) { c.Tables = []Table{{Name: "isam", Columns: []string{"id"}}} }), ReasonTable)
		w.refused(connect(func(c *Config) { c.Tables = []Table{{Name: "latin", Columns: []string{"v"}}} }), ReasonCharset)
		w.refused(connect(func(c *Config) { c.Tables = []Table{{Name: "geo", Columns: []string{"v"}}} }), ReasonType)
		if err := connect(func(c *Config) { c.Tables = []Table{{Name: "latin", Columns: []string{"id"}}} }); err != nil {
			w.Errorf("a column that is not wanted is in the way: %v", err)
		}
		if err := connect(func(c *Config) {
			c.Tables[0].Columns, c.Tables[0].Optional = []string{"id", "more"}, []bool{false, true}
		}); err != nil {
			w.Errorf("an optional column is in the way: %v", err)
		}
	})
}

// The rights that SetupSQL names are enough for everything.
func TestLeastRights(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox().exec(insert(1))
		user := "u_" + w.database
		cfg := w.config()
		cfg.URL = strings.Replace(cfg.URL, "root@", user+":secret@", 1)
		w.Cleanup(func() { w.exec("drop user if exists '" + user + "'@'%'") })
		s := New(cfg, quiet())
		w.exec("create user '" + user + "'@'%' identified by 'secret'")
		for _, f := range s.Check(w.ctx()) {
			w.Logf("without rights: %s %s: %s", f.Level, f.What, f.Found)
		}
		for _, line := range s.SetupSQL() {
			if strings.HasPrefix(line, "GRANT") {
				w.exec(line)
			}
		}
		for _, f := range s.Check(w.ctx()) {
			if f.Level == outbox.Fail || f.Level == outbox.Warn && f.What == "replication" {
				w.Errorf("check: %s: %s (%s)", f.What, f.Found, f.Fix)
			}
		}
		w.Cleanup(s.Close)
		if _, err := s.Connect(w.ctx()); err != nil {
			w.Fatal(err)
		}
		if held, holder, err := s.TryLock(w.ctx()); !held || err != nil {
			w.Fatalf("lock: %s, %v", holder, err)
		}
		v, err := s.CreateAnchor(w.ctx(), outbox.Filter{})
		if err != nil {
			w.Fatal(err)
		}
		v.Close()
		if err := s.Prove(w.ctx(), v.Resume()); err != nil {
			w.Error(err)
		}
		w.exec(insert(2))
		got := w.drain(s, v.Resume())
		w.want(rows(got), row(2))
		if err := s.Prove(w.ctx(), got[0].resume); err != nil {
			w.Error(err)
		}
		if err := s.Evict(w.ctx()); err != nil {
			w.Error(err)
		}
		if did, err := s.Setup(w.ctx(), false); err != nil || len(did) == 0 {
			w.Errorf("setup: %q, %v", did, err)
		}
		if did, err := s.Teardown(w.ctx()); err != nil || len(did) == 0 {
			w.Errorf("teardown: %q, %v", did, err)
		}
	})
}

func TestCheckFinds(t *testing.T) {
	onServers(t, func(w *world) {
		level := func(what string) outbox.Level {
			for _, f := range New(w.config(), quiet()).Check(w.ctx()) {
				if f.What == what {
					if f.Level != outbox.OK && f.Fix == "" {
						w.Errorf("%s has no fix", what)
					}
					return f.Level
				}
			}
			return "none"
		}
		if got := level("table " + w.database + ".outbox"); got != outbox.Fail {
			w.Errorf("no table: %s", got)
		}
		w.outbox()
		for name, value := range map[string]string{"binlog_row_image": "'MINIMAL'", "sync_binlog": "0", "innodb_flush_log_at_trx_commit": "2", "binlog_format": "'MIXED'"} {
			if got := level(name); got != outbox.OK {
				w.Errorf("%s in order: %s", name, got)
			}
			old := w.value("select @@global." + name)
			w.exec("set global " + name + " = " + value)
			got := level(name)
			if !strings.HasPrefix(old, "0") && strings.Trim(old, "0123456789") != "" {
				old = "'" + old + "'"
			}
			w.exec("set global " + name + " = " + old)
			if got != outbox.Fail {
				w.Errorf("%s = %s: %s, want FAIL", name, value, got)
			}
		}
	})
}

// A writer that keeps its transaction open holds the snapshot up, and the
// snapshot holds other writers up for no more than a second.
func TestSnapshotBesideOpenWriter(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox()
		s := w.source()
		open, busy := w.session(), w.session()
		w.on(open, "begin", insert(1))
		var wg sync.WaitGroup
		done := make(chan struct{})
		var slowest time.Duration
		wg.Go(func() {
			for i := 100; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				begin := time.Now()
				if _, err := busy.Execute(insert(i)); err != nil {
					w.Errorf("insert: %v", err)
					return
				}
				slowest = max(slowest, time.Since(begin))
			}
		})
		wg.Go(func() {
			defer close(done)
			time.Sleep(2500 * time.Millisecond) // the writer's own time
			if _, err := open.Execute("commit"); err != nil {
				w.Error(err)
			}
		})
		v, err := s.CreateAnchor(w.ctx(), outbox.Filter{})
		wg.Wait()
		if err != nil {
			w.Fatal(err)
		}
		defer v.Close()
		if slowest > 1500*time.Millisecond {
			w.Errorf("an insert waited %s", slowest)
		}
		var got []string
		for more := true; more; {
			var b outbox.Batch
			if more, err = v.Read(w.ctx(), &b, outbox.Limits{Rows: 1000, Bytes: 1 << 20}); err != nil {
				w.Fatal(err)
			}
			got = append(got, copyBatch(&b).rows...)
		}
		got = append(got, rows(w.drain(s, v.Resume()))...)
		seen := make(map[string]int)
		for _, r := range got {
			seen[r]++
		}
		total := w.value("select count(*) from outbox")
		if fmt.Sprint(len(got)) != total || fmt.Sprint(len(seen)) != total || seen[row(1)] != 1 {
			w.Errorf("%d rows, %d different, want %s", len(got), len(seen), total)
		}
	})
}

func TestTLS(t *testing.T) {
	w := newWorld(t, "STACK_MYSQL_URL")
	w.outbox().exec(insert(1))
	user := "u_" + w.database
	w.Cleanup(func() { w.exec("drop user if exists '" + user + "'@'%'") })
	w.exec("create user '"+user+"'@'%' identified with caching_sha2_password by 'se/cret' require ssl", "grant all on *.* to '"+user+"'@'%'")
	ca, err := os.ReadFile(filepath.Join(os.Getenv("STACK_MYSQL_DATA"), "ca.pem"))
	if err != nil {
		t.Skipf("the server's certificate cannot be read: %v", err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	for query, ok := range map[string]bool{
		"":                                  true,
		"ssl-mode=required":                 true,
		"ssl-mode=disabled":                 false,
		"ssl-mode=verify-ca&ssl-ca=" + path: true,
		"ssl-mode=verify-ca":                false, // not among the system's roots
		"ssl-ca=" + path:                    false, // another name stands in it
	} {
		cfg := w.config()
		cfg.URL = strings.Replace(cfg.URL, "root@", user+"@", 1) + "?" + query
		cfg.Password = fixed("se/cret")
		s := New(cfg, quiet())
		_, err := s.Connect(w.ctx())
		if (err == nil) != ok {
			t.Errorf("%q: %v", query, err)
		}
		var bad *outbox.Invalid
		if err != nil && query != "ssl-mode=disabled" && (!errors.As(err, &bad) || !strings.HasPrefix(bad.Text, "the server's certificate is not accepted: ")) {
			t.Errorf("%q: %v, want what is wrong with the certificate", query, err)
		}
		if err == nil {
			start := w.here(s)
			w.exec("replace into outbox values (2, 'k2', 'p2')", "delete from outbox where id = 2")
			w.want(rows(w.drain(s, start)), row(2))
		}
		s.Close()
	}
}

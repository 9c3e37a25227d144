package mysql

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Servers of a test's own: to be promoted, reset and purged.

// private starts a server of the same program as the one that the environment
// names, with settings of its own.
func private(t *testing.T, env string, id int, settings ...string) *world {
	t.Helper()
	prefix := strings.TrimSuffix(env, "_URL")
	program := strings.Fields(os.Getenv(prefix + "_SERVER"))
	if len(program) == 0 {
		t.Skipf("%s_SERVER is not set: scripts/stack up mysql mariadb, then eval \"$(scripts/stack env)\"", prefix)
	}
	mariadb := env == "STACK_MARIADB_URL"
	// Not t.TempDir: its name is too long for a socket, and the server's user
	// has to enter it.
	dir, err := os.MkdirTemp("/var/tmp", "tailer-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	data := filepath.Join(dir, "data")
	args := []string{"--no-defaults", "--datadir=" + data, "--lc-messages-dir=" + messages(env)}
	if os.Geteuid() == 0 {
		args = append(args, "--user=nobody")
	}
	if out, err := exec.Command("cp", "-r", os.Getenv(prefix+"_PRISTINE"), data).CombinedOutput(); err != nil {
		t.Fatalf("copy the files of an empty server: %v\n%s", err, out)
	}
	if os.Geteuid() == 0 {
		if out, err := exec.Command("chown", "-R", "nobody", data).CombinedOutput(); err != nil {
			t.Fatalf("chown: %v\n%s", err, out)
		}
	}
	own := append(os.Environ(), "TMPDIR="+dir) // MariaDB deletes other servers' temporary tables from a shared one
	initFile := filepath.Join(dir, "init.sql")
	init := "SET sql_log_bin = 0;\nCREATE USER IF NOT EXISTS 'root'@'127.0.0.1';\nGRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n"
	if err := os.WriteFile(initFile, []byte(init), 0o644); err != nil {
		t.Fatal(err)
	}
	args = append(args, "--skip-name-resolve", "--bind-address=127.0.0.1", fmt.Sprintf("--port=%d", port), "--socket="+filepath.Join(dir, "s"),
		"--pid-file="+filepath.Join(dir, "data", "pid"), "--secure-file-priv=", "--log-bin="+filepath.Join(data, "binlog"), fmt.Sprintf("--server-id=%d", id),
		"--binlog-format=ROW", "--binlog-row-metadata=FULL", "--sync-binlog=0", "--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=32M",
		"--log-slave-updates=ON", "--init-file="+initFile, "--character-set-server=utf8mb4")
	if mariadb {
		args = append(args, "--gtid-strict-mode=ON")
	} else {
		for i, a := range args {
			args[i] = strings.Replace(a, "--log-slave-updates", "--log-replica-updates", 1)
		}
		args = append(args, "--mysqlx=OFF", "--enforce-gtid-consistency=ON", "--gtid-mode=ON")
	}
	args = append(args, settings...)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program[0], append(program[1:len(program):len(program)], args...)...)
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, own
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	w := &world{TB: t, url: &url.URL{Scheme: strings.TrimPrefix(strings.ToLower(prefix), "stack_"), User: url.User("root"), Host: fmt.Sprintf("127.0.0.1:%d", port)}, database: "app"}
	for deadline := time.Now().Add(time.Minute); ; {
		c, err := client.Connect(w.url.Host, "root", "", "")
		if err == nil {
			t.Cleanup(func() { c.Close() })
			w.admin = c
			w.exec(sessionSQL)
			return w
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Fatalf("the server does not answer: %v\n%s", err, text)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// messages is where a server's error texts are.
func messages(env string) string {
	if env == "STACK_MARIADB_URL" {
		return "/usr/share/mysql"
	}
	words := strings.Fields(os.Getenv("STACK_MYSQL_SERVER"))
	return filepath.Join(filepath.Dir(filepath.Dir(words[len(words)-1])), "share", "mysql")
}

func (w *world) app() *world {
	w.Helper()
	w.exec("create database app character set utf8mb4", "use app")
	return w.outbox()
}

// follow makes w a replica of primary.
func (w *world) follow(primary *world) {
	w.Helper()
	host, port, _ := strings.Cut(primary.url.Host, ":")
	if w.mariadb() {
		w.exec(fmt.Sprintf("change master to master_host='%s', master_port=%s, master_user='root', master_use_gtid=slave_pos", host, port), "start slave")
		return
	}
	w.exec(fmt.Sprintf("change replication source to source_host='%s', source_port=%s, source_user='root', source_auto_position=1, get_source_public_key=1", host, port), "start replica")
}

// caughtUp waits until w has what primary has.
func (w *world) caughtUp(primary *world) {
	w.Helper()
	position := "@@global.gtid_executed"
	if w.mariadb() {
		position = "@@global.gtid_binlog_pos"
	}
	want := primary.value("select " + position)
	w.eventually("the replica has caught up", func() bool { return w.value("select "+position) == want })
	w.exec("use app")
}

func (w *world) promote() {
	w.Helper()
	if w.mariadb() {
		w.exec("stop slave", "reset slave all")
	} else {
		w.exec("stop replica", "reset replica all")
	}
}

// A replica that is promoted goes on where the primary stopped; one that lacks
// what was published is refused, and so is a server whose history is another
// one under the same GTIDs.
func TestFailover(t *testing.T) {
	t.Parallel()
	for _, env := range serverVars {
		t.Run(strings.ToLower(strings.Split(env, "_")[1]), func(t *testing.T) {
			t.Parallel()
			p := private(t, env, 1)
			r := private(t, env, 2)
			p.app()
			r.follow(p)
			s := p.source()
			start := p.here(s)
			for i := range 5 {
				p.exec(insert(i + 1))
			}
			got := p.drain(s, start)
			checkpoint := got[len(got)-1].resume
			if n := len(rows(got)); n != 5 {
				t.Fatalf("%d rows from the primary", n)
			}
			p.exec(insert(6))
			r.caughtUp(p)
			r.promote()
			r.exec(insert(7))

			promoted := New(r.config(), quiet())
			promoted.patience = 100 * time.Millisecond
			t.Cleanup(promoted.Close)
			id, err := promoted.Connect(r.ctx())
			if err != nil {
				t.Fatal(err)
			}
			if id.Lineage == strings.Split(checkpoint.Lineage, ";")[0] {
				t.Error("both servers have the same identity")
			}
			if err := promoted.Prove(r.ctx(), checkpoint); err != nil {
				t.Fatalf("the promoted replica is refused: %v", err)
			}
			again := r.drain(promoted, checkpoint)
			r.want(rows(again), row(6), row(7))
			last := again[len(again)-1].resume
			if err := promoted.Prove(r.ctx(), last); err != nil {
				t.Errorf("its own checkpoint: %v", err)
			}

			// The old primary lacks row 7.
			if _, err := s.Connect(p.ctx()); err != nil {
				t.Fatal(err)
			}
			p.refused(s.Prove(p.ctx(), last), ReasonAhead)

			// It writes on under the same numbers.
			p.exec(insert(8))
			if _, err := s.Connect(p.ctx()); err != nil {
				t.Fatal(err)
			}
			err = s.Prove(p.ctx(), last)
			var refusal *outbox.Refusal
			if !errors.As(err, &refusal) {
				t.Errorf("another history: %v", err)
			}

			if r.mariadb() {
				r.exec("set global gtid_strict_mode = off")
				if _, err := promoted.Connect(r.ctx()); err != nil {
					t.Fatal(err)
				}
				r.refused(promoted.Prove(r.ctx(), checkpoint), ReasonStrict)
			}
		})
	}
}

// A server that lost its history and uses the same GTIDs again is told by the
// commit time; one that has purged what was read last is believed, when it is
// the same server; one that has purged what comes next is refused.
func TestHistory(t *testing.T) {
	t.Parallel()
	for _, env := range serverVars {
		t.Run(strings.ToLower(strings.Split(env, "_")[1]), func(t *testing.T) {
			t.Parallel()
			w := private(t, env, 1)
			w.app()
			s := w.source()
			start := w.here(s)
			w.exec(insert(1), insert(2))
			got := w.drain(s, start)
			checkpoint := got[len(got)-1].resume
			if err := s.Prove(w.ctx(), checkpoint); err != nil {
				t.Fatal(err)
			}

			// Purged up to the checkpoint.
			w.exec("flush binary logs")
			w.purge()
			if err := s.Prove(w.ctx(), checkpoint); err != nil {
				t.Errorf("purged up to the checkpoint: %v", err)
			}
			elsewhere := checkpoint
			elsewhere.Lineage = strings.Replace(elsewhere.Lineage, s.id.server, "another-server", 1)
			w.refused(s.Prove(w.ctx(), elsewhere), ReasonServer)
			// Purged beyond it.
			w.exec(insert(3), "flush binary logs")
			w.purge()
			w.refused(s.Prove(w.ctx(), checkpoint), ReasonPurged)
			if _, err := w.drainErr(s, checkpoint, outbox.Limits{Rows: 10, Bytes: 1 << 20}); err == nil || errors.Is(err, outbox.ErrEnd) {
				t.Errorf("streaming over a gap: %v", err)
			} else {
				w.refused(err, ReasonPurged)
			}

			// Reset: first the numbers are too few, then used again.
			now := w.here(s)
			w.exec(insert(4))
			got = w.drain(s, now)
			checkpoint = got[len(got)-1].resume
			time.Sleep(1100 * time.Millisecond) // MariaDB notes the second
			reset := "reset binary logs and gtids"
			if w.mariadb() {
				reset = "reset master"
			}
			w.exec(reset)
			w.refused(s.Prove(w.ctx(), checkpoint), ReasonAhead)
			for i := range 20 {
				w.exec(insert(100 + i))
			}
			w.refused(s.Prove(w.ctx(), checkpoint), ReasonHistory)
		})
	}
}

// purge drops all log files but the newest.
func (w *world) purge() {
	w.Helper()
	// MariaDB keeps a file that recovery might need, for a moment.
	w.eventually("old log files are gone", func() bool {
		r, err := w.admin.Execute("show binary logs")
		if err != nil {
			w.Fatal(err)
		}
		name, err := r.GetString(r.RowNumber()-1, 0)
		if err != nil {
			w.Fatal(err)
		}
		w.exec("purge binary logs to '" + name + "'")
		return r.RowNumber() == 1
	})
}

// Without GTIDs positions are places in files.
func TestFileMode(t *testing.T) {
	t.Parallel()
	w := private(t, "STACK_MYSQL_URL", 1, "--gtid-mode=OFF", "--enforce-gtid-consistency=OFF")
	w.app()
	w.exec("create table other (id int primary key auto_increment)", "create table isam (id int) engine=myisam")
	s := w.source()
	start := w.here(s)
	for i := range 4 {
		w.exec(insert(2*i+1, 2*i+2), "insert into other values ()", "flush binary logs")
	}
	got, err := w.drainErr(s, start, outbox.Limits{Rows: 3, Bytes: 1 << 20})
	if !errors.Is(err, outbox.ErrEnd) || len(rows(got)) != 8 {
		t.Fatalf("%d rows, %v", len(rows(got)), err)
	}
	n := 0
	for _, b := range got {
		for _, before := range b.before {
			n++
			if err := s.Prove(w.ctx(), before); err != nil {
				t.Errorf("prove before row %d: %v", n, err)
			}
			if rest := rows(w.drain(s, before)); len(rest) != 9-n || rest[0] != row(n) {
				t.Errorf("before row %d (%s, %+v): %v", n, before.Position, before.Open, rest)
			}
		}
		if err := s.Prove(w.ctx(), b.resume); err != nil {
			t.Errorf("prove behind row %d: %v", n, err)
		}
	}
	last := got[len(got)-1].resume

	// A mixture of tables, rolled back: what cannot be taken back is in the
	// log, and a ROLLBACK behind it.
	w.exec("begin", insert(20), "insert into isam values (1)", insert(21), "rollback",
		"begin", insert(22), "savepoint a", insert(23), "insert into isam select id from outbox where id = 22", insert(24), "rollback to a", insert(25), "commit")
	w.want(rows(w.drain(s, last)), row(22), row(25))
	w.exec("begin")
	for i := 30; i < 40; i += 2 {
		w.exec(insert(i, i+1))
	}
	w.exec("insert into isam select id from outbox where id = 30", "rollback")
	_, err = w.drainErr(s, last, outbox.Limits{Rows: 4, Bytes: 1 << 20})
	if !errors.Is(err, outbox.ErrEnd) { // the server takes the rows out when it can
		w.refused(err, ReasonRollback)
	}

	v, err := s.CreateAnchor(w.ctx(), outbox.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	v.Close()
	if err := s.Prove(w.ctx(), v.Resume()); err != nil {
		t.Error(err)
	}
	other := last
	other.Lineage = strings.Replace(other.Lineage, s.id.server, "another", 1)
	w.refused(s.Prove(w.ctx(), other), ReasonServer)

	time.Sleep(1100 * time.Millisecond) // files note the second
	first := outbox.Resume{Position: outbox.Position{Kind: outbox.MySQL, Text: "binlog.000001:158"}, Lineage: fmt.Sprintf("%s;created=12345", s.id.server)}
	w.refused(s.Prove(w.ctx(), first), ReasonHistory)
	w.exec("reset binary logs and gtids")
	var refusal *outbox.Refusal
	if err := s.Prove(w.ctx(), last); !errors.As(err, &refusal) {
		t.Errorf("after a reset: %v", err)
	}
}

// Tags came with MySQL 8.3.
func TestTaggedGTIDs(t *testing.T) {
	w := newWorld(t, "STACK_MYSQL_URL")
	w.outbox()
	s := w.source()
	start := w.here(s)
	c := w.session()
	w.on(c, insert(1), "set gtid_next = 'automatic:orders'", insert(2), "set gtid_next = 'automatic'", insert(3), "set gtid_next = 'automatic:orders'", insert(4), "set gtid_next = 'automatic'")
	got := w.drain(s, start)
	w.want(rows(got), row(1), row(2), row(3), row(4))
	if !strings.Contains(got[0].txns[1], ":orders:") {
		t.Errorf("the second transaction is named %s", got[0].txns[1])
	}
	for i, before := range got[0].before {
		if err := s.Prove(w.ctx(), before); err != nil {
			t.Error(err)
		}
		if rest := rows(w.drain(s, before)); len(rest) != 4-i {
			t.Errorf("before row %d: %v", i, rest)
		}
	}
	if err := s.Prove(w.ctx(), got[0].resume); err != nil {
		t.Error(err)
	}
}

// MariaDB domains are independent of each other.
func TestDomains(t *testing.T) {
	w := newWorld(t, "STACK_MARIADB_URL")
	w.outbox()
	s := w.source()
	start := w.here(s)
	c := w.session()
	for i, domain := range []int{0, 7, 0, 9, 7, 7, 0} {
		w.on(c, fmt.Sprintf("set session gtid_domain_id = %d", domain), insert(i+1))
	}
	got := w.drain(s, start)
	if len(rows(got)) != 7 {
		t.Fatalf("%v", rows(got))
	}
	for i, before := range got[0].before {
		if err := s.Prove(w.ctx(), before); err != nil {
			t.Errorf("before row %d: %v", i, err)
		}
		if rest := rows(w.drain(s, before)); len(rest) != 7-i {
			t.Errorf("before row %d (%s): %v", i, before.Position, rest)
		}
	}
}

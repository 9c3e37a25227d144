package e2e

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/harness"
)

// ownMySQL is a MySQL or MariaDB server that belongs to one test, which may stop and promote it.
type ownMySQL struct {
	t       *testing.T
	kind    string
	port    int
	log     string
	command func() *exec.Cmd
	cmd     *exec.Cmd
}

// newOwnMySQL makes a server of the program that the environment names and starts it, with further settings; it is
// removed when the test ends.
func newOwnMySQL(t *testing.T, kind string, id int, settings ...string) *ownMySQL {
	t.Helper()
	program := strings.Fields(harness.Env(t, stack(kind)+"_SERVER"))
	m := &ownMySQL{t: t, kind: kind, port: harness.FreePort(t)}
	dir := readable(t) // not t.TempDir: its name is too long for a socket
	data := filepath.Join(dir, "data")
	base := []string{"--no-defaults", "--datadir=" + data}
	if os.Geteuid() == 0 {
		base = append(base, "--user=nobody")
	}
	if kind == "mysql" {
		base = append(base, "--lc-messages-dir="+filepath.Join(filepath.Dir(filepath.Dir(program[len(program)-1])), "share", "mysql"), "--mysqlx=OFF")
	}
	// MariaDB deletes temporary tables that it finds in its temporary folder when it starts, whoever's they are.
	own := append(os.Environ(), "TMPDIR="+dir)
	command := func(args ...string) *exec.Cmd {
		c := exec.Command(program[0], append(append(program[1:len(program):len(program)], base...), args...)...)
		c.Env = own
		return c
	}
	if out, err := exec.Command("cp", "-r", harness.Env(t, stack(kind)+"_PRISTINE"), data).CombinedOutput(); err != nil {
		t.Fatalf("copy the files of an empty server: %v\n%s", err, out)
	}
	if os.Geteuid() == 0 {
		if out, err := exec.Command("chown", "-R", "nobody", data).CombinedOutput(); err != nil {
			t.Fatalf("chown: %v\n%s", err, out)
		}
	}
	// Without name resolution nobody at 127.0.0.1 is "localhost".
	accounts := filepath.Join(dir, "init.sql")
	if err := os.WriteFile(accounts, []byte(`SET sql_log_bin = 0;
CREATE USER IF NOT EXISTS 'root'@'127.0.0.1';
GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;
`), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{fmt.Sprintf("--port=%d", m.port), fmt.Sprintf("--server-id=%d", id), "--init-file=" + accounts, "--skip-name-resolve",
		"--bind-address=127.0.0.1", "--socket=" + filepath.Join(dir, "s"), "--pid-file=" + filepath.Join(data, "pid"), "--secure-file-priv=",
		"--character-set-server=utf8mb4", "--log-bin=" + filepath.Join(data, "binlog"), "--binlog-format=ROW", "--binlog-row-metadata=FULL",
		"--sync-binlog=0", "--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=64M"}
	if kind == "mariadb" {
		args = append(args, "--gtid-strict-mode=ON", "--log-slave-updates=ON")
	} else {
		args = append(args, "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--log-replica-updates=ON")
	}
	m.log = filepath.Join(dir, "log")
	m.command = func() *exec.Cmd { return command(append(args, settings...)...) }
	m.start()
	t.Cleanup(m.kill)
	return m
}

// start starts the server, for the first time or again, and waits until it answers.
func (m *ownMySQL) start() {
	m.t.Helper()
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close()
	m.cmd = m.command()
	m.cmd.Stdout, m.cmd.Stderr = log, log
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	db, err := harness.MySQLAt(m.t, m.url()).Open("")
	if err != nil {
		m.t.Fatal(err)
	}
	defer db.Close()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		err := db.Ping()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(m.log)
			m.t.Fatalf("the server does not answer: %v\n%s", err, text)
		}
	}
}

// kill is kill -9.
func (m *ownMySQL) kill() {
	_ = m.cmd.Process.Kill() // it may be gone already
	_ = m.cmd.Wait()
}

func (m *ownMySQL) url() string { return fmt.Sprintf("%s://root@127.0.0.1:%d/", m.kind, m.port) }

// exec runs statements as root.
func (m *ownMySQL) exec(statements ...string) {
	m.t.Helper()
	db, err := harness.MySQLAt(m.t, m.url()).Open("")
	if err != nil {
		m.t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			m.t.Fatalf("%s: %v", s, err)
		}
	}
}

// end is the server's position.
func (m *ownMySQL) end() string {
	m.t.Helper()
	db, err := harness.MySQLAt(m.t, m.url()).Open("")
	if err != nil {
		m.t.Fatal(err)
	}
	defer db.Close()
	var s string
	variable := map[string]string{"mysql": "@@GLOBAL.gtid_executed", "mariadb": "@@GLOBAL.gtid_binlog_pos"}[m.kind]
	if err := db.QueryRow("SELECT " + variable).Scan(&s); err != nil {
		m.t.Fatal(err)
	}
	return s
}

// follow makes m a replica.
func (m *ownMySQL) follow(primary *ownMySQL) {
	m.t.Helper()
	if m.kind == "mariadb" {
		m.exec(fmt.Sprintf("CHANGE MASTER TO master_host = '127.0.0.1', master_port = %d, master_user = 'root', master_use_gtid = slave_pos", primary.port),
			"START SLAVE")
		return
	}
	m.exec(fmt.Sprintf(`CHANGE REPLICATION SOURCE TO source_host = '127.0.0.1', source_port = %d, source_user = 'root', source_auto_position = 1,
		get_source_public_key = 1`, primary.port), "START REPLICA")
}

// pause and proceed stop a replica from replicating, and let it go on; promote ends it for good.
func (m *ownMySQL) pause() {
	m.t.Helper()
	m.exec(map[string]string{"mysql": "STOP REPLICA", "mariadb": "STOP SLAVE"}[m.kind])
}

func (m *ownMySQL) proceed() {
	m.t.Helper()
	m.exec(map[string]string{"mysql": "START REPLICA", "mariadb": "START SLAVE"}[m.kind])
}

func (m *ownMySQL) promote() {
	m.t.Helper()
	m.pause()
	m.exec(map[string]string{"mysql": "RESET REPLICA ALL", "mariadb": "RESET SLAVE ALL"}[m.kind])
}

// purge drops all log files but a new one.
func (m *ownMySQL) purge() {
	m.t.Helper()
	db, err := harness.MySQLAt(m.t, m.url()).Open("")
	if err != nil {
		m.t.Fatal(err)
	}
	defer db.Close()
	m.exec("FLUSH BINARY LOGS")
	// MariaDB keeps a file that recovery might need, for a moment.
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		names := logFiles(m.t, db)
		if len(names) == 1 {
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("the server keeps %v", names)
		}
		m.exec("PURGE BINARY LOGS TO '" + names[len(names)-1] + "'")
	}
}

// address is one that stays while the server behind it changes.
type address struct {
	listener net.Listener

	mu     sync.Mutex // guards all below
	target string     // "" refuses
	conns  map[net.Conn]bool
}

func newAddress(t *testing.T, m *ownMySQL) *address {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &address{listener: l, conns: map[net.Conn]bool{}}
	a.point(m)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				serving.Go(func() { a.serve(c) })
			}
		}
	})
	t.Cleanup(func() {
		l.Close()
		a.point(nil)
		serving.Wait()
	})
	return a
}

// point leads new connections to another server, nil for none, and cuts those that there are.
func (a *address) point(m *ownMySQL) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.target = ""
	if m != nil {
		a.target = fmt.Sprintf("127.0.0.1:%d", m.port)
	}
	for c := range a.conns {
		c.Close()
	}
}

func (a *address) serve(client net.Conn) {
	defer client.Close()
	a.mu.Lock()
	target := a.target
	a.mu.Unlock()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	a.mu.Lock()
	if a.target != target {
		a.mu.Unlock()
		return
	}
	a.conns[client], a.conns[server] = true, true
	a.mu.Unlock()
	var there sync.WaitGroup
	there.Go(func() {
		io.Copy(server, client)
		server.Close()
	})
	io.Copy(client, server)
	client.Close()
	there.Wait()
	a.mu.Lock()
	delete(a.conns, client)
	delete(a.conns, server)
	a.mu.Unlock()
}

func (a *address) url(kind string) string {
	return (&url.URL{Scheme: kind, User: url.User("root"), Host: a.listener.Addr().String(), Path: "/"}).String()
}

// logFiles are the names of the server's log files, the oldest first.
func logFiles(t *testing.T, db *sql.DB) (names []string) {
	t.Helper()
	eachLog(t, db, func(name string, _ int64) { names = append(names, name) })
	return names
}

// logSize is the size of all of them, in bytes.
func logSize(t *testing.T, db *sql.DB) (total int64) {
	t.Helper()
	eachLog(t, db, func(_ string, size int64) { total += size })
	return total
}

func eachLog(t *testing.T, db *sql.DB, yield func(name string, size int64)) {
	t.Helper()
	rows, err := db.Query("SHOW BINARY LOGS")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var name string
	var size int64
	into := []any{&name, &size, new(string)}[:len(columns)] // whether it is encrypted is MySQL's
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		yield(name, size)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

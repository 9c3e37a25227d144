package chaos

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/harness"
)

// Server is a database server of one kind.
type Server struct {
	harness.Server
	Addr  string
	Own   bool // it may be killed
	home  string
	small bool // it lies on a file system of its own
}

// NewServer is the server of a kind that the environment names.
func NewServer(t testing.TB, kind string) *Server {
	t.Helper()
	variable := map[string]string{"postgres": "STACK_PG_URL", "mysql": "STACK_MYSQL_URL", "mariadb": "STACK_MARIADB_URL"}[kind]
	if variable == "" {
		t.Fatalf("%q is no kind of source", kind)
	}
	u, err := url.Parse(harness.Env(t, variable))
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Addr: u.Host, Own: own()}
	if kind == "postgres" {
		s.Server = harness.PostgresAt(u.String())
	} else {
		s.Server = harness.MySQLAt(t, u.String())
	}
	if s.Own {
		s.home = filepath.Join(harness.Env(t, "STACK_DIR"), kind)
	}
	return s
}

func (s *Server) pid() int {
	if s.Kind() == "postgres" {
		return livePID(filepath.Join(s.home, "data", "postmaster.pid"), filepath.Join(s.home, "data"))
	}
	return livePID(filepath.Join(s.home, "run", "pid"), filepath.Join(s.home, "my.cnf"))
}

// Kill is kill -9 of the server.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	end(t, s.Kind(), s.pid, syscall.SIGKILL)
}

// Stop stops the server as an operator does.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if err := stack("down", s.Kind()); err != nil {
		t.Fatal(err)
	}
}

// Mend starts the server unless it runs.
func (s *Server) Mend(t testing.TB) {
	t.Helper()
	if s.Own && s.pid() == 0 {
		if err := stack("up", s.Kind()); err != nil {
			t.Fatal(err)
		}
	}
}

// Save copies the data of the server, which does not run, as a backup of its disk does; Restore puts it back.
func (s *Server) Save(t testing.TB) { s.copy(t, "data", "saved") }

// Restore puts back what Save kept; the server does not run.
func (s *Server) Restore(t testing.TB) { s.copy(t, "saved", "data") }

func (s *Server) copy(t testing.TB, from, to string) {
	t.Helper()
	from, to = filepath.Join(s.home, from), filepath.Join(s.home, to)
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	// cp keeps whose the files are.
	if out, err := exec.Command("cp", "-a", "--reflink=auto", from, to).CombinedOutput(); err != nil {
		t.Fatalf("copy the server's data: %v\n%s", err, out)
	}
}

// Promote makes the server, which does not run, one that was a physical standby until now and has all that it had: it
// goes on, on a new timeline.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	data := filepath.Join(s.home, "data")
	if err := os.WriteFile(filepath.Join(data, "standby.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"start", "-w", "-l", filepath.Join(s.home, "log")}, {"promote", "-w"}} {
		args = append(args, "-D", data)
		program := filepath.Join(harness.Env(t, "STACK_PG_BIN"), "pg_ctl")
		c := exec.Command(program, args...)
		if os.Getuid() == 0 { // which the server refuses to run as
			c = exec.Command("runuser", append([]string{"-u", "postgres", "--", program}, args...)...)
		}
		c.Dir = "/"
		// No pipe, which the server would inherit and keep open.
		if err := c.Run(); err != nil {
			t.Fatalf("%v: %v", c.Args, err)
		}
	}
}

// Rename gives the server, which does not run, another identity under which it goes on with its log, as a replica does
// that has all that the primary had and is promoted.
func (s *Server) Rename(t testing.TB) {
	t.Helper()
	if err := os.Remove(filepath.Join(s.home, "data", "auto.cnf")); err != nil {
		t.Fatal(err)
	}
}

// moved is a database that tailer reaches at another address than the load does.
type moved struct {
	harness.Database
	addr string
}

// URL implements harness.Database.
func (m moved) URL() string { return m.at(m.Database.URL()) }

// Account implements harness.Database.
func (m moved) Account(t testing.TB, setup func(string) string) string {
	return m.at(m.Database.Account(t, setup))
}

func (m moved) at(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(err) // The harness made it.
	}
	u.Host = m.addr
	return u.String()
}

// Confirmed implements harness.Database: a server that is away has nothing to say, and is no end of the sampling.
func (m moved) Confirmed(ctx context.Context, name string) (string, bool, error) {
	position, ok, err := m.Database.Confirmed(ctx, name)
	if err != nil {
		return "", false, nil
	}
	return position, ok, nil
}

// purge drops all files of a binlog but a new one.
func purge(w *World) {
	w.Helper()
	admin := harness.MySQLAt(w, serverURL(w))
	db := admin.Admin(w)
	if _, err := db.Exec("FLUSH BINARY LOGS"); err != nil {
		w.Fatal(err)
	}
	// MariaDB keeps a file that recovery might need, for a moment.
	w.Wait("all files but one are gone", 20*time.Second, func() (bool, string) {
		var names []string
		rows, err := db.Query("SHOW BINARY LOGS")
		if err != nil {
			return false, err.Error()
		}
		defer rows.Close()
		columns, err := rows.Columns()
		if err != nil {
			return false, err.Error()
		}
		var name string
		into := []any{&name, new(string), new(string)}[:len(columns)] // whether it is encrypted is MySQL's
		for rows.Next() {
			if err := rows.Scan(into...); err != nil {
				return false, err.Error()
			}
			names = append(names, name)
		}
		if len(names) == 1 {
			return true, ""
		}
		if _, err := db.Exec("PURGE BINARY LOGS TO '" + names[len(names)-1] + "'"); err != nil {
			return false, err.Error()
		}
		return false, strings.Join(names, " ")
	})
}

// serverURL is that of the account that may do everything.
func serverURL(w *World) string {
	return (&url.URL{Scheme: w.server.Kind(), User: url.User("root"), Host: w.server.Addr, Path: "/"}).String()
}

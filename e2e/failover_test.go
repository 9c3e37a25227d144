package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// ownPostgres is a cluster that belongs to one test, which may stop and promote it.
type ownPostgres struct {
	t    *testing.T
	bin  string
	dir  string
	port int
	more string // further options of the server
}

// newOwnPostgres makes a cluster and starts it; it is removed when the test ends.
func newOwnPostgres(t *testing.T) *ownPostgres {
	t.Helper()
	p := placeForPostgres(t, harness.Env(t, "STACK_PG_BIN"))
	p.run(p.command("initdb", "-D", p.dir, "-U", "postgres", "-A", "trust", "-N"))
	p.start()
	return p
}

// placeForPostgres is a cluster with nothing in its folder yet.
func placeForPostgres(t *testing.T, bin string) *ownPostgres {
	t.Helper()
	p := &ownPostgres{t: t, bin: bin, port: harness.FreePort(t)}
	dir, err := os.MkdirTemp("/var/tmp", "tailer-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	p.dir = filepath.Join(dir, "data")
	t.Cleanup(func() {
		_ = p.command("pg_ctl", "stop", "-D", p.dir, "-m", "immediate").Run() // it may be down already
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if os.Getuid() == 0 { // which the server refuses to run as
		p.run(exec.Command("chown", "postgres", dir))
	}
	return p
}

func (p *ownPostgres) command(name string, args ...string) *exec.Cmd {
	program := filepath.Join(p.bin, name)
	if os.Getuid() == 0 {
		return exec.Command("runuser", append([]string{"-u", "postgres", "--", program}, args...)...)
	}
	return exec.Command(program, args...)
}

func (p *ownPostgres) run(c *exec.Cmd) {
	p.t.Helper()
	c.Dir = "/"
	if out, err := c.CombinedOutput(); err != nil {
		p.t.Fatalf("%v: %v\n%s", c.Args, err, out)
	}
}

func (p *ownPostgres) start() {
	p.t.Helper()
	options := fmt.Sprintf("-p %d -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c wal_level=logical -c fsync=off %s", p.port, p.more)
	p.run(p.command("pg_ctl", "start", "-w", "-D", p.dir, "-l", filepath.Join(p.dir, "log"), "-o", options))
}

func (p *ownPostgres) stop() {
	p.t.Helper()
	p.run(p.command("pg_ctl", "stop", "-w", "-D", p.dir, "-m", "fast"))
}

// promote makes the stopped cluster a standby and promotes it: it goes on, on a new timeline.
func (p *ownPostgres) promote() {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, "standby.signal"), nil, 0o644); err != nil {
		p.t.Fatal(err)
	}
	p.start()
	p.run(p.command("pg_ctl", "promote", "-w", "-D", p.dir))
}

func (p *ownPostgres) url() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", p.port)
}

// A promoted server continues the log on a new timeline. What is read from there on lies on that one, and the next
// start must find it there.
func TestAPromotionIsFollowedAndTheNextStartToo(t *testing.T) {
	t.Parallel()
	if kind() != "postgres" {
		t.Skipf("E2E_SOURCE is %s", kind())
	}
	server := newOwnPostgres(t)
	c := world(t, harness.PostgresAt(server.url()))
	c.DB.SQL().SetMaxIdleConns(0) // none that the restart would break
	c.Kafka.Create(t, harness.Topic(c.Type), 2)
	r := c.Follow(harness.Topic(c.Type))
	ledger := c.Ledger()
	p := c.Start()
	insert := func(n int) {
		ledger.Insert("k", fmt.Sprint(n))
		c.Arrived(r, n, 30*time.Second)
	}
	insert(1)
	server.stop()
	server.promote()
	insert(2)
	p.Stop()
	for n := 3; n < 5; n++ { // the second of these starts reads what the first one stored, on the new timeline
		p = c.Start()
		insert(n)
		p.Stop()
	}
	c.Check(ledger.Want(), check.ExactlyOnce)
}

// A table that is renamed for a moment is the same table: its rows are not passed over.
func TestARenamedTableLosesNoRow(t *testing.T) {
	t.Parallel()
	c, db := postgres(t)
	db.CreateOutbox(t, db.Outbox())
	c.Kafka.Create(t, harness.Topic(c.Type), 1)
	r := c.Follow(harness.Topic(c.Type))
	ledger := c.Ledger()
	p := c.Start()
	ledger.Insert("k", "1")
	c.Arrived(r, 1, 30*time.Second)
	db.Exec(t, "ALTER TABLE public.outbox RENAME TO outbox_away")
	ledger.Into("public.outbox_away", c.Type, "k", "2")
	db.Exec(t, "ALTER TABLE public.outbox_away RENAME TO outbox")
	ledger.Insert("k", "3")
	c.Arrived(r, 3, 30*time.Second)
	p.Stop()
	c.Check(ledger.Want(), check.ExactlyOnce)
}

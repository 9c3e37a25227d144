package e2e

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// pair is a primary and its physical standby, which belong to one test.
type pair struct{ primary, standby *ownPostgres }

// newPair makes both. Of their settings the test chooses what concerns copies of logical slots: synced has the
// standby keep them, waits has the primary give out nothing that the standby has not.
func newPair(t *testing.T, bin string, synced, waits bool) *pair {
	t.Helper()
	p := &pair{placeForPostgres(t, bin), placeForPostgres(t, bin)}
	// The end of a log that nobody reads must not wait for anything but its own commits.
	const common = "-c checkpoint_timeout=30s -c wal_keep_size=64MB -c wal_receiver_status_interval=1s "
	p.primary.more = common
	p.primary.run(p.primary.command("initdb", "-D", p.primary.dir, "-U", "postgres", "-A", "trust", "-N"))
	p.primary.start()
	p.exec(t, p.primary, "SELECT pg_create_physical_replication_slot('standby_a', true)")
	p.primary.stop()
	p.primary.run(exec.Command("cp", "-a", p.primary.dir, p.standby.dir))
	p.primary.run(exec.Command("rm", "-rf", filepath.Join(p.standby.dir, "pg_replslot", "standby_a")))
	settings := fmt.Sprintf(`
primary_conninfo = 'host=127.0.0.1 port=%d user=postgres dbname=postgres'
primary_slot_name = 'standby_a'
hot_standby_feedback = on
sync_replication_slots = %v
`, p.primary.port, synced)
	file, err := os.OpenFile(filepath.Join(p.standby.dir, "postgresql.auto.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(settings); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.standby.dir, "standby.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if waits {
		p.primary.more += "-c synchronized_standby_slots=standby_a"
	}
	p.standby.more = common
	p.primary.start()
	p.standby.start()
	return p
}

// url leads to whichever of the two is the primary.
func (p *pair) url() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d,127.0.0.1:%d/postgres?sslmode=disable&target_session_attrs=primary", p.primary.port, p.standby.port)
}

func (p *pair) open(t *testing.T, server *ownPostgres) *sql.DB {
	return harness.PostgresAt(server.url()).Admin(t)
}

func (p *pair) exec(t *testing.T, server *ownPostgres, statement string) {
	t.Helper()
	db := p.open(t, server)
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// failOver ends the primary as a power cut does, and promotes the standby.
func (p *pair) failOver() {
	p.primary.crash()
	p.standby.run(p.standby.command("pg_ctl", "promote", "-w", "-D", p.standby.dir))
}

// crash ends the server with no word to anybody.
func (p *ownPostgres) crash() {
	p.t.Helper()
	p.run(p.command("pg_ctl", "stop", "-w", "-D", p.dir, "-m", "immediate"))
}

// hasCopy waits until the standby keeps a usable copy of the slot.
func (p *pair) hasCopy(t *testing.T, c *harness.Case) {
	t.Helper()
	db := p.open(t, p.standby)
	c.Wait("the standby has a copy of the slot", 2*time.Minute, func() (bool, string) {
		var seen string
		err := db.QueryRow("SELECT coalesce(max(synced || ' ' || temporary || ' ' || coalesce(invalidation_reason, '')), 'none') FROM pg_replication_slots WHERE slot_name = $1",
			harness.Slot(c.ID)).Scan(&seen)
		if err != nil {
			return false, err.Error()
		}
		// What the copy needs moves on with the log.
		p.exec(t, p.primary, "SELECT pg_log_standby_snapshot()")
		return seen == "true false ", seen
	})
}

// replayed waits until the standby has all that the primary has.
func (p *pair) replayed(t *testing.T, c *harness.Case) {
	t.Helper()
	primary, standby := p.open(t, p.primary), p.open(t, p.standby)
	var end string
	if err := primary.QueryRow("SELECT pg_current_wal_flush_lsn()").Scan(&end); err != nil {
		t.Fatal(err)
	}
	c.Wait("the standby has replayed the log", 30*time.Second, func() (bool, string) {
		var there bool
		err := standby.QueryRow("SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn", end).Scan(&there)
		return err == nil && there, fmt.Sprint(err)
	})
}

// onPairs runs a test for each version that has failover slots.
func onPairs(t *testing.T, synced, waits bool, f func(t *testing.T, p *pair, c *harness.Case, book *harness.Ledger, r *harness.Reader)) {
	t.Helper()
	t.Parallel()
	if kind() != "postgres" {
		t.Skipf("E2E_SOURCE is %s", kind())
	}
	for _, variable := range []string{"STACK_PG17_BIN", "STACK_PG18_BIN"} {
		t.Run(variable, func(t *testing.T) {
			p := newPair(t, harness.Env(t, variable), synced, waits)
			c := world(t, harness.PostgresAt(p.url()))
			c.DB.SQL().SetMaxIdleConns(0) // none that the failover would break
			c.Kafka.Create(t, harness.Topic(c.Type), 2)
			f(t, p, c, c.Ledger(), c.Follow(harness.Topic(c.Type)))
		})
	}
}

// With everything in place a failover is one more broken connection: the running tailer finds the promoted standby by
// itself, proves by the history of its timelines that nothing is missing, and goes on from the slot's copy.
func TestAFailoverIsFollowedOnThePromotedStandby(t *testing.T) {
	onPairs(t, true, true, func(t *testing.T, p *pair, c *harness.Case, book *harness.Ledger, r *harness.Reader) {
		tailer := c.Start()
		for n := 1; n <= 3; n++ {
			book.Insert("k", fmt.Sprint(n))
		}
		c.Arrived(r, 3, 30*time.Second)
		p.hasCopy(t, c)
		checked := c.Do(0, "check", flags(c)...).Stdout()
		holds(t, "check", checked, fmt.Sprintf("ok    standby 127.0.0.1:%d: it keeps a copy of slot %s", p.standby.port, harness.Slot(c.ID)),
			"ok    synchronized_standby_slots: tailer gets nothing that the standbys of standby_a have not")
		if strings.Contains(checked, "failover") {
			t.Errorf("check complains of the slot:\n%s", checked)
		}
		book.Insert("k", "the last one before")
		c.Arrived(r, 4, 30*time.Second) // so it is on the standby too: the primary has waited for it
		p.failOver()
		for n := 5; n <= 7; n++ {
			book.Insert("k", fmt.Sprint(n))
		}
		c.Arrived(r, 7, 60*time.Second)
		tailer.Stop()
		c.Start().Stop() // and a start on the new timeline
		c.Check(book.Want(), check.ExactlyOnce)
	})
}

// A standby that lagged lacks rows that are published. tailer refuses there, and names where they were in the log
// and what the table has.
func TestAPromotedStandbyThatLaggedIsRefused(t *testing.T) {
	onPairs(t, true, false, func(t *testing.T, p *pair, c *harness.Case, book *harness.Ledger, r *harness.Reader) {
		tailer := c.Start()
		kept := book.Insert("k", "replicated")
		c.Arrived(r, 1, 30*time.Second)
		p.hasCopy(t, c)
		holds(t, "check", c.Do(0, "check", flags(c)...).Stdout(),
			"warn  synchronized_standby_slots: standbys read from standby_a, and the server does not wait for them", "= 'standby_a'")
		p.replayed(t, c)
		p.standby.stop()
		lost := book.Insert("k", "published, and not replicated")
		c.Arrived(r, 2, 30*time.Second)
		p.primary.crash()
		p.standby.start()
		p.standby.run(p.standby.command("pg_ctl", "promote", "-w", "-D", p.standby.dir))
		tailer.Want(3, time.Minute)
		refusal := lastLine(tailer.Stderr(), "tailer: ")
		holds(t, "the refusal", refusal, "rows between", aPosition, "were published and are lost in the database",
			"table public.outbox holds 1 rows now, the ids written last are "+kept)
		if strings.Contains(refusal, lost) {
			t.Errorf("the refusal names a row that the database has lost:\n%s", refusal)
		}
		// The operator accepts that: what the standby's slot has behind its position comes again, and then what is new.
		c.Do(0, "checkpoint set --from-slot", flags(c)...)
		tailer = c.Start()
		id := book.Insert("k", "after")
		c.Wait("the new row arrives", 30*time.Second, func() (bool, string) { return r.Has(id), tailer.State() })
		tailer.Stop()
	})
}

// Without a copy of the slot nothing has kept the log: tailer refuses, and names the interval and what the table has.
func TestAPromotedStandbyWithoutTheSlotIsRefused(t *testing.T) {
	onPairs(t, false, false, func(t *testing.T, p *pair, c *harness.Case, book *harness.Ledger, r *harness.Reader) {
		tailer := c.Start()
		first := book.Insert("k", "published")
		c.Arrived(r, 1, 30*time.Second)
		holds(t, "check", c.Do(0, "check", flags(c)...).Stdout(), fmt.Sprintf("warn  standby 127.0.0.1:%d: sync_replication_slots is off there", p.standby.port))
		tailer.Stop()
		second := book.Insert("k", "not published")
		p.replayed(t, c)
		p.failOver()
		refused := c.Run()
		refused.Want(3, time.Minute)
		refusal := lastLine(refused.Stderr(), "tailer: ")
		holds(t, "the refusal", refusal, "replication slot "+harness.Slot(c.ID)+" does not exist", "rows committed between", aPosition, "may be lost",
			"table public.outbox holds 2 rows now, the ids written last are "+second+", "+first)
		// The operator accepts that: the snapshot publishes what the table has, the first row for the second time.
		c.Do(0, "checkpoint reset", flags(c)...)
		tailer = c.Start()
		c.Arrived(r, 2, 30*time.Second)
		tailer.Stop()
	})
}

// lastLine is the last line that begins like this.
func lastLine(text, begin string) (last string) {
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, begin) {
			last = line
		}
	}
	return last
}

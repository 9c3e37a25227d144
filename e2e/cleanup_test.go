package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// cleanupWorld is a world whose outbox notes when a row was inserted. Its account may delete.
func cleanupWorld(t *testing.T) *harness.Case {
	t.Helper()
	c := world(t, source(t))
	c.DB.Exec(t, by("ALTER TABLE outbox ADD COLUMN created_at timestamptz DEFAULT now()",
		"ALTER TABLE outbox ADD COLUMN created_at timestamp(6) NULL DEFAULT current_timestamp(6)"))
	c.DB.Exec(t, "CREATE INDEX created ON outbox (created_at)")
	mayDelete(t, c)
	return c
}

// mayDelete grants what the accounts of these tests do not have.
func mayDelete(t *testing.T, c *harness.Case) {
	t.Helper()
	if grant := by("", "GRANT DELETE ON "+c.DB.Name()+".* TO "+c.DB.Name()+"@'%'"); grant != "" {
		c.DB.Exec(t, grant)
	}
}

func rowsLeft(t *testing.T, c *harness.Case) string {
	t.Helper()
	return c.DB.Text(t, "SELECT count(*) FROM outbox")
}

func left(t *testing.T, c *harness.Case, want int, within time.Duration) {
	t.Helper()
	c.Wait(fmt.Sprintf("%d rows are left", want), within, func() (bool, string) {
		n := rowsLeft(t, c)
		return n == fmt.Sprint(want), n + " rows"
	})
}

// age makes rows old.
func age(t *testing.T, c *harness.Case, where string) {
	t.Helper()
	c.DB.Exec(t, "UPDATE outbox SET created_at = created_at - "+by("interval '2 hours'", "interval 2 hour")+" WHERE "+where)
}

// Rows go when they are published and old, whether the first start's snapshot found them or the log brought them;
// young ones stay. An account with the rights that setup prints can do it, and check says so.
func TestCleanUpDeletesWhatIsPublishedAndOld(t *testing.T) {
	t.Parallel()
	c := cleanupWorld(t)
	book := c.Ledger()
	for i := range 20 {
		book.Insert("a", fmt.Sprint("there before ", i))
	}
	age(t, c, "1 = 1")
	options := []string{"--cleanup", "--cleanup-after=1h", "--cleanup-column=created_at"}
	account := c.DB.Account(t, func(url string) string {
		return c.Do(0, "setup --print", flags(c, append(options, "--source-url="+url)...)...).Stdout()
	})
	options = append(options, "--source-url="+account)
	p := c.Do(0, "check", flags(c, options...)...)
	holds(t, "check", p.Stdout(), "clean-up of", "older than 1h0m0s")

	r := c.Follow(harness.Topic(c.Type))
	run := c.Start(options...)
	left(t, c, 0, 120*time.Second)
	young := book.Insert("a", "young")
	c.DB.Fill(t, c.Type, 1200, 7, 1)
	c.Arrived(r, 1221, 60*time.Second)
	age(t, c, "id <> '"+young+"'")
	left(t, c, 1, 120*time.Second)
	c.Wait("every deletion is counted", 10*time.Second, func() (bool, string) {
		n := run.Metric("cleanup_deleted_total", "table="+c.DB.Outbox())
		return n == 1220, fmt.Sprint(n)
	})
	if n := run.Metric("cleanup_failures_total"); n != 0 {
		t.Errorf("%v failures\n%s", n, run.Stderr())
	}
	run.Stop()
	if n := rowsLeft(t, c); n != "1" {
		t.Errorf("%s rows are left", n)
	}
	if ids := r.IDs(); ids != 1221 {
		t.Errorf("%d messages", ids)
	}
}

// Writers write, and change and delete rows themselves; tailer deletes what it has published, is killed, and goes on.
func TestCleanUpUnderLoadAndKillsLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	mayDelete(t, c)
	l := (&harness.Load{Seed: harness.Seed(t), Aggregates: 100, Types: 2, Writers: 4, Rows: harness.Either(100_000, 8_000),
		Largest: 300, Big: []int{3_000}, Pause: time.Millisecond}).Prepare(c)
	r := c.Follow(l.Topics()...)
	options := []string{"--cleanup", "--cleanup-after=0"}
	p := c.Start(options...)
	c.Sample()
	wait := l.Go()
	for range harness.Either(10, 3) {
		deleted := p.Metric("cleanup_deleted_total")
		c.Wait("rows are deleted", 60*time.Second, func() (bool, string) {
			n := p.Metric("cleanup_deleted_total")
			return n > deleted || l.Committed() >= l.Rows, fmt.Sprint(n)
		})
		p.Kill()
		p = c.Start(options...)
	}
	wait(false)
	want := l.Want()
	c.Arrived(r, len(want), 120*time.Second)
	left(t, c, 0, 120*time.Second)
	p.Stop()
	c.Check(want, check.ExactlyOnce)
}

// While the broker is away nothing is published, and nothing deleted; what waits is in the table until it is out.
func TestCleanUpDeletesNothingDuringAnOutage(t *testing.T) {
	t.Parallel()
	proxied := faults(t)
	c := world(t, source(t))
	mayDelete(t, c)
	c.Kafka.Create(t, harness.Topic(c.Type), 2)
	r := c.Follow(harness.Topic(c.Type))
	book := c.Ledger()
	p := c.Start("--cleanup", "--cleanup-after=0", through(proxied))
	book.Insert("a", "before")
	left(t, c, 0, 120*time.Second)
	proxied.Refuse()
	for i := range 10 {
		book.Insert("a", fmt.Sprint("meanwhile ", i))
	}
	c.Holds("rows that are not published stay", 8*time.Second, func() (bool, string) {
		n := rowsLeft(t, c)
		return n == "10", n + " rows"
	})
	if err := proxied.Accept(); err != nil {
		t.Fatal(err)
	}
	left(t, c, 0, 120*time.Second)
	c.Arrived(r, 11, 20*time.Second)
	p.Stop()
	c.Check(book.Want(), check.ExactlyOnce)
}

// The application locks a row, then the table. It is never held up, what is free is deleted meanwhile, and the rest
// when it is done; publishing goes on all the time.
func TestCleanUpGivesWayToTheApplication(t *testing.T) {
	t.Parallel()
	c := cleanupWorld(t)
	r := c.Follow(harness.Topic(c.Type))
	book := c.Ledger()
	p := c.Start("--cleanup", "--cleanup-after=15s", "--cleanup-column=created_at")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	app, err := c.DB.SQL().Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	// in runs a statement of the application and demands that nobody holds it up.
	in := func(statement string) {
		t.Helper()
		begin := time.Now()
		if _, err := app.ExecContext(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		if d := time.Since(begin); d > 8*time.Second {
			t.Errorf("%s took %v", statement, d)
		}
	}
	locked := book.Insert("a", "locked")
	in("BEGIN")
	in("SELECT id FROM outbox WHERE id = '" + locked + "' FOR UPDATE")
	for i := range 5 {
		book.Insert("a", fmt.Sprint(i))
	}
	left(t, c, 1, 120*time.Second)
	in("UPDATE outbox SET payload = 'changed' WHERE id = '" + locked + "'")
	in("COMMIT")
	left(t, c, 0, 120*time.Second)

	in(by("BEGIN", "DO 0"))
	in(by("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE", "LOCK TABLES outbox WRITE"))
	in("INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload) VALUES ('late', '" + c.Type + "', 'a', 'Changed', 'late')")
	book.Expect("late", c.Type, "a", "late")
	before := p.Metric("cleanup_failures_total")
	c.Wait("the clean-up has given up waiting", 60*time.Second, func() (bool, string) {
		n := p.Metric("cleanup_failures_total")
		return n > before+1, fmt.Sprint(n)
	})
	if n := strings.Count(p.Stderr(), "clean-up failed"); n < 1 || n > 2 {
		t.Errorf("that is logged %d times", n)
	}
	if s := p.State(); s != "streaming" && s != "caught_up" {
		t.Errorf("it is %s", s)
	}
	in(by("COMMIT", "UNLOCK TABLES"))
	c.Arrived(r, 7, 20*time.Second)
	left(t, c, 0, 120*time.Second)
	if n := p.Metric("pipeline_restarts_total"); n != 0 {
		t.Errorf("%v restarts", n)
	}
	p.Stop()
	c.Check(book.Want(), check.ExactlyOnce)
}

// What cannot work is said before anything begins.
func TestCleanUpThatDoesNotFitIsInvalid(t *testing.T) {
	t.Parallel()
	c := cleanupWorld(t)
	for _, bad := range []struct{ args, says string }{
		{"--cleanup", "--cleanup-column: is required"},
		{"--cleanup --cleanup-column=created", "--cleanup-column: table " + c.DB.Outbox() + ` has no column "created"`},
		{"--cleanup --cleanup-column=type", `column "type" of table ` + c.DB.Outbox() + " is of type varchar"},
	} {
		p := c.Run(strings.Fields(bad.args)...)
		p.Want(2, 30*time.Second)
		holds(t, bad.args, p.Stderr(), bad.says)
	}
	c.DB.Exec(t, by("ALTER TABLE outbox DROP CONSTRAINT outbox_pkey", "ALTER TABLE outbox DROP PRIMARY KEY"))
	p := c.Run("--cleanup", "--cleanup-after=0")
	p.Want(2, 30*time.Second)
	holds(t, "without a primary key", p.Stderr(), "has no primary key", "ADD PRIMARY KEY")
	c.Do(1, "check", flags(c, "--cleanup", "--cleanup-after=0")...)
}

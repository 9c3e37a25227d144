package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// extendCase is a tailer's world with two outbox tables under a load that writes to both, often in one transaction;
// each aggregate has its own of the two. Nothing is deleted, so that the snapshot of the one that is added has
// something to find.
type extendCase struct {
	*harness.Case
	added     string // the second table, as it is configured
	load      *harness.Load
	read      *harness.Reader
	old, both []string // flags
}

func newExtendCase(t *testing.T) *extendCase {
	t.Helper()
	c := world(t, source(t))
	c.DB.CreateOutbox(t, "added")
	e := &extendCase{Case: c, added: strings.TrimSuffix(c.DB.Outbox(), "outbox") + "added"}
	e.old = []string{"--outbox-table=" + c.DB.Outbox()}
	e.both = append([]string{"--outbox-table=" + e.added}, e.old...) // in another order than they came
	e.load = (&harness.Load{Seed: harness.Seed(t), Tables: []string{c.DB.Outbox(), "added"}, Apart: true, Aggregates: 100,
		Types: 2, Writers: 2, Rows: 1 << 30, Largest: 100, Keep: true, Pause: 10 * time.Millisecond}).Prepare(c)
	e.read = c.Follow(e.load.Topics()...)
	return e
}

// extendWithin is for what has to read the log up to its end first, which holds what other tests write too.
const extendWithin = 3 * time.Minute

// extends starts a tailer with the second table and waits until it streams.
func (e *extendCase) extends() *harness.Tailer {
	e.Helper()
	p := e.Run(e.both...)
	e.Wait("tailer streams", extendWithin, func() (bool, string) {
		if !p.Running() {
			e.Fatalf("tailer has ended\n%s", p.Stderr())
		}
		code, body := p.Get("/readyz")
		return code == 200, body
	})
	return p
}

// publishedOf waits until rows of a table were published.
func (e *extendCase) publishedOf(p *harness.Tailer, table string) {
	e.Helper()
	e.Wait("rows of "+table+" are published", extendWithin, func() (bool, string) {
		n := p.Metric("events_published_total", "table="+table)
		return n > 100, "" // NaN is no number of rows
	})
}

// judge ends the load and demands everything once, in order per key.
func (e *extendCase) judge(p *harness.Tailer, wait func(bool)) {
	e.Helper()
	wait(true)
	want := e.load.Want()
	e.Arrived(e.read, len(want), extendWithin)
	p.Stop()
	e.Check(want, check.ExactlyOnce)
}

func TestATableThatIsAddedIsPublishedFromItsFirstRowOn(t *testing.T) {
	t.Parallel()
	e := newExtendCase(t)
	wait := e.load.Go()
	p := e.Start(e.old...)
	e.Sample()
	e.publishedOf(p, e.DB.Outbox())
	p.Stop()
	preflight := e.Do(0, "check", e.Flags(e.both...)...)
	holds(t, "check", preflight.Stdout(), "table list", "the next start adds "+e.added)
	p = e.extends()
	holds(t, "the log", p.Stderr(), "adding tables", e.added, "snapshot published", "tables are added")
	if kind() == "postgres" {
		holds(t, "the log", p.Stderr(), "added to publication")
	}
	e.publishedOf(p, e.added)
	p.Stop()
	p = e.extends() // an ordinary start
	if strings.Contains(p.Stderr(), "adding tables") {
		t.Errorf("it is added once more\n%s", p.Stderr())
	}
	e.judge(p, wait)
}

// Who has the rights puts the table into the publication beforehand, beside a tailer that does not know it yet.
func TestSetupPublishesATableThatIsAdded(t *testing.T) {
	t.Parallel()
	e := newExtendCase(t)
	wait := e.load.Go()
	p := e.Start(e.old...)
	e.publishedOf(p, e.DB.Outbox())
	done := e.Do(0, "setup", e.Flags(e.both...)...)
	holds(t, "setup", done.Stdout(), "the log brings the rows of "+e.added)
	e.publishedOf(p, e.DB.Outbox())
	p.Stop()
	p = e.extends()
	if strings.Contains(p.Stderr(), "added to publication") {
		t.Errorf("it was not there\n%s", p.Stderr())
	}
	e.judge(p, wait)
}

var extendSteps = []string{"extend.publication", "extend.caught_up", "extend.view", "extend.boundary", "extend.produced", "extend.committed"}

func TestACrashAtAnyStepOfAddingATableLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	harness.Faulty(t)
	cases := map[string][]string{"in a row": extendSteps}
	if harness.Full() {
		for _, step := range extendSteps {
			cases[step] = []string{step}
		}
	}
	for name, steps := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newExtendCase(t)
			wait := e.load.Go()
			p := e.Start(e.old...)
			e.Sample()
			e.publishedOf(p, e.DB.Outbox())
			p.Kill()
			for _, step := range steps {
				e.CrashAt(step, 1, e.both...).Want(sigkill, extendWithin)
			}
			p = e.extends()
			e.judge(p, wait)
		})
	}
}

func TestATableThatIsRemovedIsForgotten(t *testing.T) {
	t.Parallel()
	e := newExtendCase(t)
	e.load.Rows = 500
	p := e.Start(e.both...)
	e.load.Must(t)
	e.Arrived(e.read, len(e.load.Want()), extendWithin)
	active := e.Do(3, "checkpoint forget-table "+e.added, e.Flags(e.old...)...)
	holds(t, "the refusal", active.Stderr(), "active")
	p.Stop()
	book := e.Ledger()
	book.Into("added", e.Type+"-9", "lost", "behind the checkpoint")

	p = e.Run(e.old...)
	p.Want(3, 30*time.Second)
	holds(t, "the refusal", p.Stderr(), e.added, "tailer checkpoint forget-table")
	list := e.Do(1, "check", e.Flags(e.old...)...)
	holds(t, "check", list.Stdout(), "FAIL", "table list", e.added, "forget-table")
	holds(t, "the refusal", e.Do(3, "checkpoint forget-table "+e.added, e.Flags(e.both...)...).Stderr(), "is configured")
	holds(t, "the refusal", e.Do(3, "checkpoint forget-table odd", e.Flags(e.old...)...).Stderr(), "odd", e.added)
	done := e.Do(0, "checkpoint forget-table "+e.added, e.Flags(e.old...)...)
	words := []string{"replaced {", "has forgotten table " + e.added, "given up"}
	if kind() == "postgres" {
		words = append(words, "removed table "+e.added+" from publication")
	}
	holds(t, "forget-table", done.Stdout(), words...)

	p = e.Start(e.old...)
	late := e.Ledger()
	late.Insert("late", "of the table that stays")
	want := append(e.load.Want(), late.Want()...)
	e.Wait("the late row is there", 30*time.Second, func() (bool, string) {
		n := p.Metric("events_published_total", "table="+e.DB.Outbox())
		return n >= 1, ""
	})
	p.Stop()
	e.Check(want, check.ExactlyOnce)
}

// docs/operations.md, "Moving to another server or cluster", word for word.
func TestMovingToAnotherServerByUntilNow(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	l := (&harness.Load{Seed: harness.Seed(t), Aggregates: 50, Types: 2, Writers: 3, Rows: 2000, Keep: true}).Prepare(c)
	r := c.Follow(l.Topics()...)
	old := c.Start()
	l.Must(t) // and from here on the application does not write
	old.Stop()
	c.Run("--until=now").Want(0, extendWithin)
	before := l.Want()
	c.Arrived(r, len(before), 30*time.Second)

	// The new place has the data, and no row there has another id than it had.
	there := world(t, source(t))
	there.Type = c.Type
	m := (&harness.Load{Seed: harness.Seed(t) + 1, Aggregates: 50, Types: 2, Writers: 3, Rows: 2000}).Prepare(there)
	copyTable(t, c, there, "outbox", "id, aggregatetype, aggregateid, type, payload")
	copyTable(t, c, there, "expected", "id, topic, msgkey, seq, value")
	there.DB.Exec(t, "DELETE FROM aggregate")
	copyTable(t, c, there, "aggregate", "id, seq")
	p := there.Start("--snapshot=never")
	m.Must(t)
	want := m.Want()
	there.Arrived(r, len(want), extendWithin)
	c.Do(0, "teardown --yes", c.Flags()...)
	if n := c.DB.Slots(t); n != 0 {
		t.Errorf("the old place still has %d slots", n)
	}
	p.Stop()
	there.Check(want, check.ExactlyOnce)
}

// copyTable copies some columns of a table into another database.
func copyTable(t *testing.T, from, to *harness.Case, table, columns string) {
	t.Helper()
	rows, err := from.DB.SQL().Query("SELECT " + columns + " FROM " + table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := strings.Count(columns, ",") + 1
	tx, err := to.DB.SQL().BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() // Does nothing behind a commit.
	var places []string
	for i := range n {
		places = append(places, to.DB.Arg(i+1))
	}
	for rows.Next() {
		cells, to := make([]any, n), make([]any, n)
		for i := range cells {
			to[i] = &cells[i]
		}
		if err := rows.Scan(to...); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec("INSERT INTO "+table+" ("+columns+") VALUES ("+strings.Join(places, ", ")+")", cells...); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

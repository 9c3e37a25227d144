package e2e

import (
	"fmt"
	"math/rand"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// Somebody ends tailer's sessions on the server: the stream's, the lock's, or the one that asks questions. A
// second instance waits for the lock all the time and may get it.
func TestEndedSessionsLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	seed := harness.Seed(t)
	random := rand.New(rand.NewSource(seed))
	l := (&harness.Load{Seed: seed, Aggregates: 100, Types: 2, Writers: 3, Rows: 1 << 30, Largest: 1000,
		Pause: 3 * time.Millisecond}).Prepare(c)
	r := c.Follow(l.Topics()...)
	both := []*harness.Tailer{c.Start()}
	c.Sample()
	wait := l.Go()
	both = append(both, c.Run())
	c.Wait("the second stands by", 15*time.Second, func() (bool, string) { s := both[1].State(); return s == "standby", s })

	for i := range harness.Either(30, 6) {
		c.Arrived(r, r.IDs()+1+random.Intn(500), 30*time.Second)
		which := []harness.Sessions{harness.StreamSession, harness.LockSession, harness.AllSessions}[i%3]
		if n := c.DB.EndSessions(t, c.ID, which); n == 0 {
			t.Logf("round %d: nothing was there to be ended", i)
		}
	}
	c.Arrived(r, l.Committed(), 60*time.Second)
	wait(true)
	want := l.Want()
	c.Arrived(r, len(want), 60*time.Second)
	active := 0.0
	for _, p := range both {
		if !p.Running() {
			t.Errorf("tailer %d ended\n%s", p.PID(), p.Stderr())
			continue
		}
		active += p.Metric("active")
	}
	if active != 1 {
		t.Errorf("%v instances are active", active)
	}
	for _, p := range both {
		p.Stop()
	}
	c.Check(want, check.ExactlyOnce)
}

// A topic once seen and gone is not made again behind the operator's back: it may have had other settings.
func TestATopicThatVanishedIsWaitedFor(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	topic := harness.Topic(c.Type)
	c.Kafka.Create(t, topic, 2)
	book := c.Ledger()
	r := c.Follow(topic)
	p := c.Start()
	book.Insert("a", "lost with its topic")
	c.Arrived(r, 1, 20*time.Second)
	book.Forget(1)
	c.Kafka.Delete(t, topic)
	book.Insert("a", "one")
	c.Wait("it is unready", 30*time.Second, func() (bool, string) {
		code, body := p.Get("/readyz")
		return code == 503, fmt.Sprint(code, " ", body)
	})
	c.Holds("nobody makes the topic", 3*time.Second, func() (bool, string) {
		return len(c.Kafka.Topics(t, topic)) == 0, "it is there"
	})
	c.Kafka.Create(t, topic, 2)
	book.Insert("a", "two")
	again := c.Follow(topic)
	c.Arrived(again, 2, 60*time.Second)
	p.Stop()
	c.Check(book.Want(), check.ExactlyOnce)
}

// Partitions are counted anew at a batch's boundary. Order across the change is nobody's promise.
func TestAddedPartitionsAreUsed(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	topic := harness.Topic(c.Type)
	c.Kafka.Create(t, topic, 1)
	book := c.Ledger()
	r := c.Collect(topic)
	p := c.Start()
	book.Insert("a", "one partition")
	c.Arrived(r, 1, 20*time.Second)
	if _, err := c.Kafka.Admin.CreatePartitions(t.Context(), 7, topic); err != nil {
		t.Fatal(err)
	}
	used := map[int32]bool{}
	// The new count is noticed within the client's refresh of its metadata.
	c.Wait("new partitions are used", harness.Either(11*time.Minute, 30*time.Second), func() (bool, string) {
		for i := range 20 {
			book.Insert(fmt.Sprint("key-", i), "x")
		}
		c.Arrived(r, book.Len(), 20*time.Second)
		for _, record := range r.Records() {
			used[record.Partition] = true
		}
		return len(used) > 4, fmt.Sprint(used)
	})
	p.Stop()
	want := book.Want()
	for i := range want {
		want[i].Seq = 0
	}
	report := check.Compare(want, c.Kafka.Records(t, topic), nil, check.ExactlyOnce)
	if !report.Clean() {
		t.Fatal(report)
	}
}

// A transaction that has written to the outbox and does not end keeps the first start waiting, and nobody else for
// longer than the moment in which its lock is tried for.
func TestAnOpenWriterDelaysTheFirstStartAndNobodyElse(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	c.DB.Exec(t, "CREATE TABLE elsewhere (id int PRIMARY KEY)") // shows how long the machine itself takes
	book := c.Ledger()
	book.Insert("a", "before")
	tx, err := c.DB.SQL().Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() // Does nothing behind a commit.
	if _, err := tx.Exec("INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload) VALUES ('open', '" + c.Type +
		"', 'b', 'Changed', 'x')"); err != nil {
		t.Fatal(err)
	}
	r := c.Follow(harness.Topic(c.Type))
	p := c.Run()
	slowest, elsewhere, inserts := time.Duration(0), time.Duration(0), 0
	for begin := time.Now(); time.Since(begin) < harness.Either(30*time.Second, 5*time.Second); inserts++ {
		one := time.Now()
		book.Insert("a", "meanwhile")
		two := time.Now()
		c.DB.Exec(t, fmt.Sprintf("INSERT INTO elsewhere VALUES (%d)", inserts))
		slowest, elsewhere = max(slowest, two.Sub(one)), max(elsewhere, time.Since(two))
	}
	t.Logf("%d inserts beside the open one, the slowest in %v; elsewhere in %v", inserts, slowest, elsewhere)
	if slowest > time.Second+elsewhere {
		t.Errorf("an insert took %v", slowest)
	}
	if !p.Running() {
		t.Fatalf("tailer ended\n%s", p.Stderr())
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	book.Expect("open", c.Type, "b", "x")
	c.Ready(p)
	book.Insert("a", "afterwards")
	c.Arrived(r, book.Len(), 20*time.Second)
	p.Stop()
	want := book.Want()
	for i := range want {
		want[i].Seq = 0 // A snapshot's order is that of the ids.
	}
	c.Check(want, check.ExactlyOnce)
}

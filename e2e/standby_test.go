package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

func TestASecondInstanceStandsByAndTakesOver(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	book := c.Ledger()
	r := c.Follow(harness.Topic(c.Type))
	first := c.Start()
	c.Sample()
	book.Insert("a", "before")
	c.Arrived(r, 1, 10*time.Second)
	_, producer, epoch := c.Kafka.Transaction(t, c.ID)

	second := c.Run()
	c.Wait("the second stands by", 15*time.Second, func() (bool, string) {
		code, body := second.Get("/readyz")
		state := second.State()
		return code == 200 && state == "standby", fmt.Sprint(code, " ", body, " ", state)
	})
	if a := second.Metric("active"); a != 0 {
		t.Errorf("tailer_active of the second is %v", a)
	}
	if a := first.Metric("active"); a != 1 {
		t.Errorf("tailer_active of the first is %v", a)
	}

	// All this time the first one works and nobody touches its epoch.
	c.Holds("the first is left alone", harness.Either(60*time.Second, 15*time.Second), func() (bool, string) {
		id := book.Insert("a", "meanwhile")
		c.Wait("the row arrives", 10*time.Second, func() (bool, string) { return r.Has(id), id })
		_, p, e := c.Kafka.Transaction(t, c.ID)
		code, _ := second.Get("/readyz")
		state := second.State()
		return p == producer && e == epoch && first.State() != "retrying" && state == "standby" && code == 200,
			fmt.Sprintf("producer %d epoch %d, were %d and %d; first %s, second %s, ready %d", p, e, producer, epoch,
				first.State(), state, code)
	})

	begin := time.Now()
	first.Kill()
	id := book.Insert("a", "after")
	c.Wait("the second has taken over", 5*time.Second, func() (bool, string) { return r.Has(id), second.State() })
	t.Logf("taken over after %v", time.Since(begin))
	if a := second.Metric("active"); a != 1 {
		t.Errorf("tailer_active of the second is %v after the take-over", a)
	}
	second.Stop()
	c.Check(book.Want(), check.ExactlyOnce)
}

func TestTakeOverUnderLoadLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	l := (&harness.Load{Seed: harness.Seed(t), Aggregates: 100, Writers: 4, Rows: 1 << 30,
		Pause: 2 * time.Millisecond}).Prepare(c)
	r := c.Follow(l.Topics()...)
	active := c.Start()
	c.Sample()
	wait := l.Go()
	for range harness.Either(20, 3) {
		next := c.Run()
		c.Wait("the next stands by", 15*time.Second, func() (bool, string) { s := next.State(); return s == "standby", s })
		c.Arrived(r, r.IDs()+200, 20*time.Second)
		active.Kill()
		c.Wait("the next is active", 5*time.Second, func() (bool, string) {
			a := next.Metric("active")
			return a == 1, fmt.Sprint(a, " ", next.State())
		})
		active = next
	}
	wait(true)
	c.Arrived(r, len(l.Want()), 60*time.Second)
	active.Stop()
	c.Check(l.Want(), check.ExactlyOnce)
}

// A paused process keeps its lock and its connections, as one does whose host vanished: the servers hear nothing of it.
// Another takes over 25 s later at the latest. It fences the first before, so that what that one still had in hand when
// it wakes up comes to nothing.
func TestAPausedInstanceIsFenced(t *testing.T) {
	t.Parallel()
	if !harness.Full() {
		t.Skip("takes a minute: E2E_FULL=1")
	}
	c := world(t, source(t))
	l := (&harness.Load{Seed: harness.Seed(t), Aggregates: 50, Writers: 2, Rows: 1 << 30,
		Pause: 5 * time.Millisecond}).Prepare(c)
	r := c.Follow(l.Topics()...)
	first := c.Start()
	wait := l.Go()
	c.Arrived(r, 200, 20*time.Second)
	second := c.Run()
	c.Wait("the second stands by", 15*time.Second, func() (bool, string) { s := second.State(); return s == "standby", s })
	first.Signal(sigstop)
	begin := time.Now()
	c.Wait("the second has taken over", 60*time.Second, func() (bool, string) {
		return second.Metric("active") == 1, second.State()
	})
	if took := time.Since(begin); took > 25*time.Second {
		t.Errorf("it took %v\n%s", took, second.Stderr())
	} else {
		t.Logf("the second took over after %v", took.Round(time.Millisecond))
	}
	c.Arrived(r, r.IDs()+500, 30*time.Second)
	first.Signal(sigcont)
	c.Wait("the first has stepped back", 30*time.Second, func() (bool, string) {
		s := first.State()
		return s == "standby" || !first.Running(), s
	})
	wait(true)
	c.Arrived(r, len(l.Want()), 60*time.Second)
	second.Stop()
	c.Check(l.Want(), check.ExactlyOnce)
}

func TestTheSameNameOnAnotherDatabaseIsRefusedAndTheFirstNoticesNothing(t *testing.T) {
	t.Parallel()
	server := source(t)
	c := world(t, server)
	book := c.Ledger()
	r := c.Follow(harness.Topic(c.Type))
	first := c.Start()
	book.Insert("a", "one")
	c.Arrived(r, 1, 10*time.Second)
	_, producer, epoch := c.Kafka.Transaction(t, c.ID)
	restarts := first.Metric("pipeline_restarts_total")

	other := world(t, server)
	intruder := other.Run("--name=" + c.ID)
	intruder.Want(3, 20*time.Second)
	holds(t, "the refusal", intruder.Stderr(), c.ID, c.DB.Name(), other.DB.Name(), "tailer checkpoint reset")
	reset := other.Do(3, "checkpoint reset", flags(other, "--name="+c.ID)...)
	holds(t, "reset beside the first", reset.Stderr(), "is active with another database", c.DB.Name())

	_, p, e := c.Kafka.Transaction(t, c.ID)
	if p != producer || e != epoch {
		t.Errorf("producer %d epoch %d, were %d and %d", p, e, producer, epoch)
	}
	if n := first.Metric("pipeline_restarts_total"); n == n && n != restarts {
		t.Errorf("the first restarted: %v, was %v", n, restarts)
	}
	book.Insert("a", "two")
	c.Arrived(r, 2, 10*time.Second)
	first.Stop()
	c.Check(book.Want(), check.ExactlyOnce)
}

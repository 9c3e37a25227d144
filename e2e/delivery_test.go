package e2e

import (
	"math/rand"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

func alter(name, value string) []kadm.AlterConfig {
	return []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}
}

// At least once: copies are allowed after a crash, losses and a wrong order of first appearance are not.
func TestAtLeastOnceLosesAndReordersNothingThroughKill9(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]bool{"checkpoint topic": false, "checkpoint file": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := world(t, source(t))
			seed := harness.Seed(t)
			random := rand.New(rand.NewSource(seed))
			args := []string{"--delivery=at-least-once"}
			if file {
				args = append(args, "--checkpoint-file="+filepath.Join(t.TempDir(), "checkpoint"))
			}
			l := (&harness.Load{Seed: seed, Aggregates: 100, Types: 2, Writers: 4, Rows: 1 << 30, Largest: 2000,
				Pause: 2 * time.Millisecond}).Prepare(c)
			for _, topic := range l.Topics() {
				c.Kafka.Create(t, topic, 3)
			}
			r := c.Follow(l.Topics()...)
			p := c.Start(args...)
			wait := l.Go()
			for range harness.Either(20, 3) {
				c.Arrived(r, r.IDs()+1+random.Intn(2000), 60*time.Second)
				p.Kill()
				p = c.Run(args...)
			}
			wait(true)
			want := l.Want()
			c.Arrived(r, len(want), 60*time.Second)
			p.Stop()
			if topics := c.Kafka.Topics(t, c.Checkpoint()); file && len(topics) > 0 {
				t.Errorf("there is a checkpoint topic beside the file: %v", topics)
			}
			c.Check(want, check.AtLeastOnce)

			// Nothing happened since: a clean stop leaves nothing to be sent again.
			before := len(c.Kafka.Records(t, l.Topics()...))
			p = c.Start(args...)
			p.Stop()
			if after := len(c.Kafka.Records(t, l.Topics()...)); after != before {
				t.Errorf("%d records became %d by a restart", before, after)
			}
		})
	}
}

func TestAtLeastOnceThroughFaultsOfTheBroker(t *testing.T) {
	t.Parallel()
	f := newFaultCase(t)
	p := f.Start(through(f.proxy), "--delivery=at-least-once")
	f.wait = f.load.Go()
	for range 3 {
		for _, action := range actions {
			f.Arrived(f.read, f.load.Committed()+20, 20*time.Second)
			rule := f.proxy.Inject(0, 3, action)
			f.fires("Produce "+action.String(), rule)
			f.goesOn(30 * time.Second)
		}
	}
	f.proxy.Refuse()
	f.Wait("it is unready", 20*time.Second, func() (bool, string) {
		code, body := p.Get("/readyz")
		return code == 503, body
	})
	if err := f.proxy.Accept(); err != nil {
		t.Fatal(err)
	}
	f.goesOn(60 * time.Second)
	f.wait(true)
	want := f.load.Want()
	f.Arrived(f.read, len(want), 60*time.Second)
	if !p.Running() {
		t.Fatalf("tailer ended\n%s", p.Stderr())
	}
	p.Stop()
	f.Check(want, check.AtLeastOnce)
}

func TestUntilNowPublishesWhatIsThereAndEnds(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	book := c.Ledger()
	for range 100 {
		book.Insert("a", "snapshot")
	}
	for range 3 {
		c.Run("--until=now").Want(0, 30*time.Second)
		c.Check(book.Want(), check.ExactlyOnce)
		for range 100 {
			book.Insert("a", "streamed")
		}
	}
	c.Run("--until=now").Want(0, 30*time.Second)
	c.Check(book.Want(), check.ExactlyOnce)
}

func TestUntilAPositionPublishesNothingBeyond(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	book := c.Ledger()
	c.Start().Stop()
	book.Insert("a", "before")
	position, err := c.DB.End(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	book.Insert("a", "beyond")
	c.Run("--until="+position).Want(0, 30*time.Second)
	c.Check(book.Want()[:1], check.ExactlyOnce)
	if confirmed, ok, err := c.DB.Confirmed(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	} else if order, _ := c.DB.Compare(confirmed, position); ok && order > 0 {
		t.Errorf("confirmed %s is beyond %s", confirmed, position)
	}
	c.Run("--until=now").Want(0, 30*time.Second)
	c.Check(book.Want(), check.ExactlyOnce)
}

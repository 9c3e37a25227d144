package e2e

import (
	"math/rand"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// The core cases know a source only as a harness.Server: they run on every kind and version of server.
var core = []struct {
	name string
	run  func(*testing.T, harness.Server)
}{
	{"MixedLoad", mixedLoad},
	{"Kill9", kill9},
	{"Stop", stop},
	{"FirstStart", firstStart},
	{"CrashAtEveryStep", crashAtEveryStep},
	{"CrashAtEveryStepOfTheFirstStart", crashAtEveryFirstStep},
}

func TestMixedLoadIsPublishedExactlyOnceInOrder(t *testing.T) { t.Parallel(); mixedLoad(t, source(t)) }

func TestKill9LosesDoublesAndReordersNothing(t *testing.T) { t.Parallel(); kill9(t, source(t)) }

func TestStopIsQuickAndTheNextStartDoublesNothing(t *testing.T) { t.Parallel(); stop(t, source(t)) }

func TestFirstStartPublishesTheRowsThatAreThere(t *testing.T) { t.Parallel(); firstStart(t, source(t)) }

func TestCrashAtAnyStepLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	crashAtEveryStep(t, source(t))
}

func TestCrashAtAnyStepOfTheFirstStartLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	crashAtEveryFirstStep(t, source(t))
}

func mixedLoad(t *testing.T, server harness.Server) {
	c := world(t, server)
	l := (&harness.Load{Seed: harness.Seed(t), Aggregates: 1000, Types: 3, Writers: 8,
		Rows: harness.Either(100_000, 20_000), Big: []int{100_000}}).Prepare(c)
	for _, topic := range l.Topics() {
		c.Kafka.Create(t, topic, 4)
	}
	p := c.Start()
	c.Sample()
	r := c.Follow(l.Topics()...)
	l.Must(t)
	want := l.Want()
	c.Arrived(r, len(want), 60*time.Second)
	p.Counts(c, len(want), "events_published_total")
	p.Stop()
	c.Check(want, check.ExactlyOnce)
}

// kill9 kills at random moments while rows stream in, and starts again at once.
func kill9(t *testing.T, server harness.Server) {
	c := world(t, server)
	seed := harness.Seed(t)
	random := rand.New(rand.NewSource(seed))
	l := (&harness.Load{Seed: seed, Aggregates: 500, Types: 3, Writers: 4, Rows: 1 << 30, Largest: 2000}).Prepare(c)
	for _, topic := range l.Topics() {
		c.Kafka.Create(t, topic, 3)
	}
	r := c.Follow(l.Topics()...)
	p := c.Start()
	c.Sample()
	wait := l.Go()
	for range harness.Either(50, 3) {
		seen := r.IDs()
		c.Arrived(r, seen+1+random.Intn(3000), 60*time.Second)
		time.Sleep(time.Duration(random.Intn(100_000)) * time.Microsecond) // The moment is to be random.
		p.Kill()
		p = c.Run()
	}
	wait(true)
	want := l.Want()
	c.Arrived(r, len(want), 60*time.Second)
	p.Stop()
	c.Check(want, check.ExactlyOnce)
}

func stop(t *testing.T, server harness.Server) {
	c := world(t, server)
	l := (&harness.Load{Seed: harness.Seed(t), Aggregates: 200, Types: 2, Writers: 4, Rows: 1 << 30,
		Pause: 2 * time.Millisecond}).Prepare(c)
	r := c.Follow(l.Topics()...)
	p := c.Start()
	c.Sample()
	wait := l.Go()
	for range harness.Either(10, 3) {
		c.Arrived(r, r.IDs()+500, 30*time.Second)
		// The reader may still have been behind what the process before had published.
		c.Wait("the process answers", 30*time.Second, func() (bool, string) { s := p.State(); return s != "", s })
		p.Stop()
		p = c.Run()
	}
	wait(true)
	want := l.Want()
	c.Arrived(r, len(want), 60*time.Second)
	p.Stop()
	c.Check(want, check.ExactlyOnce)
}

func firstStart(t *testing.T, server harness.Server) {
	c := world(t, server)
	l := (&harness.Load{Seed: harness.Seed(t), Aggregates: 200, Types: 2, Writers: 4, Rows: 10_000, Keep: true}).Prepare(c)
	l.Must(t)
	l.Rows = 1 << 30
	r := c.Follow(l.Topics()...)
	wait := l.Go()
	p := c.Start()
	c.Sample()
	there := l.Committed()
	c.Arrived(r, there+1000, 60*time.Second) // More than the snapshot can hold: it streams.
	wait(true)
	want := l.Want()
	c.Arrived(r, len(want), 60*time.Second)
	p.Stop()
	c.Check(want, check.ExactlyOnce)
}

var startSteps = []string{"start.read", "start.locked", "start.fenced", "start.barrier", "start.proved"}

var commitSteps = []string{"commit.mapped", "commit.joined", "commit.produced", "commit.committed", "commit.confirmed"}

var firstSteps = []string{"first.publication", "first.phase", "first.slot", "first.produced", "first.committed"}

const sigkill = -9

// crashAtEveryStep goes through all steps in a row, each crash being the past of the next start.
func crashAtEveryStep(t *testing.T, server harness.Server) {
	harness.Faulty(t)
	c := world(t, server)
	l := (&harness.Load{Seed: harness.Seed(t), Aggregates: 100, Types: 2, Writers: 2, Rows: 1 << 30, Largest: 2000,
		Pause: 5 * time.Millisecond}).Prepare(c)
	r := c.Follow(l.Topics()...)
	c.Start().Stop() // The first start is another test's matter.
	c.Sample()
	wait := l.Go()
	for _, step := range startSteps {
		c.CrashAt(step, 1).Want(sigkill, 30*time.Second)
	}
	for i, step := range commitSteps {
		c.CrashAt(step, 1).Want(sigkill, 30*time.Second)
		c.CrashAt(step, 3+i).Want(sigkill, 30*time.Second)
	}
	p := c.Start()
	c.Arrived(r, l.Committed(), 60*time.Second)
	wait(true)
	want := l.Want()
	c.Arrived(r, len(want), 60*time.Second)
	p.Stop()
	c.Check(want, check.ExactlyOnce)
}

// crashAtEveryFirstStep crashes once at each step of a first start, and in one more case at all of them in a row.
func crashAtEveryFirstStep(t *testing.T, server harness.Server) {
	harness.Faulty(t)
	cases := map[string][]string{"in a row": firstSteps}
	for _, step := range firstSteps {
		cases[step] = []string{step}
	}
	for name, steps := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := world(t, server)
			l := (&harness.Load{Seed: harness.Seed(t), Aggregates: 50, Types: 2, Writers: 2, Rows: 2000, Keep: true}).Prepare(c)
			l.Must(t)
			l.Rows, l.Pause = 1<<30, 5*time.Millisecond
			r := c.Follow(l.Topics()...)
			wait := l.Go()
			for _, step := range steps {
				c.CrashAt(step, 1).Want(sigkill, 30*time.Second)
			}
			p := c.Start()
			c.Sample()
			c.Arrived(r, l.Committed(), 60*time.Second)
			wait(true)
			want := l.Want()
			c.Arrived(r, len(want), 60*time.Second)
			p.Stop()
			c.Check(want, check.ExactlyOnce)
		})
	}
}

package model

import (
	"os"
	"testing"
	"time"
)

// The history is one row that is there before the first start, a transaction
// of three rows that a batch of two rows cuts, and in the longer one another
// row behind it.
var (
	small = bounds{name: "a slot and a snapshot", instances: 2, faults: 1, sizes: []uint8{1, 3}, log: 1, limit: 2, anchor: true, snapshot: true}
	// longer has something in the log behind the cut transaction.
	longer      = small.but("a longer history", func(b *bounds) { b.sizes = []uint8{1, 3, 1} })
	failingOver = longer.but("failover in a longer history", func(b *bounds) { b.failover = true })
	failingSoon = small.but("failover", func(b *bounds) { b.failover = true })
	// adding begins with a checkpoint that does not know the added table.
	adding    = small.but("a table is added", func(b *bounds) { b.added = true })
	twoFaults = small.but("two faults", func(b *bounds) { b.faults = 2 })
)

func (b bounds) but(name string, change func(*bounds)) bounds {
	b.name = name
	change(&b)
	return b
}

// boundsOf lists what is explored: in full when E2E_FULL is set, as make
// test-full does.
func boundsOf() []bounds {
	all := []bounds{
		small,
		small.but("a snapshot without a slot", func(b *bounds) { b.anchor = false }),
		small.but("a slot without a snapshot", func(b *bounds) { b.snapshot = false }),
		failingSoon,
		adding,
		twoFaults,
	}
	if os.Getenv("E2E_FULL") == "" {
		return all
	}
	return append(all,
		twoFaults.but("two faults without a slot", func(b *bounds) { b.anchor = false }),
		twoFaults.but("two faults without a snapshot", func(b *bounds) { b.snapshot = false }),
		twoFaults.but("two faults in a longer history", func(b *bounds) { b.sizes = longer.sizes }),
		twoFaults.but("failover and another fault", func(b *bounds) { b.failover = true }),
		adding.but("a table is added, and two faults", func(b *bounds) { b.faults = 2 }),
		adding.but("a table is added without a slot", func(b *bounds) { b.anchor = false }),
		small.but("three faults", func(b *bounds) { b.faults = 3 }),
		small.but("three instances", func(b *bounds) { b.instances, b.faults = 3, 0 }),
		failingOver,
		failingOver.but("failover without a slot", func(b *bounds) { b.anchor = false }),
	)
}

func TestProtocol(t *testing.T) {
	skipUnderRace(t)
	for _, b := range boundsOf() {
		t.Run(b.name, func(t *testing.T) {
			began := time.Now()
			x := explore(b, none, "")
			if x.bad != "" {
				t.Fatal(x)
			}
			t.Logf("%d states, %d transitions, everything holds; %.1f s", len(x.states), x.transitions, time.Since(began).Seconds())
		})
	}
}

// skipUnderRace leaves the searches to a run of their own, as make test has.
func skipUnderRace(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("the race detector makes a search ten times slower, and it is one goroutine: run go test ./internal/model without -race")
	}
}

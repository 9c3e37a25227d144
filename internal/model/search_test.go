package model

import (
	"fmt"
	"hash/maphash"
	"strings"

	"github.com/tailer-io/tailer/internal/pipeline"
)

// The guarantees, as a counterexample names them. Those that a state can break
// at once are noted where it happens; the last two are seen here.
const (
	publishedTwice   = "a row is published twice"
	rowsLost         = "rows are skipped: lost, or out of order"
	skippedElsewhere = "rows are skipped for those of a transaction that the database has lost"
	confirmLeads     = "the confirmed position leads the checkpoint"
	committedFenced  = "an instance committed after another one had fenced it"
	evictedUnfenced  = "an instance was evicted that could still commit"
	twoActive        = "two instances are active though no lock was lost"
	stuck            = "rows will never be published, and nothing was lost that would be a reason"
)

// bounds are what a search explores.
type bounds struct {
	name      string
	instances int
	faults    uint8   // how many things may go wrong
	sizes     []uint8 // rows of each transaction of the history
	log       uint8   // transactions that are there at the begin
	limit     uint8   // rows of a batch
	anchor    bool    // the database keeps its log for a slot (PostgreSQL)
	snapshot  bool    // --snapshot initial
	failover  bool    // is among the faults
	added     bool    // a second table, with a row in each transaction, was added to the configuration
}

// search explores every state that can be reached.
type search struct {
	world
	seed   maphash.Seed
	states []state
	parent []int32
	table  []int32 // open addressing: index+1 of the state
	// The edges that are no faults, for what must stay reachable: those of
	// state n are edges[first[n]:first[n+1]].
	first []int32
	edges []int32

	// only is the one guarantee that is looked at; "" for all.
	only string

	transitions int
	steps       map[pipeline.Step]bool // reached with a crash still to be had
	bad         string                 // what is broken
	trace       []action               // how, by the shortest way
}

// explore runs the search to its end, or to the first counterexample, one to
// the guarantee only if that is not "".
func explore(b bounds, m mutant, only string) *search {
	x := &search{world: world{bounds: b, mutant: m}, only: only, seed: maphash.MakeSeed(), table: make([]int32, 1<<16), steps: make(map[pipeline.Step]bool)}
	x.add(x.begin(), -1)
	for n := 0; n < len(x.states) && x.bad == ""; n++ {
		x.first = append(x.first, int32(len(x.edges)))
		x.expand(n)
	}
	x.first = append(x.first, int32(len(x.edges)))
	if x.bad == "" && (only == "" || only == stuck) {
		x.progress()
	}
	return x
}

// begin is before any instance has started.
func (x *search) begin() state {
	s := state{faults: x.faults, log: x.log, slot: -1, holder: -1, reading: -1, fencer: -1, brings: -1}
	if x.added {
		x.streamed(&s)
	}
	return s
}

// follow emits all that can follow from s.
func (x *search) follow(s *state) {
	x.servers(s)
	for i := range x.instances {
		x.instance(s, int8(i))
	}
}

// judge says what is broken by an action, "" for nothing.
func (x *search) judge(a action, next *state) string {
	if a.bad == "" && x.active(next) > 1 {
		a.bad = twoActive
	}
	if x.only != "" && a.bad != x.only {
		return ""
	}
	return a.bad
}

// expand finds what follows from state n.
func (x *search) expand(n int) {
	s := x.states[n]
	x.emit = func(a action, next state) {
		if x.bad != "" {
			return
		}
		x.transitions++
		if bad := x.judge(a, &next); bad != "" {
			x.bad = bad
			x.path(n)
			return
		}
		if a.step != "" && next.faults > 0 {
			x.steps[a.step] = true
		}
		to := x.add(next, int32(n))
		if !a.fault {
			x.edges = append(x.edges, to)
		}
	}
	x.follow(&s)
}

// active counts the instances behind the lock, as long as it keeps its word.
func (x *search) active(s *state) int {
	n := 0
	for i := range s.in {
		if s.in[i].pc >= atLocked && !s.split {
			n++
		}
	}
	return n
}

// add gives the state's index, a new one if it was not seen before.
func (x *search) add(s state, parent int32) int32 {
	if 2*len(x.states) > len(x.table) {
		x.grow()
	}
	s, hash := s.canonical(x.seed, x.instances)
	at := x.place(&s, hash)
	if n := x.table[at]; n > 0 {
		return n - 1
	}
	x.states, x.parent = append(x.states, s), append(x.parent, parent)
	x.table[at] = int32(len(x.states))
	return x.table[at] - 1
}

// place is where in the table s is, or belongs.
func (x *search) place(s *state, hash uint64) uint64 {
	mask := uint64(len(x.table) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		if n := x.table[at]; n == 0 || x.states[n-1] == *s {
			return at
		}
	}
}

func (x *search) grow() {
	x.table = make([]int32, 4*len(x.table))
	for n := range x.states {
		x.table[x.place(&x.states[n], maphash.Comparable(x.seed, x.states[n]))] = int32(n + 1)
	}
}

// progress holds that whatever has happened, without further faults
// everything can still be published, unless the failover lost what the
// checkpoint stands on: from no state is that out of reach.
func (x *search) progress() {
	reach := x.backwards(x.goal)
	for n := range x.states {
		if !reach[n] {
			x.bad = stuck
			x.path(n)
			return
		}
	}
}

func (x *search) goal(s *state) bool {
	return s.log == x.whole() && s.published == x.row(x.whole(), 0) && !s.beyond && (!x.added || s.added == s.log) || s.lost(s.rec)
}

// backwards marks the states from which ok can be reached without a fault.
func (x *search) backwards(ok func(*state) bool) []bool {
	into := make([]int32, len(x.states)+1) // edges into each state, then where they begin
	for _, to := range x.edges {
		into[to]++
	}
	sum := int32(0)
	for n := range into {
		sum, into[n] = sum+into[n], sum
	}
	from := make([]int32, len(x.edges))
	for n := range x.states {
		for _, to := range x.edges[x.first[n]:x.first[n+1]] {
			from[into[to]] = int32(n)
			into[to]++
		}
	}
	reach := make([]bool, len(x.states))
	var work []int32
	for n := range x.states {
		if ok(&x.states[n]) {
			reach[n], work = true, append(work, int32(n))
		}
	}
	for len(work) > 0 {
		n := work[len(work)-1]
		work = work[:len(work)-1]
		low := int32(0)
		if n > 0 {
			low = into[n-1] // each begin has moved to the next one's
		}
		for _, f := range from[low:into[n]] {
			if !reach[f] {
				reach[f], work = true, append(work, f)
			}
		}
	}
	return reach
}

// path finds how state n is reached, by as few actions as possible, and what
// is broken there. The states are kept under other names of the instances:
// the way is gone once more with their own.
func (x *search) path(n int) {
	chain := []int{n}
	for x.parent[chain[len(chain)-1]] >= 0 {
		chain = append(chain, int(x.parent[chain[len(chain)-1]]))
	}
	s := x.begin()
	for k := len(chain) - 2; k >= 0; k-- {
		a, next := x.find(s, func(_ action, next *state) bool {
			c, _ := next.canonical(x.seed, x.instances)
			return c == x.states[chain[k]]
		})
		x.trace, s = append(x.trace, a), next
	}
	if x.bad != stuck {
		a, _ := x.find(s, func(a action, next *state) bool { return x.judge(a, next) == x.bad })
		x.trace = append(x.trace, a)
	}
}

// find is the first action from s that ok is true for.
func (x *search) find(s state, ok func(action, *state) bool) (found action, to state) {
	x.emit = func(a action, next state) {
		if found.text == "" && ok(a, &next) {
			found, to = a, next
		}
	}
	x.follow(&s)
	return found, to
}

// String is the counterexample, for people.
func (x *search) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", x.name, x.bad)
	for n, a := range x.trace {
		fmt.Fprintf(&b, "%4d  %s\n", n+1, a)
	}
	return b.String()
}

package model

import (
	"fmt"
	"hash/maphash"
	"strings"
)

// most is the greatest number of instances.
const most = 3

// phase is checkpoint.Phase.
type phase uint8

const (
	noRecord phase = iota
	snapshotPhase
	streamingPhase
)

// record is a checkpoint: everything up to transaction pos is published, and
// of the next one the first open rows.
type record struct {
	phase phase
	pos   uint8
	open  uint8
	// gen is the lineage, and the identity of the transaction open is of.
	gen uint8
	// all says that the list holds the table that was added.
	all bool
	// by is the instance that wrote it, from 1; 0 for a process that is gone.
	by uint8
}

func (r record) String() string {
	switch r.phase {
	case noRecord:
		return "none"
	case snapshotPhase:
		return fmt.Sprintf("phase snapshot by %s", who(int8(r.by)-1))
	}
	text := fmt.Sprintf("%d", r.pos)
	if r.open > 0 {
		text += fmt.Sprintf(" and %d rows of %d", r.open, r.pos+1)
	}
	if r.all {
		text += ", of all tables"
	}
	return text + strings.Repeat("'", int(r.gen))
}

// same is checkpoint.Record.SameResume.
func (r record) same(o record) bool {
	r.by, o.by = 0, 0
	return r == o
}

// txn is a Kafka transaction that is open.
type txn struct {
	joined bool // the coordinator knows its partitions
	// What was produced to it: rows [from, to) of the history, and records.
	from, to uint8
	gen      uint8
	rec      record
	// And the added table's rows of transactions [added, upTo).
	added, upTo uint8
	late        bool // its EndTxn is under way though nobody waits for the answer
	twice       bool // the same rows were produced twice
}

// pc is where an instance is: what it did last.
type pc uint8

const (
	down pc = iota
	refused
	up // connected
	atRead
	standby
	atLocked
	fencing // about to fence, for what its mode says
	atFenced
	atBarred
	final         // the record up to the barrier is read
	evicted       // the former holder's sessions are ended
	publishing    // a first start begins
	atPublication // whether the slot exists is known, too
	atPhase
	dropped
	keeping // about to commit the record to stream from, without a snapshot
	begun   // the snapshot's transaction may be filled
	atFirstProduced
	proving
	atProved
	extending  // the added table is published
	atCaughtUp // the log was read up to its end, with the old list
	atView     // the added table's snapshot is open
	streaming
	atMapped
	atJoined
	atProduced
	atCommitted
	doubt // a sink error: what came of the batch?
	doubtLocked
	abandon // the snapshot failed
)

// mode says what an instance fences for.
type mode uint8

const (
	forStart mode = iota
	forSnapshot
	forStream // after the snapshot
	forDoubt
	forEnd // abandon: nothing follows
	forExtend
)

// instance is one process (or its place, while it is down).
type instance struct {
	pc     pc
	mode   mode
	force  bool
	exists bool // what the source said of the slot
	epoch  bool // its producer's epoch is the newest
	fenced bool // it has fenced since it gave up waiting for the lock
	snap   bool // its snapshot's session lives
	stream bool // its reading connection lives
	memo   bool // what a mutant remembers
	own    bool // last is of this very process, where a table is added

	got  record // what was read last
	last record // what is committed, as far as it knows
	next record // what the batch in hand makes of it
	rd   record // where reading goes on
	from uint8  // the batch in hand
	to   uint8
	gen  uint8 // of the history it reads
	view uint8 // what the snapshot shows
}

// state is everything, instances and servers. It is comparable: two that are
// equal behave the same.
type state struct {
	in [most]instance
	tx [most]txn

	// The broker.
	rec, vrec record // newest committed; and as far as the markers are written
	bar, vbar uint8  // who wrote the newest barrier, from 1; the same
	lag       bool   // markers are missing
	published uint8  // rows, a prefix of the history
	beyond    bool   // of these, some that a failover lost
	added     uint8  // transactions whose row in the added table is published

	// The database.
	log     uint8 // transactions
	gen     uint8 // 1 after the failover
	cut     uint8 // what the failover kept
	slot    int8  // confirmed position, -1 for none
	blind   bool  // the slot is older than the publication
	pub     bool
	brings  int8 // transactions before which the added table was not published; -1: it never was
	holder  int8 // of the lock; -1 for nobody, gone for a session without process
	reading int8 // of the slot; -1 for nobody

	faults uint8 // that may still happen
	// Ghosts: nobody in the model sees them.
	fencer int8 // who fenced last; -1 when the coordinator bumped the epoch
	split  bool // a lock was lost, or not waited for
}

const gone = int8(most)

func who(i int8) string {
	switch {
	case i < 0:
		return "nobody"
	case i >= gone:
		return "a process that is gone"
	}
	return string(rune('A' + i))
}

// restart is the end of a session: every connection is closed, the process
// starts again from nothing. Its transaction, if any, stays open.
func (s *state) restart(i int8) {
	s.release(i)
	in := &s.in[i]
	*in = instance{pc: up, gen: s.gen, epoch: in.epoch}
}

// refuse ends the process; its supervisor may start it again.
func (s *state) refuse(i int8) {
	s.kill(i)
	s.in[i].pc = refused
	if s.holder == gone {
		s.holder = -1 // it closed its sessions
	}
}

// kill ends a process at once. The server may think for a while that its
// session lives.
func (s *state) kill(i int8) {
	if s.holder == i {
		s.holder = gone
	}
	if s.reading == i {
		s.reading = -1
	}
	s.in[i] = instance{}
	if !s.tx[i].late {
		s.tx[i] = txn{} // nobody can end it but the one who fences next: as good as aborted
	}
	// Its records are now those of somebody else: the next process in this
	// place has another name.
	by := []*uint8{&s.rec.by, &s.vrec.by, &s.tx[i].rec.by, &s.bar, &s.vbar}
	for j := range s.in {
		by = append(by, &s.in[j].got.by)
	}
	for _, b := range by {
		if *b == uint8(i)+1 {
			*b = 0
		}
	}
}

// release closes the sessions with the source.
func (s *state) release(i int8) {
	if s.holder == i {
		s.holder = -1
	}
	if s.reading == i {
		s.reading = -1
	}
}

// permute gives the same state with the instances named otherwise.
func (s *state) permute(to [most]int8) state {
	n := *s
	name := func(i int8) int8 {
		if i < 0 || i >= gone {
			return i
		}
		return to[i]
	}
	by := func(b uint8) uint8 { return uint8(name(int8(b)-1) + 1) }
	n.holder, n.reading, n.fencer = name(s.holder), name(s.reading), name(s.fencer)
	n.bar, n.vbar, n.rec.by, n.vrec.by = by(s.bar), by(s.vbar), by(s.rec.by), by(s.vrec.by)
	for i := range s.in {
		n.in[to[i]], n.tx[to[i]] = s.in[i], s.tx[i]
		n.in[to[i]].got.by, n.tx[to[i]].rec.by = by(s.in[i].got.by), by(s.tx[i].rec.by)
	}
	return n
}

// canonical names the instances so that states that differ in their names only
// become the same one.
func (s *state) canonical(seed maphash.Seed, instances int) (state, uint64) {
	best, least := *s, maphash.Comparable(seed, *s)
	for _, to := range [][most]int8{{1, 0, 2}, {0, 2, 1}, {2, 1, 0}, {1, 2, 0}, {2, 0, 1}} {
		if instances == 2 && to[2] != 2 {
			break
		}
		n := s.permute(to)
		if h := maphash.Comparable(seed, n); h < least {
			best, least = n, h
		}
	}
	return best, least
}

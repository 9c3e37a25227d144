package model

import "github.com/tailer-io/tailer/internal/pipeline"

const stepMapped = pipeline.StepMapped

// instance emits what instance i may do next.
func (w *world) instance(s *state, i int8) {
	in := &s.in[i]
	restart := func(n *state) { n.restart(i) }
	to := func(p pc) func(*state) { return func(n *state) { n.in[i].pc = p } }
	switch in.pc {
	case down, refused:
		w.do(s, i, "starts", "", restart)
	case up:
		w.do(s, i, "reads the checkpoint without a producer: "+s.seen().String(), pipeline.StepRead, func(n *state) {
			n.in[i].got, n.in[i].pc = w.remembered(n.seen()), atRead
		})
	case atRead, standby:
		w.lock(s, i)
	case atLocked:
		w.ready(s, i)
	case fencing:
		w.fence(s, i, to(atFenced), func(n *state) { w.unfenced(n, i) })
	case atFenced:
		w.barrier(s, i)
	case atBarred:
		if !s.lag { // else the barrier is not to be seen yet
			w.barred(s, i)
		}
	case final:
		w.former(s, i)
	case evicted:
		if s.holder == -1 {
			w.do(s, i, "takes the former instance's lock", "", func(n *state) {
				n.holder = i
				w.decide(n, i)
			})
		} else {
			w.do(s, i, "sees the lock taken by a rival", "", restart)
		}
	case proving:
		w.prove(s, i)
	case atProved:
		if w.added && !in.last.all {
			w.publishAdded(s, i)
			return
		}
		if w.anchor && s.slot < 0 || s.blind || in.gen != s.gen && w.mutant != anyServer {
			w.do(s, i, "cannot open the log", "", restart)
		} else {
			w.do(s, i, "opens the log", "", func(n *state) { w.open(n, i) })
		}
	case extending, atCaughtUp, atView:
		w.extend(s, i)
	case streaming, atMapped, atJoined, atProduced, atCommitted:
		w.stream(s, i)
	case doubt, doubtLocked:
		w.recover(s, i)
	default:
		w.first(s, i)
	}
	if in.pc != down && in.pc != refused {
		w.fail(s, i, "is killed", func(n *state) { n.kill(i) })
	}
}

// lock is standby.go: take the lock, stand by, or take over from a holder that
// shows no life.
func (w *world) lock(s *state, i int8) {
	if s.holder == -1 || w.mutant == noLock {
		w.do(s, i, "takes the lock", pipeline.StepLocked, func(n *state) {
			n.holder = i
			n.in[i].pc = atLocked
		})
		return
	}
	if s.in[i].pc == atRead {
		w.do(s, i, "stands by", "", func(n *state) { n.in[i].pc, n.in[i].got = standby, record{} })
		return
	}
	// Whoever holds the lock may be silent for so long, but never in its
	// first start.
	if r := s.seen(); r.phase == streamingPhase {
		w.do(s, i, "waits no longer for "+who(s.holder), pipeline.StepLocked, func(n *state) {
			n.in[i].pc, n.in[i].force, n.in[i].got, n.split = atLocked, true, w.remembered(r), true
		})
	}
}

// ready is what is asked before fencing: may this be a first start?
func (w *world) ready(s *state, i int8) {
	got := s.in[i].got
	if got.phase == noRecord {
		got = s.seen() // it may have been written while we stood by
	}
	switch {
	case got.phase == noRecord && s.slot >= 0 && w.snapshot:
		w.do(s, i, "refuses: a slot without a record", "", func(n *state) { n.refuse(i) })
	case w.mutant == evictFirst && s.in[i].force:
		w.do(s, i, "ends the sessions of the former instance", "", func(n *state) {
			w.evict(n, i)
			n.in[i].pc, n.in[i].mode, n.in[i].got = fencing, forStart, record{}
		})
	default:
		w.do(s, i, "may start", "", func(n *state) {
			n.in[i].pc, n.in[i].mode, n.in[i].got = fencing, forStart, record{}
			if w.mutant == believedBefore {
				n.in[i].got = got
			}
		})
	}
}

// remembered is what an instance keeps of a record read before fencing:
// whether there was one.
func (w *world) remembered(r record) record {
	if w.mutant == believedBefore {
		return r
	}
	return record{phase: r.phase}
}

// unfenced is what follows when fencing, or the barrier, has failed.
func (w *world) unfenced(s *state, i int8) {
	switch s.in[i].mode {
	case forDoubt:
		s.in[i].pc = doubt
	case forSnapshot, forExtend:
		s.in[i].pc = abandon
	default:
		s.restart(i)
	}
}

// barrier writes the record behind which everything is final, and reads what
// stands before it.
func (w *world) barrier(s *state, i int8) {
	in := &s.in[i]
	failed := func(n *state) { w.unfenced(n, i) }
	switch {
	case in.mode == forEnd && w.mutant == haltUnread && in.memo:
		w.write(s, i, "commits the record of phase snapshot again, with the row it halted at", "", func(n *state) {
			n.rec = record{phase: snapshotPhase, by: uint8(i) + 1}
		}, func(n *state) { n.refuse(i) }, failed)
		return
	case in.mode == forEnd:
		w.do(s, i, "starts again", "", func(n *state) { n.restart(i) })
		return
	case in.mode == forSnapshot && w.mutant == snapshotUnread, in.mode == forExtend && w.mutant == extendUnread:
		w.do(s, i, "goes on", "", func(n *state) { n.in[i].pc = begun })
		return
	case in.mode == forDoubt && w.mutant == takenAborted:
		w.do(s, i, "sends the batch again", stepMapped, func(n *state) { n.in[i].pc = atMapped })
		return
	}
	w.write(s, i, "commits the barrier", pipeline.StepBarred, func(n *state) { n.bar = uint8(i) + 1 }, func(n *state) {
		n.in[i].pc = atBarred
		if w.mutant != believedBefore || in.mode != forStart {
			n.in[i].got = n.rec
		}
	}, failed)
}

// barred is what is done with the record before the barrier.
func (w *world) barred(s *state, i int8) {
	in := &s.in[i]
	got := in.got
	w.do(s, i, "reads the checkpoint up to the barrier: "+got.String(), "", func(n *state) {
		in := &n.in[i]
		in.got = record{}
		switch in.mode {
		case forStart:
			in.got, in.pc = got, final
			if !in.force {
				w.decide(n, i)
			}
		case forSnapshot:
			in.pc = abandon
			if w.mutant == noPhase || got.phase == snapshotPhase && (got.by == uint8(i)+1 || w.mutant == anyPhase) {
				in.pc = begun
			}
		case forExtend:
			in.pc = abandon
			if got.same(in.last) && got.by == uint8(i)+1 {
				in.pc = begun
			}
		case forStream:
			if !got.same(in.last) && w.mutant != firstUncompared {
				n.restart(i)
				return
			}
			in.pc, in.mode = proving, forStart
		case forDoubt:
			w.compare(n, i, got)
		}
	})
}

// former ends the sessions of a holder that was silent, and decides.
func (w *world) former(s *state, i int8) {
	w.do(s, i, "ends the sessions of the former instance", "", func(n *state) {
		if w.mutant != evictFirst {
			w.evict(n, i)
		}
		n.in[i].pc = evicted
	})
}

// decide between a first start and one that goes on.
func (w *world) decide(s *state, i int8) {
	in := &s.in[i]
	got := in.got
	in.got, in.force, in.fenced = record{}, false, false
	if got.phase == streamingPhase {
		in.last, in.pc = got, proving
		in.last.by = 0
		return
	}
	if got.phase == noRecord && s.slot >= 0 && w.snapshot {
		s.refuse(i)
		return
	}
	in.pc = publishing
}

// prove compares the checkpoint with the server.
func (w *world) prove(s *state, i int8) {
	r := s.in[i].last
	if s.in[i].gen != s.gen {
		w.do(s, i, "has lost its session", "", func(n *state) { n.restart(i) })
		return
	}
	ok := r.pos <= s.log && (!w.anchor || s.slot >= 0 && s.slot <= int8(r.pos)) && (r.gen == s.gen || r.pos <= s.cut)
	if !ok && w.mutant != noProof {
		w.do(s, i, "refuses: the log does not continue at "+r.String(), "", func(n *state) { n.refuse(i) })
		return
	}
	w.do(s, i, "has proven that the log continues at "+r.String(), pipeline.StepProved, func(n *state) { n.in[i].pc = atProved })
}

package model

import "github.com/tailer-io/tailer/internal/pipeline"

// stream is commit.go, and what ends a session or the process.
func (w *world) stream(s *state, i int8) {
	in := &s.in[i]
	inDoubt := func(n *state) { n.in[i].pc = doubt }
	switch in.pc {
	case streaming:
		w.idle(s, i)
	case atMapped:
		switch {
		case w.mutant == confirmFirst && !in.memo:
			w.do(s, i, "confirms the position", pipeline.StepConfirmed, func(n *state) {
				n.in[i].memo = true
				w.confirm(n, i, in.next.pos)
			})
			return
		case w.mutant == checkpointFirst && !in.memo:
			w.checkpointApart(s, i, "", func(n *state) { n.in[i].memo = true })
			return
		}
		w.call(s, i, "joins the partitions", pipeline.StepJoined, func(n *state) {
			if w.mutant != joinRemembered || !in.memo {
				n.tx[i].joined = true
			}
		}, func(n *state) { n.in[i].pc = atJoined }, inDoubt)
	case atJoined:
		w.produce(s, i)
	case atProduced:
		w.commit(s, i)
	case atCommitted:
		if w.mutant == checkpointApart && !in.memo {
			w.checkpointApart(s, i, "", func(n *state) { n.in[i].memo = true })
			return
		}
		w.do(s, i, "confirms the position", pipeline.StepConfirmed, func(n *state) {
			pos := n.in[i].last.pos
			if n.in[i].last.open > 0 && w.mutant == confirmInside {
				pos++
			}
			w.confirm(n, i, pos)
			n.in[i].pc = streaming
			if w.mutant != joinRemembered {
				n.in[i].memo = false
			}
		})
	}
}

// idle is between two batches.
func (w *world) idle(s *state, i int8) {
	in := &s.in[i]
	if !in.stream {
		w.do(s, i, "has lost its reading connection", "", func(n *state) { n.restart(i) })
		return
	}
	if w.added && !in.last.all && w.endsHere(s, i) {
		return
	}
	w.batches(s, i, func(n *state, next record, from, to uint8) {
		in := &n.in[i]
		in.next, in.from, in.to, in.pc = next, from, to, atMapped
		switch {
		case w.mutant == noOpen:
			in.next.open = 0
		case w.mutant == openWhole && next.open > 0:
			in.next.open, in.next.pos = 0, next.pos+1
		}
	})
	w.fail(s, i, "stops as it should", func(n *state) {
		pos := n.in[i].last.pos
		if w.mutant == confirmRead {
			pos = n.log
		}
		w.confirm(n, i, pos)
		n.release(i)
		n.kill(i)
	})
}

func (w *world) produce(s *state, i int8) {
	in := &s.in[i]
	put := func(n *state) {
		t := &n.tx[i]
		t.twice = t.twice || t.to > t.from && in.to > in.from && in.from != t.to
		if t.from == t.to {
			t.from = in.from
		}
		t.to, t.gen = in.to, in.gen
		if w.mutant != checkpointApart && w.mutant != checkpointFirst {
			t.rec = in.next
			t.rec.by = uint8(i) + 1
		}
		w.joinAdded(n, i)
	}
	w.call(s, i, "produces", pipeline.StepProduced, put, func(n *state) { n.in[i].pc = atProduced }, func(n *state) {
		n.in[i].pc = doubt
		if w.mutant == errorIgnored && n.in[i].epoch && n.tx[i].from == n.tx[i].to {
			n.tx[i].rec, n.in[i].pc = in.next, atProduced // the record's partition has acknowledged
		}
	})
}

// commit is EndTxn. Its outcome is unknown when there is no answer: done, not
// done, or done later.
func (w *world) commit(s *state, i int8) {
	committed := func(n *state) { w.committed(n, i) }
	inDoubt := func(n *state) {
		n.in[i].pc = doubt
		if w.mutant == takenCommitted {
			w.committed(n, i)
		}
	}
	w.call(s, i, "ends the transaction", pipeline.StepCommitted, func(n *state) { w.end(n, i) }, committed, inDoubt)
	if s.in[i].epoch && !s.lag {
		w.fail(s, i, "ends the transaction: the request is late", func(n *state) {
			n.tx[i].late = true
			inDoubt(n)
		})
	}
}

// committed is what is known once a batch is committed.
func (w *world) committed(s *state, i int8) {
	in := &s.in[i]
	in.last, in.rd = in.next, in.next
	in.own = w.added && !in.last.all
	if w.mutant == noOpen || w.mutant == openWhole {
		in.rd = w.after(in)
	}
	in.next, in.from, in.to, in.pc = record{}, 0, 0, atCommitted
	in.memo = w.mutant == joinRemembered
}

// after is where reading goes on behind the batch in hand, whatever a mutant's
// record says.
func (w *world) after(in *instance) record {
	r := in.next
	r.pos, r.open = 0, in.to
	for r.pos < w.whole() && r.open >= w.sizes[r.pos] {
		r.open -= w.sizes[r.pos]
		r.pos++
	}
	return r
}

// checkpointApart is a mutant's own transaction for the checkpoint.
func (w *world) checkpointApart(s *state, i int8, step pipeline.Step, then func(*state)) {
	rec := s.in[i].last
	if s.in[i].pc == atMapped {
		rec = s.in[i].next
	}
	rec.by = uint8(i) + 1
	w.write(s, i, "commits the checkpoint by itself", step, func(n *state) { n.rec = rec }, then, func(n *state) { n.restart(i) })
}

// recover is recover.go, up to fencing.
func (w *world) recover(s *state, i int8) {
	restart := func(n *state) { n.restart(i) }
	fence := func(n *state) { n.in[i].pc, n.in[i].mode = fencing, forDoubt }
	switch {
	case s.in[i].pc == doubt && s.holder != i && w.mutant != noLock:
		w.do(s, i, "has lost the lock", "", restart)
	case s.in[i].pc == doubt:
		w.do(s, i, "still has the lock", "", func(n *state) { n.in[i].pc = doubtLocked })
	case s.seenBarrier() != uint8(i)+1:
		w.do(s, i, "sees the barrier of a rival", "", restart)
	case w.mutant == doubtUnfenced:
		got := s.seen()
		w.do(s, i, "reads the checkpoint: "+got.String(), "", func(n *state) { w.compare(n, i, got) })
	default:
		w.do(s, i, "sees no barrier of a rival", "", fence)
	}
}

// compare tells from the checkpoint what came of the batch in doubt.
func (w *world) compare(s *state, i int8, got record) {
	in := &s.in[i]
	in.mode = forStart
	switch {
	case got.same(in.next):
		w.committed(s, i)
	case got.same(in.last) || w.mutant == divergedResent:
		in.pc = atMapped // the whole batch once more
	default:
		s.restart(i)
	}
}

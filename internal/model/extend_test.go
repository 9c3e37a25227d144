package model

import "github.com/tailer-io/tailer/internal/pipeline"

// streamed is a name that has published everything that there is of the old
// table, and does not know the added one.
func (w *world) streamed(s *state) {
	s.rec = record{phase: streamingPhase, pos: s.log}
	s.published, s.pub, s.slot = w.row(s.log, 0), true, -1
	if w.anchor {
		s.slot = int8(s.log)
	}
}

// publishAdded makes the log bring the added table's rows.
func (w *world) publishAdded(s *state, i int8) {
	if s.in[i].gen != s.gen {
		w.do(s, i, "has lost its session", "", func(n *state) { n.restart(i) })
		return
	}
	w.do(s, i, "publishes the added table", pipeline.StepExtendPublication, func(n *state) {
		if w.mutant != addedLate {
			w.bring(n)
		}
		n.in[i].pc = extending
	})
}

func (w *world) bring(s *state) {
	if s.brings < 0 {
		s.brings = int8(s.log)
	}
}

// extend is extend.go between two streams.
func (w *world) extend(s *state, i int8) {
	in := &s.in[i]
	if in.gen != s.gen {
		w.do(s, i, "has lost its session", "", func(n *state) { n.restart(i) })
		return
	}
	switch in.pc {
	case extending:
		w.do(s, i, "opens the log, with the old list", "", func(n *state) { w.open(n, i) })
	case atCaughtUp:
		w.do(s, i, "opens the snapshot of the added table", pipeline.StepExtendView, func(n *state) {
			n.in[i].snap, n.in[i].view, n.in[i].pc = true, n.log, atView
		})
	case atView:
		w.do(s, i, "opens the log, to end at the snapshot", "", func(n *state) { w.open(n, i) })
	}
}

// readable is how far a stream may read.
func (w *world) readable(s *state, i int8) uint8 {
	if in := &s.in[i]; in.snap && in.pc == streaming && w.mutant != boundaryLate {
		return in.view
	}
	return s.log
}

// endsHere ends the stream of the old list where it is told to end. What it
// has read by then it has committed, under its own name.
func (w *world) endsHere(s *state, i int8) bool {
	in := &s.in[i]
	if in.last.open > 0 || !in.own {
		return false // an empty batch is committed at the end, if nothing else
	}
	closed := func(n *state) {
		w.cutReader(n, i)
		n.in[i].rd = record{}
	}
	if !in.snap && in.view == 0 {
		if in.last.pos == s.log {
			w.do(s, i, "has caught up", pipeline.StepExtendCaughtUp, func(n *state) {
				closed(n)
				n.in[i].pc = atCaughtUp
			})
		}
		return false // or reads on: there was more by then
	}
	if in.last.pos < in.view && w.mutant != boundaryEarly || w.mutant == boundaryLate && in.last.pos < s.log {
		return false
	}
	w.do(s, i, "has read up to the snapshot", pipeline.StepExtendBoundary, func(n *state) {
		closed(n)
		n.in[i].pc, n.in[i].mode = fencing, forExtend
	})
	return true
}

// produceAdded is Read, Join and Produce of the added table's snapshot.
func (w *world) produceAdded(s *state, i int8) {
	in := &s.in[i]
	failed := func(n *state) { n.in[i].pc = abandon }
	if !in.snap {
		w.do(s, i, "cannot read the snapshot: its session is gone", "", failed)
		return
	}
	w.call(s, i, "produces the snapshot of the added table", pipeline.StepExtendProduced, func(n *state) {
		n.tx[i] = txn{joined: true, gen: in.gen, rec: in.last, upTo: in.view}
		n.tx[i].rec.all, n.tx[i].rec.by = true, uint8(i)+1
	}, func(n *state) { n.in[i].pc = atFirstProduced }, failed)
}

// joinAdded puts the added table's rows of the batch in hand into the
// transaction, when the list is the new one: those that the log brings.
func (w *world) joinAdded(s *state, i int8) {
	in := &s.in[i]
	if !in.next.all {
		return
	}
	t := &s.tx[i]
	t.added, t.upTo = in.last.pos, in.next.pos
	if s.brings < 0 {
		t.added = t.upTo
	} else if t.added < t.upTo {
		t.added = max(t.added, uint8(s.brings))
	}
}

// endAdded makes the added table's rows visible.
func (w *world) endAdded(s *state, t *txn) {
	if !w.added || !t.rec.all {
		return
	}
	if t.added < t.upTo {
		switch {
		case t.added < s.added:
			w.bad = publishedTwice
		case t.added > s.added:
			w.bad = rowsLost
		}
		s.added = t.upTo
	}
	if t.rec.pos > s.added {
		w.bad = rowsLost // the record says that they are published
	}
	if w.mutant == addedLate {
		w.bring(s)
	}
}

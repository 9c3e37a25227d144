package model

import "github.com/tailer-io/tailer/internal/pipeline"

// world is what does not change while a search goes on.
type world struct {
	bounds
	mutant mutant
	// emit is given every state that follows from the one being expanded.
	emit func(action, state)
	bad  string // what the action being taken breaks
}

// action is what leads from one state to the next.
type action struct {
	who   int8 // -1 for the servers
	text  string
	step  pipeline.Step // that the code reports reaching by it
	fault bool
	bad   string // the guarantee that it breaks
}

func (a action) String() string {
	t := a.text
	if a.step != "" {
		t += " [" + string(a.step) + "]"
	}
	if a.who >= 0 {
		t = who(a.who) + ": " + t
	}
	return t
}

// do emits what follows when an instance does something that cannot fail.
func (w *world) do(s *state, i int8, text string, step pipeline.Step, f func(*state)) {
	n := *s
	w.bad = ""
	f(&n)
	w.emit(action{who: i, text: text, step: step, bad: w.bad}, n)
}

// fail emits a fault; there must be one left.
func (w *world) fail(s *state, i int8, text string, f func(*state)) {
	if s.faults == 0 {
		return
	}
	n := *s
	n.faults--
	w.bad = ""
	f(&n)
	w.emit(action{who: i, text: text, fault: true, bad: w.bad}, n)
}

// call is a request to the broker in all its outcomes: done, neither done nor
// answered, done and not answered. Under an old epoch it is refused.
func (w *world) call(s *state, i int8, text string, step pipeline.Step, done, then, failed func(*state)) {
	if s.lag {
		return // the coordinator is busy with the transaction before; it is asked again
	}
	if !s.in[i].epoch {
		w.do(s, i, text+": fenced", "", failed)
		return
	}
	w.do(s, i, text, step, func(n *state) { done(n); then(n) })
	w.fail(s, i, text+": nothing is done, and there is no answer", failed)
	w.fail(s, i, text+": it is done, and the answer is lost", func(n *state) { done(n); failed(n) })
}

// fence is InitProducerId. It waits for the markers of the transaction before.
func (w *world) fence(s *state, i int8, then, failed func(*state)) {
	if s.lag {
		return
	}
	const text = "InitProducerId"
	bump := func(n *state) {
		for j := range n.in {
			if w.mutant == noFence && int8(j) != i {
				continue // every process has a transactional id of its own
			}
			n.in[j].epoch, n.tx[j] = false, txn{}
		}
		n.in[i].epoch, n.in[i].fenced, n.in[i].memo, n.fencer = true, n.in[i].force, n.in[i].memo && n.in[i].mode == forEnd, i
	}
	w.do(s, i, text, pipeline.StepFenced, func(n *state) { bump(n); then(n) })
	w.fail(s, i, text+": nothing is done, and there is no answer", failed)
	w.fail(s, i, text+": it is done, and the answer is lost", func(n *state) {
		bump(n)
		n.in[i].epoch = false
		failed(n)
	})
}

// write commits records alone: the barrier, or the checkpoint.
func (w *world) write(s *state, i int8, text string, step pipeline.Step, put, then, failed func(*state)) {
	w.call(s, i, text, step, func(n *state) {
		if !w.mayCommit(n, i) {
			return
		}
		w.hide(n)
		put(n)
	}, then, failed)
}

// mayCommit holds guarantee 6: who was fenced commits nothing.
func (w *world) mayCommit(s *state, i int8) bool {
	if s.fencer != i {
		w.bad = committedFenced
	}
	return w.bad == ""
}

// hide keeps what is visible until the markers are written.
func (w *world) hide(s *state) {
	if !s.lag {
		s.vrec, s.vbar, s.lag = s.rec, s.bar, true
	}
}

// end is EndTxn: what is in the transaction becomes visible, and must continue
// what is published.
func (w *world) end(s *state, i int8) {
	t := s.tx[i]
	s.tx[i] = txn{}
	if !t.joined || !w.mayCommit(s, i) {
		return // nothing is in it; the coordinator says yes all the same
	}
	w.hide(s)
	if t.rec.phase != noRecord {
		s.rec = t.rec
	}
	w.endAdded(s, &t)
	if t.from == t.to {
		return
	}
	switch {
	case t.from < s.published || t.twice:
		w.bad = publishedTwice
	case t.from > s.published:
		w.bad = rowsLost
	case s.beyond && t.gen > 0:
		w.bad = skippedElsewhere
	}
	s.published = t.to
	s.beyond = s.beyond || t.gen < s.gen && t.to > w.row(s.cut, 0)
}

// servers emits what happens without any instance: markers arrive, requests
// arrive late, the coordinator runs out of patience, rows are inserted,
// sessions end, the database fails over.
func (w *world) servers(s *state) {
	if s.lag {
		w.do(s, -1, "the markers of the last transaction are written", "", func(n *state) {
			n.lag, n.vrec, n.vbar = false, record{}, 0
		})
	}
	for i := range s.in {
		if s.tx[i].late && !s.lag {
			w.do(s, -1, "the late EndTxn of "+who(int8(i))+" arrives", "", func(n *state) { w.end(n, int8(i)) })
		}
	}
	if !s.lag && w.producing(s) {
		w.fail(s, -1, "the coordinator aborts what is open and bumps the epoch", func(n *state) {
			n.fencer = -1
			for i := range n.in {
				n.in[i].epoch, n.tx[i] = false, txn{}
			}
		})
	}
	w.database(s)
}

func (w *world) producing(s *state) bool {
	for i := range s.in {
		if s.in[i].epoch || s.tx[i].late {
			return true
		}
	}
	return false
}

// seen is the newest record that a reader sees.
func (s *state) seen() record {
	if s.lag {
		return s.vrec
	}
	return s.rec
}

func (s *state) seenBarrier() uint8 {
	if s.lag {
		return s.vbar
	}
	return s.bar
}

package model

// row is how many rows there are up to transaction pos and open more.
func (w *world) row(pos, open uint8) uint8 {
	n := open
	for _, size := range w.sizes[:pos] {
		n += size
	}
	return n
}

// end of the history.
func (w *world) whole() uint8 { return uint8(len(w.sizes)) }

// database emits what the database does by itself.
func (w *world) database(s *state) {
	if s.log < w.whole() {
		w.do(s, -1, "the application commits a transaction", "", func(n *state) { n.log++ })
	}
	if s.holder == gone {
		w.do(s, -1, "the server notices that the lock's session is dead", "", func(n *state) { n.holder = -1 })
	}
	for i := range s.in {
		i := int8(i)
		if s.holder == i {
			w.fail(s, -1, "the lock's session of "+who(i)+" is cut", func(n *state) { n.holder, n.split = -1, true })
		}
		if s.in[i].stream {
			w.fail(s, -1, "the reading connection of "+who(i)+" is cut", func(n *state) { w.cutReader(n, i) })
		}
		if s.in[i].snap {
			w.fail(s, -1, "the snapshot's session of "+who(i)+" is cut", func(n *state) { n.in[i].snap = false })
		}
	}
	if w.failover && s.gen == 0 {
		for cut := uint8(max(s.slot, 0)); cut <= s.log; cut++ {
			w.fail(s, -1, "the database fails over, and keeps "+string(rune('0'+cut))+" transactions", func(n *state) { w.failOver(n, cut) })
		}
	}
}

func (w *world) cutReader(s *state, i int8) {
	s.in[i].stream = false
	if s.reading == i {
		s.reading = -1
	}
}

// failOver loses the end of the log. Other transactions of the same sizes may
// follow in its place. All sessions end.
func (w *world) failOver(s *state, cut uint8) {
	s.gen, s.cut, s.log = 1, cut, cut
	s.holder, s.reading, s.split = -1, -1, true
	s.beyond = s.published > w.row(cut, 0)
	for i := range s.in {
		s.in[i].snap, s.in[i].stream = false, false
	}
}

// lost tells that r speaks of rows that the failover lost.
func (s *state) lost(r record) bool {
	return r.phase == streamingPhase && r.gen < s.gen && (r.pos > s.cut || r.open > 0 && r.pos >= s.cut)
}

// evict ends the sessions of the lock's holder and of the reader.
func (w *world) evict(s *state, i int8) {
	if !s.in[i].fenced {
		w.bad = evictedUnfenced
	}
	if s.holder != i {
		s.holder = -1
	}
	if r := s.reading; r >= 0 && r != i {
		w.cutReader(s, r)
	}
}

// confirm moves the slot, if anybody listens.
func (w *world) confirm(s *state, i int8, pos uint8) {
	if !w.anchor || !s.in[i].stream || s.reading != i {
		return
	}
	if s.rec.phase != streamingPhase || pos > s.rec.pos {
		w.bad = confirmLeads
	}
	s.slot = max(s.slot, int8(pos))
}

// open begins to read the log at in.last.
func (w *world) open(s *state, i int8) {
	in := &s.in[i]
	if r := s.reading; r >= 0 && r != i {
		w.cutReader(s, r) // a left-over reader of the slot is ended
	}
	if w.anchor {
		s.reading = i
	}
	in.stream, in.gen, in.rd, in.pc = true, s.gen, in.last, streaming
	in.rd.by = 0
	if s.slot > int8(in.rd.pos) {
		in.rd = record{phase: streamingPhase, pos: uint8(s.slot), gen: s.gen} // the server begins where the slot is
	}
}

// batches emits every batch that the reader may hand over next: it ends at
// any commit, or inside a transaction where it is full.
func (w *world) batches(s *state, i int8, take func(n *state, next record, from, to uint8)) {
	in := &s.in[i]
	rd := in.rd
	if rd.open > 0 && s.log > rd.pos {
		if rd.gen < in.gen && rd.pos >= s.cut && w.mutant != skipByCount {
			w.do(s, i, "refuses: the transaction that the checkpoint stands in is not met", "", func(n *state) { n.refuse(i) })
			return
		}
	}
	rd.gen = in.gen
	from := w.row(rd.pos, rd.open)
	to := from
	for rd.pos < w.readable(s, i) {
		left := w.sizes[rd.pos] - rd.open
		if room := w.limit - (to - from); left > room {
			to, rd.open = to+room, rd.open+room
			w.emitBatch(s, i, take, rd, from, to)
			return
		}
		to, rd.pos, rd.open = to+left, rd.pos+1, 0
		w.emitBatch(s, i, take, rd, from, to)
		if to-from == w.limit {
			return
		}
	}
	if from == to {
		w.emitBatch(s, i, take, in.rd, from, to) // idle: the record shows that it lives
	}
}

func (w *world) emitBatch(s *state, i int8, take func(*state, record, uint8, uint8), next record, from, to uint8) {
	w.do(s, i, "maps rows "+rows(from, to), stepMapped, func(n *state) { take(n, next, from, to) })
}

func rows(from, to uint8) string {
	if from == to {
		return "none"
	}
	return string(rune('1'+from)) + " to " + string(rune('0'+to))
}

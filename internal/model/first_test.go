package model

import "github.com/tailer-io/tailer/internal/pipeline"

// first is first.go.
func (w *world) first(s *state, i int8) {
	in := &s.in[i]
	restart := func(n *state) { n.restart(i) }
	toAbandon := func(n *state) { n.in[i].pc = abandon }
	if in.gen != s.gen && in.pc < begun {
		w.do(s, i, "has lost its session", "", restart)
		return
	}
	switch in.pc {
	case publishing:
		w.do(s, i, "creates the publication, and looks for the slot", pipeline.StepFirstPublication, func(n *state) {
			n.pub = n.pub || w.mutant != publicationLate
			n.in[i].exists, n.in[i].pc = n.slot >= 0, atPublication
		})
	case atPublication:
		w.firstRecord(s, i)
	case atPhase:
		if in.exists && w.mutant != slotKept {
			w.drop(s, i)
		} else {
			w.createSlot(s, i)
		}
	case dropped:
		w.createSlot(s, i)
	case keeping:
		w.keep(s, i)
	case begun:
		if w.mutant == haltUnread {
			w.do(s, i, "halts at a row of the snapshot", "", func(n *state) { n.in[i].pc, n.in[i].memo = abandon, true })
		}
		if in.mode == forExtend {
			w.produceAdded(s, i)
			return
		}
		w.produceSnapshot(s, i)
	case atFirstProduced:
		if in.mode == forExtend {
			w.call(s, i, "commits the snapshot of the added table", pipeline.StepExtendCommitted, func(n *state) { w.end(n, i) }, restart, toAbandon)
			return
		}
		w.call(s, i, "commits the snapshot", pipeline.StepFirstCommitted, func(n *state) { w.end(n, i) }, func(n *state) {
			in := &n.in[i]
			in.pc, in.mode, in.snap, in.view = fencing, forStream, false, 0
		}, toAbandon)
	case abandon:
		if s.holder != i {
			w.do(s, i, "has lost the lock", "", restart)
			return
		}
		w.do(s, i, "still has the lock, and is about to abort the snapshot", "", func(n *state) {
			n.in[i] = instance{pc: fencing, mode: forEnd, gen: n.in[i].gen, epoch: n.in[i].epoch, memo: n.in[i].memo}
		})
	}
}

// firstRecord says what is going on, or adopts the slot.
func (w *world) firstRecord(s *state, i int8) {
	in := &s.in[i]
	if in.exists && !w.snapshot {
		if s.slot < 0 {
			return // asked for and gone in one action of the code: Anchor says where it is, too
		}
		w.do(s, i, "adopts the slot", "", func(n *state) {
			n.in[i].last, n.in[i].pc = record{phase: streamingPhase, pos: uint8(n.slot), gen: n.gen}, keeping
			n.in[i].exists = false
		})
		return
	}
	then := func(n *state) {
		n.in[i].pc = atPhase
		if w.mutant == viewedBefore {
			n.in[i].view = n.log
		}
	}
	if w.mutant == noPhase {
		w.do(s, i, "goes on without a record", pipeline.StepFirstPhase, then)
		return
	}
	w.write(s, i, "commits the record of phase snapshot", pipeline.StepFirstPhase, func(n *state) {
		n.rec = record{phase: snapshotPhase, by: uint8(i) + 1}
	}, then, func(n *state) { n.restart(i) })
}

// drop drops the slot of a first start that did not finish; whoever reads from
// it is ended.
func (w *world) drop(s *state, i int8) {
	if s.holder != i && w.mutant != dropUnlocked {
		w.do(s, i, "cannot drop the slot: its lock's session is gone", "", func(n *state) { n.restart(i) })
		return
	}
	w.do(s, i, "drops the slot", "", func(n *state) {
		if r := n.reading; r >= 0 {
			w.cutReader(n, r)
		}
		n.slot, n.blind = -1, false
		n.in[i].pc, n.in[i].exists = dropped, false
	})
}

// createSlot opens the snapshot together with the slot.
func (w *world) createSlot(s *state, i int8) {
	if s.slot >= 0 && w.mutant != slotKept {
		w.do(s, i, "cannot create the slot: it exists", "", func(n *state) { n.restart(i) })
		return
	}
	w.do(s, i, "creates the slot, with a snapshot", pipeline.StepFirstSlot, func(n *state) {
		in := &n.in[i]
		if w.anchor && n.slot < 0 {
			n.slot, n.blind = int8(n.log), !n.pub
		}
		n.pub = true
		at := n.log
		if w.anchor {
			at = uint8(n.slot)
		}
		if w.mutant != viewedBefore {
			in.view = n.log
		}
		in.snap, in.pc, in.mode, in.exists = true, fencing, forSnapshot, false
		if !w.snapshot {
			in.snap, in.pc, in.mode, in.view = false, keeping, forStart, 0
		}
		in.last = record{phase: streamingPhase, pos: at, gen: in.gen}
	})
}

// keep commits the record to stream from, without a snapshot.
func (w *world) keep(s *state, i int8) {
	w.write(s, i, "commits the record of phase streaming", pipeline.StepFirstCommitted, func(n *state) {
		if n.rec.phase != streamingPhase {
			n.published = max(n.published, w.row(n.in[i].last.pos, 0)) // what was there before is not asked for
		}
		n.rec = n.in[i].last
		n.rec.by = uint8(i) + 1
	}, func(n *state) { n.in[i].pc = proving }, func(n *state) { n.restart(i) })
}

// produceSnapshot is Read, Join and Produce.
func (w *world) produceSnapshot(s *state, i int8) {
	in := &s.in[i]
	failed := func(n *state) { n.in[i].pc = abandon }
	if !in.snap {
		w.do(s, i, "cannot read the snapshot: its session is gone", "", failed)
		return
	}
	w.call(s, i, "produces rows "+rows(0, w.row(in.view, 0))+" of the snapshot", pipeline.StepFirstProduced, func(n *state) {
		n.tx[i] = txn{joined: true, to: w.row(in.view, 0), gen: in.gen, rec: in.last}
		n.tx[i].rec.by = uint8(i) + 1
	}, func(n *state) { n.in[i].pc = atFirstProduced }, failed)
}

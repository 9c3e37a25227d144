package compare

// entry is one record of A, or one of B that A does not have. Its size decides
// what a comparison costs; see the package comment.
type entry struct {
	id                  id
	key, value, headers uint64
	at                  uint64 // offset, and the flags in the lowest byte
	partition           int32
	// next is the copy of the same id that was added after this one; for the
	// last one, the first that has no counterpart yet.
	next uint32
}

const (
	// matched: it has a counterpart in B.
	matched = 1 << iota
	// repeat: it is not the first copy of its id.
	repeat
	// outside: its time is not in the span that is compared.
	outside
	// onlyB: it is a record of B.
	onlyB

	flagBits = 8
)

func (e *entry) is(flag uint64) bool { return e.at&flag != 0 }

func (e *entry) place() Place { return Place{e.partition, int64(e.at >> flagBits)} }

// chunk is how many entries are allocated together; a table grows without
// copying them.
const chunk = 1 << 14

// table finds entries by id. The entries of an id form a ring, and the index
// holds the one added last: the first one is next to it.
type table struct {
	chunks [][]entry
	n      uint32
	slots  []uint32 // open addressing; number of an entry plus one, 0 for none
	used   int      // slots that are not 0
}

func (t *table) entry(i uint32) *entry { return &t.chunks[i/chunk][i%chunk] }

// slot is where an id stands, or where it would.
func (t *table) slot(k id) int {
	mask := len(t.slots) - 1
	for i := int(k.a) & mask; ; i = (i + 1) & mask {
		if s := t.slots[i]; s == 0 || t.entry(s-1).id == k {
			return i
		}
	}
}

// last is the copy of an id that was added last; nil for an id not seen.
func (t *table) last(k id) *entry {
	if len(t.slots) == 0 {
		return nil
	}
	if s := t.slots[t.slot(k)]; s != 0 {
		return t.entry(s - 1)
	}
	return nil
}

// add appends an entry to its id's ring, and flags one that is not the first.
func (t *table) add(e entry) *entry {
	if t.used >= len(t.slots)/4*3 {
		t.grow()
	}
	if t.n == 1<<32-2 {
		panic("a comparison takes four thousand million records")
	}
	if t.n%chunk == 0 {
		t.chunks = append(t.chunks, make([]entry, chunk))
	}
	i := t.n
	t.n++
	at := t.slot(e.id)
	if s := t.slots[at]; s == 0 {
		e.next = i
		t.used++
	} else {
		last := t.entry(s - 1)
		e.next, last.next = last.next, i
		e.at |= repeat
	}
	t.slots[at] = i + 1
	*t.entry(i) = e
	return t.entry(i)
}

// grow makes a larger index; of each id it has the one added last.
func (t *table) grow() {
	old := t.slots
	t.slots = make([]uint32, max(1024, 2*len(old)))
	for _, s := range old {
		if s != 0 {
			t.slots[t.slot(t.entry(s-1).id)] = s
		}
	}
}

// take gives the first copy of an id that has no counterpart yet, and marks it;
// nil when all have. last is the copy added last.
func (t *table) take(last *entry) *entry {
	first := t.entry(last.next)
	if first.is(matched) {
		return nil
	}
	first.at |= matched
	if first != last {
		last.next = first.next
	}
	return first
}

package pipeline

import (
	"runtime"
	"runtime/debug"

	"github.com/tailer-io/tailer/internal/outbox"
)

const (
	// largeRow is what a row must have in bytes to be worth a thought: below it,
	// the collector's own pace keeps the process within its memory.
	largeRow = 1 << 20
	// hugeRow is what a row must have to be worth a collection of its own.
	hugeRow = 4 << 20
	// ownMemory is what Go may use beside large rows, in bytes. The promise is
	// 48 MB resident, of which the binary's own pages take up to 20 MiB.
	ownMemory = 26 << 20
	// besideHuge is the same beside huge rows, of which there is a third copy
	// while one is sent. What lives is less: the batches are held up by the row.
	besideHuge = 18 << 20
)

// memory paces the garbage collector by the largest row seen so far: what is
// promised is 48 MB and twice that row, and the garbage of several such rows
// would exceed it long before the collector runs by itself.
type memory struct {
	given   int64 // the limit that the user has set by GOMEMLIMIT
	largest int   // in bytes; 0 until there was a large row
	huge    bool  // the batch in hand holds a huge row
}

func newMemory() memory { return memory{given: debug.SetMemoryLimit(-1)} }

// note looks at a batch before anything is made of it.
func (m *memory) note(b *outbox.Batch) {
	m.huge = false
	if b.Bytes() < largeRow {
		return
	}
	before, here := m.largest, 0
	for i := range b.Rows {
		here = max(here, b.Rows[i].Size)
	}
	m.huge = here >= hugeRow
	if m.largest = max(before, here); m.largest < largeRow || m.largest == before {
		return
	}
	own := ownMemory
	if m.largest >= hugeRow {
		own = besideHuge
	}
	debug.SetMemoryLimit(min(m.given, int64(own+2*m.largest)))
}

// reclaim frees what a huge row has left behind: the reader's copy before the
// requests are encoded, the requests before the next row is read. The limit
// alone does not hold: the collector runs beside us, and several such rows are
// made while it looks at one.
func (m *memory) reclaim() {
	if m.huge {
		runtime.GC()
	}
}

// letGo drops all that refers to a committed batch, before the reader goes on.
func (p *Pipeline) letGo(b *outbox.Batch) {
	if p.memory.huge {
		p.msgs.Reset()
		p.letters.Reset()
		b.Reset(0)
		p.memory.reclaim()
	}
}

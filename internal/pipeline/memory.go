package pipeline

import (
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

const (
	// largeRow is what a row must have in bytes to be worth a thought.
	largeRow = 1 << 20
	// hugeRow is what a row must have to be worth a collection of its own.
	hugeRow = 4 << 20
	// ownMemory is what Go may use beside large rows, in bytes. The promise is
	// 48 MB resident, of which the binary's own pages take up to 20 MiB.
	ownMemory = 26 << 20
	// besideHuge is the same beside huge rows, of which there is a third copy
	// while one is sent. What lives is less: the batches are held up by the row.
	besideHuge = 18 << 20
	// lookEvery is the time between two looks at what lives. Where that is much,
	// with thousands of topics for one, a limit below it would have the collector
	// run all the time.
	lookEvery  = 10 * time.Second
	besideLive = 8 << 20
)

// memory paces the garbage collector by the largest row seen so far: what is
// promised is 48 MB and twice that row. By itself the collector runs when the
// heap has doubled, or a little later, and the garbage of several large rows
// would be there long before.
type memory struct {
	given   int64 // the limit that the user has set by GOMEMLIMIT
	bound   bool  // also while rows are small: see Config.BoundMemory
	limit   int64 // what was set last; 0 for nothing
	largest int   // in bytes; 0 until there was a large row
	huge    bool  // the batch in hand holds a huge row
	looked  time.Time
}

func newMemory(bound bool) memory {
	m := memory{given: debug.SetMemoryLimit(-1), bound: bound}
	m.pace()
	return m
}

// pace sets the limit, unless it is what it was: that stops the world.
func (m *memory) pace() {
	m.looked = time.Now()
	if !m.bound && m.largest < largeRow {
		return
	}
	own, rows := int64(ownMemory), int64(0)
	if m.largest >= largeRow {
		rows = int64(m.largest)
	}
	if m.largest >= hugeRow {
		own = besideHuge
	}
	if m.bound {
		live := max(0, liveHeap()-3*rows) // copies of a row come and go
		own = max(own, live+live/2+besideLive)
	}
	if own = min(own+2*rows, m.given); own != m.limit {
		m.limit = own
		debug.SetMemoryLimit(own)
	}
}

// liveHeap is what the last collection found in use, in bytes; 0 before it.
func liveHeap() int64 {
	s := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}}
	runtimemetrics.Read(s)
	return int64(s[0].Value.Uint64())
}

// note looks at a batch before anything is made of it.
func (m *memory) note(b *outbox.Batch) {
	m.huge = false
	if m.bound && time.Since(m.looked) > lookEvery {
		m.pace()
	}
	if b.Bytes() < largeRow {
		return
	}
	before, here := m.largest, 0
	for i := range b.Rows {
		here = max(here, b.Rows[i].Size)
	}
	m.huge = here >= hugeRow
	if m.largest = max(before, here); m.largest >= largeRow && m.largest > before {
		m.pace()
	}
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

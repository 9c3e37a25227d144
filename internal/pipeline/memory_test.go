package pipeline

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// The collector's limit follows the largest row, what lives, and the user's own.
func TestMemoryLimit(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(math.MaxInt64))
	limit := func() int64 { return debug.SetMemoryLimit(-1) }
	batch := func(size int) *outbox.Batch {
		b := new(outbox.Batch)
		b.Begin(make([]byte, size), time.Time{}, 0) // the row's bytes, to the batch
		b.Rows = []outbox.Row{{Size: size}}
		return b
	}
	if m := newMemory(false); limit() != math.MaxInt64 {
		t.Errorf("unbound: %d", limit())
	} else if m.note(batch(largeRow)); limit() != ownMemory+2*largeRow {
		t.Errorf("unbound, behind a large row: %d", limit())
	}
	debug.SetMemoryLimit(math.MaxInt64)
	runtime.GC()
	m := newMemory(true)
	if n := limit(); n != max(ownMemory, m.limit) || n > 2*ownMemory {
		t.Errorf("bound: %d", n)
	}
	if m.note(batch(2 * largeRow)); limit() < ownMemory+4*largeRow {
		t.Errorf("behind a large row: %d", limit())
	}
	lives := make([]byte, 200<<20)
	runtime.GC()
	m.pace()
	if n := limit(); n < int64(len(lives))*3/2 || n > int64(len(lives))*2 {
		t.Errorf("beside %d bytes that live: %d", len(lives), n)
	}
	runtime.KeepAlive(lives)
	debug.SetMemoryLimit(10 << 20)
	if newMemory(true); limit() != 10<<20 {
		t.Errorf("the user's limit was lower: %d", limit())
	}
}

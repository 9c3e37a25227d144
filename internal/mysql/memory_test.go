package mysql

import (
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// A large transaction on another table, plain and compressed, and a large one
// on the outbox leave memory within bounds.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("it writes 300 MB: skipped with -short")
	}
	onServers(t, func(w *world) {
		w.outbox().exec("create table other (id int primary key auto_increment, v longtext) engine=innodb",
			"create table seq (n int primary key)", "insert into seq values (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)")
		for _, compressed := range []bool{false, true} {
			s := w.source()
			start := w.here(s)
			if w.mariadb() {
				w.exec("set global log_bin_compress = " + onOff(compressed))
				w.Cleanup(func() { w.exec("set global log_bin_compress = off") })
			} else {
				w.exec("set session binlog_transaction_compression = " + onOff(compressed))
			}
			w.exec("begin")
			for range 20 {
				w.exec("insert into other (v) select repeat(concat(a.n, b.n, c.n, 'filler '), 500) from seq a, seq b, seq c")
			}
			w.exec("commit", "insert into outbox (k, payload) select a.n, repeat('x', 300) from seq a, seq b, seq c, seq d, seq e")
			peak := w.peak(s, start, 100_000)
			w.Logf("compressed %t: at most %d MB of heap", compressed, peak>>20)
			// Three batches of 4 MB, what the collector leaves, the packet.
			if peak > 64<<20 {
				w.Errorf("compressed %t: %d MB of heap", compressed, peak>>20)
			}
			w.exec("delete from outbox")
		}
	})
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// peak drains want rows, slowly enough that everything fills up, and returns
// the most heap that was in use.
func (w *world) peak(s *Source, start outbox.Resume, want int) uint64 {
	w.Helper()
	runtime.GC()
	var most atomic.Uint64
	done := make(chan struct{})
	go func() {
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			select {
			case <-done:
				tick.Stop()
				return
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most.Store(max(most.Load(), m.HeapInuse))
			}
		}
	}()
	defer close(done)
	if err := s.Until(w.ctx(), "now"); err != nil {
		w.Fatal(err)
	}
	h := outbox.NewHandoff(3, outbox.Limits{Rows: 10_000, Bytes: 4 << 20}, start)
	ctx := w.ctx()
	go func() { h.Close(s.Stream(ctx, start, h)) }()
	n := 0
	for {
		b, err := h.Take(ctx, time.Time{})
		if errors.Is(err, outbox.ErrEnd) {
			break
		}
		if err != nil {
			w.Fatal(err)
		}
		n += len(b.Rows)
		h.Recycle(b)
	}
	if n != want {
		w.Errorf("%d rows, want %d", n, want)
	}
	return most.Load()
}

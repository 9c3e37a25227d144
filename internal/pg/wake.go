package pg

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// The server flushes every message by itself, and each flush wakes the reader:
// while much comes, most of its time is wake-ups. So a busy reader asks the
// kernel to be woken once 32 KB are there (SO_RCVLOWAT), and a tick that saw
// nothing read in 1 ms takes it back, which delivers whatever is there.
const (
	busyReads  = 16
	busyWithin = 800 * time.Microsecond
	busyBytes  = 32 << 10
	idleTick   = time.Millisecond
)

// waker does that for one connection. The flag busy hands the socket option to
// and fro: the reader touches it only while busy is false, the ticker's
// goroutine only while it is true.
type waker struct {
	raw   syscall.RawConn
	reads *atomic.Uint64
	busy  atomic.Bool
	kick  chan struct{} // the reader went busy

	count int // reads since the time below; the reader's own
	since time.Time
}

// newWaker returns nil where there is nothing to gain: on a Unix socket poll
// does not honour the option.
func newWaker(c net.Conn, reads *atomic.Uint64) *waker {
	t, ok := c.(*net.TCPConn)
	if !ok || !canLowWater {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return nil
	}
	return &waker{raw: raw, reads: reads, kick: make(chan struct{}, 1)}
}

// read is called by the reader after each read.
func (w *waker) read() {
	if w.count++; w.count < busyReads {
		return
	}
	now := time.Now()
	busy := now.Sub(w.since) < busyWithin
	w.count, w.since = 0, now
	if !busy || w.busy.Load() || lowWater(w.raw, busyBytes) != nil {
		return
	}
	w.busy.Store(true)
	w.kick <- struct{}{} // never blocks: the last one was taken before busy turned false
}

// run serves until done is closed.
func (w *waker) run(done <-chan struct{}) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		tick.Reset(time.Hour)
		select {
		case <-w.kick:
		case <-done:
			return
		}
		tick.Reset(idleTick)
		last := w.reads.Load()
		for idle := false; !idle; {
			select {
			case <-tick.C:
			case <-done:
				_ = lowWater(w.raw, 1) // what is there may still be wanted
				return
			}
			n := w.reads.Load()
			idle, last = n == last, n
		}
		// Fails only on a closed socket.
		_ = lowWater(w.raw, 1)
		w.busy.Store(false)
	}
}

package pg

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// The server flushes every message by itself, and each flush wakes the reader:
// while much comes, most of its time is wake-ups. So a busy reader waits until
// 32 KB are there (SO_RCVLOWAT), and a tick that saw nothing read in 1 ms takes
// that back, which delivers whatever is there.
const (
	busyReads  = 16
	busyWithin = 800 * time.Microsecond
	busyBytes  = 32 << 10
	idleTick   = time.Millisecond
	// A reader that was busy a moment ago is so again when it finds much at once:
	// the server had only been held up.
	muchBytes   = busyBytes / 4
	againWithin = 20 * time.Millisecond
	// On a Unix socket it sleeps, until fewer than a few messages come meanwhile.
	napTime  = 200 * time.Microsecond
	napBytes = 1 << 10
	// A packet for each message is what costs the server most, and on its own host
	// it does our half of that work too. So a reader that is far behind rests: when
	// the window is full, messages gather on the server's side, and come in packets
	// of 64 KB when reading goes on, until little is left. It rests for a sixteenth
	// of how far it is behind, which nobody notices; in 20 ms less comes than the
	// server's side has room for (4 MB, the default of tcp_wmem), and far more than
	// the window, which is kept at two of those packets meanwhile.
	//
	// A small receive buffer from the start (SO_RCVBUF) would keep it small too, but
	// cannot grow for packets that take more room than they have bytes. While
	// nothing is read such a one is dropped, and with it every acknowledgement that
	// comes behind it, until the connection breaks.
	restPart   = 16
	restFrom   = 5 * time.Millisecond
	restAtMost = 20 * time.Millisecond
	restBelow  = 4 << 10
	restAfter  = 16 << 10
	restWindow = 128 << 10
	// Whoever asks for less than that at a time gets it from a buffer: TLS does,
	// for each record.
	littleBytes = 4 << 10
)

// bulk is a stream's socket. Reads are for one goroutine; they wait for much
// while run serves and much comes.
type bulk struct {
	net.Conn
	raw    syscall.RawConn // nil where there is nothing to gain
	unix   bool            // it is a Unix socket
	reads  atomic.Uint64   // reads of the socket completed
	near   bool            // the server is on this host
	served bool            // run serves: set before it and after it, never meanwhile
	kick   chan struct{}   // the reader went busy

	mu      sync.Mutex  // held while the low-water mark, busy and small change
	busy    atomic.Bool // the mark is up
	resting atomic.Bool // the reader is: that is no idleness
	dropped time.Time   // when it came down last
	small   bool        // the window is

	// The reader's own:
	behind time.Duration // how far the log has to be caught up with
	last   int           // bytes of the last read
	count  int           // reads since the time below
	since  time.Time

	buf  []byte // for small reads; nil until there is one
	r, w int    // buf[r:w] is not read yet
}

// newBulk wraps a connection whose socket is bare.
func newBulk(c, bare net.Conn) *bulk {
	b := &bulk{Conn: c, kick: make(chan struct{}, 1)}
	_, tcp := bare.(*net.TCPConn)
	_, b.unix = bare.(*net.UnixConn)
	if s, ok := bare.(syscall.Conn); ok && (tcp || b.unix) && canLowWater {
		b.raw, _ = s.SyscallConn() // fails on a closed one, whose reads fail
	}
	b.near = b.raw != nil && tcp && sameHost(bare)
	return b
}

// sameHost tells whether both ends of a TCP connection are on this host.
func sameHost(c net.Conn) bool {
	to, ok := c.RemoteAddr().(*net.TCPAddr)
	from, known := c.LocalAddr().(*net.TCPAddr)
	return ok && (to.IP.IsLoopback() || known && to.IP.Equal(from.IP))
}

func (b *bulk) Read(p []byte) (int, error) {
	if b.r == b.w {
		if len(p) >= littleBytes {
			return b.read(p)
		}
		if b.buf == nil {
			b.buf = make([]byte, bufferSize)
		}
		n, err := b.read(b.buf)
		if b.r, b.w = 0, n; n == 0 {
			return 0, err
		}
	}
	n := copy(p, b.buf[b.r:b.w])
	b.r += n
	return n, nil
}

func (b *bulk) read(p []byte) (int, error) {
	rested := false
	if b.busy.Load() {
		if rested = b.rests(); !rested {
			b.gather()
		}
	}
	n, err := b.Conn.Read(p)
	b.reads.Add(1)
	b.last = n
	if rested {
		b.narrow()
	}
	if b.served && b.raw != nil {
		b.note(n)
	}
	return n, err
}

// rests lets much gather at the server while the log has to be caught up with, and
// tells whether that is so.
func (b *bulk) rests() bool {
	d := min(b.behind/restPart, restAtMost)
	if !b.near || d < restFrom {
		return false
	}
	// Behind a large read the next packet is on its way: there is room for it now.
	if b.last < restAfter && b.queued() < restBelow {
		b.resting.Store(true)
		time.Sleep(d)
		b.resting.Store(false)
	}
	return true
}

// narrow keeps the window small. The kernel widens it when packets are larger
// than before, so it is told after each read.
func (b *bulk) narrow() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.busy.Load() { // or the one who made it idle has opened the window for good
		b.small = narrow(b.raw, restWindow) == nil
	}
}

// open lets the window be as wide as the kernel likes. b.mu is held.
func (b *bulk) open() {
	if b.small {
		_ = widen(b.raw)
	}
	b.small = false
}

// gather waits until much is there, or until the mark comes down. An ordinary
// read would take the little that is there without waiting.
func (b *bulk) gather() {
	if b.unix {
		b.pause()
		return
	}
	waited := false
	// What fails here fails in the read that follows, which says why.
	_ = b.raw.Read(func(fd uintptr) bool {
		// From here on no wake-up is lost. If the mark is still up, taking it
		// down, which wakes, is still to come.
		enough := waited || queued(fd) >= busyBytes || !b.busy.Load()
		waited = true
		return enough
	})
}

// pause is gather for a Unix socket, where poll does not honour the mark: a
// sleeper is not woken by every message either. Little that came meanwhile ends
// it. The socket's buffer is small, so it has to be shorter than a timer of the
// runtime can be.
func (b *bulk) pause() {
	if b.queued() < busyBytes {
		nap(napTime)
		if b.queued() < napBytes {
			b.busy.Store(false)
		}
	}
}

func (b *bulk) queued() (n int) {
	_ = b.raw.Control(func(fd uintptr) { n = queued(fd) })
	return n
}

// note raises the mark when much comes.
func (b *bulk) note(n int) {
	much := n >= muchBytes
	if b.count++; b.count < busyReads && !much || b.busy.Load() {
		return
	}
	now := time.Now()
	busy := b.count >= busyReads && now.Sub(b.since) < busyWithin
	if b.count >= busyReads {
		b.count, b.since = 0, now
	}
	if b.unix {
		b.busy.Store(busy || much)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !busy && (!much || now.Sub(b.dropped) > againWithin) || lowWater(b.raw, busyBytes) != nil {
		return
	}
	b.busy.Store(true)
	b.kick <- struct{}{} // never blocks: the last one was taken before busy turned false
}

// lower takes the mark down, which wakes a reader that now has enough.
func (b *bulk) lower() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy.Store(false)    // first: see gather
	_ = lowWater(b.raw, 1) // fails only on a closed socket
	b.open()
	b.dropped = time.Now()
}

// run serves until done is closed.
func (b *bulk) run(done <-chan struct{}) {
	if b.raw == nil || b.unix {
		return
	}
	defer b.lower() // what is there may still be wanted
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		tick.Reset(time.Hour)
		select {
		case <-b.kick:
		case <-done:
			return
		}
		tick.Reset(idleTick)
		last := b.reads.Load()
		for idle := false; !idle; {
			select {
			case <-tick.C:
			case <-done:
				return
			}
			n := b.reads.Load()
			idle, last = n == last && !b.resting.Load(), n
		}
		b.lower()
	}
}

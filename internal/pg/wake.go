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
	served bool            // run serves: set before it and after it, never meanwhile
	kick   chan struct{}   // the reader went busy

	mu      sync.Mutex  // held while the low-water mark and busy change
	busy    atomic.Bool // the mark is up
	dropped time.Time   // when it came down last

	count int // reads since the time below; the reader's own
	since time.Time

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
	return b
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
	if b.busy.Load() {
		b.gather()
	}
	n, err := b.Conn.Read(p)
	b.reads.Add(1)
	if b.served && b.raw != nil {
		b.note(n)
	}
	return n, err
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
			idle, last = n == last, n
		}
		b.lower()
	}
}

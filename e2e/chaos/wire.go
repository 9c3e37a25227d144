package chaos

import (
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/tailer-io/tailer/e2e/proxy"
)

// Wire is a TCP proxy that knows no protocol: a network between two processes, with what befalls networks.
type Wire struct {
	listen, target string

	mu       sync.Mutex // guards all below
	listener net.Listener
	links    map[*link]struct{}
	gate     chan struct{} // closed while bytes flow
	delay    time.Duration // each way
	rate     int           // bytes a second, each way and link; 0 is unlimited
	clip     int           // a link is cut in the middle of an answer after so many more bytes; 0 never
	closed   bool
	serving  sync.WaitGroup
}

// link is one connection through a wire.
type link struct {
	client, server net.Conn
	lost           chan struct{} // closed once both ends talk to nobody
}

// StartWire listens and forwards; listen may be "127.0.0.1:0".
func StartWire(listen, target string) (*Wire, error) {
	w := &Wire{listen: listen, target: target, links: map[*link]struct{}{}, gate: make(chan struct{})}
	close(w.gate)
	if err := w.Accept(); err != nil {
		return nil, err
	}
	return w, nil
}

// Addr is where the wire listens.
func (w *Wire) Addr() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.listen
}

// Accept listens, again after Refuse.
func (w *Wire) Accept() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.listener != nil || w.closed {
		return nil
	}
	l, err := net.Listen("tcp", w.listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	w.listener, w.listen = l, l.Addr().String()
	w.serving.Go(func() { w.serve(l) })
	return nil
}

// Refuse cuts all connections and refuses new ones until Accept.
func (w *Wire) Refuse() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.listener != nil {
		proxy.StopListening(w.listener)
		w.listener = nil
	}
	w.cut()
}

// Cut closes all connections; new ones are welcome.
func (w *Wire) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut()
}

// cut is called with mu held.
func (w *Wire) cut() {
	for l := range w.links {
		l.close()
	}
	clear(w.links)
}

// Stall holds every byte, connections staying open, until Flow.
func (w *Wire) Stall() {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.gate:
		w.gate = make(chan struct{})
	default:
	}
}

// Flow ends a stall.
func (w *Wire) Flow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.gate:
	default:
		close(w.gate)
	}
}

// HalfOpen loses every byte of the connections that there are, for good, and closes none of them, as a router does
// that forgot them. New connections work.
func (w *Wire) HalfOpen() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for l := range w.links {
		select {
		case <-l.lost:
		default:
			close(l.lost)
		}
	}
}

// Slow delays every byte, each way, and lets no more than rate bytes a second through (0: unlimited), each way and
// connection.
func (w *Wire) Slow(delay time.Duration, rate int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay, w.rate = delay, rate
}

// Clip cuts one connection in the middle of an answer, after so many more bytes of answers.
func (w *Wire) Clip(bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clip = bytes
}

// Clipped reports whether a Clip has happened.
func (w *Wire) Clipped() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clip == 0
}

// Close ends the wire.
func (w *Wire) Close() {
	w.Flow()
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.Refuse()
	w.serving.Wait()
}

func (w *Wire) serve(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		w.serving.Go(func() { w.connect(client) })
	}
}

func (w *Wire) connect(client net.Conn) {
	server, err := net.DialTimeout("tcp", w.target, 5*time.Second)
	if err != nil {
		client.Close()
		return
	}
	l := &link{client: client, server: server, lost: make(chan struct{})}
	w.mu.Lock()
	if w.listener == nil {
		w.mu.Unlock()
		l.close()
		return
	}
	w.links[l] = struct{}{}
	w.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { w.pump(l, server, client, true) })
	both.Go(func() { w.pump(l, client, server, false) })
	both.Wait()
	w.mu.Lock()
	delete(w.links, l)
	w.mu.Unlock()
}

// piece is what was read at once.
type piece struct {
	bytes []byte
	due   time.Time
}

// pump copies one direction. Reading and writing are apart so that a delay delays and does not throttle.
func (w *Wire) pump(l *link, from, to net.Conn, answers bool) {
	pieces := make(chan piece, 64)
	var writing sync.WaitGroup
	writing.Go(func() {
		for p := range pieces {
			if !w.deliver(l, to, p, answers) {
				l.close()
			}
		}
	})
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			w.mu.Lock()
			delay := w.delay
			w.mu.Unlock()
			pieces <- piece{append([]byte(nil), buffer[:n]...), time.Now().Add(delay)}
		}
		if err != nil {
			break
		}
	}
	close(pieces)
	writing.Wait()
	select {
	case <-l.lost: // The other end is not to learn of it.
	default:
		l.close()
	}
}

// deliver writes one piece when its time has come, and reports whether the connection goes on.
func (w *Wire) deliver(l *link, to net.Conn, p piece, answers bool) bool {
	time.Sleep(time.Until(p.due))
	w.mu.Lock()
	gate, rate := w.gate, w.rate
	w.mu.Unlock()
	select {
	case <-gate:
	case <-l.lost:
	}
	select {
	case <-l.lost:
		return true
	default:
	}
	bytes, whole := w.clipped(p.bytes, answers)
	if rate > 0 {
		time.Sleep(time.Duration(len(bytes)) * time.Second / time.Duration(rate))
	}
	_, err := to.Write(bytes)
	return err == nil && whole
}

// clipped is what may still be delivered of a piece.
func (w *Wire) clipped(bytes []byte, answers bool) (left []byte, whole bool) {
	if !answers {
		return bytes, true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.clip == 0:
	case w.clip > len(bytes):
		w.clip -= len(bytes)
	default:
		bytes, w.clip = bytes[:w.clip], 0
		return bytes, false
	}
	return bytes, true
}

func (l *link) close() {
	l.client.Close()
	l.server.Close()
}

package mysql

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/tailer-io/tailer/internal/outbox"
)

// forward is an address that leads to a server, as a virtual IP or a proxy
// does: it may move to another one, and fall silent.
type forward struct {
	net.Listener
	to     atomic.Pointer[string]
	silent chan struct{} // closed: nothing comes from the server any more
	mu     sync.Mutex    // guards open
	open   []net.Conn
	done   sync.WaitGroup
}

func newForward(t testing.TB, to string) *forward {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &forward{Listener: l, silent: make(chan struct{})}
	f.to.Store(&to)
	f.done.Go(f.accept)
	t.Cleanup(func() {
		l.Close()
		f.mu.Lock()
		for _, c := range f.open {
			c.Close()
		}
		f.mu.Unlock()
		f.done.Wait()
	})
	return f
}

func (f *forward) accept() {
	for {
		c, err := f.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", *f.to.Load())
		if err != nil {
			c.Close()
			continue
		}
		f.mu.Lock()
		f.open = append(f.open, c, server)
		f.mu.Unlock()
		f.done.Go(func() {
			_, _ = io.Copy(server, c)
			server.Close()
		})
		f.done.Go(func() {
			_, _ = io.Copy(struct{ io.Writer }{c}, audible{server, f.silent})
			c.Close()
		})
	}
}

// audible keeps what is read from the server back once silent is closed.
type audible struct {
	net.Conn
	silent chan struct{}
}

func (a audible) Read(b []byte) (int, error) {
	for {
		n, err := a.Conn.Read(b)
		select {
		case <-a.silent:
			if err == nil {
				continue
			}
		default:
		}
		return n, err
	}
}

// through is w behind an address that leads to it.
func (w *world) through(f *forward) *world {
	moved := *w
	u := *w.url
	u.Host = f.Addr().String()
	moved.url = &u
	return &moved
}

// A connection that is dialled anew may lead to another server than the one
// that was proven: its log is not read, its lock is worth nothing, and our
// number there is somebody else's connection here.
func TestAddressThatMoves(t *testing.T) {
	t.Parallel()
	a, b := private(t, "STACK_MYSQL_URL", 1), private(t, "STACK_MYSQL_URL", 2)
	a.app()
	b.follow(a)
	f := newForward(t, a.url.Host)
	s := a.through(f).source()
	start := a.here(s)
	a.exec(insert(1))
	got := a.drain(s, start)
	s.until = nil
	checkpoint := got[len(got)-1].resume
	b.caughtUp(a)
	b.promote()
	if err := s.Prove(a.ctx(), checkpoint); err != nil {
		t.Fatal(err)
	}

	// Every number that b may give next is a connection of a.
	next := b.connect().GetConnectionID() + 10
	var others []*client.Conn
	for len(others) == 0 || others[len(others)-1].GetConnectionID() < next {
		others = append(others, a.connect())
	}
	b.exec("use app", insert(2))
	to := b.url.Host
	f.to.Store(&to) // open connections stay

	h := outbox.NewHandoff(3, outbox.Limits{Rows: 10, Bytes: 1 << 20}, checkpoint)
	ctx, cancel := context.WithTimeout(a.ctx(), 5*time.Second)
	defer cancel()
	if err := s.Stream(ctx, checkpoint, h); !errors.Is(err, outbox.ErrOtherServer) {
		t.Errorf("the other server's log: %v", err)
	}
	if h.Opened() {
		t.Error("the stream was opened")
	}
	for _, c := range others {
		if err := c.Ping(); err != nil {
			t.Errorf("connection %d of the server that was proven: %v", c.GetConnectionID(), err)
		}
	}
	if err := s.Watch(a.ctx()); !errors.Is(err, outbox.ErrOtherServer) {
		t.Errorf("watch: %v", err)
	}
	if held, _, err := s.TryLock(a.ctx()); held || !errors.Is(err, outbox.ErrOtherServer) {
		t.Errorf("the lock: held %t, %v", held, err)
	}
	if _, err := s.CreateAnchor(a.ctx(), outbox.Filter{}); !errors.Is(err, outbox.ErrOtherServer) {
		t.Errorf("the snapshot: %v", err)
	}
}

// A connection that says nothing any more, not even a heartbeat, is dropped;
// one on which nothing is committed is not.
func TestSilentServer(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox()
		f := newForward(t, w.url.Host)
		s := w.through(f).source()
		s.silence = 2 * time.Second
		x := w.stream(s, w.here(s), outbox.Limits{Rows: 10, Bytes: 1 << 20})
		x.opened()
		select {
		case err := <-x.err:
			t.Fatalf("an idle server: %v", err)
		case <-time.After(2 * s.silence): // the time that is measured
		}
		close(f.silent)
		begin := time.Now()
		select {
		case err := <-x.err:
			if !errors.Is(err, errSilent) {
				t.Errorf("a silent server: %v", err)
			}
			if d := time.Since(begin); d < s.silence/2 {
				t.Errorf("a silent server: dropped after %s", d)
			}
		case <-time.After(5 * s.silence):
			t.Error("a silent server: the stream waits on")
		}
	})
}

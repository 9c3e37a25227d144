package proxy

import (
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// echo is a broker that answers every request with its correlation id, and counts what it was asked.
func echo(t *testing.T) (addr string, asked *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	asked = new(atomic.Int64)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for {
					var size [4]byte
					if _, err := io.ReadFull(c, size[:]); err != nil {
						return
					}
					body := make([]byte, binary.BigEndian.Uint32(size[:]))
					if _, err := io.ReadFull(c, body); err != nil {
						return
					}
					asked.Add(1)
					c.Write(append([]byte{0, 0, 0, 4}, body[4:8]...))
				}
			}()
		}
	}()
	return l.Addr().String(), asked
}

func start(t *testing.T, target string) (*Proxy, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	p, err := Start(addr, target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, addr
}

// ask sends a request of 100 bytes and reads the answer; an error means that the connection was cut.
func ask(c net.Conn, key int16, id int32) error {
	frame := make([]byte, 4+100)
	binary.BigEndian.PutUint32(frame, 100)
	binary.BigEndian.PutUint16(frame[4:], uint16(key))
	binary.BigEndian.PutUint32(frame[8:], uint32(id))
	if _, err := c.Write(frame); err != nil {
		return err
	}
	var answer [8]byte
	_, err := io.ReadFull(c, answer[:])
	return err
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

func TestFaultsComeInPairs(t *testing.T) {
	for _, c := range []struct {
		action Action
		asked  int64 // of two requests, the second one faulty
	}{{Fail, 1}, {Lose, 2}} {
		t.Run(c.action.String(), func(t *testing.T) {
			target, asked := echo(t)
			p, addr := start(t, target)
			rule := p.Inject(EndTxn, 2, c.action)
			conn := dial(t, addr)
			if err := ask(conn, EndTxn, 1); err != nil {
				t.Fatal(err)
			}
			if err := ask(conn, Produce, 2); err != nil {
				t.Fatal("another request was hit:", err)
			}
			if err := ask(conn, EndTxn, 3); err == nil {
				t.Fatal("the second request was answered")
			}
			<-rule.Fired()
			if n := asked.Load() - 1; n != c.asked {
				t.Fatalf("the broker saw %d requests, wanted %d", n, c.asked)
			}
			if err := ask(dial(t, addr), EndTxn, 4); err != nil {
				t.Fatal("the fault came twice:", err)
			}
			if p.Count(EndTxn) != 3 {
				t.Fatalf("%d requests counted", p.Count(EndTxn))
			}
		})
	}
}

func TestStallAndFlow(t *testing.T) {
	target, asked := echo(t)
	p, addr := start(t, target)
	conn := dial(t, addr)
	p.Stall()
	answered := make(chan error, 1)
	go func() { answered <- ask(conn, Produce, 1) }()
	select {
	case err := <-answered:
		t.Fatal("answered while stalled:", err)
	case <-time.After(50 * time.Millisecond):
	}
	if asked.Load() != 0 {
		t.Fatal("the broker was asked while stalled")
	}
	p.Flow()
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
}

func TestRefuseAndAccept(t *testing.T) {
	target, _ := echo(t)
	p, addr := start(t, target)
	conn := dial(t, addr)
	if err := ask(conn, Produce, 1); err != nil {
		t.Fatal(err)
	}
	p.Refuse()
	if err := ask(conn, Produce, 2); err == nil {
		t.Fatal("an old connection lived on")
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Fatal("a new connection was accepted")
	}
	if err := p.Accept(); err != nil {
		t.Fatal(err)
	}
	if err := ask(dial(t, addr), Produce, 3); err != nil {
		t.Fatal(err)
	}
}

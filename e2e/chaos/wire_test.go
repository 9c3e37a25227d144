package chaos

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// echo is a wire in front of a server that sends back what it gets.
func echo(t *testing.T) *Wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c) // until the client has enough
			}()
		}
	}()
	return wire(t, "127.0.0.1:0", l.Addr().String())
}

func dial(t *testing.T, w *Wire) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", w.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ask sends bytes and returns how many came back within a time, with the error that ended it.
func ask(t *testing.T, c net.Conn, n int, within time.Duration) (int, error) {
	t.Helper()
	c.SetDeadline(time.Now().Add(within))
	if _, err := c.Write(make([]byte, n)); err != nil {
		return 0, err
	}
	return io.ReadFull(c, make([]byte, n))
}

func TestAWireForwardsCutsAndRefuses(t *testing.T) {
	w := echo(t)
	c := dial(t, w)
	if _, err := ask(t, c, 100_000, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	w.Cut()
	if _, err := ask(t, c, 1, 5*time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a cut connection answers with %v", err)
	}
	if _, err := ask(t, dial(t, w), 1, 5*time.Second); err != nil {
		t.Errorf("behind a cut: %v", err)
	}
	w.Refuse()
	if c, err := net.Dial("tcp", w.Addr()); err == nil {
		c.Close()
		t.Error("a refusing wire accepts")
	}
	if err := w.Accept(); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t, dial(t, w), 1, 5*time.Second); err != nil {
		t.Errorf("behind a refusal: %v", err)
	}
}

func TestAStalledWireDeliversLateAndAHalfOpenOneNever(t *testing.T) {
	w := echo(t)
	c := dial(t, w)
	if _, err := ask(t, c, 1, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	w.Stall()
	if _, err := ask(t, c, 10, 100*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a stalled wire: %v", err)
	}
	w.Flow()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadFull(c, make([]byte, 10)); err != nil {
		t.Errorf("behind a stall: %v", err)
	}
	w.HalfOpen()
	if n, err := ask(t, c, 10, 100*time.Millisecond); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("half-open: %d bytes, %v", n, err)
	}
	if _, err := ask(t, dial(t, w), 10, 5*time.Second); err != nil {
		t.Errorf("a new connection: %v", err)
	}
}

func TestASlowWireDelaysAndThrottles(t *testing.T) {
	w := echo(t)
	c := dial(t, w)
	w.Slow(50*time.Millisecond, 0)
	begin := time.Now()
	if _, err := ask(t, c, 1_000_000, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < 100*time.Millisecond {
		t.Errorf("both ways took %v", took)
	}
	w.Slow(0, 100_000)
	begin = time.Now()
	if _, err := ask(t, c, 20_000, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < 350*time.Millisecond {
		t.Errorf("20 kB there and back at 100 kB/s took %v", took)
	}
}

func TestAWireCutsInTheMiddleOfAnAnswer(t *testing.T) {
	w := echo(t)
	w.Clip(700)
	n, err := ask(t, dial(t, w), 1000, 5*time.Second)
	if n != 700 || err == nil || !w.Clipped() {
		t.Errorf("%d bytes, %v, clipped %t", n, err, w.Clipped())
	}
	if _, err := ask(t, dial(t, w), 1000, 5*time.Second); err != nil {
		t.Errorf("the next connection: %v", err)
	}
}

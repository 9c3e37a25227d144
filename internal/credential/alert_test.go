package credential

import (
	"io"
	"net"
	"testing"
	"time"
)

// noted keeps the first error of a write.
type noted struct {
	net.Conn
	err error
}

func (c *noted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if c.err == nil {
		c.err = err
	}
	return n, err
}

// A peer that says why and resets the connection is heard, although a write
// fails first.
func TestWhatAResetFollowsIsRead(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			// One byte of two: what is left unread makes a reset of the close.
			_, err = io.ReadFull(c, make([]byte, 1))
		}
		if err == nil {
			_, err = c.Write([]byte("alert"))
		}
		if err == nil {
			err = c.Close()
		}
		served <- err
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	inner := &noted{Conn: raw}
	c := AlertFirst(inner)
	if _, err := c.Write([]byte("ab")); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); inner.err == nil; {
		if n, err := c.Write([]byte("startup")); n != 7 || err != nil {
			t.Fatalf("the write gives %d, %v", n, err)
		}
		if time.Now().After(deadline) {
			t.Fatal("no write fails")
		}
	}
	got, _ := io.ReadAll(c)
	if string(got) != "alert" {
		t.Errorf("read %q, want the alert", got)
	}
	if Bare(c) != net.Conn(inner) || Bare(raw) != raw {
		t.Error("Bare gives another connection")
	}
}

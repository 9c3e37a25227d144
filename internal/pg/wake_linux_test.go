package pg

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A busy reader's low-water mark goes up, and comes down again by itself,
// which delivers the few bytes that lie below it.
func TestWaker(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	d := newReader(in)
	w := newWaker(in, &d.reads)
	mark := func() (n int) {
		_ = w.raw.Control(func(fd uintptr) { n, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT) })
		return n
	}
	for range 3 {
		// Reads as quick as these are what a busy server causes.
		for range 2 * busyReads {
			w.read()
		}
		if got := mark(); got != busyBytes || !w.busy.Load() {
			t.Fatalf("busy: the mark is %d", got)
		}
		if _, err := out.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		ended := make(chan struct{})
		go func() { w.run(done); close(ended) }()
		begin := time.Now()
		if _, err := io.ReadFull(in, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("one byte took %s", took)
		}
		for w.busy.Load() {
			time.Sleep(100 * time.Microsecond)
		}
		if got := mark(); got != 1 {
			t.Errorf("idle: the mark is %d", got)
		}
		close(done)
		<-ended
	}
	// Reads with time between them are no business.
	for range 3 * busyReads {
		w.read()
		w.since = w.since.Add(-busyWithin)
	}
	if w.busy.Load() {
		t.Error("slow reads made it busy")
	}
	if a, b := net.Pipe(); newWaker(a, &d.reads) != nil || newWaker(b, &d.reads) != nil {
		t.Error("a pipe has no low-water mark")
	}
}

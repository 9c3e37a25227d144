package pg

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand"
	"net"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair is two ends of a connection over tcp or unix.
func pair(t *testing.T, network string) (in, out net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if out, err = net.Dial(network, l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	if in, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	return in, out
}

// serve runs it until the returned function is called.
func (b *bulk) serve() (stop func()) {
	b.served = true
	done, ended := make(chan struct{}), make(chan struct{})
	go func() { b.run(done); close(ended) }()
	return func() { close(done); <-ended; b.served = false }
}

func (b *bulk) mark() (n int) {
	_ = b.raw.Control(func(fd uintptr) { n, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT) })
	return n
}

// A busy reader's low-water mark goes up, and comes down again by itself,
// which delivers the few bytes that lie below it.
func TestBulk(t *testing.T) {
	in, out := pair(t, "tcp")
	b := newBulk(in, in)
	for range 3 {
		b.served = true
		// Reads as quick as these are what a busy server causes.
		for range 2 * busyReads {
			b.note(1)
		}
		if got := b.mark(); got != busyBytes || !b.busy.Load() {
			t.Fatalf("busy: the mark is %d", got)
		}
		if _, err := out.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		stop := b.serve()
		begin := time.Now()
		if _, err := io.ReadFull(b, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("one byte took %s", took)
		}
		for b.busy.Load() {
			time.Sleep(100 * time.Microsecond)
		}
		if got := b.mark(); got != 1 {
			t.Errorf("idle: the mark is %d", got)
		}
		stop()
	}
	// Reads with time between them are no business, however much they find,
	// unless there was much business a moment ago.
	b.dropped = b.dropped.Add(-2 * againWithin)
	for range 3 * busyReads {
		b.note(muchBytes)
		b.since = b.since.Add(-busyWithin)
	}
	if b.busy.Load() {
		t.Error("slow reads made it busy")
	}
	b.dropped = time.Now()
	if b.note(muchBytes); !b.busy.Load() {
		t.Error("after a moment's pause it is not busy again")
	}
	// What ends while the mark is up leaves none behind.
	b.serve()()
	if got := b.mark(); got != 1 || b.busy.Load() {
		t.Errorf("ended: the mark is %d", got)
	}
	// When the mark comes down just before a reader begins to wait, the wake-up
	// was for nobody: it must not wait.
	if _, err := out.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	for n := 0; n == 0; {
		_ = b.raw.Control(func(fd uintptr) { n = queued(fd) })
	}
	waited := make(chan struct{})
	go func() { b.gather(); close(waited) }()
	select {
	case <-waited:
	case <-time.After(5 * time.Second):
		t.Fatal("it waits with the mark down, and a byte there")
	}
	if a, _ := net.Pipe(); newBulk(a, a).raw != nil {
		t.Error("a pipe has no low-water mark")
	}
}

// A reader that is far behind a server on its host rests before it reads on, but not while much is there.
func TestBulkRestsWhileBehind(t *testing.T) {
	in, out := pair(t, "tcp")
	b := newBulk(in, in)
	// sleeps tells whether it does; a pause of the machine is no rest.
	sleeps := func() bool {
		for range 5 {
			begin := time.Now()
			if b.rests(); time.Since(begin) < restFrom {
				return false
			}
		}
		return true
	}
	if b.behind = restFrom*restPart - 1; b.rests() || sleeps() {
		t.Error("it rests although it is hardly behind")
	}
	b.behind = time.Minute
	begin := time.Now()
	if !b.rests() {
		t.Error("it does not rest although it is a minute behind")
	}
	if took := time.Since(begin); took < restAtMost || took > restAtMost+time.Second {
		t.Errorf("a minute behind it rested for %s", took)
	}
	if b.near = false; b.rests() || sleeps() {
		t.Error("it rests although the server is far away")
	}
	b.near = true
	if b.last = restAfter; !b.rests() || sleeps() {
		t.Error("it waits although the server has just sent much at once")
	}
	b.last = 0
	if _, err := out.Write(make([]byte, 2*restBelow)); err != nil {
		t.Fatal(err)
	}
	for b.queued() < restBelow {
		time.Sleep(time.Millisecond)
	}
	if !b.rests() || sleeps() {
		t.Error("it waits although much is there")
	}
}

// What waits for longer than a tick ends being busy; a rest does not.
func TestBulkStaysBusyWhileItRests(t *testing.T) {
	in, _ := pair(t, "tcp")
	b := newBulk(in, in)
	b.behind = time.Minute
	defer b.serve()()
	for try := 1; ; try++ { // the tick may come between being busy and the rest
		for range 2 * busyReads {
			b.note(1)
		}
		if b.rests(); b.busy.Load() {
			return
		}
		if try == 20 {
			t.Fatal("after a rest it is not busy any more")
		}
	}
}

// While nothing is read for long, what we write is acknowledged: the window closes
// before what was sent inside it has no room, for with that the kernel drops the
// acknowledgements behind it.
func TestBulkIsAcknowledgedWhileNothingIsRead(t *testing.T) {
	for name, behind := range map[string]time.Duration{"up to date": 0, "far behind": time.Minute} {
		for _, first := range []int{1 << 10, 200 << 10, 4 << 20} {
			for seed := range int64(2) {
				t.Run(fmt.Sprintf("%s, after %d KB, seed %d", name, first>>10, seed), func(t *testing.T) {
					t.Parallel()
					isAcknowledged(t, behind, first, seed)
				})
			}
		}
	}
}

func isAcknowledged(t *testing.T, behind time.Duration, first int, seed int64) {
	in, out := pair(t, "tcp")
	b := newBulk(in, in)
	defer b.serve()()
	b.behind = behind
	go func() { // as a server does, one write for each message, and some are large
		random := rand.New(rand.NewSource(seed))
		length, large, often := 50+random.Intn(400), 1000+random.Intn(64_000), 1+random.Intn(400)
		for i, n := 0, 0; ; i++ {
			message := make([]byte, length+random.Intn(100))
			if i%often == 0 {
				message = make([]byte, large)
			}
			if _, err := out.Write(message); err != nil {
				return
			}
			if n += len(message); n > first && i%50 == 0 {
				time.Sleep(time.Duration(random.Intn(20)) * time.Millisecond)
			}
		}
	}()
	reader := newReader(b)
	for n := 0; n < first; {
		k, err := b.Read(reader.buf)
		if err != nil {
			t.Fatal(err)
		}
		n += k
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	for range 30 {
		time.Sleep(100 * time.Millisecond)
		if _, err := in.Write(make([]byte, statusSize)); err != nil {
			t.Fatal(err)
		}
	}
	unacknowledged := -1
	for range 20 {
		_ = b.raw.Control(func(fd uintptr) { unacknowledged, _ = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) })
		if unacknowledged == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("%d bytes are not acknowledged, %d wait to be read", unacknowledged, b.queued())
}

// A busy reader takes much at a time, without taking the little before it.
func TestBulkGathers(t *testing.T) {
	t.Run("tcp", func(t *testing.T) { gathers(t, "tcp", busyBytes/2) })
	t.Run("unix", func(t *testing.T) { gathers(t, "unix", busyBytes/4) })
}

func gathers(t *testing.T, network string, least int) {
	in, out := pair(t, network)
	b := newBulk(in, in)
	go func() {
		message := make([]byte, 256)
		for { // as a server does, one write for each message
			if _, err := out.Write(message); err != nil {
				return
			}
		}
	}()
	defer b.serve()()
	reader := newReader(b)
	for b.reads.Load() < 200 { // until it is busy
		if _, err := b.Read(reader.buf); err != nil {
			t.Fatal(err)
		}
	}
	reads, n := b.reads.Load(), 0
	for n < 16<<20 {
		k, err := b.Read(reader.buf)
		if err != nil {
			t.Fatal(err)
		}
		n += k
	}
	if mean := n / int(b.reads.Load()-reads); mean < least {
		t.Errorf("a read took %d bytes", mean)
	}
}

// Bursts of every length, each written when the one before has been read, so
// that nothing but the mark's coming down delivers the rest of it: every byte
// arrives, in order and soon.
func TestBulkLosesNoWakeUp(t *testing.T) {
	for name, c := range map[string]struct {
		network string
		behind  time.Duration
	}{"tcp": {"tcp", 0}, "tcp, far behind": {"tcp", time.Minute}, "unix": {"unix", 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			losesNoWakeUp(t, c.network, c.behind)
		})
	}
}

func losesNoWakeUp(t *testing.T, network string, behind time.Duration) {
	in, out := pair(t, network)
	b := newBulk(in, in)
	b.behind = behind
	defer b.serve()()
	random := rand.New(rand.NewSource(1))
	var written, read uint64
	var worst time.Duration
	lasts := 3 * time.Second
	if testing.Short() {
		lasts /= 10
	}
	bursts := 0
	for end := time.Now().Add(lasts); time.Now().Before(end); bursts++ {
		pauses := random.Intn(3) == 0
		var lengths []int
		for range 1 + random.Intn(200) {
			lengths = append(lengths, 8*(1+random.Intn(60)))
		}
		last := make(chan time.Time, 1)
		from := written
		for _, n := range lengths {
			written += uint64(n)
		}
		go func() {
			at := from
			for _, n := range lengths {
				message := make([]byte, 0, n)
				for range n / 8 {
					message = binary.BigEndian.AppendUint64(message, at)
					at += 8
				}
				if pauses {
					time.Sleep(20 * time.Microsecond)
				}
				if _, err := out.Write(message); err != nil {
					t.Error(err)
				}
			}
			last <- time.Now()
		}()
		if err := in.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		for read < written {
			p := make([]byte, 1+random.Intn(40_000))
			n, err := b.Read(p)
			if err != nil {
				t.Fatalf("burst %d, %d of %d bytes: %v", bursts, read, written, err)
			}
			read += uint64(n)
			got.Write(p[:n])
		}
		for at := from; got.Len() > 0; at += 8 {
			if v := binary.BigEndian.Uint64(got.Next(8)); v != at {
				t.Fatalf("at %d: %d", at, v)
			}
		}
		worst = max(worst, time.Since(<-last))
	}
	t.Logf("%d bursts, %d bytes in %d reads, the worst waited for %s", bursts, read, b.reads.Load(), worst)
}

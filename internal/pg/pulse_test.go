package pg

import (
	"encoding/binary"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// status is one standby status update, and when it came.
type status struct {
	at                    time.Duration
	written, flush, apply lsn
	ask                   bool
}

// runPulse runs a pulse for d of fake time and gives what it wrote and why it
// stopped. during runs beside it.
func runPulse(t *testing.T, pending bool, d time.Duration, during func(*pulse)) (got []status, err error) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		r := &reader{}
		r.pending.Store(pending)
		confirmed := new(atomic.Uint64)
		confirmed.Store(100)
		h := outbox.NewHandoff(2, outbox.Limits{Rows: 1, Bytes: 1}, outbox.Resume{})
		f, ferr := newFeed(nil, outbox.Resume{}, 90, h, 0, confirmed)
		if ferr != nil {
			t.Fatal(ferr)
		}
		p := newPulse(near, r, f, h)
		begin := time.Now()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			var b [statusSize]byte
			for n := 0; ; {
				k, err := far.Read(b[n:])
				if err != nil {
					return
				}
				if n += k; n < len(b) {
					continue
				}
				n = 0
				if b[0] != 'd' || binary.BigEndian.Uint32(b[1:]) != statusSize-1 || b[5] != 'r' {
					t.Errorf("not a status update: %x", b)
				}
				got = append(got, status{
					at:      time.Since(begin),
					written: lsn(binary.BigEndian.Uint64(b[6:])), flush: lsn(binary.BigEndian.Uint64(b[14:])),
					apply: lsn(binary.BigEndian.Uint64(b[22:])), ask: b[38] == 1,
				})
			}
		}()
		done := make(chan struct{})
		stopped := make(chan struct{})
		go func() { p.run(done); close(stopped) }()
		if during != nil {
			go during(p)
		}
		time.Sleep(d)
		close(done)
		<-stopped
		near.Close()
		<-ended
		if fail := p.fail.Load(); fail != nil {
			err = *fail
		}
	})
	return got, err
}

// A server that stays silent while a read waits is asked every second, and
// given up after 20 s.
func TestPulseSilence(t *testing.T) {
	got, err := runPulse(t, true, 30*time.Second, nil)
	if !errors.Is(err, errSilent) {
		t.Errorf("got %v", err)
	}
	if len(got) != 19 {
		t.Errorf("%d updates", len(got))
	}
	for _, s := range got {
		if !s.ask || s.flush != 100 || s.apply != 100 || s.written != 100 {
			t.Errorf("%+v", s)
		}
	}
}

// While the reader waits for the publisher, silence is no sign; updates go out
// every 5 s.
func TestPulseWhilePushedBack(t *testing.T) {
	got, err := runPulse(t, false, time.Minute+time.Millisecond, nil)
	if err != nil {
		t.Error(err)
	}
	if len(got) < 12 || len(got) > 13 {
		t.Errorf("%d updates", len(got))
	}
	for _, s := range got {
		if s.ask {
			t.Errorf("%+v", s)
		}
	}
}

// A confirmed position goes out at once.
func TestPulseConfirms(t *testing.T) {
	got, err := runPulse(t, false, 3*time.Second, func(p *pulse) {
		time.Sleep(1500 * time.Millisecond)
		p.f.confirmed.Store(200)
		p.now()
	})
	if err != nil {
		t.Error(err)
	}
	last := got[len(got)-1]
	if last.at != 1500*time.Millisecond || last.flush != 200 || last.written != 200 {
		t.Errorf("%+v", got)
	}
}

// A server that takes nothing is given up, too.
func TestPulseWriteStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		h := outbox.NewHandoff(2, outbox.Limits{Rows: 1, Bytes: 1}, outbox.Resume{})
		f, err := newFeed(nil, outbox.Resume{}, 90, h, 0, new(atomic.Uint64))
		if err != nil {
			t.Fatal(err)
		}
		p := newPulse(near, &reader{}, f, h)
		p.run(nil)
		if p.fail.Load() == nil {
			t.Error("it ended without a cause")
		}
	})
}

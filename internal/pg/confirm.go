package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Confirm tells the server that its log up to p is not needed any more. It may
// be called beside Stream, and only wakes the goroutine that tells. It only
// ever raises what is confirmed. A position that the server has not reached is
// an error: the server would believe it, and skip every row up to there.
func (s *Source) Confirm(_ context.Context, p outbox.Position) error {
	at, err := positionLSN(p)
	if err != nil {
		return fmt.Errorf("confirm: %w", err)
	}
	st := s.live.Load()
	if st == nil {
		return nil // Stream begins with what its Resume says
	}
	if end := lsn(st.f.published.Load()); at > end {
		return fmt.Errorf("confirm %s: the server has told of its log up to %s only", at, end)
	}
	if s.raise(at) {
		st.p.now()
	}
	return nil
}

// raise lifts the confirmed position; false when it was there already.
func (s *Source) raise(at lsn) bool {
	for {
		old := s.conf.Load()
		if uint64(at) <= old {
			return false
		}
		if s.conf.CompareAndSwap(old, uint64(at)) {
			return true
		}
	}
}

// ConfirmWait confirms p on the connection that Stream left open, and waits
// until the server shows it. Call it after Stream has returned. Without such a
// connection it is an error; nothing is lost by it, because the next start
// confirms what its checkpoint holds.
func (s *Source) ConfirmWait(ctx context.Context, p outbox.Position) error {
	at, err := positionLSN(p)
	if err != nil {
		return fmt.Errorf("confirm: %w", err)
	}
	st := s.strm
	if st == nil || st.closed || st.f == nil {
		return fmt.Errorf("confirm %s: there is no stream to tell it on", at)
	}
	if end := lsn(st.f.published.Load()); at > end {
		return fmt.Errorf("confirm %s: the server has told of its log up to %s only", at, end)
	}
	s.raise(at)
	x, err := s.control()
	if err != nil {
		return err
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		if err := st.p.send(time.Now(), false); err != nil {
			return fmt.Errorf("confirm %s: %w", at, err)
		}
		if err := pause(ctx, wait); err != nil {
			return fmt.Errorf("confirm %s: %w", at, err)
		}
		sl, err := s.loadSlot(ctx, x, st.slot)
		if err != nil {
			return fmt.Errorf("confirm %s: %w", at, err)
		}
		if sl.confirmed >= at {
			return nil
		}
	}
}

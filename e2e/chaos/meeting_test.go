package chaos

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tailer-io/tailer/e2e/harness"
)

// witness is a test whose failure can be watched.
type witness struct {
	testing.TB
	failed atomic.Bool
}

func (w *witness) Helper() {}

func (w *witness) Fatal(...any) {
	w.failed.Store(true)
	runtime.Goexit()
}

// meet lets worlds of a meeting of three do something, each in a goroutine as a test does, and tells which of them failed.
func meet(t *testing.T, do func(i int, s *seat)) (failed [3]bool) {
	m := newMeeting(len(failed))
	var witnesses [len(failed)]witness
	var wg sync.WaitGroup
	for i := range failed {
		wg.Go(func() {
			s := m.seat(i)
			defer s.leave()
			s.take(&World{Case: &harness.Case{TB: &witnesses[i]}})
			do(i, s)
		})
	}
	wg.Wait()
	for i := range failed {
		failed[i] = witnesses[i].failed.Load()
	}
	return failed
}

func TestOneStrikesForAllWhenAllAreThere(t *testing.T) {
	const rounds = 200
	var came, struck atomic.Int32
	failed := meet(t, func(_ int, s *seat) {
		for round := range int32(rounds) {
			came.Add(1)
			s.together(func() {
				if n := came.Load(); n != 3*(round+1) {
					t.Errorf("round %d: struck when %d had come", round, n)
				}
				struck.Add(1)
			})
			if n := struck.Load(); n <= round {
				t.Errorf("round %d: went on after %d strikes", round, n)
			}
		}
	})
	if n := struck.Load(); n != rounds || failed != [3]bool{} {
		t.Errorf("%d strikes in %d rounds; failed: %v", n, rounds, failed)
	}
}

func TestAWorldThatFailsIsNotWaitedFor(t *testing.T) {
	for _, gone := range []int{0, 1} {
		failed := meet(t, func(i int, s *seat) {
			if i != gone {
				s.together(func() { t.Error("struck although one is missing") })
			}
		})
		want := [3]bool{true, true, true}
		want[gone] = false // not by the meeting
		if failed != want {
			t.Errorf("world %d left; failed by it: %v", gone, failed)
		}
	}
}

func TestAStrikeThatFailsFailsAll(t *testing.T) {
	failed := meet(t, func(_ int, s *seat) {
		s.together(func() { s.worlds[s.index].Fatal("the strike failed") })
	})
	if failed != [3]bool{true, true, true} {
		t.Errorf("failed: %v", failed)
	}
}

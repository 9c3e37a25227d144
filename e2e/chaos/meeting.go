package chaos

import "sync"

// meeting is where worlds wait for each other that are struck by the same strike.
type meeting struct {
	mu     sync.Mutex // guards all below
	change *sync.Cond
	worlds []*World
	here   int  // how many wait
	turn   int  // how often they have met
	broken bool // one of them left: it failed, or the strike did

	heal func() // what undoes the strike; for the world that does it
}

// seat is one world's place at a meeting.
type seat struct {
	*meeting
	index int
}

func newMeeting(worlds int) *meeting {
	m := &meeting{worlds: make([]*World, worlds)}
	m.change = sync.NewCond(&m.mu)
	return m
}

func (m *meeting) seat(i int) *seat { return &seat{m, i} }

// take sits down a world.
func (s *seat) take(w *World) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.worlds[s.index] = w
}

// leave ends the meeting for all: whoever is through has nobody left to wait for, and who failed is not waited for.
func (s *seat) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = true
	s.change.Broadcast()
}

// together waits until all worlds are here, lets the first one do it, and returns when that is done. It fails the world
// where another one has failed.
func (s *seat) together(do func()) {
	s.mu.Lock()
	w, turn := s.worlds[s.index], s.turn
	w.Helper()
	s.here++
	s.change.Broadcast()
	for turn == s.turn && !s.broken {
		if s.index > 0 || s.here < len(s.worlds) {
			s.change.Wait()
			continue
		}
		s.mu.Unlock()
		do() // where it fails the test, the world leaves
		s.mu.Lock()
		s.here, s.turn = 0, turn+1
		s.change.Broadcast()
	}
	met := turn < s.turn
	s.mu.Unlock()
	if !met {
		w.Fatal("a world that is struck together with this one has failed")
	}
}

// struck are the worlds that a strike of this one befalls.
func (w *World) struck() []*World {
	if w.seat == nil {
		return []*World{w}
	}
	return w.seat.worlds
}

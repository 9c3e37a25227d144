package measure

import (
	"slices"
	"sync"
	"time"
)

// Process is one whose CPU is measured.
type Process struct {
	PID  int
	Tree bool // with all that it started
}

// CPU is the process's time so far, in seconds; 0 when it is gone or was never known.
func (p Process) CPU() float64 {
	if p.PID == 0 {
		return 0
	}
	read := CPU
	if p.Tree {
		read = TreeCPU
	}
	n, _ := read(p.PID)
	return n
}

// Sampler notes what processes have used, every 50 ms: the end of a run is known only after it was read back, and
// what they do after their work is not to be counted.
type Sampler struct {
	processes []Process
	stop      chan struct{}
	wg        sync.WaitGroup

	mu      sync.Mutex // guards samples
	samples []sample
}

type sample struct {
	at  time.Time
	cpu []float64
}

// Sample begins to sample. The first sample is taken before it returns.
func Sample(processes ...Process) *Sampler {
	s := &Sampler{processes: processes, stop: make(chan struct{})}
	s.take()
	s.wg.Go(func() {
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-s.stop:
				return
			case <-ticker.C:
				s.take()
			}
		}
	})
	return s
}

func (s *Sampler) take() {
	now := sample{at: time.Now()}
	for _, p := range s.processes {
		now.cpu = append(now.cpu, p.CPU())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.samples = append(s.samples, now)
}

// Stop ends the sampling; a second call does nothing.
func (s *Sampler) Stop() {
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	s.wg.Wait()
}

// At is what the processes had used at the first sample after a moment, in seconds, in their order.
func (s *Sampler) At(moment time.Time) []float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.samples, func(one sample) bool { return !one.at.Before(moment) })
	if i < 0 {
		i = len(s.samples) - 1
	}
	return s.samples[i].cpu
}

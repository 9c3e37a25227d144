package chaos

import "time"

// networkFaults are the same on both sides.
func networkFaults() (faults []Fault) {
	for _, side := range []struct {
		name  string
		wires func(*World) []*Wire
	}{
		{"brokers", func(w *World) []*Wire { return w.brokers }},
		{"source", func(w *World) []*Wire { return []*Wire{w.source} }},
	} {
		each := func(do, undo func(*Wire)) func(*World) func() {
			return func(w *World) func() {
				for _, x := range side.wires(w) {
					do(x)
				}
				if undo == nil {
					return nil
				}
				return func() {
					for _, x := range side.wires(w) {
						undo(x)
					}
				}
			}
		}
		add := func(f Fault) {
			f.Name, f.Layer, f.Expect = side.name+": "+f.Name, Network, "goes on"
			faults = append(faults, f)
		}
		accept := func(x *Wire) { _ = x.Accept() } // fails on a port that somebody took: then nothing goes on, and that is seen
		add(Fault{Name: "cut", Do: each((*Wire).Cut, nil), Short: true})
		add(Fault{Name: "refused", Min: 500 * time.Millisecond, Max: 5 * time.Second, Do: each((*Wire).Refuse, accept)})
		add(Fault{Name: "refused for long", Long: true, Alone: true, Do: each((*Wire).Refuse, accept)})
		add(Fault{Name: "stalled for long", Long: true, Alone: true, Do: each((*Wire).Stall, (*Wire).Flow)})
		add(Fault{Name: "half-open", Do: each((*Wire).HalfOpen, nil)})
		add(Fault{Name: "stalled", Min: 500 * time.Millisecond, Max: 8 * time.Second, Do: each((*Wire).Stall, (*Wire).Flow), Short: true})
		add(Fault{Name: "200 ms latency", Through: true,
			Do: each(func(x *Wire) { x.Slow(200*time.Millisecond, 0) }, func(x *Wire) { x.Slow(0, 0) })})
		add(Fault{Name: "256 kB/s", Min: 2 * time.Second, Max: 5 * time.Second,
			Do: each(func(x *Wire) { x.Slow(0, 256<<10) }, func(x *Wire) { x.Slow(0, 0) })})
		add(Fault{Name: "answer cut in the middle", First: true, Do: func(w *World) func() {
			wires := side.wires(w)
			for _, x := range wires {
				x.Clip(1 + w.random.Intn(2000))
			}
			w.Wait("an answer is cut", time.Minute, func() (bool, string) {
				for _, x := range wires {
					if x.Clipped() {
						return true, ""
					}
				}
				w.tend()
				return false, "none was"
			})
			for _, x := range wires {
				x.Clip(0)
			}
			return nil
		}})
	}
	return append(faults, Fault{Name: "one broker cut off", Layer: Network, Expect: "goes on once it is back", Own: true,
		Min: time.Second, Max: 5 * time.Second,
		Do: func(w *World) func() {
			x := w.brokers[w.random.Intn(len(w.brokers))]
			x.Refuse()
			return func() {
				if err := x.Accept(); err != nil {
					w.Fatal(err)
				}
			}
		}})
}

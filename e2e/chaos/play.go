package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// play strikes a world with a fault once, under load, and returns how long tailer took to go on.
func (w *World) play(f *Fault) (took time.Duration) {
	w.Helper()
	w.ends = f.Ends
	w.load.Pause = pace
	if f.Long {
		w.load.Pause = 20 * pace // there is time enough
	}
	w.write(f.Rough)
	w.flowing()
	w.pause(0, 500*time.Millisecond)
	heal := w.strike(f)
	switch {
	case f.refusal():
		took = w.refused(f)
	case f.Through:
		took = w.goesOn(f.within())
		if heal != nil {
			heal()
		}
	default:
		if f.Long {
			w.pause(w.long, w.long)
		}
		w.pause(f.Min, f.Max)
		if heal != nil {
			heal()
		}
		took = w.goesOn(f.within())
	}
	w.stop()
	return took
}

// strike is f.Do, done by one of the worlds at a meeting for all of them; healing is the same.
func (w *World) strike(f *Fault) (heal func()) {
	w.Helper()
	if w.seat == nil {
		return f.Do(w)
	}
	m := w.seat.meeting
	w.seat.together(func() { m.heal = f.Do(w) })
	return func() {
		w.seat.together(func() {
			if m.heal != nil {
				m.heal()
			}
		})
	}
}

// playBoth strikes with two faults of different layers, one while the other lasts. What strikes tailer comes second:
// the other may need one that publishes.
func (w *World) playBoth(a, b *Fault) (took time.Duration) {
	w.Helper()
	w.ends = append(slices.Clone(a.Ends), b.Ends...)
	if b.First || a.Layer == Tailer {
		a, b = b, a
	}
	w.load.Pause = pace
	w.write(a.Rough || b.Rough)
	w.flowing()
	var heals []func()
	for _, f := range []*Fault{a, b} {
		if heal := f.Do(w); heal != nil {
			heals = append(heals, heal)
		}
		w.pause(0, time.Second)
	}
	w.pause(max(a.Min, b.Min), max(a.Max, b.Max))
	w.random.Shuffle(len(heals), func(i, j int) { heals[i], heals[j] = heals[j], heals[i] })
	for _, heal := range heals {
		heal()
	}
	took = w.goesOn(a.within() + b.within())
	w.stop()
	return took
}

// flowing waits until messages of the new round arrive.
func (w *World) flowing() {
	w.Helper()
	w.arrive(w.reader.IDs()+100+w.random.Intn(900), 2*time.Minute)
}

// goesOn demands that everything arrives that is committed now, and more.
func (w *World) goesOn(within time.Duration) time.Duration {
	w.Helper()
	begin := time.Now()
	// Rough writers do not know of all that they have committed: then one that arrives from now on is what counts.
	w.arrive(max(w.load.Committed()-len(w.forgotten), w.reader.IDs())+1, within)
	return time.Since(begin)
}

// arrive waits for so many ids, and keeps the crew running.
func (w *World) arrive(ids int, within time.Duration) {
	w.Helper()
	w.Wait(fmt.Sprintf("%d ids can be read", ids), within, func() (bool, string) {
		w.tend()
		n := w.reader.IDs()
		return n >= ids, fmt.Sprint(n, " ids")
	})
}

// refused demands that the only tailer ends with status 3 and the fault's words.
func (w *World) refused(f *Fault) time.Duration {
	w.Helper()
	begin := time.Now()
	p := w.crew[0]
	p.Want(3, f.within())
	w.Logf("it refused with: %s", last(p.Stderr(), 2))
	text := strings.ToLower(p.Stderr())
	for _, word := range f.Refuses {
		if !strings.Contains(text, strings.ToLower(word)) {
			w.Errorf("the refusal does not name %q:\n%s", word, last(p.Stderr(), 20))
		}
	}
	return time.Since(begin)
}

// judge ends load and tailers and compares. The findings are the caller's to count.
func (w *World) judge(f *Fault) *check.Report {
	w.Helper()
	want := w.wanted
	if want == nil {
		want = w.load.Want()
	}
	want = slices.DeleteFunc(want, func(m check.Want) bool { return w.forgotten[m.ID] })
	if !f.refusal() {
		w.settle(len(want))
		for _, p := range w.crew {
			p.Stop()
		}
	}
	report := w.Judge(want, check.ExactlyOnce)
	if f.refusal() {
		report.Lost = w.behindTheGap(want)
	}
	if f.Grows {
		report.Misplaced = w.nowhere(want)
	}
	return report
}

// settle waits until so many ids can be read, or until a tailer has long had nothing left to publish: what is missing
// then is lost, and the checker says what it is.
func (w *World) settle(ids int) {
	w.Helper()
	seen, since := -1, time.Now()
	w.Wait(fmt.Sprintf("%d ids can be read, or nothing is left to publish", ids), 4*time.Minute, func() (bool, string) {
		w.tend()
		n := w.reader.IDs()
		idle := slices.ContainsFunc(w.crew, func(p *harness.Tailer) bool { return p.State() == "caught_up" })
		if n != seen || !idle {
			seen, since = n, time.Now()
		}
		return n >= ids || time.Since(since) > 15*time.Second, fmt.Sprint(n, " ids")
	})
}

// behindTheGap lists messages that are missing although a younger one of the same key was published: a refusal
// publishes nothing behind what it cannot prove.
func (w *World) behindTheGap(want []check.Want) (missing []string) {
	w.Helper()
	published := map[string]bool{}
	for _, r := range w.Kafka.Records(w, w.load.Topics()...) {
		if id, ok := r.ID(); ok {
			published[id] = true
		}
	}
	slices.SortFunc(want, func(a, b check.Want) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), strings.Compare(a.Key, b.Key), cmp.Compare(b.Seq, a.Seq))
	})
	younger, of := false, ""
	for _, m := range want { // of each key the youngest first
		if key := m.Topic + "\x00" + m.Key; key != of {
			younger, of = false, key
		}
		if published[m.ID] {
			younger = true
		} else if younger {
			missing = append(missing, fmt.Sprintf("id %s topic %s key %s number %d", m.ID, m.Topic, m.Key, m.Seq))
		}
	}
	return missing
}

// nowhere lists messages on a partition that no number of partitions from the first to today's would have given them.
func (w *World) nowhere(want []check.Want) (misplaced []string) {
	w.Helper()
	counts, err := check.Partitions(w.Context(), w.Kafka.Admin, w.load.Topics()...)
	if err != nil {
		w.Fatal(err)
	}
	for _, r := range w.Kafka.Records(w, w.load.Topics()...) {
		fits := false
		for n := int32(partitions); n <= counts[r.Topic]; n++ {
			fits = fits || check.Partition(r.Key, n) == r.Partition
		}
		if !fits {
			misplaced = append(misplaced, fmt.Sprintf("%s/%d@%d key %q", r.Topic, r.Partition, r.Offset, r.Key))
		}
	}
	return misplaced
}

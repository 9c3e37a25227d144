package chaos

import (
	"fmt"
	"hash/fnv"
	"math/rand"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/harness"
)

// options are what the environment says; see the package's comment.
type options struct {
	seed     int64
	sources  []string
	faults   *regexp.Regexp
	short    bool
	times    int
	long     time.Duration
	mixed    int
	mixedFor time.Duration
	file     string // where the runs' results add up; "": nowhere
	versions string // of what is under test

	mu      sync.Mutex // guards results, the file, and done
	results []*Result
	done    map[[2]string]int // plays, those of former runs included, by source and fault
}

func readOptions(t *testing.T) *options {
	t.Helper()
	number := func(name string, def int64) int64 {
		v := os.Getenv(name)
		if v == "" {
			return def
		}
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return n
	}
	duration := func(name string, def time.Duration) time.Duration {
		v := os.Getenv(name)
		if v == "" {
			return def
		}
		d, err := time.ParseDuration(v)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return d
	}
	o := &options{seed: number("CHAOS_SEED", time.Now().UnixNano()), times: int(number("CHAOS_TIMES", 2)),
		long: duration("CHAOS_LONG", time.Minute), file: os.Getenv("CHAOS_RESULTS"), mixedFor: time.Hour,
		sources: []string{"postgres", "mysql", "mariadb"}, done: map[[2]string]int{}}
	faults := os.Getenv("CHAOS_FAULTS")
	if o.short = !own() && faults == ""; o.short {
		o.sources = []string{o.sources[rand.New(rand.NewSource(o.seed)).Intn(3)]}
		o.mixedFor = 30 * time.Second
		faults = "^mixed$"
	}
	o.mixed = int(number("CHAOS_MIXED", max(8, int64(o.times))))
	if v := os.Getenv("CHAOS_SOURCES"); v != "" {
		o.sources = strings.Split(v, ",")
	}
	var err error
	if o.faults, err = regexp.Compile(faults); err != nil {
		t.Fatalf("CHAOS_FAULTS: %v", err)
	}
	version, err := exec.Command(harness.Binary(t), "version").Output()
	if err != nil {
		t.Fatal(err)
	}
	o.versions, _, _ = strings.Cut(strings.TrimSpace(string(version)), "\n")
	if o.file != "" {
		former, err := Load(o.file)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range former {
			if r.Versions != o.versions {
				continue
			}
			o.done[[2]string{r.Source, r.Fault}] += len(r.Took)
		}
	}
	return o
}

// has reports whether a fault is to be played.
func (o *options) has(f *Fault, kind string) bool {
	return f.fits(kind) && (own() || !f.Own) && (!o.short || f.Short)
}

// left is how often a fault is still to be played.
func (o *options) left(kind string, f *Fault) int {
	times := o.times
	if f.Long {
		times = min(times, 2)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return times - o.done[[2]string{kind, f.Name}]
}

// begin counts plays that are about to be made, and returns how many there were before.
func (o *options) begin(kind, name string, times int) (before int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before = o.done[[2]string{kind, name}]
	o.done[[2]string{kind, name}] += times
	return before
}

// named gives every world a seed of its own, so that one can be played without the others.
func (o *options) named(kind, name string, nth int) int64 {
	h := fnv.New64a()
	fmt.Fprint(h, kind, "\x00", name, "\x00", nth)
	return o.seed ^ int64(h.Sum64()>>1)
}

// keep puts a result where the runs' results add up, and tells how far the run is.
func (o *options) keep(t *testing.T, r *Result) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	r.Seed = o.seed
	o.results = append(o.results, r)
	fmt.Println(strings.Join(r.cells(), " | "))
	if o.file == "" {
		return
	}
	if err := Append(o.file, r); err != nil {
		t.Error(err)
	}
}

// lane is what is played one after the other, while other lanes of its stage are played beside it.
type lane struct {
	name string
	play []func(*testing.T)
}

// lanes are three stages: faults that nobody else notices, side by side; those that shake a database server, one after
// the other on each; and those that shake the brokers, one after the other, each for all sources at once, and mixtures.
func (o *options) lanes() (stages [3][]lane) {
	all := Faults()
	shaking := map[*Fault][]string{}
	var mixtures []lane
	for _, kind := range o.sources {
		var mixable []*Fault
		server := lane{name: kind}
		for _, f := range all {
			if !o.has(f, kind) {
				continue
			}
			if !f.Alone && !f.refusal() {
				mixable = append(mixable, f)
			}
			if !o.faults.MatchString(f.Name) || o.left(kind, f) <= 0 {
				continue
			}
			play := func(t *testing.T) { alone(t, o, kind, f) }
			switch f.Shakes {
			case Source:
				server.play = append(server.play, play)
			case Kafka:
				shaking[f] = append(shaking[f], kind)
			default:
				stages[0] = append(stages[0], lane{fmt.Sprintf("%s, %s", kind, f.Name), []func(*testing.T){play}})
			}
		}
		if left := o.mixed - o.done[[2]string{kind, "mixed"}]; left > 0 && o.faults.MatchString("mixed") {
			play := func(t *testing.T) { mixed(t, o, kind, mixable, left) }
			mixtures = append(mixtures, lane{kind, []func(*testing.T){play}})
		}
		stages[1] = append(stages[1], server)
	}
	for _, f := range all {
		if kinds := shaking[f]; len(kinds) > 0 {
			play := func(t *testing.T) { together(t, o, kinds, f) }
			stages[2] = append(stages[2], lane{f.Name, []func(*testing.T){play}})
		}
	}
	if own() {
		stages[2] = append(stages[2], mixtures...)
	} else { // where nobody shakes the brokers
		stages[0] = append(stages[0], mixtures...)
	}
	return stages
}

func TestChaos(t *testing.T) {
	harness.Binary(t)
	o := readOptions(t)
	if own() {
		if three := os.Getenv("STACK_KAFKA3"); three != "" {
			t.Setenv("STACK_KAFKA", three)
		}
	}
	fmt.Printf("CHAOS_SEED=%d\n", o.seed)
	for i, stage := range o.lanes() {
		t.Run([]string{"own world", "server", "brokers"}[i], func(t *testing.T) {
			for _, lane := range stage {
				if len(lane.play) == 0 {
					continue
				}
				t.Run(lane.name, func(t *testing.T) {
					if i < 2 {
						t.Parallel()
					}
					for _, play := range lane.play {
						play(t)
					}
				})
			}
		})
	}
	fmt.Printf("\nCHAOS_SEED=%d\n%s", o.seed, Text(Merge(o.results)))
	if len(o.results) == 0 && len(o.done) == 0 {
		t.Error("no fault was played")
	}
}

// alone plays one fault as often as it is left, in worlds of one source.
func alone(t *testing.T, o *options, kind string, f *Fault) {
	for left := o.left(kind, f); left > 0; left = o.left(kind, f) {
		inAWorld(t, o, kind, f, min(left, f.timesInAWorld()), nil)
	}
}

// together plays one fault in worlds of several sources at once, all of which each strike befalls.
func together(t *testing.T, o *options, kinds []string, f *Fault) {
	for {
		var now []string
		times := f.timesInAWorld()
		for _, kind := range kinds {
			if left := o.left(kind, f); left > 0 {
				now, times = append(now, kind), min(times, left)
			}
		}
		if len(now) == 0 {
			return
		}
		m := newMeeting(len(now))
		t.Run(strings.Join(now, " "), func(t *testing.T) {
			for i, kind := range now {
				t.Run(kind, func(t *testing.T) {
					t.Parallel()
					inAWorld(t, o, kind, f, times, m.seat(i))
				})
			}
		})
	}
}

// inAWorld makes a world and plays a fault in it so many times. Where it has a seat at a meeting, the
// worlds there are struck together.
func inAWorld(t *testing.T, o *options, kind string, f *Fault, times int, s *seat) {
	nth := o.begin(kind, f.Name, times)
	r, begin := &Result{Source: kind, Fault: f.Name, Expect: f.Expect, Versions: o.versions}, time.Now()
	r.Failed = !t.Run(f.Name, func(t *testing.T) {
		if s != nil {
			defer s.leave()
		}
		w := NewWorld(t, kind, o.named(kind, f.Name, nth), f)
		w.long, w.seat = o.long, s
		if s != nil {
			s.take(w)
		}
		for range times {
			r.Times++
			r.Took = append(r.Took, w.play(f))
			r.Restarts = w.restarts
		}
		r.finish(w, f)
	})
	r.Spent = time.Since(begin)
	o.keep(t, r)
}

// mixed plays pairs of faults of different layers in one world.
func mixed(t *testing.T, o *options, kind string, faults []*Fault, times int) {
	nth := o.begin(kind, "mixed", times)
	r, begin := &Result{Source: kind, Fault: "mixed", Expect: "goes on", Versions: o.versions}, time.Now()
	r.Failed = !t.Run("mixed", func(t *testing.T) {
		w := NewWorld(t, kind, o.named(kind, "mixed", nth), &Fault{})
		for started := time.Now(); r.Times < times && time.Since(started) < o.mixedFor; {
			a := faults[w.random.Intn(len(faults))]
			b := a
			for b.Layer == a.Layer {
				b = faults[w.random.Intn(len(faults))]
			}
			fmt.Printf("%s | %s, and %s\n", kind, a.Name, b.Name)
			r.Times++
			r.Took = append(r.Took, w.playBoth(a, b))
			r.Restarts = w.restarts
		}
		r.finish(w, &Fault{})
	})
	r.Spent = time.Since(begin)
	o.keep(t, r)
}

// finish judges the world.
func (r *Result) finish(w *World, f *Fault) {
	w.Helper()
	report := w.judge(f)
	r.Rows, r.Findings = report.Wanted, findings(report)
	if !report.Clean() {
		w.Errorf("checker: %s", report)
	}
}

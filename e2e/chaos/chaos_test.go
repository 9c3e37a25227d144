package chaos

import (
	"fmt"
	"hash/fnv"
	"math/rand"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/harness"
)

// options are what the environment says; see the package's comment.
type options struct {
	seed    int64
	sources []string
	faults  *regexp.Regexp
	short   bool
	times   int
	mixed   int
	report  string
}

func readOptions(t *testing.T) options {
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
	o := options{seed: number("CHAOS_SEED", time.Now().UnixNano()), times: int(number("CHAOS_TIMES", 2)),
		mixed: int(number("CHAOS_MIXED", 8)), report: os.Getenv("CHAOS_REPORT"), sources: []string{"postgres", "mysql", "mariadb"}}
	faults := os.Getenv("CHAOS_FAULTS")
	if o.short = !own() && faults == ""; o.short {
		o.sources = []string{o.sources[rand.New(rand.NewSource(o.seed)).Intn(3)]}
		faults = "^mixed$"
	}
	if v := os.Getenv("CHAOS_SOURCES"); v != "" {
		o.sources = strings.Split(v, ",")
	}
	var err error
	if o.faults, err = regexp.Compile(faults); err != nil {
		t.Fatalf("CHAOS_FAULTS: %v", err)
	}
	return o
}

// has reports whether a fault is to be played.
func (o *options) has(f *Fault, kind string) bool {
	return f.fits(kind) && (own() || !f.Own) && (!o.short || f.Short)
}

// named gives every world a seed of its own, so that one can be played without the others.
func (o *options) named(kind, name string) int64 {
	h := fnv.New64a()
	fmt.Fprint(h, kind, "\x00", name)
	return o.seed ^ int64(h.Sum64()>>1)
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
	var results []*Result
	for _, kind := range o.sources {
		t.Run(kind, func(t *testing.T) {
			var mixable []*Fault
			for _, f := range Faults() {
				if !o.has(f, kind) {
					continue
				}
				if !f.Alone && !f.refusal() {
					mixable = append(mixable, f)
				}
				if o.faults.MatchString(f.Name) {
					results = append(results, alone(t, &o, kind, f))
				}
			}
			if o.mixed > 0 && o.faults.MatchString("mixed") {
				results = append(results, mixed(t, &o, kind, mixable))
			}
		})
	}
	fmt.Printf("\nCHAOS_SEED=%d\n%s", o.seed, Text(results))
	if o.report != "" {
		if err := os.WriteFile(o.report, []byte(Markdown(o.seed, results)), 0o644); err != nil {
			t.Error(err)
		}
	}
	if len(results) == 0 {
		t.Error("no fault was played")
	}
}

// alone plays one fault, several times in its world.
func alone(t *testing.T, o *options, kind string, f *Fault) *Result {
	r := &Result{Source: kind, Fault: f.Name, Expect: f.Expect}
	times := o.times
	if f.refusal() {
		times = 1
	}
	r.Passed = t.Run(f.Name, func(t *testing.T) {
		w := NewWorld(t, kind, o.named(kind, f.Name))
		if !f.Led {
			w.Sample()
		}
		for range times {
			r.Times++
			r.Took = append(r.Took, w.play(f))
			r.Restarts = w.restarts
		}
		r.finish(w, f)
	})
	announce(r)
	return r
}

// mixed plays pairs of faults of different layers in one world.
func mixed(t *testing.T, o *options, kind string, faults []*Fault) *Result {
	r := &Result{Source: kind, Fault: "mixed", Expect: "goes on"}
	r.Passed = t.Run("mixed", func(t *testing.T) {
		w := NewWorld(t, kind, o.named(kind, "mixed"))
		w.Sample()
		for range o.mixed {
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
	announce(r)
	return r
}

// finish judges the world.
func (r *Result) finish(w *World, f *Fault) {
	w.Helper()
	r.Report = w.judge(f)
	r.Rows = r.Report.Wanted
	if !r.Report.Clean() {
		w.Errorf("checker: %s", r.Report)
	}
}

// announce tells how far the run is.
func announce(r *Result) { fmt.Println(strings.Join(r.cells(), " | ")) }

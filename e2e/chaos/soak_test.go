package chaos

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// health is what of a tailer has to stay flat while it works.
type health struct {
	at          time.Duration
	rss, heap   float64 // MB
	descriptors float64
	goroutines  float64
	checkpoint  float64 // seconds until `tailer checkpoint show` has found it
}

// measures are the columns of the table, and by how much one may have grown between the beginning and the end.
var measures = []struct {
	name   string
	of     func(health) float64
	factor float64
	plus   float64
}{
	{"resident, MB", func(h health) float64 { return h.rss }, 1.2, 6},
	{"heap, MB", func(h health) float64 { return h.heap }, 1.5, 6},
	{"descriptors", func(h health) float64 { return h.descriptors }, 1, 4},
	{"goroutines", func(h health) float64 { return h.goroutines }, 1, 10},
	{"checkpoint found, s", func(h health) float64 { return h.checkpoint }, 2, 1},
}

// TestSoak lets a tailer of each source work for SOAK_FOR side by side, and demands that what it uses stays flat, that
// its checkpoint is found as soon at the end as at the beginning, that it starts as soon, and that everything was
// published once.
func TestSoak(t *testing.T) {
	text := os.Getenv("SOAK_FOR")
	if text == "" {
		t.Skip("SOAK_FOR is not set: make soak")
	}
	length, err := time.ParseDuration(text)
	if err != nil || length < time.Minute {
		t.Fatalf("SOAK_FOR: %q is no duration of a minute or more", text)
	}
	sources := "postgres,mysql,mariadb"
	if v := os.Getenv("CHAOS_SOURCES"); v != "" {
		sources = v
	}
	for kind := range strings.SplitSeq(sources, ",") {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			soak(t, kind, length)
		})
	}
}

func soak(t *testing.T, kind string, length time.Duration) {
	c := harness.New(t, NewServer(t, kind).Server)
	c.DB.CreateOutbox(t, c.DB.Outbox())
	l := (&harness.Load{Seed: harness.Seed(t), Aggregates: 200, Types: types, Writers: writers, Rows: 1 << 30, Largest: largest,
		Big: []int{big}, Pause: 250 * time.Millisecond}).Prepare(c)
	r := c.Follow(l.Topics()...)
	c.Start().Stop()                                               // the first start is not like the others
	started := func() (p *harness.Tailer, fastest time.Duration) { // of three: others use the machine too
		for i := range 3 {
			if p != nil {
				p.Stop()
			}
			begin := time.Now()
			p = c.Run()
			c.Wait("tailer is active", time.Minute, func() (bool, string) { return p.Metric("active") == 1, p.State() })
			if took := time.Since(begin); i == 0 || took < fastest {
				fastest = took
			}
		}
		return p, fastest
	}
	p, first := started()
	c.Sample()
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	failed := make(chan error, 1)
	go func() { failed <- l.Run(ctx) }()

	var list []health
	every := max(time.Second, length/200)
	begin, nth := time.Now(), 0
	for ctx.Err() == nil {
		h := health{at: time.Since(begin), rss: resident(t, p), descriptors: descriptors(t, p), goroutines: series(p, "go_goroutines"),
			heap: series(p, "go_memstats_heap_inuse_bytes") / (1 << 20)}
		if nth%5 == 0 {
			asked := time.Now()
			c.Do(0, "checkpoint show", c.Flags()...)
			h.checkpoint = time.Since(asked).Seconds()
		}
		list, nth = append(list, h), nth+1
		select {
		case <-ctx.Done():
		case <-time.After(every):
		}
	}
	if err := <-failed; err != nil {
		t.Fatalf("load: %v", err)
	}
	c.Arrived(r, l.Committed(), 2*time.Minute)
	p.Stop()
	p, last := started()
	p.Stop()
	fmt.Print(soakTable(t, kind, list))
	fmt.Printf("%s | %d rows; start until active: %.2f s at the beginning, %.2f s at the end\n", kind, l.Committed(), first.Seconds(), last.Seconds())
	if last > 2*first+2*time.Second {
		t.Errorf("it is active after %v, was after %v at the beginning", last, first)
	}
	c.Check(l.Want(), check.ExactlyOnce)
}

// soakTable compares the first quarter, without the first samples, with the last one.
func soakTable(t *testing.T, kind string, list []health) string {
	t.Helper()
	var b strings.Builder
	list = list[len(list)/10:] // warm
	quarter := len(list) / 4
	if quarter < 3 {
		t.Fatalf("only %d samples", len(list))
	}
	for _, m := range measures {
		early, late := median(list[:quarter], m.of), median(list[len(list)-quarter:], m.of)
		verdict := "flat"
		if late > early*m.factor+m.plus {
			verdict = "GROWS"
			t.Errorf("%s grows from %.2f to %.2f", m.name, early, late)
		}
		fmt.Fprintf(&b, "%s | %s | %.2f | %.2f | %s\n", kind, m.name, early, late, verdict)
	}
	return b.String()
}

// median is that of what was measured; not everything is in each sample.
func median(list []health, of func(health) float64) float64 {
	var values []float64
	for _, h := range list {
		if v := of(h); v > 0 {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func resident(t *testing.T, p *harness.Tailer) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(text), "VmRSS:")
	var kb float64
	if _, err := fmt.Sscan(line, &kb); err != nil {
		t.Fatalf("VmRSS: %v", err)
	}
	return kb / 1024
}

func descriptors(t *testing.T, p *harness.Tailer) float64 {
	t.Helper()
	names, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	return float64(len(names))
}

// series is the value of a series of Go's own collectors.
func series(p *harness.Tailer, name string) float64 {
	_, body := p.Get("/metrics")
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			n, _ := strconv.ParseFloat(value, 64)
			return n
		}
	}
	return 0
}

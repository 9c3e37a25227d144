package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// file writes runs to a file and renders it.
func file(t *testing.T, name string, runs ...Run) (page, dir string) {
	t.Helper()
	dir = t.TempDir()
	path := filepath.Join(dir, name+".jsonl")
	head := File{Time: "2026-01-02T03:04:05Z", Source: "mariadb", Versions: []string{"one 1", "two 2"}, Machine: "a machine",
		Settings: []Setting{{"tailer", "defaults"}}}
	if err := head.Create(path); err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		if err := Append(path, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := Render(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, name+".md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b), dir
}

func run(contender string, round int, rate float64) Run {
	return Run{Workload: "drain-100", Contender: contender, Round: round, Events: 1000, Rate: rate, CPU: CPU{Relay: 0.002}}
}

func TestCompare(t *testing.T) {
	runs := []Run{{Workload: "drain-100", Contender: "other", Round: 9, Wrong: "7 of 8 events"}}
	for round := range 9 {
		runs = append(runs, run("tailer exactly-once", round, 30_000), run("other", round, 10_000))
	}
	// A round without its other half makes no pair.
	runs = append(runs, run("tailer exactly-once", 9, 1_000_000))
	page, dir := file(t, "compare-mariadb", runs...)
	for _, want := range []string{
		"# tailer beside others, MariaDB",
		"| tailer exactly-once | 30,000 (30,000–1,000,000) | 2.00 (2.00–2.00) |",
		"| other | 10,000 (10,000–10,000) | 2.00 (2.00–2.00) |",
		"other: 1 of 10 runs were wrong, the first: 7 of 8 events.",
		"| other | 3.00 [3.00–3.00], 9 pairs, shown: 3.00 |",
		"![events a second](compare-mariadb-throughput.svg)",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q:\n%s", want, page)
		}
	}
	for _, absent := range []string{"## From COMMIT", "## Work an event", "## From the start", "NaN", "peak RSS"} {
		if strings.Contains(page, absent) {
			t.Errorf("nothing of the kind was measured, and the page has %q", absent)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "compare-mariadb-throughput.svg")); err != nil || !strings.Contains(string(b), ">30k<") {
		t.Errorf("the plot has no bar of 30k: %v", err)
	}
}

func TestWorkLeavesTheStartOut(t *testing.T) {
	whole := Run{Workload: "work-1", Contender: "tailer exactly-once", Events: 1010, Work: Work{Instructions: 5_000_000, SystemCalls: 600, Allocations: 2100}}
	base := Run{Workload: "base-1", Contender: "tailer exactly-once", Events: 10, Work: Work{Instructions: 1_000_000, SystemCalls: 100, Allocations: 2000}}
	page, _ := file(t, "compare-mariadb", whole, base)
	if want := "| tailer exactly-once | 1-row transactions | 4,000 | 0.500 | 0.100 |"; !strings.Contains(page, want) {
		t.Errorf("the page has no %q:\n%s", want, page)
	}
}

func TestForeignLeavesTheOutboxOut(t *testing.T) {
	alone := Run{Workload: "foreign-1-0", Contender: "tailer exactly-once", Events: 1000, CPU: CPU{Relay: 0.1, Server: 1}}
	among := Run{Workload: "foreign-1-99", Contender: "tailer exactly-once", Events: 1000, Rate: 2000, CPU: CPU{Relay: 0.199, Server: 1.99}}
	page, _ := file(t, "growth-mariadb", alone, among)
	if want := "| tailer exactly-once | 1-row | 200,000 | 1.000 | 10.000 |"; !strings.Contains(page, want) {
		t.Errorf("the page has no %q:\n%s", want, page)
	}
}

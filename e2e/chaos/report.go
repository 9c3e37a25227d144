package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
)

// Result is what came of one fault in one world.
type Result struct {
	Source, Fault, Expect string
	Times                 int             // that it was played
	Took                  []time.Duration // to go on, or to refuse, each time that it did
	Restarts              int             // of tailers that ended by themselves with a status that the fault allows
	Rows                  int
	Report                *check.Report // nil when it did not come to that
	Passed                bool
}

func (r *Result) cells() []string {
	cells := []string{r.Source, r.Fault, r.Expect, fmt.Sprint(r.Times), fmt.Sprint(len(r.Took)), "-", "-", fmt.Sprint(r.Restarts)}
	if len(r.Took) > 0 {
		took := slices.Sorted(slices.Values(r.Took))
		cells[5], cells[6] = seconds(took[len(took)/2]), seconds(took[len(took)-1])
	}
	if c := r.Report; c != nil {
		cells = append(cells, fmt.Sprint(r.Rows))
		for _, found := range [][]string{c.Lost, c.Doubled, c.Disordered, slices.Concat(c.Foreign, c.Wrong, c.Misplaced), c.Open, c.Led} {
			cells = append(cells, fmt.Sprint(len(found)))
		}
	} else {
		cells = append(cells, "-", "-", "-", "-", "-", "-", "-")
	}
	switch {
	case !r.Passed:
		return append(cells, "FAILED")
	case r.Times == 0:
		return append(cells, "skipped")
	}
	return append(cells, "ok")
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

var head = []string{"source", "fault", "expected", "times", "as expected", "median", "worst", "restarts", "rows", "lost", "doubled",
	"reordered", "foreign", "open", "led", "verdict"}

// Markdown is the table of all results.
func Markdown(seed int64, results []*Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Seed %d. Median and worst: seconds until tailer went on or refused. Lost, of a refusal: rows missing "+
		"before a published one of the same key.\n\n", seed)
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, r := range results {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(r.cells(), " | "))
	}
	return b.String()
}

// Text is the same for a terminal.
func Text(results []*Result) string {
	rows := [][]string{head}
	for _, r := range results {
		rows = append(rows, r.cells())
	}
	widths := make([]int, len(head))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			fmt.Fprintf(&b, "%-*s  ", widths[i], cell)
		}
		b.WriteString("\n")
	}
	return b.String()
}

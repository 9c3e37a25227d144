package chaos

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
)

// Result is what came of one fault, in one world or, after Merge, in several.
type Result struct {
	Source, Fault, Expect string
	Versions              string          // of tailer and of the servers
	Seed                  int64           // of one run; after Merge of the last
	Times                 int             // that it was played
	Took                  []time.Duration // to go on, or to refuse, each time that it did
	Spent                 time.Duration   // on all of it, the worlds' making and judging included
	Restarts              int             // of tailers that ended by themselves with a status that the fault allows
	Rows                  int
	Findings              Findings
	Failed                bool
}

// Findings counts what the checker found.
type Findings struct{ Lost, Doubled, Reordered, Foreign, Open, Led int }

func (f *Findings) add(g Findings) {
	f.Lost += g.Lost
	f.Doubled += g.Doubled
	f.Reordered += g.Reordered
	f.Foreign += g.Foreign
	f.Open += g.Open
	f.Led += g.Led
}

func findings(c *check.Report) Findings {
	return Findings{Lost: len(c.Lost), Doubled: len(c.Doubled), Reordered: len(c.Disordered),
		Foreign: len(c.Foreign) + len(c.Wrong) + len(c.Misplaced), Open: len(c.Open), Led: len(c.Led)}
}

// Append adds results to a file, one JSON object a line: several runs make one table.
func Append(file string, results ...*Result) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	for _, r := range results {
		line, err := json.Marshal(r)
		if err != nil {
			return errors.Join(err, f.Close())
		}
		if _, err := f.Write(append(line, '\n')); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

// Load reads what was appended to a file; one that is not there holds nothing.
func Load(file string) (results []*Result, err error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		r := new(Result)
		if err := json.Unmarshal(lines.Bytes(), r); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		results = append(results, r)
	}
	return results, lines.Err()
}

// Merge adds up results of the same source and fault, in the order of their first appearance.
func Merge(results []*Result) (merged []*Result) {
	for _, r := range results {
		i := slices.IndexFunc(merged, func(m *Result) bool { return m.Source == r.Source && m.Fault == r.Fault })
		if i < 0 {
			sum := *r
			sum.Took = slices.Clone(r.Took)
			merged = append(merged, &sum)
			continue
		}
		m := merged[i]
		m.Expect, m.Seed = r.Expect, r.Seed
		if !strings.Contains(m.Versions, r.Versions) {
			m.Versions += "; " + r.Versions
		}
		m.Times += r.Times
		m.Took = append(m.Took, r.Took...)
		m.Spent += r.Spent
		m.Restarts += r.Restarts
		m.Rows += r.Rows
		m.Findings.add(r.Findings)
		m.Failed = m.Failed || r.Failed
	}
	return merged
}

func (r *Result) cells() []string {
	median, worst, f := "-", "-", r.Findings
	if len(r.Took) > 0 {
		took := slices.Sorted(slices.Values(r.Took))
		median, worst = seconds(took[len(took)/2]), seconds(took[len(took)-1])
	}
	cells := []string{r.Source, r.Fault, r.Expect, fmt.Sprint(r.Times), fmt.Sprint(len(r.Took)), median, worst}
	for _, n := range []int{r.Restarts, r.Rows, f.Lost, f.Doubled, f.Reordered, f.Foreign, f.Open, f.Led} {
		cells = append(cells, fmt.Sprint(n))
	}
	switch {
	case r.Failed:
		return append(cells, "FAILED")
	case r.Times == 0:
		return append(cells, "skipped")
	}
	return append(cells, "ok")
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

var head = []string{"source", "fault", "expected", "times", "as expected", "median", "worst", "restarts", "rows", "lost", "doubled",
	"reordered", "foreign", "open", "led", "verdict"}

// Markdown is the table of all results, with what they were won with.
func Markdown(results []*Result) string {
	var b strings.Builder
	var seeds, versions []string
	times, spent := 0, time.Duration(0)
	for _, r := range results {
		seeds = append(seeds, fmt.Sprint(r.Seed))
		versions = append(versions, strings.Split(r.Versions, "; ")...)
		times += r.Times
		spent += r.Spent
	}
	for _, list := range []*[]string{&seeds, &versions} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	fmt.Fprintf(&b, "%d faults in %v. %s. Seeds: %s. Median and worst: seconds until tailer went on or refused. Lost, of a refusal: "+
		"rows missing before a published one of the same key.\n\n", times, spent.Round(time.Minute), strings.Join(versions, "; "), strings.Join(seeds, ", "))
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

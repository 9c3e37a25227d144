package report

import (
	"fmt"
	"strings"

	"github.com/tailer-io/tailer/e2e/bench/measure"
)

// page is a Markdown file under way.
type page struct{ strings.Builder }

func (p *page) para(format string, args ...any) { fmt.Fprintf(p, format+"\n\n", args...) }

// row writes a line of a table.
func (p *page) row(cells ...string) { fmt.Fprintf(p, "| %s |\n", strings.Join(cells, " | ")) }

// head writes the first two lines of a table; the first columns are text, the others numbers.
func (p *page) head(texts int, cells ...string) {
	p.row(cells...)
	rules := make([]string, len(cells))
	for i := range rules {
		rules[i] = "---:"
		if i < texts {
			rules[i] = "---"
		}
	}
	p.row(rules...)
}

// facts say what the figures were taken with.
func (p *page) facts(f File, command string) {
	p.para("Taken %s on %s.", f.Time, f.Machine)
	p.para("%s.", strings.Join(f.Versions, "; "))
	p.para("`%s` takes them again; every run is a line of the file beside this one. What was counted was read back by a "+
		"read_committed consumer and checked: count, key, topic, order, doubles. A run that was wrong has no figure. Cells "+
		"are medians of the rounds, with the lowest and the highest in brackets.", command)
	p.head(2, "setting", "")
	for _, s := range f.Settings {
		p.row(s.What, s.How)
	}
	p.WriteByte('\n')
}

// table is a table of contenders' columns on a workload; a column that nobody has a figure in is left out.
func (p *page) table(f File, workload string, columns ...Column) {
	var present []Column
	titles := []string{"contender"}
	for _, c := range columns {
		for _, name := range f.Contenders(workload) {
			if runs, _ := f.Of(workload, name); len(c.values(runs)) > 0 {
				present, titles = append(present, c), append(titles, c.Title)
				break
			}
		}
	}
	p.head(1, titles...)
	var notes []string
	for _, name := range f.Contenders(workload) {
		runs, wrong := f.Of(workload, name)
		cells := []string{name}
		for _, c := range present {
			cells = append(cells, c.Spread(runs))
		}
		p.row(cells...)
		if len(wrong) > 0 {
			notes = append(notes, fmt.Sprintf("%s: %d of %d runs were wrong, the first: %s.", name, len(wrong), len(wrong)+len(runs), wrong[0].Wrong))
		}
		doubles := 0
		for _, r := range runs {
			doubles += r.Doubles
		}
		if doubles > 0 {
			notes = append(notes, fmt.Sprintf("%s: %d events came twice.", name, doubles))
		}
	}
	p.WriteByte('\n')
	for _, note := range notes {
		p.para("%s", note)
	}
}

// ratios is a table of how many times as fast tailer is as the others, by pairs of one round.
func (p *page) ratios(f File, workload string, c Column) {
	var tailers, others []string
	for _, name := range f.Contenders(workload) {
		if strings.HasPrefix(name, "tailer ") {
			tailers = append(tailers, name)
		} else {
			others = append(others, name)
		}
	}
	if len(tailers) == 0 || len(others) == 0 {
		return
	}
	p.head(1, append([]string{"times as fast as"}, tailers...)...)
	for _, other := range others {
		cells := []string{other}
		to, _ := f.Of(workload, other)
		for _, tailer := range tailers {
			of, _ := f.Of(workload, tailer)
			cells = append(cells, ratio(Ratios(of, to, c)))
		}
		p.row(cells...)
	}
	p.WriteByte('\n')
}

// ratio is the median of pairs, its 95 % bootstrap interval, and what they show to be met.
func ratio(pairs []float64) string {
	if len(pairs) == 0 {
		return "-"
	}
	low, high := measure.Interval(pairs)
	text := fmt.Sprintf("%.2f [%.2f–%.2f], %d pairs", measure.Median(pairs), low, high, len(pairs))
	if held, ok := measure.Holds(pairs); ok {
		text += fmt.Sprintf(", shown: %.2f", held)
	}
	return text
}

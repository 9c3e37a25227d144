package report

import (
	"math"
	"slices"

	"github.com/tailer-io/tailer/e2e/bench/measure"
)

// ranges draws, for each contender, the quantiles of latency as dots on a logarithmic axis of milliseconds.
func (f File) ranges(title string, workloads []string, heading func(string) string) string {
	quantiles := []struct {
		Column
		radius float64
	}{{P50, 6}, {P99, 4.5}, {P999, 3.5}, {Max, 2.5}}
	s := &svg{width: drawn, height: 96}
	low, high := math.Inf(1), 0.0
	for _, w := range workloads {
		for _, name := range f.Contenders(w) {
			runs, _ := f.Of(w, name)
			s.height += barHeight
			for _, q := range quantiles {
				for _, v := range q.values(runs) {
					low, high = min(low, v), max(high, v)
				}
			}
		}
		s.height += 34
	}
	if high == 0 {
		return ""
	}
	from, to := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
	place := func(v float64) float64 { return nameWidth + (math.Log10(v)-from)/(to-from)*(drawn-nameWidth-40) }
	s.heading(16, 28, title)
	s.text(drawn-40, 28, "end", pale, "dots: p50, p99, p99.9, longest")
	for power := from; power <= to; power++ {
		x := place(math.Pow(10, power))
		s.line(x, 64, x, s.height-16, grid, 1)
		s.text(x, 58, "middle", pale, short(math.Pow(10, power))+" ms")
	}
	y := 64.0
	for _, w := range workloads {
		s.text(16, y+18, "start", pale, heading(w))
		y += 28
		for _, name := range f.Contenders(w) {
			runs, _ := f.Of(w, name)
			middle := y + barHeight/2
			s.text(nameWidth-8, middle+4, "end", ink, name)
			var at []float64
			for _, q := range quantiles {
				if values := q.values(runs); len(values) > 0 {
					at = append(at, place(measure.Median(values)))
				}
			}
			if len(at) > 0 {
				s.line(slices.Min(at), middle, slices.Max(at), middle, color(name), 2)
			}
			for i, x := range at {
				s.dot(x, middle, quantiles[i].radius, color(name))
			}
			y += barHeight
		}
		y += 6
	}
	return s.document()
}

// lines draws a column of some workloads against what grows, on a logarithmic axis; y begins at 0.
func (f File) lines(title, below string, workloads []string, of func(workload string) float64, columns ...Column) string {
	const left, plot, gap = 70.0, 190.0, 70.0
	var names []string
	for _, w := range workloads {
		for _, name := range f.Contenders(w) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	s := &svg{width: drawn, height: 70 + float64(len(columns))*(plot+gap)}
	s.heading(16, 28, title)
	x := 16.0
	for _, name := range names {
		s.box(x, 41, 12, 12, color(name))
		s.text(x+18, 52, "start", ink, name)
		x += 36 + 7.5*float64(len(name))
	}
	first, last := math.Log10(of(workloads[0])), math.Log10(of(workloads[len(workloads)-1]))
	placeX := func(v float64) float64 { return left + (math.Log10(v)-first)/max(last-first, 1e-9)*(drawn-left-40) }
	y := 78.0
	for _, c := range columns {
		s.text(16, y+6, "start", pale, c.Title)
		y += 18
		top := 0.0
		for _, w := range workloads {
			for _, name := range names {
				runs, _ := f.Of(w, name)
				top = max(top, measure.Median(c.values(runs)))
			}
		}
		top = nice(top)
		placeY := func(v float64) float64 { return y + plot*(1-v/top) }
		for i := range 5 {
			v := top * float64(i) / 4
			s.line(left, placeY(v), drawn-30, placeY(v), grid, 1)
			s.text(left-8, placeY(v)+4, "end", pale, short(v))
		}
		for _, w := range workloads {
			s.text(placeX(of(w)), y+plot+18, "middle", pale, short(of(w)))
		}
		for _, name := range names {
			lastX, lastY := 0.0, 0.0
			for _, w := range workloads {
				runs, _ := f.Of(w, name)
				values := c.values(runs)
				if len(values) == 0 {
					continue
				}
				px, py := placeX(of(w)), placeY(measure.Median(values))
				if lastX > 0 {
					s.line(lastX, lastY, px, py, color(name), 2)
				}
				s.dot(px, py, 3.5, color(name))
				lastX, lastY = px, py
			}
		}
		s.text((left+drawn)/2, y+plot+36, "middle", pale, below)
		y += plot + gap - 18
	}
	return s.document()
}

package report

import (
	"slices"

	"github.com/tailer-io/tailer/e2e/bench/measure"
)

// panel is some bars under a heading, with a scale of their own.
type panel struct {
	heading string
	bars    []bar
}

// bar is one contender: segments from left to right, and from where to where the rounds lie.
type bar struct {
	name      string
	segments  []segment
	low, high float64 // of the whole; both 0 for no whisker
}

type segment struct {
	value float64
	color string
}

const (
	drawn      = 760.0 // width of a drawing
	nameWidth  = 190.0
	valueWidth = 64.0
	barHeight  = 22.0
)

// bars draws panels below each other; legend names colours, in pairs.
func bars(title string, panels []panel, legend ...string) string {
	s := &svg{width: drawn, height: 54}
	if len(legend) > 0 {
		s.height += 22
	}
	for _, p := range panels {
		s.height += 34 + barHeight*float64(len(p.bars))
	}
	s.heading(16, 28, title)
	y := 44.0
	if len(legend) > 0 {
		x := 16.0
		for i := 0; i+1 < len(legend); i += 2 {
			s.box(x, y-1, 12, 12, legend[i+1])
			s.text(x+18, y+10, "start", ink, legend[i])
			x += 32 + 7.5*float64(len(legend[i]))
		}
		y += 22
	}
	for _, p := range panels {
		y = s.panel(p, y)
	}
	return s.document()
}

func (s *svg) panel(p panel, y float64) float64 {
	s.text(16, y+18, "start", pale, p.heading)
	y += 28
	top := 0.0
	for _, b := range p.bars {
		top = max(top, b.high, b.sum())
	}
	scale := (drawn - nameWidth - valueWidth - 24) / max(top, 1e-9)
	for _, b := range p.bars {
		middle := y + barHeight/2
		s.text(nameWidth-8, middle+4, "end", ink, b.name)
		x := nameWidth
		for _, part := range b.segments {
			s.box(x, y+3, part.value*scale, barHeight-6, part.color)
			x += part.value * scale
		}
		if b.high > b.low {
			s.line(nameWidth+b.low*scale, middle, nameWidth+b.high*scale, middle, ink, 1)
			for _, at := range []float64{b.low, b.high} {
				s.line(nameWidth+at*scale, middle-4, nameWidth+at*scale, middle+4, ink, 1)
			}
		}
		s.text(max(x, nameWidth+b.high*scale)+8, middle+4, "start", ink, short(b.sum()))
		y += barHeight
	}
	return y + 6
}

func (b bar) sum() (sum float64) {
	for _, part := range b.segments {
		sum += part.value
	}
	return sum
}

// barsOf are bars of one column for the contenders of a workload.
func (f File) barsOf(workload string, c Column) (list []bar) {
	for _, name := range f.Contenders(workload) {
		runs, _ := f.Of(workload, name)
		values := c.values(runs)
		if len(values) == 0 {
			continue
		}
		list = append(list, bar{name: name, segments: []segment{{measure.Median(values), color(name)}}, low: slices.Min(values), high: slices.Max(values)})
	}
	return list
}

// The colours of whose CPU it is.
var costs = []struct {
	name  string
	color string
	Column
}{{"relay", "#0969da", RelayCPU}, {"server", "#9a6700", ServerCPU}, {"broker", "#8c959f", BrokerCPU}}

// costsOf are bars of the CPU of relay, server and broker.
func (f File) costsOf(workload string) (list []bar) {
	for _, name := range f.Contenders(workload) {
		runs, _ := f.Of(workload, name)
		if len(runs) == 0 || floor(name) {
			continue
		}
		b := bar{name: name}
		for _, cost := range costs {
			b.segments = append(b.segments, segment{measure.Median(cost.values(runs)), cost.color})
		}
		list = append(list, b)
	}
	return list
}

package admin

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// The plot's size in its own units; a browser scales it.
const (
	plotWidth  = 600.0
	plotHeight = 100.0
	barSeconds = 5
)

// plot is the throughput of the last minutes, as bars. It is drawn here and not
// in the browser: the page has no script.
type plot struct {
	Bars []bar
	// Top is the rate at the upper edge, Peak the greatest one, Now that of
	// the last ten seconds, in words.
	Top, Peak, Now string
	// Span is how far back it reaches, in words.
	Span string
	// Quiet tells that there was nothing to draw.
	Quiet bool
}

// bar is one bar, in the plot's units; Rate and Ago are for people.
type bar struct {
	X, Y, Width, Height string
	Rate, Ago           string
}

// newPlot draws counts by second, the oldest first, the last of which ended at
// a Unix time. Bars begin at multiples of their length, so that the plot moves
// from one look to the next and does not change its form.
func newPlot(seconds []uint64, end int64) plot {
	rates := make([]float64, len(seconds)/barSeconds)
	peak := 0.0
	to := len(seconds)
	for i := len(rates) - 1; i >= 0; i-- {
		from := to - barSeconds
		if over := int(end % barSeconds); to == len(seconds) && over != 0 {
			from = to - over // the last one is not complete
		}
		rates[i] = mean(seconds[from:to])
		peak, to = max(peak, rates[i]), from
	}
	p := plot{Peak: perSecond(peak), Quiet: peak == 0}
	p.Now = perSecond(mean(seconds[max(0, len(seconds)-2*barSeconds):]))
	p.Span = (time.Duration(len(rates)*barSeconds) * time.Second).String()
	if len(rates)*barSeconds%60 == 0 {
		p.Span = fmt.Sprint(len(rates)*barSeconds/60, " min")
	}
	top := niceAbove(peak)
	p.Top = perSecond(top)
	step := plotWidth / float64(max(1, len(rates)))
	for i, r := range rates {
		if r == 0 {
			continue
		}
		h := max(r/top*plotHeight, 1) // a row is to be seen, however busy it was before
		p.Bars = append(p.Bars, bar{
			X: units(float64(i) * step), Y: units(plotHeight - h), Width: units(step * 0.8), Height: units(h),
			Rate: perSecond(r), Ago: (time.Duration(len(rates)-i) * barSeconds * time.Second).String() + " ago",
		})
	}
	return p
}

func mean(list []uint64) float64 {
	sum := 0.0
	for _, n := range list {
		sum += float64(n)
	}
	return sum / float64(max(1, len(list)))
}

// niceAbove is 1, 2 or 5 times a power of ten, at or above n.
func niceAbove(n float64) float64 {
	if n <= 1 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(n)))
	for _, k := range []float64{1, 2, 5} {
		if k*power >= n {
			return k * power
		}
	}
	return 10 * power
}

func units(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

func perSecond(r float64) string {
	if r >= 10 || r == math.Trunc(r) {
		return thousands(uint64(math.Round(r))) + "/s"
	}
	return strconv.FormatFloat(r, 'f', 1, 64) + "/s"
}

package report

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// svg is a drawing under way; the origin is at the top left, lengths are pixels.
type svg struct {
	strings.Builder
	width, height float64
}

const (
	ink  = "#24292f"
	pale = "#6e7781"
	grid = "#d8dee4"
)

func (s *svg) text(x, y float64, anchor, color, text string) {
	fmt.Fprintf(s, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">%s</text>`+"\n", x, y, anchor, color, html.EscapeString(text))
}

func (s *svg) heading(x, y float64, text string) {
	fmt.Fprintf(s, `<text x="%.1f" y="%.1f" font-weight="600" fill="%s">%s</text>`+"\n", x, y, ink, html.EscapeString(text))
}

func (s *svg) line(x1, y1, x2, y2 float64, color string, width float64) {
	fmt.Fprintf(s, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="%g"/>`+"\n", x1, y1, x2, y2, color, width)
}

func (s *svg) box(x, y, width, height float64, color string) {
	fmt.Fprintf(s, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n", x, y, max(width, 0.5), height, color)
}

func (s *svg) dot(x, y, radius float64, color string) {
	fmt.Fprintf(s, `<circle cx="%.1f" cy="%.1f" r="%.1f" fill="%s"/>`+"\n", x, y, radius, color)
}

// document is the whole file.
func (s *svg) document() string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %[1]g %[2]g" `+
		`font-family="system-ui, 'Segoe UI', Helvetica, Arial, sans-serif" font-size="13">
<rect width="100%%" height="100%%" fill="#ffffff"/>
`, s.width, s.height) + s.String() + "</svg>\n"
}

// color is that of a contender, or of what is neither tailer nor known.
func color(contender string) string {
	switch {
	case contender == "tailer exactly-once":
		return "#0550ae"
	case contender == "tailer at-least-once":
		return "#54aeff"
	case contender == "debezium":
		return "#bc4c00"
	case contender == "debezium tuned":
		return "#fb8f44"
	case floor(contender):
		return "#8c959f"
	}
	return "#8250df"
}

// floor tells whether a contender carries nothing, and only says what would be possible.
func floor(contender string) bool {
	return contender == Discarding || contender == "pg_recvlogical" || contender == "mysqlbinlog" || contender == "kafka-producer-perf-test"
}

// nice is the smallest of 1, 2, 2.5 and 5 times a power of ten that is not below a number.
func nice(v float64) float64 {
	if v <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, step := range []float64{1, 2, 2.5, 5} {
		if step*power >= v {
			return step * power
		}
	}
	return 10 * power
}

// short is a number for an axis.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%gM", math.Round(v/1e4)/100)
	case v >= 1e4:
		return fmt.Sprintf("%gk", math.Round(v/100)/10)
	case v >= 1000:
		return Column{}.format(v)
	case v >= 10:
		return fmt.Sprintf("%g", math.Round(v*10)/10)
	}
	return fmt.Sprintf("%.3g", v)
}

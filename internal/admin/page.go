package admin

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tailer-io/tailer/internal/pipeline"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// shownTopics is how many of the busiest topics the page has.
const shownTopics = 50

// view is what is known, in words, for the page.
type view struct {
	pipeline.Status
	Mood       string // good, busy or bad: the colour of the state
	Unready    string // "" when ready, or when the reason says it already
	LagTime    string
	LagLog     string
	Rows       string
	Left       []left
	Plot       plot
	Errors     []trouble
	Topics     []topic
	MoreTopics string // "" when all are shown
	Now        string
}

// left counts rows that were left out.
type left struct{ Action, Rows string }

type trouble struct{ Text, Ago, Times string }

type topic struct{ Name, Recent, Total, Ago string }

// page serves the page for people.
func page(r Reporter, now func() time.Time) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		var body bytes.Buffer // so that a failure is a 500 and not half a page
		if err := pageTemplate.Execute(&body, newView(r, now())); err != nil {
			http.Error(w, oneLine(err.Error()), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(body.Bytes()) // a client that went away is no error
	}
}

func newView(r Reporter, now time.Time) view {
	s, traffic := r.Status(), r.Traffic(shownTopics)
	v := view{
		Status:  s,
		Mood:    mood(s.State),
		LagTime: seconds(float64(s.LagSeconds)),
		LagLog:  logLag(s),
		Rows:    thousands(s.Published),
		Plot:    newPlot(traffic.Seconds, traffic.End),
		Now:     now.UTC().Format(time.RFC3339),
	}
	if err := r.Ready(); err != nil && (s.Reason == "" || !strings.Contains(err.Error(), s.Reason)) {
		v.Unready = oneLine(err.Error())
	}
	for action, n := range s.Poison {
		v.Left = append(v.Left, left{action, thousands(n)})
	}
	slices.SortFunc(v.Left, func(a, b left) int { return strings.Compare(a.Action, b.Action) })
	for _, e := range r.Errors() {
		t := trouble{Text: e.Text, Ago: ago(now, e.Last)}
		if e.Times > 1 {
			t.Times = fmt.Sprintf("%s times in %s", thousands(uint64(e.Times)), e.Last.Sub(e.First).Round(time.Second))
		}
		v.Errors = append(v.Errors, t)
	}
	for _, t := range traffic.Topics {
		v.Topics = append(v.Topics, topic{t.Topic, thousands(t.Recent), thousands(t.Total), ago(now, t.Last)})
	}
	v.MoreTopics = moreTopics(traffic)
	return v
}

// moreTopics says what the table leaves out.
func moreTopics(t pipeline.Traffic) string {
	var parts []string
	if n := t.Known - len(t.Topics); n > 0 {
		parts = append(parts, fmt.Sprintf("%s other topics", thousands(uint64(n))))
	}
	if t.Other > 0 {
		parts = append(parts, fmt.Sprintf("%s rows of topics that are not counted apart", thousands(t.Other)))
	}
	return strings.Join(parts, ", and ")
}

func ago(now, t time.Time) string {
	return max(now.Sub(t), 0).Truncate(time.Second).String() + " ago"
}

func mood(s pipeline.State) string {
	switch s {
	case pipeline.Streaming, pipeline.CaughtUp, pipeline.Standby:
		return "good"
	case pipeline.Refused, pipeline.Retrying:
		return "bad"
	default:
		return "busy"
	}
}

const unknown = "unknown"

func seconds(s float64) string {
	if math.IsNaN(s) || math.IsInf(s, 0) {
		return unknown
	}
	if s >= 60 {
		return time.Duration(s * float64(time.Second)).Truncate(time.Second).String()
	}
	return strconv.FormatFloat(s, 'f', 1, 64) + " s"
}

// logLag is the lag in the unit that the source counts.
func logLag(s pipeline.Status) string {
	n := float64(s.LagTransactions)
	if !math.IsNaN(float64(s.LagBytes)) || math.IsNaN(n) {
		return size(float64(s.LagBytes))
	}
	return thousands(uint64(n)) + " transactions"
}

func size(n float64) string {
	if math.IsNaN(n) || math.IsInf(n, 0) {
		return unknown
	}
	names := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; n >= 1024 && i < len(names)-1; i++ {
		n /= 1024
	}
	digits := 1
	if i == 0 {
		digits = 0
	}
	return strconv.FormatFloat(n, 'f', digits, 64) + " " + names[i]
}

// thousands groups digits by a narrow space.
func thousands(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

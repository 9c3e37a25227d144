package admin

import (
	"bytes"
	_ "embed"
	"html/template"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/tailer-io/tailer/internal/pipeline"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// view is a Status in words, for the page.
type view struct {
	pipeline.Status
	Mood      string // good, busy or bad: the colour of the state
	Unready   string // "" when ready
	LagTime   string
	LagLog    string
	Rows      string
	Skipped   []skipped
	ErrorText string
	ErrorAgo  string
	Now       string
}

type skipped struct{ Action, Rows string }

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
	s := r.Status()
	v := view{
		Status:    s,
		Mood:      mood(s.State),
		LagTime:   seconds(float64(s.LagSeconds)),
		LagLog:    logLag(s),
		Rows:      thousands(s.Published),
		ErrorText: s.LastError.Text,
		Now:       now.UTC().Format(time.RFC3339),
	}
	if err := r.Ready(); err != nil {
		v.Unready = oneLine(err.Error())
	}
	for action, n := range s.Poison {
		v.Skipped = append(v.Skipped, skipped{action, thousands(n)})
	}
	slices.SortFunc(v.Skipped, func(a, b skipped) int { return bytes.Compare([]byte(a.Action), []byte(b.Action)) })
	if t := s.LastError.Time; t != nil {
		v.ErrorAgo = now.Sub(*t).Truncate(time.Second).String() + " ago"
	}
	return v
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

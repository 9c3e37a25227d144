package check

import (
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"
)

const (
	alertsFile = "../prometheus/alerts.yaml"
	runbooks   = "../../docs/runbooks"
	runbookURL = "https://github.com/tailer-io/tailer/blob/main/docs/runbooks/"
)

var language = parser.NewParser(parser.Options{})

// alerts are the rules as Prometheus reads them: strictly.
func alerts(t *testing.T) []rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile(alertsFile, false, model.LegacyValidation, language, slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	if groups == nil || len(groups.Groups) != 1 {
		t.Fatal("there is not one group of rules")
	}
	return groups.Groups[0].Rules
}

// engine evaluates rules as Prometheus does.
type engine struct {
	rules []*rules.AlertingRule
	query rules.QueryFunc
}

func newEngine(t *testing.T, data storage.Queryable) *engine {
	t.Helper()
	e := &engine{query: rules.EngineQueryFunc(promqltest.NewTestEngine(t, false, 5*time.Minute, promqltest.DefaultMaxSamplesPerQuery), data)}
	for _, r := range alerts(t) {
		expr, err := language.ParseExpr(r.Expr)
		if err != nil {
			t.Fatalf("%s: %v", r.Alert, err)
		}
		e.rules = append(e.rules, rules.NewAlertingRule(r.Alert, expr, time.Duration(r.For), time.Duration(r.KeepFiringFor),
			labels.FromMap(r.Labels), labels.FromMap(r.Annotations), labels.EmptyLabels(), "", true, slog.New(slog.DiscardHandler)))
	}
	return e
}

// at evaluates all rules and returns the names of those that fire, and of those
// that wait for their `for` to pass.
func (e *engine) at(t *testing.T, ts time.Time) (firing, pending []string) {
	t.Helper()
	for _, r := range e.rules {
		if _, err := r.Eval(t.Context(), 0, ts, e.query, nil, 0); err != nil {
			t.Fatalf("%s: %v", r.Name(), err)
		}
		for _, a := range r.ActiveAlerts() {
			a.Annotations.Range(func(l labels.Label) {
				if strings.Contains(l.Value, "error expanding template") || strings.Contains(l.Value, "<no value>") {
					t.Errorf("%s says %s", r.Name(), l.Value)
				}
			})
			switch a.State {
			case rules.StateFiring:
				firing = append(firing, r.Name())
			case rules.StatePending:
				pending = append(pending, r.Name())
			}
		}
	}
	return firing, pending
}

// Every alert has a severity, words, and a runbook that says what to do; no
// runbook is left over.
func TestEveryAlertHasItsRunbook(t *testing.T) {
	var names []string
	for _, r := range alerts(t) {
		names = append(names, r.Alert)
		if s := r.Labels["severity"]; s != "page" && s != "ticket" {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s says too little", r.Alert)
		}
		if got, want := r.Annotations["runbook_url"], runbookURL+r.Alert+".md"; got != want {
			t.Errorf("%s: runbook %s, want %s", r.Alert, got, want)
		}
		text, err := os.ReadFile(filepath.Join(runbooks, r.Alert+".md"))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, part := range []string{"# " + r.Alert + "\n", "\n## What it means\n", "\n## What to look at\n", "\n## What to do\n"} {
			if !strings.Contains("\n"+string(text), "\n"+strings.TrimPrefix(part, "\n")) {
				t.Errorf("%s.md has no %q", r.Alert, strings.TrimSpace(part))
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(runbooks, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".md"); !slices.Contains(names, name) {
			t.Errorf("%s is the runbook of no alert", f)
		}
	}
}

// metrics are the names in docs/metrics.md, which a test of cmd/tailer keeps
// equal to what the binary registers; what scrapers add is known too.
func metrics(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"up": true}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)(?:\\{[a-z,]*\\})?` \\| ([a-z]+) ").FindAllStringSubmatch(string(text), -1) {
		known[m[1]] = true
		if m[2] == "histogram" {
			known[m[1]+"_bucket"], known[m[1]+"_sum"], known[m[1]+"_count"] = true, true, true
		}
	}
	if len(known) < 20 {
		t.Fatalf("only %d metrics are found in docs/metrics.md", len(known))
	}
	return known
}

// uses reports the metrics of an expression that tailer does not have.
func uses(t *testing.T, where, text string, known map[string]bool) {
	t.Helper()
	expr, err := language.ParseExpr(text)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok && !known[s.Name] {
			t.Errorf("%s: tailer has no metric %s", where, s.Name)
		}
		return nil
	})
}

func TestAlertsUseMetricsThatExist(t *testing.T) {
	known := metrics(t)
	for _, r := range alerts(t) {
		uses(t, r.Alert, r.Expr, known)
	}
}

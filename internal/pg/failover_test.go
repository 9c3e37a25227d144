package pg

import (
	"strings"
	"testing"

	"github.com/tailer-io/tailer/internal/outbox"
)

func TestCheckStandbySlots(t *testing.T) {
	for _, c := range []struct {
		name     string
		physical [][]string // active ones: name, xmin
		setting  string
		level    outbox.Level // of the first finding, "" for none
		holding  []string     // in the findings' texts and fixes
	}{
		{"no standby", nil, "", "", nil},
		{"waited for", [][]string{{"a", "7"}}, ` "a" , `, outbox.OK, []string{"standbys of a"}},
		{"not waited for", [][]string{{"a", "7"}, {"b", "7"}}, "a", outbox.Warn, []string{"from b,", "= 'a, b'"}},
		{"waited for and away", nil, "a", outbox.Warn, []string{"names a,", "holds back"}},
		{"no feedback", [][]string{{"a", ""}}, "a", outbox.OK, []string{"hot_standby_feedback = on"}},
	} {
		var r outbox.Findings
		new(Source).checkStandbySlots(&r, c.physical, c.setting)
		var text strings.Builder
		for _, f := range r.List {
			text.WriteString(f.Found + " " + f.Fix + "\n")
		}
		if c.level == "" != (len(r.List) == 0) || c.level != "" && r.List[0].Level != c.level {
			t.Errorf("%s: got %+v", c.name, r.List)
		}
		for _, want := range c.holding {
			if !strings.Contains(text.String(), want) {
				t.Errorf("%s: no %q in %s", c.name, want, text.String())
			}
		}
	}
}

// Each host is asked by itself, whatever its role; another form of TLS to the
// same host stays.
func TestSingleHosts(t *testing.T) {
	c, err := parseURL(Config{URL: "postgres://u@a:1,b:2/db?sslmode=prefer"})
	if err != nil {
		t.Fatal(err)
	}
	list := singleHosts(c)
	if len(list) != 2 {
		t.Fatalf("%d hosts", len(list))
	}
	for i, want := range []string{"a", "b"} {
		one := list[i]
		if one.Host != want || one.ValidateConnect != nil || len(one.Fallbacks) != 1 || one.Fallbacks[0].Host != want {
			t.Errorf("got host %s with %d fallbacks", one.Host, len(one.Fallbacks))
		}
	}
}

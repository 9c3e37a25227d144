package pg

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tailer-io/tailer/internal/outbox"
)

// What TestMoneyWithoutCents sees only on a server that has the locale.
func TestCents(t *testing.T) {
	s := &Source{cfg: Config{URL: "postgres://h/d", Tables: []Table{{Schema: "public", Name: "prices", Columns: []string{"id", "price"}}}}}
	for _, c := range []struct {
		typ   string
		cents int
		fits  bool
	}{{"money", 2, true}, {"money", 0, false}, {"_money", 3, false}, {"numeric", 0, true}} {
		err := s.fits(0, &tableFacts{details: map[string]columnFacts{"price": {typ: c.typ, cents: c.cents}, "other": {typ: "money"}}})
		var r *outbox.Refusal
		if c.fits != (err == nil) || err != nil && (!errors.As(err, &r) || !strings.Contains(err.Error(), "digits after the point in this database")) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	c, err := s.dialConfig(context.Background())
	if err != nil || c.RuntimeParams["lc_monetary"] != "C" {
		t.Errorf("%v, %v", c, err)
	}
}

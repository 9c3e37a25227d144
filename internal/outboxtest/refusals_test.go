package outboxtest

import (
	"go/parser"
	"testing"
)

func TestRefusalPattern(t *testing.T) {
	for _, c := range []struct {
		code string
		at   int // of the format in a call of invalid
		want string
	}{
		{`t.invalid("formats.key", "%s is (%q) here", a, b)`, 1, `formats\.key: .* is \(.*\) here`},
		{`invalid("it names no user")`, 0, `it names no user`},
		{`invalid("%s: %s is not a name", key, value)`, 0, `.* is not a name`},
		{`invalid("do this", "what is before is no option")`, 1, `what is before is no option`},
		{`outbox.Invalid{Option: "name", Text: fmt.Sprintf("%q is "+what, s)}`, 0, `name: .* is .*`},
		{`outbox.Invalid{Hint: "do this", Text: "is " + name + ", and must not be"}`, 0, `is .*, and must not be`},
		{`errors.New("another maker")`, 0, ``},
		{`outbox.Poison{Reason: "no refusal"}`, 0, ``},
	} {
		e, err := parser.ParseExpr(c.code)
		if err != nil {
			t.Fatal(err)
		}
		if got := refusal(e, map[string]int{"invalid": c.at}); got != c.want {
			t.Errorf("%s: got %s, want %s", c.code, got, c.want)
		}
	}
}

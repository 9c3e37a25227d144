package connect

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestExpand(t *testing.T) {
	for _, c := range []struct {
		text, want string // "" keeps the text
		nulls      bool
	}{
		{`{}`, `{}`, false},
		{`{"a":1.50,"b":1e3,"c":-0.0,"d":12345678901234567890.123,"e":1e-7,"f":1e400}`,
			`{"a":1.5,"b":1000.0,"c":-0.0,"d":1.2345678901234567E19,"e":1.0E-7,"f":"Infinity"}`, false},
		{`{"a":[],"b":1,"c":null}`, `{"b":1}`, false},
		{`{"a":[null,null],"c":null}`, `{"a":[null,null],"c":null}`, true},
		{`{"a":[{"x":1},{"y":"s"}]}`, `{"a":[{"x":1,"y":null},{"x":null,"y":"s"}]}`, false},
		{`{"a":[{"colors":[]},{"colors":[{"name":"red"}]}]}`, `{"a":[{"colors":[]},{"colors":[{"name":"red"}]}]}`, false},
		{`{"a":[[1,2],[3]]}`, `{"a":[[1,2],[3]]}`, false},
		{`{"a":[null,2,3]}`, `{"a":[null,2,3]}`, false},
		{`{"a":1,"b":2,"a":3}`, `{"a":3,"b":2}`, false},
		{`{"a":1} xyz`, `{"a":1}`, false},
		{`{"a.b":1,"c-d":2,"1x":3,"é":5}`, `{"a.b":1,"c-d":2,"1x":3,"é":5}`, false},
		{`{"s":"\ud83d\ude00 \ud800 \u00e9"}`, `{"s":"\uD83D\uDE00 \uD800 é"}`, false},
		{"{\n\"a\": 1}", `{"a":1}`, false},

		{`{"a":[1,"two"]}`, "", false},
		{`{"a":[1,2147483648]}`, "", false},
		{`{"a":[1,2.5]}`, "", false},
		{`{"a":[[],[]]}`, "", false},
		{`{"a":[null]}`, "", false},
		{`{"a":[{"x":1},{"x":"s"}]}`, "", false},
		{`{"a":[{"x":1},null,{"x":2}]}`, `{"a":[{"x":1},null,{"x":2}]}`, false},
		{`{"a":[{"x":1},null,{"y":2}]}`, "", false}, // the merged schema takes no null
		{`{"a":[[{"x":1},{"y":2}],[null]]}`, "", false},
		{`{"` + strings.Repeat("x", 50000) + `":1}`, `{"` + strings.Repeat("x", 50000) + `":1}`, false},
		{`{"` + strings.Repeat("é", 50000) + `":1}`, `{"` + strings.Repeat("é", 50000) + `":1}`, false},
		{`{"` + strings.Repeat("\\n", 50000) + `":1}`, `{"` + strings.Repeat("\\n", 50000) + `":1}`, false},
		{`{"` + strings.Repeat("x", 50001) + `":1}`, "", false},
		{`{"` + strings.Repeat("😀", 25001) + `":1}`, "", false}, // two of Java's characters each
		{`{"a":{"` + strings.Repeat("é", 50001) + `":1}}`, "", false},
		{`{"a":"` + strings.Repeat("x", 20_000_000) + `"}`, `{"a":"` + strings.Repeat("x", 20_000_000) + `"}`, false},
		{`{"a":"` + strings.Repeat("x", 20_000_001) + `"}`, "", false},
		{`{"a":[{"o":{"x":1}},{"o":{"y":1}}]}`, "", false}, // y would be lost
		{`{"a":9223372036854775808}`, "", false},
		{`{"":1}`, "", false},
		{`{"a":NaN}`, "", false},
		{`{'a':1}`, "", false},
		{`{"a":01}`, "", false},
		{`{"a":1.}`, "", false},
		{`{"a":"\x"}`, "", false},
		{"{\"a\":\"\x01\"}", "", false},
		{`{"a":tru}`, "", false},
		{`{"a":1`, "", false},
		{` {"a":1}`, "", false},
		{`[1,2]`, "", false},
		{`hello`, "", false},
		{``, "", false},
		{strings.Repeat(`{"a":`, 1001) + "1" + strings.Repeat("}", 1001), "", false},
	} {
		s, v, err := Expand([]byte(c.text), "payload", c.nulls)
		got := ""
		if err == nil {
			got = string(AppendJSON(nil, s, v))
		}
		if got != c.want {
			t.Errorf("%.80s: got %.80s (%v), want %.80s", c.text, got, err, c.want)
		}
	}
}

func TestExpandSchemas(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":[{"x":1},{"y":"s"}]}`:    `{"type":"struct","fields":[{"type":"array","items":{"type":"struct","fields":[{"type":"int32","optional":true,"field":"x"},{"type":"string","optional":true,"field":"y"}],"optional":false,"name":"payload.a"},"optional":true,"field":"a"}],"optional":true,"name":"payload"}`,
		`{"a":[{"x":1},{"x":2}]}`:      `{"type":"struct","fields":[{"type":"array","items":{"type":"struct","fields":[{"type":"int32","optional":true,"field":"x"}],"optional":true,"name":"payload.a"},"optional":true,"field":"a"}],"optional":true,"name":"payload"}`,
		`{"o":{"x":{"y":2147483648}}}`: `{"type":"struct","fields":[{"type":"struct","fields":[{"type":"struct","fields":[{"type":"int64","optional":true,"field":"y"}],"optional":true,"name":"payload.o.x","field":"x"}],"optional":true,"name":"payload.o","field":"o"}],"optional":true,"name":"payload"}`,
		`[]`:                           `null`,
	} {
		s, _, err := Expand([]byte(text), "payload", false)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := string(AppendSchema(nil, s)); got != want {
			t.Errorf("%s: got\n %s, want\n %s", text, got, want)
		}
	}
}

func TestQuoted(t *testing.T) {
	for in, want := range map[string]string{
		"a\"b\\c/d<":                     `"a\"b\\c/d<"`,
		"\b\t\n\f\r\x0b\x1f":             `"\b\t\n\f\r\u000B\u001F"`,
		"é漢\u2028\u0080\x7f\ufeff\uffff": "\"é漢\u2028\u0080\x7f\ufeff\uffff\"",
		"a😀b":                            `"a\uD83D\uDE00b"`,
		"\xed\x9f\xbf":                   "\"\xed\x9f\xbf\"",
		"\xed\xa0\x80x":                  `"\uD800x"`,
	} {
		if got := string(AppendQuoted(nil, []byte(in))); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

// Whatever the text: no crash, what is expanded reads back as JSON, and what
// Go's own reader takes is not called malformed, unless a number is too long or
// it is nested too deep.
func FuzzExpand(f *testing.F) {
	for _, s := range []string{`{"a":[{"x":1},{"y":"s"}],"b":1.5e-3}`, `{"a":{"b":[null,{}]},"":"\ud800\u00e9"}`, `[1,[2]]`, `{"a":1`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, v, err := Expand(text, "payload", len(text)%2 == 0)
		if err == nil && s != nil && utf8.Valid(text) {
			if out := AppendJSON(nil, s, v); !json.Valid(out) {
				t.Errorf("%q became %s", text, out)
			}
		}
		if _, err := parseJSON(text); err != nil && json.Valid(text) && len(text) < maxNumber {
			t.Errorf("%q is refused", text)
		}
	})
}

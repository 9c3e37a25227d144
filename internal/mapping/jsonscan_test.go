package mapping

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

var jsonTexts = []string{
	``, ` `, `{}`, `[]`, `""`, `0`, `-0`, `-`, `01`, `1.`, `1.5`, `.5`, `1e5`, `1E+5`, `1e`, `+1`, `NaN`, `true`, `tru`, `truex`, `null`, `nul`,
	`{"a":1}`, `{"a":1,}`, `{"a":1 "b":2}`, `{"a"}`, `{a:1}`, `{,}`, `[1,2,[3,{"x":[]}]]`, `[1,]`, `[1 2]`, `[`, `]`, `{]`, `[}`, `{"a":[}`, `[[[[`,
	`"a\nb"`, `"\u00e9"`, `"\u00g0"`, `"\x"`, `"a`, "\"\n\"", `"\`, `"\u12`, `{"a":{"b":{"c":[true,false,null,-1.5e-7,"x"]}}}`, " \t\r\n[ ] ",
	"\ufeff{}", `"\ud800"`, `'a'`, `/**/1`, `{"a":1}/`, `[1,2],`, "1\x00", "[1\v]",
}

// Go and Jackson judge alike, but for what follows the first value.
func TestJSONAsEncodingJSON(t *testing.T) {
	for _, s := range jsonTexts {
		checkJSON(t, []byte(s))
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range jsonTexts {
		f.Add([]byte(s))
	}
	f.Fuzz(checkJSON)
}

func checkJSON(t *testing.T, s []byte) {
	end, _ := scanValue(s, 0, nil)
	whole := end != bad && skipSpace(s, end) == len(s)
	if want := json.Valid(s); whole != want {
		t.Errorf("%q: ends at %d, valid %t", s, end, want)
	}
	if end != bad && !json.Valid(s[:end]) {
		t.Errorf("%q: %q is no JSON", s, s[:end])
	}
}

func TestJSONWithMore(t *testing.T) {
	for s, want := range map[string]int{`{"a":1} x`: 7, `{}}`: 2, `[1]{}`: 3, `"a"b`: 3, `1 x`: 1, `1x`: bad, `truex`: bad, `null,`: 4, `nullnull`: bad} {
		if end, _ := scanValue([]byte(s), 0, nil); end != want {
			t.Errorf("%s: ends at %d, want %d", s, end, want)
		}
	}
}

// What is escaped reads back as it was, by Go and by us.
func FuzzJackson(f *testing.F) {
	for _, s := range []string{"", "plain", "\x00\x1f\x7f \b\t\n\v\f\r\"\\/<>&'", "é€🚀\u2028\u2029\ufeff\u0085"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := appendEscaped(nil, []byte(s))
		if len(got) != escapedLen([]byte(s)) {
			t.Errorf("%q: %d bytes, want %d", s, len(got), escapedLen([]byte(s)))
		}
		if back := appendUnescaped(nil, got); string(back) != s {
			t.Errorf("%q: %s reads as %q", s, got, back)
		}
		var back string
		if err := json.Unmarshal(append(append([]byte{'"'}, got...), '"'), &back); err != nil || utf8.ValidString(s) && back != s {
			t.Errorf("%q: %s reads as %q, %v", s, got, back, err)
		}
	})
}

func TestJacksonEscapes(t *testing.T) {
	got := appendEscaped(nil, []byte("a\x00\x01\b\t\n\v\f\r\x1f\x7f\"\\/<>&é\u2028🚀"))
	if want := `a\u0000\u0001\b\t\n\u000B\f\r\u001F` + "\x7f" + `\"\\/<>&é` + "\u2028🚀"; string(got) != want {
		t.Errorf("got\n %s, want\n %s", got, want)
	}
}

// The headers that are taken are those that Go reads as an object of scalars,
// and the texts are the same.
func FuzzTramHeaders(f *testing.F) {
	for _, s := range append(jsonTexts, `{"ID":"1-1","PARTITION_ID":"\ud83d\ude80\ud800x"}`, `{"ID":1e3,"PARTITION_ID":true}`, `{"I\u0044":"a","ID":null}`,
		`{"event-type":"a","command_type":null,"command_x":null}`, ` { "ID" : "x" , "a" : -0 } `, `{"ID":"x"}}`, `{"a":{}}`, `{"a":[]}`) {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, s []byte) {
		h, reason, _ := scanTramHeaders(s, nil)
		var want map[string]json.RawMessage
		ok := json.Unmarshal(s, &want) == nil && want != nil
		for _, v := range want {
			ok = ok && v[0] != '{' && v[0] != '['
		}
		// Go makes one name of two that are not UTF-8, and keeps the values of the last.
		if (reason == "") != ok && utf8.Valid(s) && !repeats(s) {
			t.Fatalf("%q: reason %q, want ok %t", s, reason, ok)
		}
		if reason != "" || !utf8.Valid(s) {
			return
		}
		if s[h.closing] != '}' || h.empty != (len(want) == 0) {
			t.Errorf("%q: closes at %d, empty %t", s, h.closing, h.empty)
		}
		for name, got := range map[string]tramHeader{"ID": h.id, "PARTITION_ID": h.partition, "event-type": h.eventType, "command_type": h.commandType} {
			raw, there := want[name]
			if got.there != there || got.value != (there && string(raw) != "null") {
				t.Errorf("%q: %s is %+v, want %s", s, name, got, raw)
			}
			if got.value && raw[0] != '"' && string(got.text) != string(raw) {
				t.Errorf("%q: %s is %s, want %s", s, name, got.text, raw)
			}
			if got.value && raw[0] == '"' {
				if text := appendUnescaped(nil, got.text); string(text) != javaText(t, raw) {
					t.Errorf("%q: %s is %q, want %q", s, name, text, javaText(t, raw))
				}
			}
		}
	})
}

// javaText is what Java encodes of a JSON string: ? for half a surrogate pair.
// Go has U+FFFD for that, so the units are put together here.
func javaText(t *testing.T, raw []byte) string {
	var units []uint16
	for s := raw[1 : len(raw)-1]; len(s) > 0; {
		switch {
		case s[0] == '\\' && s[1] == 'u':
			r, _ := hex4(s, 2)
			units, s = append(units, uint16(r)), s[6:]
		case s[0] == '\\':
			var one string
			if err := json.Unmarshal([]byte{'"', '\\', s[1], '"'}, &one); err != nil {
				t.Fatal(err)
			}
			units, s = append(units, uint16(one[0])), s[2:]
		default:
			r, n := utf8.DecodeRune(s)
			units, s = utf16.AppendRune(units, r), s[n:]
		}
	}
	var out []rune
	for i := 0; i < len(units); i++ {
		r := rune(units[i])
		if utf16.IsSurrogate(r) {
			if pair := utf16.DecodeRune(r, rune(at(units, i+1))); pair != utf8.RuneError {
				r = pair
				i++
			} else {
				r = '?'
			}
		}
		out = append(out, r)
	}
	return string(out)
}

func at(units []uint16, i int) uint16 {
	if i < len(units) {
		return units[i]
	}
	return 0
}

// repeats reports whether an object names something twice: Go drops the first
// value unread, and Jackson reads it.
func repeats(s []byte) bool {
	d := json.NewDecoder(bytes.NewReader(s))
	seen, depth, name := map[string]bool{}, 0, true
	for {
		tok, err := d.Token()
		if err != nil {
			return false
		}
		switch v := tok.(type) {
		case json.Delim:
			if v == '{' || v == '[' {
				depth++
			} else {
				depth--
			}
			name = true
			continue
		case string:
			if depth == 1 && name && seen[v] {
				return true
			}
			if depth == 1 && name {
				seen[v] = true
			}
		}
		name = !name
	}
}

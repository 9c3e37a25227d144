package connect

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// The text of any type, read in any mode: an error or a value that can be
// written in each form.
func FuzzTypes(f *testing.F) {
	for _, s := range [][3]string{
		{"timestamptz", "2026-01-02 03:04:05.678901+02", "now()"}, {"numeric", "-12.340", "0"}, {"interval", "1 mon -2 days 03:04:05", ""},
		{"_int4", `{1,NULL,"3"}`, ""}, {"bytea", `\x00ff`, ""}, {"point", "(1,2)", ""}, {"bit", "101", "b'1'"}, {"money", "-12.5", ""},
		{"timestamp", "0000-00-00 00:00:00", "CURRENT_TIMESTAMP"}, {"time", "-838:59:59.5", ""}, {"json", `{"a": [1.0, "base64:type15:AA=="]}`, ""}, {"set", "a,b", "a"},
		{"bigint unsigned", "18446744073709551615", "1"}, {"year", "1970", ""}, {"date", "infinity", ""}, {"uuid", "0af76519-16cd-43dd-8448-eb211c80319c", ""},
	} {
		f.Add(s[0], []byte(s[1]), s[2], uint8(3), int8(-1), true)
	}
	f.Fuzz(func(t *testing.T, name string, text []byte, def string, mode uint8, precision int8, notNull bool) {
		pick := func(list []string) string { return list[int(mode)%len(list)] }
		if strings.Contains(name, "time") {
			precision = min(precision, 6) // no server has more digits of a second
		}
		c := Column{Name: name, Precision: max(int(precision), -1), Scale: max(int(precision)/2, -1), Labels: "a,b", NotNull: notNull, Default: def}
		modes := Modes{Binary: pick(BinaryModes), Decimal: pick(DecimalModes), Time: pick(TimeModes), UnsignedBigint: pick(UnsignedBigintModes)}
		for _, source := range []Source{Postgres, MySQL, MariaDB} {
			if read := source.Millis(c); read != nil {
				_, _ = read(text)
			}
			typ, err := source.Type(c, modes)
			if err != nil {
				continue
			}
			if out := AppendSchema(nil, typ.Schema); utf8.ValidString(name+def) && !json.Valid(out) {
				t.Errorf("%s of %s has the schema %s", name, source.Connector, out)
			}
			v, err := typ.Read(text)
			if err != nil {
				continue
			}
			if out := AppendJSON(nil, typ.Schema, v); utf8.Valid(text) && !json.Valid(out) {
				t.Errorf("%s %q of %s became %s", name, text, source.Connector, out)
			}
			if HasText(typ.Schema) {
				AppendString(nil, typ.Schema, v)
			}
			AppendSimple(nil, typ.Schema, v)
		}
		if _, err := (Source{}).Type(c, modes); !errors.Is(err, ErrUnsupported) {
			t.Errorf("no source knows %s: %v", name, err)
		}
	})
}

package connect

import (
	"errors"
	"testing"
)

// forms are a value as a simple header, as JSON and as a Java string.
func forms(t *testing.T, c Column, m Modes, text string) (simple, json, java string) {
	t.Helper()
	typ, err := Postgres.Type(c, m)
	if err != nil {
		t.Fatalf("%+v: %v", c, err)
	}
	v, err := typ.Read([]byte(text))
	if err != nil {
		t.Fatalf("%s %q: %v", c.Name, text, err)
	}
	return string(AppendSimple(nil, typ.Schema, v)), string(AppendJSON(nil, typ.Schema, v)), string(AppendString(nil, typ.Schema, v))
}

// The values and their forms are those that the live original wrote.
func TestPostgresValues(t *testing.T) {
	for _, c := range []struct {
		typ              string
		precision, scale int
		text             string
		simple, json     string
	}{
		{"int4", -1, -1, "2147483647", "2147483647", "2147483647"},
		{"int8", -1, -1, "-9223372036854775808", "-9223372036854775808", "-9223372036854775808"},
		{"bool", -1, -1, "t", "true", "true"},
		{"bool", -1, -1, "f", "false", "false"},
		{"numeric", 12, 3, "1234.500", "1234.500", `"EtZE"`},
		{"numeric", -1, -1, "0.10", `{"scale":1,"value":"AQ=="}`, `{"scale":1,"value":"AQ=="}`},
		{"numeric", 20, 0, "12345678901234567890", "12345678901234567890", `"AKtUqYzrHwrS"`},
		{"numeric", 5, 2, "-0.01", "-0.01", `"/w=="`},
		{"numeric", 12, 10, "0.0000000001", "1E-10", `"AQ=="`},
		{"numeric", 12, 8, "0.00000012", "1.2E-7", `"DA=="`},
		{"numeric", 12, 7, "0.0000000", "0E-7", `"AA=="`},
		{"float8", -1, -1, "1e+21", "1.0E21", "1.0E21"},
		{"float8", -1, -1, "0.1", "0.1", "0.1"},
		{"float8", -1, -1, "100", "100.0", "100.0"},
		{"float8", -1, -1, "0.001", "0.001", "0.001"},
		{"float8", -1, -1, "0.00099", "9.9E-4", "9.9E-4"},
		{"float8", -1, -1, "-Infinity", "-Infinity", `"-Infinity"`},
		{"float8", -1, -1, "NaN", "NaN", `"NaN"`},
		{"float4", -1, -1, "3.14", "3.14", "3.14"},
		{"float4", -1, -1, "1.6777216e+07", "1.6777216E7", "1.6777216E7"},
		{"timestamp", -1, -1, "2024-02-29 12:34:56.789012", "1709210096789012", "1709210096789012"},
		{"timestamp", 3, -1, "2024-02-29 12:34:56.789", "1709210096789", "1709210096789"},
		{"timestamp", 0, -1, "1969-12-31 23:59:59", "-1000", "-1000"},
		{"timestamp", -1, -1, "infinity", "9223372036825200000", "9223372036825200000"},
		{"timestamptz", -1, -1, "2024-02-29 10:34:56.789012+00", "2024-02-29T10:34:56.789012Z", `"2024-02-29T10:34:56.789012Z"`},
		{"timestamptz", 0, -1, "2024-02-29 12:34:56+00", "2024-02-29T12:34:56Z", `"2024-02-29T12:34:56Z"`},
		{"timestamptz", -1, -1, "2024-02-29 12:34:56.5+00", "2024-02-29T12:34:56.500000Z", `"2024-02-29T12:34:56.500000Z"`},
		{"timestamptz", 3, -1, "2024-02-29 12:34:56+00", "2024-02-29T12:34:56.000Z", `"2024-02-29T12:34:56.000Z"`},
		{"date", -1, -1, "2024-02-29", "19782", "19782"},
		{"date", -1, -1, "1969-12-31", "-1", "-1"},
		{"time", -1, -1, "12:34:56.789012", "45296789012", "45296789012"},
		{"time", 3, -1, "12:34:56.789", "45296789", "45296789"},
		{"timetz", -1, -1, "12:34:56.789+02", "10:34:56.789Z", `"10:34:56.789Z"`},
		{"timetz", -1, -1, "01:00:00+02:30", "22:30:00Z", `"22:30:00Z"`},
		{"uuid", -1, -1, "da8d6de6-3b77-45ff-8f44-57db55a7a06c", "da8d6de6-3b77-45ff-8f44-57db55a7a06c", `"da8d6de6-3b77-45ff-8f44-57db55a7a06c"`},
		{"bytea", -1, -1, `\x00ff10`, "AP8Q", `"AP8Q"`},
		{"_text", -1, -1, `{a,"b\"c",NULL}`, `["a","b\"c",null]`, `["a","b\"c",null]`},
		{"_text", -1, -1, `{"a\\b","",{}`, "", ""},
		{"_int4", -1, -1, "{1,NULL,3}", "[1,null,3]", "[1,null,3]"},
		{"_text", -1, -1, "{}", "[]", "[]"},
		{"_numeric", -1, -1, "{1.50,2}", `[{"scale":1,"value":"Dw=="},{"scale":0,"value":"Ag=="}]`, `[{"scale":1,"value":"Dw=="},{"scale":0,"value":"Ag=="}]`},
		{"_bytea", -1, -1, `{"\\x00ff"}`, `["AP8="]`, `["AP8="]`},
		{"jsonb", -1, -1, `{"a": [1.50]}`, `{"a": [1.50]}`, `"{\"a\": [1.50]}"`},
		{"bpchar", -1, -1, "ab   ", "ab   ", `"ab   "`},
		{"interval", -1, -1, "1 year 2 mons 3 days 04:05:06.789", "37091106789000", "37091106789000"},
		{"interval", -1, -1, "1 day 02:00:00", "93600000000", "93600000000"},
		{"interval", -1, -1, "-1 days -00:00:01.5", "-86401500000", "-86401500000"},
		{"money", -1, -1, "$12.34", "12.34", `"BNI="`},
		{"money", -1, -1, "-$1,234.50", "-1234.50", `"/h3G"`},
		{"bit", 1, -1, "1", "true", "true"},
		{"bit", 8, -1, "10100000", "oA==", `"oA=="`},
		{"varbit", 33, -1, "101", "BQ==", `"BQ=="`},
		{"enum", -1, -1, "ok", "ok", `"ok"`},
		{"int4range", -1, -1, "[1,5)", "[1,5)", `"[1,5)"`},
		{"point", -1, -1, "(1,2)", `{"x":1.0,"y":2.0,"wkb":"AQEAAAAAAAAAAADwPwAAAAAAAABA","srid":null}`, `{"x":1.0,"y":2.0,"wkb":"AQEAAAAAAAAAAADwPwAAAAAAAABA","srid":null}`},
		{"oid", -1, -1, "12345", "12345", "12345"},
		{"timestamp", -1, -1, "0044-03-15 00:00:00 BC", "-63517824000000000", "-63517824000000000"},
		{"timestamptz", -1, -1, "0044-03-15 00:00:00+00 BC", "-0043-03-15T00:00:00.000000Z", `"-0043-03-15T00:00:00.000000Z"`},
		{"timestamptz", -1, -1, "10000-01-01 00:00:00+00", "+10000-01-01T00:00:00.000000Z", `"+10000-01-01T00:00:00.000000Z"`},
		{"date", -1, -1, "0044-03-15 BC", "-735160", "-735160"},
		{"_int4", -1, -1, "[0:1]={5,6}", "[5,6]", "[5,6]"},
		{"_numeric", 8, 2, "{NaN,1}", "null", "null"},
		{"varbit", 1, -1, "", "null", "null"},
		{"interval", -1, -1, "178000000 years", "9223372036854775807", "9223372036854775807"},
		{"float8", -1, -1, "5e-324", "4.9E-324", "4.9E-324"},
		{"float4", -1, -1, "1e-45", "1.4E-45", "1.4E-45"},
		{"float8", -1, -1, "1e+22", "1.0E22", "1.0E22"},
		{"point", -1, -1, "(NaN,Infinity)", `{"x":NaN,"y":Infinity,"wkb":"AQEAAAAAAAAAAAD4fwAAAAAAAPB/","srid":null}`,
			`{"x":"NaN","y":"Infinity","wkb":"AQEAAAAAAAAAAAD4fwAAAAAAAPB/","srid":null}`},
	} {
		if c.json == "" {
			continue
		}
		simple, json, _ := forms(t, Column{Name: c.typ, Precision: c.precision, Scale: c.scale}, Modes{}, c.text)
		if simple != c.simple || json != c.json {
			t.Errorf("%s %s: got %s and %s, want %s and %s", c.typ, c.text, simple, json, c.simple, c.json)
		}
	}
}

func TestPostgresModes(t *testing.T) {
	plain := Column{Precision: -1, Scale: -1}
	for _, c := range []struct {
		typ, text    string
		precision    int
		modes        Modes
		simple, json string
	}{
		{"timestamp", "2024-02-29 12:34:56.789012", -1, Modes{Time: "connect"}, "2024-02-29T12:34:56.789Z", "1709210096789"},
		{"timestamp", "1969-12-31 23:59:59", 0, Modes{Time: "connect"}, "23:59:59.000Z", "-1000"},
		{"date", "2024-02-29", -1, Modes{Time: "connect"}, "2024-02-29", "19782"},
		{"time", "12:34:56.789012", -1, Modes{Time: "connect"}, "12:34:56.789Z", "45296789"},
		{"timestamp", "2024-02-29 12:34:56.7", -1, Modes{Time: "isostring"}, "2024-02-29T12:34:56.7Z", `"2024-02-29T12:34:56.7Z"`},
		{"date", "2024-02-29", -1, Modes{Time: "isostring"}, "2024-02-29Z", `"2024-02-29Z"`},
		{"time", "12:34:56", -1, Modes{Time: "isostring"}, "12:34:56Z", `"12:34:56Z"`},
		{"time", "12:34:56", 3, Modes{Time: "adaptive_time_microseconds"}, "45296000000", "45296000000"},
		{"timestamp", "1970-01-01 00:00:01", 0, Modes{Time: "microseconds"}, "1000000", "1000000"},
		{"timestamp", "1970-01-01 00:00:01", 0, Modes{Time: "nanoseconds"}, "1000000000", "1000000000"},
		{"time", "00:00:01", -1, Modes{Time: "nanoseconds"}, "1000000000", "1000000000"},
		{"numeric", "1234.500", 12, Modes{Decimal: "string"}, "1234.500", `"1234.500"`},
		{"numeric", "NaN", 12, Modes{Decimal: "string"}, "NAN", `"NAN"`},
		{"numeric", "NaN", 12, Modes{}, "null", "null"},
		{"numeric", "12345678901234567890", 20, Modes{Decimal: "double"}, "1.2345678901234567E19", "1.2345678901234567E19"},
		{"money", "$12.34", -1, Modes{Decimal: "double"}, "12.34", "12.34"},
		{"bytea", `\x00ff807f0a0d22`, -1, Modes{Binary: "base64-url-safe"}, "AP-AfwoNIg==", `"AP-AfwoNIg=="`},
		{"bytea", `\x00ff`, -1, Modes{Binary: "hex"}, "00ff", `"00ff"`},
	} {
		column := plain
		column.Name, column.Precision, column.Scale = c.typ, c.precision, max(c.precision, 0)
		simple, json, _ := forms(t, column, c.modes, c.text)
		if simple != c.simple || json != c.json {
			t.Errorf("%s %s %+v: got %s and %s, want %s and %s", c.typ, c.text, c.modes, simple, json, c.simple, c.json)
		}
	}
}

func TestPostgresSchemas(t *testing.T) {
	for _, c := range []struct {
		column Column
		want   string
	}{
		{Column{Name: "numeric", Precision: 12, Scale: 3}, `{"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"3","connect.decimal.precision":"12"}}`},
		{Column{Name: "enum", Labels: "ok,bad"}, `{"type":"string","optional":true,"name":"io.debezium.data.Enum","version":1,"parameters":{"allowed":"ok,bad"}}`},
		{Column{Name: "_uuid"}, `{"type":"array","items":{"type":"string","optional":true,"name":"io.debezium.data.Uuid","version":1},"optional":true}`},
		{Column{Name: "point"}, `{"type":"struct","fields":[{"type":"double","optional":false,"field":"x"},{"type":"double","optional":false,"field":"y"},{"type":"bytes","optional":true,"field":"wkb"},{"type":"int32","optional":true,"field":"srid"}],"optional":true,"name":"io.debezium.data.geometry.Point","version":1,"doc":"Geometry (POINT)"}`},
		{Column{Name: "bit", Precision: 8}, `{"type":"bytes","optional":true,"name":"io.debezium.data.Bits","version":1,"parameters":{"length":"8"}}`},
	} {
		typ, err := Postgres.Type(c.column, Modes{})
		if err != nil {
			t.Fatal(err)
		}
		typ.Schema.Optional = true
		if got := string(AppendSchema(nil, typ.Schema)); got != c.want {
			t.Errorf("%s: got\n %s, want\n %s", c.column.Name, got, c.want)
		}
	}
}

func TestPostgresRefuses(t *testing.T) {
	for _, name := range []string{"pg_lsn", "hstore", "oid:4711", "_timestamptz", "_interval", "_xml", "box", "varbit"} {
		if _, err := Postgres.Type(Column{Name: name, Precision: -1, Scale: -1}, Modes{}); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for typ, text := range map[string]string{"int4": "99999999999", "date": "infinity", "timestamp": "-infinity",
		"time": "noon", "numeric": "1.2.3", "interval": "soon", "_int4": "{{1},{2}}", "bytea": "abc"} {
		typ, err := Postgres.Type(Column{Name: typ, Precision: -1, Scale: -1}, Modes{})
		if err != nil {
			t.Fatal(err)
		}
		if v, err := typ.Read([]byte(text)); err == nil {
			t.Errorf("%s: read as %+v", text, v)
		}
	}
}

// A Java string of a struct leaves nulls out, an array has commas with spaces.
func TestJavaStrings(t *testing.T) {
	if _, _, got := forms(t, Column{Name: "_int4"}, Modes{}, "{1,NULL}"); got != "[1, null]" {
		t.Errorf("got %s", got)
	}
	s, v, err := Expand([]byte(`{"a":[{"x":1},{"y":"s"}],"n":null}`), "payload", false)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(AppendString(nil, s, v)); got != "Struct{a=[Struct{x=1}, Struct{y=s}]}" {
		t.Errorf("got %s", got)
	}
}

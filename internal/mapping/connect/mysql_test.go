package connect

import (
	"errors"
	"strings"
	"testing"
)

// The values and their forms are those that the live original wrote, of
// MySQL's log and of MariaDB's.
func TestMySQLValues(t *testing.T) {
	for _, c := range []struct {
		typ              string
		precision, scale int
		modes            Modes
		text             string
		simple, json     string
	}{
		{"int", 10, 0, Modes{}, "2147483647", "2147483647", "2147483647"},
		{"int unsigned", 10, 0, Modes{}, "4294967295", "4294967295", "4294967295"},
		{"bigint", 19, 0, Modes{}, "-9223372036854775808", "-9223372036854775808", "-9223372036854775808"},
		{"bigint unsigned", 20, 0, Modes{}, "18446744073709551615", "-1", "-1"},
		{"bigint unsigned", 20, 0, Modes{UnsignedBigint: "precise"}, "18446744073709551615", "18446744073709551615", `"AP//////////"`},
		{"smallint", 5, 0, Modes{}, "-7", "-7", "-7"},
		{"smallint unsigned", 5, 0, Modes{}, "65535", "65535", "65535"},
		{"mediumint", 7, 0, Modes{}, "8388607", "8388607", "8388607"},
		{"mediumint unsigned", 7, 0, Modes{}, "00000007", "7", "7"}, // ZEROFILL
		{"tinyint", 3, 0, Modes{}, "1", "1", "1"},
		{"tinyint unsigned", 3, 0, Modes{}, "255", "255", "255"},
		{"decimal", 12, 3, Modes{}, "1234.500", "1234.500", `"EtZE"`},
		{"decimal", 20, 0, Modes{}, "12345678901234567890", "12345678901234567890", `"AKtUqYzrHwrS"`},
		{"decimal", 5, 2, Modes{}, "-0.01", "-0.01", `"/w=="`},
		{"decimal unsigned", 5, 2, Modes{}, "000.10", "0.10", `"Cg=="`},
		{"decimal", 5, 2, Modes{Decimal: "string"}, "-0.01", "-0.01", `"-0.01"`},
		{"decimal unsigned", 5, 2, Modes{Decimal: "string"}, "000.10", "0.10", `"0.10"`},
		{"decimal", 5, 2, Modes{Decimal: "double"}, "-0.01", "-0.01", "-0.01"},
		{"double", 22, -1, Modes{}, "1e21", "1.0E21", "1.0E21"},
		{"double", 22, -1, Modes{}, "100", "100.0", "100.0"},
		{"double", 10, 2, Modes{}, "1.50", "1.5", "1.5"},
		{"float", 12, -1, Modes{}, "3.14", "3.14", "3.14"},
		{"bit", 1, -1, Modes{}, "\x01", "true", "true"},
		{"bit", 1, -1, Modes{}, "\x00", "false", "false"},
		{"bit", 8, -1, Modes{}, "\xa0", "oA==", `"oA=="`},
		{"bit", 12, -1, Modes{}, "\x0a\x01", "AQo=", `"AQo="`},
		{"year", -1, -1, Modes{}, "2024", "2024", "2024"},
		{"year", -1, -1, Modes{}, "0000", "1900", "1900"},
		{"enum", -1, -1, Modes{}, "bad", "bad", `"bad"`},
		{"set", -1, -1, Modes{}, "a,c", "a,c", `"a,c"`},
		{"char", -1, -1, Modes{}, "ab", "ab", `"ab"`},
		{"binary", -1, -1, Modes{}, "\x00\xff\x10\x00", "AP8QAA==", `"AP8QAA=="`},
		{"longblob", -1, -1, Modes{Binary: "hex"}, "\x00\xff", "00ff", `"00ff"`},
		{"date", -1, -1, Modes{}, "2024-02-29", "19782", "19782"},
		{"date", -1, -1, Modes{}, "0024-02-29", "19782", "19782"}, // enable.time.adjuster
		{"date", -1, -1, Modes{}, "0099-12-31", "10956", "10956"},
		{"date", -1, -1, Modes{}, "0000-00-00", "null", "null"},
		{"date", -1, -1, Modes{}, "2024-00-10", "null", "null"},
		{"date", -1, -1, Modes{Time: "isostring"}, "2024-02-29", "2024-02-29Z", `"2024-02-29Z"`},
		{"date", -1, -1, Modes{Time: "connect"}, "2024-02-29", "2024-02-29", "19782"},
		{"time", 0, -1, Modes{}, "12:34:56", "45296000000", "45296000000"},
		{"time", 6, -1, Modes{}, "12:34:56.789012", "45296789012", "45296789012"},
		{"time", 3, -1, Modes{}, "-838:59:58.999", "-3020398999000", "-3020398999000"},
		{"time", 3, -1, Modes{Time: "connect"}, "-838:59:58.999", "null", "null"},
		{"time", 0, -1, Modes{Time: "connect"}, "24:00:00", "1970-01-02", "86400000"},
		{"time", 0, -1, Modes{Time: "isostring"}, "24:00:00", "00:00:00Z", `"00:00:00Z"`},
		{"time", 0, -1, Modes{Time: "isostring"}, "24:00:01", "null", "null"},
		{"time", 3, -1, Modes{Time: "isostring"}, "-838:59:58.999", "null", "null"},
		{"time", 6, -1, Modes{Time: "connect"}, "12:34:56.789012", "12:34:56.789Z", "45296789"},
		{"time", 6, -1, Modes{Time: "isostring"}, "12:34:56.789012", "12:34:56.789012Z", `"12:34:56.789012Z"`},
		{"datetime", 0, -1, Modes{}, "2024-02-29 12:34:56", "1709210096000", "1709210096000"},
		{"datetime", 3, -1, Modes{}, "2024-02-29 12:34:56.789", "1709210096789", "1709210096789"},
		{"datetime", 6, -1, Modes{}, "2024-02-29 12:34:56.789012", "1709210096789012", "1709210096789012"},
		{"datetime", 6, -1, Modes{}, "1969-12-31 23:59:59.500000", "-500000", "-500000"},
		{"datetime", 0, -1, Modes{}, "0000-00-00 00:00:00", "null", "null"},
		{"datetime", 6, -1, Modes{Time: "connect"}, "2024-02-29 12:34:56.789012", "2024-02-29T12:34:56.789Z", "1709210096789"},
		{"datetime", 6, -1, Modes{Time: "isostring"}, "1969-12-31 23:59:59.500000", "1969-12-31T23:59:59.5Z", `"1969-12-31T23:59:59.5Z"`},
		{"timestamp", 0, -1, Modes{}, "0000-00-00 00:00:00", "null", "null"},
		{"timestamp", 0, -1, Modes{}, "2024-02-29 12:34:56", "2024-02-29T12:34:56Z", `"2024-02-29T12:34:56Z"`},
		{"timestamp", 3, -1, Modes{Time: "connect"}, "2024-02-29 12:34:56.780", "2024-02-29T12:34:56.780Z", `"2024-02-29T12:34:56.780Z"`},
		{"timestamp", 6, -1, Modes{}, "2024-02-29 12:34:56.789012", "2024-02-29T12:34:56.789012Z", `"2024-02-29T12:34:56.789012Z"`},
	} {
		typ, err := MySQL.Type(Column{Name: c.typ, Precision: c.precision, Scale: c.scale}, c.modes)
		if err != nil {
			t.Errorf("%s: %v", c.typ, err)
			continue
		}
		v, err := typ.Read([]byte(c.text))
		if err != nil {
			t.Errorf("%s %q: %v", c.typ, c.text, err)
			continue
		}
		simple, json := string(AppendSimple(nil, typ.Schema, v)), string(AppendJSON(nil, typ.Schema, v))
		if simple != c.simple || json != c.json {
			t.Errorf("%s %q: got %s and %s, want %s and %s", c.typ, c.text, simple, json, c.simple, c.json)
		}
	}
}

func TestMySQLSchemas(t *testing.T) {
	for _, c := range []struct {
		source Source
		column Column
		want   string
	}{
		{MySQL, Column{Name: "json"}, `{"type":"string","optional":true,"name":"io.debezium.data.Json","version":1}`},
		{MariaDB, Column{Name: "longtext"}, `{"type":"string","optional":true}`},
		{MariaDB, Column{Name: "uuid", NotNull: true}, `{"type":"string","optional":false,"name":"io.debezium.data.Uuid","version":1}`},
		{MySQL, Column{Name: "enum", Labels: "ok,bad"}, `{"type":"string","optional":true,"name":"io.debezium.data.Enum","version":1,"parameters":{"allowed":"ok,bad"}}`},
		{MySQL, Column{Name: "set", Labels: "a,b", NotNull: true}, `{"type":"string","optional":false,"name":"io.debezium.data.EnumSet","version":1,"parameters":{"allowed":"a,b"}}`},
		{MySQL, Column{Name: "tinyint", NotNull: true}, `{"type":"int16","optional":false}`},
		{MySQL, Column{Name: "smallint unsigned", NotNull: true}, `{"type":"int32","optional":false}`},
		{MySQL, Column{Name: "int unsigned", NotNull: true}, `{"type":"int64","optional":false}`},
		{MySQL, Column{Name: "bit", Precision: 8}, `{"type":"bytes","optional":true,"name":"io.debezium.data.Bits","version":1,"parameters":{"length":"8"}}`},
		{MySQL, Column{Name: "year"}, `{"type":"int32","optional":true,"name":"io.debezium.time.Year","version":1}`},
		{MySQL, Column{Name: "decimal", Precision: 10, Scale: 2, NotNull: true},
			`{"type":"bytes","optional":false,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2","connect.decimal.precision":"10"}}`},
		{MySQL, Column{Name: "time"}, `{"type":"int64","optional":true,"name":"io.debezium.time.MicroTime","version":1}`},
		{MySQL, Column{Name: "datetime", Precision: 6}, `{"type":"int64","optional":true,"name":"io.debezium.time.MicroTimestamp","version":1}`},
		{MySQL, Column{Name: "timestamp", Precision: 6}, `{"type":"string","optional":true,"name":"io.debezium.time.ZonedTimestamp","version":1}`},
		{MySQL, Column{Name: "float", Scale: -1, NotNull: true}, `{"type":"float","optional":false}`},
		{MySQL, Column{Name: "varbinary"}, `{"type":"bytes","optional":true}`},
	} {
		typ, err := c.source.Type(c.column, Modes{})
		if err != nil {
			t.Errorf("%s: %v", c.column.Name, err)
		} else if got := string(AppendSchema(nil, typ.Schema)); got != c.want {
			t.Errorf("%s: got\n %s, want\n %s", c.column.Name, got, c.want)
		}
	}
}

// What is not known is refused, and never guessed.
func TestMySQLRefusals(t *testing.T) {
	for _, c := range []struct {
		source Source
		column Column
		modes  Modes
	}{
		{MySQL, Column{Name: "geometry"}, Modes{}},
		{MySQL, Column{Name: "uuid"}, Modes{}},
		{MariaDB, Column{Name: "json"}, Modes{}},
		{MariaDB, Column{Name: "inet6"}, Modes{}},
		{MySQL, Column{Name: "float", Precision: 7, Scale: 4}, Modes{}},
		{MySQL, Column{Name: "double", Precision: 20, Scale: 4}, Modes{}},
		{Source{}, Column{Name: "int"}, Modes{}},
	} {
		if _, err := c.source.Type(c.column, c.modes); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%+v: %v", c.column, err)
		}
	}
	if _, err := MySQL.Type(Column{Name: "time"}, Modes{Time: "adaptive"}); !errors.Is(err, errNoMode) {
		t.Errorf("adaptive: %v", err)
	}
	for _, c := range []struct {
		column Column
		modes  Modes
		text   string
		want   error
	}{
		{Column{Name: "date"}, Modes{}, "2023-02-29", errDay}, // ALLOW_INVALID_DATES
		{Column{Name: "date"}, Modes{}, "0000-01-01", errYear},
		{Column{Name: "date", NotNull: true}, Modes{Time: "isostring"}, "0000-00-00", errZero},
		{Column{Name: "time", NotNull: true}, Modes{Time: "connect"}, "24:00:01", errOfDay},
		{Column{Name: "datetime"}, Modes{}, "infinity", errTime},
	} {
		typ, err := MySQL.Type(c.column, c.modes)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := typ.Read([]byte(c.text)); !errors.Is(err, c.want) {
			t.Errorf("%s %s: %+v, %v, want %v", c.column.Name, c.text, v, err, c.want)
		}
	}
}

// A zero date is 1970 where the column is NOT NULL, or what it defaults to.
func TestZeroDateNotNull(t *testing.T) {
	for _, c := range []struct{ column, fallback, want string }{
		{"date", "", "0"}, {"datetime", "", "0"}, {"date", "'2024-02-29'", "19782"}, {"timestamp", "", `"1970-01-01T00:00:00Z"`},
	} {
		typ, err := MySQL.Type(Column{Name: c.column, NotNull: true, Default: c.fallback}, Modes{})
		if err != nil {
			t.Fatal(err)
		}
		v, err := typ.Read([]byte("0000-00-00 00:00:00"[:len("0000-00-00")]))
		if got := string(AppendJSON(nil, typ.Schema, v)); err != nil || got != c.want {
			t.Errorf("%s %s: %s, %v, want %s", c.column, c.fallback, got, err, c.want)
		}
	}
}

func TestMySQLDefaults(t *testing.T) {
	for _, c := range []struct {
		typ       string
		precision int
		expr      string
		want      string
	}{
		{"timestamp", 0, "current_timestamp()", ""}, // it may be NULL
		{"timestamp", 0, "'2024-02-29 12:34:56'", `"2024-02-29T12:34:56Z"`},
		{"int", 10, "'7'", "7"}, // MySQL
		{"int", 10, "7", "7"},   // MariaDB
		{"int", 10, "-7", "-7"}, //
		{"int", 10, "NULL", ""}, // MariaDB
		{"int", 10, "uuid()", ""},
		{"bigint unsigned", 20, "'18446744073709551615'", "-1"},
		{"varchar", -1, "'7'", `"7"`},
		{"varchar", -1, "''", `""`},
		{"varchar", -1, "concat('a','b')", ""},
		{"enum", -1, "'ok'", `"ok"`},
		{"decimal", 5, "'1.5'", `"AJY="`},
		{"date", -1, "'2024-02-29'", "19782"},
		{"date", -1, "'0000-00-00'", ""},
		{"datetime", 0, "CURRENT_TIMESTAMP", "0"},
		{"timestamp NOT NULL", 6, "CURRENT_TIMESTAMP(6)", `"1970-01-01T00:00:00.000000Z"`},
		{"timestamp NOT NULL", 0, "current_timestamp()", `"1970-01-01T00:00:00Z"`},
		{"time", 0, "'12:34:56'", "45296000000"},
		{"bit", 1, "b'1'", "true"},
		{"bit", 12, "'b''101000000001'''", `"AQo="`}, // MySQL
		{"bit", 12, "b'101000000001'", `"AQo="`},     // MariaDB
		{"year", -1, "'2024'", "2024"},
		{"binary", -1, "'ab'", ""},
		{"int", 10, "", ""},
	} {
		name, required := strings.CutSuffix(c.typ, " NOT NULL")
		typ, err := MySQL.Type(Column{Name: name, NotNull: required, Precision: c.precision, Scale: 2, Default: c.expr}, Modes{})
		if err != nil {
			t.Fatalf("%s: %v", c.typ, err)
		}
		got := ""
		if v := typ.Schema.Default; v != nil {
			got = string(AppendJSON(nil, typ.Schema, *v))
		}
		if got != c.want {
			t.Errorf("%s %s: got %s, want %s", c.typ, c.expr, got, c.want)
		}
	}
}

// The server's text on the left, what the original reads from the log on the
// right.
func TestBinlogJSON(t *testing.T) {
	for in, want := range map[string]string{
		`{}`:                                 `{}`,
		`[]`:                                 `[]`,
		`null`:                               `null`,
		`"str"`:                              `"str"`,
		`{"a": [1, 2, 3], "b": 1}`:           `{"a":[1,2,3],"b":1}`,
		`{"s": "a, b: c  d"}`:                `{"s":"a, b: c  d"}`,
		`{"s": "q\" n\n \u001f \\u001f \\"}`: `{"s":"q\" n\n \u001F \\u001f \\"}`,
		`{"d": 1.5, "e": 1e100, "f": 0.1, "g": 1.0, "l": -0.0}`:       `{"d":1.5,"e":10000000000000000159028911097599180468360808563945281389781327557747838772170381060813469985856815104,"f":0.1,"g":1.0,"l":-0.0}`,
		`[1000000000000000.0, 1e15, 1e16, 123456789.125, 10000000.0]`: `[1000000000000000.0,1000000000000000,10000000000000000,123456789.125,10000000]`,
		`[0.0000001, 0.001, 0.0001]`:                                  `[0.0000000999999999999999954748111825886258685613938723690807819366455078125,0.001,0.000100000000000000004792173602385929598312941379845142364501953125]`,
		`[1.2345678901234567e19]`:                                     `[12345678901234567168]`,
		`{"d": 1.50, "e": 12345678901234567890.50000, "n": -0.10}`:    `{"d":1.50,"e":12345678901234567890.50000,"n":-0.10}`,
		`{"i": -9223372036854775808, "u": 18446744073709551615}`:      `{"i":-9223372036854775808,"u":18446744073709551615}`,
		`{"b": "base64:type253:AP8Q"}`:                                `{"b":"AP8Q"}`,
		`{"b": "base64:type253:AP8"}`:                                 `{"b":"base64:type253:AP8"}`,
		`{"base64:type253:AP8Q": "base64:type7:AP8Q"}`:                `{"base64:type253:AP8Q":"base64:type7:AP8Q"}`,
		`{"é": "😀", "t": true}`:                                       `{"é":"😀","t":true}`,
	} {
		got, err := binlogJSON(nil, []byte(in))
		if err != nil || string(got) != want {
			t.Errorf("%s: %v, got\n %s, want\n %s", in, err, got, want)
		}
	}
	if _, err := binlogJSON(nil, []byte(`{"a`)); err == nil {
		t.Error("a string without an end passes")
	}
}

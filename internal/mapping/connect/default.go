package connect

import (
	"regexp"
	"strings"
)

// How Debezium reads the expression of a default (PostgresDefaultValueConverter):
// what a call computes is replaced by a fixed value, a literal is what stands
// between the first two quotes, anything else is the value itself.
var (
	literalDefault  = regexp.MustCompile(`'(.*?)'`)
	functionDefault = regexp.MustCompile(`^[(]?[A-Za-z0-9_.]+\((?:.+(?:, ?.+)*)?\)`)
)

var currentTimes = set("current_timestamp", "current_time", "current_date", "localtime", "localtimestamp")

// computedDefaults are the values that stand for calls, by type. Types that
// are not here have no default in a schema.
var computedDefaults = map[string]string{
	"bit": "00", "varbit": "0", "bool": "f", "bpchar": "", "varchar": "", "text": "", "numeric": "0.0", "float4": "0.0",
	"float8": "0.0", "int2": "0", "int4": "0", "int8": "0", "json": "{}", "jsonb": "{}", "xml": "",
	"uuid": "00000000-0000-0000-0000-000000000000", "date": "1970-01-01", "time": "00:00:00",
	"timestamp": "1970-01-01 00:00:00", "timestamptz": "1970-01-01 00:00:00+00", "enum": "", "interval": "",
}

// postgresDefault is what the schema of a column says about its default
// expression, as pg_get_expr prints it; nil for nothing.
func postgresDefault(t Type, c Column) *Value {
	computed, known := computedDefaults[c.Name]
	if !known || strings.HasPrefix(c.Default, "NULL::") {
		return nil
	}
	text := strings.TrimSpace(c.Default)
	switch {
	case functionDefault.MatchString(text) || currentTimes[strings.ToLower(text)]:
		if c.Name == "enum" || c.Name == "interval" {
			return nil
		}
		text = computed
	case strings.Contains(text, "'"):
		m := literalDefault.FindStringSubmatch(text)
		if m == nil {
			return nil
		}
		text = m[1]
	}
	switch c.Name {
	case "bool":
		if strings.EqualFold(text, "true") {
			text = "t"
		}
	case "uuid":
		text = strings.ToLower(text)
	}
	v, err := t.Read([]byte(text))
	if err != nil || v.Kind == Struct || v.Kind == Null {
		return nil // the original warns, and has none
	}
	return &v
}

package connect

import (
	"regexp"
	"strconv"
	"strings"
)

// now is what a column defaults to that takes the time of the statement; the
// original puts the epoch there.
var now = regexp.MustCompile(`(?i)^current_timestamp(\(\d*\))?( on update .*)?$`)

// mysqlDefault is what the schema of a column says about its default: a
// literal (MySqlDefaultValueConverter), or the epoch for the current time. An
// expression gives none.
func mysqlDefault(t Type, c Column) *Value {
	text := c.Default
	switch {
	case now.MatchString(text) && c.Name == "timestamp" && !c.NotNull:
		return nil // the epoch is the zero of a TIMESTAMP, which is null there
	case now.MatchString(text):
		text = "1970-01-01 00:00:00"
	case len(text) > 1 && text[0] == '\'' && text[len(text)-1] == '\'':
		text = text[1 : len(text)-1]
	case !number(text):
		return nil
	}
	name, _ := strings.CutSuffix(c.Name, " unsigned")
	switch name {
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
		return nil // in which form the server prints the bytes depends on its version
	case "bit":
		bits, ok := bitLiteral(strings.ReplaceAll(text, "''", "'"), c.Precision)
		if !ok {
			return nil
		}
		text = string(bits)
	case "date", "datetime", "timestamp":
		if isZeroDate([]byte(text)) {
			if !c.NotNull {
				return nil
			}
			text = "1970-01-01 00:00:00"
		}
		if name == "date" {
			text = text[:min(len(text), len("1970-01-01"))]
		}
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "uuid":
	default:
		text = strings.TrimSpace(text)
	}
	v, err := t.Read([]byte(text))
	if err != nil || v.Kind == Null {
		return nil // the original warns, and has none
	}
	return &v
}

func number(text string) bool {
	_, err := strconv.ParseFloat(text, 64)
	return err == nil || strings.HasPrefix(text, "b'")
}

// bitLiteral makes the bytes of b'101', as the log has them.
func bitLiteral(text string, bits int) ([]byte, bool) {
	digits, ok := strings.CutPrefix(text, "b'")
	if !ok {
		return nil, false
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(digits, "'"), 2, 64)
	if err != nil {
		return nil, false
	}
	out := make([]byte, (bits+7)/8)
	for i := range out {
		out[len(out)-1-i] = byte(n >> (8 * i))
	}
	return out, true
}

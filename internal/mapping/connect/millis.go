package connect

import (
	"fmt"
	"strconv"
)

func postgresMillis(c Column) func(text []byte) (Value, error) {
	switch c.Name {
	case "timestamp", "timestamptz", "text", "varchar", "bpchar":
		return timestampMillis
	case "date":
		return dateMillis
	case "int8":
		return wholeMillis
	}
	return nil
}

// mysqlMillis: a zero date is no time, and 1970 in a column that is NOT NULL,
// as it is null and 0 there.
func mysqlMillis(c Column) func(text []byte) (Value, error) {
	var read func(text []byte) (Value, error)
	switch c.Name {
	case "datetime", "timestamp", "char", "varchar", "tinytext", "text", "mediumtext", "longtext":
		read = timestampMillis
	case "date":
		read = dateMillis
	case "bigint", "bigint unsigned":
		return wholeMillis
	default:
		return nil
	}
	return func(text []byte) (Value, error) {
		switch {
		case !isZeroDate(text):
			return read(text)
		case c.NotNull:
			return Value{Kind: Int}, nil
		}
		return Value{}, nil
	}
}

func millisOf(text []byte, ms int64, err error) (Value, error) {
	if err != nil {
		return Value{}, fmt.Errorf("%q %w", text, err)
	}
	return Value{Kind: Int, Int: ms}, nil
}

func timestampMillis(text []byte) (Value, error) {
	us, err := parseTimestamp(text)
	return millisOf(text, us/1000, err)
}

func dateMillis(text []byte) (Value, error) {
	days, err := parseDate(text)
	return millisOf(text, days*millisPerDay, err)
}

func wholeMillis(text []byte) (Value, error) {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		err = errNumber
	}
	return millisOf(text, n, err)
}

package connect

import (
	"fmt"
	"strconv"
)

// Millis reads the column of a record's time, in milliseconds since 1970,
// toward zero as Debezium's router divides; nil for a type that is no time.
func Millis(column string) func(text []byte) (int64, error) {
	switch column {
	case "timestamp", "timestamptz", "text", "varchar", "bpchar":
		return func(text []byte) (int64, error) {
			us, err := parseTimestamp(text)
			if err != nil {
				return 0, fmt.Errorf("%q %w", text, err)
			}
			return us / 1000, nil
		}
	case "date":
		return func(text []byte) (int64, error) {
			d, err := parseDate(text)
			if err != nil {
				return 0, fmt.Errorf("%q %w", text, err)
			}
			return d * millisPerDay, nil
		}
	case "int8":
		return func(text []byte) (int64, error) {
			n, err := strconv.ParseInt(string(text), 10, 64)
			if err != nil {
				return 0, errNumber
			}
			return n, nil
		}
	}
	return nil
}

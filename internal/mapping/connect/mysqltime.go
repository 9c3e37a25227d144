package connect

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

var (
	errYear    = errors.New("is in the year 0, for which no form is known")
	errDay     = errors.New("is a day that no month has")
	errZero    = errors.New("is a zero date in a column that is NOT NULL, for which no form is known")
	errOfDay   = errors.New("is not within a day, in a column that is NOT NULL")
	errNoMode  = errors.New("has no form with types: {time: adaptive}, which is for PostgreSQL; adaptive_time_microseconds is the default here")
	timeOfZero = Value{Kind: Int}
	dateOfZero = Value{Kind: Date}
)

// mysqlTime is the Type of dates and times, by the mode and the declared
// digits of a second's fraction.
func mysqlTime(c Column, m Modes) (Type, error) {
	if m.Time == "adaptive" {
		return Type{}, errNoMode
	}
	digits := max(c.Precision, 0)
	switch c.Name {
	case "date":
		return mysqlDate(c, m), nil
	case "time":
		return mysqlClock(c, m), nil
	case "datetime":
		return mysqlDatetime(c, digits, m), nil
	}
	t := formatted("io.debezium.time.ZonedTimestamp", func(dst, text []byte) ([]byte, error) {
		if isZeroDate(text) {
			text = []byte("1970-01-01 00:00:00") // the log has a zero there
		}
		us, err := parseTimestamp(text)
		return append(appendISOTimestamp(dst, us, digits), 'Z'), err
	})
	if !c.NotNull {
		t = nullable(t, isZeroDate, nil)
	}
	return t, nil
}

// isZeroDate reports whether the month or the day of a date is zero. The
// original takes such for null.
func isZeroDate(text []byte) bool {
	return len(text) >= 10 && (string(text[5:7]) == "00" || string(text[8:10]) == "00")
}

// nullable makes the values null of which null says so; in a column that is NOT
// NULL they are zero instead.
func nullable(t Type, null func(text []byte) bool, zero *Value) Type {
	read := t.Read
	t.zero, t.Plain = zero, false
	t.Read = func(text []byte) (Value, error) {
		if null(text) {
			return Value{}, nil
		}
		return read(text)
	}
	return t
}

// isoDate is nullable for the modes that write a string: what they write for a
// null in a column that is NOT NULL is not known.
func isoDate(c Column, t Type) Type {
	read := t.Read
	t.Read = func(text []byte) (Value, error) {
		switch {
		case !isZeroDate(text):
			return read(text)
		case c.NotNull:
			return Value{}, errZero
		}
		return Value{}, nil
	}
	return t
}

func mysqlDate(c Column, m Modes) Type {
	switch m.Time {
	case "isostring":
		return isoDate(c, formatted("io.debezium.time.IsoDate", func(dst, text []byte) ([]byte, error) {
			d, err := parseMySQLDate(text)
			return append(appendISODate(dst, d), 'Z'), err
		}))
	case "connect":
		return nullable(dated("int32", nameDate, scaled(parseMySQLDate, millisPerDay, 1)), isZeroDate, &dateOfZero)
	}
	return nullable(instant("int32", "io.debezium.time.Date", parseMySQLDate), isZeroDate, &timeOfZero)
}

func mysqlDatetime(c Column, digits int, m Modes) Type {
	switch m.Time {
	case "isostring":
		return isoDate(c, formatted("io.debezium.time.IsoTimestamp", func(dst, text []byte) ([]byte, error) {
			us, err := parseDatetime(text)
			return append(appendISOTimestamp(dst, us, -1), 'Z'), err
		}))
	case "connect":
		return nullable(dated("int64", nameTimestamp, scaled(parseDatetime, 1, 1000)), isZeroDate, &dateOfZero)
	case "nanoseconds":
		return nullable(nanoTimestamp(c, parseDatetime), isZeroDate, &timeOfZero)
	case "", "adaptive_time_microseconds":
		if digits <= 3 {
			return nullable(instant("int64", "io.debezium.time.Timestamp", scaled(parseDatetime, 1, 1000)), isZeroDate, &timeOfZero)
		}
	}
	return nullable(instant("int64", "io.debezium.time.MicroTimestamp", parseDatetime), isZeroDate, &timeOfZero)
}

// mysqlClock: a TIME may be negative, and more than a day. By default it is a
// number all the same; for connect and isostring such a one is null, but not the
// day's very end.
func mysqlClock(c Column, m Modes) Type {
	var t Type
	switch m.Time {
	case "isostring":
		t = formatted("io.debezium.time.IsoTime", func(dst, text []byte) ([]byte, error) {
			us, err := parseDuration(text)
			return append(appendISOClock(dst, us%microsPerDay, -1), 'Z'), err
		})
	case "connect":
		t = dated("int32", nameTime, scaled(parseDuration, 1, 1000))
	case "nanoseconds":
		return instant("int64", "io.debezium.time.NanoTime", scaled(parseDuration, 1000, 1))
	default:
		return instant("int64", "io.debezium.time.MicroTime", parseDuration)
	}
	read := t.Read
	t.Read = func(text []byte) (Value, error) {
		us, err := parseDuration(text)
		switch {
		case err != nil:
			return Value{}, err
		case us >= 0 && us <= microsPerDay:
			return read(text)
		case c.NotNull:
			return Value{}, errOfDay
		}
		return Value{}, nil
	}
	return t
}

// parseDuration reads a TIME, such as -838:59:59.000000, as microseconds.
func parseDuration(text []byte) (int64, error) {
	if len(text) > 0 && text[0] == '-' {
		us, err := parseClock(text[1:], false)
		return -us, err
	}
	return parseClock(text, false)
}

func parseYear(text []byte) (int64, error) {
	n, err := strconv.ParseInt(string(text), 10, 32)
	switch {
	case err != nil:
		return 0, errNumber
	case n == 0:
		return 1900, nil // as the original takes it, for which the log's zero is 1900
	}
	return n, nil
}

// parseMySQLDate reads a date as days since 1970. Years of two digits are
// taken for 1970 to 2069, as Debezium's enable.time.adjuster has it.
func parseMySQLDate(text []byte) (int64, error) {
	year, err := adjusted(text)
	if err != nil {
		return 0, err
	}
	return parseDate(year)
}

func parseDatetime(text []byte) (int64, error) {
	year, err := adjusted(text)
	if err != nil {
		return 0, err
	}
	return parseTimestamp(year)
}

// adjusted is a date, and what stands behind it, with a year of four digits
// that are meant.
func adjusted(text []byte) ([]byte, error) {
	if len(text) < 10 {
		return nil, errTime
	}
	var n [3]int
	for i, part := range [3][]byte{text[:4], text[5:7], text[8:10]} {
		var err error
		if n[i], err = strconv.Atoi(string(part)); err != nil {
			return nil, errTime
		}
	}
	if n[0] == 0 {
		return nil, errYear
	}
	if n[0] < 100 {
		n[0] += 1900
		if n[0] < 1970 {
			n[0] += 100
		}
		text = append(fmt.Appendf(make([]byte, 0, len(text)), "%04d", n[0]), text[4:]...)
	}
	if time.Date(n[0], time.Month(n[1]), n[2], 0, 0, 0, 0, time.UTC).Day() != n[2] {
		return nil, errDay
	}
	return text, nil
}

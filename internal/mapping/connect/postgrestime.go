package connect

import (
	"errors"
	"math"
)

// What "infinity" becomes where a timestamp is a number of microseconds.
const infinityMicros = 9223372036825200000

var errInfinity = errors.New("is an infinity that Kafka Connect has no form for")

// postgresTime is the Type of dates and times, by the mode and the declared
// digits of a second's fraction.
func postgresTime(c Column, m Modes) (Type, error) {
	digits := c.Precision
	if digits < 0 || digits > 6 {
		digits = 6
	}
	switch c.Name {
	case "timetz":
		return formatted("io.debezium.time.ZonedTime", func(dst, text []byte) ([]byte, error) {
			us, err := parseClock(text, true)
			return append(appendISOClock(dst, us, -1), 'Z'), err
		}), nil
	case "timestamptz":
		if digits == 0 {
			digits = -1 // as many as it takes
		}
		return formatted("io.debezium.time.ZonedTimestamp", func(dst, text []byte) ([]byte, error) {
			if isInfinity(text) {
				return append(dst, text...), nil
			}
			us, err := parseTimestamp(text)
			return append(appendISOTimestamp(dst, us, digits), 'Z'), err
		}), nil
	case "date":
		return postgresDate(m), nil
	case "time":
		return postgresClock(digits, m), nil
	}
	return postgresTimestamp(c, digits, m), nil
}

func isInfinity(text []byte) bool {
	return string(text) == "infinity" || string(text) == "-infinity"
}

func finite(read func([]byte) (int64, error)) func([]byte) (int64, error) {
	return func(text []byte) (int64, error) {
		if isInfinity(text) {
			return 0, errInfinity
		}
		return read(text)
	}
}

func postgresDate(m Modes) Type {
	days := finite(parseDate)
	switch m.Time {
	case "isostring":
		return formatted("io.debezium.time.IsoDate", func(dst, text []byte) ([]byte, error) {
			d, err := days(text)
			return append(appendISODate(dst, d), 'Z'), err
		})
	case "connect":
		return dated("int32", nameDate, scaled(days, millisPerDay, 1))
	}
	return instant("int32", "io.debezium.time.Date", days)
}

func postgresClock(digits int, m Modes) Type {
	micros := func(text []byte) (int64, error) { return parseClock(text, false) }
	switch m.Time {
	case "isostring":
		return formatted("io.debezium.time.IsoTime", func(dst, text []byte) ([]byte, error) {
			us, err := micros(text)
			return append(appendISOClock(dst, us%microsPerDay, -1), 'Z'), err
		})
	case "connect":
		return dated("int32", nameTime, scaled(micros, 1, 1000))
	case "nanoseconds":
		return instant("int64", "io.debezium.time.NanoTime", scaled(micros, 1000, 1))
	case "", "adaptive":
		if digits <= 3 {
			return instant("int32", "io.debezium.time.Time", scaled(micros, 1, 1000))
		}
	}
	return instant("int64", "io.debezium.time.MicroTime", micros)
}

func postgresTimestamp(c Column, digits int, m Modes) Type {
	micros := finite(parseTimestamp)
	switch m.Time {
	case "isostring":
		return formatted("io.debezium.time.IsoTimestamp", func(dst, text []byte) ([]byte, error) {
			us, err := micros(text)
			return append(appendISOTimestamp(dst, us, -1), 'Z'), err
		})
	case "connect":
		return dated("int64", nameTimestamp, scaled(micros, 1, 1000))
	case "nanoseconds":
		return nanoTimestamp(c, micros)
	case "", "adaptive", "adaptive_time_microseconds":
		if digits <= 3 {
			return instant("int64", "io.debezium.time.Timestamp", scaled(micros, 1, 1000))
		}
	}
	return instant("int64", "io.debezium.time.MicroTimestamp", func(text []byte) (int64, error) {
		if string(text) == "infinity" {
			return infinityMicros, nil
		}
		return micros(text)
	})
}

var errNanos = errors.New("is too far from 1970 to be counted in nanoseconds, in a column that is NOT NULL")

// nanoTimestamp counts nanoseconds since 1970; a time that is too far from it is
// null, as the original has it.
func nanoTimestamp(c Column, micros func([]byte) (int64, error)) Type {
	t := instant("int64", "io.debezium.time.NanoTimestamp", scaled(micros, 1000, 1))
	read := t.Read
	t.Read = func(text []byte) (Value, error) {
		us, err := micros(text)
		if err == nil && (us > math.MaxInt64/1000 || us < math.MinInt64/1000) {
			if c.NotNull {
				err = errNanos
			}
			return Value{}, err
		}
		return read(text)
	}
	return t
}

// scaled multiplies, then divides, toward the past.
func scaled(read func([]byte) (int64, error), by, div int64) func([]byte) (int64, error) {
	return func(text []byte) (int64, error) {
		n, err := read(text)
		return floorDiv(n*by, div), err
	}
}

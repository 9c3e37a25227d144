package connect

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"time"
)

var errTime = errors.New("is no date or time in the ISO form that the server was asked for")

// scanner reads numbers and separators off the front of a text.
type scanner struct {
	s  []byte
	ok bool
	bc bool // years are counted back from 1 BC, which is the year 0
}

func (c *scanner) number(least int) (n int64) {
	i := 0
	for i < len(c.s) && c.s[i] >= '0' && c.s[i] <= '9' && i < 10 {
		n = n*10 + int64(c.s[i]-'0')
		i++
	}
	c.ok = c.ok && i >= least
	c.s = c.s[i:]
	return n
}

func (c *scanner) accept(b byte) bool {
	if len(c.s) > 0 && c.s[0] == b {
		c.s = c.s[1:]
		return true
	}
	return false
}

func (c *scanner) need(b byte) { c.ok = c.accept(b) && c.ok }

// date reads YYYY-MM-DD as days since 1970.
func (c *scanner) date() int64 {
	y := c.number(4)
	c.need('-')
	m := c.number(2)
	c.need('-')
	d := c.number(2)
	if c.bc {
		y = 1 - y
	}
	return floorDiv(time.Date(int(y), time.Month(m), int(d), 0, 0, 0, 0, time.UTC).Unix(), 24*60*60)
}

// clock reads HH:MM:SS with up to six digits of a fraction, as microseconds.
func (c *scanner) clock() int64 {
	h := c.number(1)
	c.need(':')
	m := c.number(2)
	c.need(':')
	us := (h*3600+m*60+c.number(2))*1e6 + c.fraction()
	return us
}

func (c *scanner) fraction() int64 {
	if !c.accept('.') {
		return 0
	}
	n, unit := int64(0), int64(1e5)
	for len(c.s) > 0 && c.s[0] >= '0' && c.s[0] <= '9' {
		n += int64(c.s[0]-'0') * unit
		unit /= 10
		c.s = c.s[1:]
	}
	return n
}

// zone reads an offset such as +02, -03:30 or Z in microseconds; without one
// it is UTC.
func (c *scanner) zone() int64 {
	sign := int64(1)
	switch {
	case c.accept('Z'), len(c.s) == 0:
		return 0
	case c.accept('-'):
		sign = -1
	default:
		c.need('+')
	}
	off := c.number(2) * 3600
	if c.accept(':') {
		off += c.number(2) * 60
	}
	if c.accept(':') {
		off += c.number(2)
	}
	return sign * off * 1e6
}

// end demands that all is read. Years before 1 have " BC" behind them.
func (c *scanner) end() error {
	if !c.ok || len(c.s) > 0 {
		return errTime
	}
	return nil
}

const microsPerDay = int64(millisPerDay) * 1000

// parseDate reads a date as days since 1970.
func parseDate(text []byte) (int64, error) {
	text, bc := bytes.CutSuffix(text, []byte(" BC"))
	c := scanner{s: text, ok: true, bc: bc}
	d := c.date()
	return d, c.end()
}

// parseTimestamp reads a date and a time of day, with or without an offset,
// as microseconds since 1970 in UTC.
func parseTimestamp(text []byte) (int64, error) {
	text, bc := bytes.CutSuffix(text, []byte(" BC"))
	c := scanner{s: text, ok: true, bc: bc}
	us := c.date() * microsPerDay
	if !c.accept('T') {
		c.need(' ')
	}
	us += c.clock()
	us -= c.zone()
	return us, c.end()
}

// parseClock reads a time of day as microseconds; with an offset it is moved
// to UTC.
func parseClock(text []byte, zoned bool) (int64, error) {
	c := scanner{s: text, ok: true}
	us := c.clock()
	if zoned {
		us -= c.zone()
		us -= floorDiv(us, microsPerDay) * microsPerDay
	}
	return us, c.end()
}

// appendISOClock appends HH:MM:SS with digits of a fraction; -1 means as many
// as it takes, none for a whole second.
func appendISOClock(dst []byte, us int64, digits int) []byte {
	s, frac := us/1e6, us%1e6
	for i, n := range [3]int64{s / 3600, s / 60 % 60, s % 60} {
		if i > 0 {
			dst = append(dst, ':')
		}
		dst = append(dst, byte('0'+n/10), byte('0'+n%10))
	}
	if digits < 0 {
		if frac == 0 {
			return dst
		}
		for digits = 6; frac%10 == 0; digits-- {
			frac /= 10
		}
	} else {
		for d := 6; d > digits; d-- {
			frac /= 10
		}
	}
	if digits == 0 {
		return dst
	}
	dst = append(dst, '.')
	at := len(dst)
	dst = append(dst, "000000"[:digits]...)
	for i := at + digits - 1; i >= at; i-- {
		dst[i] = byte('0' + frac%10)
		frac /= 10
	}
	return dst
}

// appendISODate appends YYYY-MM-DD of days since 1970.
func appendISODate(dst []byte, days int64) []byte {
	t := time.Unix(days*24*60*60, 0).UTC()
	if t.Year() > 9999 {
		dst = append(dst, '+')
	}
	return t.AppendFormat(dst, "2006-01-02")
}

// appendISOTimestamp appends the date, T and the time of day, in UTC.
func appendISOTimestamp(dst []byte, us int64, digits int) []byte {
	days := floorDiv(us, microsPerDay)
	dst = appendISODate(dst, days)
	dst = append(dst, 'T')
	return appendISOClock(dst, us-days*microsPerDay, digits)
}

// parseInterval reads the server's "postgres" style, such as
// "1 year 2 mons -3 days 04:05:06.789", as microseconds with 365.25/12 days to
// the month. It computes in floating point, in the order in which Debezium
// does (MicroDuration.durationMicros), for the same last digit.
func parseInterval(text []byte) (int64, error) {
	var months, days, clock int64
	negative := false
	for _, f := range pairs(bytes.Fields(text)) {
		if f.unit == nil {
			negative = f.value[0] == '-'
			c := scanner{s: bytes.TrimLeft(f.value, "+-"), ok: true}
			clock = c.clock()
			if c.end() != nil {
				return 0, errInterval
			}
			continue
		}
		n, err := strconv.ParseInt(string(f.value), 10, 64)
		if err != nil {
			return 0, errInterval
		}
		switch string(f.unit) {
		case "year", "years":
			months += 12 * n
		case "mon", "mons":
			months += n
		case "day", "days":
			days += n
		default:
			return 0, errInterval
		}
	}
	h, m := float64(clock/3600e6), float64(clock/60e6%60)
	s := float64(clock/1e6%60) + float64(clock%1e6)/1e6
	if negative {
		h, m, s = -h, -m, -s
	}
	d := float64(months)*(365.25/12) + float64(days)
	us := float64(float64(float64(float64(d*24)+h)*60+m)*60+s) * 1e6
	switch { // as a cast of Java's
	case us >= math.MaxInt64:
		return math.MaxInt64, nil
	case us <= math.MinInt64:
		return math.MinInt64, nil
	}
	return int64(us), nil
}

var errInterval = errors.New("is no interval in the style that the server was asked for")

type pair struct{ value, unit []byte }

// pairs joins each number with the unit behind it; a time of day has none.
func pairs(words [][]byte) []pair {
	var out []pair
	for i := 0; i < len(words); i++ {
		p := pair{value: words[i]}
		if !bytes.ContainsRune(words[i], ':') && i+1 < len(words) {
			i++
			p.unit = words[i]
		}
		out = append(out, p)
	}
	return out
}

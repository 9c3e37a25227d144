package connect

import (
	"bytes"
	"math"
	"strconv"
	"time"
)

const millisPerDay = 24 * 60 * 60 * 1000

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// appendFloat writes Double.toString or Float.toString: plain from 10^-3 up to
// 10^7, else with an exponent; at least one digit after the point. The digits
// are the fewest that read back the same number, as Java has them since 19
// (older ones add a digit now and then).
func appendFloat(dst []byte, v Value) []byte {
	f, bits := v.Float, 64
	if v.Kind == Float32 {
		bits = 32
	}
	switch {
	case math.IsNaN(f):
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	a := math.Abs(f)
	if a == 0 || a >= 1e-3 && a < 1e7 {
		at := len(dst)
		dst = strconv.AppendFloat(dst, f, 'f', -1, bits)
		for _, c := range dst[at:] {
			if c == '.' {
				return dst
			}
		}
		return append(dst, ".0"...)
	}
	var buf [32]byte
	e := strconv.AppendFloat(buf[:0], f, 'e', -1, bits) // d.ddde±dd, or de±dd
	if !bytes.ContainsRune(e, '.') {
		// Where one digit is enough Java takes the two that come closest.
		e = strconv.AppendFloat(buf[:0], f, 'e', 1, bits)
	}
	for i, c := range e {
		if c != 'e' {
			continue
		}
		dst = append(append(dst, e[:i]...), 'E')
		if e[i+1] == '-' {
			dst = append(dst, '-')
		}
		exp := e[i+2:]
		for len(exp) > 1 && exp[0] == '0' {
			exp = exp[1:]
		}
		return append(dst, exp...)
	}
	return append(dst, e...)
}

// appendJavaDate writes java.util.Date.toString in a JVM that runs in UTC.
func appendJavaDate(dst []byte, millis int64) []byte {
	return time.UnixMilli(millis).UTC().AppendFormat(dst, "Mon Jan 02 15:04:05 UTC 2006")
}

// appendSimpleDate writes a java.util.Date as Values does: it guesses from the
// value alone whether it is a time (anything before 1970-01-02), a date (whole
// days), or both.
func appendSimpleDate(dst []byte, millis int64) []byte {
	t := time.UnixMilli(millis).UTC()
	switch {
	case millis < millisPerDay:
		return t.AppendFormat(dst, "15:04:05.000Z")
	case millis%millisPerDay == 0:
		return t.AppendFormat(dst, "2006-01-02")
	}
	return t.AppendFormat(dst, "2006-01-02T15:04:05.000Z")
}

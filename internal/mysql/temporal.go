package mysql

import "time"

// Times, see
// https://dev.mysql.com/doc/dev/mysql-server/latest/ for my_time.cc: packed
// into (year*13+month, day, hour, minute, second) bits, microseconds in the low
// 24 bits.

func appendDate(dst []byte, year, month, day uint) []byte {
	dst = append(appendDigits(dst, uint64(year), 4), '-')
	dst = append(appendDigits(dst, uint64(month), 2), '-')
	return appendDigits(dst, uint64(day), 2)
}

func appendClock(dst []byte, hour, minute, second uint) []byte {
	dst = append(appendDigits(dst, uint64(hour), 2), ':')
	dst = append(appendDigits(dst, uint64(minute), 2), ':')
	return appendDigits(dst, uint64(second), 2)
}

// appendFraction writes microseconds with so many digits.
func appendFraction(dst []byte, us uint, digits int) []byte {
	if digits == 0 {
		return dst
	}
	for range 6 - digits {
		us /= 10
	}
	return appendDigits(append(dst, '.'), uint64(us), digits)
}

// fraction reads microseconds stored in as few bytes as the digits need.
func fraction(b []byte, digits int) uint {
	n := (digits + 1) / 2
	v := uint(bigEndian(b[:n]))
	for range 3 - n {
		v *= 100
	}
	return v
}

func appendPackedDatetime(dst []byte, v int64, digits int, dateOnly bool) []byte {
	if v < 0 {
		v = -v
	}
	us, whole := uint(v&0xffffff), uint64(v)>>24
	ymd, hms := whole>>17, uint(whole&0x1ffff)
	ym := uint(ymd >> 5)
	dst = appendDate(dst, ym/13, ym%13, uint(ymd&31))
	if dateOnly {
		return dst
	}
	dst = appendClock(append(dst, ' '), hms>>12, hms>>6&63, hms&63)
	return appendFraction(dst, us, digits)
}

func appendPackedTime(dst []byte, v int64, digits int) []byte {
	if v < 0 {
		dst, v = append(dst, '-'), -v
	}
	us, hms := uint(v&0xffffff), uint(v>>24)
	dst = appendClock(dst, hms>>12&1023, hms>>6&63, hms&63)
	return appendFraction(dst, us, digits)
}

// appendTime2: three bytes and the fraction are one number, shifted so that
// negative ones sort before others; a negative one has its fraction counted
// from the next lower second.
func appendTime2(dst, b []byte, digits int) []byte {
	n := (digits + 1) / 2
	v := int64(bigEndian(b[:3+n])) - int64(1)<<(23+8*n)
	negative := v < 0
	if negative {
		dst, v = append(dst, '-'), -v
	}
	us := uint(v & (1<<(8*n) - 1))
	for range 3 - n {
		us *= 100
	}
	if n == 0 {
		us = 0
	}
	hms := uint(v >> (8 * n))
	dst = appendClock(dst, hms>>12&1023, hms>>6&63, hms&63)
	return appendFraction(dst, us, digits)
}

// appendUnix writes a TIMESTAMP, in UTC. Zero is not 1970 but the zero date.
func appendUnix(dst []byte, sec int64, us uint, digits int) []byte {
	if sec == 0 && us == 0 {
		return appendFraction(append(dst, "0000-00-00 00:00:00"...), 0, digits)
	}
	t := time.Unix(sec, 0).UTC()
	dst = append(appendDate(dst, uint(t.Year()), uint(t.Month()), uint(t.Day())), ' ')
	dst = appendClock(dst, uint(t.Hour()), uint(t.Minute()), uint(t.Second()))
	return appendFraction(dst, us, digits)
}

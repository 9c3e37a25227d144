package mysql

import (
	"fmt"
	"math"
	"strconv"
)

// appendFloat writes a FLOAT: six digits, as the server does (FLT_DIG).
func appendFloat(dst []byte, v float64) []byte { return appendReal(dst, v, 5) }

// appendDouble writes a DOUBLE: the shortest text that reads back as the same.
func appendDouble(dst []byte, v float64) []byte { return appendReal(dst, v, -1) }

// appendReal writes a number as the server's my_gcvt does: without exponent
// while the point stands between 14 zeros before the first digit and the 15th
// digit, else as 1.5e-20 with neither plus sign nor padding, see
// https://github.com/mysql/mysql-server/blob/trunk/strings/dtoa.cc. digits is
// the number of digits behind the first, -1 for as many as needed.
func appendReal(dst []byte, v float64, digits int) []byte {
	if v == 0 {
		if math.Signbit(v) {
			dst = append(dst, '-')
		}
		return append(dst, '0')
	}
	var buf [32]byte
	e := strconv.AppendFloat(buf[:0], v, 'e', digits, 64) // -d.ddde±dd
	if e[0] == '-' {
		dst, e = append(dst, '-'), e[1:]
	}
	i := len(e) - 1
	for i >= 0 && e[i] != 'e' {
		i--
	}
	if i < 0 {
		return append(dst, e...) // no server stores infinity
	}
	exp := 0
	for _, c := range e[i+2:] {
		exp = exp*10 + int(c-'0')
	}
	if e[i+1] == '-' {
		exp = -exp
	}
	var digit [24]byte
	n := 0
	for _, c := range e[:i] {
		if c != '.' {
			digit[n] = c
			n++
		}
	}
	for n > 1 && digit[n-1] == '0' {
		n--
	}
	point := exp + 1 // digits before the point
	switch {
	case point < -14 || point > 15:
		dst = append(dst, digit[0])
		if n > 1 {
			dst = append(append(dst, '.'), digit[1:n]...)
		}
		return strconv.AppendInt(append(dst, 'e'), int64(exp), 10)
	case point <= 0:
		dst = append(dst, "0."...)
		for range -point {
			dst = append(dst, '0')
		}
		return append(dst, digit[:n]...)
	case point >= n:
		dst = append(dst, digit[:n]...)
		for range point - n {
			dst = append(dst, '0')
		}
		return dst
	}
	dst = append(append(dst, digit[:point]...), '.')
	return append(dst, digit[point:n]...)
}

// DECIMAL: groups of nine digits in four bytes, the rest in as few bytes as
// they need, big-endian, the first bit inverted, all bits inverted when it is
// negative; see
// https://github.com/mysql/mysql-server/blob/trunk/strings/decimal.cc (decimal2bin).
var decimalBytes = [10]int{0, 1, 1, 2, 2, 3, 3, 4, 4, 4}

func decimalSize(precision, scale int) (int, error) {
	if precision < 1 || precision > 65 || scale > 38 || scale > precision {
		return 0, fmt.Errorf("DECIMAL(%d,%d)", precision, scale)
	}
	whole := precision - scale
	return whole/9*4 + decimalBytes[whole%9] + scale/9*4 + decimalBytes[scale%9], nil
}

func appendDecimal(dst, b []byte, precision, scale int) []byte {
	negative := b[0]&0x80 == 0
	var mask uint32
	if negative {
		mask = 0xffffffff
		dst = append(dst, '-')
	}
	first, at := byte(0x80), 0
	group := func(digits int) uint32 {
		size := decimalBytes[digits]
		var v uint32
		for i := range size {
			v = v<<8 | uint32(b[at+i]^first)
			first = 0
		}
		at += size
		if size < 4 {
			return (v ^ mask) & (1<<(8*size) - 1)
		}
		return v ^ mask
	}
	begin := len(dst)
	whole := precision - scale
	if n := whole % 9; n > 0 {
		if v := group(n); v > 0 {
			dst = strconv.AppendUint(dst, uint64(v), 10)
		}
	}
	for range whole / 9 {
		v := group(9)
		if len(dst) > begin {
			dst = appendDigits(dst, uint64(v), 9)
		} else if v > 0 {
			dst = strconv.AppendUint(dst, uint64(v), 10)
		}
	}
	if len(dst) == begin {
		dst = append(dst, '0')
	}
	if scale == 0 {
		return dst
	}
	dst = append(dst, '.')
	for range scale / 9 {
		dst = appendDigits(dst, uint64(group(9)), 9)
	}
	if n := scale % 9; n > 0 {
		dst = appendDigits(dst, uint64(group(n)), n)
	}
	return dst
}

// appendDigits writes v with at least n digits.
func appendDigits(dst []byte, v uint64, n int) []byte {
	var buf [20]byte
	text := strconv.AppendUint(buf[:0], v, 10)
	for range n - len(text) {
		dst = append(dst, '0')
	}
	return append(dst, text...)
}

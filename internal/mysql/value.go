package mysql

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// Types of columns as the log numbers them, see
// https://dev.mysql.com/doc/dev/mysql-server/latest/field__types_8h.html.
const (
	typeTiny       = 1
	typeShort      = 2
	typeLong       = 3
	typeFloat      = 4
	typeDouble     = 5
	typeTimestamp  = 7
	typeLongLong   = 8
	typeInt24      = 9
	typeDate       = 10
	typeTime       = 11
	typeDatetime   = 12
	typeYear       = 13
	typeVarchar    = 15
	typeBit        = 16
	typeTimestamp2 = 17
	typeDatetime2  = 18
	typeTime2      = 19
	// MariaDB's COMPRESSED columns, which are passed over.
	typeBlobCompressed    = 140
	typeVarcharCompressed = 141

	typeVector     = 242
	typeJSON       = 245
	typeNewDecimal = 246
	typeEnum       = 247
	typeSet        = 248
	typeBlob       = 252
	typeVarString  = 253
	typeString     = 254
	typeGeometry   = 255
)

var errShort = errors.New("it ends too early")

// column is what is needed to find and to write one value: type and meta from
// the table map, the rest from its optional metadata or information_schema.
type column struct {
	typ      byte
	meta     uint16
	want     int  // its index among the wanted columns, -1 for none
	rest     bool // want is an index among the others, which only a dead letter holds
	unsigned bool
	pad      int    // BINARY(n): its length; 0 for others
	zerofill int    // width of a ZEROFILL number, 0 for none
	scale    int    // digits of FLOAT(M,D), -1 for none
	charset  string // outbox.Column.Charset
	uuid     bool   // MariaDB's UUID, whose bytes are stored in another order
	members  [][]byte
}

// valueSize is the length of a value in the row, which begins at b.
func (c *column) valueSize(b []byte) (int, error) {
	prefixed := func(width int) (int, error) {
		if len(b) < width {
			return 0, errShort
		}
		n := 0
		for i := range width {
			n |= int(b[i]) << (8 * i)
		}
		return width + n, nil
	}
	frac := int(c.meta+1) / 2
	switch c.typ {
	case typeTiny, typeYear:
		return 1, nil
	case typeShort:
		return 2, nil
	case typeInt24, typeDate, typeTime:
		return 3, nil
	case typeLong, typeFloat, typeTimestamp:
		return 4, nil
	case typeLongLong, typeDouble, typeDatetime:
		return 8, nil
	case typeTimestamp2:
		return 4 + frac, nil
	case typeDatetime2:
		return 5 + frac, nil
	case typeTime2:
		return 3 + frac, nil
	case typeNewDecimal:
		return decimalSize(int(c.meta>>8), int(c.meta&0xff))
	case typeBit:
		return int(c.meta>>8) + (int(c.meta&0xff)+7)/8, nil
	case typeEnum, typeSet:
		return int(c.meta & 0xff), nil
	case typeVarchar, typeVarString, typeString, typeVarcharCompressed:
		if c.meta > 255 {
			return prefixed(2)
		}
		return prefixed(1)
	case typeBlob, typeGeometry, typeJSON, typeVector, typeBlobCompressed:
		if c.meta < 1 || c.meta > 4 {
			return 0, fmt.Errorf("length of %d bytes", c.meta)
		}
		return prefixed(int(c.meta))
	}
	return 0, fmt.Errorf("column type %d is not known", c.typ)
}

// appendText writes a value as SELECT shows it. b is the whole value, of the
// size that valueSize found.
func (c *column) appendText(dst, b []byte) ([]byte, error) {
	switch c.typ {
	case typeTiny, typeShort, typeInt24, typeLong, typeLongLong:
		return c.appendInt(dst, b), nil
	case typeFloat:
		return c.appendReal(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))), nil
	case typeDouble:
		return c.appendReal(dst, math.Float64frombits(binary.LittleEndian.Uint64(b))), nil
	case typeNewDecimal:
		return c.padded(dst, func(dst []byte) []byte {
			return appendDecimal(dst, b, int(c.meta>>8), int(c.meta&0xff))
		}), nil
	case typeYear:
		if b[0] == 0 {
			return append(dst, "0000"...), nil
		}
		return strconv.AppendUint(dst, 1900+uint64(b[0]), 10), nil
	case typeDate:
		v := uint(b[0]) | uint(b[1])<<8 | uint(b[2])<<16
		return appendDate(dst, v>>9, v>>5&15, v&31), nil
	case typeTime2:
		return appendTime2(dst, b, int(c.meta)), nil
	case typeDatetime2:
		v := int64(bigEndian(b[:5])) - 0x8000000000
		return appendPackedDatetime(dst, v<<24|int64(fraction(b[5:], int(c.meta))), int(c.meta), false), nil
	case typeTimestamp2:
		return appendUnix(dst, int64(binary.BigEndian.Uint32(b)), fraction(b[4:], int(c.meta)), int(c.meta)), nil
	case typeTimestamp:
		return appendUnix(dst, int64(binary.LittleEndian.Uint32(b)), 0, 0), nil
	case typeDatetime:
		v := binary.LittleEndian.Uint64(b)
		d, t := uint(v/1000000), uint(v%1000000)
		dst = append(appendDate(dst, d/10000, d/100%100, d%100), ' ')
		return appendClock(dst, t/10000, t/100%100, t%100), nil
	case typeTime:
		v := int32(uint32(b[0])<<8|uint32(b[1])<<16|uint32(b[2])<<24) >> 8
		if v < 0 {
			dst, v = append(dst, '-'), -v
		}
		return appendClock(dst, uint(v)/10000, uint(v)/100%100, uint(v)%100), nil
	case typeBit:
		return append(dst, b...), nil
	case typeEnum:
		n := littleEndian(b)
		switch {
		case n == 0:
			return dst, nil // the error value of a lax sql_mode: an empty text
		case n > uint64(len(c.members)):
			return dst, fmt.Errorf("ENUM has no member %d of %d", n, len(c.members))
		}
		return append(dst, c.members[n-1]...), nil
	case typeSet:
		return c.appendSet(dst, littleEndian(b))
	case typeVarchar, typeVarString, typeString:
		width := 1
		if c.meta > 255 {
			width = 2
		}
		return c.appendString(dst, b[width:]), nil
	case typeBlob, typeGeometry, typeVector:
		return append(dst, b[c.meta:]...), nil
	case typeJSON:
		return appendJSON(dst, b[c.meta:])
	}
	return dst, fmt.Errorf("column type %d is not known", c.typ)
}

// appendString: BINARY(n) comes without its trailing zeros.
func (c *column) appendString(dst, b []byte) []byte {
	if c.uuid {
		var v [16]byte
		copy(v[:], b)
		return appendSID(dst, v)
	}
	dst = append(dst, b...)
	for n := len(b); n < c.pad; n++ {
		dst = append(dst, 0)
	}
	return dst
}

func (c *column) appendInt(dst, b []byte) []byte {
	v := littleEndian(b)
	if c.unsigned {
		return c.padded(dst, func(dst []byte) []byte { return strconv.AppendUint(dst, v, 10) })
	}
	shift := 64 - 8*len(b)
	return strconv.AppendInt(dst, int64(v<<shift)>>shift, 10)
}

// appendReal writes a FLOAT or DOUBLE.
func (c *column) appendReal(dst []byte, v float64) []byte {
	return c.padded(dst, func(dst []byte) []byte {
		switch {
		case c.scale >= 0:
			return strconv.AppendFloat(dst, v, 'f', c.scale, 64)
		case c.typ == typeFloat:
			return appendFloat(dst, v)
		}
		return appendDouble(dst, v)
	})
}

// padded puts zeros before what write appends, up to the width of ZEROFILL.
func (c *column) padded(dst []byte, write func([]byte) []byte) []byte {
	if c.zerofill == 0 {
		return write(dst)
	}
	var buf [400]byte
	text := write(buf[:0])
	for n := len(text); n < c.zerofill; n++ {
		dst = append(dst, '0')
	}
	return append(dst, text...)
}

func (c *column) appendSet(dst []byte, bits uint64) ([]byte, error) {
	first := true
	for i := range 64 {
		if bits>>i&1 == 0 {
			continue
		}
		if i >= len(c.members) {
			return dst, fmt.Errorf("SET has no member %d of %d", i+1, len(c.members))
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, c.members[i]...)
	}
	return dst, nil
}

func littleEndian(b []byte) uint64 {
	var v uint64
	for i, c := range b {
		v |= uint64(c) << (8 * i)
	}
	return v
}

func bigEndian(b []byte) uint64 {
	var v uint64
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}

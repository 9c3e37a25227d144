package connect

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"strconv"
)

var errNumber = errors.New("is not a number")

// parseDecimal reads a plain decimal such as -12.340 with all its digits.
func parseDecimal(text []byte) (unscaled *big.Int, scale int, err error) {
	digits := make([]byte, 0, len(text))
	for i, c := range text {
		switch {
		case c >= '0' && c <= '9', (c == '-' || c == '+') && i == 0:
			digits = append(digits, c)
		case c == '.' && scale == 0:
			scale = len(text) - i - 1
		default:
			return nil, 0, errNumber
		}
	}
	n, ok := new(big.Int).SetString(string(digits), 10)
	if !ok {
		return nil, 0, errNumber
	}
	return n, scale, nil
}

// twosComplement is BigInteger.toByteArray: big-endian, as short as can be.
func twosComplement(n *big.Int) []byte {
	if n.Sign() >= 0 {
		b := n.Bytes()
		if len(b) == 0 || b[0]&0x80 != 0 {
			b = append([]byte{0}, b...)
		}
		return b
	}
	// -n-1 has exactly the inverted bits.
	b := new(big.Int).Not(n).Bytes()
	if len(b) == 0 || b[0]&0x80 != 0 {
		b = append([]byte{0}, b...)
	}
	for i := range b {
		b[i] = ^b[i]
	}
	return b
}

func fromTwosComplement(b []byte) *big.Int {
	if len(b) == 0 || b[0]&0x80 == 0 {
		return new(big.Int).SetBytes(b)
	}
	inv := bytes.Clone(b)
	for i := range inv {
		inv[i] = ^inv[i]
	}
	n := new(big.Int).SetBytes(inv)
	return n.Not(n)
}

// appendDecimal writes BigDecimal.toString: plain, unless the number is so
// small that an exponent is shorter.
func appendDecimal(dst []byte, v Value) []byte {
	n := fromTwosComplement(v.Bytes)
	digits := new(big.Int).Abs(n).String()
	scale := int(v.Int)
	if n.Sign() < 0 {
		dst = append(dst, '-')
	}
	if adjusted := len(digits) - 1 - scale; adjusted < -6 {
		dst = append(dst, digits[0])
		if len(digits) > 1 {
			dst = append(dst, '.')
			dst = append(dst, digits[1:]...)
		}
		dst = append(dst, 'E')
		return strconv.AppendInt(dst, int64(adjusted), 10)
	}
	if scale == 0 {
		return append(dst, digits...)
	}
	for len(digits) <= scale {
		digits = "0" + digits
	}
	dst = append(dst, digits[:len(digits)-scale]...)
	dst = append(dst, '.')
	return append(dst, digits[len(digits)-scale:]...)
}

// decimalOf makes the precise form of a number with a declared scale.
func decimalOf(text []byte, scale int) (Value, error) {
	n, have, err := parseDecimal(text)
	if err != nil {
		return Value{}, err
	}
	if have > scale {
		return Value{}, fmt.Errorf("has more than %d digits after the point", scale)
	}
	for ; have < scale; have++ {
		n.Mul(n, big.NewInt(10))
	}
	return Value{Kind: Decimal, Bytes: twosComplement(n), Int: int64(scale)}, nil
}

// variableDecimalOf makes the struct of scale and value that a number without
// a declared scale becomes, without trailing zeros.
func variableDecimalOf(text []byte) (Value, error) {
	n, scale, err := parseDecimal(text)
	if err != nil {
		return Value{}, err
	}
	ten, rest := big.NewInt(10), new(big.Int)
	for scale > 0 {
		q, r := new(big.Int).QuoRem(n, ten, rest)
		if r.Sign() != 0 {
			break
		}
		n, scale = q, scale-1
	}
	return Value{Kind: Struct, List: []Value{
		{Kind: Int, Int: int64(scale)}, {Kind: Bytes, Bytes: twosComplement(n)},
	}}, nil
}

func variableDecimalSchema() *Schema {
	return &Schema{Type: "struct", Name: "io.debezium.data.VariableScaleDecimal", Version: 1, Doc: "Variable scaled decimal",
		Fields: []Field{{"scale", &Schema{Type: "int32"}}, {"value", &Schema{Type: "bytes"}}}}
}

func decimalSchema(scale int, more ...[2]string) *Schema {
	params := append([][2]string{{"scale", strconv.Itoa(scale)}}, more...)
	return &Schema{Type: "bytes", Name: nameDecimal, Version: 1, Params: params}
}

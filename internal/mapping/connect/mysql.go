package connect

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// mysqlType is the Type that Debezium's MySQL connector gives to a column
// (MySqlValueConverters). Names are DATA_TYPE of information_schema, with
// " unsigned" behind them where it applies.
func mysqlType(c Column, m Modes) (Type, error) {
	if c.Name == "json" {
		return formatted("io.debezium.data.Json", binlogJSON), nil
	}
	return binlogType(c, m)
}

// mariadbType is the same for MariaDB, where JSON is a longtext.
func mariadbType(c Column, m Modes) (Type, error) {
	if c.Name == "uuid" {
		return plainString("io.debezium.data.Uuid"), nil
	}
	return binlogType(c, m)
}

func binlogType(c Column, m Modes) (Type, error) {
	name, unsigned := strings.CutSuffix(c.Name, " unsigned")
	switch name {
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext":
		return plainString(""), nil
	case "enum", "set":
		t := plainString(map[string]string{"enum": "io.debezium.data.Enum", "set": "io.debezium.data.EnumSet"}[name])
		t.Schema.Params = [][2]string{{"allowed", c.Labels}}
		return t, nil
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
		return bytesType(m.Binary, func(text []byte) ([]byte, error) { return text, nil })
	case "tinyint", "smallint", "mediumint", "int":
		return mysqlInteger(name, unsigned), nil
	case "bigint":
		return mysqlBigint(unsigned, m), nil
	case "decimal":
		return mysqlDecimal(c, m), nil
	case "float", "double":
		return mysqlReal(name, c)
	case "bit":
		return mysqlBits(c)
	case "year":
		return instant("int32", "io.debezium.time.Year", parseYear), nil
	case "date", "time", "datetime", "timestamp":
		return mysqlTime(c, m)
	}
	return Type{}, ErrUnsupported
}

// mysqlInteger: TINYINT(1) and BOOLEAN are numbers like others.
func mysqlInteger(name string, unsigned bool) Type {
	switch {
	case name == "int" && unsigned:
		return integer("int64", 64)
	case name == "tinyint", name == "smallint" && !unsigned:
		return integer("int16", 16)
	}
	return integer("int32", 32)
}

// mysqlBigint: what is beyond 63 bits gets negative, unless the mode makes it
// a decimal.
func mysqlBigint(unsigned bool, m Modes) Type {
	switch {
	case !unsigned:
		return integer("int64", 64)
	case m.UnsignedBigint == "precise":
		return Type{Schema: decimalSchema(0), Read: func(t []byte) (Value, error) { return decimalOf(t, 0) }}
	}
	return Type{Schema: &Schema{Type: "int64"}, Read: func(t []byte) (Value, error) {
		n, err := strconv.ParseUint(string(t), 10, 64)
		if err != nil {
			return Value{}, errNumber
		}
		return Value{Kind: Int, Int: int64(n)}, nil
	}}
}

func mysqlDecimal(c Column, m Modes) Type {
	switch m.Decimal {
	case "double":
		return float("double", Float64, 64)
	case "string":
		return formatted("", func(dst, text []byte) ([]byte, error) { return append(dst, withoutZerofill(text)...), nil })
	}
	return Type{Schema: decimalSchema(c.Scale, [2]string{"connect.decimal.precision", strconv.Itoa(c.Precision)}),
		Read: func(t []byte) (Value, error) { return decimalOf(t, c.Scale) }}
}

// withoutZerofill takes the zeros away that ZEROFILL puts before a number.
func withoutZerofill(text []byte) []byte {
	for len(text) > 1 && text[0] == '0' && text[1] != '.' {
		text = text[1:]
	}
	return text
}

// mysqlReal refuses what the server rounds when it writes: FLOAT(M,D), and
// DOUBLE(M,D) of more digits than a double holds.
func mysqlReal(name string, c Column) (Type, error) {
	switch {
	case name == "double" && (c.Scale < 0 || c.Precision <= 15):
		return float("double", Float64, 64), nil
	case name == "float" && c.Scale < 0:
		return float("float", Float32, 32), nil
	}
	return Type{}, ErrUnsupported
}

// mysqlBits: one bit is a boolean, more are bytes, the least significant
// first. The log has them in the other order.
func mysqlBits(c Column) (Type, error) {
	switch {
	case c.Precision < 1:
		return Type{}, ErrUnsupported
	case c.Precision == 1:
		return boolean(1), nil
	}
	schema := &Schema{Type: "bytes", Name: "io.debezium.data.Bits", Version: 1,
		Params: [][2]string{{"length", strconv.Itoa(c.Precision)}}}
	return Type{Schema: schema, Read: func(t []byte) (Value, error) {
		b := bytes.Clone(t)
		slices.Reverse(b)
		return Value{Kind: Bytes, Bytes: b}, nil
	}}, nil
}

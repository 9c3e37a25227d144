package connect

// Kind says which fields of a Value hold it.
type Kind uint8

// The kinds, each with the Java class that Connect would hold.
const (
	Null    Kind = iota
	Bool         // Int is 0 or 1
	Int          // Int; Byte, Short, Integer or Long
	Float32      // Float
	Float64      // Float
	String       // Bytes, UTF-8 (a lone surrogate as three bytes, as Java would hold it)
	Bytes        // Bytes; byte[] or ByteBuffer
	Decimal      // Bytes is the unscaled value, big-endian two's complement; Int the scale
	Date         // Int is milliseconds since 1970; java.util.Date
	Array        // List
	Struct       // List, in the order of the schema's fields
)

// Value is a value as Connect has it. The zero Value is null.
type Value struct {
	Kind  Kind
	Int   int64
	Float float64
	Bytes []byte
	List  []Value
}

// Text is a string value.
func Text(b []byte) Value { return Value{Kind: String, Bytes: b} }

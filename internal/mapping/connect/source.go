package connect

// Source is a kind of database as its Debezium connector sees it: what becomes
// of its columns. The zero Source knows no type.
type Source struct {
	// Connector is the connector's own name, such as "postgresql".
	Connector string

	types    func(Column, Modes) (Type, error)
	fallback func(Type, Column) *Value // what a schema says of Column.Default; nil for nothing
	millis   func(Column) func(text []byte) (Value, error)
	// hex is the type whose text is \x and hex digits, "" for none: then the
	// text of bytes is the bytes.
	hex string
}

// The sources.
var (
	Postgres = Source{Connector: "postgresql", types: postgresType, fallback: postgresDefault, millis: postgresMillis, hex: "bytea"}
	MySQL    = Source{Connector: "mysql", types: mysqlType, fallback: mysqlDefault, millis: mysqlMillis}
	MariaDB  = Source{Connector: "mariadb", types: mariadbType, fallback: mysqlDefault, millis: mysqlMillis}
)

// Type is the form that the connector gives to a column, whether it may be
// null and its default included. The error is ErrUnsupported, or says what is
// wrong with the modes.
func (s Source) Type(c Column, m Modes) (Type, error) {
	if s.types == nil {
		return Type{}, ErrUnsupported
	}
	t, err := s.types(c, m)
	if err != nil {
		return Type{}, err
	}
	schema := *t.Schema
	schema.Optional = !c.NotNull
	if c.Default != "" {
		schema.Default = s.fallback(t, c)
	}
	t.Schema = &schema
	if c.NotNull && t.zero != nil {
		zero, read := *t.zero, t.Read
		if schema.Default != nil {
			zero = *schema.Default
		}
		t.Read = func(text []byte) (Value, error) {
			v, err := read(text)
			if err == nil && v.Kind == Null {
				v = zero
			}
			return v, err
		}
	}
	return t, nil
}

// Millis reads the column of a record's time, in milliseconds since 1970,
// toward zero as Debezium's router divides; null is no time. nil is for a type
// that is no time.
func (s Source) Millis(c Column) func(text []byte) (Value, error) {
	if s.millis == nil {
		return nil
	}
	return s.millis(c)
}

// Hex reports whether the text of a column is \x and the hex digits of its
// bytes.
func (s Source) Hex(c Column) bool { return s.hex != "" && c.Name == s.hex }

// Binary reports whether a column holds bytes that are their own text.
func (s Source) Binary(c Column) bool {
	t, err := s.Type(Column{Name: c.Name, Precision: -1, Scale: -1}, Modes{})
	return err == nil && t.Schema.Type == "bytes" && t.Schema.Name == "" && !s.Hex(c)
}

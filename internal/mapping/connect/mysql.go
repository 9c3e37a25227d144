package connect

// MySQL is the Type that Debezium's MySQL connector gives to a column
// (MySqlValueConverters). Names are those of information_schema's DATA_TYPE,
// with " unsigned" behind them where it applies.
func MySQL(c Column, m Modes) (Type, error) {
	switch c.Name {
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext":
		return plainString(""), nil
	case "json":
		return plainString("io.debezium.data.Json"), nil
	}
	return Type{}, ErrUnsupported
}

// MySQLDefault is what the schema of a column says about its default, as
// information_schema prints it; nil for nothing.
func MySQLDefault(t Type, c Column, expr string) *Value { return nil }

// MariaDB is the Type that Debezium's MariaDB connector gives to a column.
func MariaDB(c Column, m Modes) (Type, error) { return MySQL(c, m) }

// MariaDBDefault is MySQLDefault for MariaDB.
func MariaDBDefault(t Type, c Column, expr string) *Value { return nil }

package pg

import "strconv"

// typeName is the name of a built-in type by its OID, which never changes (see
// https://www.postgresql.org/docs/current/catalog-pg-type.html and
// src/include/catalog/pg_type.dat); "oid:N" for any other.
func typeName(oid uint32) string {
	if n, ok := typeNames[oid]; ok {
		return n
	}
	return "oid:" + strconv.FormatUint(uint64(oid), 10)
}

var typeNames = map[uint32]string{
	16:   "bool",
	17:   "bytea",
	18:   "char",
	19:   "name",
	20:   "int8",
	21:   "int2",
	23:   "int4",
	25:   "text",
	26:   "oid",
	114:  "json",
	142:  "xml",
	650:  "cidr",
	700:  "float4",
	701:  "float8",
	790:  "money",
	829:  "macaddr",
	869:  "inet",
	1042: "bpchar",
	1043: "varchar",
	1082: "date",
	1083: "time",
	1114: "timestamp",
	1184: "timestamptz",
	1186: "interval",
	1266: "timetz",
	1560: "bit",
	1562: "varbit",
	1700: "numeric",
	2950: "uuid",
	3614: "tsvector",
	3802: "jsonb",
	4072: "jsonpath",
}

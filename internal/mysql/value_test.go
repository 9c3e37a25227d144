package mysql

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/tailer-io/tailer/internal/outbox"
)

// typeCases are columns with values; a value that a server does not take is
// left out there.
var typeCases = []struct {
	typ    string
	values []string
	only   string // mysql, mariadb, or both when empty
}{
	{"tinyint", []string{"-128", "127", "0", "null"}, ""},
	{"tinyint unsigned", []string{"255", "0"}, ""},
	{"smallint", []string{"-32768", "32767"}, ""},
	{"smallint unsigned", []string{"65535"}, ""},
	{"mediumint", []string{"-8388608", "8388607", "-1"}, ""},
	{"mediumint unsigned", []string{"16777215"}, ""},
	{"int", []string{"-2147483648", "2147483647"}, ""},
	{"int unsigned", []string{"4294967295"}, ""},
	{"bigint", []string{"-9223372036854775808", "9223372036854775807"}, ""},
	{"bigint unsigned", []string{"18446744073709551615"}, ""},
	{"int(8) unsigned zerofill", []string{"42", "123456789"}, ""},
	{"bool", []string{"true", "false"}, ""},
	{"decimal(10,2)", []string{"0", "-0.01", "12345678.90", "-99999999.99", "1.5"}, ""},
	{"decimal(65,30)", []string{"12345678901234567890123456789012345.123456789012345678901234567890", "-0.000000000000000000000000000001"}, ""},
	{"decimal(9,0)", []string{"999999999", "-1"}, ""},
	{"decimal(5,5)", []string{"0.00001", "-0.99999"}, ""},
	{"decimal(18,9) unsigned zerofill", []string{"1.5", "123456789.123456789"}, ""},
	{"float", []string{"0", "1.1", "-1.5e-10", "3.402823e38", "1234567", "123456", "0.00001", "1e20", "16777216", "1e15", "1e-14", "1e-15", "0.1"}, ""},
	{"double", []string{"0", "1.1", "-1.5e-300", "1.7976931348623157e308", "123456789012345678", "1e15", "1e16", "1e14", "123456789012345.6", "1e-5", "1e-14", "1e-15", "1e-16", "0.1", "1.0", "3.141592653589793"}, ""},
	{"float(7,3)", []string{"1.5", "-1234.567", "0"}, ""},
	{"double(10,2)", []string{"1.5", "-12345678.91"}, ""},
	{"bit(1)", []string{"b'1'", "b'0'"}, ""},
	{"bit(20)", []string{"b'10000000000000000001'", "b'1'"}, ""},
	{"bit(64)", []string{"0xffffffffffffffff", "1"}, ""},
	{"year", []string{"2026", "1901", "2155", "0"}, ""},
	{"date", []string{"'2026-11-22'", "'1000-01-01'", "'9999-12-31'", "'0000-00-00'", "'2026-00-00'"}, ""},
	{"time", []string{"'00:00:00'", "'-838:59:59'", "'838:59:59'", "'-00:00:01'", "'12:34:56'"}, ""},
	{"time(1)", []string{"'00:00:00.0'", "'-00:00:00.1'", "'12:34:56.7'"}, ""},
	{"time(3)", []string{"'-838:59:59.000'", "'-00:00:00.001'", "'12:34:56.789'", "'00:00:00'"}, ""},
	{"time(6)", []string{"'-00:00:00.000001'", "'12:34:56.789012'", "'00:00:00'", "'-12:00:00.5'", "'-01:00:00'"}, ""},
	{"datetime", []string{"'2026-11-22 12:34:56'", "'1000-01-01 00:00:00'", "'9999-12-31 23:59:59'", "'0000-00-00 00:00:00'"}, ""},
	{"datetime(2)", []string{"'2026-11-22 12:34:56.78'", "'0000-00-00'"}, ""},
	{"datetime(5)", []string{"'2026-11-22 12:34:56.78901'"}, ""},
	{"datetime(6)", []string{"'2026-11-22 12:34:56.789012'", "'2026-11-22 00:00:00.000001'", "'2026-11-22'"}, ""},
	{"timestamp null", []string{"'2026-11-22 12:34:56'", "'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'", "'0000-00-00 00:00:00'", "null"}, ""},
	{"timestamp(3) null", []string{"'2026-11-22 12:34:56.789'", "'0000-00-00'"}, ""},
	{"timestamp(6) null", []string{"'2026-11-22 12:34:56.789012'"}, ""},
	{"char(10)", []string{"'abc'", "''", "'abc  '", "'😀é'"}, ""},
	{"char(255)", []string{"'abc'", "repeat('é', 255)"}, ""},
	{"char(36) character set ascii", []string{"'0195c6e0-0000-7000-8000-000000000000'"}, ""},
	{"varchar(100)", []string{"'emoji 😀 and \\0 zero'", "''", "'  x  '"}, ""},
	{"varchar(1000)", []string{"repeat('é', 1000)", "'x'"}, ""},
	{"binary(16)", []string{"0x00112233445566778899aabbccdd0000", "0x00", "0xffffffffffffffffffffffffffffffff", "''"}, ""},
	{"binary(255)", []string{"0x0102"}, ""},
	{"varbinary(20)", []string{"0x0001000000", "''"}, ""},
	{"varbinary(300)", []string{"0x0001000000"}, ""},
	{"tinytext", []string{"'tiny'", "''"}, ""},
	{"text", []string{"repeat('text ', 10000)"}, ""},
	{"mediumtext", []string{"repeat('é', 40000)"}, ""},
	{"longtext", []string{"'x'", "repeat('0123456789', 100000)"}, ""},
	{"tinyblob", []string{"0x00ff"}, ""},
	{"blob", []string{"0x00ff0000"}, ""},
	{"longblob", []string{"repeat(0x00ff, 40000)"}, ""},
	{"enum('a','b''c','d,e','é')", []string{"'a'", "'b''c'", "'d,e'", "'é'", "''", "0", "null"}, ""},
	{"set('one','two','three','é')", []string{"'one'", "'one,three'", "'é,two'", "''", "null"}, ""},
	{"json", []string{
		`'{"b": 1, "a": [1, 2.50, 1.0, true, false, null], "longer key": {"nested": "x"}, "": ""}'`,
		`'[]'`, `'{}'`, `'"str"'`, `'1'`, `'-5'`, `'1.5'`, `'1e3'`, `'1.0'`, `'true'`, `'null'`, `null`,
		`'[65535, 65536, -32768, -32769, 4294967295, 4294967296, -2147483649, 18446744073709551615, 1e300, 1e-7, 123456789012345680000, 0.1]'`,
		`'"quote \\" backslash \\\\ slash / newline \\n tab \\t control \\u0001 del \\u007f emoji 😀 \\u00e9"'`,
		`concat('["', repeat('x', 70000), '", {"k": 70000, "small": 5, "neg": -70000}]')`,
	}, ""},
	{"json", []string{
		`json_object('d', cast(1.50 as decimal(10,2)), 'date', cast('2026-11-22' as date), 'dt', cast('2026-11-22 12:34:56.5' as datetime(6)), 'tm', cast('-12:34:56.5' as time(6)), 'bin', cast(0x00ff as binary), 'y', cast(2026 as unsigned), 'neg', cast(-12345.678 as decimal(20,5)))`,
		`json_array(cast(1e16 as double), cast(1e15 as double), -0e0, b'101', cast(0.00001 as double), 1e-15, 100000000000000000000)`,
	}, "mysql"},
	{"uuid", []string{
		"'123e4567-e89b-12d3-a456-426655440000'", "'0195c6e0-1234-7abc-8def-0123456789ab'", "'f47ac10b-58cc-4372-a567-0e02b2c3d479'",
		"'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'", "'1ec9414c-232a-6b00-b3c8-9e6bdeced846'", "null",
	}, "mariadb"},
}

// Every type: what the log gives, what the snapshot gives, and what a client
// sees are the same bytes. Before the column stand others of all kinds, so that
// the places of values and of signs are tried too.
func TestValues(t *testing.T) {
	onServers(t, func(w *world) {
		var tables []Table
		var cases []int
		for i, c := range typeCases {
			if c.only != "" && c.only != w.url.Scheme {
				continue
			}
			name := fmt.Sprintf("types%d", i)
			w.exec(fmt.Sprintf(`create table %s (id int unsigned primary key auto_increment, y year, n int, u bigint unsigned, e enum('x','y'), s set('p','q'),
  b binary(3), t text character set latin1, v %s, after_it int unsigned) engine=innodb default charset=utf8mb4`, name, c.typ))
			tables, cases = append(tables, Table{Name: name, Columns: []string{"v", "after_it", "id"}}), append(cases, i)
		}
		s := w.source(tables...)
		start := w.here(s)
		for n, i := range cases {
			for _, v := range typeCases[i].values {
				w.exec(fmt.Sprintf("insert into %s (y, n, u, e, s, b, t, v, after_it) values (2000, -1, 18446744073709551615, 'y', 'p,q', 'a', 'latin', %s, 4294967295)", tables[n].Name, v))
			}
		}
		var log, snap [][][]byte
		for _, b := range w.drain(s, start) {
			log = append(log, b.bytes...)
		}
		view, err := s.CreateAnchor(w.ctx(), outbox.Filter{})
		if err != nil {
			w.Fatal(err)
		}
		defer view.Close()
		for more := true; more; {
			var b outbox.Batch
			if more, err = view.Read(w.ctx(), &b, outbox.Limits{Rows: 50, Bytes: 64 << 20}); err != nil {
				w.Fatal(err)
			}
			snap = append(snap, copyBatch(&b).bytes...)
		}
		for n, i := range cases {
			c := typeCases[i]
			if len(log) < len(c.values) || len(snap) < len(c.values) {
				w.Fatalf("%s: %d rows are left from the log, %d from the snapshot, want %d", c.typ, len(log), len(snap), len(c.values))
			}
			w.values(tables[n].Name, c.typ, c.values, log[:len(c.values)], snap[:len(c.values)])
			log, snap = log[len(c.values):], snap[len(c.values):]
		}
	})
}

func (w *world) values(name, typ string, values []string, log, snap [][][]byte) {
	seen, err := w.admin.Execute("select v from " + name + " order by id")
	if err != nil {
		w.Fatal(err)
	}
	for i, v := range values {
		// As it came over the wire: the library would parse numbers.
		want, null, _, err := mysql.LengthEncodedString(seen.RowDatas[i])
		if err != nil {
			w.Fatal(err)
		}
		for from, got := range map[string][][]byte{"log": log[i], "snapshot": snap[i]} {
			if null != (got[0] == nil) || !bytes.Equal(got[0], want) {
				w.Errorf("%s %s: the %s gives %.100q (null %t), a client sees %.100q (null %t)", typ, v, from, got[0], got[0] == nil, want, null)
			}
			if !bytes.Equal(got[1], []byte("4294967295")) || string(got[2]) != fmt.Sprint(i+1) {
				w.Errorf("%s %s: the %s gives %q behind it", typ, v, from, got[1:])
			}
		}
	}
}

func TestAppendReal(t *testing.T) {
	for _, c := range []struct {
		v    float64
		want string
	}{
		{0, "0"}, {1, "1"}, {-1.5, "-1.5"}, {1e15, "1e15"}, {1e14, "100000000000000"}, {123456789012345, "123456789012345"}, {1e16, "1e16"},
		{1e-15, "0.000000000000001"}, {1e-16, "1e-16"}, {0.00001, "0.00001"}, {1.5e-20, "1.5e-20"}, {1.7976931348623157e308, "1.7976931348623157e308"}, {0.1, "0.1"},
	} {
		if got := string(appendDouble(nil, c.v)); got != c.want {
			t.Errorf("%v: %s, want %s", c.v, got, c.want)
		}
	}
}

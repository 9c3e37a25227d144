package convert

import (
	"slices"
	"strings"
	"testing"
)

const mysqlRouter = `"extended.headers.enabled": false, "key.converter": "org.apache.kafka.connect.storage.StringConverter",
"value.converter": "org.apache.kafka.connect.storage.StringConverter", "transforms": "outbox",
"transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter"`

func TestMySQLConnector(t *testing.T) {
	r, err := Debezium([]byte(`{"connector.class": "io.debezium.connector.mysql.MySqlConnector", "name": "shop-outbox",
"database.hostname": "db.example", "database.port": "3307", "database.user": "debezium", "database.password": "s3cret",
"database.server.id": "184054", "database.include.list": "shop", "table.include.list": "shop.outbox,billing\\.outbox",
"database.ssl.mode": "verify_ca", "database.ssl.truststore": "/t.jks", "topic.prefix": "dbz", "bigint.unsigned.handling.mode": "precise", "time.precision.mode": "connect",
"schema.history.internal.kafka.topic": "history", "include.schema.changes": "false", "snapshot.mode": "no_data",
"transforms.outbox.table.fields.additional.placement": "type:envelope",`+mysqlRouter+`}`), Options{})
	if err != nil || len(r.Lost) > 0 {
		t.Fatalf("%v, lost: %q", err, r.Lost)
	}
	want := `name: shop-outbox
source-url: mysql://debezium@db.example:3307/shop?ssl-mode=verify-ca
snapshot: never
tables:
  - table: shop.outbox
    envelope:
      - column: type
    schema-name: dbz.shop.outbox
    formats:
      key: string
      value: string
      headers: simple
    types:
      unsigned-bigint: precise
      time: connect
  - table: billing.outbox
`
	if _, body, _ := strings.Cut(string(r.YAML), "\n\n"); !strings.HasPrefix(body, want) {
		t.Errorf("got\n%s\nwant\n%s", body, want)
	}
	notes := []string{"database.password: it is not repeated; give it by --source-password-file or TAILER_SOURCE_URL",
		"database.server.id=184054: tailer derives one of its own, so that both may run side by side; mysql-server-id sets it",
		"database.ssl.truststore=/t.jks: give its authorities as a PEM file, in ssl-ca of source-url"}
	if !slices.Equal(r.Notes, notes) {
		t.Errorf("notes: %q", r.Notes)
	}
}

func TestMySQLOptions(t *testing.T) {
	for _, c := range []struct {
		class, options string
		lost           string // "" for none
		holds          string // of the file
	}{
		{"mysql.MySqlConnector", `"database.include.list": "shop"`, "", "- table: shop.outbox\n"},
		{"mysql.MySqlConnector", `"database.include.list": "shop.*"`,
			"table.include.list: there is none; name the table with --outbox-table", "# - table: SCHEMA.NAME\n"},
		{"mariadb.MariaDbConnector", `"database.hostname": "h", "database.ssl.mode": "verify-full", "table.include.list": "a.b"`, "",
			"source-url: mariadb://h/a?ssl-mode=verify-identity\n"},
		{"mariadb.MariaDbConnector", `"database.ssl.mode": "sometimes", "table.include.list": "a.b"`,
			"database.ssl.mode=sometimes: there is no such mode", "- table: a.b\n"},
		{"mysql.MySqlConnector", `"time.precision.mode": "adaptive", "table.include.list": "a.b"`,
			"time.precision.mode=adaptive: it is not one of adaptive_time_microseconds, microseconds, nanoseconds, isostring, connect", "- table: a.b\n"},
		{"mysql.MySqlConnector", `"enable.time.adjuster": "false", "table.include.list": "a.b"`,
			"enable.time.adjuster=false: values and names are as with true", "- table: a.b\n"},
		{"mysql.MySqlConnector", `"converters": "boolean", "boolean.type": "x.TinyIntOneToBooleanConverter", "table.include.list": "a.b"`,
			"boolean.type=x.TinyIntOneToBooleanConverter: it has no equivalent that is known", "- table: a.b\n"},
		{"postgresql.PostgresConnector", `"bigint.unsigned.handling.mode": "precise", "table.include.list": "a.b"`,
			"bigint.unsigned.handling.mode=precise: it has no equivalent that is known", "- table: a.b\n"},
	} {
		r, err := Debezium([]byte(`{"connector.class": "io.debezium.connector.`+c.class+`",`+c.options+`,`+mysqlRouter+`}`), Options{})
		if err != nil {
			t.Errorf("%s: %v", c.options, err)
			continue
		}
		if c.lost == "" && len(r.Lost) > 0 || c.lost != "" && !slices.Contains(r.Lost, c.lost) {
			t.Errorf("%s: lost %q, want %q", c.options, r.Lost, c.lost)
		}
		if !strings.Contains(string(r.YAML), c.holds) {
			t.Errorf("%s: no %q in\n%s", c.options, c.holds, r.YAML)
		}
	}
}

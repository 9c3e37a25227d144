package mysql

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/tailer-io/tailer/internal/outbox"
)

// What does not fit a server or a table that is there, word by word: the tests
// with servers prove that the facts are as they are taken to be here.
func TestMisfits(t *testing.T) {
	table := Table{Schema: "shop", Name: "outbox", Columns: []string{"id", "payload"}, CleanupColumn: "created_at"}
	facts := func(change func(*tableFacts)) *tableFacts {
		f := &tableFacts{exists: true, kind: "BASE TABLE", engine: "InnoDB", key: []string{"id"},
			columns: []columnFacts{{name: "id", dataType: "bigint"}, {name: "payload", dataType: "json"}, {name: "created_at", dataType: "datetime"}}}
		if change != nil {
			change(f)
		}
		return f
	}
	s := New(Config{URL: "mysql://u@h/shop", Tables: []Table{table}, Cleanup: true, CleanupAfter: time.Hour}, quiet())
	connected := New(Config{URL: "mysql://u@h/shop"}, quiet())
	connected.ctl = new(session)
	cleanup := func(f *tableFacts) error { return s.cleanable(table, f) }
	from := func(id string, f *tableFacts) error { return (&chosenRows{outbox.Filter{From: id}}).fits(table, f) }
	judge := func(f *tableFacts) error { return f.judge(table, false) }
	const instead = "; name the rows by a condition: --where \"created_at >= '...'\""
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"no table", judge(facts(func(f *tableFacts) { f.exists = false })),
			"--outbox-table: table shop.outbox does not exist, or this account may not see it; create it, grant SELECT on it, or name another table"},
		{"a view", judge(facts(func(f *tableFacts) { f.kind = "VIEW" })), "--outbox-table: shop.outbox is no table but a view; name a table"},
		{"no column", judge(facts(func(f *tableFacts) { f.columns[1].name = "body" })),
			`--outbox-table: table shop.outbox has no column "payload"; it has id, body, created_at; add the column, or map another one`},

		{"clean-up without a key", cleanup(facts(func(f *tableFacts) { f.key = nil })),
			"--cleanup: table shop.outbox has no primary key; ALTER TABLE `shop`.`outbox` ADD PRIMARY KEY (...)"},
		{"clean-up by a float", cleanup(facts(func(f *tableFacts) { f.columns[0].dataType = "float" })),
			`--cleanup: column "id" of the primary key of table shop.outbox is of a type by which rows cannot be found safely`},
		{"clean-up without its column", cleanup(facts(func(f *tableFacts) { f.columns = f.columns[:2] })),
			`--cleanup-column: table shop.outbox has no column "created_at"; it has id, payload`},
		{"clean-up by a text", cleanup(facts(func(f *tableFacts) { f.columns[2].dataType = "text" })),
			`--cleanup-column: column "created_at" of table shop.outbox is of type text; allowed are timestamp, datetime, and bigint for milliseconds since 1970`},

		{"newest without a key", (&newestRows{}).fits(table, facts(func(f *tableFacts) { f.key = nil })),
			"--order-by: is required: table shop.outbox has no primary key"},
		{"newest by no column", (&newestRows{orderBy: "at"}).fits(table, facts(nil)),
			`--order-by: table shop.outbox has no column "at"; it has id, payload, created_at`},
		{"chosen of two columns", from("1", facts(func(f *tableFacts) { f.key = []string{"id", "n"} })),
			"--from-id: table shop.outbox has no primary key of one column" + instead},
		{"chosen from no number", from("one", facts(nil)), `--from-id: "one" is no number, and column "id" of table shop.outbox is`},
		{"chosen from a text", from("a", facts(func(f *tableFacts) { f.columns[0].dataType = "varchar" })),
			`--from-id: column "id" of table shop.outbox is no number: its order need not be one in time` + instead},
		{"chosen by no condition", s.chosenError("look at the condition", table, &mysql.MyError{Code: mysql.ER_BAD_FIELD_ERROR, Message: "Unknown column 'x' in 'where clause'"}),
			"--where: is no condition that can be asked of table shop.outbox: Unknown column 'x' in 'where clause'; " +
				"it is one SQL expression, without a semicolon; now() and the times of TIMESTAMP columns are UTC"},

		{"until", connected.Until(t.Context(), "soon"), `--until: "soon" is no position of this server; ` +
			"allowed are now, or a GTID set such as 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-23; with gtid_mode off, FILE:OFFSET such as binlog.000012:345"},
		{"of another kind", s.ofKind(identity{kind: outbox.MariaDB, version: "10.11.6"}),
			"--source-url: the server is mariadb 10.11.6; write mariadb:// instead of mysql://"},
		{"refused", s.connectError("connect to the source", &mysql.MyError{Code: mysql.ER_ACCESS_DENIED_ERROR, Message: "Access denied for user 'u'@'h'"}),
			"--source-url: the server refused the connection: Access denied for user 'u'@'h'"},
		{"certificate", s.connectError("connect to the source", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}),
			"--source-url: the server's certificate is not accepted: x509: certificate signed by unknown authority; " +
				"ssl-ca names the authority in PEM, ssl-cert and ssl-key what the server asks of its clients"},
		{"every host refuses", s.nobody("connect to the source", []string{"h1:3306 refused us", "h2:3306 refused us"},
			[]error{&outbox.Invalid{Hint: "do this"}, &outbox.Invalid{Hint: "do this"}}),
			"--source-url: no host can be used: h1:3306 refused us; h2:3306 refused us; do this"},
		{"one host is down", s.nobody("connect to the source", []string{"h1:3306 refused us", "h2:3306 is down"},
			[]error{&outbox.Invalid{}, errors.New("is down")}),
			"connect to the source: no host can be written to: h1:3306 refused us; h2:3306 is down"},
	} {
		if c.err == nil || c.err.Error() != c.want {
			t.Errorf("%s: got\n %v, want\n %s", c.name, c.err, c.want)
		}
	}
}

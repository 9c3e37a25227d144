package harness

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// MySQL is a MySQL or MariaDB server, found through a URL of an account that may do everything. Each database has
// an account of its own, with the rights that tailer needs and no other, so that its sessions can be told apart.
type MySQL struct{ url *url.URL }

// NewMySQL is the server that the variable names; without it the test is skipped.
func NewMySQL(t testing.TB, variable string) *MySQL {
	t.Helper()
	return MySQLAt(t, Env(t, variable))
}

// MySQLAt is a server that a test started itself.
func MySQLAt(t testing.TB, server string) *MySQL {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "mysql" && u.Scheme != "mariadb" {
		t.Fatalf("%q is no URL of MySQL or MariaDB: %v", server, err)
	}
	return &MySQL{url: u}
}

// Kind implements Server.
func (m *MySQL) Kind() string { return m.url.Scheme }

// Open opens a pool on a database of the server, "" for none.
func (m *MySQL) Open(database string) (*sql.DB, error) {
	config := mysql.NewConfig()
	config.Net, config.Addr, config.DBName = "tcp", m.url.Host, database
	config.User = m.url.User.Username()
	config.Passwd, _ = m.url.User.Password()
	config.MultiStatements = true
	config.InterpolateParams = true // half the round trips
	config.ConnectionAttributes = "program_name:e2e"
	config.Logger = &mysql.NopLogger{} // of connections that a test ends
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// Admin opens a pool on no database.
func (m *MySQL) Admin(t testing.TB) *sql.DB {
	t.Helper()
	db, err := m.Open("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// NewDatabase implements Server.
func (m *MySQL) NewDatabase(t testing.TB) Database { return m.Create(t) }

// Create is NewDatabase for tests that are about MySQL and MariaDB alone.
func (m *MySQL) Create(t testing.TB) *MySQLDatabase {
	t.Helper()
	admin := m.Admin(t)
	name := "e2e_" + Unique()
	d := &MySQLDatabase{server: m, kind: m.Kind(), name: name, admin: admin, schemas: []string{name}}
	t.Cleanup(func() {
		if err := d.drop(); err != nil {
			t.Errorf("remove database %s: %v", name, err)
		}
	})
	rights := "REPLICATION SLAVE, REPLICATION CLIENT"
	if d.kind == "mariadb" {
		rights = "REPLICATION SLAVE, REPLICATION MASTER ADMIN, BINLOG MONITOR"
	}
	for _, s := range []string{"CREATE DATABASE " + name + " CHARACTER SET utf8mb4", "CREATE USER " + name + "@'%'",
		"GRANT " + rights + " ON *.* TO " + name + "@'%'", "GRANT SELECT, LOCK TABLES ON " + name + ".* TO " + name + "@'%'"} {
		if _, err := admin.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	db, err := m.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxIdleConns(16) // Writers come and go; reconnecting would be most of the load.
	t.Cleanup(func() { db.Close() })
	d.db = db
	d.url = &url.URL{Scheme: m.url.Scheme, User: url.User(name), Host: m.url.Host, Path: "/" + name}
	return d
}

// MySQLDatabase is one database of a MySQL or MariaDB server; its account has the same name.
type MySQLDatabase struct {
	server     *MySQL
	kind, name string
	url        *url.URL
	db, admin  *sql.DB
	schemas    []string // to be dropped
}

func (d *MySQLDatabase) drop() error {
	ids, err := d.sessions("")
	failed := []error{err}
	for _, id := range ids {
		d.admin.Exec("KILL " + id) // it may have gone by itself
	}
	for _, s := range d.schemas {
		_, err := d.admin.Exec("DROP DATABASE IF EXISTS `" + s + "`")
		failed = append(failed, err)
	}
	_, err = d.admin.Exec("DROP USER IF EXISTS " + d.name + "@'%'")
	return errors.Join(append(failed, err)...)
}

// At is the same database, reached by tailer at another address.
func (d *MySQLDatabase) At(host string) *MySQLDatabase {
	moved, u := *d, *d.url
	u.Host = host
	moved.url = &u
	return &moved
}

// Kind implements Database.
func (d *MySQLDatabase) Kind() string { return d.kind }

// Name implements Database.
func (d *MySQLDatabase) Name() string { return d.name }

// URL implements Database.
func (d *MySQLDatabase) URL() string { return d.url.String() }

// SQL implements Database.
func (d *MySQLDatabase) SQL() *sql.DB { return d.db }

// Arg implements Database.
func (*MySQLDatabase) Arg(int) string { return "?" }

// Outbox implements Database.
func (d *MySQLDatabase) Outbox() string { return d.name + ".outbox" }

// CreateOutbox implements Database.
func (d *MySQLDatabase) CreateOutbox(t testing.TB, table string) {
	t.Helper()
	d.Exec(t, "CREATE TABLE "+table+` (id varchar(64) PRIMARY KEY, aggregatetype varchar(255) NOT NULL,
		aggregateid varchar(255) NOT NULL, type varchar(255) NOT NULL, payload longtext, KEY (aggregateid(100))) ENGINE=InnoDB`)
}

// Schema implements Database: it is another database.
func (d *MySQLDatabase) Schema(t testing.TB, name string) (quoted, plain string) {
	t.Helper()
	plain = d.name + " " + name
	quoted = "`" + plain + "`"
	d.schemas = append(d.schemas, plain)
	d.Exec(t, "CREATE DATABASE "+quoted+" CHARACTER SET utf8mb4")
	d.Exec(t, "GRANT SELECT, LOCK TABLES ON "+quoted+".* TO "+d.name+"@'%'")
	return quoted, plain
}

// Fill implements Database.
func (d *MySQLDatabase) Fill(t testing.TB, aggregateType string, rows, keys, repeat int) {
	t.Helper()
	numbers := fmt.Sprintf("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)", rows)
	from, deep := "n", fmt.Sprintf("SET SESSION cte_max_recursion_depth = %d", rows)
	if d.kind == "mariadb" {
		numbers, from, deep = "", fmt.Sprintf("(SELECT seq AS i FROM seq_1_to_%d) n", rows), "DO 0"
	}
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	conn, err := d.db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, s := range []string{deep, fmt.Sprintf(`INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload) %s
		SELECT lpad(i, 12, '0'), '%s', concat('agg-', i %% %d), 'Changed', repeat(left(sha2(i, 256), 32), %d) FROM %s`,
		numbers, aggregateType, keys, repeat, from)} {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			t.Fatalf("%s: %v", first(s), err)
		}
	}
}

// Exec implements Database.
func (d *MySQLDatabase) Exec(t testing.TB, query string, args ...any) {
	t.Helper()
	if _, err := d.db.Exec(query, args...); err != nil {
		t.Fatalf("%s: %v", first(query), err)
	}
}

// Text implements Database.
func (d *MySQLDatabase) Text(t testing.TB, query string, args ...any) string {
	t.Helper()
	var s sql.NullString
	if err := d.db.QueryRow(query, args...).Scan(&s); err != nil {
		t.Fatalf("%s: %v", first(query), err)
	}
	return s.String
}

// End implements Database.
func (d *MySQLDatabase) End(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	variable := "@@GLOBAL.gtid_executed"
	if d.kind == "mariadb" {
		variable = "@@GLOBAL.gtid_binlog_pos"
	}
	var position, mode string
	if d.kind == "mysql" {
		if err := d.db.QueryRowContext(ctx, "SELECT @@GLOBAL.gtid_mode").Scan(&mode); err != nil {
			return "", err
		}
	}
	if mode == "OFF" {
		var file, offset string
		err := d.admin.QueryRowContext(ctx, "SHOW BINARY LOG STATUS").Scan(&file, &offset, new(any), new(any), new(any))
		return file + ":" + offset, err
	}
	err := d.db.QueryRowContext(ctx, "SELECT "+variable).Scan(&position)
	return strings.ReplaceAll(position, "\n", ""), err
}

// Beyond implements Database.
func (d *MySQLDatabase) Beyond(t testing.TB) string {
	t.Helper()
	if d.kind == "mariadb" {
		return "0-1-999999999999"
	}
	return d.Text(t, "SELECT @@server_uuid") + ":1-999999999999"
}

// Confirms implements Database.
func (*MySQLDatabase) Confirms() bool { return false }

// Confirmed implements Database: nobody tells the server anything.
func (*MySQLDatabase) Confirmed(context.Context, string) (string, bool, error) { return "", false, nil }

// Compare implements Database.
func (d *MySQLDatabase) Compare(a, b string) (int, error) {
	x, y, err := d.parse(a, b)
	if err != nil {
		return 0, err
	}
	return compare(x, y)
}

// Behind implements Database: one transaction is behind a position that does not hold it. In files it is named by
// where it begins.
func (d *MySQLDatabase) Behind(row, position string) (bool, error) {
	x, y, err := d.parse(row, position)
	return !y.holds(x) || isFile(row) && x.holds(y), err
}

func (d *MySQLDatabase) parse(a, b string) (x, y history, err error) {
	parse := parseGTIDs
	switch {
	case d.kind == "mariadb":
		parse = parseDomains
	case isFile(a) || isFile(b):
		parse = parseFile
	}
	if x, err = parse(a); err == nil {
		y, err = parse(b)
	}
	return x, y, err
}

// Victim implements Database.
func (*MySQLDatabase) Victim(err error) bool {
	var e *mysql.MySQLError
	return errors.As(err, &e) && e.Number == 1213 // ER_LOCK_DEADLOCK
}

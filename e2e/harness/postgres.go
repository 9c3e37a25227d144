package harness

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// Postgres is a PostgreSQL server found through an environment variable that holds a superuser's URL.
type Postgres struct{ url string }

// NewPostgres is the server that the variable names; without it the test is skipped.
func NewPostgres(t testing.TB, variable string) *Postgres {
	return &Postgres{url: Env(t, variable)}
}

// PostgresAt is a server that a test started itself.
func PostgresAt(url string) *Postgres { return &Postgres{url: url} }

// Kind implements Server.
func (*Postgres) Kind() string { return "postgres" }

// Admin opens a pool on the server's own database.
func (p *Postgres) Admin(t testing.TB) *sql.DB {
	t.Helper()
	db, err := openPostgres(p.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func openPostgres(url string) (*sql.DB, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["application_name"] = "e2e"
	return stdlib.OpenDB(*config), nil
}

// NewDatabase implements Server.
func (p *Postgres) NewDatabase(t testing.TB) Database { return p.Create(t) }

// Create is NewDatabase for tests that are about Postgres alone.
func (p *Postgres) Create(t testing.TB) *PostgresDatabase {
	t.Helper()
	admin := p.Admin(t)
	name := "e2e_" + Unique()
	if _, err := admin.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatalf("create database: %v", err)
	}
	t.Cleanup(func() {
		if err := dropDatabase(admin, name); err != nil {
			t.Errorf("remove database %s: %v", name, err)
		}
	})
	own, err := url.Parse(p.url)
	if err != nil {
		t.Fatal(err)
	}
	own.Path = "/" + name
	db, err := openPostgres(own.String())
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxIdleConns(16) // Writers come and go; reconnecting would be most of the load.
	t.Cleanup(func() { db.Close() })
	return &PostgresDatabase{name: name, url: own, db: db, admin: admin}
}

// dropDatabase removes the slots first: a slot keeps both its database and the server's log.
func dropDatabase(admin *sql.DB, name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		_, err := admin.ExecContext(ctx, `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
			WHERE database = $1 AND active_pid IS NOT NULL`, name)
		if err == nil {
			_, err = admin.ExecContext(ctx,
				`SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1`, name)
		}
		if err == nil {
			_, err = admin.ExecContext(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// PostgresDatabase is one database of a PostgreSQL server.
type PostgresDatabase struct {
	name      string
	url       *url.URL
	db, admin *sql.DB
}

// Kind implements Database.
func (*PostgresDatabase) Kind() string { return "postgres" }

// Name implements Database.
func (d *PostgresDatabase) Name() string { return d.name }

// URL implements Database.
func (d *PostgresDatabase) URL() string { return d.url.String() }

// SQL implements Database.
func (d *PostgresDatabase) SQL() *sql.DB { return d.db }

// Arg implements Database.
func (*PostgresDatabase) Arg(n int) string { return fmt.Sprintf("$%d", n) }

// Outbox implements Database.
func (*PostgresDatabase) Outbox() string { return "public.outbox" }

// CreateOutbox implements Database.
func (d *PostgresDatabase) CreateOutbox(t testing.TB, table string) {
	t.Helper()
	d.Exec(t, "CREATE TABLE "+table+` (id varchar(64) PRIMARY KEY, aggregatetype varchar(255) NOT NULL,
		aggregateid varchar(255) NOT NULL, type varchar(255) NOT NULL, payload text)`)
	d.Exec(t, "CREATE INDEX ON "+table+" (aggregateid)") // The load updates and deletes by aggregate.
}

// Schema implements Database.
func (d *PostgresDatabase) Schema(t testing.TB, name string) (quoted, plain string) {
	t.Helper()
	quoted = `"` + name + `"`
	d.Exec(t, "CREATE SCHEMA "+quoted)
	return quoted, name
}

// Fill implements Database.
func (d *PostgresDatabase) Fill(t testing.TB, aggregateType string, rows, keys, repeat int) {
	t.Helper()
	d.Exec(t, `INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload)
		SELECT lpad(i::text, 12, '0'), $1, 'agg-' || i % $2::int, 'Changed', repeat(md5(i::text), $3::int)
		FROM generate_series(1, $4::int) i`, aggregateType, keys, repeat, rows)
}

// Exec implements Database.
func (d *PostgresDatabase) Exec(t testing.TB, query string, args ...any) {
	t.Helper()
	if _, err := d.db.Exec(query, args...); err != nil {
		t.Fatalf("%s: %v", first(query), err)
	}
}

// Text implements Database.
func (d *PostgresDatabase) Text(t testing.TB, query string, args ...any) string {
	t.Helper()
	var s sql.NullString
	if err := d.db.QueryRow(query, args...).Scan(&s); err != nil {
		t.Fatalf("%s: %v", first(query), err)
	}
	return s.String
}

func first(query string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(query), "\n")
	if len(line) > 100 {
		line = line[:100]
	}
	return line
}

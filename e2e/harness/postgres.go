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

// Exec runs statements, in one go where there are no arguments.
func (d *PostgresDatabase) Exec(t testing.TB, query string, args ...any) {
	t.Helper()
	if _, err := d.db.Exec(query, args...); err != nil {
		t.Fatalf("%s: %v", first(query), err)
	}
}

// Text reads one value as text; NULL is the empty string.
func (d *PostgresDatabase) Text(t testing.TB, query string, args ...any) string {
	t.Helper()
	var s sql.NullString
	if err := d.db.QueryRow(query, args...).Scan(&s); err != nil {
		t.Fatalf("%s: %v", first(query), err)
	}
	return s.String
}

// Slot is the name of the slot that a tailer of this name makes by default.
func Slot(name string) string { return strings.ReplaceAll(name, "-", "_") }

// End implements Database.
func (d *PostgresDatabase) End(ctx context.Context) (string, error) {
	var lsn string
	err := d.db.QueryRowContext(ctx, "SELECT pg_current_wal_lsn()").Scan(&lsn)
	return lsn, err
}

// Confirmed implements Database. It asks over a connection that has nothing to do with the load.
func (d *PostgresDatabase) Confirmed(ctx context.Context, name string) (string, bool, error) {
	var lsn sql.NullString
	err := d.admin.QueryRowContext(ctx,
		"SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = $1", Slot(name)).Scan(&lsn)
	if err == sql.ErrNoRows {
		return "", false, nil
	}
	return lsn.String, lsn.Valid, err
}

// Compare implements Database.
func (*PostgresDatabase) Compare(a, b string) (int, error) {
	x, err := LSN(a)
	if err != nil {
		return 0, err
	}
	y, err := LSN(b)
	switch {
	case err != nil:
		return 0, err
	case x < y:
		return -1, nil
	case x > y:
		return 1, nil
	}
	return 0, nil
}

// LSN reads a log position as PostgreSQL prints it.
func LSN(s string) (uint64, error) {
	var high, low uint32
	if n, err := fmt.Sscanf(s, "%X/%X", &high, &low); n != 2 || err != nil {
		return 0, fmt.Errorf("%q is no LSN", s)
	}
	return uint64(high)<<32 | uint64(low), nil
}

func first(query string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(query), "\n")
	if len(line) > 100 {
		line = line[:100]
	}
	return line
}

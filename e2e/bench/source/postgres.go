package source

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

type postgres struct {
	url    *url.URL
	pid    int
	reader []string
	admin  *sql.DB
}

func openPostgres(ctx context.Context, server string, pid int, reader string) (*postgres, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	p := &postgres{url: u, pid: pid, reader: strings.Fields(reader)}
	if p.admin, err = connectPostgres(u); err != nil {
		return nil, err
	}
	return p, p.admin.PingContext(ctx)
}

// connectPostgres opens a pool that takes several statements at once.
func connectPostgres(u *url.URL) (*sql.DB, error) {
	config, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	return stdlib.OpenDB(*config), nil
}

func (*postgres) Kind() string     { return "postgres" }
func (p *postgres) PID() int       { return p.pid }
func (*postgres) Reader() string   { return "pg_recvlogical" }
func (p *postgres) Close()         { p.admin.Close() }
func (d *postgresDB) Name() string { return d.name }
func (d *postgresDB) URL() string  { return d.url.String() }

func (p *postgres) Version(ctx context.Context) (version string, err error) {
	err = p.admin.QueryRowContext(ctx, "SELECT 'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1)").Scan(&version)
	return version, err
}

// postgresDB is a database; its publication and the reader's slot have its name.
type postgresDB struct {
	*postgres
	name string
	url  *url.URL
	db   *sql.DB
}

func (p *postgres) Create(ctx context.Context, name string) (Database, error) {
	if _, err := p.admin.ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
		return nil, err
	}
	own := *p.url
	own.Path = "/" + name
	d := &postgresDB{postgres: p, name: name, url: &own}
	var err error
	if d.db, err = connectPostgres(&own); err != nil {
		return d, err
	}
	const columns = `(id uuid PRIMARY KEY, aggregatetype text NOT NULL, aggregateid text NOT NULL, type text NOT NULL, payload text)`
	_, err = d.db.ExecContext(ctx, "CREATE TABLE outbox "+columns+"; CREATE TABLE foreign_rows "+columns+
		"; CREATE PUBLICATION "+name+" FOR TABLE outbox WITH (publish = 'insert')")
	return d, err
}

func (d *postgresDB) Address() Address {
	password, _ := d.url.User.Password()
	return Address{d.url.Hostname(), d.url.Port(), d.url.User.Username(), password, d.name}
}

func (d *postgresDB) Connect(ctx context.Context) (*sql.Conn, error) { return d.db.Conn(ctx) }

func (d *postgresDB) Write(ctx context.Context, b Backlog) error {
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	// The first statement after the backlog waits for its commit, so all before it is flushed; a checkpoint keeps
	// the writing of the tables' pages out of the measurement.
	for _, s := range []string{"SET synchronous_commit = off", b.postgres(), "SET synchronous_commit = on",
		"CREATE TABLE flushed (); DROP TABLE flushed", "CHECKPOINT"} {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// postgres is the backlog as one statement.
func (b Backlog) postgres() string {
	insert := func(table, number string) string {
		return fmt.Sprintf(`INSERT INTO %s (id, aggregatetype, aggregateid, type, payload)
			SELECT ('%s' || lpad(to_hex(e), 12, '0'))::uuid, '%s-' || e %% %d, 'agg-' || e %% %d, 'Changed',
				e || ' ' || substr(t, 1 + e %% %d, %d - length(e || ' '))
			FROM (SELECT %s + i AS e FROM generate_series(0, size - 1) i) s;`,
			table, idPrefix, b.Prefix, b.Kinds, b.Keys, textOffsets, b.Size, number)
	}
	return fmt.Sprintf(`DO $$
		DECLARE n int := 0; size int; f int := 0; t text := '%s';
		BEGIN
			WHILE n < %d LOOP
				size := least(%d, %d - n);
				%s
				COMMIT;
				n := n + size;
				FOR k IN 1..%d LOOP
					%s
					COMMIT;
					f := f + size;
				END LOOP;
			END LOOP;
		END $$`, text[:textOffsets+b.Size], b.Events, b.Rows, b.Events, insert("outbox", "n"), b.Foreign, insert("foreign_rows", "f"))
}

func (d *postgresDB) PrepareReader(ctx context.Context) error {
	_, err := d.db.ExecContext(ctx, "SELECT pg_create_logical_replication_slot('"+d.name+"_reader', 'pgoutput')")
	return err
}

func (d *postgresDB) ReaderCommand(ctx context.Context) (*exec.Cmd, error) {
	var end string
	if err := d.db.QueryRowContext(ctx, "SELECT pg_current_wal_flush_lsn()").Scan(&end); err != nil {
		return nil, err
	}
	args := append(d.reader[1:len(d.reader):len(d.reader)], "--dbname="+d.URL(), "--slot="+d.name+"_reader", "--start",
		"--file=/dev/null", "--endpos="+end, "--no-loop", "--fsync-interval=0", "--option=proto_version=1",
		"--option=publication_names="+d.name)
	return exec.CommandContext(ctx, d.reader[0], args...), nil
}

func (d *postgresDB) Streaming(ctx context.Context) <-chan time.Time {
	return poll(ctx, func() (bool, error) {
		var active bool
		err := d.admin.QueryRowContext(ctx, "SELECT count(*) > 0 FROM pg_replication_slots WHERE active AND database = '"+d.name+"'").Scan(&active)
		return active, err
	})
}

// poll asks until it is so, and sends the moment.
func poll(ctx context.Context, so func() (bool, error)) <-chan time.Time {
	found := make(chan time.Time, 1)
	go func() {
		for ctx.Err() == nil {
			yes, err := so()
			if err != nil {
				return
			}
			if yes {
				found <- time.Now()
				return
			}
			time.Sleep(3 * time.Millisecond)
		}
	}()
	return found
}

func (d *postgresDB) Drop(ctx context.Context) error {
	if d.db != nil {
		d.db.Close()
	}
	// Whoever read from a slot was stopped a moment ago and may still be about to let go of it.
	for {
		_, end := d.admin.ExecContext(ctx, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active AND database = '"+d.name+"'")
		_, slots := d.admin.ExecContext(ctx, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active AND database = '"+d.name+"'")
		_, drop := d.admin.ExecContext(ctx, "DROP DATABASE IF EXISTS "+d.name+" WITH (FORCE)")
		if drop == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(end, slots, drop)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

package source

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// binlog is a MySQL or MariaDB server.
type binlog struct {
	url    *url.URL
	pid    int
	reader []string
	admin  *sql.DB
}

func openBinlog(ctx context.Context, server string, pid int, reader string) (*binlog, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	s := &binlog{url: u, pid: pid, reader: strings.Fields(reader)}
	if s.admin, err = s.connect(""); err != nil {
		return nil, err
	}
	return s, s.admin.PingContext(ctx)
}

// connect opens a pool that takes several statements at once; without TLS, like everybody else who is measured.
func (s *binlog) connect(database string) (*sql.DB, error) {
	config := mysql.NewConfig()
	config.Net, config.Addr, config.DBName = "tcp", s.url.Host, database
	config.User = s.url.User.Username()
	config.Passwd, _ = s.url.User.Password()
	config.MultiStatements = true
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

func (s *binlog) Kind() string   { return s.url.Scheme }
func (s *binlog) PID() int       { return s.pid }
func (*binlog) Reader() string   { return "mysqlbinlog" }
func (s *binlog) Close()         { s.admin.Close() }
func (d *binlogDB) Name() string { return d.name }

func (s *binlog) Version(ctx context.Context) (version string, err error) {
	err = s.admin.QueryRowContext(ctx, "SELECT version()").Scan(&version)
	name := map[string]string{"mysql": "MySQL ", "mariadb": "MariaDB "}[s.Kind()]
	version, _, _ = strings.Cut(version, "-")
	return name + version, err
}

// binlogDB is a database.
type binlogDB struct {
	*binlog
	name string
	db   *sql.DB
	file string // where the reader begins
}

func (s *binlog) Create(ctx context.Context, name string) (Database, error) {
	if _, err := s.admin.ExecContext(ctx, "CREATE DATABASE "+name+" CHARACTER SET utf8mb4"); err != nil {
		return nil, err
	}
	d := &binlogDB{binlog: s, name: name}
	var err error
	if d.db, err = s.connect(name); err != nil {
		return d, err
	}
	const columns = `(id char(36) CHARACTER SET ascii PRIMARY KEY, aggregatetype varchar(255) NOT NULL, aggregateid varchar(255) NOT NULL,
		type varchar(255) NOT NULL, payload longtext) ENGINE=InnoDB`
	for _, statement := range []string{"CREATE TABLE outbox " + columns, "CREATE TABLE foreign_rows " + columns} {
		if _, err := d.db.ExecContext(ctx, statement); err != nil {
			return d, err
		}
	}
	return d, nil
}

func (d *binlogDB) URL() string {
	own := *d.url
	own.Path, own.RawQuery = "/"+d.name, "ssl-mode=disabled"
	return own.String()
}

func (d *binlogDB) Address() Address {
	password, _ := d.url.User.Password()
	return Address{d.url.Hostname(), d.url.Port(), d.url.User.Username(), password, d.name}
}

func (d *binlogDB) Connect(ctx context.Context) (*sql.Conn, error) { return d.db.Conn(ctx) }

// lowered are the settings that make a commit wait for the disk; the values while a backlog is written.
var lowered = []struct{ name, value string }{{"sync_binlog", "0"}, {"innodb_flush_log_at_trx_commit", "2"}}

func (d *binlogDB) Write(ctx context.Context, b Backlog) (err error) {
	for _, s := range lowered {
		var was string
		if err := d.admin.QueryRowContext(ctx, "SELECT @@GLOBAL."+s.name).Scan(&was); err != nil {
			return err
		}
		if _, err := d.admin.ExecContext(ctx, "SET GLOBAL "+s.name+" = "+s.value); err != nil {
			return err
		}
		defer func() {
			// Also when the run was interrupted.
			_, e := d.admin.ExecContext(context.WithoutCancel(ctx), "SET GLOBAL "+s.name+" = "+was)
			err = errors.Join(err, e)
		}()
	}
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return b.binlog(func(statement string) error {
		_, err := conn.ExecContext(ctx, statement)
		return err
	})
}

// binlog writes the backlog by a procedure on the server. What prepares it stays out of the log.
func (b Backlog) binlog(exec func(statement string) error) error {
	insert := func(table, number string) string {
		return fmt.Sprintf(`INSERT INTO %[1]s (id, aggregatetype, aggregateid, type, payload)
			SELECT concat('%[3]s', lpad(lower(hex(%[2]s + i)), 12, '0')), concat('%[4]s-', (%[2]s + i) %% %[5]d),
				concat('agg-', (%[2]s + i) %% %[6]d), 'Changed',
				concat(%[2]s + i, ' ', substr(t, 1 + (%[2]s + i) %% %[7]d, %[8]d - length(concat(%[2]s + i, ' '))))
			FROM numbers WHERE i < size ORDER BY i;`,
			table, number, idPrefix, b.Prefix, b.Kinds, b.Keys, textOffsets, b.Size)
	}
	statements := []string{"SET SESSION sql_log_bin = 0", "CREATE TABLE numbers (i int PRIMARY KEY)", "INSERT INTO numbers VALUES (0)"}
	for have := 1; have < b.Rows; have *= 2 {
		statements = append(statements, fmt.Sprintf("INSERT INTO numbers SELECT i + %d FROM numbers", have))
	}
	statements = append(statements, fmt.Sprintf(`CREATE PROCEDURE fill(t mediumtext CHARACTER SET ascii) BEGIN
			DECLARE n, f, k, size int DEFAULT 0;
			WHILE n < %d DO
				SET size = least(%d, %d - n);
				%s
				SET n = n + size, k = 0;
				WHILE k < %d DO
					%s
					SET f = f + size, k = k + 1;
				END WHILE;
			END WHILE;
		END`, b.Events, b.Rows, b.Events, insert("outbox", "n"), b.Foreign, insert("foreign_rows", "f")),
		"SET SESSION sql_log_bin = 1", "CALL fill('"+text[:textOffsets+b.Size]+"')",
		"SET SESSION sql_log_bin = 0; DROP PROCEDURE fill; DROP TABLE numbers; SET SESSION sql_log_bin = 1")
	for _, s := range statements {
		if err := exec(s); err != nil {
			return err
		}
	}
	return nil
}

// PrepareReader begins a new file of the log.
func (d *binlogDB) PrepareReader(ctx context.Context) (err error) {
	d.file, err = d.rotate(ctx)
	return err
}

// rotate begins a new file of the log and returns its name.
func (s *binlog) rotate(ctx context.Context) (file string, err error) {
	if _, err := s.admin.ExecContext(ctx, "FLUSH BINARY LOGS"); err != nil {
		return "", err
	}
	rows, err := s.admin.QueryContext(ctx, "SHOW BINARY LOGS")
	if err != nil {
		return "", err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	values := make([]any, len(columns))
	for i := range values {
		values[i] = new(sql.RawBytes)
	}
	values[0] = &file
	for rows.Next() {
		if err := rows.Scan(values...); err != nil {
			return "", err
		}
	}
	return file, rows.Err()
}

func (d *binlogDB) ReaderCommand(ctx context.Context) (*exec.Cmd, error) {
	// A file in memory: that is as near to throwing it away as this program comes.
	dir := readerDir + d.name
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	plain := "--ssl-mode=DISABLED"
	if d.Kind() == "mariadb" {
		plain = "--skip-ssl"
	}
	a := d.Address()
	args := append(d.reader[1:len(d.reader):len(d.reader)], "--no-defaults", "--host="+a.Host, "--port="+a.Port, "--user="+a.User,
		"--protocol=tcp", plain, "--read-from-remote-server", "--raw", "--to-last-log", "--result-file="+dir+"/", d.file)
	cmd := exec.CommandContext(ctx, d.reader[0], args...)
	cmd.Env = append(os.Environ(), "MYSQL_PWD="+a.Password)
	return cmd, nil
}

const readerDir = "/dev/shm/tailer-"

const dumps = "SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'"

func (d *binlogDB) Streaming(ctx context.Context) <-chan time.Time {
	before, err := d.ids(ctx)
	if err != nil {
		return make(chan time.Time)
	}
	return poll(ctx, func() (bool, error) {
		now, err := d.ids(ctx)
		for id := range now {
			if !before[id] {
				return true, nil
			}
		}
		return false, err
	})
}

// ids are the connections that read the log.
func (s *binlog) ids(ctx context.Context) (map[int64]bool, error) {
	rows, err := s.admin.QueryContext(ctx, dumps)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[int64]bool{}
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		found[id] = true
	}
	return found, rows.Err()
}

// Drop removes the log of this database's backlog as well: dozens of gigabytes would come together.
func (d *binlogDB) Drop(ctx context.Context) error {
	if d.db != nil {
		d.db.Close()
	}
	_, drop := d.admin.ExecContext(ctx, "DROP DATABASE IF EXISTS "+d.name)
	file, err := d.rotate(ctx)
	if err == nil {
		_, err = d.admin.ExecContext(ctx, "PURGE BINARY LOGS TO '"+file+"'")
	}
	return errors.Join(drop, err, os.RemoveAll(readerDir+d.name))
}

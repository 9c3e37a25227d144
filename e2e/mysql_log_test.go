package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// session runs statements on one connection.
func session(t *testing.T, conn *sql.Conn) func(statements ...string) {
	return func(statements ...string) {
		t.Helper()
		for _, s := range statements {
			if _, err := conn.ExecContext(t.Context(), s); err != nil {
				t.Fatalf("%.100s: %v", s, err)
			}
		}
	}
}

// connection is one for the whole test.
func connection(t *testing.T, db harness.Database) *sql.Conn {
	t.Helper()
	conn, err := db.SQL().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// outboxRow is a statement that inserts rows of one key with these ids.
func outboxRow(c *harness.Case, verb string, ids ...string) string {
	var values []string
	for _, id := range ids {
		values = append(values, fmt.Sprintf("('%s', '%s', 'a', 'Changed', 'of %[1]s')", id, c.Type))
	}
	return verb + " INTO outbox (id, aggregatetype, aggregateid, type, payload) VALUES " + strings.Join(values, ", ")
}

// A row of the log is a message, however it was inserted; what is no insert, or is rolled back, is none.
func TestEveryWayToInsertIsAMessageARow(t *testing.T) {
	t.Parallel()
	c, db := binlog(t)
	db.CreateOutbox(t, db.Outbox())
	db.Exec(t, "CREATE TABLE orders (id int PRIMARY KEY, note varchar(20))")
	db.Exec(t, "CREATE TRIGGER announce AFTER INSERT ON orders FOR EACH ROW "+
		strings.Replace(outboxRow(c, "INSERT", "trigger"), "'trigger'", "concat('trigger-', NEW.id)", 1))
	file := filepath.Join(readable(t), "rows")
	if err := os.WriteFile(file, fmt.Appendf(nil, "load-1\t%s\ta\tChanged\tof load-1\nload-2\t%[1]s\ta\tChanged\t\\N\n", c.Type), 0o644); err != nil {
		t.Fatal(err)
	}
	book := c.Ledger()
	r := c.Follow(harness.Topic(c.Type))
	p := c.Start()
	do := session(t, connection(t, db))
	expect := func(ids ...string) {
		for _, id := range ids {
			book.Expect(id, c.Type, "a", "of "+id)
		}
	}

	do(outboxRow(c, "INSERT", "multi-1", "multi-2", "multi-3"))
	expect("multi-1", "multi-2", "multi-3")
	do("INSERT INTO outbox SELECT concat('copy-', id), aggregatetype, aggregateid, type, concat('of copy-', id) FROM outbox WHERE id = 'multi-2'")
	expect("copy-multi-2")
	do(outboxRow(c, "INSERT IGNORE", "multi-1", "ignore"))
	expect("ignore")
	do(outboxRow(c, "INSERT", "multi-1", "upsert") + " ON DUPLICATE KEY UPDATE type = 'Again'")
	expect("upsert")
	do(outboxRow(c, "REPLACE", "replace"))
	expect("replace")
	do(fmt.Sprintf("LOAD DATA INFILE '%s' INTO TABLE outbox", file))
	expect("load-1")
	book.Expect("load-2", c.Type, "a", nil)
	do("INSERT INTO orders VALUES (7, 'by trigger')")
	book.Expect("trigger-7", c.Type, "a", "of trigger")

	do("BEGIN", outboxRow(c, "INSERT", "kept-1"), "SAVEPOINT here", outboxRow(c, "INSERT", "back-1", "back-2"), "ROLLBACK TO SAVEPOINT here",
		outboxRow(c, "INSERT", "kept-2"), "COMMIT")
	expect("kept-1", "kept-2")
	do("BEGIN", outboxRow(c, "INSERT", "back-3"), "ROLLBACK")
	do("BEGIN", outboxRow(c, "INSERT", "brief"), "DELETE FROM outbox WHERE id = 'brief'", "COMMIT") // as the outbox pattern has it
	expect("brief")
	do("UPDATE outbox SET type = 'Changed later'", "DELETE FROM outbox WHERE id = 'multi-1'", "TRUNCATE TABLE outbox")
	do("XA START 'one phase "+c.ID+"'", outboxRow(c, "INSERT", "xa-one"), "XA END 'one phase "+c.ID+"'",
		"XA COMMIT 'one phase "+c.ID+"' ONE PHASE")
	expect("xa-one")
	do("CREATE TEMPORARY TABLE passing (id int)", "BEGIN", "INSERT INTO passing VALUES (1)", outboxRow(c, "INSERT", "temporary"), "COMMIT")
	expect("temporary")

	c.Arrived(r, book.Len(), 20*time.Second)
	p.Stop()
	c.Check(book.Want(), check.ExactlyOnce)
}

// readable is a folder that the server may read in.
func readable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "tailer-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// The log holds the rows of a prepared XA transaction before anybody knows whether it will be committed.
func TestAPreparedXATransactionIsRefused(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]string{"rolled back": "XA ROLLBACK ", "committed": "XA COMMIT "} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, db := binlog(t)
			db.CreateOutbox(t, db.Outbox())
			db.Exec(t, "CREATE TABLE elsewhere (id int PRIMARY KEY)")
			book := c.Ledger()
			r := c.Follow(harness.Topic(c.Type))
			p := c.Start()
			conn := connection(t, db)
			do := session(t, conn)
			one, two := "'one "+c.ID+"'", "'two "+c.ID+"'" // names are the server's
			// After a failure it would stay, and hold its locks.
			t.Cleanup(func() { conn.ExecContext(context.Background(), "XA ROLLBACK "+two) })
			// None of ours:
			do("XA START "+one, "INSERT INTO elsewhere VALUES (1)", "XA END "+one, "XA PREPARE "+one, "XA COMMIT "+one)
			book.Insert("a", "before")
			c.Arrived(r, 1, 20*time.Second)

			do("XA START "+two, outboxRow(c, "INSERT", "xa-1", "xa-2"), "XA END "+two, "XA PREPARE "+two)
			p.Want(3, 20*time.Second)
			holds(t, "the refusal", p.Stderr(), "XA", "prepare", aPosition, "tailer checkpoint")
			refuses(t, c, nil, "XA", "prepare") // and again
			do(end + two)
			refuses(t, c, nil, "XA", "prepare") // the log does not change by that
			c.Check(book.Want(), check.ExactlyOnce)

			// On the operator's word it goes on behind it.
			c.Do(0, "checkpoint set --now", flags(c)...)
			resumes(t, c, book)
		})
	}
}

// Every type: payloads come as the server shows them to a client, from the snapshot and from the log.
func TestPayloadsOfEveryTypeAreTheServersText(t *testing.T) {
	t.Parallel()
	c, db := binlog(t)
	columns := []struct{ typ, value string }{
		{"tinyint", "-128"}, {"smallint unsigned", "65535"}, {"mediumint", "-8388608"}, {"int unsigned", "4294967295"},
		{"bigint unsigned", "18446744073709551615"}, {"decimal(20,5)", "-12345.67"}, {"float", "1.5"}, {"double", "-0.1"},
		{"year", "2026"}, {"date", "'2026-11-22'"}, {"time(3)", "'-12:34:56.789'"}, {"datetime(6)", "'2026-11-22 12:34:56.000007'"},
		{"timestamp(3) null", "'2026-11-22 12:34:56.789'"}, {"datetime", "'2024-02-29 00:00:00'"},
		{"char(10)", "'é  '"}, {"varchar(300)", "repeat('é', 300)"}, {"tinytext", "''"}, {"mediumtext", "repeat('é', 40000)"},
		{"binary(16)", "0x00112233445566778899aabbccdd0000"}, {"varbinary(20)", "0x000100"}, {"mediumblob", "repeat(0x00ff, 40000)"},
		{"enum('a','b''c','é')", "'b''c'"}, {"set('one','two','é')", "'é,one'"},
		{"json", `'{"b": 1, "a": [1.50, true, null, "é"], "longer": {"deep": ""}}'`}, {"longtext", "NULL"},
	}
	args := []string{}
	for i, k := range columns {
		db.Exec(t, fmt.Sprintf(`CREATE TABLE of_%d (id varchar(64) PRIMARY KEY, aggregatetype varchar(99), aggregateid varchar(99),
			type varchar(99), payload %s)`, i, k.typ))
		args = append(args, fmt.Sprintf("--outbox-table=of_%d", i))
	}
	book := c.Ledger()
	insert := func(when string) {
		for i, k := range columns {
			id := fmt.Sprint(when, " ", k.typ)
			db.Exec(t, fmt.Sprintf("INSERT INTO of_%d VALUES (?, ?, ?, '', %s)", i, k.value), id, c.Type, when+k.typ)
			var shown sql.NullString
			// The driver reads floating-point numbers as such; the two here have one way to be written.
			if err := db.SQL().QueryRow(fmt.Sprintf("SELECT payload FROM of_%d WHERE id = ?", i), id).Scan(&shown); err != nil {
				t.Fatal(err)
			}
			if shown.Valid {
				book.Expect(id, c.Type, when+k.typ, shown.String)
			} else {
				book.Expect(id, c.Type, when+k.typ, nil)
			}
		}
	}
	insert("snapshot")
	r := c.Follow(harness.Topic(c.Type))
	p := c.Start(args...)
	insert("log")
	c.Arrived(r, book.Len(), 20*time.Second)
	p.Stop()
	c.Check(book.Want(), check.ExactlyOnce)
}

// Two readers of the log under one server id would end each other for ever.
func TestAServerIDThatAnotherHasIsRefused(t *testing.T) {
	t.Parallel()
	c, db := binlog(t)
	db.CreateOutbox(t, db.Outbox())
	other := world(t, source(t))
	id := fmt.Sprintf("--mysql-server-id=%d", 1_000_000_000+int64(os.Getpid()))
	book := c.Ledger()
	r := c.Follow(harness.Topic(c.Type))
	p := c.Start(id)
	stream := db.Stream(t, c.ID)
	refuses(t, other, []string{id}, "--mysql-server-id", "tailer/"+c.ID)
	refuses(t, other, []string{"--mysql-server-id=" + db.Text(t, "SELECT @@server_id")}, "--mysql-server-id")
	book.Insert("a", "x")
	c.Arrived(r, 1, 20*time.Second)
	if now := db.Stream(t, c.ID); now != stream {
		t.Errorf("the log is read by connection %q, was %q", now, stream)
	}

	// One that was killed leaves its reader on the server, which is no other.
	for range 3 {
		p.Kill()
		p = c.Start(id)
	}
	book.Insert("a", "y")
	c.Arrived(r, 2, 20*time.Second)
	p.Stop()
	c.Check(book.Want(), check.ExactlyOnce)
}

// While the outbox is idle and other tables are busy, the checkpoint keeps up: else the server could purge the log
// behind it, and the next start would have to be refused.
func TestAnIdleOutboxMovesTheCheckpoint(t *testing.T) {
	t.Parallel()
	c, db := binlog(t)
	db.CreateOutbox(t, db.Outbox())
	db.Exec(t, "CREATE TABLE elsewhere (id int AUTO_INCREMENT PRIMARY KEY, filler varchar(100))")
	book := c.Ledger()
	r := c.Follow(harness.Topic(c.Type))
	p := c.Start()
	book.Insert("a", "once")
	c.Arrived(r, 1, 20*time.Second)
	for range 2 {
		db.Exec(t, "INSERT INTO elsewhere (filler) VALUES ('no message')")
		end, err := db.End(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.Wait("the checkpoint has passed the transaction", 15*time.Second, func() (bool, string) {
			s := p.Status()
			order, err := db.Compare(stored(t, c), end)
			return err == nil && order >= 0, fmt.Sprint(s.Position, ", wanted ", end, " ", err)
		})
	}
	book.Insert("a", "again")
	c.Arrived(r, 2, 20*time.Second)
	p.Stop()
	c.Check(book.Want(), check.ExactlyOnce)
}

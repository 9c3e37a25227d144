package mysql

import (
	"strings"
	"testing"

	"github.com/tailer-io/tailer/internal/outbox"
)

// What counts as an insert, and what reaches the log in which form.
func TestStreamStatements(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox().exec("create table other (id int primary key, v text) engine=innodb")
		s := w.source()
		start := w.here(s)
		w.exec(insert(1), insert(2, 3), // one statement, two rows
			"update outbox set payload = 'changed' where id = 1", "delete from outbox where id = 2",
			"insert into other values (1, 'x')",
			"begin", insert(4), "insert into other values (2, 'x')", "delete from outbox where id = 4", "commit",
			"begin", insert(5), "rollback",
			"begin", insert(6), "savepoint sp", insert(7), "rollback to sp", insert(8), "commit",
			"insert into outbox values (3, 'k', 'dup') on duplicate key update payload = 'updated'",
			"insert into outbox values (9, 'k9', 'p9') on duplicate key update payload = 'updated'",
			"insert ignore into outbox values (9, 'k9', 'again')",
			"create table source_rows as select 10 as id, 'k10' as k, 'p10' as payload",
			"insert into outbox select * from source_rows",
			"truncate table outbox",
			insert(11))
		w.want(rows(w.drain(s, start)), row(1), row(2), row(3), row(4), row(6), row(8), row(9), row(10), row(11))
	})
}

// REPLACE deletes and inserts; where the server can write that as an update of
// the row it does so, and an update is no insert.
func TestStreamReplace(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox().exec("create table two (id int primary key, u int unique, v text) engine=innodb")
		s := w.source(Table{Name: "outbox", Columns: []string{"id", "k", "payload"}}, Table{Name: "two", Columns: []string{"id", "u", "v"}})
		start := w.here(s)
		w.exec(
			"replace into outbox values (1, 'k1', 'p1')", // nothing to replace: an insert
			"replace into outbox values (1, 'k1', 'new')",
			"insert into two values (1, 1, 'a'), (2, 2, 'b')",
			"replace into two values (1, 2, 'c')") // two rows go, one comes
		var inserts []string
		for _, r := range rows(w.drain(s, start)) {
			if !strings.HasPrefix(r, "1|k1|new") && r != "1|2|c" {
				inserts = append(inserts, r)
			} else {
				w.Logf("REPLACE of an existing row came as an insert: %s", r)
			}
		}
		w.want(inserts, row(1), "1|1|a", "2|2|b")
	})
}

// A position resumes exactly: for each prefix of transactions, and for rows
// inside a batch.
func TestStreamResumes(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox().exec("create table other (id int primary key auto_increment) engine=innodb")
		s := w.source()
		start := w.here(s)
		for i := range 5 {
			w.exec(insert(2*i+1, 2*i+2), "insert into other values ()")
		}
		all := w.drain(s, start)
		if n := len(rows(all)); n != 10 {
			w.Fatalf("%d rows, want 10", n)
		}
		last := all[len(all)-1]
		if got := rows(w.drain(s, last.resume)); len(got) > 0 {
			w.Errorf("rows behind the end: %v", got)
		}
		if err := s.Prove(w.ctx(), last.resume); err != nil {
			w.Errorf("prove the end: %v", err)
		}
		n := 0
		for _, b := range all {
			for _, before := range b.before {
				if err := s.Prove(w.ctx(), before); err != nil {
					w.Errorf("prove before row %d: %v", n, err)
				}
				if got := rows(w.drain(s, before)); len(got) != 10-n || got[0] != row(n+1) {
					w.Errorf("before row %d (%s, %+v): got %v", n, before.Position, before.Open, got)
				}
				n++
			}
		}
	})
}

// A transaction too large for a batch is cut, and goes on where it was cut.
func TestStreamCuts(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox()
		s := w.source()
		start := w.here(s)
		w.exec(insert(1), "begin")
		for i := 2; i <= 26; i += 5 {
			w.exec(insert(i, i+1, i+2, i+3, i+4))
		}
		w.exec("commit", insert(27))
		got, err := w.drainErr(s, start, outbox.Limits{Rows: 7, Bytes: 1 << 20})
		if err != outbox.ErrEnd {
			w.Fatal(err)
		}
		if n := len(rows(got)); n != 27 {
			w.Fatalf("%d rows, want 27", n)
		}
		cut := 0
		for i, b := range got {
			if b.resume.Open == nil {
				continue
			}
			cut++
			if err := s.Prove(w.ctx(), b.resume); err != nil {
				w.Errorf("prove %+v: %v", b.resume.Open, err)
			}
			rest := rows(w.drain(s, b.resume))
			if want := len(rows(got[i+1:])); len(rest) != want {
				w.Errorf("behind row %d of the transaction come %d rows, want %d", b.resume.Open.Rows, len(rest), want)
			}
		}
		if cut < 3 {
			w.Errorf("the transaction was cut %d times, want 3", cut)
		}
		// Another transaction in its place, and one that is shorter.
		r := got[0].resume
		for _, b := range got {
			if b.resume.Open != nil {
				r = b.resume
				break
			}
		}
		longer := *r.Open
		longer.Rows = 1000
		_, err = w.drainErr(s, outbox.Resume{Position: r.Position, Lineage: r.Lineage, Open: &longer}, outbox.Limits{Rows: 100, Bytes: 1 << 20})
		w.refused(err, ReasonOpen)
		_, err = w.drainErr(s, outbox.Resume{Position: start.Position, Lineage: r.Lineage, Open: r.Open}, outbox.Limits{Rows: 100, Bytes: 1 << 20})
		w.refused(err, ReasonOpen)
	})
}

// DDL while rows come: the log names its columns, so every row is read by the
// names of its own time.
func TestStreamDDL(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox()
		s := w.source()
		start := w.here(s)
		w.exec(insert(1),
			"alter table outbox add column extra int default 7 first", insert(2),
			"alter table outbox modify payload longtext after id", insert(3),
			"alter table outbox drop column extra", insert(4),
			"alter table outbox add column late varchar(10) default 'x'", insert(5),
			"alter table outbox rename column k to kk", "alter table outbox rename column kk to k", insert(6),
			"drop table outbox", outboxSQL, insert(7))
		// As gh-ost does it: a copy under another name, swapped.
		w.exec("create table _outbox_gho like outbox", "alter table _outbox_gho add column extra int",
			"insert into _outbox_gho (id, k, payload) select id, k, payload from outbox",
			"rename table outbox to _outbox_del, _outbox_gho to outbox", insert(8))
		w.want(rows(w.drain(s, start)), row(1), row(2), row(3), row(4), row(5), row(6), row(7), row(8))
		w.exec("alter table outbox rename column k to gone", "insert into outbox (id, gone) values (9, 'x')")
		_, err := w.drainErr(s, start, outbox.Limits{Rows: 100, Bytes: 1 << 20})
		w.refused(err, ReasonColumn)
	})
}

// Without names in the log, columns are told by their order, as long as that
// fits.
func TestStreamMinimalMetadata(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox()
		s := w.source()
		start := w.here(s)
		c := w.session()
		minimal := "set session binlog_row_metadata = 'MINIMAL'"
		if w.mariadb() {
			minimal = "set session binlog_row_metadata = 'NO_LOG'"
		}
		if _, err := c.Execute(minimal); err != nil {
			// The setting is global on this server.
			old := w.value("select @@global.binlog_row_metadata")
			w.exec("set global " + strings.TrimPrefix(minimal, "set session "))
			w.Cleanup(func() { w.exec("set global binlog_row_metadata = '" + old + "'") })
		}
		w.on(c, insert(1), "insert into outbox values (18446744073709551615, null, 'big')")
		w.want(rows(w.drain(s, start)), row(1), "18446744073709551615|<null>|big")
		w.on(c, "alter table outbox add column extra int", insert(2))
		w.want(rows(w.drain(s, start)), row(1), "18446744073709551615|<null>|big", row(2))
		_, err := w.drainErr(w.source(), start, outbox.Limits{Rows: 100, Bytes: 1 << 20})
		w.refused(err, ReasonColumn) // the first row has fewer columns than the table
	})
}

func TestStreamRowImage(t *testing.T) {
	onServers(t, func(w *world) {
		w.exec("create table outbox (id int primary key, k varchar(20) default 'd', payload text) engine=innodb")
		s := w.source()
		start := w.here(s)
		c := w.session()
		w.on(c, "set session binlog_row_image = 'MINIMAL'", "insert into outbox (id, payload) values (1, 'x')")
		_, err := w.drainErr(s, start, outbox.Limits{Rows: 100, Bytes: 1 << 20})
		w.refused(err, ReasonImage)
	})
}

// A session may choose statements: their rows are not in the log.
func TestStreamStatementFormat(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox().exec("create table other (id int primary key) engine=innodb")
		s := w.source()
		start := w.here(s)
		c := w.session()
		w.on(c, "set session binlog_format = 'STATEMENT'", "insert into other values (1)")
		w.exec(insert(1))
		w.want(rows(w.drain(s, start)), row(1))
		w.on(c, insert(2))
		got, err := w.drainErr(s, start, outbox.Limits{Rows: 100, Bytes: 1 << 20})
		w.refused(err, ReasonFormat)
		w.want(rows(got), row(1)) // what stands before it is handed over
	})
}

func TestStreamXA(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox().exec("create table other (id int primary key) engine=innodb")
		s := w.source()
		start := w.here(s)
		xid := "'" + w.database + "'"
		w.exec("xa start "+xid, insert(1), "xa end "+xid, "xa commit "+xid+" one phase",
			"xa start "+xid, "insert into other values (1)", "xa end "+xid, "xa prepare "+xid, "xa commit "+xid, insert(2))
		w.want(rows(w.drain(s, start)), row(1), row(2))
		w.exec("xa start "+xid, insert(3), "xa end "+xid, "xa prepare "+xid)
		got, err := w.drainErr(s, start, outbox.Limits{Rows: 100, Bytes: 1 << 20})
		w.exec("xa rollback " + xid)
		w.refused(err, ReasonXA)
		w.want(rows(got), row(1), row(2))
	})
}

// A transaction with a table that knows no transactions is in the log although
// it is rolled back: with a ROLLBACK at its end, or not at all.
func TestStreamRollback(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox().exec("create table log_table (id int) engine=myisam")
		s := w.source()
		start := w.here(s)
		if !w.mariadb() {
			// With GTIDs, MySQL allows neither in one transaction.
			w.exec("begin", insert(1), "savepoint a", insert(2), "rollback to a", insert(3), "commit")
			w.want(rows(w.drain(s, start)), row(1), row(3))
			return
		}
		w.exec(insert(1), "begin", insert(2), "insert into log_table values (1)", insert(3), "rollback",
			"begin", insert(4), "savepoint a", insert(5), "insert into log_table select id from outbox", insert(6), "rollback to a", insert(7), "commit",
			"begin", insert(8), "create temporary table tmp (id int) engine=innodb", insert(9), "drop temporary table tmp", "rollback", insert(10))
		w.want(rows(w.drain(s, start)), row(1), row(4), row(7), row(10))
	})
}

// Compressed transactions are opened; a large one does not come into memory
// whole.
func TestStreamCompressed(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox().exec("create table other (id int primary key auto_increment, v longtext) engine=innodb")
		if w.mariadb() {
			w.exec("set global log_bin_compress = on")
			w.Cleanup(func() { w.exec("set global log_bin_compress = off") })
		} else {
			w.exec("set session binlog_transaction_compression = on")
		}
		s := w.source()
		start := w.here(s)
		w.exec("begin", "insert into outbox values (1, 'k1', repeat('compressible ', 1000))")
		for range 20 {
			w.exec("insert into other (v) values (repeat('another table ', 20000))")
		}
		w.exec("commit", insert(2))
		w.want(rows(w.drain(s, start)), "1|k1|"+strings.Repeat("compressible ", 1000), row(2))
	})
}

func TestStreamLoadData(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox()
		s := w.source()
		start := w.here(s)
		path := w.value("select @@datadir") + w.database + ".csv"
		w.exec("select 1, 'k1', 'p1' union all select 2, 'k2', 'p2' into outfile '"+path+"'", "load data infile '"+path+"' into table outbox")
		w.want(rows(w.drain(s, start)), row(1), row(2))
	})
}

func TestSnapshot(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox()
		for i := range 30 {
			w.exec(insert(i + 1))
		}
		s := w.source()
		if n, err := s.Count(w.ctx(), 10); err != nil || n != 11 {
			w.Errorf("count up to 10: %d, %v; want 11", n, err)
		}
		v, err := s.CreateAnchor(w.ctx(), outbox.Filter{})
		if err != nil {
			w.Fatal(err)
		}
		defer v.Close()
		w.exec(insert(31))
		var got []string
		for more := true; more; {
			var b outbox.Batch
			if more, err = v.Read(w.ctx(), &b, outbox.Limits{Rows: 7, Bytes: 1 << 20}); err != nil {
				w.Fatal(err)
			}
			got = append(got, copyBatch(&b).rows...)
		}
		if len(got) != 30 || got[29] != row(30) {
			w.Fatalf("snapshot: %v", got)
		}
		if err := s.Prove(w.ctx(), v.Resume()); err != nil {
			w.Errorf("prove the snapshot's position: %v", err)
		}
		w.want(rows(w.drain(s, v.Resume())), row(31))
	})
}

func TestStreamManyTransactions(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox()
		s := w.source()
		start := w.here(s)
		const n = 500
		for i := range n {
			w.exec(insert(i + 1))
		}
		got := rows(w.drain(s, start))
		for i, r := range got {
			if r != row(i+1) {
				w.Fatalf("row %d is %s", i, r)
			}
		}
		if len(got) != n {
			w.Fatalf("%d rows, want %d", len(got), n)
		}
	})
}

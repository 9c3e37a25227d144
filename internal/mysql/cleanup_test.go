package mysql

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// cleaning is a source whose rows live for an hour by a column.
func (w *world) cleaning(column string) *Source {
	w.Helper()
	return w.sourceOf(w.cleanupConfig(column))
}

func (w *world) cleanupConfig(column string) Config {
	cfg := w.config(Table{Name: "outbox", Columns: []string{"id"}, CleanupColumn: column})
	cfg.Cleanup, cfg.CleanupAfter = true, time.Hour
	return cfg
}

func (w *world) aged(s *Source, want int) outbox.Aged {
	w.Helper()
	a, err := s.Aged(w.ctx(), 0, 1000)
	if err != nil {
		w.Fatal(err)
	}
	if len(a.Rows) != want {
		w.Fatalf("%d rows are old, want %d: %q", len(a.Rows), want, a.Rows)
	}
	return a
}

func (w *world) delete(s *Source, a outbox.Aged, want int) {
	w.Helper()
	n, err := s.Delete(w.ctx(), a)
	if err != nil {
		w.Fatal(err)
	}
	if n != want {
		w.Errorf("%d rows are deleted, want %d", n, want)
	}
}

func (w *world) left(want string) {
	w.Helper()
	if got := w.value("select coalesce(group_concat(k order by k separator ' '), '') from outbox"); got != want {
		w.Errorf("left are %q, want %q", got, want)
	}
}

// What was picked is deleted, but no row that is locked, nor one that was
// written anew and is young.
func TestCleanUpDeletesWhatItPicked(t *testing.T) {
	onServers(t, func(w *world) {
		w.exec(outboxSQL, "alter table outbox add at timestamp(6) null default current_timestamp(6), add index (at)",
			`insert into outbox (k, at) select k, now(6) - interval 2 hour from (select 'anew' k union all select 'locked'
union all select 'gone' union all select 'old1' union all select 'old2') x`,
			"insert into outbox (k, at) values ('young', now(6) - interval 50 minute)")
		s := w.cleaning("at")
		a := w.aged(s, 5)
		w.exec("set @id = (select id from outbox where k = 'anew')", "delete from outbox where k in ('anew', 'gone')",
			"insert into outbox (id, k) values (@id, 'anew')")
		other := w.session()
		w.on(other, "start transaction", "select * from outbox where k = 'locked' for update")
		w.on(other, "rollback", "start transaction", "select * from outbox where id = (select id from (select id from outbox where k = 'locked') x) for update")
		w.delete(s, a, 2)
		w.left("anew locked young")
		w.on(other, "rollback")
		w.delete(s, w.aged(s, 1), 1)
		w.left("anew young")
	})
}

// Keys of every type that is taken find their very row, by the index.
func TestCleanUpKeys(t *testing.T) {
	onServers(t, func(w *world) {
		types := map[string][]string{
			"bigint unsigned":                   {"18446744073709551614", "18446744073709551615", "0"},
			"decimal(30,10)":                    {"1.0000000001", "1.0000000002"},
			"varchar(60)":                       {`'a''b\\c"%_'`, `''`, `'ä 😀'`, `'0x41'`, `'1'`},
			"varchar(60) character set latin1":  {`'ä'`, `'a'`},
			"varchar(60) collate utf8mb4_bin":   {`'a'`, `'A'`},
			"char(36)":                          {`'7c6d2b3e-1111-2222-3333-444455556666'`},
			"binary(16)":                        {`x'00000000000000000000000000000000'`, `x'27275c00ff00000000000000000000fe'`},
			"varbinary(20)":                     {`x''`, `x'27'`, `x'5c27'`},
			"datetime(6)":                       {`'2026-01-01 00:00:00.000001'`, `'2026-01-01 00:00:00.000002'`},
			"timestamp(6) default '2000-01-01'": {`'2026-01-01 00:00:00.000001'`},
			"enum('a', 'it''s', '')":            {`'a'`, `'it''s'`, `''`},
		}
		if w.mariadb() {
			types["uuid"] = []string{`'7c6d2b3e-1111-2222-3333-444455556666'`}
		}
		for typ, values := range types {
			w.exec("drop table if exists outbox",
				"create table outbox (a int not null, id "+typ+" not null, k varchar(10), primary key (a, id)) engine=innodb")
			for _, v := range values {
				w.exec("insert into outbox values (1, " + v + ", 'x'), (2, " + v + ", 'x')")
			}
			cfg := w.cleanupConfig("")
			cfg.Check, cfg.Tables[0].Columns = nil, []string{"k"}
			s := w.sourceOf(cfg)
			a := w.aged(s, 2*len(values))
			// More rows than a search through all of them would be cheaper for.
			for i := range a.Rows {
				if n, err := s.Delete(w.ctx(), outbox.Aged{Rows: a.Rows[i : i+1]}); err != nil || n != 1 {
					t.Errorf("%s: %s: %d rows are deleted, %v", typ, a.Rows[i], n, err)
				}
				if left := w.value("select count(*) from outbox"); left != fmt.Sprint(len(a.Rows)-i-1) {
					t.Errorf("%s: %s: %s rows are left", typ, a.Rows[i], left)
				}
			}
			s.Close()
		}
	})
}

// A row that is locked is not waited for in a table of any size.
func TestCleanUpPassesLockedRowsBy(t *testing.T) {
	onServers(t, func(w *world) {
		for _, rows := range []int{2, 6, 40, 400} {
			w.exec("drop table if exists outbox", "create table outbox (id varchar(64) primary key, k varchar(20), payload longtext) engine=innodb")
			for i := range rows {
				w.exec(fmt.Sprintf("insert into outbox (id, k) values ('id-%04d', 'x')", i))
			}
			s := w.cleaning("")
			a := w.aged(s, rows)
			other := w.session()
			w.on(other, "start transaction", "select * from outbox where id = 'id-0000' for update")
			w.delete(s, a, rows-1)
			w.on(other, "rollback")
			s.Close()
		}
	})
}

// Every row that was picked had been committed by the position that comes with
// it. With MySQL's GTIDs that holds what is on its way too: it may be seen
// before it is counted.
func TestCleanUpsPositionHoldsWhatCanBeSeen(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox()
		s := w.cleaning("")
		start := w.here(s)
		w.exec(insert(1, 2, 3))
		a := w.aged(s, 3)
		if n := s.Behind(start.Position, a.UpTo); n < 1 {
			t.Errorf("%v transactions lie between the start and %s", n, a.UpTo)
		}
		if s.id.mode != byGTID {
			return
		}
		gtid := "11111111-2222-3333-4444-555555555555:7"
		other := w.session()
		w.on(other, "set session gtid_next = '"+gtid+"'", "start transaction", insert(4))
		a = w.aged(s, 3)
		p, err := parsePlace(byGTID, a.UpTo.Text)
		if err != nil {
			t.Fatal(err)
		}
		if g, _ := parseGTID(gtid); !p.set.contains(g) {
			t.Errorf("%s lacks a transaction that is on its way", a.UpTo.Text)
		}
		w.on(other, "rollback", "set session gtid_next = 'AUTOMATIC'")
		if again := w.aged(s, 3); strings.Contains(again.UpTo.Text, gtid[:36]) {
			t.Errorf("%s still holds a transaction that was rolled back", again.UpTo.Text)
		}
	})
}

// The age is told by each type of column as by the server's clock.
func TestCleanUpColumns(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox()
		w.exec("alter table outbox add ts timestamp(3) null, add dt datetime(6), add ms bigint")
		for name, minutes := range map[string]int{"old": -61, "young": -59, "future": 1440} {
			w.exec(fmt.Sprintf(`insert into outbox (k, ts, dt, ms) select '%s', t, t, unix_timestamp(t) * 1000 from (select now(6) + interval %d minute t) x`, name, minutes))
		}
		w.exec("insert into outbox (k) values ('without')")
		for _, column := range []string{"ts", "dt", "ms", "MS"} {
			w.aged(w.cleaning(column), 1)
		}
		for column, want := range map[string]string{
			"nothing": `has no column "nothing"; it has id, k, payload`,
			"k":       `is of type varchar; allowed are timestamp, datetime, and bigint`,
		} {
			var invalid *outbox.Invalid
			if _, err := New(w.cleanupConfig(column), quiet()).Connect(w.ctx()); !errors.As(err, &invalid) || invalid.Option != "cleanup-column" || !strings.Contains(invalid.Text, want) {
				t.Errorf("column %s: %v", column, err)
			}
		}
		w.exec("alter table outbox modify id bigint unsigned, drop primary key")
		var invalid *outbox.Invalid
		if _, err := New(w.cleanupConfig(""), quiet()).Connect(w.ctx()); !errors.As(err, &invalid) || invalid.Option != "cleanup" {
			t.Errorf("without a primary key: %v", err)
		}
	})
}

// A table that is locked is waited for no longer than a second, and goes on
// being cleaned when it is free again; inserts beside a deletion wait for
// nothing.
func TestCleanUpDoesNotWaitForATable(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox()
		w.exec(insert(1, 2, 4))
		s := w.cleaning("")
		a := w.aged(s, 3)
		other := w.session()
		w.on(other, "lock tables outbox write")
		if _, err := s.Delete(w.ctx(), a); err == nil || !strings.Contains(strings.ToLower(err.Error()), "lock wait timeout") {
			t.Errorf("delete: %v", err)
		}
		w.on(other, "unlock tables", "delete from outbox where id = 2")
		// The key that is not there any more is not locked either.
		x, err := s.cleanSession(w.ctx())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.query(w.ctx(), "start transaction"); err != nil {
			t.Fatal(err)
		}
		if free, err := s.lockFree(w.ctx(), x, a); err != nil || len(free) != 2 {
			t.Errorf("%q are free, %v", free, err)
		}
		w.on(other, "set session innodb_lock_wait_timeout = 1", insert(2), insert(3))
		if _, err := x.query(w.ctx(), "rollback"); err != nil {
			t.Fatal(err)
		}
		w.delete(s, a, 3)
		w.left("k3")
	})
}

package mysql

import (
	"errors"
	"strings"
	"testing"

	"github.com/tailer-io/tailer/internal/outbox"
)

func TestEffectOf(t *testing.T) {
	for text, want := range map[string]effect{
		"insert into t values (1)":                        writing,
		"-- name: Insert :exec\ninsert into t values (1)": writing,
		"# create\n/* alter */ INSERT t":                  writing,
		"--1":                                             writing,
		"select f(1)":                                     writing,
		"set statement max_statement_time=1 for insert into t": writing,
		"analyze format=json insert into t values (1)":         writing,
		"(select f(1))": writing,
		"/*!80000 create table t (i int) */ insert into t":   writing,
		"/*M! create table t (i int) */ insert into t":       writing,
		"delete from t for portion of p from 1 to 2":         writing,
		"update t set portion = 1":                           writing,
		"":                                                   writing,
		"update t set a = 'portion'":                         changing,
		"DELETE FROM t":                                      changing,
		"create table t (a int)":                             idle,
		"create table t (`select` int comment 'select')":     idle,
		"create or replace temporary table t as select f(1)": selecting,
		"create table t (i int) /*!80000 select f(1) */":     selecting,
		"CREATE DEFINER=`table`@`%` TRIGGER t AFTER INSERT ON x FOR EACH ROW INSERT INTO y SELECT 1": idle,
		"/*!40000 ALTER TABLE `t` DISABLE KEYS */":                                                   idle,
		"truncate t":                     idle,
		"ANALYZE TABLE t":                idle,
		"set password for 't'@'%' = 'x'": idle,
		"XA COMMIT X'61',X'',1":          idle,
	} {
		if got := effectOf([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestPattern(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       bool
	}{
		{"outbox", "INSERT INTO OutBox VALUES", true},
		{"outbox", "insert into`outbox`values", true},
		{"outbox", "outbox", true},
		{"outbox", "insert into outbox_old select", false},
		{"outbox", "insert into my_outbox", false},
		{"f", "update t set a = f(1)", true},
		{"f", "update buffer set a = 1", false},
		{"out`box", "insert into `out``box`", true},
		{"a-b", "insert into `a-b` values", true},
		{"bestellungén", "insert into bestellung\xe9n", true},
		{"é", "anything", true}, // in which letters cannot be told
	} {
		if got := patternOf(c.name).in([]byte(c.text)); got != c.want {
			t.Errorf("%q in %q: %t", c.name, c.text, got)
		}
	}
}

// What leads to the outbox is learned from the log as it comes.
func TestReachLearns(t *testing.T) {
	for ddl, statement := range map[string]string{
		"create trigger tr after insert on app.orders for each row insert into app.outbox values (1)": "insert into orders values (1)",
		"create or replace definer=`a`@`b` view `events` as select * from outbox":                     "insert into events values (1)",
		"create function if not exists app.f() returns int begin insert into outbox values (1); end":  "select f()",
		"rename table fired to x, x to `y`":                                                           "insert into y values (1)",
		"alter table fired rename as y":                                                               "update y set a = 1",
	} {
		r := newReach([]Table{{Schema: "app", Name: "outbox"}})
		r.add("app", "fired", fires)
		if why := r.writes("app", []byte(statement)); why != "" {
			t.Fatalf("%q: %s", statement, why)
		}
		if !r.learn("app", []byte(ddl)) || r.learn("app", []byte(ddl)) {
			t.Errorf("%q: nothing is learned, or twice", ddl)
		}
		if r.writes("app", []byte(statement)) == "" {
			t.Errorf("behind %q: %q passes", ddl, statement)
		}
		if why := r.writes("other", []byte(statement)); why != "" {
			t.Errorf("behind %q, in another database: %q %s", ddl, statement, why)
		}
	}
}

func TestSeesAll(t *testing.T) {
	for grants, want := range map[string]bool{
		"GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION":                              true,
		"GRANT SELECT, SHOW VIEW, TRIGGER ON *.* TO `a`@`%`":                                       true,
		"GRANT SHOW VIEW, TRIGGER ON *.* TO `a`@`%`|GRANT SHOW_ROUTINE ON *.* TO `a`@`%`":          true,
		"GRANT SHOW VIEW, TRIGGER ON *.* TO `a`@`%`|GRANT SELECT ON `mysql`.`proc` TO `a`@`%`":     true,
		"GRANT SHOW VIEW, TRIGGER ON *.* TO `a`@`%`":                                               false,
		"GRANT SELECT, SHOW VIEW, TRIGGER ON `app`.* TO `a`@`%`":                                   false,
		"GRANT SELECT, SHOW VIEW, TRIGGER ON *.* TO `a`@`%`|REVOKE SELECT ON `app`.* FROM `a`@`%`": false,
		"GRANT CREATE VIEW, SELECT ON *.* TO `a`@`%`":                                              false,
	} {
		var rows [][]string
		for _, g := range strings.Split(grants, "|") {
			rows = append(rows, []string{g})
		}
		if got := seesAll(rows); got != want {
			t.Errorf("%s: %t", grants, got)
		}
	}
}

// Whatever way a statement takes to the outbox, it is refused where it is
// logged as a statement; one that leads nowhere passes.
func TestStreamStatementReaches(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox().exec("create table orders (id int primary key, n int default 0) engine=innodb", "insert into orders values (1000, 0)",
			"create table plain (id int primary key) engine=innodb",
			"create trigger ti after insert on orders for each row insert into outbox values (new.id + 100, 't', 't')",
			"create trigger tu after update on orders for each row insert into outbox values (new.id + 900, 't', 't')",
			"create view events as select * from outbox", "create view more as select * from events",
			"create function f(a int) returns int deterministic begin insert into outbox values (a, 'f', 'f'); return 1; end",
			"create function g(a int) returns int deterministic return f(a)")
		path := w.value("select @@datadir") + w.database + ".csv"
		w.exec("select 91, 'k91', 'p91' into outfile '" + path + "'")
		c := w.session()
		w.on(c, "set session binlog_format = 'STATEMENT'")
		for _, sql := range []string{
			"-- name: InsertOutbox :exec\ninsert into outbox values (21, 'c', 'c')",
			"# x\ninsert into outbox values (22, 'c', 'c')",
			"insert into orders values (1, 0)",
			"update orders set n = n + 1 where id = 1000",
			"insert into events values (23, 'v', 'v')",
			"insert into more values (24, 'v', 'v')",
			"select f(25)", "do g(26)",
			"create table copy as select g(27) as a",
			"load data infile '" + path + "' into table outbox",
			"set statement max_statement_time=100 for insert into outbox values (28, 's', 's')",
		} {
			s := w.source()
			start := w.here(s)
			before := w.value("select count(*) from outbox")
			if _, err := c.Execute(sql); err != nil {
				w.Logf("%s: this server does not do it: %v", sql, err)
				continue
			}
			if w.value("select count(*) from outbox") == before {
				w.Fatalf("%s: inserts nothing", sql)
			}
			got, err := w.drainErr(s, start, outbox.Limits{Rows: 100, Bytes: 1 << 20})
			if len(rows(got)) == 1 {
				w.Logf("%s: came as a row", sql)
			} else if r := new(outbox.Refusal); !errors.As(err, &r) || r.Reason != ReasonFormat {
				w.Errorf("%s: %q, %v; want it refused", sql, rows(got), err)
			}
			s.Close()
		}
		s := w.source()
		start := w.here(s)
		w.on(c, "insert into plain values (1)", "update plain set id = 2", "delete from outbox where id > 20", "update outbox set k = 'x'",
			"create table outbox_old as select * from plain", "drop table outbox_old", "insert into plain select 3", "analyze table outbox")
		w.exec(insert(1))
		w.want(rows(w.drain(s, start)), row(1))
	})
}

// A column that is renamed leads nowhere.
func TestReachLearnsNoColumn(t *testing.T) {
	r := newReach([]Table{{Schema: "app", Name: "outbox"}})
	r.add("app", "fired", fires)
	if r.learn("app", []byte("alter table fired rename column a to b, rename index i to j")) {
		t.Errorf("learned %+v", r.objects)
	}
}

// MIXED brings a trigger's insert as a statement, too; and one that comes after
// the start leads to the outbox as well.
func TestStreamMixedTrigger(t *testing.T) {
	onServers(t, func(w *world) {
		w.exec("create table outbox (id varchar(64) primary key, k varchar(100), payload longtext) engine=innodb",
			"create table orders (id int primary key) engine=innodb")
		s := w.source()
		start := w.here(s)
		w.exec("create trigger tr after insert on orders for each row insert into outbox values (concat('o', new.id), 't', 't')")
		c := w.session()
		w.on(c, "set session binlog_format = 'MIXED'", "insert into orders values (1)")
		_, err := w.drainErr(s, start, outbox.Limits{Rows: 100, Bytes: 1 << 20})
		w.refused(err, ReasonFormat)
	})
}

// An account that cannot see what leads to the outbox takes no statement in the
// outbox's database for a foreign one.
func TestStreamStatementUnseen(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox().exec("create table plain (id int primary key) engine=innodb")
		user, elsewhere := "u_"+w.database, w.database+"_b"
		w.Cleanup(func() { w.exec("drop user if exists '"+user+"'@'%'", "drop database if exists "+elsewhere) })
		w.exec("create user '"+user+"'@'%' identified by 'secret'", "create database "+elsewhere, "create table "+elsewhere+".plain (id int primary key) engine=innodb")
		cfg := w.config()
		cfg.URL = strings.Replace(cfg.URL, "root@", user+":secret@", 1)
		s := New(cfg, quiet())
		for _, line := range s.SetupSQL() {
			if strings.HasPrefix(line, "GRANT") {
				w.exec(line)
			}
		}
		s = w.sourceOf(cfg)
		start := w.here(s)
		c := w.session()
		w.on(c, "set session binlog_format = 'STATEMENT'", "use "+elsewhere, "insert into plain values (1)")
		w.exec(insert(1))
		w.want(rows(w.drain(s, start)), row(1))
		w.on(c, "insert into "+w.database+".plain values (1)")
		_, err := w.drainErr(s, start, outbox.Limits{Rows: 100, Bytes: 1 << 20})
		r := w.refused(err, ReasonFormat)
		for _, line := range strings.Split(s.sight(), "; ") {
			if !strings.Contains(r.Hint, line) {
				w.Errorf("the hint does not name the rights: %s", r.Hint)
			}
			w.exec(strings.Replace(line, "'USER'@'HOST'", "'"+user+"'@'%'", 1))
		}
		w.want(rows(w.drain(w.sourceOf(cfg), start)), row(1))
	})
}

// LOAD DATA has 13 more bytes before the status variables than other statements.
func TestScanLoadQuery(t *testing.T) {
	head := []byte{1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 2, 0} // thread, time, length of the database, error, length of the status
	rest := append([]byte{0xaa, 0xbb}, "app\x00load data"...)
	for more, scan := range map[int]func([]byte) ([]byte, []byte, error){0: scanQuery, 13: scanLoadQuery} {
		body := append(append(append([]byte{}, head...), make([]byte, more)...), rest...)
		schema, text, err := scan(body)
		if err != nil || string(schema) != "app" || string(text) != "load data" {
			t.Errorf("%d more: %q, %q, %v", more, schema, text, err)
		}
	}
}

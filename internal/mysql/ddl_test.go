package mysql

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// fails waits for the stream's end and gives its error, with the rows that came
// before it.
func (x *running) fails() ([]string, error) {
	x.w.Helper()
	var got []string
	for {
		b, err := x.h.Take(x.w.ctx(), time.Time{})
		if err != nil {
			return got, err
		}
		got = append(got, copyBatch(b).rows...)
		x.h.Recycle(b)
	}
}

// Where the log does not name its columns, DDL that changes what is wanted ends
// the stream; behind it a start reads the table as it is.
func TestStreamDDLWithoutNames(t *testing.T) {
	t.Parallel()
	for _, env := range serverVars {
		t.Run(strings.ToLower(strings.Split(env, "_")[1]), func(t *testing.T) {
			metadata := "MINIMAL"
			if env == "STACK_MARIADB_URL" {
				metadata = "NO_LOG"
			}
			w := private(t, env, 1, "--binlog-row-metadata="+metadata)
			const table = "create table outbox (id bigint unsigned primary key, k varchar(100), payload varchar(100), kind enum('a','b')) engine=innodb"
			const one = "insert into outbox (id, k, payload, kind) values (1, 'KEY', 'PAYLOAD', 'a')"
			w.exec("create database app character set utf8mb4", "use app", table)
			wanted := Table{Name: "outbox", Columns: []string{"id", "k", "payload", "kind"}}
			for _, c := range []struct {
				ddl     []string
				refused bool
			}{
				{[]string{"alter table outbox modify payload varchar(100) after id"}, true},
				{[]string{"alter table app.outbox modify kind enum('b','a')"}, true},
				{[]string{"alter table outbox rename column k to payload, rename column payload to k"}, true},
				{[]string{"drop table outbox", strings.Replace(table, "k varchar(100), payload varchar(100)", "payload varchar(100), k varchar(100)", 1)}, true},
				{[]string{"create table _outbox_gho (id bigint unsigned primary key, payload varchar(100), k varchar(100), kind enum('a','b')) engine=innodb",
					"rename table outbox to _outbox_del, _outbox_gho to outbox"}, true},
				{[]string{"alter table outbox add column more int, add index (k)"}, false},
				{[]string{"truncate table outbox", "create trigger t before delete on outbox for each row set @x = 1", "optimize table outbox"}, false},
			} {
				w.exec("drop table if exists outbox, _outbox_del", table)
				s := w.source(wanted)
				x := w.stream(s, outbox.Resume{}, outbox.Limits{Rows: 100, Bytes: 1 << 20})
				x.opened()
				w.exec(one)
				w.want(x.next(1), "1|KEY|PAYLOAD|a")
				after := x.h.ReadUpTo()
				w.exec("delete from outbox")
				w.exec(c.ddl...)
				w.exec(one)
				if !c.refused {
					w.want(x.next(1), "1|KEY|PAYLOAD|a")
				} else {
					got, err := x.fails()
					w.Logf("%s: %v", c.ddl, err)
					w.refused(err, ReasonColumn)
					w.want(got)
					w.want(rows(w.drain(w.source(wanted), after)), "1|KEY|PAYLOAD|a")
				}
				x.stop()
				s.Close()
			}
			// A change that a start finds made, with rows before it that wait.
			w.exec("drop table outbox", table)
			start := w.here(w.source(wanted))
			w.exec(one, "alter table outbox modify payload varchar(100) after id")
			got, err := w.drainErr(w.source(wanted), start, outbox.Limits{Rows: 100, Bytes: 1 << 20})
			r := w.refused(err, ReasonColumn)
			w.Logf("%q: %v", rows(got), r)
		})
	}
}

// What the log does not tell of a type is asked for again behind DDL.
func TestStreamDDLOfTypes(t *testing.T) {
	onServers(t, func(w *world) {
		cases := [][5]string{
			{"id int unsigned primary key", "1", "alter table outbox modify id int(8) unsigned zerofill", "2", "1|00000002"},
			{"id float(7,3) primary key", "1.5", "alter table outbox modify id float(7,1)", "2.5", "1.500|2.5"},
		}
		if w.mariadb() {
			cases = append(cases, [5]string{"id binary(16) primary key", "'0123456789abcdef'", "alter table outbox modify id uuid",
				"'f47ac10b-58cc-4372-a567-0e02b2c3d479'", "0123456789abcdef|f47ac10b-58cc-4372-a567-0e02b2c3d479"})
		}
		for _, c := range cases {
			w.exec("drop table if exists outbox", "create table outbox ("+c[0]+", k varchar(10)) engine=innodb")
			wanted := Table{Name: "outbox", Columns: []string{"id"}}
			s := w.source(wanted)
			x := w.stream(s, outbox.Resume{}, outbox.Limits{Rows: 100, Bytes: 1 << 20})
			x.opened()
			start := w.here(w.source(wanted))
			w.exec("insert into outbox (id) values (" + c[1] + ")")
			got := x.next(1)
			w.exec(c[2], "insert into outbox (id) values ("+c[3]+")")
			w.want(append(got, x.next(1)...), strings.Split(c[4], "|")...)
			x.stop()
			s.Close()
			// Who comes later cannot know what the first row was.
			_, err := w.drainErr(w.source(wanted), start, outbox.Limits{Rows: 100, Bytes: 1 << 20})
			w.refused(err, ReasonColumn)
		}
	})
}

// History rows of a system-versioned table come as inserts.
func TestConnectRefusesVersioned(t *testing.T) {
	w := newWorld(t, "STACK_MARIADB_URL")
	w.exec("create table outbox (id bigint unsigned primary key, k varchar(100), payload longtext) engine=innodb with system versioning")
	_, err := New(w.config(), quiet()).Connect(w.ctx())
	w.refused(err, ReasonTable)
	w.exec("alter table outbox drop system versioning")
	s := w.source()
	x := w.stream(s, outbox.Resume{}, outbox.Limits{Rows: 100, Bytes: 1 << 20})
	x.opened()
	w.exec(insert(1))
	w.want(x.next(1), row(1))
	w.exec("alter table outbox add system versioning", "delete from outbox")
	_, err = x.fails()
	w.refused(err, ReasonTable)
}

// A column that is not wanted is passed over, whatever it is; where it cannot
// be, nothing behind it is guessed.
func TestStreamCompressedColumn(t *testing.T) {
	w := newWorld(t, "STACK_MARIADB_URL")
	for _, extra := range []string{"extra text compressed", "extra varchar(300) compressed", "extra varchar(40) compressed",
		"extra varchar(255) compressed character set latin1", "extra varbinary(254) compressed", "extra longblob compressed"} {
		w.exec("drop table if exists outbox", "create table outbox (id bigint unsigned primary key, "+extra+", k varchar(100), payload longtext) engine=innodb")
		s := w.source()
		start := w.here(s)
		w.exec("insert into outbox values (1, null, 'k1', 'p1')", "insert into outbox values (2, '', 'k2', 'p2')", "insert into outbox values (3, repeat('x', 40), 'k3', 'p3')")
		got, err := w.drainErr(s, start, outbox.Limits{Rows: 100, Bytes: 1 << 20})
		if !errors.Is(err, outbox.ErrEnd) || !slices.Equal(rows(got), []string{row(1), row(2), row(3)}) {
			w.Errorf("%s: %q, %v", extra, rows(got), err)
		}
		s.Close()
	}
}

// mapBody is a table map of captured.outbox.
func mapBody(types, meta string, optional ...byte) []byte {
	b := append(make([]byte, 8), "\x08captured\x00\x06outbox\x00"...)
	b = append(append(append(b, byte(len(types))), types...), byte(len(meta)))
	b = append(append(b, meta...), make([]byte, (len(types)+7)/8)...)
	return append(b, optional...)
}

func TestDescribeRefuses(t *testing.T) {
	table := Table{Schema: "captured", Name: "outbox", Columns: []string{"k"}}
	facts := &tableFacts{columns: []columnFacts{{name: "strange", dataType: "mystery", full: "mystery(3)"}, {name: "k", dataType: "varchar"}}}
	names := []byte{4, 10, 7, 's', 't', 'r', 'a', 'n', 'g', 'e', 1, 'k'}
	for what, c := range map[string]struct {
		body   []byte
		reason string
		says   string
	}{
		"unknown type":      {mapBody("\x88\x0f", "\x10\x00", names...), ReasonType, `type 136, which is not known (it is "strange" now, mystery(3))`},
		"left over":         {mapBody("\x03\x0f", "\x10\x00\x01", names...), ReasonType, "more metadata"},
		"unknown collation": {mapBody("\x03\x0f", "\x10\x00", append([]byte{2, 1, 99}, names...)...), ReasonCharset, "collation 99"},
		"compressed":        {mapBody("\x03\x8d", "\x10\x00", names...), ReasonType, "compressed"},
		"in order":          {mapBody("\x03\x0f", "\x10\x00", append([]byte{2, 1, 45}, names...)...), "", ""},
	} {
		_, err := describe(table, 0, facts, c.body, map[int]string{45: "utf8mb4"}, true, false)
		var r *outbox.Refusal
		switch {
		case c.reason == "" && err != nil:
			t.Errorf("%s: %v", what, err)
		case c.reason != "" && (!errors.As(err, &r) || r.Reason != c.reason || !strings.Contains(r.Text, c.says)):
			t.Errorf("%s: %v, want a refusal %s", what, err, c.reason)
		}
	}
}

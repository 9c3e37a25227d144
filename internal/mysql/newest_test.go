package mysql

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tailer-io/tailer/internal/outbox"
)

// newest reads the newest rows in small batches.
func (w *world) newest(cfg Config, n int, orderBy string) (got []string, shapes []*outbox.Shape) {
	w.Helper()
	view, err := New(cfg, quiet()).Newest(w.ctx(), n, orderBy)
	if err != nil {
		w.Fatal(err)
	}
	defer view.Close()
	for more := true; more; {
		b := new(outbox.Batch)
		if more, err = view.Read(w.ctx(), b, outbox.Limits{Rows: 2, Bytes: 1 << 20}); err != nil {
			w.Fatal(err)
		}
		for i := range b.Rows {
			shapes = append(shapes, b.Rows[i].Shape)
		}
		got = append(got, copyBatch(b).rows...)
	}
	return got, shapes
}

// The rows are what the log brings, and look as a snapshot does.
func TestNewestIsWhatTheLogBrings(t *testing.T) {
	onServers(t, func(w *world) {
		w.exec(`create table kinds (id bigint primary key, i int(8) zerofill, d decimal(10,2) zerofill, f float, f2 float(7,2), db double, dd double(10,3),
  b bit(12), y year, tm time(3), dt datetime(6), ts timestamp(3) null, e enum('a','b'), s set('x','y'), bn binary(8), vb varbinary(8), c char(6),
  j json, lt longtext, lb longblob, tu tinyint unsigned, un bigint unsigned) engine=innodb`)
		names := strings.Split("id I d f f2 db dd b y tm dt ts e s bn vb c j lt lb tu un gone", " ")
		optional := make([]bool, len(names))
		optional[len(names)-1] = true
		table := Table{Name: "kinds", Columns: names, Optional: optional}
		s := w.source(table)
		r := w.here(s)
		w.exec(`insert into kinds values (1, 42, 3.5, 1.1, 2.25, 1e300, 3.14159, b'101', 2024, '-10:00:00.5', '2024-01-02 03:04:05.678', '2024-01-02 03:04:05.678',
  'b', 'x,y', x'00ff00', 'ab', 'pad  ', '{"b": 1.0, "a": [1, 2.50]}', 'long', x'00ff', 200, 18446744073709551615),
(2, 123456789, 12345678.90, 3.4e38, 1.1, 0.1, 1, b'0', 1999, '838:59:59', '0001-01-01 00:00:00', null, 'a', '', x'', '', '', 'null', '', x'', 0, 0),
(3, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null)`)
		want := rows(w.drain(s, r))
		got, shapes := w.newest(w.config(table), 10, "")
		w.want(got, want...)

		view, err := s.CreateAnchor(w.ctx(), outbox.Filter{})
		if err != nil {
			w.Fatal(err)
		}
		defer view.Close()
		b := new(outbox.Batch)
		if _, err := view.Read(w.ctx(), b, outbox.Limits{Rows: 10, Bytes: 1 << 20}); err != nil {
			w.Fatal(err)
		}
		if !reflect.DeepEqual(shapes[0], b.Rows[0].Shape) {
			w.Errorf("shape\ngot  %+v\nwant %+v", shapes[0], b.Rows[0].Shape)
		}
	})
}

func TestNewestOrder(t *testing.T) {
	onServers(t, func(w *world) {
		w.exec("create table events (region varchar(9), n int, at datetime null, `odd ``name` int not null, payload text, primary key (region, n)) engine=innodb",
			"create table bare (n int) engine=innodb")
		for n := 1; n <= 9; n++ {
			region, at := "a", fmt.Sprintf("'2024-01-01 %02d:00:00'", n/3)
			if n%2 == 0 {
				region = "b"
			}
			if n == 9 {
				at = "null"
			}
			w.exec(fmt.Sprintf("insert into events values ('%s', %d, %s, %d, 'p%d')", region, n, at, -n, n))
		}
		events := w.config(Table{Name: "events", Columns: []string{"payload"}})
		for _, c := range []struct {
			n       int
			orderBy string
			want    string
		}{
			{3, "", "p4 p6 p8"},
			{6, "", "p7 p9 p2 p4 p6 p8"},
			{100, "", "p1 p3 p5 p7 p9 p2 p4 p6 p8"},
			{100, "AT", "p9 p1 p2 p3 p5 p4 p7 p6 p8"}, // equals: by the primary key
			{2, "odd `name", "p2 p1"},
			{2, "n", "p8 p9"},
		} {
			if got, _ := w.newest(events, c.n, c.orderBy); strings.Join(got, " ") != c.want {
				w.Errorf("%d by %q: got %s, want %s", c.n, c.orderBy, got, c.want)
			}
		}
		// The key itself may be wanted, in its number's own form.
		if got, _ := w.newest(w.config(Table{Name: "events", Columns: []string{"n", "region"}}), 2, ""); !slices.Equal(got, []string{"6|b", "8|b"}) {
			w.Errorf("%s", got)
		}
		for _, c := range []struct {
			table, column, orderBy, want string
		}{
			{"bare", "n", "", "--order-by: is required: table " + w.database + ".bare has no primary key"},
			{"bare", "n", "m", "--order-by: table " + w.database + `.bare has no column "m"; it has n`},
			{"events", "id", "", "--outbox-table: table " + w.database + `.events has no column "id"; it has region, n, at, odd ` + "`name, payload; add the column, or map another one"},
			{"none", "id", "", "--outbox-table: table " + w.database + ".none does not exist, or this account may not see it; create it, grant SELECT on it, or name another table"},
		} {
			_, err := New(w.config(Table{Name: c.table, Columns: []string{c.column}}), quiet()).Newest(w.ctx(), 1, c.orderBy)
			var invalid *outbox.Invalid
			if !errors.As(err, &invalid) || err.Error() != c.want {
				w.Errorf("%s by %q: %v", c.table, c.orderBy, err)
			}
		}
		cfg := w.config(Table{Name: "bare", Columns: []string{"n"}})
		cfg.Check = func(*outbox.Shape) error { return &outbox.Invalid{Text: "does not fit"} }
		if _, err := New(cfg, quiet()).Newest(w.ctx(), 1, "n"); err == nil || err.Error() != "does not fit" {
			w.Errorf("the mapping was not asked: %v", err)
		}
		cfg = w.config(Table{Name: "bare", Columns: []string{"n"}})
		other := map[string]string{"mysql": "mariadb", "mariadb": "mysql"}[w.url.Scheme]
		cfg.URL = other + strings.TrimPrefix(cfg.URL, w.url.Scheme)
		if _, err := New(cfg, quiet()).Newest(w.ctx(), 1, "n"); err == nil || !strings.Contains(err.Error(), "write "+w.url.Scheme+":// instead of "+other+"://") {
			w.Errorf("the server's kind was not asked: %v", err)
		}
	})
}

// An account that may read the table and do nothing else is enough, and nothing
// is left behind.
func TestNewestTouchesNothing(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox().exec(insert(1, 2, 3))
		user := "reader_" + w.database
		user = user[:min(len(user), 30)]
		w.exec("create user "+user+" identified by 'x'", "grant select on "+w.database+".outbox to "+user)
		w.Cleanup(func() { w.exec("drop user " + user) })
		cfg := w.config()
		u, err := url.Parse(cfg.URL)
		if err != nil {
			w.Fatal(err)
		}
		u.User = url.UserPassword(user, "x")
		cfg.URL = u.String()
		view, err := New(cfg, quiet()).Newest(w.ctx(), 2, "")
		if err != nil {
			w.Fatal(err)
		}
		b := new(outbox.Batch)
		if _, err := view.Read(w.ctx(), b, outbox.Limits{Rows: 10, Bytes: 1 << 20}); err != nil {
			w.Fatal(err)
		}
		w.want(copyBatch(b).rows, row(2), row(3))
		// While the view is open: nobody is kept from writing or altering but
		// by its own read.
		if got := w.value("select count(*) from information_schema.innodb_trx t join information_schema.processlist p on p.id = t.trx_mysql_thread_id where p.user = '" + user + "' and (t.trx_rows_locked > 0 or t.trx_is_read_only = 0)"); got != "0" {
			w.Errorf("transactions that could write, or lock rows: %s", got)
		}
		w.exec(insert(4))
		view.Close()
		w.exec("alter table outbox add column more int")

		// Whatever the account may do, this session does not.
		view, err = New(w.config(), quiet()).Newest(w.ctx(), 2, "")
		if err != nil {
			w.Fatal(err)
		}
		defer view.Close()
		_, err = view.(*snapshot).x.conn.Execute("insert into " + w.database + ".outbox (k) values ('x')")
		if err == nil || !strings.Contains(err.Error(), "READ ONLY transaction") {
			w.Errorf("a write in its session: %v", err)
		}
	})
}

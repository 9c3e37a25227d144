package pg_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/pg"
)

// newest reads the newest rows in small batches.
func (db *database) newest(cfg pg.Config, n int, orderBy string) (rows []row, shapes []*outbox.Shape) {
	db.tb.Helper()
	ctx := context.Background()
	view, err := newSource(db.tb, cfg).Newest(ctx, n, orderBy)
	if err != nil {
		db.tb.Fatal(err)
	}
	defer view.Close()
	for more := true; more; {
		b := new(outbox.Batch)
		if more, err = view.Read(ctx, b, outbox.Limits{Rows: 2, Bytes: 1 << 20}); err != nil {
			db.tb.Fatal(err)
		}
		for i := range b.Rows {
			shapes = append(shapes, b.Rows[i].Shape)
		}
		rows = append(rows, rowsOf(b)...)
	}
	return rows, shapes
}

// cells joins one column of rows.
func cells(rows []row, column int) string {
	var list []string
	for _, r := range rows {
		list = append(list, r.cells[column])
	}
	return strings.Join(list, " ")
}

const manyTypes = `create type colour as enum ('red', 'green');
create domain amount as numeric(10, 2);
create table kinds (n int primary key, a numeric(10,3), b varchar(20), c char(5), d bytea, e jsonb, f json, g float4, h float8, i timestamp(3),
  j timestamptz, k date, l interval, m bool, o uuid, p colour, q amount, r int[], s bit(5), t text, u money)`

const manyValues = `insert into kinds values
  (1, 12.5, 'v', 'c', '\x00ff', '{"b": 1.0, "a":  2}', '{"b": 1.0, "a":  2}', 1.1, 1e300, '2024-01-02 03:04:05.6', '2024-07-01 12:00+02', '0044-03-15 BC',
   '1 year 2 days 3.5 s', true, 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'green', 7, '{1,NULL}', '10101', E'two\nlines', 12.5),
  (2, null, null, null, null, null, null, 'NaN', '-Infinity', 'infinity', null, null, null, false, null, null, null, null, null, '', null)`

// The rows are what the log brings, and look as a snapshot does.
func TestNewestIsWhatTheLogBrings(t *testing.T) {
	db := newDatabase(t)
	db.exec(manyTypes)
	kinds := func(c *pg.Config) {
		names := strings.Split("n a b c d e f g h i j k l m o p q r s t u gone", " ")
		optional := make([]bool, len(names))
		optional[len(names)-1] = true
		c.Tables = []pg.Table{{Schema: "public", Name: "kinds", Columns: names, Optional: optional}}
	}
	src, r := db.anchored(kinds)
	tail := startTail(t, src, r, wide)
	db.exec(manyValues)
	want := tail.waitRows(2)
	if _, err := tail.stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	cfg := db.config()
	kinds(&cfg)
	got, shapes := db.newest(cfg, 10, "")
	for i := range want {
		if !reflect.DeepEqual(got[i].cells, want[i].cells) {
			t.Errorf("row %d\ngot  %q\nwant %q", i, got[i].cells, want[i].cells)
		}
	}

	cfg.Slot += "_2"
	again := newSource(t, cfg)
	ctx := context.Background()
	if _, err := again.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	view, err := again.CreateAnchor(ctx, outbox.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	b := new(outbox.Batch)
	if _, err := view.Read(ctx, b, wide); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(shapes[0], b.Rows[0].Shape) {
		t.Errorf("shape\ngot  %+v\nwant %+v", shapes[0], b.Rows[0].Shape)
	}
}

func TestNewestOrder(t *testing.T) {
	db := newDatabase(t)
	db.exec(`create table events (region text, n int, at timestamp, "odd ""name" int not null, payload text, primary key (region, n));
insert into events select case when n % 2 = 0 then 'b' else 'a' end, n, case when n <> 9 then timestamp '2024-01-01' + (n / 3) * interval '1 hour' end, -n, 'p' || n
  from generate_series(1, 9) n; create table bare (n int)`)
	cfg := db.config()
	cfg.Tables = []pg.Table{{Schema: "public", Name: "events", Columns: []string{"payload"}}}
	for _, c := range []struct {
		n       int
		orderBy string
		want    string
	}{
		{3, "", "p4 p6 p8"},
		{6, "", "p7 p9 p2 p4 p6 p8"},
		{100, "", "p1 p3 p5 p7 p9 p2 p4 p6 p8"},
		{4, "at", "p5 p4 p7 p6 p8"[3:]}, // equals: by the primary key
		{100, "at", "p9 p1 p2 p3 p5 p4 p7 p6 p8"},
		{2, `odd "name`, "p2 p1"},
		{2, "n", "p8 p9"},
	} {
		rows, _ := db.newest(cfg, c.n, c.orderBy)
		if got := cells(rows, 0); got != c.want {
			t.Errorf("%d by %q: got %s, want %s", c.n, c.orderBy, got, c.want)
		}
	}

	for _, c := range []struct {
		table, column, orderBy, want string
	}{
		{"bare", "n", "", "--order-by: is required: table public.bare has no primary key"},
		{"bare", "n", "m", `--order-by: table public.bare has no column "m"; it has n`},
		{"events", "id", "", `--outbox-table: table public.events has no column "id"; it has region, n, at, odd "name, payload; add the column, or map another one`},
		{"none", "id", "", "--outbox-table: table public.none does not exist; create it, or name another table"},
	} {
		cfg.Tables = []pg.Table{{Schema: "public", Name: c.table, Columns: []string{c.column}}}
		_, err := newSource(t, cfg).Newest(context.Background(), 1, c.orderBy)
		var invalid *outbox.Invalid
		if !errors.As(err, &invalid) || err.Error() != c.want {
			t.Errorf("%s by %q: %v", c.table, c.orderBy, err)
		}
	}
	cfg.Tables = []pg.Table{{Schema: "public", Name: "bare", Columns: []string{"n"}}}
	cfg.Check = func(*outbox.Shape) error { return &outbox.Invalid{Text: "does not fit"} }
	if _, err := newSource(t, cfg).Newest(context.Background(), 1, "n"); err == nil || err.Error() != "does not fit" {
		t.Errorf("the mapping was not asked: %v", err)
	}
}

// A role that may read some columns and do nothing else is enough, and nothing
// is left behind.
func TestNewestTouchesNothing(t *testing.T) {
	db := newDatabase(t)
	db.exec(`insert into outbox (aggregateid, payload) select n, '{}' from generate_series(1, 3) n`)
	role := "reader_" + unique()
	db.exec(`create role %s login password 'x'; grant select (id, aggregatetype, aggregateid, type, payload) on outbox to %s`, role, role)
	t.Cleanup(func() { db.exec("drop owned by %s; drop role %s", role, role) })
	cfg := db.config()
	u, err := url.Parse(cfg.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "x")
	cfg.URL = u.String()

	before := db.ask("select n_tup_ins + n_tup_upd + n_tup_del from pg_stat_user_tables where relname = 'outbox'")
	ctx := context.Background()
	view, err := newSource(t, cfg).Newest(ctx, 10, "")
	if err != nil {
		t.Fatal(err)
	}
	b := new(outbox.Batch)
	if _, err := view.Read(ctx, b, wide); err != nil || len(b.Rows) != 3 {
		t.Errorf("%d rows, %v", len(b.Rows), err)
	}
	// While the view is open: no transaction id, no lock that anybody waits for.
	if got := db.ask(`select count(*) || ' ' || coalesce(string_agg(distinct l.mode, ','), '') from pg_stat_activity a join pg_locks l using (pid)
where a.usename = '%s' and (a.backend_xid is not null or l.locktype = 'advisory' or l.locktype = 'relation' and l.mode <> 'AccessShareLock')`, role); got != "0 " {
		t.Errorf("locks: %s", got)
	}
	if got := db.ask("select (select count(*) from pg_replication_slots where database = current_database()) || ' ' || (select count(*) from pg_publication)"); got != "0 0" {
		t.Errorf("slots and publications: %s", got)
	}
	view.Close()
	if after := db.ask("select n_tup_ins + n_tup_upd + n_tup_del from pg_stat_user_tables where relname = 'outbox'"); after != before {
		t.Errorf("writes: %s before, %s after", before, after)
	}

	// Whatever a read may set off in the database, this transaction writes nothing.
	db.exec(`create table seen (n int); grant insert on seen to %s; create function note() returns bool language sql as 'insert into public.seen values (1) returning true';
alter table outbox enable row level security; create policy note on outbox using (note())`, role)
	view, err = newSource(t, cfg).Newest(ctx, 10, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := view.Read(ctx, new(outbox.Batch), wide); err == nil || !strings.Contains(err.Error(), "read-only transaction") {
		t.Errorf("a write by a read: %v", err)
	}
	view.Close()
	db.exec("alter table outbox disable row level security")

	db.exec("revoke select (payload) on outbox from %s", role)
	view, err = newSource(t, cfg).Newest(ctx, 10, "")
	if err == nil {
		defer view.Close()
		_, err = view.Read(ctx, new(outbox.Batch), wide)
	}
	refused(t, err, pg.ReasonPrivilege, "may not read the outbox", fmt.Sprintf("%q", role))
	if strings.Contains(err.Error(), "--snapshot") {
		t.Errorf("the hint is one for run: %v", err)
	}
}

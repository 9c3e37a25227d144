package pg_test

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/pg"
)

// added configures a second table, in front of the first.
func added(c *pg.Config) {
	c.Tables = append([]pg.Table{{Schema: "public", Name: "Added. Later", Columns: columns}}, c.Tables...)
}

var addedOnly, oldOnly = []bool{true, false}, []bool{false, true}

func TestExtend(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := newDatabase(t)
	first, at := db.anchored()
	first.Close()
	db.exec(`create table "Added. Later" (like outbox including all)`)
	db.exec(`insert into "Added. Later" (aggregateid) values ('there')`)
	db.exec(`insert into outbox (aggregateid) values ('old 1')`)
	s := db.connect(added)
	s.Choose(oldOnly)
	if err := s.Prove(ctx, at); err != nil {
		t.Fatalf("with the old list everything is as it was: %v", err)
	}

	// A transaction that has written to the table before it was published.
	early := dial(t, db.url)
	defer early.Close(ctx)
	for _, sql := range []string{"begin", `insert into "Added. Later" (aggregateid) values ('early')`} {
		if err := run(early, sql); err != nil {
			t.Fatal(err)
		}
	}
	s.Choose(addedOnly)
	if n, err := s.Count(ctx, 10); n != 1 || err != nil {
		t.Errorf("%d rows are counted, %v", n, err)
	}
	for range 2 { // the second time there is nothing to do
		if err := s.Publish(ctx); err != nil {
			t.Fatal(err)
		}
	}
	within, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	if v, err := s.View(within); err == nil {
		v.Close()
		t.Fatal("the view did not wait for a transaction that has written to the table")
	}
	cancel()
	left := `select count(*) from pg_replication_slots where temporary and database = '` + db.name + `'`
	for end := time.Now().Add(20 * time.Second); db.ask(left) != "0"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the server still waits, though nobody else does")
		}
	}
	if err := run(early, `insert into "Added. Later" (aggregateid) values ('early too'); commit`); err != nil {
		t.Fatal(err)
	}
	view, err := s.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	boundary := view.Resume()

	// Behind the boundary, and much log of others.
	db.exec(`begin; insert into outbox (aggregateid) values ('old 2'); insert into "Added. Later" (aggregateid) values ('new 1'); commit`)
	db.exec(`create table elsewhere as select g from generate_series(1, 1000) g`)

	s.Choose(oldOnly)
	if err := s.Until(ctx, boundary.Position.Text); err != nil {
		t.Fatal(err)
	}
	tl := startTail(t, s, at, wide)
	last, err := tl.end()
	if !errors.Is(err, outbox.ErrEnd) || last != boundary || len(tl.rows) != 1 || tl.rows[0].cells[2] != "old 1" || tl.rows[0].table != 1 {
		t.Fatalf("%v; ended at %+v, want %+v; rows %+v", err, last, boundary, tl.rows)
	}
	var b outbox.Batch
	if more, err := view.Read(ctx, &b, wide); more || err != nil {
		t.Fatal(more, err)
	}
	var found []string
	for _, r := range rowsOf(&b) {
		found = append(found, r.cells[2])
		if r.table != 0 {
			t.Errorf("table %d of row %+v", r.table, r)
		}
	}
	slices.Sort(found)
	if want := []string{"early", "early too", "there"}; !slices.Equal(found, want) {
		t.Errorf("the snapshot has %q, want %q", found, want)
	}

	s.Choose(nil)
	if err := s.Until(ctx, ""); err != nil {
		t.Fatal(err)
	}
	db.exec(`insert into "Added. Later" (aggregateid) values ('new 2')`)
	tl = startTail(t, s, last, wide)
	rows := tl.waitRows(3)
	for i, want := range []string{"old 2", "new 1", "new 2"} {
		if rows[i].cells[2] != want {
			t.Errorf("row %d is %+v, want %s", i, rows[i], want)
		}
	}
	if err := s.Watch(ctx); err != nil {
		t.Error(err)
	}
}

// A view finds the columns that the table has by then.
func TestViewAfterAChange(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := newDatabase(t)
	first, _ := db.anchored()
	first.Close()
	db.exec(`create table "Added. Later" (like outbox including all)`)
	s := db.connect(added)
	s.Choose(addedOnly)
	if err := s.Publish(ctx); err != nil {
		t.Fatal(err)
	}
	db.exec(`alter table "Added. Later" drop column payload`)
	_, err := s.View(ctx)
	refused(t, err, pg.ReasonColumn, "payload")
}

func TestPublishNeedsTheOwner(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := newDatabase(t)
	first, _ := db.anchored()
	first.Close()
	db.exec(`create table "Added. Later" (like outbox including all)`)
	role := "role_" + unique()
	db.exec("create role " + role + " login replication")
	t.Cleanup(func() { db.exec("drop owned by " + role + "; drop role " + role) })
	s := db.connect(added, func(c *pg.Config) { c.URL = withUser(t, c.URL, role) })
	s.Choose(addedOnly)
	refused(t, s.Publish(ctx), pg.ReasonPrivilege, "as the owner", "ALTER PUBLICATION", `ADD TABLE "public"."Added. Later"`)
	s.Close()

	check := newSource(t, func() pg.Config { c := db.config(); added(&c); c.URL = withUser(t, c.URL, role); return c }())
	check.Choose(oldOnly)
	found := check.Check(ctx)
	i := slices.IndexFunc(found, func(f outbox.Finding) bool {
		return f.Level == outbox.Fail && f.What == "publication "+db.config().Publication+", added tables"
	})
	if i < 0 {
		t.Errorf("check finds nothing: %+v", found)
	}
}

func TestWithdraw(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := newDatabase(t)
	db.exec(`create table "Added. Later" (like outbox including all)`)
	first, _ := db.anchored(added)
	first.Close()
	s := newSource(t, db.config())
	if _, err := s.Reach(ctx); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"removed table public.Added. Later", "does not list"} {
		did, err := s.Withdraw(ctx, "public.Added. Later")
		if err != nil || !strings.Contains(did, want) {
			t.Errorf("%q, %v, want %q", did, err, want)
		}
	}
	if n := db.ask("select count(*) from pg_publication_tables"); n != "1" {
		t.Errorf("%s tables are published", n)
	}
}

func withUser(t *testing.T, address, user string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(user)
	return u.String()
}

package pg_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/pg"
	"github.com/tailer-io/tailer/internal/pipeline"
)

var _ pipeline.Cleaner = (*pg.Source)(nil)

// cleaning is a source whose rows live for an hour by a column.
func (db *database) cleaning(column string, change ...func(*pg.Config)) *pg.Source {
	db.tb.Helper()
	return db.connect(append(change, func(c *pg.Config) {
		c.Cleanup, c.CleanupAfter, c.Tables[0].CleanupColumn = true, time.Hour, column
	})...)
}

func (db *database) aged(s *pg.Source, want int) outbox.Aged {
	db.tb.Helper()
	a, err := s.Aged(context.Background(), 0, 100)
	if err != nil {
		db.tb.Fatal(err)
	}
	if len(a.Rows) != want {
		db.tb.Fatalf("%d rows are old, want %d: %q", len(a.Rows), want, a.Rows)
	}
	return a
}

func (db *database) delete(s *pg.Source, a outbox.Aged, want int) {
	db.tb.Helper()
	n, err := s.Delete(context.Background(), a)
	if err != nil {
		db.tb.Fatal(err)
	}
	if n != want {
		db.tb.Errorf("%d rows are deleted, want %d", n, want)
	}
}

func (db *database) left(want string) {
	db.tb.Helper()
	if got := db.ask("select coalesce(string_agg(aggregateid, ' ' order by aggregateid), '') from outbox"); got != want {
		db.tb.Errorf("left are %q, want %q", got, want)
	}
}

// What was picked is deleted only as it was: no row that was changed, written
// anew under its key, or is locked; in a partitioned table too, where rows of
// two partitions have the same place.
func TestCleanUpDeletesWhatItPicked(t *testing.T) {
	for name, ddl := range map[string]string{
		"table": "create table outbox (id uuid not null default gen_random_uuid(), %s, primary key (id))",
		"partitions": `create table outbox (id uuid not null default gen_random_uuid(), %s, primary key (id, aggregateid)) partition by list (aggregateid);
create table outbox_old partition of outbox for values in ('changed', 'gone', 'locked');
create table outbox_rest partition of outbox default`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			db.exec("drop table outbox")
			db.exec(ddl, "aggregatetype text, aggregateid text, type text, payload jsonb, at timestamptz default now()")
			db.exec(`create index on outbox (at);
insert into outbox (aggregateid, at) select a, now() - interval '2 hours' from unnest('{anew,changed,gone,locked,rewritten,old1,old2}'::text[]) a;
insert into outbox (aggregateid, at) values ('young', now() - interval '50 minutes')`)
			s := db.cleaning("at")
			a := db.aged(s, 7)
			db.exec(`update outbox set type = 'x' where aggregateid = 'changed';
with d as (delete from outbox where aggregateid = 'anew' returning *) insert into outbox select * from d;
update outbox set at = now() where aggregateid = 'rewritten'; delete from outbox where aggregateid = 'gone'`)
			other := dial(t, db.url)
			defer other.Close(context.Background())
			if err := run(other, "begin; select from outbox where aggregateid = 'locked' for update"); err != nil {
				t.Fatal(err)
			}
			db.delete(s, a, 2)
			db.left("anew changed locked rewritten young")
			if err := run(other, "rollback"); err != nil {
				t.Fatal(err)
			}
			// The next round takes them as they are now.
			db.delete(s, db.aged(s, 3), 3)
			db.left("rewritten young")
		})
	}
}

// A row that takes the place of one that was picked is another row.
func TestCleanUpSparesARowInAPlaceThatWasUsedBefore(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	db.exec("alter table outbox add at timestamptz default now()")
	db.exec("insert into outbox (aggregateid, at) values ('old', now() - interval '2 hours')")
	place := db.ask("select ctid from outbox")
	s := db.cleaning("at")
	a := db.aged(s, 1)
	db.exec("delete from outbox")
	// Somebody else on the server may still be able to see what was there.
	for deadline := time.Now().Add(20 * time.Second); db.ask("select pg_relation_size('outbox')") != "0" && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
		db.exec("vacuum (index_cleanup on) outbox")
	}
	db.exec("insert into outbox (aggregateid, at) values ('new', now() - interval '2 hours')")
	if got := db.ask("select ctid from outbox"); got != place {
		t.Skipf("the place %s was not used again, but %s", place, got)
	}
	db.delete(s, a, 0)
	db.left("new")
	// A table that is written anew keeps nothing in its place.
	a = db.aged(s, 1)
	db.exec("insert into outbox (aggregateid) values ('young')")
	db.exec("vacuum full outbox")
	if n, err := s.Delete(context.Background(), a); err != nil || n > 1 {
		t.Errorf("%d rows are deleted, %v", n, err)
	}
	if got := db.ask("select count(*) from outbox where aggregateid = 'young'"); got != "1" {
		t.Error("the young row is deleted")
	}
}

// Every row that was picked had been committed by the position that comes with
// it, which the stream reaches on a server where nothing else happens.
func TestCleanUpsPositionIsReachedWithEveryRow(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	s, r := db.anchored(func(c *pg.Config) { c.Cleanup = true })
	tail := startTail(t, s, r, wide)
	db.exec("set synchronous_commit = off; insert into outbox (aggregateid) select i::text from generate_series(1, 50) i")
	a := db.aged(s, 50)
	tail.wait("the position", func(rows []row, resumes []outbox.Resume) bool {
		if len(resumes) == 0 || s.Behind(resumes[len(resumes)-1].Position, a.UpTo) > 0 {
			return false
		}
		if len(rows) != 50 {
			t.Errorf("at %s %d rows were read", a.UpTo, len(rows))
		}
		return true
	})
	db.delete(s, a, 50)
	if _, err := tail.stop(); err == nil {
		t.Error("the stream ended by itself")
	}
}

// The age is told by each type of column as by the server's clock, whatever
// time zone the database is in.
func TestCleanUpColumns(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	db.exec("alter database %s set timezone = 'Asia/Tokyo'", db.name)
	db.exec(`alter table outbox add tz timestamptz, add plain timestamp, add ms bigint;
insert into outbox (aggregateid, tz, plain, ms) select a.name, now() - a.age, (now() - a.age) at time zone 'UTC', extract(epoch from now() - a.age) * 1000
from (values ('old', interval '61 minutes'), ('young', interval '59 minutes'), ('future', interval '-1 day')) a (name, age);
insert into outbox (aggregateid) values ('without')`)
	for _, column := range []string{"tz", "plain", "ms"} {
		db.aged(db.cleaning(column), 1)
	}
	db.exec("alter table outbox drop payload, add payload text")
	for column, want := range map[string]string{
		"nothing": `table public.outbox has no column "nothing"; it has id, aggregatetype`,
		"note":    `column "note" of table public.outbox is of type text; allowed are timestamptz, timestamp, and bigint`,
	} {
		cfg := db.config()
		cfg.Cleanup, cfg.CleanupAfter, cfg.Tables[0].CleanupColumn = true, time.Hour, column
		var invalid *outbox.Invalid
		if _, err := newSource(t, cfg).Connect(context.Background()); !errors.As(err, &invalid) || invalid.Option != "cleanup-column" || !strings.Contains(invalid.Text, want) {
			t.Errorf("column %s: %v", column, err)
		}
	}
	db.exec("alter table outbox drop constraint outbox_pkey")
	cfg := db.config()
	cfg.Cleanup = true
	var invalid *outbox.Invalid
	if _, err := newSource(t, cfg).Connect(context.Background()); !errors.As(err, &invalid) || invalid.Option != "cleanup" {
		t.Errorf("without a primary key: %v", err)
	}
}

// A table that is locked is not waited for, and goes on being cleaned when it
// is free again; so is one that changed meanwhile.
func TestCleanUpDoesNotWaitForATable(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	db.exec("insert into outbox (aggregateid) values ('a'), ('b')")
	s := db.connect(func(c *pg.Config) { c.Cleanup = true })
	a := db.aged(s, 2)
	other := dial(t, db.url)
	defer other.Close(context.Background())
	if err := run(other, "begin; lock table outbox in access exclusive mode"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Delete(context.Background(), a); err == nil || !strings.Contains(err.Error(), "lock timeout") {
		t.Errorf("delete: %v", err)
	}
	if _, err := s.Aged(context.Background(), 0, 10); err == nil || !strings.Contains(err.Error(), "lock timeout") {
		t.Errorf("pick: %v", err)
	}
	if err := run(other, "alter table outbox add more text; commit"); err != nil {
		t.Fatal(err)
	}
	db.delete(s, a, 2)
	db.left("")
}

// check FAILs on each missing right with the statement that mends it, and finds
// nothing wrong behind that.
func TestCheckOfCleanUp(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	db.exec("alter table outbox add at timestamptz default now(); insert into outbox (aggregateid) values ('a')")
	role := "role_" + unique()
	db.exec("create role %s login replication; grant select on outbox to %s", role, role)
	t.Cleanup(func() { db.exec("drop owned by %s; drop role %s", role, role) })
	cfg := db.config()
	cfg.Cleanup, cfg.CleanupAfter, cfg.Tables[0].CleanupColumn = true, 0, "at"
	cfg.URL = strings.Replace(cfg.URL, "://postgres@", "://"+role+"@", 1)
	find := func() outbox.Finding {
		for _, f := range newSource(t, cfg).Check(context.Background()) {
			if f.What == "clean-up of public.outbox" {
				return f
			}
		}
		t.Fatal("nothing is said of the clean-up")
		return outbox.Finding{}
	}
	f := find()
	want := fmt.Sprintf(`GRANT SELECT, DELETE, UPDATE ("at") ON "public"."outbox" TO "%s"`, role)
	if f.Level != outbox.Fail || f.Fix != want {
		t.Fatalf("without rights: %+v", f)
	}
	db.exec(f.Fix)
	if f = find(); f.Level != outbox.Warn || !strings.HasPrefix(f.Fix, "CREATE INDEX") {
		t.Fatalf("without an index: %+v", f)
	}
	db.exec(f.Fix)
	if f = find(); f.Level != outbox.OK {
		t.Errorf("with all: %+v", f)
	}
	db.left("a")
	s := newSource(t, cfg)
	if _, err := s.Connect(context.Background()); err != nil {
		t.Fatal(err)
	}
	db.delete(s, db.aged(s, 1), 1)
}

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
)

func resume(lsn, timeline string) outbox.Resume {
	return outbox.Resume{Position: outbox.Position{Kind: outbox.Postgres, Text: lsn}, Lineage: timeline}
}

func TestProve(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	s, at := db.anchored()
	ctx := context.Background()
	if err := s.Prove(ctx, at); err != nil {
		t.Fatal(err)
	}
	if err := s.Prove(ctx, outbox.Resume{}); err != nil {
		t.Fatal(err)
	}
	refused(t, s.Prove(ctx, resume(at.Position.Text, "")), pg.ReasonTimeline)
	refused(t, s.Prove(ctx, resume(at.Position.Text, "77")), pg.ReasonTimeline, "77", "--from-slot")
	refused(t, s.Prove(ctx, resume("FFFF/0", at.Lineage)), pg.ReasonAhead, "FFFF/0")
	ahead := at
	ahead.Open = &outbox.Open{Txn: "5@FFFF/0", Rows: 1}
	refused(t, s.Prove(ctx, ahead), pg.ReasonAhead, "FFFF/0")
	refused(t, s.Prove(ctx, resume("0/1", at.Lineage)), pg.ReasonSlotMoved, "0/1", at.Position.Text, "--from-slot")

	flaw := func(mend string, words ...string) {
		t.Helper()
		refused(t, s.Prove(ctx, at), pg.ReasonPublication, words...)
		db.exec(mend)
		if err := s.Prove(ctx, at); err != nil {
			t.Fatal(err)
		}
	}
	pub := fmt.Sprintf(`"Pub %s"`, db.name)
	db.exec(`alter publication %s set (publish = 'update')`, pub)
	flaw(fmt.Sprintf(`alter publication %s set (publish = 'insert')`, pub), "SET (publish = 'insert')")
	db.exec(`alter publication %s drop table outbox`, pub)
	flaw(fmt.Sprintf(`alter publication %s add table outbox`, pub), `ADD TABLE "public"."outbox"`)
	if db.version() >= 15 {
		db.exec(`alter publication %s set table outbox where (aggregateid <> 'x')`, pub)
		flaw(fmt.Sprintf(`alter publication %s set table outbox`, pub), "row filter", "aggregateid")
		db.exec(`alter publication %s set table outbox (id, aggregateid)`, pub)
		flaw(fmt.Sprintf(`alter publication %s set table outbox`, pub), `"payload"`)
	}
	db.exec(`drop publication %s`, pub)
	refused(t, s.Prove(ctx, at), pg.ReasonPublication, "CREATE PUBLICATION", "does not exist")

	if held, holder, err := s.TryLock(ctx); err != nil || !held {
		t.Fatal(held, holder, err)
	}
	if err := s.DropAnchor(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.DropAnchor(ctx); err != nil {
		t.Fatal(err)
	}
	refused(t, s.Prove(ctx, at), pg.ReasonSlotMissing, db.slot, at.Position.Text, "tailer checkpoint reset")
	db.exec(`select pg_create_logical_replication_slot('%s', 'test_decoding')`, db.slot)
	refused(t, s.Prove(ctx, resume(db.ask("select pg_current_wal_flush_lsn()"), at.Lineage)), pg.ReasonSlotForeign, "test_decoding")
	_, _, err := s.Anchor(ctx)
	refused(t, err, pg.ReasonSlotForeign)
	refused(t, s.DropAnchor(ctx), pg.ReasonSlotForeign)
	db.exec(`select pg_drop_replication_slot('%s')`, db.slot)
	db.exec(`select pg_create_physical_replication_slot('%s')`, db.slot)
	_, _, err = s.Anchor(ctx)
	refused(t, err, pg.ReasonSlotForeign, "physical")
	db.exec(`select pg_drop_replication_slot('%s')`, db.slot)
}

// A refusal over rows that may be lost names those that were written last of the
// ones that the tables hold, whatever their keys are.
func TestARefusalNamesTheRowsThatAreLeft(t *testing.T) {
	t.Parallel()
	for _, partitioned := range []bool{false, true} {
		db := newDatabase(t)
		if partitioned {
			db.exec(`drop table outbox; create table outbox (id uuid primary key, aggregatetype text default 'order', aggregateid text,
  type text default 'created', payload jsonb, note text) partition by hash (id)`)
			db.exec(`create table o1 partition of outbox for values with (modulus 2, remainder 0); create table o2 partition of outbox for values with (modulus 2, remainder 1)`)
		}
		s, at := db.anchored()
		if held, holder, err := s.TryLock(t.Context()); err != nil || !held {
			t.Fatal(held, holder, err)
		}
		if err := s.DropAnchor(t.Context()); err != nil {
			t.Fatal(err)
		}
		refused(t, s.Prove(t.Context(), at), pg.ReasonSlotMissing, "between "+at.Position.Text, "table public.outbox is empty")
		s.Close()
		var ids []string
		for range 12 { // a transaction each
			id := db.ask(`select gen_random_uuid()`)
			db.exec(`insert into outbox (id, aggregateid) values ('%s', 'a')`, id)
			ids = append([]string{id}, ids...)
		}
		s = db.connect() // a first look: the answer is kept for a while
		refused(t, s.Prove(t.Context(), at), pg.ReasonSlotMissing, "table public.outbox holds 12 rows now, the ids written last are "+strings.Join(ids[:10], ", "))
		if err := s.Prove(t.Context(), at); strings.Contains(err.Error(), ids[10]) {
			t.Errorf("it names more than ten: %v", err)
		}
	}
}

func TestPrepareRefusesAForeignPublication(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	s := db.connect()
	db.exec(`create publication "Pub %s"`, db.name)
	refused(t, s.Prepare(context.Background()), pg.ReasonPublication, `ALTER PUBLICATION "Pub `+db.name+`" ADD TABLE "public"."outbox"`)
	db.exec(`drop publication "Pub %s"`, db.name)
	for range 2 {
		if err := s.Prepare(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if got := db.ask(`select pubinsert and pubviaroot and not pubupdate from pg_publication`); got != "t" {
		t.Errorf("the publication is not as it should be")
	}
	if n, err := s.Count(context.Background(), 10); n != 0 || err != nil {
		t.Error(n, err)
	}
	db.exec(`insert into outbox (aggregateid) select g::text from generate_series(1, 50) g`)
	if n, err := s.Count(context.Background(), 10); n != 11 || err != nil {
		t.Error(n, err)
	}
}

func TestConnectRequirements(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	ctx := context.Background()
	try := func(change func(*pg.Config)) error {
		cfg := db.config()
		change(&cfg)
		_, err := newSource(t, cfg).Connect(ctx)
		return err
	}
	table := func(name string, cols ...string) func(*pg.Config) {
		return func(c *pg.Config) { c.Tables = []pg.Table{{Schema: "public", Name: name, Columns: cols}} }
	}
	invalid := func(err error, option string, words ...string) {
		t.Helper()
		var inv *outbox.Invalid
		if !errors.As(err, &inv) || inv.Option != option {
			t.Fatalf("want --%s, got %v", option, err)
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q is not in: %v", w, err)
			}
		}
	}
	invalid(try(table("nothing")), "outbox-table", "public.nothing")
	invalid(try(table("outbox", "id", "body")), "outbox-table", `"body"`, "id, aggregatetype, aggregateid, type, payload, note")
	db.exec(`create view v as select 1 as id; create unlogged table u (id int); create table g (id int, twice int generated always as (id * 2) stored)`)
	invalid(try(table("v", "id")), "outbox-table", "view")
	refused(t, try(table("u", "id")), pg.ReasonTable, "UNLOGGED", "SET LOGGED")
	if db.version() < 18 {
		invalid(try(table("g", "twice")), "outbox-table", "generated")
	}
	invalid(try(func(c *pg.Config) { c.URL = strings.Replace(c.URL, "/"+db.name, "/no_such_database", 1) }), "source-url", "no_such_database")
	role := "role_" + unique()
	db.exec(`create role %s login`, role)
	t.Cleanup(func() {
		db2 := dial(t, db.url)
		_ = run(db2, "drop owned by "+role+"; drop role "+role)
		_ = db2.Close(ctx)
	})
	as := func(c *pg.Config) { c.URL = strings.Replace(c.URL, "//postgres@", "//"+role+"@", 1) }
	refused(t, try(as), pg.ReasonPrivilege, "REPLICATION")
	db.exec(`alter role %s replication`, role)
	s := db.connect(as)
	refused(t, s.Prepare(ctx), pg.ReasonPrivilege, "CREATE PUBLICATION")
	_, err := s.Count(ctx, 1)
	refused(t, err, pg.ReasonPrivilege, "GRANT SELECT")
	id, err := s.Connect(ctx)
	if err != nil || !strings.HasSuffix(id.ID, "/"+db.name) || id.Lineage == "" || id.Version == "" {
		t.Errorf("%+v, %v", id, err)
	}
	// Once it worked, the same table missing is for an operator.
	db.exec(`drop table outbox`)
	_, err = s.Connect(ctx)
	refused(t, err, pg.ReasonTable)
}

func TestLockAndEvict(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	a, at := db.anchored()
	ctx := context.Background()
	for range 2 {
		if held, _, err := a.TryLock(ctx); !held || err != nil {
			t.Fatal(held, err)
		}
	}
	tl := startTailWith(t, a, at, wide, true)
	db.exec(`insert into outbox (aggregateid) values ('1')`)
	tl.waitRows(1)
	if err := a.Locked(ctx); err != nil {
		t.Fatal(err)
	}
	other := db.connect(func(c *pg.Config) { c.Name = "another" })
	if held, _, err := other.TryLock(ctx); !held || err != nil {
		t.Fatal(held, err)
	}
	b := db.connect()
	held, holder, err := b.TryLock(ctx)
	if held || err != nil || !strings.Contains(holder, `"tailer/test-`) || !strings.Contains(holder, "server process") {
		t.Fatal(held, holder, err)
	}
	if err := b.Locked(ctx); err == nil {
		t.Error("a lock that somebody else holds")
	}
	if err := other.Evict(ctx); err == nil || !strings.Contains(err.Error(), "tailer/test-") {
		t.Errorf("another name evicts: %v", err)
	}
	if err := b.Evict(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := tl.end(); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("the stream of the evicted one: %v", err)
	}
	if err := a.Locked(ctx); err == nil {
		t.Error("the evicted one believes that it holds the lock")
	}
	if held, _, err := b.TryLock(ctx); !held || err != nil {
		t.Fatal(held, err)
	}
	tl = startTail(t, b, at, wide)
	tl.waitRows(1)
	// Its own sessions are not in the way.
	if err := b.Evict(ctx); err != nil || b.Locked(ctx) != nil {
		t.Error(err)
	}
}

// A connection that was cut leaves a reader of the slot behind for a while;
// the next Stream gets it out of the way.
func TestLeftOverReader(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	a, at := db.anchored()
	tl := startTailWith(t, a, at, wide, true)
	db.exec(`insert into outbox (aggregateid) values ('1')`)
	tl.waitRows(1)
	b := db.connect()
	begin := time.Now()
	tl2 := startTail(t, b, at, wide)
	tl2.waitRows(1)
	if _, err := tl.end(); err == nil {
		t.Error("the left-over reader goes on")
	}
	t.Logf("took %s", time.Since(begin))
}

// What a refusal of Watch says of lost rows is said by every attempt to start
// after it, too: the one that is let through goes on without them.
func TestStartAfterWatchRefused(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	s, at := db.anchored()
	ctx := context.Background()
	if err := s.Watch(ctx); err != nil {
		t.Fatal(err)
	}
	pub := fmt.Sprintf(`"Pub %s"`, db.name)
	db.exec(`alter publication %s drop table outbox`, pub)
	refused(t, s.Watch(ctx), pg.ReasonPublication, "ADD TABLE", "rows committed behind")
	for range 2 {
		s.Close()
		if _, err := s.Connect(ctx); err != nil {
			t.Fatal(err)
		}
		refused(t, s.Prove(ctx, at), pg.ReasonPublication, "ADD TABLE", "rows committed behind")
	}
	db.exec(`alter publication %[1]s add table outbox`, pub)
	if err := s.Prove(ctx, at); err != nil {
		t.Fatal(err)
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	s, at := db.anchored()
	ctx := context.Background()
	if err := s.Watch(ctx); err != nil {
		t.Fatal(err)
	}
	tl := startTail(t, s, at, wide)
	db.exec(`insert into outbox (aggregateid) values ('1')`)
	tl.waitRows(1)
	g, err := s.Gauges(ctx)
	if err != nil || s.Behind(at.Position, g.Server) <= 0 || s.Behind(g.Server, at.Position) != 0 || s.Behind(outbox.Position{}, g.Server) >= 0 || g.ConfirmedLagBytes < 0 || g.RetainedBytes <= 0 || g.Server.IsZero() {
		t.Errorf("%+v, %v", g, err)
	}
	pub := fmt.Sprintf(`"Pub %s"`, db.name)
	db.exec(`alter publication %s drop table outbox`, pub)
	refused(t, s.Watch(ctx), pg.ReasonPublication, "ADD TABLE", "rows committed behind")
	db.exec(`alter publication %[1]s add table outbox`, pub)
	if err := s.Watch(ctx); err != nil {
		t.Fatal(err)
	}
	// A watcher whose session was cut comes back by itself.
	db.exec(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '%s' and query like '%%pg_publication_tables%%' and pid <> pg_backend_pid()`, db.name)
	_ = s.Watch(ctx)
	if err := s.Watch(ctx); err != nil {
		t.Fatal(err)
	}
	db.exec(`alter publication %s drop table outbox; alter table outbox set unlogged`, pub)
	refused(t, s.Watch(ctx), pg.ReasonTable, "UNLOGGED")
	db.exec(`alter table outbox set logged; alter publication %[1]s add table outbox; alter table outbox rename to was; create table outbox (like was including all); alter publication %[1]s add table outbox`, pub)
	refused(t, s.Watch(ctx), pg.ReasonTable, "replaced")
	db.exec(`drop table outbox`)
	refused(t, s.Watch(ctx), pg.ReasonTable, "does not exist")
}

// Creating a slot waits for a transaction that writes, and ends with its
// context.
func TestCreateAnchorWaits(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	s := db.connect()
	if err := s.Prepare(context.Background()); err != nil {
		t.Fatal(err)
	}
	c := dial(t, db.url)
	defer c.Close(context.Background())
	if err := run(c, `begin; insert into outbox (aggregateid) values ('slow')`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err := s.CreateAnchor(ctx, outbox.Filter{}); err == nil {
		t.Fatal("a slot although a transaction runs")
	}
	if err := run(c, `commit`); err != nil {
		t.Fatal(err)
	}
	// What is left of it goes away by itself, or is dropped, by whoever holds
	// the lock.
	if err := s.DropAnchor(context.Background()); err == nil {
		t.Error("dropped without the lock")
	}
	if held, holder, err := s.TryLock(context.Background()); err != nil || !held {
		t.Fatal(held, holder, err)
	}
	if err := s.DropAnchor(context.Background()); err != nil {
		t.Fatal(err)
	}
	snap, err := s.CreateAnchor(context.Background(), outbox.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	var b outbox.Batch
	if more, err := snap.Read(context.Background(), &b, wide); more || err != nil || len(b.Rows) != 1 {
		t.Error(more, err, len(b.Rows))
	}
}

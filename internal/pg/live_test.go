package pg_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/pg"
)

// senderPID is the server process that streams to us.
func (db *database) senderPID() string {
	return db.ask("select coalesce(active_pid::text, '') from pg_replication_slots where slot_name = '%s'", db.slot)
}

// While the publisher takes nothing for longer than wal_sender_timeout the
// connection stays the same one, and everything comes afterwards.
func TestKeepaliveWhilePushedBack(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 25 s")
	}
	t.Parallel()
	db := newDatabase(t)
	s, at := db.anchored()
	db.exec(`insert into outbox (aggregateid, payload) select g::text, jsonb_build_object('x', repeat('y', 1000)) from generate_series(1, 20000) g`)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	h := outbox.NewHandoff(2, outbox.Limits{Rows: 100, Bytes: 1 << 20}, at)
	ended := make(chan error, 1)
	go func() { err := s.Stream(ctx, at, h); h.Close(err); ended <- err }()
	first, err := h.Take(ctx, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	pid := db.senderPID()
	time.Sleep(25 * time.Second) // the point of the test: nothing is taken for so long
	if now := db.senderPID(); pid == "" || now != pid {
		t.Errorf("the server process changed from %q to %q", pid, now)
	}
	n := len(first.Rows)
	h.Recycle(first)
	for n < 20000 {
		b, err := h.Take(ctx, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		n += len(b.Rows)
		h.Recycle(b)
	}
	cancel()
	<-ended
}

// A stop interrupts a read that waits.
func TestStopIsPrompt(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	s, at := db.anchored()
	tl := startTail(t, s, at, wide)
	db.exec(`insert into outbox (aggregateid) values ('a')`)
	tl.waitRows(1)
	begin := time.Now()
	if _, err := tl.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("stream: %v", err)
	}
	if d := time.Since(begin); d > time.Second {
		t.Errorf("stop took %s", d)
	}
}

// Columns are followed by name; one that is gone is refused.
func TestRelationChanges(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	s, at := db.anchored()
	tl := startTail(t, s, at, wide)
	db.exec(`insert into outbox (aggregateid, payload) values ('1', '1')`)
	db.exec(`alter table outbox add column extra int default 7, drop column note`)
	db.exec(`insert into outbox (aggregateid, payload) values ('2', '2')`)
	db.exec(`alter table outbox drop column payload; alter table outbox add column payload text`)
	db.exec(`insert into outbox (aggregateid, payload) values ('3', '3')`)
	rows := tl.waitRows(3)
	for i, r := range rows {
		if n := fmt.Sprint(i + 1); r.cells[2] != n || r.cells[4] != n {
			t.Errorf("row %d is %+v", i, r)
		}
	}
	db.exec(`alter table outbox rename column payload to body`)
	db.exec(`insert into outbox (aggregateid) values ('4')`)
	_, err := tl.end()
	refused(t, err, pg.ReasonColumn, "public.outbox", `"payload"`, "/")
}

func TestPartitioned(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	db.exec(`create schema "Odd"; create table "Odd"."Out ""Box" (id int, day date, v text, primary key (id, day)) partition by range (day);
create table p1 partition of "Odd"."Out ""Box" for values from ('2020-01-01') to ('2021-01-01');
create table p2 partition of "Odd"."Out ""Box" for values from ('2021-01-01') to ('2022-01-01');
insert into "Odd"."Out ""Box" values (1, '2021-05-05', 'old'), (2, '2020-05-05', 'old')`)
	cfg := db.config()
	cfg.Tables = append(cfg.Tables, pg.Table{Schema: "Odd", Name: `Out "Box`, Columns: []string{"v", "id"}})
	s := db.connect(func(c *pg.Config) { *c = cfg })
	ctx := context.Background()
	if err := s.Prepare(ctx); err != nil {
		t.Fatal(err)
	}
	snap, err := s.CreateAnchor(ctx, outbox.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	var b outbox.Batch
	if more, err := snap.Read(ctx, &b, wide); err != nil || more {
		t.Fatal(more, err)
	}
	if rows := rowsOf(&b); len(rows) != 2 || rows[0].cells[1] != "1" || rows[0].table != 1 {
		t.Errorf("snapshot: %+v", rows)
	}
	snap.Close()
	tl := startTail(t, s, snap.Resume(), wide)
	db.exec(`insert into "Odd"."Out ""Box" values (3, '2020-02-02', 'x'), (4, '2021-02-02', null); insert into outbox (aggregateid) values ('plain')`)
	rows := tl.waitRows(3)
	if fmt.Sprint(rows[0].table, rows[0].cells, rows[1].cells, rows[2].table) != "1 [x 3] [<null> 4] 0" {
		t.Errorf("%+v", rows)
	}
	if err := s.Watch(ctx); err != nil {
		t.Error(err)
	}
	db.exec(`create unlogged table p3 partition of "Odd"."Out ""Box" for values from ('2022-01-01') to ('2023-01-01')`)
	if db.ask("select relpersistence from pg_class where relname = 'p3'") == "u" {
		refused(t, s.Watch(ctx), pg.ReasonTable, "p3")
	}
}

// Each row is either in the snapshot or behind its position, while others
// insert all the time.
func TestSnapshotBoundary(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	const writers, each = 4, 50 // rows of each writer before the snapshot, and as many behind it
	done := make(chan error, writers)
	half := make(chan struct{}, writers)
	opened := make(chan struct{}) // the slot waits for transactions of whomever: it may take long
	for w := range writers {
		c := dial(t, db.url)
		go func() {
			defer c.Close(context.Background())
			for i, left := 0, each; left > 0; i++ {
				if i == each {
					half <- struct{}{}
				}
				select {
				case <-opened:
					left--
				default:
				}
				if err := run(c, fmt.Sprintf(`begin; insert into outbox (aggregateid) values ('%d-%d'); select pg_sleep(0.003); commit`, w, i)); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range writers {
		<-half
	}
	s := db.connect()
	ctx := context.Background()
	if err := s.Prepare(ctx); err != nil {
		t.Fatal(err)
	}
	snap, err := s.CreateAnchor(ctx, outbox.Filter{})
	close(opened)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]int)
	var b outbox.Batch
	for more := true; more; {
		b.Reset(1 << 20)
		if more, err = snap.Read(ctx, &b, outbox.Limits{Rows: 10, Bytes: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		for _, r := range rowsOf(&b) {
			seen[r.cells[2]]++
		}
	}
	snap.Close()
	old := len(seen)
	tl := startTail(t, s, snap.Resume(), wide)
	for range writers {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	all, err := strconv.Atoi(db.ask("select count(*) from outbox"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range tl.waitRows(all - old) {
		seen[r.cells[2]]++
	}
	if old == 0 || old == all || len(seen) != all {
		t.Errorf("%d rows in the snapshot, %d in all, want %d", old, len(seen), all)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("row %s came %d times", id, n)
		}
	}
}

func TestUntil(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	s, at := db.anchored()
	ctx := context.Background()
	db.exec(`insert into outbox (aggregateid) values ('1'), ('2')`)
	if err := s.Until(ctx, "now"); err != nil {
		t.Fatal(err)
	}
	target := db.ask("select pg_current_wal_insert_lsn()")
	db.exec(`insert into outbox (aggregateid) values ('3')`)
	tl := startTail(t, s, at, wide)
	last, err := tl.end()
	if !errors.Is(err, outbox.ErrEnd) || len(tl.rows) != 2 {
		t.Fatalf("%v, %d rows", err, len(tl.rows))
	}
	if err := s.ConfirmWait(ctx, last.Position); err != nil {
		t.Fatal(err)
	}
	// What is behind the place comes next, once.
	if err := s.Until(ctx, target); err != nil {
		t.Fatal(err)
	}
	tl = startTail(t, s, last, wide)
	if last, err = tl.end(); !errors.Is(err, outbox.ErrEnd) || len(tl.rows) != 0 {
		t.Fatalf("%v, %d rows", err, len(tl.rows))
	}
	if err := s.Until(ctx, "now"); err != nil {
		t.Fatal(err)
	}
	tl = startTail(t, s, last, wide)
	if _, err = tl.end(); !errors.Is(err, outbox.ErrEnd) || len(tl.rows) != 1 || tl.rows[0].cells[2] != "3" {
		t.Fatalf("%v, %d rows", err, len(tl.rows))
	}
	var inv *outbox.Invalid
	if err := s.Until(ctx, "tomorrow"); !errors.As(err, &inv) || inv.Option != "until" {
		t.Errorf("got %v", err)
	}
}

func TestTemporary(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	s := db.connect(func(c *pg.Config) { c.Temporary = true })
	ctx := context.Background()
	if err := s.Prepare(ctx); err != nil {
		t.Fatal(err)
	}
	db.exec(`insert into outbox (aggregateid) values ('old')`)
	tl := startTail(t, s, outbox.Resume{}, wide)
	for !tl.h.Opened() {
		time.Sleep(time.Millisecond)
	}
	if n := db.ask("select count(*) from pg_replication_slots where database = '%s' and active and temporary", db.name); n != "1" {
		t.Errorf("%s temporary slots", n)
	}
	db.exec(`insert into outbox (aggregateid) values ('new')`)
	if rows := tl.waitRows(1); rows[0].cells[2] != "new" {
		t.Errorf("%+v", rows)
	}
	if g, err := s.Gauges(ctx); err != nil || g.RetainedBytes < 0 {
		t.Errorf("%+v, %v", g, err)
	}
	last, _ := tl.stop()
	if err := s.ConfirmWait(ctx, last.Position); err != nil {
		t.Error(err)
	}
	s.Close()
	for db.ask("select count(*) from pg_replication_slots where database = '%s'", db.name) != "0" {
		time.Sleep(5 * time.Millisecond)
	}
}

// After a busy phase a single row is there at once: the low-water mark does
// not stay up.
func TestIdleLatency(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	s, at := db.anchored()
	db.exec(`do $$ begin for i in 1..20000 loop insert into outbox (aggregateid) values (i::text); commit; end loop; end $$`)
	tl := startTail(t, s, at, wide)
	n := 20000
	tl.waitRows(n)
	var worst, sum time.Duration
	const tries = 20
	for i := range tries {
		db.exec(`insert into outbox (aggregateid) values ('one-%d')`, i)
		committed := time.Now()
		n++
		rows := tl.waitRows(n)
		d := rows[n-1].at.Sub(committed)
		worst, sum = max(worst, d), sum+d
	}
	t.Logf("mean %s, worst %s", sum/tries, worst)
	if sum/tries > 5*time.Millisecond {
		t.Errorf("a row is there %s after its commit, %s at worst", sum/tries, worst)
	}
}

// Log written for other tables is confirmed, though no row comes.
func TestForeignTraffic(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	s, at := db.anchored()
	db.exec(`create table other (v text)`)
	tl := startTail(t, s, at, wide)
	for range 30 {
		db.exec(`insert into other select repeat(md5(random()::text), 30) from generate_series(1, 1000)`)
	}
	end := db.ask("select pg_current_wal_lsn()")
	for deadline := time.Now().Add(10 * time.Second); ; {
		if db.ask("select confirmed_flush_lsn >= '%s' from pg_replication_slots where slot_name = '%s'", end, db.slot) == "t" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("log of other tables is not confirmed")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if len(tl.rows) != 0 {
		t.Errorf("%d rows", len(tl.rows))
	}
	if err := s.Confirm(context.Background(), outbox.Position{Kind: outbox.Postgres, Text: "FFFF/0"}); err == nil || !strings.Contains(err.Error(), "FFFF/0") {
		t.Errorf("a position that the server has not reached was confirmed: %v", err)
	}
}

// Of several hosts the first one that answers is taken, for every connection.
func TestSeveralHosts(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	if !strings.Contains(db.url, "@127.0.0.1:") {
		t.Skip("the server is not on a TCP port of this machine")
	}
	s, at := db.anchored(func(c *pg.Config) { c.URL = strings.Replace(c.URL, "@127", "@127.0.0.1:1,127", 1) })
	db.exec(`insert into outbox (aggregateid) values ('1')`)
	startTail(t, s, at, wide).waitRows(1)
	if err := s.Watch(context.Background()); err != nil {
		t.Error(err)
	}
}

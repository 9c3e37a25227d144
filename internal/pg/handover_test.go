package pg_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/pg"
)

// change is one message of the log with its place, as other readers have it.
type change struct {
	at   uint64
	xid  uint32
	kind string // B, I, U, D, C
}

// changes lists the log behind the slot as the server shows it to SQL.
func (db *database) changes() (list []change) {
	db.tb.Helper()
	for begin := time.Now(); db.senderPID() != ""; time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			db.tb.Fatal("somebody still reads the slot") // a server process outlives its connection by a moment
		}
	}
	const sql = `select coalesce(string_agg((lsn - '0/0')::text || ' ' || xid::text || ' ' || chr(get_byte(data, 0)), ',' order by n), '')
from pg_logical_slot_peek_binary_changes('%s', null, null, 'proto_version', '1', 'publication_names', '"%s"') with ordinality as c(lsn, xid, data, n)`
	for line := range strings.SplitSeq(db.ask(sql, db.slot, db.publication()), ",") {
		var c change
		if _, err := fmt.Sscan(line, &c.at, &c.xid, &c.kind); err != nil {
			db.tb.Fatalf("%q: %v", line, err)
		}
		list = append(list, c)
	}
	return list
}

func (db *database) publication() string { return db.config().Publication }

func (db *database) confirmed() string {
	db.tb.Helper()
	return db.ask(`select confirmed_flush_lsn::text from pg_replication_slots where slot_name = '%s'`, db.slot)
}

func lsnText(n uint64) string { return fmt.Sprintf("%X/%X", n>>32, uint32(n)) }

// Every change of a transaction that another reader can have been at leads to
// the very row that follows it, also when others committed in between.
func TestResumeInside(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	s, _ := db.anchored()
	db.exec(`create table elsewhere (id int primary key)`)
	db.exec(`alter publication "%s" set (publish = 'insert, update, delete')`, db.publication())
	db.exec(`alter publication "%s" add table elsewhere`, db.publication())
	other := dial(t, db.url)
	defer other.Close(context.Background())
	on := func(sql string) {
		t.Helper()
		if err := run(other, sql); err != nil {
			t.Fatal(err)
		}
	}
	on(`begin; insert into elsewhere values (1); insert into outbox (aggregateid) values ('t1'), ('t2')`)
	db.exec(`insert into outbox (aggregateid) values ('a')`)
	on(`insert into outbox (aggregateid) values ('t3'); update outbox set note = 'x' where aggregateid = 't1'; savepoint a;
insert into outbox (aggregateid) values ('t4'); release a; delete from outbox where aggregateid = 't2'; commit`)
	db.exec(`insert into outbox (aggregateid) values ('b')`)

	// What is done with behind each message of the transaction: its BEGIN, the
	// row elsewhere, t1, t2, t3, the update, t4, the delete.
	done := []uint64{0, 0, 1, 2, 3, 3, 4, 4}
	var commits []uint64
	var txn []change
	for _, c := range db.changes() {
		switch {
		case c.kind == "C":
			commits = append(commits, c.at)
		case len(commits) == 1 && c.kind != "R":
			txn = append(txn, c)
		}
	}
	if len(txn) != len(done) || len(commits) != 3 {
		t.Fatalf("%v, %v", txn, commits)
	}
	if txn[1].at >= commits[0] {
		t.Fatalf("the first change at %s is not before the commit at %s", lsnText(txn[1].at), lsnText(commits[0]))
	}
	before := db.confirmed()
	var resumes []outbox.Resume
	for i, c := range txn {
		left := pg.Left{Commit: commits[0], Transaction: c.xid, Change: c.at}
		if c.kind == "B" {
			left.Change--
		}
		r, err := s.Resume(t.Context(), left)
		if err != nil {
			t.Fatalf("%+v: %v", left, err)
		}
		resumes = append(resumes, r)
		want := outbox.Resume{Position: outbox.Position{Kind: outbox.Postgres, Text: lsnText(commits[0])}, Lineage: r.Lineage}
		switch {
		case done[i] == 4:
			want.Position.Text = lsnText(commits[1])
		case done[i] > 0:
			want.Open = &outbox.Open{Rows: done[i]}
			if r.Open != nil {
				want.Open.Txn = r.Open.Txn
			}
		}
		if !reflect.DeepEqual(r, want) {
			t.Errorf("%s at %s: %+v %+v, want %+v %+v", c.kind, lsnText(c.at), r, r.Open, want, want.Open)
		}
	}
	if now := db.confirmed(); now != before {
		t.Errorf("the slot was at %s and is at %s", before, now)
	}
	for i, r := range resumes {
		if err := s.Prove(t.Context(), r); err != nil {
			t.Errorf("prove %+v: %v", r, err)
		}
		tl := startTailWith(t, s, r, wide, true)
		want := "b"
		if done[i] < 4 {
			want = fmt.Sprint("t", done[i]+1)
		}
		if first := tl.waitRows(1)[0]; first.cells[2] != want {
			t.Errorf("behind %d rows comes %v", done[i], first.cells)
		}
		tl.stop()
	}
}

// A transaction without outbox rows leaves nothing open, whether another one
// follows it or not.
func TestResumeInsideAnother(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	s, at := db.anchored()
	db.exec(`create table elsewhere (id int primary key)`)
	db.exec(`insert into outbox (aggregateid) values ('a')`)
	list := db.changes()
	commit := list[len(list)-1].at
	xid, err := strconv.ParseUint(db.ask(`with x as (insert into elsewhere values (1)) select pg_current_xact_id()::text`), 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	before := db.confirmed()
	left := pg.Left{Commit: commit, Transaction: uint32(xid), Change: commit}
	for i := range 2 {
		r, err := s.Resume(t.Context(), left)
		if err != nil || r.Open != nil || r.Position.Text != lsnText(commit) {
			t.Errorf("round %d: %+v, %v", i, r, err)
		}
		db.exec(`insert into outbox (aggregateid) values ('b')`)
	}
	if now := db.confirmed(); now != before {
		t.Errorf("the slot was at %s and is at %s", before, now)
	}

	// A place where the other one has passed over rows that it should have had.
	first, err := strconv.ParseUint(db.ask(`select ('%s'::pg_lsn - '0/0')::text`, at.Position.Text), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	left.Commit, left.Change = first, commit
	_, err = s.Resume(t.Context(), left)
	refused(t, err, pg.ReasonOpen, "does not capture", "set a position")

	// A place that the slot has left behind, inside a transaction and between two.
	left.Commit = first - 8
	for _, l := range []pg.Left{left, {Commit: left.Commit}} {
		_, err = s.Resume(t.Context(), l)
		refused(t, err, pg.ReasonSlotMoved, "begins behind the last commit", "stop it again")
	}
	// One that the server has not reached.
	left.Commit = commit + 1<<40
	_, err = s.Resume(t.Context(), left)
	refused(t, err, pg.ReasonAhead)
}

// The slot is newer than the other reader's last commit. When it has the
// transaction that was being read and no other before it, nothing is missing.
func TestResumeInsideANewerSlot(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	db.exec(`insert into outbox (aggregateid) values ('a')`)
	last, err := strconv.ParseUint(db.ask(`select (pg_current_wal_flush_lsn() - '0/0')::text`), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	s, at := db.anchored()
	empty := pg.Left{Commit: last, Transaction: 1, Change: last}
	_, err = s.Resume(t.Context(), empty) // the log ends before it
	refused(t, err, pg.ReasonSlotMoved, "begins behind the last commit")
	db.exec(`insert into outbox (aggregateid) values ('b'), ('c')`)
	_, err = s.Resume(t.Context(), empty) // another one comes first
	refused(t, err, pg.ReasonSlotMoved, "begins behind the last commit")
	var rows []change
	end := ""
	for _, c := range db.changes() {
		switch c.kind {
		case "I":
			rows = append(rows, c)
		case "C":
			end = lsnText(c.at)
		}
	}
	r, err := s.Resume(t.Context(), pg.Left{Commit: last, Transaction: rows[0].xid, Change: rows[0].at})
	if err != nil || r.Position != at.Position || r.Open == nil || r.Open.Rows != 1 {
		t.Errorf("%+v %+v, %v, want one row behind %s", r, r.Open, err, at.Position)
	}
	r, err = s.Resume(t.Context(), pg.Left{Commit: last, Transaction: rows[0].xid, Change: rows[1].at})
	if err != nil || r.Position.Text != end || r.Open != nil {
		t.Errorf("%+v %+v, %v, want %s", r, r.Open, err, end)
	}
}

// COPY writes several rows at one place: it does not tell them apart.
func TestResumeInsideCopy(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	s, _ := db.anchored()
	db.exec(`insert into outbox (aggregateid) values ('a')`)
	// With a default that has to be made for each row the server copies them one by one.
	text := ""
	for i := range 3 {
		text += fmt.Sprintf("00000000-0000-0000-0000-00000000000%d\tc%[1]d\n", i)
	}
	if _, err := db.conn.CopyFrom(t.Context(), strings.NewReader(text), "copy outbox (id, aggregateid) from stdin"); err != nil {
		t.Fatal(err)
	}
	var commit uint64
	var rows []change
	for _, c := range db.changes() {
		switch {
		case c.kind == "C" && commit == 0:
			commit = c.at
		case c.kind == "I" && commit != 0:
			rows = append(rows, c)
		}
	}
	if len(rows) != 3 || rows[0].at != rows[2].at {
		t.Fatalf("%v", rows)
	}
	_, err := s.Resume(t.Context(), pg.Left{Commit: commit, Transaction: rows[0].xid, Change: rows[0].at})
	refused(t, err, pg.ReasonOpen, "3 rows", "COPY", "stop it again")
}

// A log that is brought past its own end holds nothing that other readers
// would publish, such as Debezium's connector, which takes messages for rows.
func TestUntilIsSeenByNobody(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	s, at := db.anchored()
	if err := s.Until(t.Context(), "now"); err != nil {
		t.Fatal(err)
	}
	tl := startTail(t, s, at, wide)
	if _, err := tl.end(); !errors.Is(err, outbox.ErrEnd) {
		t.Errorf("stream: %v", err)
	}
	s.Close()
	db.exec(`select pg_create_logical_replication_slot('%s_b', 'pgoutput')`, db.slot)
	if err := db.connect().Until(t.Context(), "now"); err != nil {
		t.Fatal(err)
	}
	if n := db.ask(`select count(*) from pg_logical_slot_peek_binary_changes('%s_b', null, null, 'proto_version', '1', 'messages', 'true', 'publication_names', '"%s"')`,
		db.slot, db.publication()); n != "0" {
		t.Errorf("others see %s messages", n)
	}
}

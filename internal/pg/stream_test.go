package pg_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/pg"
)

func TestStreamRows(t *testing.T) {
	db := newDatabase(t)
	s, at := db.anchored()
	db.exec(`insert into outbox (id, aggregateid, payload) values ('00000000-0000-0000-0000-000000000001', 'a', '{"x": 1}'), ('00000000-0000-0000-0000-000000000002', 'b', null)`)
	tl := startTail(t, s, at, wide)
	rows := tl.waitRows(2)
	if got, want := fmt.Sprint(rows[0].cells), fmt.Sprint([]string{"00000000-0000-0000-0000-000000000001", "order", "a", "created", `{"x": 1}`}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if rows[1].cells[4] != "<null>" || rows[1].ordinal != 2 {
		t.Errorf("got %+v", rows[1])
	}
	db.exec(`begin; insert into outbox (aggregateid) values ('c'); savepoint x; insert into outbox (aggregateid) values ('no'); rollback to x;
insert into outbox (aggregateid) values ('d'); delete from outbox where aggregateid = 'c'; commit`)
	rows = tl.waitRows(4)
	if rows[2].cells[2] != "c" || rows[3].cells[2] != "d" || rows[3].ordinal != 2 {
		t.Errorf("got %+v", rows[2:])
	}
	last, err := tl.stop()
	if !errors.Is(err, context.Canceled) {
		t.Errorf("stream: %v", err)
	}
	if err := s.ConfirmWait(context.Background(), last.Position); err != nil {
		t.Fatal(err)
	}
	if got := db.ask("select confirmed_flush_lsn >= '%s' from pg_replication_slots where slot_name = '%s'", last.Position.Text, db.slot); got != "t" {
		t.Error("the server does not show the confirmed position")
	}
	// Again from there: nothing comes twice.
	db.exec(`insert into outbox (aggregateid) values ('e')`)
	tl = startTail(t, s, last, wide)
	if rows := tl.waitRows(1); rows[0].cells[2] != "e" {
		t.Errorf("got %+v", rows)
	}
}

// A transaction larger than a batch is cut, and from every cut the rest comes
// and nothing else.
func TestStreamCutAndResume(t *testing.T) {
	db := newDatabase(t)
	s, at := db.anchored()
	db.exec(`insert into outbox (aggregateid) values ('before')`)
	db.exec(`insert into outbox (aggregateid) select g::text from generate_series(1, 1000) g`)
	db.exec(`insert into outbox (aggregateid) values ('after')`)
	small := outbox.Limits{Rows: 300, Bytes: 1 << 20}
	tl := startTailWith(t, s, at, small, true)
	rows := tl.waitRows(1002)
	_, _ = tl.stop()
	s.Close()
	for i := range 1000 {
		if r := rows[i+1]; r.cells[2] != fmt.Sprint(i+1) || r.ordinal != uint64(i+1) {
			t.Fatalf("row %d is %+v", i, r)
		}
	}
	cuts := 0
	for _, r := range tl.resumes {
		if r.Open == nil {
			continue
		}
		cuts++
		done := 1 + int(r.Open.Rows)
		s := db.connect()
		if err := s.Prove(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		again := startTailWith(t, s, r, small, true)
		got := again.waitRows(1002 - done)
		if len(got) != 1002-done || got[0].cells[2] != rows[done].cells[2] || got[0].ordinal != rows[done].ordinal {
			t.Errorf("after a cut at %+v: %d rows, first %+v, want %+v", r.Open, len(got), got[0], rows[done])
		}
		_, _ = again.stop()
		s.Close()
	}
	if cuts < 3 {
		t.Errorf("%d cuts", cuts)
	}
}

// A checkpoint inside a transaction that does not come again, or comes
// shorter, is refused; with nothing lost that cannot be told.
func TestStreamOpenGone(t *testing.T) {
	db := newDatabase(t)
	s, at := db.anchored()
	db.exec(`insert into outbox (aggregateid) select g::text from generate_series(1, 10) g`)
	tl := startTailWith(t, s, at, outbox.Limits{Rows: 4, Bytes: 1 << 20}, true)
	tl.waitRows(10)
	_, _ = tl.stop()
	s.Close()
	cut := slices.IndexFunc(tl.resumes, func(r outbox.Resume) bool { return r.Open != nil })
	if cut < 0 {
		t.Fatal("the transaction was not cut")
	}
	open := *tl.resumes[cut].Open

	longer := at
	longer.Open = &outbox.Open{Txn: open.Txn, Rows: 11}
	tl = startTailWith(t, db.connect(), longer, wide, true)
	_, err := tl.end()
	refused(t, err, pg.ReasonOpen, open.Txn, "ends after 10")
	tl.src.Close()

	other := at
	other.Open = &outbox.Open{Txn: "1" + open.Txn, Rows: 4}
	tl = startTailWith(t, db.connect(), other, wide, true)
	_, err = tl.end()
	refused(t, err, pg.ReasonOpen, "1"+open.Txn)
	tl.src.Close()

	// Nothing in the log at all: a position behind it is proof enough.
	s = db.connect()
	now, err := s.Now(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	db.exec(`insert into outbox (aggregateid) values ('later')`)
	now.Open = &outbox.Open{Txn: "77@" + now.Position.Text, Rows: 4}
	tl = startTailWith(t, s, now, wide, true)
	_, err = tl.end()
	refused(t, err, pg.ReasonOpen, "77@")
}

// A row much larger than any buffer comes whole, and the next one after it.
func TestStreamHugeRow(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	s, at := db.anchored()
	db.exec(`insert into outbox (aggregateid, type) values ('huge', repeat('z', 20000000)), ('next', 'x')`)
	rows := startTail(t, s, at, wide).waitRows(2)
	if len(rows[0].cells[3]) != 20000000 || rows[1].cells[2] != "next" {
		t.Errorf("%d bytes, then %q", len(rows[0].cells[3]), rows[1].cells[2])
	}
}

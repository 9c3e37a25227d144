package outbox

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

var testShape = &Shape{Columns: []Column{{Name: "id", Type: "text"}, {Name: "payload", Type: "text"}}}

func pgPos(text string) Position { return Position{Kind: Postgres, Text: text} }

// twoTxns is a batch of a transaction with two rows, whose first row an
// earlier batch holds, and one with one row.
func twoTxns() *Batch {
	b := &Batch{Start: Resume{Position: pgPos("0/1"), Lineage: "1", Open: &Open{Txn: "7@0/2", Rows: 1}}}
	b.Begin([]byte("7@0/2"), time.Unix(1, 0), 1)
	b.Add(testShape)
	b.SetCell(0, []byte("x1"))
	b.SetCell(1, []byte(""))
	b.Add(testShape)
	b.SetCell(0, []byte("x2"))
	b.End([]byte("0/3"))
	b.Begin([]byte("8@0/4"), time.Unix(2, 0), 0)
	b.Add(testShape)
	b.SetCell(0, []byte("y1"))
	b.End([]byte("0/5"))
	b.Resume = Resume{Position: pgPos("0/5"), Lineage: "1"}
	return b
}

func TestBatchCells(t *testing.T) {
	b := twoTxns()
	if v, ok := b.Value(&b.Rows[0], 1); !ok || v == nil || len(v) != 0 {
		t.Errorf("an empty cell is %q, %t; want empty and not NULL", v, ok)
	}
	if v, ok := b.Value(&b.Rows[1], 1); ok || v != nil {
		t.Errorf("an unset cell is %q, %t; want NULL", v, ok)
	}
	if v, _ := b.Value(&b.Rows[2], 0); string(v) != "y1" {
		t.Errorf("got %q", v)
	}
	v, _ := b.Value(&b.Rows[0], 0)
	_ = append(v, '!')
	if w, _ := b.Value(&b.Rows[1], 0); string(w) != "x2" {
		t.Error("appending to a value reaches into the next one")
	}
}

func TestBatchResumeBefore(t *testing.T) {
	b := twoTxns()
	for row, want := range []Resume{
		{Position: pgPos("0/1"), Lineage: "1", Open: &Open{Txn: "7@0/2", Rows: 1}},
		{Position: pgPos("0/1"), Lineage: "1", Open: &Open{Txn: "7@0/2", Rows: 2}},
		{Position: pgPos("0/3"), Lineage: "1"},
	} {
		got := b.ResumeBefore(row)
		if got.Position != want.Position || got.Lineage != want.Lineage || (got.Open == nil) != (want.Open == nil) ||
			got.Open != nil && *got.Open != *want.Open {
			t.Errorf("before row %d: %+v (open %+v), want %+v", row, got, got.Open, want)
		}
	}
	if got := b.Ordinal(1); got != 3 {
		t.Errorf("ordinal %d, want 3", got)
	}
	if got := b.PositionText(2); string(got) != "0/5" {
		t.Errorf("position %s, want 0/5", got)
	}
	if got := b.CommitText(2); string(got) != "0/4" {
		t.Errorf("commit %s, want 0/4", got)
	}
}

// Where positions grow, an end is a step: the position before a row is put
// together from the start and the steps of the transactions before it.
func TestBatchResumeBeforeSteps(t *testing.T) {
	b := twoTxns()
	b.After = func(b *Batch, n int) Resume {
		text := b.Start.Position.Text
		for i := range n {
			id, end := b.TxnText(i)
			text += fmt.Sprintf("+%s..%s", id, end)
		}
		return Resume{Position: pgPos(text), Lineage: "2"}
	}
	if got := b.ResumeBefore(0); got.Position != pgPos("0/1") || got.Open == nil {
		t.Errorf("before row 0: %+v, want the batch's start", got)
	}
	want := Resume{Position: pgPos("0/1+7@0/2..0/3"), Lineage: "2"}
	if got := b.ResumeBefore(2); got != want {
		t.Errorf("before row 2: %+v, want %+v", got, want)
	}
	if got := b.PositionText(2); string(got) != "8@0/4" {
		t.Errorf("position %s, want the transaction's name", got)
	}
	b.Reset(0)
	if b.After != nil {
		t.Error("After outlives Reset")
	}
}

func TestBatchTruncate(t *testing.T) {
	b := twoTxns()
	b.Truncate(3)
	if len(b.Rows) != 3 || len(b.Txns) != 2 {
		t.Fatalf("%d rows of %d transactions, want all", len(b.Rows), len(b.Txns))
	}
	b.Truncate(2)
	if len(b.Rows) != 2 || len(b.Txns) != 1 {
		t.Fatalf("%d rows of %d transactions, want 2 of 1", len(b.Rows), len(b.Txns))
	}
	b.Truncate(1)
	b.Add(testShape)
	b.SetCell(1, []byte("x3"))
	if v, ok := b.Value(&b.Rows[1], 0); ok {
		t.Errorf("a cell of a dropped row is back: %q", v)
	}
	if v, _ := b.Value(&b.Rows[1], 1); string(v) != "x3" {
		t.Errorf("got %q", v)
	}
	if v, _ := b.Value(&b.Rows[0], 0); string(v) != "x1" {
		t.Errorf("got %q", v)
	}
}

func TestBatchKeepsNoHugeArena(t *testing.T) {
	var b Batch
	b.Begin(nil, time.Time{}, 0)
	b.Add(testShape)
	b.SetCell(0, bytes.Repeat([]byte("x"), 1<<20))
	b.Reset(1 << 10)
	if cap(b.arena) != 0 {
		t.Errorf("%d bytes kept", cap(b.arena))
	}
}

func TestBatchAllocatesNothingWhenWarm(t *testing.T) {
	var b Batch
	id, cell := []byte("7@0/2"), []byte("a value of some length")
	fill := func() {
		b.Reset(1 << 20)
		b.Begin(id, time.Time{}, 0)
		for range 100 {
			b.Add(testShape)
			b.SetCell(0, cell)
			b.SetCell(1, cell)
		}
		b.End(id)
	}
	fill()
	if n := testing.AllocsPerRun(20, fill); n != 0 {
		t.Errorf("%.0f allocations for 100 rows, want 0", n)
	}
}

func TestParsePosition(t *testing.T) {
	for _, s := range []string{"postgres:0/16B3748", "mysql:a:1-5", ""} {
		p, err := ParsePosition(s)
		if err != nil || p.String() != s {
			t.Errorf("%q: %q, %v", s, p, err)
		}
	}
	for _, s := range []string{"0/16B3748", "oracle:1", "postgres:"} {
		if _, err := ParsePosition(s); err == nil {
			t.Errorf("%q: no error", s)
		}
	}
}

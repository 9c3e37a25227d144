package outbox

import (
	"bytes"
	"fmt"
	"time"
)

// Limits bounds a batch. A batch is full when one of them is reached; a single
// row larger than Bytes still fits, alone.
type Limits struct {
	// Rows is the greatest number of rows.
	Rows int
	// Bytes is the greatest size of the arena, in bytes.
	Bytes int
}

// Shape describes the wanted columns of one table as the log described them
// last. It is never changed after it was made: a new relation description
// makes a new Shape, so that comparing pointers tells whether it changed.
type Shape struct {
	// Table indexes the configured list of tables.
	Table int
	// Columns are the wanted columns, in the order in which they were wanted.
	Columns []Column
	// Rest are the table's other columns, where the source was asked for whole
	// rows: a dead letter keeps them, and nothing maps them.
	Rest []Column
}

// Column is one wanted column. Its JSON form is part of what a dead letter
// holds: names stay, new fields are left out where they are zero.
type Column struct {
	Name string `json:"name"`
	// Type is the database's own name of the type, such as "uuid" or "jsonb";
	// for a type of the application's own the name with its schema, such as
	// "public.colour[]", or "oid:NUMBER" where the catalog does not have it. A
	// PostgreSQL domain has the name of what it is based on, an enumeration is
	// "enum".
	Type string `json:"type"`
	// Missing says that the table has no such column, and that the mapping can
	// do without it: the cell is always NULL.
	Missing bool `json:"missing,omitempty"`
	// NotNull says that the column is declared NOT NULL, as far as the source
	// knows.
	NotNull bool `json:"not_null,omitempty"`
	// Precision and Scale are what was declared, -1 where nothing was or it is
	// not known: the digits of a number, the digits of a fraction of a second
	// (Precision), the bits of a bit string (Precision).
	Precision int `json:"precision"`
	Scale     int `json:"scale"`
	// Labels are those of an enumeration in their order, joined by commas.
	Labels string `json:"labels,omitempty"`
	// Default is the expression of the column's default, as the database
	// prints it; "" for none.
	Default string `json:"default,omitempty"`
	// Charset is the character set whose bytes the cells are, where those are
	// not what a client would see: only in a Shape's Rest.
	Charset string `json:"charset,omitempty"`
}

// Txn is one source transaction inside a batch, or the part of it that the
// batch holds.
type Txn struct {
	// Commit is when the source committed it.
	Commit time.Time
	// First indexes the first of its rows in the batch.
	First int
	// Before is how many of its outbox rows earlier batches hold.
	Before uint64

	id, end span
}

// Row is one inserted outbox row. Its cells lie in the batch.
type Row struct {
	Shape *Shape
	// Txn indexes the batch's Txns.
	Txn int
	// Size is the length of all its wanted cells together, in bytes.
	Size int

	first int // its first cell
}

type span struct{ off, len uint32 }

const nullLen = ^uint32(0)

// Batch is a run of rows in commit order. It ends on a commit, or is the cut
// part of a transaction too large for one batch; Resume says which. A batch
// without rows carries a position only.
//
// All bytes lie in one arena that belongs to the batch: what Value returns is
// valid until the batch is recycled. A batch has one owner at a time and is
// not safe for concurrent use.
type Batch struct {
	// Rows are in commit order, and in statement order within a transaction.
	Rows []Row
	// Txns are the source transactions that the rows belong to.
	Txns []Txn
	// Start is what the batch before this one ended with.
	Start Resume
	// Resume is what a checkpoint has to say once the whole batch is
	// committed to Kafka.
	Resume Resume
	// Urgent asks for a checkpoint soon although there may be no rows: the
	// server holds much log back for us.
	Urgent bool
	// Behind is how long ago the newest whole transaction in it was committed
	// when the source read it, both by the source's clock; 0 where nobody knows.
	// It says how far the log has to be caught up with.
	Behind time.Duration
	// After says where reading goes on behind the batch's first n transactions
	// (0 < n), for a source whose positions grow with each transaction, such as
	// a GTID set: there the end of a transaction, as End has it, is the step
	// from the one before, and positions are put together only when somebody
	// asks. nil: an end is itself a position. The source sets it on every batch
	// that it appends to.
	After func(b *Batch, n int) Resume

	cells []span
	arena []byte

	handed int // what a Handoff has counted it for
}

// Reset empties the batch and keeps its memory, unless a huge row blew the
// arena up beyond keep bytes: then the arena is given back.
func (b *Batch) Reset(keep int) {
	clear(b.Rows) // drop pointers to shapes
	b.Rows, b.Txns, b.cells, b.arena = b.Rows[:0], b.Txns[:0], b.cells[:0], b.arena[:0]
	b.Start, b.Resume, b.Urgent, b.Behind, b.After = Resume{}, Resume{}, false, 0, nil
	if cap(b.arena) > keep {
		b.arena = nil
	}
}

// Bytes is the size of the arena in use, in bytes.
func (b *Batch) Bytes() int { return len(b.arena) }

// Full reports whether the batch has reached one of the limits.
func (b *Batch) Full(l Limits) bool { return len(b.Rows) >= l.Rows || len(b.arena) >= l.Bytes }

// Overfull reports whether a row far larger than a batch is in it. The reader
// hands such a batch over before it waits for the server, even in the middle of
// a transaction, so that it holds one such row and not two.
func (b *Batch) Overfull(l Limits) bool { return len(b.arena) >= 2*l.Bytes }

// Begin opens a source transaction: the rows added next belong to it. id names
// it as Open.Txn does, before is how many of its rows earlier batches hold.
// Both texts are copied.
func (b *Batch) Begin(id []byte, commit time.Time, before uint64) {
	b.Txns = append(b.Txns, Txn{Commit: commit, First: len(b.Rows), Before: before, id: b.put(id)})
}

// End closes the transaction opened last; end is its position (with After set,
// the step to it), in the source's text, which is copied. A transaction that is
// cut has no end in this batch.
func (b *Batch) End(end []byte) { b.Txns[len(b.Txns)-1].end = b.put(end) }

// Truncate drops the rows from index n on, and the transactions that are left
// without a row: the source has rolled them back. The arena keeps their bytes
// until Reset, so that a batch still gets full.
func (b *Batch) Truncate(n int) {
	if n >= len(b.Rows) {
		return
	}
	b.cells = b.cells[:b.Rows[n].first]
	clear(b.Rows[n:])
	b.Rows = b.Rows[:n]
	for len(b.Txns) > 0 && b.Txns[len(b.Txns)-1].First >= n {
		b.Txns = b.Txns[:len(b.Txns)-1]
	}
}

// TxnText is the name of transaction i, as Begin was given it, and its end, as
// End was; end is empty for one that is cut. Both belong to the batch.
func (b *Batch) TxnText(i int) (id, end []byte) {
	return b.bytes(b.Txns[i].id), b.bytes(b.Txns[i].end)
}

// Add starts a row of the transaction opened last. Its cells follow, one call
// of AddCell or AddNull for each column of the shape, in the shape's order.
func (b *Batch) Add(s *Shape) {
	b.Rows = append(b.Rows, Row{Shape: s, Txn: len(b.Txns) - 1, first: len(b.cells)})
	for range len(s.Columns) + len(s.Rest) {
		b.cells = append(b.cells, span{len: nullLen})
	}
}

// SetCell copies v into column i of the row added last. A column that is
// never set is SQL NULL.
func (b *Batch) SetCell(i int, v []byte) {
	r := &b.Rows[len(b.Rows)-1]
	b.cells[r.first+i] = b.put(v)
	r.Size += len(v)
}

// Value is column i of a row: ok is false for SQL NULL. The bytes belong to
// the batch and are not to be changed.
func (b *Batch) Value(r *Row, i int) (v []byte, ok bool) {
	c := b.cells[r.first+i]
	if c.len == nullLen {
		return nil, false
	}
	return b.bytes(c), true
}

// SetRest copies v into column i of the shape's Rest, for the row added last.
func (b *Batch) SetRest(i int, v []byte) {
	r := &b.Rows[len(b.Rows)-1]
	b.cells[r.first+len(r.Shape.Columns)+i] = b.put(v)
}

// Rest is column i of the shape's Rest, as Value is one of its Columns.
func (b *Batch) Rest(r *Row, i int) (v []byte, ok bool) { return b.Value(r, len(r.Shape.Columns)+i) }

// Ordinal is the number of a row among the outbox rows of its source
// transaction, counted from 1, over batches.
func (b *Batch) Ordinal(row int) uint64 {
	t := &b.Txns[b.Rows[row].Txn]
	return t.Before + uint64(row-t.First) + 1
}

// PositionText is the position of a row's transaction, in the source's text:
// its end where the batch holds it and it is a position (After is nil), else
// the transaction's name. It belongs to the batch.
func (b *Batch) PositionText(row int) []byte {
	t := &b.Txns[b.Rows[row].Txn]
	if t.end.len > 0 && b.After == nil {
		return b.bytes(t.end)
	}
	return b.bytes(t.id)
}

// CommitText is what the name of a row's transaction says about where it was
// committed: what stands behind an @, else all of it. Unlike PositionText it is
// the same for all parts of a transaction that is cut. It belongs to the batch.
func (b *Batch) CommitText(row int) []byte {
	id := b.bytes(b.Txns[b.Rows[row].Txn].id)
	return id[bytes.IndexByte(id, '@')+1:]
}

// ResumeBefore is what a checkpoint has to say when every row before this one
// is committed, and this one is not.
func (b *Batch) ResumeBefore(row int) Resume {
	i := b.Rows[row].Txn
	t := &b.Txns[i]
	r := b.Start
	switch {
	case i > 0 && b.After != nil:
		r = b.After(b, i)
	case i > 0:
		r = Resume{
			Position: Position{Kind: b.Resume.Position.Kind, Text: string(b.bytes(b.Txns[i-1].end))},
			Lineage:  b.Resume.Lineage,
		}
	}
	if done := t.Before + uint64(row-t.First); done > 0 {
		r.Open = &Open{Txn: string(b.bytes(t.id)), Rows: done}
	}
	return r
}

// Oldest is the commit time of the oldest row, zero for a batch without rows.
func (b *Batch) Oldest() time.Time {
	if len(b.Rows) == 0 {
		return time.Time{}
	}
	return b.Txns[b.Rows[0].Txn].Commit
}

func (b *Batch) put(v []byte) span {
	off := len(b.arena)
	if uint64(off)+uint64(len(v)) >= uint64(nullLen) {
		// Limits end a batch long before; only a broken source gets here.
		panic(fmt.Sprintf("batch arena of %d bytes cannot take %d more", off, len(v)))
	}
	b.arena = append(b.arena, v...)
	return span{off: uint32(off), len: uint32(len(v))}
}

func (b *Batch) bytes(s span) []byte { return b.arena[s.off : s.off+s.len : s.off+s.len] }

package deadletter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Mapper turns rows into messages; see pipeline.Mapper.
type Mapper interface {
	Map(b *outbox.Batch, m *outbox.Messages)
}

// Sink is where messages and marks go; see pipeline.Sink, of which these are
// some methods. It must not be fenced by the running tailer, nor fence it.
type Sink interface {
	Fence(ctx context.Context, timeout time.Duration) error
	Admit(ctx context.Context, m *outbox.Messages, b *outbox.Batch) error
	Join(ctx context.Context, m *outbox.Messages) error
	Produce(ctx context.Context, m *outbox.Messages) error
	Commit(ctx context.Context) error
}

// Topic reads partition 0 of the dead-letter topic as a read_committed
// consumer does.
type Topic interface {
	// Span gives the first offset that is not older than since (zero: the
	// first there is), the end of what is committed, and how many offsets lie
	// behind it because a transaction is open.
	Span(ctx context.Context, since time.Time) (start, end, hidden int64, err error)
	// Read gives the records in [from, to), in order. f must not keep one.
	Read(ctx context.Context, from, to int64, f func(*outbox.Record)) error
}

// Rows finds rows in their tables. It connects when it is first asked.
type Rows interface {
	// ByID gives the rows whose id column equals an id, perhaps others too.
	// table indexes the configured tables.
	ByID(ctx context.Context, table int, id []byte) (outbox.Snapshot, error)
}

// Config says what is replayed, and how.
type Config struct {
	// Name is the tailer whose letters are replayed; those of others in the
	// same topic are left alone.
	Name string
	// Letters is the dead-letter topic, TopicName its name.
	Letters   Topic
	TopicName string
	// Tables are the configured outbox tables. Wanted gives a table's mapped
	// columns, Optional which of them it may do without.
	Tables   []string
	Wanted   func(table int) []string
	Optional func(table int) []bool

	Mapper Mapper
	Sink   Sink
	Rows   Rows
	// Timeout is how long a transaction may be open; see Sink.Fence.
	Timeout time.Duration
	// Limits bounds a transaction.
	Limits outbox.Limits

	// IDs chooses rows by their ids as people see them; empty for all.
	IDs []string
	// Since leaves out letters that are older; zero for none.
	Since time.Time
	// DryRun says what would be done, and does nothing.
	DryRun bool
}

// What became of a letter.
type What string

// What may become of a letter.
const (
	// Replayed: it is published, and marked.
	Replayed What = "replayed"
	// Stays: its row still cannot be published; Reason says why.
	Stays What = "stays"
	// Gone: its row was too large to be kept, and is not in its table any
	// more.
	Gone What = "gone"
)

// Outcome is what became of one letter.
type Outcome struct {
	What     What   `json:"what"`
	Offset   int64  `json:"offset"`
	Table    string `json:"table,omitempty"`
	ID       string `json:"id"`
	Position string `json:"position,omitempty"`
	Reason   string `json:"reason,omitempty"`
	// Changed says that the row was read from its table, and that the columns
	// that are mapped today do not hold what the mapped ones held: the row has
	// changed, or the mapping.
	Changed bool `json:"changed,omitempty"`
}

// Summary counts outcomes.
type Summary struct {
	Replayed int `json:"replayed"`
	Stays    int `json:"stays"`
	Gone     int `json:"gone"`
	// Already is how many letters that were chosen had been replayed before.
	Already int `json:"already"`
	// Unknown are the IDs that no letter has.
	Unknown []string `json:"unknown,omitempty"`
}

// Replay publishes dead-lettered rows again. It is made by NewReplay and run
// once.
type Replay struct {
	cfg    Config
	log    *slog.Logger
	report func(Outcome)

	done   map[string]bool // rows that are replayed, as Letter.same has them
	shapes map[string]*outbox.Shape
	seen   map[string]bool // of IDs
	sum    Summary

	batch   outbox.Batch
	pending []pending // by row of batch
	msgs    outbox.Messages
	failed  error
}

// pending is a letter whose row is in the batch.
type pending struct {
	outcome Outcome
	key     []byte
	same    string
}

// NewReplay makes a Replay that has opened nothing. report is told of each
// letter that was chosen, once its fate is certain.
func NewReplay(cfg Config, log *slog.Logger, report func(Outcome)) *Replay {
	return &Replay{cfg: cfg, log: log, report: report, done: map[string]bool{},
		shapes: map[string]*outbox.Shape{}, seen: map[string]bool{}}
}

// Run replays every letter that was chosen and is not marked, in the order of
// the topic. An error says that it did not come to its end: what was reported
// is done, and another run goes on with the rest.
func (r *Replay) Run(ctx context.Context) (Summary, error) {
	if !r.cfg.DryRun {
		// Another replay under this name cannot commit from here on.
		if err := r.cfg.Sink.Fence(ctx, r.cfg.Timeout); err != nil {
			return r.sum, err
		}
	}
	end, err := r.settled(ctx)
	if err != nil {
		return r.sum, err
	}
	first, _, _, err := r.cfg.Letters.Span(ctx, time.Time{})
	if err != nil {
		return r.sum, err
	}
	if err := r.readMarks(ctx, first, end); err != nil {
		return r.sum, err
	}
	if !r.cfg.Since.IsZero() {
		if first, _, _, err = r.cfg.Letters.Span(ctx, r.cfg.Since); err != nil {
			return r.sum, err
		}
	}
	err = r.cfg.Letters.Read(ctx, first, end, func(rec *outbox.Record) {
		if r.failed == nil {
			r.failed = r.letter(ctx, rec)
		}
	})
	if err == nil {
		err = r.failed
	}
	if err == nil {
		err = r.flush(ctx)
	}
	for _, id := range r.cfg.IDs {
		if !r.seen[id] {
			r.sum.Unknown = append(r.sum.Unknown, id)
		}
	}
	return r.sum, err
}

// settled waits until everything is committed or aborted that was written
// before now, and gives that end: a mark of the replay before, which was fenced,
// must not hide behind an open transaction of the running tailer.
func (r *Replay) settled(ctx context.Context) (int64, error) {
	_, end, hidden, err := r.cfg.Letters.Span(ctx, time.Time{})
	want := end + hidden
	told := false
	for began := time.Now(); err == nil && end < want && !r.cfg.DryRun; {
		if !told && time.Since(began) > 2*time.Second {
			r.log.Info("waiting for an open transaction in the dead-letter topic to end", "topic", r.cfg.TopicName)
			told = true
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
		_, end, _, err = r.cfg.Letters.Span(ctx, time.Time{})
	}
	return end, err
}

// readMarks learns which rows are done with: a mark names one letter, and there
// may be others about the same row.
func (r *Replay) readMarks(ctx context.Context, from, to int64) error {
	rows := map[int64]string{}
	err := r.cfg.Letters.Read(ctx, from, to, func(rec *outbox.Record) {
		if at, ok := marked(rec); ok {
			r.done[rows[at]] = true
		} else if l, err := decode(rec.Value); err == nil && l.Name == r.cfg.Name {
			rows[rec.Offset] = l.same()
		}
	})
	return err
}

// letter takes one record of the topic.
func (r *Replay) letter(ctx context.Context, rec *outbox.Record) error {
	if _, ok := marked(rec); ok {
		return nil
	}
	l, err := decode(rec.Value)
	if err != nil {
		if len(r.cfg.IDs) == 0 || slices.Contains(r.cfg.IDs, string(rec.Key)) {
			r.seen[string(rec.Key)] = true
			r.tell(Outcome{What: Stays, Offset: rec.Offset, ID: string(rec.Key), Reason: err.Error()})
		}
		return nil
	}
	o := Outcome{Offset: rec.Offset, Table: l.Table, Position: l.Position}
	if l.ID != nil {
		o.ID = *l.ID
	}
	if l.Name != r.cfg.Name || len(r.cfg.IDs) > 0 && !slices.Contains(r.cfg.IDs, o.ID) {
		return nil
	}
	r.seen[o.ID] = true
	same := l.same()
	if r.done[same] {
		r.sum.Already++
		return nil
	}
	if err := r.add(ctx, l, &o); err != nil {
		return err
	}
	if o.What != "" {
		r.tell(o)
		return nil
	}
	r.done[same] = true // a second letter about it is not sent beside it
	r.pending = append(r.pending, pending{outcome: o, key: slices.Clone(rec.Key), same: same})
	if r.batch.Full(r.cfg.Limits) {
		return r.flush(ctx)
	}
	return nil
}

// add puts the letter's row into the batch, or says in o why it cannot be.
func (r *Replay) add(ctx context.Context, l *Letter, o *Outcome) error {
	table := slices.Index(r.cfg.Tables, l.Table)
	if table < 0 {
		o.What, o.Reason = Stays, "its table is not among the configured ones"
		return nil
	}
	begin := func() { r.batch.Begin([]byte(l.Transaction), l.Committed, l.Ordinal-1) }
	shape := r.shape(table, l)
	if shape != nil {
		begin()
		r.batch.Add(shape)
		for i, c := range shape.Columns {
			if v, _ := l.Columns.Find(c.Name); v != nil {
				r.batch.SetCell(i, v)
			}
		}
		r.batch.End([]byte(l.Position))
		return nil
	}
	from := l.RowID
	if l.Columns != nil {
		from = l.Columns
	}
	name := r.cfg.Wanted(table)[0]
	if len(l.RowID) > 0 && l.RowID[0].Name != name {
		o.What, o.Reason = Stays, fmt.Sprintf("it is not kept in full, and column %q, which had its id, is not the id today", l.RowID[0].Name)
		return nil
	}
	id, _ := from.Find(name)
	if id == nil {
		o.What, o.Reason = Gone, "it is not kept in full, and without an id it cannot be found in its table"
		return nil
	}
	begin()
	exact, found, err := r.fromTable(ctx, table, id, l, begin)
	if err != nil {
		return fmt.Errorf("read the row with id %q of table %s: %w", o.ID, l.Table, err)
	}
	if !found {
		r.batch.Txns = r.batch.Txns[:len(r.batch.Txns)-1]
		o.What, o.Reason = Gone, "it is not kept in full, and its table does not have it any more"
		return nil
	}
	r.batch.End([]byte(l.Position))
	o.Changed = l.Columns == nil && !exact
	return nil
}

// fromTable adds the letter's row as its table has it: of several with its id
// the one that is what it was (exact), else the first. begin opens its
// transaction in the batch.
func (r *Replay) fromTable(ctx context.Context, table int, id []byte, l *Letter, begin func()) (exact, found bool, err error) {
	view, err := r.cfg.Rows.ByID(ctx, table, id)
	if err != nil {
		return false, false, err
	}
	defer view.Close()
	var b outbox.Batch
	at := len(r.batch.Rows)
	for more := true; more && !exact; {
		b.Reset(2 * r.cfg.Limits.Bytes)
		if more, err = view.Read(ctx, &b, outbox.Limits{Rows: 1, Bytes: r.cfg.Limits.Bytes}); err != nil {
			return false, false, err
		}
		for i := range b.Rows {
			if v, ok := b.Value(&b.Rows[i], 0); !ok || !bytes.Equal(v, id) {
				continue
			}
			sum, _ := sumOf(&b, &b.Rows[i])
			if exact = sum == l.SHA256; found && !exact {
				continue
			}
			if found {
				r.batch.Truncate(at)
				begin()
			}
			found = true
			r.copyRow(&b, &b.Rows[i])
		}
	}
	return exact, found, nil
}

func (r *Replay) copyRow(b *outbox.Batch, row *outbox.Row) {
	r.batch.Add(row.Shape)
	for i := range row.Shape.Columns {
		if v, ok := b.Value(row, i); ok {
			r.batch.SetCell(i, v)
		}
	}
}

// shape gives the columns that today's mapping wants, as the letter has them;
// nil when it has not all of them.
func (r *Replay) shape(table int, l *Letter) *outbox.Shape {
	if l.Columns == nil {
		return nil
	}
	s := &outbox.Shape{Table: table}
	optional := r.cfg.Optional(table)
	for i, name := range r.cfg.Wanted(table) {
		// What is in bytes that no mapping ever saw is better read from the table.
		at := slices.IndexFunc(l.Shape, func(c outbox.Column) bool { return c.Name == name && c.Charset == "" })
		switch {
		case at >= 0:
			s.Columns = append(s.Columns, l.Shape[at])
		case optional[i]:
			s.Columns = append(s.Columns, outbox.Column{Name: name, Missing: true, Precision: -1, Scale: -1})
		default:
			return nil
		}
	}
	// The mapper compares pointers to see whether a shape has changed.
	key := fmt.Sprintf("%d %#v", table, s.Columns)
	if known := r.shapes[key]; known != nil {
		return known
	}
	r.shapes[key] = s
	return s
}

// flush publishes the rows in the batch that can be, with their marks, in one
// transaction.
func (r *Replay) flush(ctx context.Context) error {
	if len(r.pending) == 0 {
		return nil
	}
	m := &r.msgs
	m.Reset()
	r.cfg.Mapper.Map(&r.batch, m)
	if err := r.cfg.Sink.Admit(ctx, m, &r.batch); err != nil {
		return err
	}
	for _, q := range m.Poison {
		o := &r.pending[q.Row].outcome
		o.What, o.Reason = Stays, q.Reason
	}
	marks := 0
	for i := range r.pending {
		if p := &r.pending[i]; p.outcome.What == "" {
			p.outcome.What = Replayed
			m.List = append(m.List, mark(r.cfg.TopicName, p.key, p.outcome.Offset))
			marks++
		} else {
			delete(r.done, p.same)
		}
	}
	if marks > 0 && !r.cfg.DryRun {
		if err := r.send(ctx, m); err != nil {
			return err
		}
	}
	for i := range r.pending {
		r.tell(r.pending[i].outcome)
	}
	r.pending = r.pending[:0]
	r.batch.Reset(2 * r.cfg.Limits.Bytes)
	return nil
}

func (r *Replay) send(ctx context.Context, m *outbox.Messages) error {
	// The marks' topic is looked up too. A row that was admitted a moment ago
	// and is not any more must not be marked.
	refused := len(m.Poison)
	if err := r.cfg.Sink.Admit(ctx, m, &r.batch); err != nil {
		return err
	}
	if len(m.Poison) != refused {
		return errors.New("a topic's settings changed meanwhile; run it again")
	}
	if err := r.cfg.Sink.Join(ctx, m); err != nil {
		return err
	}
	if err := r.cfg.Sink.Produce(ctx, m); err != nil {
		return err
	}
	return r.cfg.Sink.Commit(ctx)
}

// tell reports an outcome and counts it.
func (r *Replay) tell(o Outcome) {
	switch o.What {
	case Replayed:
		r.sum.Replayed++
	case Stays:
		r.sum.Stays++
	case Gone:
		r.sum.Gone++
	}
	r.report(o)
}

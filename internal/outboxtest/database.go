package outboxtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Database is a log of transactions, a slot, a publication and a lock. Positions
// are "0/N" with N the number of transactions up to there. It lives through
// crashes of its clients.
//
// A row is an id: its key is what stands before the first dash, and its table
// what stands before the first dot, "" for the first one.
type Database struct {
	// ID is the identity; changing it makes another database.
	ID string
	// Branch is the branch of history as the identity has it; "1", as all
	// positions, unless changed to make another server.
	Branch string

	mu        sync.Mutex // guards all below
	txns      [][]string // ids of the rows
	published []string   // tables of which the log brings rows
	brought   [][]string // what it was at each transaction
	slot      int        // confirmed position; -1 without a slot
	locked    *Source
	confirmed int // highest position ever confirmed
	changed   chan struct{}
}

// NewDatabase returns an empty one, without a slot.
func NewDatabase() *Database {
	return &Database{ID: "sys/db", Branch: "1", slot: -1, published: []string{""}, changed: make(chan struct{})}
}

// Insert commits a transaction with these rows.
func (d *Database) Insert(ids ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.txns, d.brought = append(d.txns, ids), append(d.brought, slices.Clone(d.published))
	close(d.changed)
	d.changed = make(chan struct{})
}

// Rows are all rows ever committed, in order.
func (d *Database) Rows() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []string
	for _, t := range d.txns {
		all = append(all, t...)
	}
	return all
}

// Published are the tables of which the log brings the rows that are inserted
// from now on.
func (d *Database) Published() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.published)
}

func tableOf(id string) string {
	if table, _, ok := strings.Cut(id, "."); ok {
		return table
	}
	return ""
}

// Confirmed is the highest position that was ever confirmed.
func (d *Database) Confirmed() outbox.Position {
	d.mu.Lock()
	defer d.mu.Unlock()
	return pos(d.confirmed)
}

// SetSlot moves the slot by hand; a negative number drops it.
func (d *Database) SetSlot(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.slot = n
}

// Slot is where the slot stands; negative without one.
func (d *Database) Slot() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.slot
}

func pos(n int) outbox.Position {
	return outbox.Position{Kind: outbox.Postgres, Text: "0/" + strconv.Itoa(n)}
}

func num(p outbox.Position) int {
	n, err := strconv.Atoi(strings.TrimPrefix(p.Text, "0/"))
	if err != nil {
		return -1
	}
	return n
}

// Source is one process's connection to a Database.
type Source struct {
	d      *Database
	chosen []bool
	until  int
	shapes map[string]*outbox.Shape
	// Tables are the configured tables, by their index; "" is the first.
	Tables []string
	// At is called with the name of each step of a first start, and may
	// return an error to fail it. May be nil.
	At func(step string) error
}

// NewSource connects to d.
func NewSource(d *Database) *Source {
	return &Source{d: d, until: -1, Tables: []string{""}, shapes: map[string]*outbox.Shape{}}
}

// shape describes a table.
func (s *Source) shape(table string) *outbox.Shape {
	if s.shapes[table] == nil {
		s.shapes[table] = &outbox.Shape{Table: slices.Index(s.Tables, table), Columns: []outbox.Column{
			{Name: "id", Type: "text"}, {Name: "aggregatetype", Type: "text"}, {Name: "aggregateid", Type: "text"}, {Name: "payload", Type: "text"},
		}}
	}
	return s.shapes[table]
}

// choose are the rows of configured and chosen tables.
func (s *Source) choose(ids []string) (list []string) {
	for _, id := range ids {
		if i := slices.Index(s.Tables, tableOf(id)); i >= 0 && (s.chosen == nil || s.chosen[i]) {
			list = append(list, id)
		}
	}
	return list
}

// Choose chooses tables.
func (s *Source) Choose(tables []bool) { s.chosen = tables }

// Publish publishes the chosen tables.
func (s *Source) Publish(context.Context) error {
	if err := s.at("publish"); err != nil {
		return err
	}
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	for i, t := range s.Tables {
		if s.chosen[i] && !slices.Contains(s.d.published, t) {
			s.d.published = append(s.d.published, t)
		}
	}
	return nil
}

// View opens a snapshot of the chosen tables.
func (s *Source) View(ctx context.Context) (outbox.Snapshot, error) {
	if err := s.at("view"); err != nil {
		return nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	rows := s.choose(s.d.Rows())
	s.d.mu.Lock()
	v := &snapshot{s: s, at: len(s.d.txns), ids: rows}
	s.d.mu.Unlock()
	return v, s.at("viewed")
}

// Withdraw ends the publication of a table.
func (s *Source) Withdraw(_ context.Context, table string) (string, error) {
	if err := s.at("withdraw"); err != nil {
		return "", err
	}
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	s.d.published = slices.DeleteFunc(s.d.published, func(t string) bool { return t == table })
	return "withdrew " + table, nil
}

func (s *Source) at(step string) error {
	if s.At == nil {
		return nil
	}
	return s.At(step)
}

// Connect says who the database is.
func (s *Source) Connect(context.Context) (outbox.Identity, error) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	return outbox.Identity{Kind: outbox.Postgres, ID: s.d.ID, Lineage: s.d.Branch, Version: "test"}, nil
}

// Reach is Connect.
func (s *Source) Reach(ctx context.Context) (outbox.Identity, error) { return s.Connect(ctx) }

// Close gives the lock back, as the end of a session does.
func (s *Source) Close() {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if s.d.locked == s {
		s.d.locked = nil
	}
}

// TryLock takes the lock.
func (s *Source) TryLock(context.Context) (bool, string, error) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if s.d.locked == nil || s.d.locked == s {
		s.d.locked = s
		return true, "", nil
	}
	return false, "pid 1", nil
}

// Locked tells whether the lock is still ours.
func (s *Source) Locked(context.Context) error {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if s.d.locked != s {
		return errors.New("the session is gone")
	}
	return nil
}

// Evict ends the holder's session.
func (s *Source) Evict(context.Context) error {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if s.d.locked != s {
		s.d.locked = nil
	}
	return nil
}

// Prove refuses without a slot, or with one beyond r.
func (s *Source) Prove(_ context.Context, r outbox.Resume) error {
	if err := s.at("prove"); err != nil {
		return err
	}
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	n := num(r.Position)
	switch {
	case s.d.slot < 0:
		return outbox.Refuse("slot_missing", "checkpoint reset", "the slot is gone")
	case s.d.slot > n:
		return outbox.Refuse("slot_ahead", "checkpoint set --from-slot", "the slot is ahead")
	case n > len(s.d.txns):
		return outbox.Refuse("checkpoint_ahead", "checkpoint reset", "the checkpoint is ahead")
	}
	return nil
}

// Prepare makes the publication.
func (s *Source) Prepare(context.Context) error { return s.at("prepare") }

// Anchor tells where the slot stands.
func (s *Source) Anchor(context.Context) (bool, outbox.Resume, error) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if s.d.slot < 0 {
		return false, outbox.Resume{}, nil
	}
	return true, outbox.Resume{Position: pos(s.d.slot), Lineage: "1"}, nil
}

// DropAnchor drops the slot.
func (s *Source) DropAnchor(context.Context) error {
	if err := s.at("drop"); err != nil {
		return err
	}
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if s.d.locked != s {
		return errors.New("drop slot: the lock's session is gone")
	}
	s.d.slot = -1
	return nil
}

// Count counts the rows of the chosen tables.
func (s *Source) Count(context.Context, int64) (int64, error) {
	return int64(len(s.choose(s.d.Rows()))), nil
}

// snapshot is a view of the database.
type snapshot struct {
	s    *Source
	at   int
	ids  []string
	read int
}

// CountChosen counts the rows that f chooses: Where is the beginning of an id,
// and no condition when it begins with a question mark.
func (s *Source) CountChosen(_ context.Context, f outbox.Filter) ([]int64, error) {
	if strings.HasPrefix(f.Where, "?") {
		return nil, &outbox.Invalid{Option: "where", Text: "syntax error"}
	}
	if err := s.at("count"); err != nil {
		return nil, err
	}
	return []int64{int64(len(s.filtered(f)))}, nil
}

// Chosen is a view of the rows that f chooses.
func (s *Source) Chosen(_ context.Context, f outbox.Filter) (outbox.Snapshot, error) {
	return &snapshot{s: s, ids: s.filtered(f)}, nil
}

// filtered are the rows of chosen tables that f chooses.
func (s *Source) filtered(f outbox.Filter) (ids []string) {
	for _, id := range s.choose(s.d.Rows()) {
		if strings.HasPrefix(id, f.Where) && id >= f.From {
			ids = append(ids, id)
		}
	}
	return ids
}

// CreateAnchor makes the slot and a snapshot.
func (s *Source) CreateAnchor(_ context.Context, f outbox.Filter) (outbox.Snapshot, error) {
	if err := s.at("create"); err != nil {
		return nil, err
	}
	rows := s.filtered(f)
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if s.d.slot >= 0 {
		return nil, errors.New("slot exists")
	}
	s.d.slot = len(s.d.txns)
	return &snapshot{s: s, at: s.d.slot, ids: rows}, nil
}

func (v *snapshot) Resume() outbox.Resume { return outbox.Resume{Position: pos(v.at), Lineage: "1"} }
func (v *snapshot) Close()                {}

func (v *snapshot) Read(_ context.Context, b *outbox.Batch, l outbox.Limits) (bool, error) {
	b.Begin([]byte("snapshot"), time.Now(), uint64(v.read))
	for v.read < len(v.ids) && !b.Full(l) {
		v.s.row(b, v.ids[v.read])
		v.read++
	}
	return v.read < len(v.ids), v.s.at("read")
}

func (s *Source) row(b *outbox.Batch, id string) {
	key, _, _ := strings.Cut(id[strings.Index(id, ".")+1:], "-")
	b.Add(s.shape(tableOf(id)))
	for i, v := range []string{id, "order", key, id} {
		b.SetCell(i, []byte(v))
	}
}

// Stream hands over transactions behind r.
func (s *Source) Stream(ctx context.Context, r outbox.Resume, h *outbox.Handoff) error {
	n, skip := num(r.Position), uint64(0)
	h.Open()
	if r.Open != nil {
		if r.Open.Txn != fmt.Sprint("txn", n+1) {
			return outbox.Refuse("open", "", "another transaction")
		}
		skip = r.Open.Rows
	}
	for {
		s.d.mu.Lock()
		changed, txns, brought := s.d.changed, s.d.txns, s.d.brought
		s.d.mu.Unlock()
		for ; n < len(txns); n++ {
			if s.until >= 0 && n >= s.until {
				return s.end(ctx, h, n)
			}
			list := slices.DeleteFunc(s.choose(txns[n]), func(id string) bool { return !slices.Contains(brought[n], tableOf(id)) })
			if err := s.txn(ctx, h, n, list, skip); err != nil {
				return err
			}
			skip = 0
		}
		if s.until >= 0 && n >= s.until {
			return s.end(ctx, h, n)
		}
		select {
		case <-changed:
		case <-time.After(time.Second): // a heartbeat of the server
			h.Heard()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// txn hands over transaction n (from 0), cutting it where a batch is full.
func (s *Source) txn(ctx context.Context, h *outbox.Handoff, n int, ids []string, skip uint64) error {
	if len(ids) == 0 {
		h.Advance(outbox.Resume{Position: pos(n + 1), Lineage: "1"}, false)
		return nil
	}
	id := fmt.Append(nil, "txn", n+1)
	b, err := h.Acquire(ctx)
	if err != nil {
		return err
	}
	b.Begin(id, time.Now(), skip)
	for i := skip; i < uint64(len(ids)); i++ {
		if b.Full(h.Limits()) {
			b.Resume = outbox.Resume{Position: pos(n), Lineage: "1", Open: &outbox.Open{Txn: string(id), Rows: i}}
			h.Push(b)
			if b, err = h.Acquire(ctx); err != nil {
				return err
			}
			b.Begin(id, time.Now(), i)
		}
		s.row(b, ids[i])
	}
	b.End([]byte(pos(n + 1).Text))
	b.Resume = outbox.Resume{Position: pos(n + 1), Lineage: "1"}
	if b.Full(h.Limits()) {
		h.Push(b)
	} else {
		h.Rest(b)
	}
	return nil
}

// end hands over where the stream ends.
func (s *Source) end(ctx context.Context, h *outbox.Handoff, n int) error {
	b, err := h.Acquire(ctx)
	if err != nil {
		return err
	}
	b.Resume = outbox.Resume{Position: pos(n), Lineage: "1"}
	h.Push(b)
	return outbox.ErrEnd
}

// WholeRows implements pipeline.Source: every column of the fake is mapped.
func (s *Source) WholeRows(bool) {}

// Confirm moves the slot.
func (s *Source) Confirm(_ context.Context, p outbox.Position) error {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if n := num(p); n > s.d.confirmed {
		s.d.confirmed = n
	}
	if n := num(p); n > s.d.slot && s.d.slot >= 0 {
		s.d.slot = n
	}
	return nil
}

// ConfirmWait is Confirm.
func (s *Source) ConfirmWait(ctx context.Context, p outbox.Position) error { return s.Confirm(ctx, p) }

// Until takes "now", a position, or "" for never.
func (s *Source) Until(_ context.Context, until string) error {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	switch until {
	case "":
		s.until = -1
	case "now":
		s.until = len(s.d.txns)
	default:
		s.until = num(outbox.Position{Text: until})
	}
	return nil
}

// Watch finds nothing wrong.
func (s *Source) Watch(context.Context) error { return nil }

// Gauges knows the end of the log.
func (s *Source) Gauges(context.Context) (outbox.Gauges, error) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	return outbox.Gauges{At: time.Now(), Server: pos(len(s.d.txns))}, nil
}

// Behind counts transactions.
func (s *Source) Behind(p, end outbox.Position) float64 { return float64(max(num(end)-num(p), 0)) }

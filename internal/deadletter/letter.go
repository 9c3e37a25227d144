package deadletter

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Version is the version of the letters that this binary writes. It reads every
// older one.
const Version = 1

// The headers of letters and marks.
const (
	headerTable    = "table"
	headerReason   = "reason"
	headerReplayed = "replayed"
)

// maxReason bounds a reason, which may quote the row, in bytes.
const maxReason = 1000

// Letter is what is kept of a row that could not be published.
type Letter struct {
	// Version is the letter's version; see the constant.
	Version int `json:"version"`
	// Name is the --name of the tailer that wrote it.
	Name string `json:"name"`
	// Source is the database that the row was committed to.
	Source Source `json:"source"`
	// Table is the configured name of its table.
	Table string `json:"table"`
	// ID is its id as people see it, nil for NULL.
	ID *string `json:"id"`
	// Position is where it stands, in the source's text. Transaction names its
	// transaction there, Ordinal is its number among the outbox rows of that,
	// from 1; a row of the snapshot has the transaction "snapshot".
	Position    string `json:"position"`
	Transaction string `json:"transaction"`
	Ordinal     uint64 `json:"ordinal"`
	// Committed is when the source committed it.
	Committed time.Time `json:"committed"`
	// Reason says why it cannot be published.
	Reason string `json:"reason"`
	// Time is when it was given up, by the clock of tailer.
	Time time.Time `json:"time"`
	// Tailer is the version of the binary that wrote it.
	Tailer string `json:"tailer"`
	// Length and SHA256 are of the bytes of all mapped columns, one behind the
	// other, as the log brought them; NULL adds none.
	Length int    `json:"length"`
	SHA256 string `json:"sha256"`
	// Columns are all columns of the row that the log brings, the mapped ones
	// first. Those alone are there where all would be too large for the topic,
	// and in letters of older versions. nil in a letter about a row that was too
	// large all the same, as is Shape; RowID is set there instead.
	Columns Cells `json:"columns,omitempty"`
	// Shape describes the columns as they were then, in their order.
	Shape []outbox.Column `json:"shape,omitempty"`
	// RowID is the id column alone, to find the row in its table.
	RowID Cells `json:"row_id,omitempty"`
}

// Source identifies a database; see outbox.Identity.
type Source struct {
	Kind     outbox.Kind `json:"kind"`
	Identity string      `json:"identity"`
}

// Cell is one column of one row.
type Cell struct {
	Name string
	// Value is nil for NULL.
	Value []byte
}

// Cells are columns. As JSON they are an object whose members are the columns
// in their order: text as a string, bytes that are not UTF-8 as
// {"base64": "..."}, NULL as null. Read back, they are in the order of names.
type Cells []Cell

// Find gives a column; ok is false when it is not there.
func (c Cells) Find(name string) (value []byte, ok bool) {
	for i := range c {
		if c[i].Name == name {
			return c[i].Value, true
		}
	}
	return nil, false
}

// notText is the JSON of bytes that are not UTF-8.
type notText struct {
	Base64 []byte `json:"base64"`
}

// MarshalJSON writes the object.
func (c Cells) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	b.WriteByte('{')
	for i, cell := range c {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := enc.Encode(cell.Name); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		var v any
		switch {
		case cell.Value == nil:
		case utf8.Valid(cell.Value):
			v = string(cell.Value)
		default:
			v = notText{cell.Value}
		}
		if err := enc.Encode(v); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (c *Cells) UnmarshalJSON(text []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return err
	}
	*c = (*c)[:0]
	for name, raw := range members {
		cell := Cell{Name: name}
		var s string
		var bin notText
		switch {
		case string(raw) == "null":
		case json.Unmarshal(raw, &s) == nil:
			cell.Value = append([]byte{}, s...)
		case json.Unmarshal(raw, &bin) == nil && bin.Base64 != nil:
			cell.Value = bin.Base64
		default:
			return fmt.Errorf("column %q is neither text, base64 nor null", name)
		}
		*c = append(*c, cell)
	}
	slices.SortFunc(*c, func(a, b Cell) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	return nil
}

// Writer says who writes letters, and of what.
type Writer struct {
	Name   string
	Tailer string
	Source Source
	// Topic is the dead-letter topic.
	Topic string
}

// Write appends the letter of a row to m: in full, or, where that takes more
// than room bytes of key, value and headers, with its mapped columns alone, or
// with none.
func (w *Writer) Write(m *outbox.Messages, b *outbox.Batch, q *outbox.Poison, room int) error {
	r := &b.Rows[q.Row]
	txn, _ := b.TxnText(r.Txn)
	sum, length := sumOf(b, r)
	l := Letter{
		Version: Version, Name: w.Name, Source: w.Source, Table: q.Table, Position: q.Position,
		Transaction: string(txn), Ordinal: b.Ordinal(q.Row), Committed: b.Txns[r.Txn].Commit.UTC(),
		Reason: cut(q.Reason), Time: time.Now().UTC(), Tailer: w.Tailer, Length: length, SHA256: sum,
	}
	msg := outbox.Message{Topic: w.Topic, Partition: 0, Row: q.Row, Letter: true}
	id, ok := b.Value(r, 0)
	if ok {
		l.ID, msg.Key = &q.ID, []byte(q.ID)
	}
	msg.Headers = m.Headers(2)
	msg.Headers[0] = outbox.Header{Key: []byte(headerTable), Value: []byte(l.Table)}
	msg.Headers[1] = outbox.Header{Key: []byte(headerReason), Value: []byte(l.Reason)}
	room -= len(msg.Key)
	for _, h := range msg.Headers {
		room -= len(h.Key) + len(h.Value)
	}
	fits := func() (bool, error) {
		n := 0
		for i := range l.Columns {
			n += len(l.Columns[i].Value)
		}
		if n > room { // JSON is never shorter
			return false, nil
		}
		var err error
		msg.Value, err = l.encode()
		return err == nil && len(msg.Value) <= room, err
	}
	for i, c := range r.Shape.Columns {
		v, _ := b.Value(r, i)
		l.Columns = append(l.Columns, Cell{c.Name, v})
	}
	l.Shape = slices.Clone(r.Shape.Columns)
	for i, c := range r.Shape.Rest {
		if c.Missing {
			continue // it cannot be read
		}
		v, _ := b.Rest(r, i)
		l.Columns, l.Shape = append(l.Columns, Cell{c.Name, v}), append(l.Shape, c)
	}
	done, err := fits()
	if !done && err == nil && len(r.Shape.Rest) > 0 {
		l.Columns, l.Shape = l.Columns[:len(r.Shape.Columns)], r.Shape.Columns
		done, err = fits()
	}
	if !done && err == nil {
		l.Columns, l.Shape = nil, nil
		if ok {
			l.RowID = Cells{{r.Shape.Columns[0].Name, id}}
		}
		msg.Value, err = l.encode()
	}
	m.List = append(m.List, msg)
	return err
}

func (l *Letter) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(l); err != nil {
		return nil, fmt.Errorf("encode a dead letter: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// cut bounds a reason, at the end of a character.
func cut(reason string) string {
	if len(reason) <= maxReason {
		return reason
	}
	n := maxReason
	for n > 0 && !utf8.RuneStart(reason[n]) {
		n--
	}
	return reason[:n] + "..."
}

// sumOf is a row's SHA256 and Length.
func sumOf(b *outbox.Batch, r *outbox.Row) (string, int) {
	h, n := sha256.New(), 0
	for i := range r.Shape.Columns {
		v, _ := b.Value(r, i)
		n += len(v)
		_, _ = h.Write(v) // it never fails
	}
	return digest(h), n
}

func digest(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// decode reads a record of the dead-letter topic that is no mark.
func decode(value []byte) (*Letter, error) {
	var v struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(value, &v); err != nil || v.Version < 1 {
		return nil, errors.New("it is no dead letter of tailer's")
	}
	if v.Version > Version {
		return nil, fmt.Errorf("it was written by a newer tailer (version %d; this binary knows %d)", v.Version, Version)
	}
	l := new(Letter)
	if err := json.Unmarshal(value, l); err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	return l, nil
}

// mark is the record that says that the letter at an offset is replayed.
func mark(topic string, key []byte, offset int64) outbox.Message {
	return outbox.Message{Topic: topic, Partition: 0, Key: key, Row: -1,
		Headers: []outbox.Header{{Key: []byte(headerReplayed), Value: strconv.AppendInt(nil, offset, 10)}}}
}

// marked is the offset that a mark names; ok is false for any other record.
func marked(r *outbox.Record) (offset int64, ok bool) {
	if r.Value != nil {
		return 0, false
	}
	for _, h := range r.Headers {
		if string(h.Key) == headerReplayed {
			n, err := strconv.ParseInt(string(h.Value), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// same identifies the row that a letter is about: two letters about one row
// (at-least-once, or a checkpoint that was set back) are replayed once.
func (l *Letter) same() string {
	id := "-"
	if l.ID != nil {
		id = strconv.Quote(*l.ID)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %q %q %d %s %s", l.Source.Kind, l.Source.Identity, l.Table, l.Transaction, l.Ordinal, id, l.SHA256))
	return string(sum[:])
}

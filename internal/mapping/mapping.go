package mapping

import (
	"encoding/hex"
	"fmt"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Config says how rows become messages.
type Config struct {
	// TopicPrefix is put before every topic; "" for none.
	TopicPrefix string
	// MaxRowBytes is the greatest size of a row's mapped columns together, in
	// bytes; a larger row is poison. 0 means no limit.
	MaxRowBytes int
	// Tables are the outbox tables, in the order of the source's list.
	Tables []Table
}

// Table names the columns of one outbox table. An empty name stands for the
// default, which is the field's name in lower case.
type Table struct {
	// Name is the configured name, for people: "public.outbox".
	Name          string
	ID            string
	AggregateType string
	AggregateID   string
	Payload       string
}

// The wanted columns of every table, in the order of Columns.
const (
	colID = iota
	colRoute
	colKey
	colPayload
	columns
)

// topicsKept bounds the cache of topic names: aggregate types are few, and a
// table that routes by something else must not make us grow.
const topicsKept = 4096

var headerID = []byte("id")

// Mapper maps batches. It is used by one goroutine at a time.
type Mapper struct {
	cfg    Config
	plans  []plan            // by table
	topics map[string]string // route value -> topic
}

// plan is what a shape means for the mapping.
type plan struct {
	shape *outbox.Shape
	bytea [columns]bool // the cell is the hex text of bytes
}

// New checks the configuration and returns a Mapper.
func New(cfg Config) (*Mapper, error) {
	if len(cfg.Tables) == 0 {
		return nil, &outbox.Invalid{Option: "outbox-table", Text: "no outbox table is configured"}
	}
	m := &Mapper{cfg: cfg, plans: make([]plan, len(cfg.Tables)), topics: make(map[string]string)}
	for i := range m.cfg.Tables {
		t := &m.cfg.Tables[i]
		for _, c := range []struct {
			name *string
			def  string
		}{{&t.ID, "id"}, {&t.AggregateType, "aggregatetype"}, {&t.AggregateID, "aggregateid"}, {&t.Payload, "payload"}} {
			if *c.name == "" {
				*c.name = c.def
			}
		}
	}
	return m, nil
}

// Columns are the columns of a table that the source must deliver, in order.
func (m *Mapper) Columns(table int) []string {
	t := &m.cfg.Tables[table]
	return []string{colID: t.ID, colRoute: t.AggregateType, colKey: t.AggregateID, colPayload: t.Payload}
}

// Map appends a message to out for every row of b, in order. Rows that cannot
// be mapped are left out and named in out.Poison. The messages' bytes belong
// to b and out.
func (m *Mapper) Map(b *outbox.Batch, out *outbox.Messages) {
	for i := range b.Rows {
		r := &b.Rows[i]
		p := m.plan(r.Shape)
		if m.cfg.MaxRowBytes > 0 && r.Size > m.cfg.MaxRowBytes {
			m.poison(b, i, out, fmt.Sprintf("its %d bytes exceed --max-row-bytes %d", r.Size, m.cfg.MaxRowBytes))
			continue
		}
		route, ok := b.Value(r, colRoute)
		if !ok {
			m.poison(b, i, out, fmt.Sprintf("column %s is NULL, so there is no topic to send it to",
				m.cfg.Tables[r.Shape.Table].AggregateType))
			continue
		}
		id, ok1 := p.value(b, r, colID, out)
		key, ok2 := p.value(b, r, colKey, out)
		val, ok3 := p.value(b, r, colPayload, out)
		if !ok1 || !ok2 || !ok3 {
			m.poison(b, i, out, "a bytea column is not in the hex form that the server was asked for")
			continue
		}
		h := out.Headers(1)
		h[0] = outbox.Header{Key: headerID, Value: id}
		out.List = append(out.List, outbox.Message{
			Topic:     m.topic(route),
			Partition: outbox.ByKey,
			Key:       key,
			Value:     val,
			Headers:   h,
			Row:       i,
		})
	}
}

// plan returns what the shape means; it changes with the relation only.
func (m *Mapper) plan(s *outbox.Shape) *plan {
	p := &m.plans[s.Table]
	if p.shape != s {
		p.shape = s
		for i := range p.bytea {
			p.bytea[i] = s.Columns[i].Type == "bytea"
		}
	}
	return p
}

// value is a cell as it goes out: nil for NULL, the bytes themselves for
// bytea, the database's text for all else. ok is false for malformed hex.
func (p *plan) value(b *outbox.Batch, r *outbox.Row, col int, out *outbox.Messages) (v []byte, ok bool) {
	v, ok = b.Value(r, col)
	if !ok {
		return nil, true
	}
	if !p.bytea[col] {
		return v, true
	}
	if len(v) < 2 || v[0] != '\\' || v[1] != 'x' || len(v)%2 != 0 {
		return nil, false
	}
	if len(v) == 2 {
		return v[:0], true // empty, and not nil: nil would be a tombstone
	}
	raw := out.Bytes(hex.DecodedLen(len(v) - 2))
	_, err := hex.Decode(raw, v[2:])
	return raw, err == nil
}

func (m *Mapper) topic(route []byte) string {
	if t, ok := m.topics[string(route)]; ok {
		return t
	}
	if len(m.topics) >= topicsKept {
		clear(m.topics)
	}
	t := m.cfg.TopicPrefix + "outbox.event." + string(route)
	m.topics[string(route)] = t
	return t
}

func (m *Mapper) poison(b *outbox.Batch, row int, out *outbox.Messages, reason string) {
	r := &b.Rows[row]
	id, _ := b.Value(r, colID)
	out.Poison = append(out.Poison, outbox.Poison{
		Row:      row,
		Table:    m.cfg.Tables[r.Shape.Table].Name,
		ID:       string(id),
		Position: string(b.PositionText(row)),
		Reason:   reason,
	})
}

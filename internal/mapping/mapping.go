package mapping

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/tailer-io/tailer/internal/mapping/connect"
	"github.com/tailer-io/tailer/internal/outbox"
)

// shortColumns are the wanted columns of a table that is mapped the short way,
// in this order, as long as no two of them are one.
const (
	shortRoute = iota + 1
	shortKey
	shortPayload
	shortColumns
)

var headerID = []byte("id")

// Mapper maps batches. It is used by one goroutine at a time, except Check.
type Mapper struct {
	cfg    Config
	tables []*table
	plans  []*plan // by table; nil until a row came
	buf    []byte  // scratch
}

// New checks the configuration and returns a Mapper. The error is an
// *outbox.Invalid.
func New(cfg Config) (*Mapper, error) {
	if len(cfg.Tables) == 0 {
		return nil, &outbox.Invalid{Option: "outbox-table", Text: "no outbox table is configured"}
	}
	m := &Mapper{cfg: cfg, plans: make([]*plan, len(cfg.Tables))}
	for _, c := range cfg.Tables {
		t, err := newTable(c)
		if err != nil {
			return nil, err
		}
		if t.ContextHeaders != "" {
			t.fixed = contextHeaders(t.ContextHeaders, cfg)
		}
		m.tables = append(m.tables, t)
	}
	return m, nil
}

// Columns are the columns of a table that the source must deliver, in order.
func (m *Mapper) Columns(table int) []string { return m.tables[table].wanted }

// Optional tells, by column, whether the table may do without it: then the
// shape says Missing.
func (m *Mapper) Optional(table int) []bool { return m.tables[table].optional }

// Check reports whether the mapping of its table fits a shape; the error is an
// *outbox.Invalid that names table, option and column. It may be called beside
// Map.
func (m *Mapper) Check(s *outbox.Shape) error {
	_, err := m.makePlan(s)
	return err
}

// Map appends a message to out for every row of b, in order. Rows that cannot
// be mapped are left out and named in out.Poison; rows that Eventuate Tram says
// are published already are left out without a word. The messages' bytes belong
// to b and out.
func (m *Mapper) Map(b *outbox.Batch, out *outbox.Messages) {
	for i := range b.Rows {
		r := &b.Rows[i]
		p := m.plan(r.Shape)
		t := m.tables[r.Shape.Table]
		if t.Eventuate != nil && isPublished(b, r) {
			continue
		}
		if m.cfg.MaxRowBytes > 0 && r.Size > m.cfg.MaxRowBytes {
			m.poison(b, i, out, fmt.Sprintf("its %d bytes exceed --max-row-bytes %d", r.Size, m.cfg.MaxRowBytes))
			continue
		}
		var reason string
		switch {
		case p.short:
			reason = m.short(t, p, b, i, out)
		case t.Eventuate != nil:
			reason = m.tram(t, p, b, i, out)
		default:
			reason = m.long(t, p, b, i, out)
		}
		if reason != "" {
			m.poison(b, i, out, reason)
		}
	}
}

// short maps a row of the default preset; reason says why it is poison.
func (m *Mapper) short(t *table, p *plan, b *outbox.Batch, i int, out *outbox.Messages) (reason string) {
	r := &b.Rows[i]
	route, ok := b.Value(r, t.route)
	if !ok {
		return nullRoute(t.AggregateType)
	}
	id, err1 := p.bytes[colID].of(b, r, colID, out)
	key, err2 := p.bytes[t.key].of(b, r, t.key, out)
	val, err3 := p.bytes[t.payload].of(b, r, t.payload, out)
	if err := cmp.Or(err1, err2, err3); err != nil {
		return fmt.Sprintf("a column %s", err)
	}
	h := out.Headers(1)
	h[0] = outbox.Header{Key: headerID, Value: id}
	out.List = append(out.List, outbox.Message{
		Topic:     t.routed(m.cfg.TopicPrefix, route),
		Partition: outbox.ByKey,
		Key:       key,
		Value:     val,
		Headers:   h,
		Row:       i,
	})
	return ""
}

func nullRoute(column string) string { return noRoute(column, "is NULL") }

func noRoute(column, why string) string {
	return fmt.Sprintf("column %s %s, so there is no topic to send it to", column, why)
}

// long maps a row every other way.
func (m *Mapper) long(t *table, p *plan, b *outbox.Batch, i int, out *outbox.Messages) (reason string) {
	if p.err != nil {
		return p.err.Error()
	}
	r := &b.Rows[i]
	msg := outbox.Message{Partition: outbox.ByKey, Row: i}
	var err error
	if reason = m.route(t, b, r, &msg); reason != "" {
		return reason
	}
	if t.keyText == nil {
		if msg.Key, err = p.key.bytes(m, b, r, out); err != nil {
			return err.Error()
		}
	} else {
		key, column, why := t.keyText.append(m.buf[:0], b, r)
		if m.buf = key; column != "" {
			return fmt.Sprintf("column %s of the key %s", column, why)
		}
		msg.Key = kept(key, out)
	}
	if msg.Value, err = m.value(t, p, b, r, out); err != nil {
		return err.Error()
	}
	if t.timestamp != none {
		if text, ok := b.Value(r, t.timestamp); ok {
			at, err := p.time(text)
			if err != nil {
				return fmt.Sprintf("column %s: %s", t.Timestamp, err)
			}
			if at.Kind != connect.Null {
				msg.Time = time.UnixMilli(at.Int)
			}
		}
	}
	if t.partition != none {
		if text, ok := b.Value(r, t.partition); ok {
			n, err := strconv.ParseInt(string(text), 10, 32)
			if err != nil || n < 0 {
				return fmt.Sprintf("column %s is no partition: %s", t.Partition, text)
			}
			msg.Partition = int32(n)
		}
	}
	if msg.Headers, err = m.headers(t, p, b, &msg, out); err != nil {
		return err.Error()
	}
	out.List = append(out.List, msg)
	return ""
}

// route finds the topic; reason says why there is none.
func (m *Mapper) route(t *table, b *outbox.Batch, r *outbox.Row, msg *outbox.Message) (reason string) {
	if t.topic != nil {
		topic, column, why := t.topic.append(m.buf[:0], b, r)
		if m.buf = topic; column != "" {
			return noRoute(column, why)
		}
		msg.Topic = t.named(m.cfg.TopicPrefix, topic)
		return ""
	}
	route, ok := b.Value(r, t.route)
	if !ok {
		return nullRoute(t.AggregateType)
	}
	msg.Topic = t.routed(m.cfg.TopicPrefix, route)
	return ""
}

// headers makes a row's headers: the attributes of its CloudEvent, what is the
// same for all, the trace context, the id, then the others.
func (m *Mapper) headers(t *table, p *plan, b *outbox.Batch, msg *outbox.Message, out *outbox.Messages) ([]outbox.Header, error) {
	i := msg.Row
	r := &b.Rows[i]
	var room [3]outbox.Header
	var trace []outbox.Header
	if t.trace != none {
		if text, ok := b.Value(r, t.trace); ok {
			trace = traceHeaders(text, &room)
		}
	}
	n := len(t.fixed) + len(trace) + len(p.headers)
	if t.CloudEvents != nil {
		n += 1 + len(p.attributes) // and the version
	}
	if t.IDHeader != noHeader {
		n++
	}
	list := out.Headers(n)
	at := 0
	if t.CloudEvents != nil {
		var err error
		if at, err = m.attributes(p, b, i, msg, out, list); err != nil {
			return nil, err
		}
	}
	at += copy(list[at:], t.fixed)
	at += copy(list[at:], trace)
	if t.IDHeader != noHeader {
		id, err := p.id.bytes(m, b, r, out)
		if err != nil {
			return nil, err
		}
		list[at] = outbox.Header{Key: t.idKey, Value: id}
		at++
	}
	for k := range p.headers {
		h := &p.headers[k]
		v := h.text
		switch h.meta {
		case MetaPosition:
			v = b.CommitText(i)
		case MetaOrdinal:
			m.buf = strconv.AppendUint(m.buf[:0], b.Ordinal(i), 10)
			v = kept(m.buf, out)
		case "":
			if h.cell.name != "" {
				var err error
				if v, err = h.cell.bytes(m, b, r, out); err != nil {
					return nil, err
				}
			}
		}
		list[at+k] = outbox.Header{Key: h.name, Value: v}
	}
	return list[:at+len(p.headers)], nil
}

// contextHeaders are what Debezium's connectors put first by default
// (extended.headers.enabled).
func contextHeaders(name string, cfg Config) []outbox.Header {
	header := func(key, value string) outbox.Header {
		return outbox.Header{Key: []byte("__debezium.context." + key), Value: []byte(value)}
	}
	return []outbox.Header{header("connectorLogicalName", name), header("taskId", "0"),
		header("connectorName", cfg.Source.Connector), header("runId", cfg.Run)}
}

// plan returns what the shape means; it changes with the relation only.
func (m *Mapper) plan(s *outbox.Shape) *plan {
	p := m.plans[s.Table]
	if p != nil && p.shape == s {
		return p
	}
	p, err := m.makePlan(s)
	if err != nil {
		// The source refuses such a shape before; whoever does not check
		// still must not guess.
		p = &plan{shape: s, err: err}
	}
	m.plans[s.Table] = p
	return p
}

// ID is the id of a row as people see and type it, "" when it is NULL. It may
// be called beside Map.
func (m *Mapper) ID(b *outbox.Batch, row int) string {
	r := &b.Rows[row]
	t := m.tables[r.Shape.Table]
	id, _ := b.Value(r, colID)
	if t.isUUID(t.ID) && len(id) == uuidBytes {
		id = connect.AppendUUID(nil, id)
	}
	return outbox.IDText(id)
}

func (m *Mapper) poison(b *outbox.Batch, row int, out *outbox.Messages, reason string) {
	out.Poison = append(out.Poison, outbox.Poison{
		Row:      row,
		Table:    m.tables[b.Rows[row].Shape.Table].Name,
		ID:       m.ID(b, row),
		Position: string(b.PositionText(row)),
		Reason:   reason,
	})
}

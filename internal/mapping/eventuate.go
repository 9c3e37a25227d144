package mapping

import (
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Eventuate makes a table one of Eventuate Tram's (https://eventuate.io): the
// columns are its own, and a message is what Eventuate's CDC service makes of
// the row. Rows that a consumer in its default settings would stop on are
// poison: such a consumer never reads on.
type Eventuate struct {
	// DatabaseIDs says that the database makes the ids (column dbid) and that
	// the header ID is added here.
	DatabaseIDs bool
	// OutboxID is the second half of such an id: eventuate.outbox.id plus the
	// number of the table among its shards.
	OutboxID uint64
}

// The wanted columns of a table of Eventuate Tram; colID is id or dbid.
const (
	tramDestination = iota + 1
	tramHeadersCol
	tramPayload
	tramPublished
)

// tramIDLen is the length of an id: 16 hexadecimal digits, a dash, 16 more.
const tramIDLen = 33

// maxTramID is the length of an id in characters that every form of the table
// received_messages takes.
const maxTramID = 255

func newTramTable(cfg Table) *table {
	t := &table{Table: cfg, topics: map[string]string{}}
	id := "id"
	if t.Eventuate.DatabaseIDs {
		id = "dbid"
	}
	t.wanted = []string{id, "destination", "headers", "payload", "published"}
	t.optional = make([]bool, len(t.wanted))
	t.optional[tramPublished] = true
	t.route, t.key, t.timestamp, t.partition, t.version, t.trace = none, none, none, none, none, none
	return t
}

// checkTram says whether a shape can be a table of Eventuate Tram.
func (m *Mapper) checkTram(t *table, s *outbox.Shape) error {
	for _, i := range []int{tramDestination, tramHeadersCol, tramPayload} {
		if c := &s.Columns[i]; m.cfg.Source.Hex(columnOf(c)) || m.cfg.Source.Binary(columnOf(c)) {
			return t.invalid("preset", "column %q is of type %s; eventuate has texts there, or JSON", c.Name, c.Type)
		}
	}
	return nil
}

// isPublished tells that somebody has published a row already.
func isPublished(b *outbox.Batch, r *outbox.Row) bool {
	v, ok := b.Value(r, tramPublished)
	return ok && string(v) != "0" && string(v) != "f"
}

// tram maps a row of Eventuate Tram; reason says why it is poison.
func (m *Mapper) tram(t *table, p *plan, b *outbox.Batch, i int, out *outbox.Messages) (reason string) {
	if p.err != nil {
		return p.err.Error()
	}
	r := &b.Rows[i]
	destination, ok := b.Value(r, tramDestination)
	if !ok {
		return nullRoute("destination")
	}
	text, _ := b.Value(r, tramHeadersCol)
	payload, hasPayload := b.Value(r, tramPayload)
	if !utf8.Valid(text) || !utf8.Valid(payload) {
		return "its headers or its payload are not in UTF-8"
	}
	h, reason, scratch := scanTramHeaders(text, m.buf)
	m.buf = scratch
	if reason != "" {
		return reason
	}
	if name := h.missing(); name != "" {
		return fmt.Sprintf("its header %s has no value, on which a consumer stops for good", name)
	}
	if (h.event || h.command) && !m.isJSON(payload) {
		return "its payload is no JSON, on which a consumer stops for good"
	}
	id, reason := m.tramID(t, b, r, &h, out)
	if reason != "" {
		return reason
	}
	key := id
	if h.partition.value {
		key = m.tramText(&h.partition, out)
	}
	var added []byte
	if !h.id.there {
		added = id
	}
	out.List = append(out.List, outbox.Message{
		Topic:     t.named(m.cfg.TopicPrefix, destination),
		Partition: outbox.ByKey,
		Key:       key,
		Value:     tramValue(payload, hasPayload, text, &h, added, out),
		Row:       i,
	})
	return ""
}

// tramID is the id of a row's message: the header's, or the one that the
// database made.
func (m *Mapper) tramID(t *table, b *outbox.Batch, r *outbox.Row, h *tramHeaders, out *outbox.Messages) (id []byte, reason string) {
	if h.id.there || !t.Eventuate.DatabaseIDs {
		switch {
		case !h.id.there:
			return nil, "its header ID is missing, on which a consumer stops for good; for ids that the database makes there is --outbox-id"
		case !h.id.value:
			return nil, "its header ID has no value, on which a consumer stops for good"
		}
		id = m.tramText(&h.id, out)
		switch n := utf8.RuneCount(id); {
		case n == 0:
			return nil, "its header ID is empty: consumers would skip all such messages but the first as duplicates"
		case n > maxTramID:
			return nil, fmt.Sprintf("its header ID has %d characters, and received_messages takes %d", n, maxTramID)
		case slices.Contains(id, 0):
			return nil, "its header ID holds U+0000, which received_messages does not take"
		}
		return id, ""
	}
	text, _ := b.Value(r, colID)
	high, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return nil, fmt.Sprintf("column dbid is no whole number: %q", text)
	}
	id = out.Bytes(tramIDLen)
	putHex(id[:16], uint64(high))
	id[16] = '-'
	putHex(id[17:], t.Eventuate.OutboxID)
	return id, ""
}

func putHex(dst []byte, v uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = "0123456789abcdef"[v&15]
		v >>= 4
	}
}

// tramText is the text of a header that has a value; never nil.
func (m *Mapper) tramText(h *tramHeader, out *outbox.Messages) []byte {
	if h.plain {
		return h.text
	}
	m.buf = appendUnescaped(m.buf[:0], h.text)
	return kept(m.buf, out)
}

// tramValue is the envelope, in one piece of its exact size. added is the id
// to add to the headers, nil for none.
func tramValue(payload []byte, hasPayload bool, headers []byte, h *tramHeaders, added []byte, out *outbox.Messages) []byte {
	const (
		begin  = `{"payload":`
		middle = `,"headers":`
		idName = `"ID":"`
	)
	size := len(begin) + len(middle) + len(headers) + 1
	if hasPayload {
		size += escapedLen(payload) + 2
	} else {
		size += len("null")
	}
	if added != nil {
		size += len(idName) + len(added) + 1
		if !h.empty {
			size++
		}
	}
	v := append(out.Bytes(size)[:0], begin...)
	if hasPayload {
		v = append(v, '"')
		v = appendEscaped(v, payload)
		v = append(v, '"')
	} else {
		v = append(v, "null"...)
	}
	v = append(v, middle...)
	v = append(v, headers[:h.closing]...)
	if added != nil {
		if !h.empty {
			v = append(v, ',')
		}
		v = append(v, idName...)
		v = append(v, added...)
		v = append(v, '"')
	}
	v = append(v, headers[h.closing:]...)
	return append(v, '}')
}

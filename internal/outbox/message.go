package outbox

import "time"

// ByKey as Message.Partition lets the key choose: murmur2 as the Java client
// computes it.
const ByKey = -1

// Header is one Kafka record header. Value is nil for a null header.
type Header struct {
	Key   []byte
	Value []byte
}

// Message is one Kafka record to be. Its bytes lie in the batch it was mapped
// from, or are constants of the mapping: valid until the batch is recycled.
type Message struct {
	Topic string
	// Partition is ByKey, or an explicit partition.
	Partition int32
	// Key is nil for a null key.
	Key []byte
	// Value is nil for a tombstone.
	Value   []byte
	Headers []Header
	// Time is the record's timestamp; zero means the time of publishing.
	Time time.Time
	// Row indexes the batch's rows; -1 for a message that is no row
	// (checkpoint, barrier).
	Row int
	// Letter marks a dead letter: it tells of its row, which is not published.
	Letter bool
}

// Messages is what a batch maps to, in the order of its rows; rows that are
// poison are left out and named in Poison. It is reused from batch to batch.
type Messages struct {
	List   []Message
	Poison []Poison

	headers []Header
	scratch []byte
}

// keepScratch is how much memory of mapped bytes is kept from batch to batch.
const keepScratch = 4 << 20

// Reset empties m and keeps its memory, but for what a large row has taken.
func (m *Messages) Reset() {
	clear(m.List)
	clear(m.headers)
	if cap(m.scratch) > keepScratch {
		m.scratch = nil
	}
	m.List, m.Poison, m.headers, m.scratch = m.List[:0], m.Poison[:0], m.headers[:0], m.scratch[:0]
}

// Headers makes room for n headers that live as long as m does, without an
// allocation once m has grown.
func (m *Messages) Headers(n int) []Header {
	at := len(m.headers)
	for range n {
		m.headers = append(m.headers, Header{})
	}
	return m.headers[at : at+n : at+n]
}

// Bytes makes room for n bytes that live as long as m does.
func (m *Messages) Bytes(n int) []byte {
	at := len(m.scratch)
	if at+n > cap(m.scratch) {
		// Earlier slices keep the old array; only new ones use the new one.
		m.scratch, at = make([]byte, 0, max(min(2*cap(m.scratch), keepScratch), n, 4096)), 0
	}
	m.scratch = m.scratch[:at+n]
	return m.scratch[at : at+n : at+n]
}

// Barrier is a record committed in a transaction of its own right after
// fencing: what stands before it in the checkpoint topic is final, because
// nobody fenced earlier can add to it any more.
type Barrier struct {
	Key   string
	Value []byte
}

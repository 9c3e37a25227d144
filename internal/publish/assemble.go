package publish

import (
	"math/bits"
	"time"

	"github.com/IBM/sarama"

	"github.com/tailer-io/tailer/internal/outbox"
)

const (
	// batchOverhead is the size of a record batch without records, in bytes:
	// everything from baseOffset to the record count
	// (https://kafka.apache.org/documentation/#recordbatch).
	batchOverhead = 61
	// batchTarget bounds a record batch that could be larger: topics may allow
	// far more than is good for anybody's memory. A single record may exceed
	// it.
	batchTarget = 1 << 20
	// requestTarget bounds a Produce request, in bytes of uncompressed
	// batches. Requests overlap: while one is on its way, or being appended,
	// the next is assembled; and sarama encodes each into a fresh buffer, so
	// this bounds garbage as well. A single record may exceed it.
	requestTarget = 1 << 20
)

// assembler turns messages into record batches, one per partition, gathered
// by the broker that leads it. Warm, it allocates nothing per message: records
// and batches are used again and again.
type assembler struct {
	codec     sarama.CompressionCodec
	shipments []*shipment // those with batches first; the rest are spare
	busy      int
	spare     []*batch
}

// shipment is what goes to one broker in one request.
type shipment struct {
	leader  int32
	batches []*batch
	bytes   int // all batches, uncompressed
	records slab
}

// batch is the record batch of one partition.
type batch struct {
	wire sarama.RecordBatch
	part *part
	ship *shipment
	size int   // in bytes, uncompressed, exact
	base int64 // the first record's time, in ms; deltas count from it
	max  int64 // the latest time
	done bool  // acknowledged
}

// add puts a message into the batch of its partition. False says that there is
// no room: the shipment to the partition's leader has to leave first, and then
// there is. ms is the record's time.
func (a *assembler) add(p *part, msg *outbox.Message, ms int64) bool {
	b := p.open
	if b == nil {
		s := a.shipment(p.leader)
		size := batchOverhead + recordSize(msg, 0, 0)
		if s.bytes > 0 && s.bytes+size > requestTarget {
			return false
		}
		b = a.begin(p, s, ms)
	}
	n := int64(len(b.wire.Records))
	size := recordSize(msg, ms-b.base, n)
	if n > 0 && (b.size+size > a.room(p.topic) || b.ship.bytes+size > requestTarget) {
		return false
	}
	r := b.ship.records.next()
	r.TimestampDelta = time.Duration(ms-b.base) * time.Millisecond
	r.OffsetDelta = n
	r.Key, r.Value = msg.Key, msg.Value
	b.ship.records.setHeaders(r, msg.Headers)
	b.wire.Records = append(b.wire.Records, r)
	b.max = max(b.max, ms)
	b.size += size
	b.ship.bytes += size
	return true
}

// room is how large a batch may become. The broker counts compressed bytes, and
// what does not compress grows a little: that must not carry a full batch over
// the limit.
func (a *assembler) room(t *topic) int {
	if a.codec == sarama.CompressionNone {
		return min(batchTarget, t.limits.maxBytes)
	}
	return min(batchTarget, compressible(t.limits.maxBytes))
}

// compressible is the size up to which a batch stays below a limit whatever
// its bytes are. Every codec stores what it cannot compress, with some bytes of
// its own for each 32 KB or more.
func compressible(limit int) int { return (limit - 1024) / 65 * 64 }

// shipment gives the one to a leader.
func (a *assembler) shipment(leader int32) *shipment {
	for _, s := range a.shipments[:a.busy] {
		if s.leader == leader {
			return s
		}
	}
	if a.busy == len(a.shipments) {
		a.shipments = append(a.shipments, new(shipment))
	}
	s := a.shipments[a.busy]
	a.busy++
	s.leader = leader
	return s
}

// begin opens a batch for a partition.
func (a *assembler) begin(p *part, s *shipment, ms int64) *batch {
	var b *batch
	if n := len(a.spare); n > 0 {
		b, a.spare = a.spare[n-1], a.spare[:n-1]
	} else {
		b = new(batch)
	}
	records := b.wire.Records[:0]
	*b = batch{part: p, ship: s, size: batchOverhead, base: ms, max: ms}
	b.wire.Records = records
	p.open = b
	s.batches = append(s.batches, b)
	s.bytes += batchOverhead
	return b
}

// seal completes a batch with what only the producer knows, and takes its
// sequence numbers.
func (a *assembler) seal(b *batch, p producer, transactional bool) {
	n := int32(len(b.wire.Records))
	w := &b.wire
	w.Version = 2
	w.PartitionLeaderEpoch = -1
	w.Codec = a.codec
	if b.size > compressible(b.part.topic.limits.maxBytes) {
		w.Codec = sarama.CompressionNone // one record, nearly too large
	}
	w.CompressionLevel = sarama.CompressionLevelDefault
	w.LastOffsetDelta = n - 1
	w.FirstTimestamp = time.UnixMilli(b.base)
	w.MaxTimestamp = time.UnixMilli(b.max)
	w.ProducerID, w.ProducerEpoch = p.id, p.epoch
	w.FirstSequence = b.part.sequence
	w.IsTransactional = transactional
	b.part.sequence = nextSequence(b.part.sequence, n)
}

// nextSequence counts on by n. Behind 2^31-1 comes 0.
func nextSequence(s, n int32) int32 { return int32((uint32(s) + uint32(n)) & 0x7fffffff) }

// release takes back a shipment that is encoded, or given up.
func (a *assembler) release(s *shipment) {
	for i, b := range s.batches {
		b.part.open = nil
		clear(b.wire.Records)
		// sarama leaves the encoded records in it.
		b.wire = sarama.RecordBatch{Records: b.wire.Records[:0]}
		a.spare = append(a.spare, b)
		s.batches[i] = nil
	}
	s.batches, s.bytes = s.batches[:0], 0
	s.records.reset()
	for i, t := range a.shipments[:a.busy] {
		if t == s {
			a.busy--
			a.shipments[i], a.shipments[a.busy] = a.shipments[a.busy], s
			return
		}
	}
}

// drop releases everything, after an error.
func (a *assembler) drop() {
	for a.busy > 0 {
		a.release(a.shipments[a.busy-1])
	}
}

// slab hands out records that are used again after reset. What they consist of
// lies in few large pieces, for the garbage collector's sake: it looks at each
// piece of what lives, several times a second while much is published.
type slab struct {
	chunks  [][]sarama.Record
	used    int
	headers []sarama.RecordHeader // those that no record has had yet
	lists   []*sarama.RecordHeader
}

const slabChunk = 512

func (s *slab) next() *sarama.Record {
	i := s.used / slabChunk
	if i == len(s.chunks) {
		s.chunks = append(s.chunks, make([]sarama.Record, slabChunk))
	}
	r := &s.chunks[i][s.used%slabChunk]
	s.used++
	return r
}

// reset forgets the bytes that the records point to: they belong to a source's
// batch, which may want to give them up.
func (s *slab) reset() {
	for i := range s.used {
		r := &s.chunks[i/slabChunk][i%slabChunk]
		r.Key, r.Value = nil, nil
		for _, h := range r.Headers {
			h.Key, h.Value = nil, nil
		}
	}
	s.used = 0
}

// setHeaders reuses the headers that a record had before.
func (s *slab) setHeaders(r *sarama.Record, headers []outbox.Header) {
	list := r.Headers[:cap(r.Headers)]
	if len(list) < len(headers) {
		list = s.list(len(headers))
	}
	for i := range headers {
		list[i].Key, list[i].Value = headers[i].Key, headers[i].Value
	}
	r.Headers = list[:len(headers)]
}

// list is room for n headers, which stays the record's.
func (s *slab) list(n int) []*sarama.RecordHeader {
	if len(s.headers) < n {
		s.headers = make([]sarama.RecordHeader, max(n, slabChunk))
		s.lists = make([]*sarama.RecordHeader, len(s.headers))
		for i := range s.headers {
			s.lists[i] = &s.headers[i]
		}
	}
	list := s.lists[:n:n]
	s.headers, s.lists = s.headers[n:], s.lists[n:]
	return list
}

// recordSize is the size of a record inside a batch, in bytes. delta is its
// time against the batch's first, in ms; n its number in the batch.
func recordSize(msg *outbox.Message, delta, n int64) int {
	size := 1 + varintSize(delta) + varintSize(n) // attributes, deltas
	size += bytesSize(msg.Key) + bytesSize(msg.Value)
	size += varintSize(int64(len(msg.Headers)))
	for i := range msg.Headers {
		size += bytesSize(msg.Headers[i].Key) + bytesSize(msg.Headers[i].Value)
	}
	return size + varintSize(int64(size))
}

func bytesSize(v []byte) int {
	if v == nil {
		return varintSize(-1)
	}
	return varintSize(int64(len(v))) + len(v)
}

// varintSize is the length of a number as a zigzag varint.
func varintSize(v int64) int {
	zigzag := uint64(v)<<1 ^ uint64(v>>63)
	return (bits.Len64(zigzag|1) + 6) / 7
}

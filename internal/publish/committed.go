package publish

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/IBM/sarama"
)

// record is a record that a reader sees. Its bytes belong to the answer they
// came with.
type record struct {
	offset     int64
	time       time.Time
	key, value []byte
	headers    []*sarama.RecordHeader
}

// committed gives the records in [from, to) of a fetch that belong to no
// aborted transaction, in order, and returns the offset behind
// the last batch of the answer; from when there was none. The answer to a
// read_uncommitted fetch names no aborted transactions: all records are given.
//
// The broker sends everything below the last stable offset, aborted records
// too, and says which producers had a transaction aborted that overlaps the
// answer, and where it began. A producer's records are left out from there up
// to its abort marker, a control batch; it may begin another transaction
// behind that, in the same answer (KIP-98, "Consumer: isolation level").
func committed(block *sarama.FetchResponseBlock, from, to int64, f func(record)) (next int64) {
	aborted := slices.Clone(block.AbortedTransactions)
	slices.SortFunc(aborted, func(a, b *sarama.AbortedTransaction) int {
		switch {
		case a.FirstOffset < b.FirstOffset:
			return -1
		case a.FirstOffset > b.FirstOffset:
			return 1
		}
		return 0
	})
	aborting := make(map[int64]bool) // by producer id
	next = from
	for _, set := range block.RecordsSet {
		b := set.RecordBatch
		if b == nil || b.PartialTrailingRecord {
			continue // cut off by the size limit; the next fetch brings it
		}
		last := b.LastOffset()
		next = max(next, last+1)
		for len(aborted) > 0 && aborted[0].FirstOffset <= last {
			aborting[aborted[0].ProducerID] = true
			aborted = aborted[1:]
		}
		if b.Control {
			if isAbortMarker(b) {
				delete(aborting, b.ProducerID)
			}
			continue
		}
		if b.IsTransactional && aborting[b.ProducerID] {
			continue
		}
		for _, r := range b.Records {
			if at := b.FirstOffset + r.OffsetDelta; at >= from && at < to {
				f(record{offset: at, time: timeOf(b, r), key: r.Key, value: r.Value, headers: r.Headers})
			}
		}
	}
	return next
}

// timeOf is a record's timestamp, or when the broker appended its batch, where
// the topic has message.timestamp.type=LogAppendTime.
func timeOf(b *sarama.RecordBatch, r *sarama.Record) time.Time {
	if b.LogAppendTime {
		return b.MaxTimestamp
	}
	return b.FirstTimestamp.Add(r.TimestampDelta)
}

// isAbortMarker reads the key of a control record: version and type, int16
// each; type 0 is abort, 1 is commit.
func isAbortMarker(b *sarama.RecordBatch) bool {
	if len(b.Records) == 0 || len(b.Records[0].Key) < 4 {
		return false
	}
	return binary.BigEndian.Uint16(b.Records[0].Key[2:]) == 0
}

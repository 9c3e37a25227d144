package publish

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/IBM/sarama"
)

// committed gives the records in [from, to) of a read_committed fetch that
// belong to no aborted transaction, in order, and returns the offset behind
// the last batch of the answer; from when there was none.
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
				// The answer may be a megabyte; what is kept must not pin it.
				f(record{offset: at, key: bytes.Clone(r.Key), value: bytes.Clone(r.Value)})
			}
		}
	}
	return next
}

// isAbortMarker reads the key of a control record: version and type, int16
// each; type 0 is abort, 1 is commit.
func isAbortMarker(b *sarama.RecordBatch) bool {
	if len(b.Records) == 0 || len(b.Records[0].Key) < 4 {
		return false
	}
	return binary.BigEndian.Uint16(b.Records[0].Key[2:]) == 0
}

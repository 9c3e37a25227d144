package outbox

import "time"

// Record is one record as it stands in a Kafka topic.
type Record struct {
	// Partition and Offset are its place in the topic.
	Partition int32
	Offset    int64
	// Time is the record's timestamp, in milliseconds: its producer's, or the
	// broker's where the topic asks for that.
	Time time.Time
	// Key and Value are nil for null.
	Key     []byte
	Value   []byte
	Headers []Header
}

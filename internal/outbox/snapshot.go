package outbox

import "context"

// SnapshotTxn is the name of the one transaction that all rows of a snapshot
// are in. No transaction of a log is called so.
const SnapshotTxn = "snapshot"

// Snapshot is a consistent view of the outbox tables at a position.
type Snapshot interface {
	// Resume is where streaming takes over: a row is either in the snapshot
	// or behind this position.
	Resume() Resume
	// Read appends rows to b until it is full or the tables are read: then
	// more is false.
	Read(ctx context.Context, b *Batch, l Limits) (more bool, err error)
	// Close ends the view; the anchor stays.
	Close()
}

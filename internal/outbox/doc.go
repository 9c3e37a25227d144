// Package outbox is the vocabulary of tailer: rows read from a database log,
// the batches they travel in, the messages they become, and the positions that
// say how far we are. It imports the standard library only, so that sources
// and publisher can meet here and nowhere else.
//
// Words, used the same way everywhere:
//
//	position    a place in the database's log (LSN, GTID set, file and offset)
//	offset      a place in a Kafka partition; never mixed up with a position
//	lineage     the branch of history a position lies on (Postgres timeline,
//	            MySQL server UUID)
//	resume      what a restart needs: position, lineage, and the open transaction
//	checkpoint  the saved resume
//	ack         an answer of the broker
//	confirm     telling the database that its log up to a position may go
//	in flight   read from the log, not yet committed to Kafka
package outbox

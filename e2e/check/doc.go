// Package check is the judge of the end-to-end suite: it knows what was committed to the database and what a
// consumer finds in Kafka, and says where the two differ.
//
// It shares no code with tailer and uses another client library, so that an error in tailer's reading of the
// protocols cannot hide itself. What it reports:
//
//	lost        committed to an outbox table, not in its topic
//	doubled     in its topic more than once (no finding with AtLeastOnce)
//	disordered  behind a younger message of the same key in the same partition
//	foreign     in the topic, committed by nobody: rolled back, or from somewhere else
//	wrong       key, value or headers are not the bytes that were committed
//	misplaced   not on the partition that a Java producer would have chosen
//	open        a partition with a transaction that nobody ends
//	led         the database was told a position that no committed checkpoint covers
//
// The order is known because every writer takes its aggregate's row lock before it draws the aggregate's next
// sequence number: sequence order is commit order.
package check

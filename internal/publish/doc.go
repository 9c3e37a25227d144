// Package publish brings messages to Kafka, or to stdout: one batch in, one
// transaction committed.
//
// A batch is on hand whole and in order, so there is no queue, no linger and
// no background producer here: the messages of a batch become record batches,
// one per partition, and leave in as few Produce requests as their size
// allows, over sarama's connections and wire types. The order of calls is the
// order of the protocol (KIP-98, https://cwiki.apache.org/confluence/x/ccHZB):
//
//	Fence    InitProducerId       whoever fenced before can commit no more
//	Admit    Metadata, ...        topics, partitions, sizes; writes nothing
//	Join     AddPartitionsToTxn   names the partitions, awaited
//	Produce  Produce, acks=-1     every partition's answer is checked
//	Commit   EndTxn
//
//	           +-------------------------------+
//	           v                               |
//	Fence -> ready -> Join -> Produce ... -> Commit
//	           |        |        |             |
//	           +--------+--------+-------------+--> broken -> Fence
//
// Nothing is repaired halfway. After an error in Join, Produce or Commit the
// transaction is broken, and the only way on is Fence, which aborts whatever
// is open and forgets leaders, coordinator and partition membership.
//
// Words: a node is one broker with at most one connection; a part is one
// partition with its sequence number; a limit is what a topic accepts.
package publish

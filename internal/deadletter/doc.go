// Package deadletter keeps rows that could not be published, and publishes
// them again once they can be.
//
// A dead letter is a record in partition 0 of the dead-letter topic, so that
// the order of the topic is the order in which rows were given up:
//
//	key      the row's id as people see it; null when it is NULL
//	value    a Letter as JSON
//	headers  table, reason
//
// It is committed together with the checkpoint that goes beyond its row.
// Replay reads the topic, maps each row with today's configuration and
// publishes it, in one transaction with a mark:
//
//	key      that of the letter
//	value    null
//	headers  replayed: the letter's offset
//
// A letter with a mark is done with, so that a second replay, or one after a
// crash, publishes nothing twice.
package deadletter

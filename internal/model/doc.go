// Package model checks the start order and the commit sequence of package
// pipeline by exploring every interleaving of two or three instances of one
// name over a small history: crashes, lost answers, cut sessions, the
// coordinator's time-outs, take-over, a failover of the database, and
// instances that stand still at any step for any time (whoever is not chosen
// to go on is a zombie). It holds tests only.
//
//	state_test.go    what a state is: database, broker, instances
//	broker_test.go   InitProducerId, transactions, markers that come late
//	source_test.go   the lock, the slot, the log and its failover
//	start_test.go    start.go, standby.go, first.go
//	commit_test.go   commit.go, recover.go
//	extend_test.go   extend.go
//	search_test.go   breadth-first search, shortest traces, what must stay reachable
//	model_test.go    the protocol holds, in the bounds of boundsOf
//	mutants_test.go  every mutant of the protocol breaks the guarantee that it should
//	code_test.go     the model and the code have the same steps and make the same calls
//
// Correspondence. An action of the model is what the code does between two of
// its calls to the outside; where the code says reached(pipeline.StepX), the
// action carries that very constant. A record in the checkpoint topic that is
// committed alone (barrier, phase) is one action, because what can happen
// between its three calls, and its end, is what can happen to the one: done or
// not done, answered or not, fenced. The reader is not apart from the
// publisher: what a queue could hold, a batch in hand holds as well.
//
// The history is a few transactions, one of them longer than a batch; the key
// of all rows is the same, so that "published" is a prefix of the history in
// every state or a guarantee is broken. Where a table is added, each transaction
// has one row in it, too, behind its others. Not modelled: at-least-once, poison,
// the operator's commands, time (whatever needs time to pass may happen at any
// moment).
package model

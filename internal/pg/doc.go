// Package pg reads outbox rows from PostgreSQL's log by logical decoding with
// pgoutput, and looks after what that needs: slot, publication, lock, guards.
// It is the only package that knows what an LSN is.
//
//	Connect   ordinary session: identity, requirements          session.go, require.go
//	TryLock   the name's advisory lock on a session of its own  lock.go
//	Prove     checkpoint against slot, timeline and log end     guard.go
//	Prepare.. publication, slot, snapshot of a first start      start.go, snapshot.go
//	Stream    the log, scanned in place                         stream.go
//	Watch     publication and tables, looked at from outside    watch.go
//	Check     the preflight; Setup, SetupSQL, Teardown beside   check.go, setup.go
//
// Reading takes one goroutine and no copy but the one into the batch:
//
//	socket -> reader (64 KB, messages in place) -> scanner (pgoutput) -> feed -> outbox.Handoff
//	   ^                                                                  |
//	   +----- pulse: status updates, silence <---- positions, Confirm ----+
//
// Positions. A transaction is done with at the end of its commit record; a
// keepalive outside a transaction says that everything before its position was
// sent. The server sends again every transaction whose commit record begins at
// or behind the position that it is told to start from, so both are safe to
// resume from. Only what the checkpoint holds is confirmed.
package pg

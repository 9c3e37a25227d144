// Package pipeline joins a source, a mapping and a sink: it holds the start
// order, the commit sequence and what is done after an error. It knows neither
// a database nor Kafka; what it needs of them is declared in interfaces.go.
//
// One run goes through these states (State):
//
//	         +-------------------------- transient error: back off ---------+
//	         v                                                              |
//	starting -> (lock not free) standby -> fence -> barrier -> prove --+    |
//	                 ^                                |                |    |
//	                 |                    no record: snapshot          |    |
//	                 |                                |                v    |
//	                 +------ fenced by a rival ------ streaming <-> caught_up
//	                                                  |        \
//	                                   refused <------+         +-> stopping
//
// Terms:
//
//	fence    make this process the only one that can commit under the name
//	barrier  a record committed right after fencing: what stands before it in
//	         the checkpoint topic is final
//	prove    show that the server's log still continues at the checkpoint
//	rival    another instance of the same name that fenced us
//	boundary the place in the log at which a table that is added joins the others
//	anchor   what makes the server keep its log for us (a slot)
//
// Files: pipeline.go the outer loop; start.go the start order; first.go the
// first start; extend.go tables that are added, forget.go those that are removed;
// standby.go the lock; commit.go the commit sequence; recover.go
// what follows a sink error; operate.go the operator's commands.
package pipeline

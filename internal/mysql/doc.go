// Package mysql reads outbox rows from the binary log of MySQL and MariaDB, and
// looks after what that needs: lock, guards, snapshot. It is the only package
// that knows what a GTID is.
//
//	Connect   ordinary session: identity, requirements          connect.go, facts.go
//	TryLock   the name's user lock on a session of its own      lock.go
//	Prove     checkpoint against GTIDs, log files and times     guard.go
//	CreateAnchor  a consistent view for the first start         snapshot.go
//	Stream    the log                                           stream.go, dump.go
//	Watch     settings and tables, looked at from outside       watch.go
//	Check     the preflight; Setup, SetupSQL, Teardown beside   check.go, setup.go
//
// Of go-mysql the replication package connects, registers and asks for the log;
// its retries are off and it hands over raw events, which are read in place:
//
//	socket -> link -> go-mysql (packets) -> feed (events, rows) -> outbox.Handoff
//	            |                             ^
//	            +-- before each read: settle -+   what ends on a commit may go
//
// Only rows of outbox tables are decoded: of another table's events the table
// id is compared. Inside a compressed transaction events are inflated one by
// one.
//
// # Positions
//
// A position is a set of transactions where the server has GTIDs (MySQL with
// gtid_mode=ON, tags included; MariaDB: the last transaction of each domain),
// else a file and an offset. It moves at the end of a transaction. The feed
// keeps it as numbers and writes its text when a batch is handed over; in the
// batch each transaction has its name and the step to it, from which the
// position inside a batch is put together when somebody asks (a poison row).
// "none" is the position before the first transaction.
//
// The lineage that travels with it holds the server's identity, and the name
// and commit time of the transaction read last: a server that lost the end of
// its log uses numbers again, and the times differ. See lineage.
//
// The identity that ties a checkpoint to a database is the database's name
// alone. Nothing else stays the same over a failover: every server has its own
// UUID, and no server knows a name for the topology that it belongs to. That it
// is the same data is proven by the GTIDs themselves, which hold the UUIDs of
// all servers that ever wrote: an unrelated server does not have them.
//
// # What is an insert
//
// A row that the log brings in a WRITE_ROWS event: INSERT (one message for each
// row), INSERT ... SELECT, LOAD DATA, the inserting case of INSERT ... ON
// DUPLICATE KEY UPDATE and of REPLACE. An ON DUPLICATE KEY UPDATE that finds
// the key is an update. A REPLACE that finds one deletes and inserts; the
// server writes that as an update of the row where it can (no foreign key
// refers to the table, and the conflict is on the last unique key), else as a
// delete and an insert: so it may or may not be published, and an outbox should
// be written by INSERT.
//
// # Rows that are not in the log
//
// A session may choose binlog_format STATEMENT or MIXED; then the log holds a
// statement's text and not what it wrote. Such a statement is refused unless it
// provably leads to no outbox table: it names neither one nor a table, view or
// routine from which triggers, definitions and bodies lead to one, however many
// steps away (reach.go, statement.go). UPDATE and DELETE on an outbox table
// itself insert nothing and pass. The definitions are looked up at the start,
// and learned from the log's own DDL as it is read. What an account may not see
// counts as leading there: with the least rights every such statement in a
// database with an outbox table is refused. What stands wholly in another
// database passes then, although a trigger there could reach across.
//
// # Facts of another time
//
// Rows are of the moment in which they were written. With
// binlog_row_metadata=FULL the log describes them itself, but for ZEROFILL, the
// digits of FLOAT(M,D), and MariaDB's UUID, which looks like BINARY(16); with
// less it has neither names nor members nor, in MariaDB, signs. The rest is
// information_schema's, of the moment in which it is asked: at the start, and
// behind each DDL that is about the table (ddl.go). Without names, a difference
// in a wanted column is refused there. A start that finds rows from before a
// change reads them as the table is now, if the number and types of columns
// allow it; when the change itself is met in the log, that is refused after the
// fact, where it may have mattered.
//
// # Transactions that are not committed
//
// The log holds a transaction once it is committed, with these exceptions. XA
// PREPARE writes the rows at once, whatever becomes of them: refused before any
// row is handed over. ROLLBACK and ROLLBACK TO stand in the log only when
// something in the transaction could not be taken back (a table of an engine
// without transactions, a temporary table; with GTIDs MySQL allows neither):
// their rows are dropped from the batch. That is why a transaction's rows are
// handed over at its end only. One that does not fit a batch is cut, and its
// first rows are published before the end is seen; if such a one ends in
// ROLLBACK after all, that is refused as the error it is. Outbox tables of an
// engine without transactions are refused, as their rows stay when everything
// around them is rolled back.
//
// # Times
//
// MySQL notes when a transaction was committed where it first was, in
// microseconds. MariaDB notes the second.
package mysql

package pipeline

import (
	"context"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Errors, for every method below: *outbox.Refusal and *outbox.Invalid end the
// run (status 3 and 2, or wait); anything else is taken for transient, and for an
// unknown outcome where a commit was asked for: the caller backs off and starts again from what the checkpoint says.
// Nothing is retried inside a method, unless its comment says so. Methods are
// called from one goroutine at a time unless the comment says otherwise.

// Source is a database whose log is read. Its parts are declared one by one
// below; internal/pg has the implementation for Postgres.
type Source interface {
	Session
	Locker
	Guard
	Starter
	Extender
	Streamer
	Watcher
	// Close ends every connection. A later Connect may open them again.
	Close()
}

// Session is the ordinary connection to the source.
type Session interface {
	// Connect opens it, asks who the server is, and checks what tailer needs
	// of it: log settings, tables, columns. What is missing is a Refusal, or
	// Invalid where the configuration does not fit the table. It changes
	// nothing in the database, and closes what an earlier Connect opened.
	Connect(ctx context.Context) (outbox.Identity, error)
	// Reach does the same without a look at the tables: enough for Locker and
	// Starter.DropAnchor, so that what cannot run any more can be torn down.
	Reach(ctx context.Context) (outbox.Identity, error)
}

// Locker keeps two instances of one name apart.
type Locker interface {
	// TryLock takes the name's lock on a session that is kept open. When
	// somebody else holds it, held is false and holder says who, for people.
	TryLock(ctx context.Context) (held bool, holder string, err error)
	// Locked asks the server whether the lock is still ours: an error says
	// that it is not, or that nobody can tell. It may be called while Stream
	// runs, and is, every few seconds: that also keeps the session alive.
	Locked(ctx context.Context) error
	// Evict ends the sessions of the lock's holder and of the log's reader
	// if they are ours by name. Call it only after fencing.
	Evict(ctx context.Context) error
}

// Guard compares a checkpoint with the server.
type Guard interface {
	// Prove returns nil when streaming from r is proven to neither lose nor
	// repeat a row, else a Refusal that says what was lost and which command
	// accepts it.
	Prove(ctx context.Context, r outbox.Resume) error
}

// Starter makes what a first start needs. An anchor is what makes the server
// keep its log for us: the slot in Postgres; MySQL has none, and its methods
// do nothing.
type Starter interface {
	// Prepare creates what must be there before the anchor (Postgres: the
	// publication, because pgoutput reads it with the historic catalog).
	Prepare(ctx context.Context) error
	// Anchor reports whether the anchor exists and where it stands. One that
	// is not ours to use (other plugin, other database) is a Refusal.
	Anchor(ctx context.Context) (exists bool, at outbox.Resume, err error)
	// DropAnchor removes it; one that does not exist is no error.
	DropAnchor(ctx context.Context) error
	// Count is the number of rows in the outbox tables, counted no further
	// than limit+1.
	Count(ctx context.Context, limit int64) (int64, error)
	// CountChosen counts, for each table, the rows that f chooses, for as long
	// as that takes, on a session of its own. A condition that is not one SQL
	// expression, or cannot be evaluated, is Invalid. It needs no Connect.
	CountChosen(ctx context.Context, f outbox.Filter) ([]int64, error)
	// CreateAnchor creates the anchor and opens a snapshot of the tables as of
	// the position at which it begins, of the rows that f chooses, which
	// CountChosen has accepted. It may wait for running transactions,
	// and logs for whom.
	CreateAnchor(ctx context.Context, f outbox.Filter) (outbox.Snapshot, error)
}

// Extender adds tables to those that are read already, and takes some away.
type Extender interface {
	// Choose says which of the configured tables, by their index, Prove, Count,
	// Publish, View and Stream are about from now on; nil for all. To Stream the
	// others are foreign tables. Connect and Watch look at all. It is not called
	// while Stream runs.
	Choose(tables []bool)
	// Publish makes the log bring the rows of the chosen tables (Postgres: puts
	// them into the publication).
	Publish(ctx context.Context) error
	// View opens a snapshot of the chosen tables near the log's end, without an
	// anchor. Each transaction with rows of theirs is either in the snapshot, or
	// Stream brings them, all, when it begins where one that was told to end at
	// the snapshot's position has ended. View may wait for running transactions,
	// and logs for whom, until ctx ends.
	View(ctx context.Context) (outbox.Snapshot, error)
	// Withdraw takes a table that is not configured any more out of what the log
	// brings, and says what it did, "" for nothing. It wants Connect or Reach
	// before.
	Withdraw(ctx context.Context, table string) (did string, err error)
}

// Streamer reads the log.
type Streamer interface {
	// Stream opens the log at r (h.Open), reads and hands batches to h until ctx ends, the log ends
	// (outbox.ErrEnd, when --until was given) or something fails. It skips the
	// rows that r.Open names, inside that very transaction, and refuses if it
	// meets another. A zero r means from now on, keeping nothing. It keeps the
	// connection alive while h pushes back.
	Stream(ctx context.Context, r outbox.Resume, h *outbox.Handoff) error
	// WholeRows says whether what is read from now on, log or snapshot, is to
	// bring the columns that nothing maps too (outbox.Shape.Rest), for dead
	// letters; not until it is called. It waits for nobody, and is not called
	// while Stream runs or a snapshot is open.
	WholeRows(on bool)
	// Confirm tells the database that its log up to p is not needed any more.
	// It may be called while Stream runs, and does not wait for the server.
	Confirm(ctx context.Context, p outbox.Position) error
	// ConfirmWait does the same and waits until the server shows it, as a
	// clean stop does after Stream has returned.
	ConfirmWait(ctx context.Context, p outbox.Position) error
	// Until sets where Stream ends: "now", a position, or "" for never. What
	// Stream hands over last ends at that very place, or where nothing of the
	// tables lies between. To be called after Connect, before Stream.
	Until(ctx context.Context, until string) error
}

// Watcher looks after the source from outside the stream; it may be called
// while Stream runs, on a connection of its own.
type Watcher interface {
	// Watch checks that the log still brings every outbox row (publication
	// contents, filters, the tables themselves). A difference is a Refusal;
	// outbox.ErrOtherServer says that the address leads elsewhere by now.
	Watch(ctx context.Context) error
	// Gauges asks how far the server is and what it keeps for us.
	Gauges(ctx context.Context) (outbox.Gauges, error)
	// Behind is how much log lies between p and end, in bytes (transactions
	// where positions are GTIDs): 0 when p has reached end, negative when that
	// cannot be said. It asks nobody.
	Behind(p, end outbox.Position) float64
}

// Cleaner deletes rows that were published, on a connection of its own, beside
// Stream. No statement of it waits long for a lock of the application's, nor
// keeps one for long. Its errors end nothing: the caller tries again later.
type Cleaner interface {
	// Aged picks at most limit rows of a configured table that have outlived
	// the retention, the oldest first where that is cheap to find.
	Aged(ctx context.Context, table, limit int) (outbox.Aged, error)
	// Delete deletes those of the rows that are still what they were when they
	// were picked, leaves those out that somebody holds locked, and returns how
	// many are gone. Call it only once the checkpoint has reached a.UpTo.
	Delete(ctx context.Context, a outbox.Aged) (deleted int, err error)
}

// Mapper turns rows into messages.
type Mapper interface {
	// Map appends a message for every row of b to m, in order; rows that
	// cannot be mapped are named in m.Poison. It is pure and does not fail.
	Map(b *outbox.Batch, m *outbox.Messages)
	// ID is the id of a row as people see and type it, "" when it is NULL.
	ID(b *outbox.Batch, row int) string
}

// Sink is where messages go: Kafka, or stdout. One transaction is open at a
// time: Join and Produce may be called several times before Commit (the
// snapshot does), and after an error only Fence goes on. Without transactions
// (at-least-once, stdout) Join and Commit do nothing and Produce returns when
// everything is acknowledged.
type Sink interface {
	// Fence makes this process the only writer under the name: from its
	// return on, nobody who fenced before can commit. An open transaction
	// under the name is aborted. timeout is the longest a transaction may
	// stay open; zero asks for the longest that the broker allows.
	// (InitProducerId.) It opens the connection when there is none.
	Fence(ctx context.Context, timeout time.Duration) error
	// Admit finds or creates the topics, chooses partitions and checks sizes.
	// Messages that can never be published are taken out of m.List and named
	// in m.Poison. Nothing reaches the broker's log.
	Admit(ctx context.Context, m *outbox.Messages, b *outbox.Batch) error
	// Room is how many bytes of key, value and headers a record to a topic may
	// have; 0 when it takes none, for which Admit has the reason. It finds or
	// creates the topic as Admit does.
	Room(ctx context.Context, topic string) (int, error)
	// Join names every partition of m to the transaction, those it does not
	// hold yet (AddPartitionsToTxn), and waits for the answer.
	Join(ctx context.Context, m *outbox.Messages) error
	// Produce sends m and waits until every partition has acknowledged it
	// with acks=-1.
	Produce(ctx context.Context, m *outbox.Messages) error
	// Commit ends the transaction (EndTxn). An error leaves the outcome
	// unknown.
	Commit(ctx context.Context) error
	// Close ends every connection.
	Close()
}

// Cluster is the Kafka cluster that the sink writes to.
type Cluster interface {
	// Identity is the Kafka cluster's id. It opens the connection when there
	// is none.
	Identity(ctx context.Context) (clusterID string, err error)
}

// CheckpointTopic is the Kafka topic that holds the checkpoints of one name:
// one partition, compacted.
type CheckpointTopic interface {
	// Exists reports whether the topic is there; one with wrong settings is a
	// Refusal.
	Exists(ctx context.Context) (bool, error)
	// Create makes it.
	Create(ctx context.Context) error
	// Newest reads backwards (read_committed) for the newest record of each
	// key, below everything that is committed when it is called, or, when
	// upTo is not nil, below the record with that key and value, for which it
	// waits. A key without record, or with a tombstone, has a nil value.
	Newest(ctx context.Context, keys []string, upTo *outbox.Barrier) (map[string][]byte, error)
	// Settled returns when every transaction that had written to the topic when
	// it was called has been ended, and readers see what came of it: Newest then
	// finds no older record than what was committed before.
	Settled(ctx context.Context) error
}

// Store is a checkpoint store beside the sink's transaction: the file, or the
// topic with at-least-once.
type Store interface {
	// Load returns the record saved last, nil if there is none.
	Load(ctx context.Context) ([]byte, error)
	// Save is durable when it returns.
	Save(ctx context.Context, record []byte) error
	// Remove forgets the record; none is no error.
	Remove() error
}

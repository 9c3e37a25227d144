package harness

import (
	"context"
	"database/sql"
	"testing"
)

// Server is a database server under test. The suite knows sources only through Server and Database, so that
// the same cases run against every kind of source that tailer has.
type Server interface {
	// Kind is the scheme of the source: postgres, mysql, mariadb.
	Kind() string
	// NewDatabase makes a database of its own for one test, and removes it with everything that a tailer left
	// on the server for it when the test ends.
	NewDatabase(t testing.TB) Database
}

// Database is one database on a server under test.
type Database interface {
	Kind() string
	// Name is the database's name.
	Name() string
	// URL is what tailer is given as --source-url.
	URL() string
	// Protect demands a password of tailer's account where the server does, and returns the URL that holds it.
	Protect(t testing.TB, password string) string
	// Account makes an account of its own with what `setup --print` prints for it, and nothing else; setup gets
	// the URL of the account that is to be, and returns the statements.
	Account(t testing.TB, setup func(url string) string) (url string)
	// SQL is a pool of ordinary connections.
	SQL() *sql.DB
	// Exec runs statements, in one go where there are no arguments.
	Exec(t testing.TB, query string, args ...any)
	// Text reads one value as text; NULL is the empty string.
	Text(t testing.TB, query string, args ...any) string
	// Arg is the n-th placeholder of a statement, counted from 1.
	Arg(n int) string
	// CreateOutbox makes an outbox table of the usual form with a text payload; the name is schema-qualified
	// where the source has schemas.
	CreateOutbox(t testing.TB, table string)
	// Outbox is the name of the table that tailer reads by default, as --outbox-table and metrics have it.
	Outbox() string
	// Schema makes a schema beside the default one, or what the server has for it. It returns its name in SQL and
	// in tailer's options.
	Schema(t testing.TB, name string) (quoted, plain string)
	// Fill inserts rows into the default outbox by one statement, in the order of their ids: each has an id of 12
	// digits, one of the keys agg-0 to agg-(keys-1), and a payload of repeat times 32 bytes.
	Fill(t testing.TB, aggregateType string, rows, keys, repeat int)
	// End is the end of the server's log.
	End(ctx context.Context) (string, error)
	// Beyond is a position that the server has not reached.
	Beyond(t testing.TB) string
	// Confirms reports whether the server keeps a position that it was told.
	Confirms() bool
	// Confirmed is the position that the server was told by the tailer of this name; ok is false when the
	// server keeps none, or none yet.
	Confirmed(ctx context.Context, name string) (position string, ok bool, err error)
	// Compare orders two positions of this source: negative, zero, positive.
	Compare(a, b string) (int, error)
	// Behind reports whether a row, by the position that it is published with, was committed behind a position.
	Behind(row, position string) (bool, error)
	// Victim reports whether an error says that the server rolled a transaction back so that others may go on.
	Victim(err error) bool
	// Stream names the connection on which the tailer of this name reads the log, "" when there is none.
	Stream(t testing.TB, name string) string
	// EndSessions ends sessions of the tailer of this name and returns how many there were.
	EndSessions(t testing.TB, name string, which Sessions) int
	// Slots counts the replication slots of this database: what keeps log, where a server keeps any for somebody.
	Slots(t testing.TB) int
}

// Sessions are those of a tailer's connections that a test ends.
type Sessions int

const (
	// AllSessions is every one.
	AllSessions Sessions = iota
	// StreamSession is that on which the log is read.
	StreamSession
	// LockSession is that which holds the name's lock; where it cannot be told, all but the stream's.
	LockSession
)

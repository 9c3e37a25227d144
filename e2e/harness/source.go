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
	// SQL is a pool of ordinary connections.
	SQL() *sql.DB
	// Arg is the n-th placeholder of a statement, counted from 1.
	Arg(n int) string
	// CreateOutbox makes an outbox table of the usual form with a text payload; the name is schema-qualified
	// where the source has schemas.
	CreateOutbox(t testing.TB, table string)
	// Outbox is the name of the table that tailer reads by default.
	Outbox() string
	// End is the end of the server's log.
	End(ctx context.Context) (string, error)
	// Confirmed is the position that the server was told by the tailer of this name; ok is false when the
	// server keeps none, or none yet.
	Confirmed(ctx context.Context, name string) (position string, ok bool, err error)
	// Compare orders two positions of this source: negative, zero, positive.
	Compare(a, b string) (int, error)
}

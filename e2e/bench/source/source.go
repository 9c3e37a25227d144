// Package source is the database server under a benchmark: it makes databases, writes backlogs of events as fast
// as the server takes them, and names the server's own program that reads the same log.
package source

import (
	"context"
	"database/sql"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Server is a database server. It belongs to the benchmark while it is measured: settings that cost the writer of
// a backlog time are lowered while it is written, and log that nobody needs any more is thrown away.
type Server interface {
	// Kind is the scheme of the source: postgres, mysql, mariadb.
	Kind() string
	// Version is what the server calls itself.
	Version(ctx context.Context) (string, error)
	// PID is the server's first process, 0 when unknown.
	PID() int
	// Reader is the name of the server's own program that reads the log and discards it.
	Reader() string
	// Create makes a database of this name with an outbox table and a table that is nobody's outbox.
	Create(ctx context.Context, name string) (Database, error)
	// Close ends the connections.
	Close()
}

// Database is a database on a server.
type Database interface {
	Name() string
	// URL is what tailer is given as --source-url.
	URL() string
	// Address is where it listens, and as whom the benchmark comes.
	Address() Address
	// Connect opens a connection of its own, for a writer.
	Connect(ctx context.Context) (*sql.Conn, error)
	// Write writes a backlog and flushes it.
	Write(ctx context.Context, b Backlog) error
	// PrepareReader fixes the place from which the reader will read: before a backlog.
	PrepareReader(ctx context.Context) error
	// ReaderCommand reads from that place to the end that the log has now, and ends.
	ReaderCommand(ctx context.Context) (*exec.Cmd, error)
	// Streaming sends the moment at which somebody who did not do so before begins to read the log. It asks every
	// few milliseconds until then, or until the context ends.
	Streaming(ctx context.Context) <-chan time.Time
	// Drop removes the database and everything that was made on the server for it.
	Drop(ctx context.Context) error
}

// Address is how to reach a database.
type Address struct {
	Host, Port, User, Password, Database string
}

// Backlog is what is written before anybody is timed reading it. Event n of it has the id ID(n), the key Key(n),
// the kind Kind(n) and the payload Payload(n): that is how a consumer knows what it got.
type Backlog struct {
	Events  int    // rows of the outbox
	Rows    int    // in each transaction
	Size    int    // bytes of a payload, at least 20
	Keys    int    // distinct keys
	Kinds   int    // distinct aggregate types, and so topics
	Prefix  string // of the aggregate types
	Foreign int    // transactions of as many rows in a table that is no outbox, for each one of the outbox
}

// ID is the id of event n; the same in SQL is idExpression.
func ID(n int) string { return fmt.Sprintf("%s%012x", idPrefix, n) }

const idPrefix = "00000000-0000-7000-8000-"

// Number is the event of an id.
func Number(id string) (n int, err error) {
	digits, ok := strings.CutPrefix(id, idPrefix)
	if !ok || len(digits) != 12 {
		return 0, fmt.Errorf("id %q is not of this benchmark", id)
	}
	number, err := strconv.ParseInt(digits, 16, 64)
	return int(number), err
}

// Key is the key of event n.
func (b Backlog) Key(n int) string { return fmt.Sprintf("agg-%d", n%b.Keys) }

// Kind is the aggregate type of event n.
func (b Backlog) Kind(n int) string { return fmt.Sprintf("%s-%d", b.Prefix, n%b.Kinds) }

// AllKinds are all aggregate types.
func (b Backlog) AllKinds() []string {
	kinds := make([]string, b.Kinds)
	for n := range kinds {
		kinds[n] = b.Kind(n)
	}
	return kinds
}

// Payload is the payload of event n: its number, a blank, and text.
func (b Backlog) Payload(n int) string {
	number := fmt.Sprintf("%d ", n)
	from := n % textOffsets
	return number + text[from:from+b.Size-len(number)]
}

// textOffsets many places of the text are where a payload's text can begin.
const textOffsets = 64

// text is words in no order, so that codecs find in it about what they find in JSON, and no more.
var text = makeText(textOffsets + 64<<10)

func makeText(size int) string {
	words := strings.Fields("order customer invoice shipped pending amount currency address street total line item price " +
		"discount created updated carrier warehouse quantity status reference gateway payment refund locale channel")
	var b strings.Builder
	for state := uint32(1); b.Len() < size; {
		state ^= state << 13 // xorshift: the same text on every machine
		state ^= state >> 17
		state ^= state << 5
		fmt.Fprintf(&b, "%s-%x ", words[state%uint32(len(words))], state>>20)
	}
	return b.String()[:size]
}

// Insert is one statement that inserts event n.
func (b Backlog) Insert(n int) string {
	return fmt.Sprintf("INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload) VALUES ('%s', '%s', '%s', 'Changed', '%s')",
		ID(n), b.Kind(n), b.Key(n), b.Payload(n))
}

// Open finds out what kind of server a URL names. pid may be 0. readerProgram is the program with its first
// arguments, separated by blanks.
func Open(ctx context.Context, url string, pid int, readerProgram string) (Server, error) {
	scheme, _, _ := strings.Cut(url, ":")
	switch scheme {
	case "postgres", "postgresql":
		return openPostgres(ctx, url, pid, readerProgram)
	case "mysql", "mariadb":
		return openBinlog(ctx, url, pid, readerProgram)
	}
	return nil, fmt.Errorf("%q is no URL of postgres, mysql or mariadb", url)
}

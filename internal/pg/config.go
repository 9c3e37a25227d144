package pg

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailer-io/tailer/internal/credential"
	"github.com/tailer-io/tailer/internal/outbox"
)

// Config says which database to read, and what of it.
type Config struct {
	// URL is a libpq connection URL, postgres://USER:PASSWORD@HOST:PORT/DB?...,
	// with libpq's parameters (sslmode, sslrootcert, several hosts, a socket
	// directory as host; see
	// https://www.postgresql.org/docs/current/libpq-connect.html). With several
	// hosts and no target_session_attrs only a primary is taken; sslrootcert
	// without sslmode means verify-full.
	URL string
	// Password is asked before each connection, and replaces the URL's
	// password; nil leaves that one, or what libpq finds (PGPASSWORD, .pgpass).
	Password credential.Password
	// Name is the identity that keeps instances apart: application_name is
	// "tailer/NAME", and the advisory lock is derived from it.
	Name string
	// Slot is the name of the replication slot: lower-case letters, digits and
	// underscores.
	Slot string
	// Publication is the name of the publication, in any letters.
	Publication string
	// Tables are the outbox tables; the index is outbox.Shape.Table.
	Tables []Table
	// Temporary makes Stream use a slot that lives as long as its connection,
	// beginning now. For runs that keep no checkpoint.
	Temporary bool
	// Check is asked whether the mapping fits a table as it is now: at Connect,
	// and whenever the log describes one anew. Its error is an *outbox.Invalid;
	// nil takes every table.
	Check func(*outbox.Shape) error
	// Cleanup says that published rows are going to be deleted, once they are
	// older than CleanupAfter: Connect then checks that they can be found.
	Cleanup      bool
	CleanupAfter time.Duration
}

// Table is an outbox table and the columns that are wanted of it.
type Table struct {
	Schema, Name string
	// Columns are the wanted columns, in the order in which Shape has them,
	// each once.
	Columns []string
	// Optional tells, by Columns, which may be missing from the table; nil
	// means none. Shape marks them.
	Optional []bool
	// CleanupColumn holds when a row was inserted; "" makes every row old
	// enough for the clean-up.
	CleanupColumn string
	// SnapshotOrder is the column in whose order a snapshot reads the rows, what
	// is NULL there first, and the primary key among equals; "" is the primary
	// key alone.
	SnapshotOrder string
}

// String is the name for people: schema.name.
func (t Table) String() string { return t.Schema + "." + t.Name }

func (t Table) quoted() string { return quoteIdent(t.Schema) + "." + quoteIdent(t.Name) }

// Source reads one PostgreSQL database. It implements the pipeline's Source;
// its methods may be called from one goroutine at a time, except Confirm,
// Locked, Watch and Gauges, and either Aged or Delete, which may run beside
// Stream.
type Source struct {
	cfg Config
	log *slog.Logger
	app string // application_name, as the server shows it

	ctl   *session // for questions and statements
	lock  *session // holds the advisory lock
	watch *session // opened at the first Watch or Gauges

	id     identity
	whole  bool          // see WholeRows
	worked bool          // Connect succeeded once: what fails now is not the configuration
	tables []tableFacts  // as Connect found them
	chosen []bool        // by table, as Choose was told; nil for all
	until  lsn           // where Stream ends; 0: never
	strm   *stream       // the newest stream; its connection outlives Stream until ConfirmWait or Close
	conf   atomic.Uint64 // the LSN that the checkpoint holds; only ever raised while connected
	live   atomic.Pointer[stream]
	remain remaining // of the newest refusal

	clean       *session     // opened at the first Aged or Delete
	cleanTables []tableFacts // as that session found them

	watchMu sync.Mutex // guards good, hole and the opening of watch
	good    lsn        // the log's end when Watch last found everything in order
	hole    string     // behind where rows may be missing since a Watch refused; "" for nowhere
}

// New makes a Source. It opens no connection: Connect does.
func New(cfg Config, log *slog.Logger) *Source {
	return &Source{cfg: cfg, log: log, app: applicationName(cfg.Name)}
}

// WholeRows makes whatever is read from now on bring the columns that are not
// wanted too, as Shape.Rest: a dead letter holds them. It costs a copy of them
// in every row.
func (s *Source) WholeRows(on bool) { s.whole = on }

// applicationName is "tailer/NAME" as the server stores it: at most 63 bytes,
// each unprintable byte replaced (by "?" up to 15, by "\xNN" since 16). Names
// are plain ASCII by configuration, so only the length matters.
func applicationName(name string) string {
	s := "tailer/" + name
	if len(s) > 63 {
		s = s[:63]
	}
	return s
}

// Validate checks the configuration without opening a connection. The error is
// an *outbox.Invalid that names the option; its text holds no password.
func Validate(cfg Config) error {
	if _, err := parseURL(cfg); err != nil {
		return err
	}
	if !validSlot(cfg.Slot) {
		return &outbox.Invalid{Option: "pg-slot", Text: fmt.Sprintf("%q is no slot name: lower-case letters, digits and underscores are allowed, at most 63", cfg.Slot)}
	}
	if cfg.Publication == "" || len(cfg.Publication) > 63 || strings.ContainsRune(cfg.Publication, 0) {
		return &outbox.Invalid{Option: "pg-publication", Text: fmt.Sprintf("%q is no publication name: 1 to 63 bytes are allowed", cfg.Publication)}
	}
	if len(cfg.Tables) == 0 {
		return &outbox.Invalid{Option: "outbox-table", Text: "no table is named"}
	}
	return nil
}

func validSlot(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 63
}

// parseURL reads the URL. pgconn quotes a URL that it cannot parse and hides
// only what it recognises as a password, so its text is not passed on where
// the URL itself is malformed.
func parseURL(cfg Config) (*pgconn.Config, error) {
	invalid := func(text string) error {
		return &outbox.Invalid{
			Option: "source-url", Text: text,
			Hint: "want postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full; special characters in user and password are percent-encoded",
		}
	}
	if !strings.HasPrefix(cfg.URL, "postgres://") && !strings.HasPrefix(cfg.URL, "postgresql://") {
		return nil, invalid("it is not a postgres:// URL")
	}
	c, err := pgconn.ParseConfig(verified(cfg.URL))
	if err != nil {
		return nil, invalid("it cannot be used: " + parseReason(err))
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 10 * time.Second
	}
	delete(c.RuntimeParams, "replication")
	if c.ValidateConnect == nil && severalHosts(c) {
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	}
	return c, nil
}

// verified adds sslmode=verify-full to a URL that names an authority and says
// nothing of how strictly to hold to it: libpq's own default would not look.
func verified(s string) string {
	_, query, _ := strings.Cut(s, "?")
	if !strings.Contains(query, "sslrootcert=") || strings.Contains(query, "sslmode=") || os.Getenv("PGSSLMODE") != "" {
		return s
	}
	return s + "&sslmode=verify-full"
}

// parseReason gives what is safe to show of a parse error, in our own words
// where pgconn's do not name the parameter.
func parseReason(err error) string {
	const malformed = "it is malformed"
	var pe *pgconn.ParseConfigError
	var ue *url.Error
	if !errors.As(err, &pe) || errors.As(err, &ue) {
		return malformed
	}
	text := pe.Error()
	i := strings.LastIndex(text, "`: ")
	if i < 0 {
		return malformed
	}
	text = text[i+len("`: "):]
	var number *strconv.NumError
	switch inner := pe.Unwrap(); {
	case errors.As(inner, &number):
		text = strings.TrimSuffix(text, " ("+inner.Error()+")") + fmt.Sprintf(": %q is no whole number", number.Num)
	case inner != nil:
		text = inner.Error()
	}
	// A text that repeats a piece of the URL's user information might repeat the
	// password; what concerns files and modes does not.
	u, perr := url.Parse(pe.ConnString)
	if perr != nil && pe.Unwrap() != nil {
		return malformed
	}
	if perr == nil {
		if pw, _ := u.User.Password(); pw != "" && strings.Contains(text, pw) {
			return malformed
		}
	}
	return plainer.Replace(text)
}

var plainer = strings.NewReplacer(
	"invalid port", "a port is no number from 1 to 65535",
	"sslmode is invalid", "sslmode is none of disable, allow, prefer, require, verify-ca, verify-full",
	"unable to read CA file: ", "sslrootcert cannot be read: ",
	"unable to add CA to cert pool", "sslrootcert holds no certificate in PEM",
	"unable to read sslkey: ", "sslkey cannot be read: ",
	"failed to decode sslkey", "sslkey holds no key in PEM",
	"unable to read cert: ", "sslcert cannot be read: ",
	"unable to load cert: tls: ", "sslcert and sslkey cannot be used: ",
)

func severalHosts(c *pgconn.Config) bool {
	for _, f := range c.Fallbacks {
		if f.Host != c.Host || f.Port != c.Port {
			return true
		}
	}
	return false
}

// quoteIdent quotes an identifier, quoteLiteral a string constant, see
// https://www.postgresql.org/docs/current/sql-syntax-lexical.html. The
// constant is safe with standard_conforming_strings off, too.
func quoteIdent(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

func quoteLiteral(s string) string {
	q := `'` + strings.ReplaceAll(s, `'`, `''`) + `'`
	if strings.Contains(s, `\`) {
		q = ` E` + strings.ReplaceAll(q, `\`, `\\`)
	}
	return q
}

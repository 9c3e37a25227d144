package mysql

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tailer-io/tailer/internal/credential"
	"github.com/tailer-io/tailer/internal/outbox"
)

// Config says which database to read, and what of it.
type Config struct {
	// URL is mysql://USER:PASSWORD@HOST:PORT/DATABASE?PARAMETERS, or
	// mariadb:// for MariaDB; the port is 3306 when there is none. Parameters:
	// ssl-mode (disabled, preferred, required, verify-ca, verify-identity;
	// default preferred, or verify-identity when ssl-ca is given), ssl-ca (a PEM
	// file), ssl-cert and ssl-key (our own, PEM), and socket (a Unix socket
	// instead of host and port). Several hosts, with commas between them, are
	// looked through at each Connect for one that may be written to: see
	// hosts.go.
	URL string
	// Password is asked before each connection, and replaces the URL's
	// password; nil leaves that one.
	Password credential.Password
	// Name is the identity that keeps instances apart: the names of the user
	// locks are derived from it, and SHOW REPLICAS shows "tailer/NAME".
	Name string
	// ServerID is the id under which the log is read; no replica of the server
	// may have the same. 0 derives one from the name and the source.
	ServerID uint32
	// NoSnapshot makes a first start begin at the end of the log, with none of
	// the rows that are there already: then nothing is locked.
	NoSnapshot bool
	// Temporary is for runs that keep no checkpoint and take no lock: several
	// of them may read under one name, so each takes a server id by chance, and
	// ends no other's connection.
	Temporary bool
	// Check is asked whether the mapping fits a table as it is now: at Connect,
	// where its error is passed on, and when the log describes the table
	// differently, where it is refused. nil asks nobody.
	Check func(*outbox.Shape) error
	// Cleanup says that published rows are going to be deleted, once they are
	// older than CleanupAfter: Connect then checks that they can be found.
	Cleanup      bool
	CleanupAfter time.Duration
	// Tables are the outbox tables; the index is outbox.Shape.Table.
	Tables []Table
}

// Table is an outbox table and the columns that are wanted of it.
type Table struct {
	// Schema is the table's database; "" means the one that the URL names.
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

// optional tells whether the table may do without column i of Columns.
func (t Table) optional(i int) bool { return i < len(t.Optional) && t.Optional[i] }

func (t Table) quoted() string { return quoteIdent(t.Schema) + "." + quoteIdent(t.Name) }

// Source reads one MySQL or MariaDB database. It implements the pipeline's
// Source; its methods may be called from one goroutine at a time, except
// Confirm, Locked, Watch and Gauges, and either Aged or Delete, which may run
// beside Stream.
type Source struct {
	cfg  Config
	log  *slog.Logger
	addr *address // nil when the URL cannot be parsed; Validate says why

	ctl   *session // for questions and statements
	lock  *session // holds the name's lock
	watch *session // opened at the first Watch or Gauges

	// at is the host that sessions and streams go to. Of several, choose set it,
	// and behind keeps what the others said; passed are those that Prove has
	// refused since one was last proven, and last says that at is one of them.
	at     endpoint
	behind []string
	passed map[string]bool
	last   bool

	id     identity
	whole  bool // see WholeRows
	worked bool // Connect succeeded once: what fails now is not the configuration
	tables []tableFacts
	// chosen is by table, as Choose was told; nil for all.
	chosen []bool
	ways   *reach
	until  *place // where Stream ends; nil: never
	// patience is settleWithin; tests shorten it.
	patience time.Duration
	// silence is silentAfter, lockWithin the constant of that name; tests
	// shorten them.
	silence, lockWithin time.Duration
	// collations tells the character set by a collation's number.
	collations map[int]string

	dump atomic.Uint32 // connection id of the newest stream, 0 without one

	clean       *session     // opened at the first Aged or Delete
	cleanTables []tableFacts // as that session found them

	watchMu sync.Mutex // guards good and the opening of watch
	good    string     // the log's end when Watch last found everything in order

	// For how long the log is kept, 0 for ever, by which setting, and when that
	// was asked. They belong to Gauges.
	keep        time.Duration
	keepSetting string
	keepAsked   time.Time
}

// New makes a Source. It opens no connection: Connect does. The URL's database
// stands in for the schema of tables that name none.
func New(cfg Config, log *slog.Logger) *Source {
	s := &Source{cfg: cfg, log: log, patience: settleWithin, silence: silentAfter, lockWithin: lockWithin}
	if cfg.Temporary && cfg.ServerID == 0 {
		var b [4]byte
		_, _ = rand.Read(b[:]) // never fails
		s.cfg.ServerID = 1<<31 | binary.BigEndian.Uint32(b[:])
	}
	if s.addr, _ = parseURL(cfg); s.addr != nil {
		s.at = s.addr.hosts[0]
	}
	s.cfg.Tables = append([]Table(nil), cfg.Tables...)
	for i := range s.cfg.Tables {
		if t := &s.cfg.Tables[i]; t.Schema == "" && s.addr != nil {
			t.Schema = s.addr.database
		}
	}
	s.ways = newReach(s.cfg.Tables)
	return s
}

// WholeRows makes whatever is read from now on bring the columns that are not
// wanted too, as Shape.Rest: a dead letter holds them. It costs a copy of them
// in every row.
func (s *Source) WholeRows(on bool) { s.whole = on }

// Validate checks the configuration without opening a connection, the files of
// certificates included. The error is
// an *outbox.Invalid that names the option; its text holds no password.
func Validate(cfg Config) error {
	a, err := parseURL(cfg)
	if err != nil {
		return err
	}
	if len(cfg.Tables) == 0 {
		return &outbox.Invalid{Option: "outbox-table", Text: "no table is named"}
	}
	for _, t := range cfg.Tables {
		if t.Schema == "" && a.database == "" {
			return &outbox.Invalid{Option: "source-url", Text: "it names no database, and table " + t.Name + " has none either",
				Hint: "want " + string(a.kind) + "://USER@HOST:PORT/DATABASE"}
		}
	}
	_, err = a.tlsConfig(a.hosts[0])
	return err
}

// address is a URL taken apart.
type address struct {
	kind           outbox.Kind
	hosts          []endpoint // at least one
	user, password string
	database       string
	tls            tlsMode
	ca             string // a PEM file, "" for the system's roots
	cert, key      string // PEM files, "" for none
}

// endpoint is one place where a server may be.
type endpoint struct {
	network, host string // tcp and HOST:PORT, or unix and a path
	name          string // the host alone, for certificates
}

func parseURL(cfg Config) (*address, error) {
	invalid := func(format string, args ...any) error {
		return &outbox.Invalid{
			Option: "source-url", Text: fmt.Sprintf(format, args...),
			Hint: "want mysql://USER@HOST:PORT/DATABASE?ssl-mode=verify-identity (or mariadb://; several hosts with commas between them); special characters in user and password are percent-encoded",
		}
	}
	first, hosts := splitHosts(cfg.URL)
	u, err := url.Parse(first)
	if err != nil {
		return nil, invalid("it is malformed") // the error repeats the URL, password included
	}
	a := &address{user: u.User.Username(), database: strings.TrimPrefix(u.Path, "/")}
	switch u.Scheme {
	case "mysql":
		a.kind = outbox.MySQL
	case "mariadb":
		a.kind = outbox.MariaDB
	default:
		return nil, invalid("it is neither a mysql:// nor a mariadb:// URL")
	}
	switch {
	case u.Fragment != "":
		return nil, invalid("it has a #, which is written as %%23")
	case a.user == "":
		return nil, invalid("it names no user")
	case strings.Contains(a.database, "/") && strings.Contains(a.database, "@"):
		return nil, invalid("it is malformed") // a / in the password, of which this is the rest
	case strings.Contains(a.database, "/"):
		return nil, invalid("%q is no database name", a.database)
	}
	a.password, _ = u.User.Password()
	for _, h := range hosts {
		e, err := parseHost(h)
		if err != nil {
			return nil, invalid("%v", err)
		}
		a.hosts = append(a.hosts, e)
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, invalid("its parameters are malformed")
	}
	for _, key := range slices.Sorted(maps.Keys(q)) { // of several that are wrong it is always the same
		value := q[key][len(q[key])-1]
		switch key {
		case "ssl-mode":
			if a.tls, err = parseTLSMode(value); err != nil {
				return nil, invalid("%v", err)
			}
		case "ssl-ca":
			a.ca = value
		case "ssl-cert":
			a.cert = value
		case "ssl-key":
			a.key = value
		case "socket":
			switch {
			case len(hosts) > 1:
				return nil, invalid("it names several hosts and a socket")
			case value == "":
				return nil, invalid("socket names no file")
			}
			a.hosts = []endpoint{{network: "unix", host: value, name: a.hosts[0].name}}
		default:
			if strings.Contains(key, "@") {
				return nil, invalid("it is malformed") // a ? in the password, of which this is the rest
			}
			return nil, invalid("it has the parameter %q; known are ssl-mode, ssl-ca, ssl-cert, ssl-key, socket", key)
		}
	}
	switch verified := a.tls == "" || a.tls == tlsVerifyCA || a.tls == tlsVerifyIdentity; {
	case (a.cert == "") != (a.key == ""):
		return nil, invalid("ssl-cert and ssl-key go together")
	case a.cert != "" && a.tls == tlsDisabled:
		return nil, invalid("ssl-cert and ssl-key have no effect with ssl-mode=disabled")
	case a.ca != "" && !verified:
		return nil, invalid("ssl-ca has no effect with ssl-mode=%s, but with verify-ca and verify-identity", a.tls)
	}
	for _, e := range a.hosts {
		if e.network == "tcp" && e.name == "" {
			return nil, invalid("it names no host")
		}
	}
	if a.tls == "" {
		a.tls = tlsPreferred
		if a.ca != "" {
			a.tls = tlsVerifyIdentity
		}
	}
	return a, nil
}

// splitHosts takes the hosts out of a URL, of which net/url takes one only, and
// returns the URL with the first one alone.
func splitHosts(text string) (first string, hosts []string) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return text, nil
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	at := strings.LastIndexByte(rest[:end], '@') + 1
	hosts = strings.Split(rest[at:end], ",")
	return scheme + "://" + rest[:at] + hosts[0] + rest[end:], hosts
}

// parseHost reads HOST or HOST:PORT; an IPv6 address stands in brackets.
func parseHost(text string) (endpoint, error) {
	u, err := url.Parse("//" + text)
	if err != nil || strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(text, "[") {
		return endpoint{}, fmt.Errorf("%q is no HOST:PORT; an IPv6 address stands in brackets", text)
	}
	port := cmp.Or(u.Port(), "3306")
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return endpoint{}, fmt.Errorf("%q is no port", port)
	}
	return endpoint{network: "tcp", host: net.JoinHostPort(u.Hostname(), port), name: u.Hostname()}, nil
}

// hostList are the hosts as the URL names them.
func (a *address) hostList() string {
	list := make([]string, len(a.hosts))
	for i, e := range a.hosts {
		list[i] = e.host
	}
	return strings.Join(list, ",")
}

// serverID is the id under which the log is read: 2^31 plus a hash, so that it
// stays clear of the small numbers that people give their servers.
func (s *Source) serverID() uint32 {
	if s.cfg.ServerID != 0 {
		return s.cfg.ServerID
	}
	sum := sha256.Sum256([]byte(s.cfg.Name + "\x00" + s.addr.hostList() + "\x00" + s.addr.database))
	return 1<<31 | binary.BigEndian.Uint32(sum[:4])&(1<<31-1)
}

// report is how SHOW REPLICAS lists us: at most 60 bytes, which is what every
// server takes.
func (s *Source) report() string {
	r := "tailer/" + s.cfg.Name
	return r[:min(len(r), 60)]
}

// lockName is a name for GET_LOCK, which takes 64 characters and does not mind
// case: hence the hash behind what people can read. Locks are the server's, not
// a database's.
func (s *Source) lockName(purpose string) string {
	sum := sha256.Sum256([]byte(s.addr.database + "\x00" + s.cfg.Name + "\x00" + purpose))
	name := s.cfg.Name
	return "tailer/" + name[:min(len(name), 30)] + "/" + purpose + "/" + hex.EncodeToString(sum[:8])
}

// quoteIdent quotes an identifier, quoteLiteral a string constant; both hold
// for every sql_mode that a session of ours has.
func quoteIdent(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }

func quoteLiteral(s string) string {
	s = strings.ReplaceAll(s, `\`, `\\`)
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

package pg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailer-io/tailer/internal/credential"
	"github.com/tailer-io/tailer/internal/outbox"
)

const (
	senderTimeout = 20 * time.Second // wal_sender_timeout, TCP_USER_TIMEOUT
	askTimeout    = "30s"            // statement_timeout of an ordinary session
	answerTimeout = 35 * time.Second // for the answer to a statement
)

var errNoAnswer = errors.New("the server does not answer")

// session is one ordinary connection. It is safe for concurrent use: one
// statement runs at a time.
type session struct {
	mu   sync.Mutex // guards conn
	conn *pgconn.PgConn
	pid  uint32
	// cents is how many digits money has after the point where lc_monetary is
	// what the database says, and not C.
	cents int
}

// dialConfig is what every connection has in common. The settings that shape
// the text of values are the same on all of them, so that a snapshot gives the
// very bytes that pgoutput gives.
func (s *Source) dialConfig(ctx context.Context) (*pgconn.Config, error) {
	c, err := parseURL(s.cfg)
	if err != nil {
		return nil, err
	}
	if s.cfg.Password != nil {
		if c.Password, err = s.cfg.Password(ctx); err != nil {
			return nil, err
		}
	}
	maps.Copy(c.RuntimeParams, map[string]string{
		"application_name":                    s.app,
		"client_encoding":                     "UTF8",
		"datestyle":                           "ISO",
		"intervalstyle":                       "postgres",
		"extra_float_digits":                  "3",
		"timezone":                            "UTC",
		"bytea_output":                        "hex",
		"lc_monetary":                         "C",
		"xmloption":                           "content",
		"search_path":                         "pg_catalog",
		"idle_session_timeout":                "0",
		"idle_in_transaction_session_timeout": "0",
	})
	dial := dialer(c.ConnectTimeout).DialContext
	c.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil || c.TLSConfig == nil {
			return conn, err
		}
		return credential.AlertFirst(conn), nil
	}
	return c, nil
}

func dialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{
		Timeout:         timeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3},
		Control: func(network, _ string, c syscall.RawConn) error {
			if !strings.HasPrefix(network, "tcp") {
				return nil
			}
			// A kernel without it still has the keepalive probes.
			return c.Control(func(fd uintptr) { _ = userTimeout(fd, int(senderTimeout.Milliseconds())) })
		},
	}
}

// open makes an ordinary session; step names its purpose in errors.
func (s *Source) open(ctx context.Context, step string) (*session, error) {
	c, err := s.dialConfig(ctx)
	if err != nil {
		return nil, err
	}
	c.RuntimeParams["statement_timeout"] = askTimeout
	delete(c.RuntimeParams, "lc_monetary") // see setMoney
	conn, err := pgconn.ConnectConfig(ctx, c)
	if err != nil {
		return nil, s.connectError(step, err)
	}
	x := &session{conn: conn, pid: conn.PID()}
	if err := x.setMoney(ctx); err != nil {
		x.close()
		return nil, fmt.Errorf("%s: %w", step, err)
	}
	return x, nil
}

// setMoney asks for the locale C, as dialConfig does of the others, and notes
// what it hides: money is stored as a whole number of the currency's smallest
// parts, and shown as if a hundred of them made one in every currency.
func (x *session) setMoney(ctx context.Context) error {
	r, err := x.row(ctx, "select scale('1'::money::numeric)")
	if err == nil {
		x.cents, err = strconv.Atoi(r[0])
	}
	if err == nil {
		_, err = x.query(ctx, "set lc_monetary = 'C'")
	}
	if err != nil {
		return fmt.Errorf("set the form of money: %w", err)
	}
	return nil
}

// openReplication makes a replication connection that can also run SQL, see
// https://www.postgresql.org/docs/current/protocol-replication.html. change
// may alter the configuration before it is used.
func (s *Source) openReplication(ctx context.Context, step string, change func(*pgconn.Config)) (*pgconn.PgConn, error) {
	c, err := s.dialConfig(ctx)
	if err != nil {
		return nil, err
	}
	maps.Copy(c.RuntimeParams, map[string]string{
		"replication":        "database",
		"wal_sender_timeout": fmt.Sprint(senderTimeout.Milliseconds()),
		"statement_timeout":  "0",
		"lock_timeout":       "0",
	})
	if change != nil {
		change(c)
	}
	conn, err := pgconn.ConnectConfig(ctx, c)
	if err != nil {
		return nil, s.connectError(step, err)
	}
	return conn, nil
}

// connectError gives a failed connection its class: what can only be a wrong
// configuration is Invalid until a connection once worked, then transient, as
// servers refuse passwords in the middle of a failover, too.
func (s *Source) connectError(step string, err error) error {
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		if text, ok := credential.RefusedCertificate(err); ok && !s.worked {
			return &outbox.Invalid{Option: "source-url", Text: text, Hint: hintTLS}
		}
		return fmt.Errorf("%s: %w", step, shorten(err))
	}
	switch {
	case pe.Code == "08P01" && strings.Contains(pe.Message, "startup parameter"),
		pe.Code == "08P01" && strings.Contains(pe.Message, "replication"),
		strings.Contains(pe.Message, "RDS Proxy"):
		return outbox.Refuse(ReasonPooler, "point --source-url at the database server itself, not at a connection pooler",
			"a pooler stands between tailer and the database: %s", pe.Message)
	case pe.Code == "42501" && strings.Contains(pe.Message, "walsender"),
		pe.Code == "42501" && strings.Contains(pe.Message, "WAL sender"):
		return outbox.Refuse(ReasonPrivilege, s.replicationHint(), "the role may not replicate: %s", pe.Message)
	case s.unknownParameter(pe) != "":
		return &outbox.Invalid{Option: "source-url", Text: fmt.Sprintf("its parameter %q is known neither to tailer nor to the server", s.unknownParameter(pe)),
			Hint: "leave it out, or write it as libpq or the server does"}
	case pe.Code == "42704" && strings.Contains(pe.Message, "configuration parameter"):
		// Every setting that we send is known since 14.
		return outbox.Refuse(ReasonVersion, "use PostgreSQL 14 or later", "the server is too old: %s", pe.Message)
	case s.worked:
	case pe.Code == "28P01", pe.Code == "28000", pe.Code == "3D000":
		return &outbox.Invalid{Option: "source-url", Text: "the server refused the connection: " + pe.Message}
	}
	return fmt.Errorf("%s: %w", step, pe)
}

// unknownParameter is the parameter of the URL that the server does not know, ""
// where it says something else: what we do not know as one of libpq's is taken
// for a setting of the server.
func (s *Source) unknownParameter(pe *pgconn.PgError) string {
	if pe.Code != "42704" {
		return ""
	}
	_, name, _ := strings.Cut(pe.Message, `"`)
	name, _, _ = strings.Cut(name, `"`)
	_, query, _ := strings.Cut(s.cfg.URL, "?")
	if given, err := url.ParseQuery(query); err != nil || !given.Has(name) {
		return ""
	}
	return name
}

const hintTLS = "sslrootcert names the authority in PEM, sslcert and sslkey what the server asks of its clients"

// shorten drops pgconn's preamble, which repeats user and database.
func shorten(err error) error {
	var ce *pgconn.ConnectError
	if errors.As(err, &ce) {
		if inner := ce.Unwrap(); inner != nil {
			return inner
		}
	}
	return err
}

func (s *Source) replicationHint() string {
	role := "ROLE"
	if c, err := parseURL(s.cfg); err == nil {
		role = quoteIdent(c.User)
	}
	return fmt.Sprintf("ALTER ROLE %s REPLICATION (RDS and Aurora: GRANT rds_replication TO %s)", role, role)
}

// errSessionLost says that an ordinary session is gone; the caller connects
// anew, because another server may answer now.
var errSessionLost = errors.New("session to the server is closed")

// query runs one statement with text parameters and returns all rows as text;
// SQL NULL is "".
func (x *session) query(ctx context.Context, sql string, args ...string) ([][]string, error) {
	// The server has its statement_timeout; this is for one that acknowledges
	// packets and never answers (a frozen host behind a proxy).
	ctx, cancel := context.WithTimeoutCause(ctx, answerTimeout, errNoAnswer)
	defer cancel()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.conn == nil || x.conn.IsClosed() {
		return nil, errSessionLost
	}
	params := make([][]byte, len(args))
	for i, a := range args {
		params[i] = []byte(a)
	}
	res := x.conn.ExecParams(ctx, sql, params, nil, nil, nil).Read()
	if res.Err != nil {
		return nil, res.Err
	}
	return texts(res), nil
}

// row runs a statement that gives exactly one row.
func (x *session) row(ctx context.Context, sql string, args ...string) ([]string, error) {
	rows, err := x.query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 {
		return nil, fmt.Errorf("want one row, got %d", len(rows))
	}
	return rows[0], nil
}

func texts(res *pgconn.Result) [][]string {
	out := make([][]string, len(res.Rows))
	for i, r := range res.Rows {
		out[i] = make([]string, len(r))
		for j, v := range r {
			out[i][j] = string(v)
		}
	}
	return out
}

// close ends the session. It does not wait for a statement that runs: its
// context does.
func (x *session) close() {
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.conn != nil {
		closeConn(x.conn)
		x.conn = nil
	}
}

// closeConn says goodbye, but not for long.
func closeConn(c *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.Close(ctx)
}

// sqlState is the server's error code, "" for an error that is not the
// server's; see https://www.postgresql.org/docs/current/errcodes-appendix.html.
func sqlState(err error) string {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code
	}
	return ""
}

// lost reports whether the connection is closed.
func (x *session) lost() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.conn == nil || x.conn.IsClosed()
}

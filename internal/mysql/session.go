package mysql

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/tailer-io/tailer/internal/credential"
	"github.com/tailer-io/tailer/internal/outbox"
)

const (
	dialTimeout = 10 * time.Second
	askTimeout  = 30 * time.Second // for one statement of an ordinary session
)

// past is a deadline that ends a read or write that waits.
var past = time.Unix(1, 0)

// session is one ordinary connection. It is safe for concurrent use: one
// statement runs at a time.
type session struct {
	mu   sync.Mutex // guards conn
	conn *client.Conn
	id   uint32 // connection id
}

func dialer() *net.Dialer {
	return &net.Dialer{
		Timeout:         dialTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3},
	}
}

// sessionSQL makes values and quotes mean the same on every server: text in
// utf8mb4, TIMESTAMP in UTC, CHAR without padding.
const sessionSQL = "SET NAMES utf8mb4, SESSION time_zone = '+00:00', SESSION sql_mode = '', SESSION autocommit = 1"

// open makes an ordinary session; step names its purpose in errors.
func (s *Source) open(ctx context.Context, step string) (*session, error) {
	tc, err := s.addr.tlsConfig(s.at)
	if err != nil {
		return nil, err
	}
	conn, err := s.dial(ctx, tc)
	if err != nil && tc != nil && s.addr.tls == tlsPreferred && strings.Contains(err.Error(), "does not support TLS") {
		conn, err = s.dial(ctx, nil)
	}
	if err != nil {
		return nil, s.connectError(step, err)
	}
	x := &session{conn: conn, id: conn.GetConnectionID()}
	prepare, cancel := context.WithTimeoutCause(ctx, s.dialWithin(), fmt.Errorf("it did not answer within %s", s.dialWithin()))
	defer cancel()
	if _, err := x.query(prepare, sessionSQL); err != nil {
		x.close()
		return nil, s.connectError(step, err)
	}
	return x, nil
}

func (s *Source) dial(ctx context.Context, tc *tls.Config) (*client.Conn, error) {
	password, err := s.password(ctx)
	if err != nil {
		return nil, err
	}
	within := s.dialWithin()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var raw net.Conn
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dialer().DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if tc != nil {
			c = credential.AlertFirst(c)
		}
		raw = c
		// The handshake knows no context.
		return c, c.SetDeadline(time.Now().Add(within))
	}
	conn, err := client.ConnectWithDialer(ctx, s.at.network, s.at.host, s.addr.user, password, "", dial,
		func(c *client.Conn) error {
			c.SetTLSConfig(tc)
			c.SetAttributes(map[string]string{"program_name": s.report()})
			return nil
		})
	if err != nil {
		return nil, err
	}
	return conn, raw.SetDeadline(time.Time{})
}

// password is what the next connection logs in with.
func (s *Source) password(ctx context.Context) (string, error) {
	if s.cfg.Password != nil {
		return s.cfg.Password(ctx)
	}
	return s.addr.password, nil
}

// connectError gives a failed connection its class: what can only be a wrong
// configuration is Invalid until a connection once worked, then transient, as
// servers refuse passwords in the middle of a failover, too.
func (s *Source) connectError(step string, err error) error {
	switch errorCode(err) {
	case mysql.ER_ACCESS_DENIED_ERROR, mysql.ER_DBACCESS_DENIED_ERROR, mysql.ER_ACCESS_DENIED_NO_PASSWORD_ERROR, mysql.ER_HOST_NOT_PRIVILEGED:
		if !s.worked {
			return &outbox.Invalid{Option: "source-url", Text: "the server refused the connection: " + message(err)}
		}
	}
	if text, ok := credential.RefusedCertificate(err); ok && !s.worked {
		return &outbox.Invalid{Option: "source-url", Text: text, Hint: "ssl-ca names the authority in PEM, ssl-cert and ssl-key what the server asks of its clients"}
	}
	return fmt.Errorf("%s: %w", step, plain(err))
}

// plain drops the stack that the library wraps around the server's own error.
func plain(err error) error {
	var me *mysql.MyError
	if errors.As(err, &me) {
		return me
	}
	return err
}

// errorCode is the server's error number, 0 for an error that is not the
// server's; see https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html.
func errorCode(err error) uint16 {
	var me *mysql.MyError
	if errors.As(err, &me) {
		return me.Code
	}
	return 0
}

// message is the server's own text of an error.
func message(err error) string {
	var me *mysql.MyError
	if errors.As(err, &me) {
		return me.Message
	}
	return err.Error()
}

// errSessionLost says that an ordinary session is gone; the caller connects
// anew, because another server may answer now.
var errSessionLost = errors.New("session to the server is closed")

// query runs one statement and returns all rows as text; SQL NULL is "".
// Each %s of sql is replaced by a quoted argument.
func (x *session) query(ctx context.Context, sql string, args ...string) ([][]string, error) {
	return x.queryWithin(ctx, askTimeout, sql, args...)
}

// queryWithin is query with another limit to how long the answer may take.
func (x *session) queryWithin(ctx context.Context, limit time.Duration, sql string, args ...string) ([][]string, error) {
	res, err := x.result(ctx, limit, sql, args...)
	if err != nil {
		return nil, err
	}
	return textRows(res)
}

// result is queryWithin before its rows are made text.
func (x *session) result(ctx context.Context, limit time.Duration, sql string, args ...string) (*mysql.Result, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.conn == nil {
		return nil, errSessionLost
	}
	if len(args) > 0 {
		quoted := make([]any, len(args))
		for i, a := range args {
			quoted[i] = quoteLiteral(a)
		}
		sql = fmt.Sprintf(sql, quoted...)
	}
	var res *mysql.Result
	err := x.within(ctx, limit, func() (err error) {
		res, err = x.conn.Execute(sql)
		return err
	})
	return res, err
}

// textRows are a result's rows as text; SQL NULL is "".
func textRows(res *mysql.Result) (out [][]string, err error) {
	if res.Resultset == nil {
		return nil, nil
	}
	out = make([][]string, res.RowNumber())
	for i := range out {
		out[i] = make([]string, res.ColumnNumber())
		for j := range out[i] {
			if out[i][j], err = res.GetString(i, j); err != nil {
				return nil, fmt.Errorf("read column %d: %w", j, err)
			}
		}
	}
	return out, nil
}

// within runs f, which talks over the connection, until ctx ends or the time
// is over. A connection that failed is closed: nobody knows what it would say
// next. x.mu is held.
func (x *session) within(ctx context.Context, limit time.Duration, f func() error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	conn := x.conn
	_ = conn.SetDeadline(time.Now().Add(limit))
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(past) })
	err := f()
	stop()
	if err == nil {
		return nil
	}
	if errorCode(err) != 0 {
		return plain(err)
	}
	_ = conn.Close()
	x.conn = nil
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() || strings.Contains(err.Error(), "i/o timeout") {
		return fmt.Errorf("the server did not answer within %s", limit)
	}
	return plain(err)
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

// close ends the session.
func (x *session) close() {
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.conn != nil {
		_ = x.conn.SetDeadline(time.Now().Add(time.Second))
		_ = x.conn.Quit()
		x.conn = nil
	}
}

// lost reports whether the connection is closed.
func (x *session) lost() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.conn == nil
}

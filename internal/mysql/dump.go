package mysql

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/packet"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/tailer-io/tailer/internal/outbox"
)

const (
	// silentAfter is how long a read waits before the server is taken for
	// dead. A heartbeat comes after a quarter of that.
	silentAfter = 20 * time.Second
	// writeTimeout is how long the server waits for us to read on, in seconds;
	// its own net_write_timeout, 60 s, would cut a stream whose publisher
	// stalls.
	writeTimeout = 24 * 60 * 60
)

var errSilent = errors.New("the server was silent for 20 s: connection dropped")

// link is the server's connection, under TLS where there is any: it tells a
// watcher whether a read waits. No deadline is set for each read.
type link struct {
	net.Conn
	pending atomic.Bool
	reads   atomic.Uint64
}

func (l *link) Read(b []byte) (int, error) {
	l.pending.Store(true)
	n, err := l.Conn.Read(b)
	l.pending.Store(false)
	l.reads.Add(1)
	return n, err
}

// dump is one reading of the log. The library connects, registers and asks;
// its own retries are off, and it parses nothing: events come raw, one after
// the other, from a goroutine of its own.
type dump struct {
	src   *Source
	event func(h header, body []byte) error
	idle  func()        // before a read, when everything received has been handled; may be nil
	beat  func()        // the server lives; may be nil
	lock  bool          // take the reader's lock, which shows who reads
	every time.Duration // between heartbeats; 0: what silentAfter says
	notes bool          // MariaDB: annotations too, which the server else leaves out

	ctx    context.Context
	mu     sync.Mutex // guards raw
	raw    *link
	closed atomic.Bool
	id     uint32
	err    error // what event returned
	fail   atomic.Pointer[error]
}

// HandleEvent is called by the library with each event.
func (d *dump) HandleEvent(e *replication.BinlogEvent) error {
	h := header{
		typ: e.Header.EventType, time: e.Header.Timestamp, server: e.Header.ServerID,
		size: e.Header.EventSize, end: e.Header.LogPos, flags: e.Header.Flags,
	}
	body := e.RawData[headerSize:]
	switch v := e.Event.(type) {
	case *replication.GenericEvent:
		body = v.Data // without a checksum
	case *replication.RotateEvent:
		body = body[:8+len(v.NextLogName)]
	}
	d.err = d.event(h, body)
	return d.err
}

// dialContext opens the stream's connection, and none for the library's
// farewell: it would open another one to kill this one.
func (d *dump) dialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	if d.closed.Load() {
		return nil, net.ErrClosed
	}
	raw, err := dialer().DialContext(ctx, d.src.at.network, d.src.at.host)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.raw = &link{Conn: raw}
	return d.raw, context.Cause(d.ctx)
}

// interrupt ends a read or write that waits.
func (d *dump) interrupt() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.raw != nil {
		_ = d.raw.SetDeadline(past)
	}
}

// prepare is called with the connection before it is registered. It was dialled
// anew: the address may lead to another server than the one that was proven,
// whose log is another one, and where our number is somebody else's connection.
func (d *dump) prepare(c *client.Conn) error {
	if err := d.sameServer(c); err != nil {
		return err
	}
	d.id = c.GetConnectionID()
	if _, err := c.Execute(fmt.Sprintf("SET SESSION net_write_timeout = %d", writeTimeout)); err != nil {
		return fmt.Errorf("set net_write_timeout: %w", err)
	}
	// Every answer has been read, so nothing is left behind in a buffer.
	c.Conn = packet.NewTLSConn(newPackets(c.Conn.Conn, d.idle))
	if !d.lock {
		return nil
	}
	res, err := c.Execute("SELECT GET_LOCK(" + quoteLiteral(d.src.lockName("reader")) + ", 0)")
	if err != nil {
		return fmt.Errorf("take the reader's lock: %w", err)
	}
	if got, err := res.GetString(0, 0); err != nil || got != "1" {
		return errors.New("take the reader's lock: another session of this name reads the log")
	}
	d.src.dump.Store(d.id)
	return nil
}

// sameServer asks on the dump's own connection. No deadline is set, which would
// stay: pulse watches this read, too.
func (d *dump) sameServer(c *client.Conn) error {
	res, err := c.Execute(identifySQL)
	if err != nil {
		return fmt.Errorf("ask for the server's settings: %w", err)
	}
	rows, err := textRows(res)
	if err != nil {
		return fmt.Errorf("ask for the server's settings: %w", err)
	}
	id, err := identityOf(rows)
	if err != nil {
		return err
	}
	return d.src.sameAs(id)
}

// run reads the log from p on until ctx ends, event fails or the connection
// does. It returns ctx's cause, what event returned, or what went wrong.
func (d *dump) run(ctx context.Context, p *place) error {
	s := d.src
	tc, err := s.tlsOf(ctx)
	if err != nil {
		return err
	}
	password, err := s.password(ctx)
	if err != nil {
		return err
	}
	d.ctx = ctx
	cfg := replication.BinlogSyncerConfig{
		ServerID: s.serverID(), Flavor: mysql.MySQLFlavor, Host: s.at.host, User: s.addr.user, Password: password,
		Localhost: s.report(), TLSConfig: tc, Dialer: d.dialContext, Option: d.prepare,
		RawModeEnabled: true, DisableRetrySync: true, DiscardGTIDSet: true, HeartbeatPeriod: cmp.Or(d.every, s.silence/4),
		SynchronousEventHandler: d, EventCacheCount: 1,
		// It would log its whole configuration, and each error once more.
		Logger: slog.New(slog.DiscardHandler),
	}
	if s.id.kind == outbox.MariaDB {
		cfg.Flavor = mysql.MariaDBFlavor
	}
	if d.notes {
		cfg.DumpCommandFlag = replication.BINLOG_SEND_ANNOTATE_ROWS_EVENT
	}
	stop := context.AfterFunc(ctx, d.interrupt)
	defer stop()
	done := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() { d.pulse(done) })

	syncer := replication.NewBinlogSyncer(cfg)
	streamer, err := start(syncer, p)
	if err == nil {
		// With a handler no event comes this way, only the end.
		_, err = streamer.GetEvent(context.Background())
	}
	close(done)
	watcher.Wait()
	d.closed.Store(true)
	d.interrupt()
	syncer.Close()
	d.kill()
	switch {
	case d.err != nil:
		return d.err
	case context.Cause(ctx) != nil:
		return context.Cause(ctx)
	case d.fail.Load() != nil:
		return *d.fail.Load()
	}
	return s.dumpError(err)
}

// start asks for the log from p on.
func start(syncer *replication.BinlogSyncer, p *place) (*replication.BinlogStreamer, error) {
	switch p.mode {
	case byGTID:
		text := ""
		if !p.set.empty() {
			text = p.set.String()
		}
		set, err := mysql.ParseMysqlGTIDSet(text)
		if err != nil {
			return nil, fmt.Errorf("parse GTID set: %w", err)
		}
		return syncer.StartSyncGTID(set)
	case byDomain:
		set, err := mysql.ParseMariadbGTIDSet(p.domain.connectState())
		if err != nil {
			return nil, fmt.Errorf("parse GTID position: %w", err)
		}
		return syncer.StartSyncGTID(set)
	}
	return syncer.StartSync(mysql.Position{Name: p.file.file, Pos: uint32(p.file.offset)})
}

// pulse notices a server that has gone silent, while a read waits: while the
// reader waits for the publisher, silence proves nothing.
func (d *dump) pulse(done <-chan struct{}) {
	tick := time.NewTicker(d.src.silence / 20)
	defer tick.Stop()
	quiet, reads := time.Now(), uint64(0)
	for {
		select {
		case <-done:
			return
		case now := <-tick.C:
			d.mu.Lock()
			raw := d.raw
			d.mu.Unlock()
			if raw == nil {
				quiet = now // still connecting, which has its own limit
				continue
			}
			if n := raw.reads.Load(); n != reads || !raw.pending.Load() {
				reads, quiet = n, now
				if d.beat != nil {
					d.beat()
				}
				continue
			}
			if now.Sub(quiet) >= d.src.silence {
				d.fail.Store(&errSilent)
				d.interrupt()
				return
			}
		}
	}
}

// kill ends the server's side, which would notice a closed connection only
// when it next has something to send. It is best effort: Stream does the same
// to what an earlier run left behind.
func (d *dump) kill() {
	s := d.src
	s.dump.CompareAndSwap(d.id, 0)
	if d.id == 0 || s.ctl == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, _ = s.ctl.query(ctx, "kill "+strconv.FormatUint(uint64(d.id), 10))
}

// tlsOf is the TLS configuration that works: with ssl-mode preferred the
// ordinary session has tried.
func (s *Source) tlsOf(ctx context.Context) (*tls.Config, error) {
	tc, err := s.addr.tlsConfig(s.at)
	if err != nil || tc == nil || s.addr.tls != tlsPreferred {
		return tc, err
	}
	x, err := s.control()
	if err != nil {
		return nil, err
	}
	r, err := x.query(ctx, "show session status like 'Ssl_cipher'")
	if err != nil {
		return nil, fmt.Errorf("ask for the session's cipher: %w", err)
	}
	if len(r) == 0 || r[0][1] == "" {
		return nil, nil
	}
	return tc, nil
}

// dumpError makes a Refusal of what the server says about a log that it cannot
// give.
func (s *Source) dumpError(err error) error {
	text := strings.ToLower(message(err))
	switch errorCode(err) {
	case mysql.ER_ACCESS_DENIED_ERROR, mysql.ER_SPECIFIC_ACCESS_DENIED_ERROR:
		return s.privilegeError("read the log", err)
	case mysql.ER_MASTER_FATAL_ERROR_READING_BINLOG, 1789, 1790, 1945, 1955, 1960:
	default:
		return fmt.Errorf("read the log: %w", plain(err))
	}
	switch {
	case strings.Contains(text, "purged"), strings.Contains(text, "could not find first log file"),
		strings.Contains(text, "could not find gtid state requested by slave in any binlog"),
		strings.Contains(text, "not found in binary log index"):
		return outbox.Refuse(ReasonPurged, hintReset, "the log behind the checkpoint is gone: %s", message(err))
	case strings.Contains(text, "more gtids than the"), strings.Contains(text, "which is not in the master's binlog"),
		strings.Contains(text, "probably diverged"), strings.Contains(text, "impossible position"), strings.Contains(text, "> file size"):
		return outbox.Refuse(ReasonAhead, hintNow, "the server does not know the checkpoint's position: %s", message(err))
	}
	return fmt.Errorf("read the log: %w", plain(err))
}

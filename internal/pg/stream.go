package pg

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tailer-io/tailer/internal/credential"
	"github.com/tailer-io/tailer/internal/outbox"
)

// stream is a connection on which the server streams. Its own bytes are read
// and written without pgconn, which has let go of it.
type stream struct {
	conn   net.Conn // TLS or plain
	sock   *bulk    // below it
	d      *reader
	pid    uint32
	slot   string
	f      *feed
	p      *pulse
	closed bool
}

// Stream opens the log at r (h.Open) and hands batches to h until ctx ends (it
// returns the cause), the position of Until is reached (outbox.ErrEnd), or
// something fails. Transactions come whole and in commit order, rows in
// statement order. Rows that r.Open names are passed over inside that very
// transaction; if another one with outbox rows comes first, or it ends early,
// that is a Refusal. So is a column that is gone.
//
// A slot that a left-over session of this name still reads is waited for, up
// to 10 s, and that session is ended. The connection stays open after Stream
// returned, for ConfirmWait; Close, Connect or the next Stream end it.
func (s *Source) Stream(ctx context.Context, r outbox.Resume, h *outbox.Handoff) error {
	if s.strm != nil {
		s.strm.close()
		s.strm = nil
	}
	st, r, err := s.start(ctx, r)
	if err != nil {
		return err
	}
	s.strm = st
	// The slot continues on the server's own timeline, whichever one the
	// checkpoint was made on: what is read from here on lies there.
	r.Lineage = s.id.lineage()
	at, err := positionLSN(r.Position)
	if err != nil {
		return err
	}
	s.raise(at)
	if st.f, err = newFeed(s.cfg.Tables, r, at, h, s.until, &s.conf); err != nil {
		return err
	}
	st.f.describe, st.f.check, st.f.chosen, st.f.whole = s.describe, s.cfg.Check, s.chosen, s.whole
	st.f.oids = make([]string, len(s.tables))
	for i, t := range s.tables {
		st.f.oids[i] = t.oid
	}
	st.p = newPulse(st.conn, st.d, st.f, h)
	h.Open()
	s.live.Store(st)
	defer s.live.Store(nil)
	return s.streamError(st.run(ctx))
}

// start opens a replication connection and brings it to streaming from r,
// which a temporary slot chooses itself.
func (s *Source) start(ctx context.Context, r outbox.Resume) (*stream, outbox.Resume, error) {
	st := &stream{slot: s.cfg.Slot}
	conn, err := s.openReplication(ctx, "open the stream's connection", func(c *pgconn.Config) {
		dial := c.DialFunc
		c.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			raw, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			st.sock = newBulk(raw, credential.Bare(raw))
			return st.sock, nil
		}
		c.BuildFrontend = func(rd io.Reader, w io.Writer) *pgproto3.Frontend {
			st.d = newReader(rd)
			return pgproto3.NewFrontend(st.d, w)
		}
	})
	if err != nil {
		return nil, r, err
	}
	if r, err = s.startReplication(ctx, conn, st, r); err != nil {
		closeConn(conn)
		return nil, r, err
	}
	st.pid = conn.PID()
	free, err := conn.Hijack()
	if err != nil {
		closeConn(conn)
		return nil, r, fmt.Errorf("take over the stream's connection: %w", err)
	}
	st.conn = free.Conn
	if !st.d.between() {
		_ = st.conn.Close()
		return nil, r, errors.New("take over the stream's connection: the set-up ended inside a message")
	}
	// pgconn leaves the deadlines of its last context behind.
	if err := st.conn.SetDeadline(time.Time{}); err != nil {
		_ = st.conn.Close()
		return nil, r, fmt.Errorf("take over the stream's connection: %w", err)
	}
	return st, r, nil
}

func (s *Source) startReplication(ctx context.Context, conn *pgconn.PgConn, st *stream, r outbox.Resume) (outbox.Resume, error) {
	id, err := s.identifySystem(ctx, conn)
	if err != nil {
		return r, err
	}
	if err := s.sameServer(id); err != nil {
		return r, err
	}
	temporary := s.cfg.Temporary && r.IsZero()
	var at lsn
	if temporary {
		st.slot = temporaryName(s.cfg.Slot)
		if at, _, err = s.createSlot(ctx, conn, st.slot, true, false); err != nil {
			return r, err
		}
		r = s.resumeAt(at)
	} else if at, err = positionLSN(r.Position); err != nil {
		return r, fmt.Errorf("start streaming: %w", err)
	} else if at == 0 {
		return r, errors.New("start streaming: there is no position to start from")
	}
	if !temporary {
		if err := s.freeSlot(ctx, s.ctl, st.slot); err != nil {
			return r, fmt.Errorf("start streaming: %w", err)
		}
	}
	err = pglogrepl.StartReplication(ctx, conn, quoteIdent(st.slot), at, pglogrepl.StartReplicationOptions{
		Mode: pglogrepl.LogicalReplication,
		PluginArgs: []string{
			"proto_version '1'",
			"publication_names " + strings.TrimSpace(quoteLiteral(quoteIdent(s.cfg.Publication))),
		},
	})
	if err != nil {
		return r, s.streamError(fmt.Errorf("start streaming: %w", err))
	}
	if temporary {
		return r, nil
	}
	// From here on nobody else can move the slot. The server would quietly
	// begin at its confirmed position if that were ahead of ours.
	sl, err := s.loadSlot(ctx, s.ctl, st.slot)
	if err != nil {
		return r, err
	}
	if sl.exists && sl.confirmed > at {
		return r, outbox.Refuse(ReasonSlotMoved, hintFromSlot,
			"replication slot %s was moved by somebody else: rows committed between %s (the checkpoint) and %s (the slot) are lost to it",
			s.cfg.Slot, at, sl.confirmed)
	}
	return r, nil
}

// temporaryName makes a name that no other run has.
func temporaryName(slot string) string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return slot[:min(len(slot), 50)] + "_" + hex.EncodeToString(b[:])
}

// run reads until the context ends or something fails.
func (st *stream) run(ctx context.Context) error {
	done := make(chan struct{})
	var helpers sync.WaitGroup
	helpers.Go(func() { st.p.run(done) })
	st.sock.served = true
	helpers.Go(func() { st.sock.run(done) })
	// One deadline in the past ends a read that waits; none is set for each.
	stop := context.AfterFunc(ctx, func() { _ = st.conn.SetReadDeadline(time.Unix(1, 0)) })
	err := st.read(ctx)
	stop()
	close(done)
	helpers.Wait()
	st.sock.served = false
	if errors.Is(err, outbox.ErrEnd) {
		return err
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if fail := st.p.fail.Load(); fail != nil {
		return *fail
	}
	return err
}

// read is the loop that everything passes through.
func (st *stream) read(ctx context.Context) error {
	d, f := st.d, st.f
	for {
		typ, body, ok, err := d.take()
		switch {
		case err != nil:
			return err
		case !ok:
			f.settle()
			if f.replyAsked {
				f.replyAsked = false
				st.p.now()
			}
			if f.h.Crowded() {
				d.shrink()
				if err := f.h.Room(ctx); err != nil {
					return err
				}
			}
			st.sock.behind = f.behind
			if err := d.fill(); err != nil {
				return fmt.Errorf("read the log: %w", err)
			}
			continue
		}
		if typ != 'd' {
			if err := st.other(typ, body); err != nil {
				return err
			}
			continue
		}
		if err := f.message(ctx, body); err != nil {
			if err == outbox.ErrEnd {
				return f.end(ctx)
			}
			return err
		}
	}
}

// other takes the messages that are no part of the stream.
func (st *stream) other(typ byte, body []byte) error {
	switch typ {
	case 'N', 'S':
		return nil
	case 'E':
		var m pgproto3.ErrorResponse
		if err := m.Decode(body); err != nil {
			return fmt.Errorf("read the log: the server reports an error that cannot be read: %w", err)
		}
		return fmt.Errorf("read the log: %w", pgconn.ErrorResponseToPgError(&m))
	case 'c', 'C', 'Z':
		return errors.New("read the log: the server ended the stream (it is shutting down)")
	}
	return fmt.Errorf("read the log: message of kind %q came behind %s", typ, st.f.done)
}

// streamError makes a Refusal of what the server says only when going on would
// need an operator.
func (s *Source) streamError(err error) error {
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		return err
	}
	switch {
	case pe.Code == "42704" && strings.Contains(pe.Message, "publication"):
		return outbox.Refuse(ReasonPublication, hintReset,
			"the log cannot be decoded: %s (it was dropped, or made after the rows that come next)", pe.Message)
	case pe.Code == "42704" && strings.Contains(pe.Message, "slot"):
		return outbox.Refuse(ReasonSlotMissing, hintReset, "the server says: %s", pe.Message)
	case pe.Code == "58P01", pe.Code == "55000" && strings.Contains(pe.Message, "slot"):
		return outbox.Refuse(ReasonSlotLost, hintReset,
			"replication slot %s is lost: %s", s.cfg.Slot, pe.Message)
	}
	return err
}

// close ends the connection politely.
func (st *stream) close() {
	if st.closed {
		return
	}
	st.closed = true
	// CopyDone, then Terminate: the server frees the slot at once and need
	// not find out from a broken connection.
	_ = st.conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = st.conn.Write([]byte{'c', 0, 0, 0, 4, 'X', 0, 0, 0, 4})
	_ = st.conn.Close()
}

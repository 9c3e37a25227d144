package pg

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Left is where another reader of this database's log left it.
type Left struct {
	// Commit is the end of the last transaction that is done with, a byte
	// position in the log.
	Commit uint64
	// Transaction is the number of the transaction that was being read, 0 for
	// none.
	Transaction uint32
	// Change is where the last change of it begins that is done with.
	Change uint64
}

// Resume is where reading goes on behind what another reader has done. Inside
// a transaction that is told by reading it: the log has the places of its
// changes, and they are compared with the other's. It wants Connect before, and
// moves nothing on the server. What cannot be proven is a Refusal.
func (s *Source) Resume(ctx context.Context, l Left) (outbox.Resume, error) {
	at := s.resumeAt(lsn(l.Commit))
	x, err := s.control()
	if err != nil {
		return at, err
	}
	sl, err := s.loadSlot(ctx, x, s.cfg.Slot)
	if err != nil {
		return at, err
	}
	c := &counter{left: l, result: at, slot: sl.name, late: sl.confirmed > lsn(l.Commit)}
	if l.Transaction == 0 {
		if c.late {
			return at, c.tooLate(sl.confirmed)
		}
		return at, nil
	}
	if c.late {
		c.result = s.resumeAt(sl.confirmed)
	}
	if err := s.Prove(ctx, c.result); err != nil {
		return at, err
	}
	if err := s.count(ctx, c, sl.confirmed); err != nil {
		return at, fmt.Errorf("count the rows of transaction %d that are published: %w", l.Transaction, err)
	}
	return c.result, nil
}

// counter looks for the transaction that was being read, and counts the outbox
// rows of it that are done with.
type counter struct {
	left   Left
	f      *feed
	result outbox.Resume // Position is where the reading begins
	slot   string
	// late says that the slot begins behind the last commit. What lies between
	// cannot be read; but when the transaction that was being read comes first,
	// there is nothing in between: the other reader would have been there.
	late bool

	met  bool   // the transaction came, with outbox rows
	done uint64 // rows at or before Left.Change
	same uint64 // rows at Left.Change
}

// count reads the log until c has its result, or the log ends. confirmed is
// where the slot is.
func (s *Source) count(ctx context.Context, c *counter, confirmed lsn) error {
	x, err := s.control()
	if err != nil {
		return err
	}
	end, err := s.flushed(ctx, x)
	if err != nil {
		return err
	}
	st, _, err := s.start(ctx, c.result)
	if err != nil {
		return err
	}
	defer st.close()
	// The server is told nothing that it does not know: whoever changes his mind
	// finds the slot as it was.
	var told atomic.Uint64
	told.Store(uint64(confirmed))
	from, err := positionLSN(c.result.Position)
	if err != nil {
		return err
	}
	h := outbox.NewHandoff(1, outbox.Limits{Rows: 1, Bytes: 1}, c.result)
	if st.f, err = newFeed(s.cfg.Tables, c.result, from, h, end, &told); err != nil {
		return err
	}
	st.f.describe = s.describe
	st.f.oids = make([]string, len(s.tables))
	for i, t := range s.tables {
		st.f.oids[i] = t.oid
	}
	st.f.skip = math.MaxUint64 // rows are counted, and nothing else
	st.p = newPulse(st.conn, st.d, st.f, h)
	c.f = st.f
	return c.run(ctx, st)
}

// flushed is the end of the server's log.
func (s *Source) flushed(ctx context.Context, x *session) (lsn, error) {
	row, err := x.row(ctx, `select pg_current_wal_flush_lsn()`)
	if err != nil {
		return 0, fmt.Errorf("ask for the log's end: %w", err)
	}
	return pglogrepl.ParseLSN(row[0])
}

func (c *counter) run(ctx context.Context, st *stream) error {
	stop := make(chan struct{})
	var helper sync.WaitGroup
	helper.Go(func() { st.p.run(stop) })
	free := context.AfterFunc(ctx, func() { _ = st.conn.SetReadDeadline(time.Unix(1, 0)) })
	err := c.read(ctx, st)
	free()
	close(stop)
	helper.Wait()
	switch fail := st.p.fail.Load(); {
	case errors.Is(err, outbox.ErrEnd) && c.late && !c.met:
		return c.tooLate(c.f.done)
	case errors.Is(err, outbox.ErrEnd):
		return nil
	case context.Cause(ctx) != nil:
		return context.Cause(ctx)
	case fail != nil:
		return *fail
	}
	return err
}

// read is stream.read for a counter.
func (c *counter) read(ctx context.Context, st *stream) error {
	for {
		typ, body, ok, err := st.d.take()
		switch {
		case err != nil:
			return err
		case !ok:
			if c.f.replyAsked {
				c.f.replyAsked = false
				st.p.now()
			}
			if err := st.d.fill(); err != nil {
				return fmt.Errorf("read the log: %w", err)
			}
		case typ != 'd':
			if err := st.other(typ, body); err != nil {
				return err
			}
		default:
			if err := c.message(ctx, body); err != nil {
				return err
			}
		}
	}
}

// message takes one message. outbox.ErrEnd says that the result is there.
func (c *counter) message(ctx context.Context, body []byte) error {
	within, rows := c.f.in, c.f.rows
	err := c.f.message(ctx, body)
	if err != nil && err != outbox.ErrEnd {
		return err
	}
	switch {
	case c.f.in && !within:
		c.done, c.same = 0, 0
	case c.f.in && c.f.rows > rows:
		// The last row is a change, so it carries its place.
		return c.row(lsn(binary.BigEndian.Uint64(body[1:])))
	case within && !c.f.in && c.f.begin.xid == c.left.Transaction:
		return c.ended(rows)
	}
	return err
}

// row takes an outbox row that begins at a place.
func (c *counter) row(at lsn) error {
	if c.f.begin.xid != c.left.Transaction {
		if c.late {
			return c.tooLate(c.f.done)
		}
		if c.f.begin.final < lsn(c.left.Change) {
			return outbox.Refuse(ReasonOpen, "configure the tables that it captures, or set a position",
				"transaction %d, committed at %s, has outbox rows and stands between the last commit at %s and transaction %d: the other reader does not capture them",
				c.f.begin.xid, c.f.begin.final, lsn(c.left.Commit), c.left.Transaction)
		}
		// The transaction that was being read has no outbox row: it would have
		// come before this one.
		return outbox.ErrEnd
	}
	c.met = true
	if at <= lsn(c.left.Change) {
		c.done++
	}
	if at == lsn(c.left.Change) {
		c.same++
	}
	return nil
}

// tooLate refuses a slot that does not reach back to where the other reader is.
func (c *counter) tooLate(at lsn) error {
	return outbox.Refuse(ReasonSlotMoved, "let the other reader go on until it has published something that was inserted since the slot was made, and stop it again",
		"replication slot %s begins behind the last commit at %s that the other reader has done with: what was committed before %s cannot be read", c.slot, lsn(c.left.Commit), at)
}

// ended takes the end of the transaction that was being read, which has so many
// outbox rows.
func (c *counter) ended(rows uint64) error {
	switch {
	case c.same > 1:
		return outbox.Refuse(ReasonOpen, "let the other reader go on, and stop it again when it is behind this transaction",
			"%d rows of transaction %d begin at %s, as COPY writes them: how many of them are done with cannot be told", c.same, c.left.Transaction, lsn(c.left.Change))
	case c.done == rows:
		c.result.Position = position(c.f.done)
	case c.done > 0:
		c.result.Open = &outbox.Open{Txn: string(appendOpen(nil, c.f.begin.xid, c.f.begin.final)), Rows: c.done}
	}
	return outbox.ErrEnd
}

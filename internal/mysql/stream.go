package mysql

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Stream opens the log at r (h.Open) and hands batches to h until ctx ends (it
// returns the cause), the position of Until is reached (outbox.ErrEnd), or
// something fails. Transactions come whole and in the log's order, rows in
// statement order. Rows that r.Open names are passed over inside that very
// transaction; if another one with outbox rows comes first, or it ends early,
// that is a Refusal. So is a row that cannot be read for what it is.
//
// A connection that an earlier run under this name left behind is ended first.
func (s *Source) Stream(ctx context.Context, r outbox.Resume, h *outbox.Handoff) error {
	x, err := s.control()
	if err != nil {
		return err
	}
	if r.IsZero() {
		end, err := s.end(ctx, x)
		if err != nil {
			return err
		}
		r = s.resume(&end)
	}
	if !s.cfg.Temporary {
		if err := s.free(ctx, x, "reader"); err != nil {
			return fmt.Errorf("start streaming: %w", err)
		}
	}
	if err := s.proveServerID(ctx, x); err != nil {
		return err
	}
	f, err := newFeed(ctx, s, r, h)
	if err != nil {
		return fmt.Errorf("start streaming: %w", err)
	}
	defer f.payload.close()
	if f.ahead, err = clock(ctx, x); err != nil {
		return fmt.Errorf("start streaming: %w", err)
	}
	f.reload = func(i int) (tableFacts, error) {
		return s.reloadTable(ctx, x, i)
	}
	if s.chosen != nil {
		// A statement that leads to another table is none of our business.
		f.reach = newReach(s.chosenTables())
		if err := f.reach.load(ctx, x); err != nil {
			return err
		}
	}
	f.relook = func() error { return f.reach.load(ctx, x) }
	if f.until != nil && f.reached(f.until) {
		h.Open()
		return f.end()
	}
	from, err := s.resumable(ctx, &f.done)
	if err != nil {
		return err
	}
	var open sync.Once
	d := &dump{src: s, lock: !s.cfg.Temporary, idle: f.settle, beat: h.Heard}
	d.event = func(e header, body []byte) error {
		// The first event is the server's word that it has the place.
		open.Do(h.Open)
		return f.event(e, body, false)
	}
	err = d.run(ctx, &from)
	if errors.Is(err, outbox.ErrEnd) {
		return f.end()
	}
	var refusal *outbox.Refusal
	if errors.As(err, &refusal) {
		f.abandon()
	}
	return err
}

// clock is how far the server's clock is ahead of ours.
func clock(ctx context.Context, x *session) (time.Duration, error) {
	asked := time.Now()
	r, err := x.row(ctx, "select cast(unix_timestamp(now(6)) * 1000000 as unsigned)")
	if err != nil {
		return 0, fmt.Errorf("ask for the time: %w", err)
	}
	at, err := strconv.ParseInt(r[0], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("ask for the time: %w", err)
	}
	return microTime(at).Sub(asked.Add(time.Since(asked) / 2)), nil
}

// proveServerID refuses an id under which somebody else is registered, or that
// is the server's own: two readers with one id end each other.
func (s *Source) proveServerID(ctx context.Context, x *session) error {
	id := fmt.Sprint(s.serverID())
	if id == s.id.vars["server_id"] {
		return outbox.Refuse(ReasonServerID, "set --mysql-server-id to a number that no server has", "server id %s is the server's own", id)
	}
	sql := "show slave hosts"
	if s.id.kind == outbox.MySQL && s.id.number >= 80022 {
		sql = "show replicas"
	}
	rows, err := x.query(ctx, sql)
	if err != nil {
		return s.privilegeError("list the server's replicas", err)
	}
	for _, r := range rows {
		if r[0] == id && !strings.EqualFold(r[1], s.report()) {
			return outbox.Refuse(ReasonServerID, "set --mysql-server-id to a number that no replica has",
				"server id %s is in use by the replica on host %q", id, r[1])
		}
	}
	return nil
}

package pg

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pglogrepl"

	"github.com/tailer-io/tailer/internal/outbox"
)

const (
	hintReset    = "`tailer recover --where ...` begins anew with the rows of the gap, where the table still has them; `tailer checkpoint reset` accepts it: the next start is then a first start"
	hintFromSlot = "accept it with `tailer checkpoint set --from-slot`"
)

// Prove returns nil when streaming from r is proven to neither lose nor repeat
// a row: the slot is there, ours and whole, and has not been moved beyond r;
// r lies on the server's history and not beyond its end; the publication
// brings every row. What fails is a Refusal; a question that cannot be asked is
// a transient error. A zero r (from now on, keeping nothing) needs only the
// publication.
func (s *Source) Prove(ctx context.Context, r outbox.Resume) error {
	x, err := s.control()
	if err != nil {
		return err
	}
	if r.IsZero() {
		return s.provePublication(ctx, x, s.tables, "")
	}
	at, err := positionLSN(r.Position)
	if err != nil {
		return outbox.Refuse(ReasonAhead, hintFromSlot, "the checkpoint cannot be used: %v", err)
	}
	final := at // the furthest place that the checkpoint speaks of
	if r.Open != nil {
		if _, final, err = parseOpen(r.Open.Txn); err != nil {
			return outbox.Refuse(ReasonOpen, hintFromSlot, "the checkpoint cannot be used: %v", err)
		}
	}
	about := fmt.Sprintf("%s on timeline %s, %s", at, r.Lineage, final)
	if err := s.proveTimeline(ctx, r.Lineage, at, final); err != nil {
		return s.withRemaining(ctx, x, about, err)
	}
	if err := s.proveEnd(ctx, x, at, final); err != nil {
		return s.withRemaining(ctx, x, about, err)
	}
	if err := s.proveSlot(ctx, x, at); err != nil {
		return s.withRemaining(ctx, x, about, err)
	}
	s.watchMu.Lock()
	since := s.hole
	s.watchMu.Unlock()
	if err := s.provePublication(ctx, x, s.tables, since); err != nil {
		return err
	}
	s.closeHole()
	return nil
}

// proveSlot: whole, ours, and confirmed no further than the checkpoint. Less
// far is normal: the confirmed position lags, and a slot synchronized to a
// standby lags more.
func (s *Source) proveSlot(ctx context.Context, x *session, at lsn) error {
	sl, err := s.loadSlot(ctx, x, s.cfg.Slot)
	if err != nil {
		return err
	}
	if !sl.exists {
		end, err := flushedEnd(ctx, x)
		if err != nil {
			return err
		}
		return outbox.Refuse(ReasonSlotMissing, hintReset,
			"replication slot %s does not exist: nothing kept the log behind the checkpoint, and rows committed between %s (the checkpoint) and %s (the end of the server's log) may be lost",
			s.cfg.Slot, at, end)
	}
	if err := sl.foreign(s.id.database); err != nil {
		return err
	}
	if why := sl.lost(); why != "" {
		end, err := flushedEnd(ctx, x)
		if err != nil {
			return err
		}
		return outbox.Refuse(ReasonSlotLost, hintReset,
			"replication slot %s is lost, %s: rows committed between %s (the checkpoint) and %s (the end of the server's log) cannot be read any more", s.cfg.Slot, why, at, end)
	}
	if sl.confirmed > at {
		return outbox.Refuse(ReasonSlotMoved, hintFromSlot,
			"replication slot %s was moved by somebody else: rows committed between %s (the checkpoint) and %s (the slot) are lost to it",
			s.cfg.Slot, at, sl.confirmed)
	}
	return nil
}

// proveEnd: a server whose log ends before the checkpoint has lost what was
// published already (a standby that lagged was promoted, a backup restored),
// and new rows would be skipped until its log has grown past the checkpoint.
func (s *Source) proveEnd(ctx context.Context, x *session, at, final lsn) error {
	end, err := flushedEnd(ctx, x)
	if err != nil {
		return err
	}
	if at > end || final > end {
		return outbox.Refuse(ReasonAhead, hintFromSlot,
			"the server's log ends at %s, before the checkpoint at %s: rows in between were published, and the server has lost them", end, max(at, final))
	}
	return nil
}

// flushedEnd is how far the server's log reaches on its disk.
func flushedEnd(ctx context.Context, x *session) (lsn, error) {
	row, err := x.row(ctx, `select pg_current_wal_flush_lsn()`)
	if err != nil {
		return 0, fmt.Errorf("ask for the log's end: %w", err)
	}
	end, err := parseLSN(row[0])
	if err != nil {
		return 0, fmt.Errorf("ask for the log's end: %w", err)
	}
	return end, nil
}

// proveTimeline: the checkpoint lies on the current timeline, or on one that
// the current one grew out of, before the place where they parted.
func (s *Source) proveTimeline(ctx context.Context, lineage string, at, final lsn) error {
	tli, err := strconv.ParseUint(lineage, 10, 32)
	if err != nil {
		return outbox.Refuse(ReasonTimeline, hintFromSlot, "the checkpoint names no timeline but %q", lineage)
	}
	if uint32(tli) == s.id.timeline {
		return nil
	}
	var history []branch
	if uint32(tli) < s.id.timeline {
		if history, err = s.history(ctx); err != nil {
			return err
		}
	}
	return s.onHistory(history, uint32(tli), at, final)
}

// onHistory: the place lies on a branch that the current timeline grew out of.
func (s *Source) onHistory(history []branch, tli uint32, at, final lsn) error {
	for _, b := range history {
		if b.timeline != tli {
			continue
		}
		if far := max(at, final); b.end < far {
			return outbox.Refuse(ReasonTimeline, hintFromSlot,
				"the checkpoint at %s lies on timeline %d, which the server (timeline %d) left at %s: rows between %s and %s were published and are lost in the database",
				far, tli, s.id.timeline, b.end, b.end, far)
		}
		return nil
	}
	return outbox.Refuse(ReasonTimeline, hintFromSlot,
		"the checkpoint at %s lies on timeline %d, which is no part of the server's history (timeline %d): another branch was restored or promoted",
		at, tli, s.id.timeline)
}

// branch is an earlier timeline and where it was left.
type branch struct {
	timeline uint32
	end      lsn
}

// history asks for the timeline history file of the current timeline, over a
// replication connection.
func (s *Source) history(ctx context.Context) ([]branch, error) {
	conn, err := s.openReplication(ctx, "open a replication connection", nil)
	if err != nil {
		return nil, err
	}
	defer closeConn(conn)
	id, err := s.identifySystem(ctx, conn)
	if err != nil {
		return nil, err
	}
	if err := s.sameServer(id); err != nil {
		return nil, err
	}
	res, err := pglogrepl.TimelineHistory(ctx, conn, int32(s.id.timeline))
	if err != nil {
		return nil, fmt.Errorf("read timeline history: %w", err)
	}
	return parseHistory(string(res.Content))
}

// parseHistory reads a timeline history file: a line for each earlier
// timeline, its number, the position where it was left, and a reason; see
// https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-TIMELINES.
func parseHistory(text string) ([]branch, error) {
	var out []branch
	for _, line := range strings.Split(text, "\n") {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		if len(f) < 2 {
			return nil, fmt.Errorf("read timeline history: line %q is malformed", line)
		}
		tli, err := strconv.ParseUint(f[0], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("read timeline history: line %q is malformed", line)
		}
		end, err := parseLSN(f[1])
		if err != nil {
			return nil, fmt.Errorf("read timeline history: %w", err)
		}
		out = append(out, branch{uint32(tli), end})
	}
	return out, nil
}

package pg

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// watchSession is the watcher's own connection, opened when there is none and
// again after it broke. A server that is not the one Connect found is an error.
func (s *Source) watchSession(ctx context.Context) (*session, error) {
	s.watchMu.Lock()
	defer s.watchMu.Unlock()
	if s.id.system == "" {
		return nil, errSessionLost
	}
	if s.watch != nil && !s.watch.lost() {
		return s.watch, nil
	}
	s.watch.close()
	s.watch = nil
	x, err := s.open(ctx, "open the watcher's session")
	if err != nil {
		return nil, err
	}
	r, err := x.row(ctx, `select system_identifier, pg_is_in_recovery() from pg_control_system()`)
	switch {
	case err != nil:
	case r[0] != s.id.system:
		err = fmt.Errorf("%w (system %s, before: %s)", outbox.ErrOtherServer, r[0], s.id.system)
	case r[1] == "t":
		// The one that we read from may well be in order still.
		err = errors.New("a server in recovery answers now")
	}
	if err != nil {
		x.close()
		return nil, fmt.Errorf("open the watcher's session: %w", err)
	}
	s.watch = x
	return x, nil
}

// Watch checks that the log still brings every outbox row: the publication
// holds every table with its wanted columns and no filter, and the tables are
// the very ones that Connect found, and logged. A difference is a Refusal with
// the statement that mends it and the last position known to be good. It may be
// called beside Stream.
func (s *Source) Watch(ctx context.Context) error {
	since, err := s.lookAt(ctx)
	var r *outbox.Refusal
	if errors.As(err, &r) {
		s.watchMu.Lock()
		defer s.watchMu.Unlock()
		if s.hole == "" {
			s.hole = orStart(since)
		}
	}
	return err
}

// lookAt is Watch; since is the last position known to be good before it.
func (s *Source) lookAt(ctx context.Context) (since string, err error) {
	x, err := s.watchSession(ctx)
	if err != nil {
		return "", err
	}
	// The position is taken first: what is found in order below was so there.
	row, err := x.row(ctx, `select pg_current_wal_insert_lsn()`)
	if err != nil {
		return "", fmt.Errorf("watch: %w", err)
	}
	at, err := parseLSN(row[0])
	if err != nil {
		return "", fmt.Errorf("watch: %w", err)
	}
	s.watchMu.Lock()
	if s.good != 0 {
		since = s.good.String()
	}
	s.watchMu.Unlock()
	facts := make([]tableFacts, len(s.cfg.Tables))
	for i, t := range s.cfg.Tables {
		if facts[i], err = loadTable(ctx, x, t); err != nil {
			return since, err
		}
		if err := facts[i].judge(t, s.id.version, true); err != nil {
			var r *outbox.Refusal
			if errors.As(err, &r) {
				r.Text += "; rows committed behind " + orStart(since) + " may be missing"
			}
			return since, err
		}
		if facts[i].oid != s.tables[i].oid {
			return since, outbox.Refuse(ReasonTable, "publish what was left behind, then restart tailer",
				"table %s was replaced by another one of its name (OID %s, before %s); rows committed behind %s may be missing",
				t, facts[i].oid, s.tables[i].oid, orStart(since))
		}
	}
	if err := s.provePublication(ctx, x, facts, since); err != nil {
		return since, err
	}
	s.watchMu.Lock()
	s.good = max(s.good, at)
	s.watchMu.Unlock()
	return since, nil
}

// closeHole says, once it goes on behind a refusal of Watch, what does not come
// by itself.
func (s *Source) closeHole() {
	s.watchMu.Lock()
	defer s.watchMu.Unlock()
	if s.hole == "" {
		return
	}
	s.log.Warn("going on behind a refusal; rows committed before its cause was mended may be missing, `tailer republish` publishes them from the table", "behind", s.hole)
	s.hole = ""
}

func orStart(since string) string {
	if since == "" {
		return "the start"
	}
	return since
}

// Gauges asks how far the server is, and what the slot holds back. What the
// server does not say is negative. It may be called beside Stream.
func (s *Source) Gauges(ctx context.Context) (outbox.Gauges, error) {
	g := outbox.Gauges{ConfirmedLagBytes: -1, RetainedBytes: -1, SafeBytes: -1}
	x, err := s.watchSession(ctx)
	if err != nil {
		return g, err
	}
	name := s.cfg.Slot
	if st := s.live.Load(); st != nil {
		name = st.slot
	}
	row, err := x.row(ctx, `select pg_current_wal_flush_lsn()`)
	if err != nil {
		return g, fmt.Errorf("ask for the log's end: %w", err)
	}
	end, err := parseLSN(row[0])
	if err != nil {
		return g, fmt.Errorf("ask for the log's end: %w", err)
	}
	g.At, g.Server = time.Now(), position(end)
	sl, err := s.loadSlot(ctx, x, name)
	if err != nil || !sl.exists {
		return g, err
	}
	g.ConfirmedLagBytes = float64(behind(sl.confirmed, end))
	if n, err := strconv.ParseFloat(sl.retained, 64); err == nil {
		g.RetainedBytes = n
	}
	g.SafeBytes = sl.room()
	return g, s.loadPatience(ctx, x, name, &g)
}

// loadPatience asks for how long the server keeps a slot that nobody reads from,
// and for how long nobody has; see
// https://www.postgresql.org/docs/18/runtime-config-replication.html.
func (s *Source) loadPatience(ctx context.Context, x *session, slot string, g *outbox.Gauges) error {
	if s.id.version < 18 {
		return nil
	}
	r, err := x.row(ctx, `select setting::bigint * case unit when 'min' then 60 else 1 end,
  (select greatest(0, extract(epoch from now() - inactive_since))::bigint from pg_replication_slots where slot_name = $1 and not active)
from pg_settings where name = $2`, slot, settingPatience)
	if err != nil {
		return fmt.Errorf("ask for %s: %w", settingPatience, err)
	}
	limit, err := strconv.ParseInt(r[0], 10, 64)
	if err != nil {
		return fmt.Errorf("ask for %s: %w", settingPatience, err)
	}
	g.Keep, g.KeepSetting, g.Away = time.Duration(limit)*time.Second, settingPatience, -1
	if away, err := strconv.ParseInt(r[1], 10, 64); err == nil {
		g.Away = time.Duration(away) * time.Second
	}
	return nil
}

const settingPatience = "idle_replication_slot_timeout"

// Behind is the log between p and end, in bytes: 0 when p has reached end, -1
// when one of them is no LSN. It asks nobody.
func (s *Source) Behind(p, end outbox.Position) float64 {
	a, err := positionLSN(p)
	if err != nil || a == 0 {
		return -1
	}
	b, err := positionLSN(end)
	if err != nil || b == 0 {
		return -1
	}
	return float64(behind(a, b))
}

package pg

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/tailer-io/tailer/internal/outbox"
)

// slot is a row of pg_replication_slots, see
// https://www.postgresql.org/docs/current/view-pg-replication-slots.html.
type slot struct {
	exists      bool
	name        string
	plugin      string
	kind        string
	database    string
	temporary   bool
	active      bool
	pid         string // active_pid, "" when inactive
	restart     string // restart_lsn, "" when its log is gone
	confirmed   lsn
	walStatus   string // reserved, extended, unreserved, lost
	safe        string // safe_wal_size in bytes, "" without a limit
	conflicting bool   // since 16
	invalid     string // invalidation_reason, since 17
	retained    string // bytes of log kept for it
	failover    bool   // standbys keep a copy of it, since 17
}

// loadSlot asks for a slot; one that is not there does not exist, and is no
// error. Columns that a version lacks read as empty.
func (s *Source) loadSlot(ctx context.Context, x *session, name string) (slot, error) {
	conflicting, invalid, failover := "false", "''", "false"
	if s.id.version >= 16 {
		conflicting = "coalesce(conflicting, false)"
	}
	if s.id.version >= 17 {
		invalid, failover = "coalesce(invalidation_reason, '')", "failover"
	}
	rows, err := x.query(ctx, `select plugin, slot_type, database, temporary, active, active_pid, restart_lsn,
  coalesce(confirmed_flush_lsn, '0/0'), wal_status, safe_wal_size, `+conflicting+`, `+invalid+`,
  case when not pg_is_in_recovery() then pg_current_wal_flush_lsn() - restart_lsn end, `+failover+`
from pg_replication_slots where slot_name = $1`, name)
	if err != nil {
		return slot{}, fmt.Errorf("look up slot: %w", err)
	}
	if len(rows) == 0 {
		return slot{name: name}, nil
	}
	r := rows[0]
	l, err := parseLSN(r[7])
	if err != nil {
		return slot{}, fmt.Errorf("look up slot: %w", err)
	}
	return slot{
		exists: true, name: name, plugin: r[0], kind: r[1], database: r[2], temporary: r[3] == "t", active: r[4] == "t",
		pid: r[5], restart: r[6], confirmed: l, walStatus: r[8], safe: r[9], conflicting: r[10] == "t", invalid: r[11],
		retained: r[12], failover: r[13] == "t",
	}, nil
}

// foreign refuses a slot that is not ours to use.
func (sl slot) foreign(database string) error {
	const hint = "give tailer another slot with --pg-slot"
	switch {
	case sl.kind != "logical":
		return outbox.Refuse(ReasonSlotForeign, hint, "replication slot %s is %s, not logical", sl.name, sl.kind)
	case sl.plugin != "pgoutput":
		return outbox.Refuse(ReasonSlotForeign, hint, "replication slot %s belongs to plugin %s, not pgoutput", sl.name, sl.plugin)
	case sl.database != database:
		return outbox.Refuse(ReasonSlotForeign, hint, "replication slot %s belongs to database %s, not %s", sl.name, sl.database, database)
	case sl.temporary:
		return outbox.Refuse(ReasonSlotForeign, hint, "replication slot %s is temporary: it dies with its session", sl.name)
	}
	return nil
}

// room is how much more log may be written before the server gives up the
// slot's, in bytes: 0 when its next checkpoint does, or when it has, and negative
// without a limit. It has no safe_wal_size for a slot that is lost, and that must
// not look like one without a limit.
func (sl slot) room() float64 {
	if n, err := strconv.ParseFloat(sl.safe, 64); err == nil {
		return max(n, 0)
	}
	if sl.walStatus == "lost" {
		return 0
	}
	return -1
}

// lost says why the server cannot give the slot's log any more, "" if it can.
func (sl slot) lost() string {
	switch {
	case sl.invalid != "":
		return "the server invalidated it: " + strings.ReplaceAll(sl.invalid, "_", " ")
	case sl.walStatus == "lost":
		return "the server removed log that it needs (max_slot_wal_keep_size)"
	case sl.conflicting:
		return "it conflicts with recovery"
	}
	return ""
}

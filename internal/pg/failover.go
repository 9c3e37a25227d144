package pg

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Failover slots, since 17: the server's standbys keep a copy of a slot that is
// marked for it, and after a promotion tailer goes on from that copy. See
// https://www.postgresql.org/docs/current/logical-replication-failover.html.

// checkFailover looks at what a promotion would leave to tailer: the slot's mark,
// what the primary waits for before it gives out log, and each standby that
// the URL names. It fails nothing: who has no standby needs none of it.
func (s *Source) checkFailover(ctx context.Context, x *session, r *outbox.Findings, sl slot) {
	if s.id.version < 17 {
		return
	}
	if sl.exists && !sl.failover {
		r.Warn("failover", fmt.Sprintf(`on a replication connection, while tailer is stopped (psql "dbname=... replication=database"): ALTER_REPLICATION_SLOT %s (FAILOVER true)`, quoteIdent(sl.name)),
			"slot %s is not marked for failover: a promoted standby will not have it, and tailer will refuse there", sl.name)
	}
	rows, err := x.query(ctx, `select slot_name, xmin::text from pg_replication_slots where slot_type = 'physical' and active order by slot_name`)
	if err != nil {
		r.Err("failover", "", err)
		return
	}
	waited, err := x.row(ctx, "select current_setting('synchronized_standby_slots')")
	if err != nil {
		r.Err("failover", "", err)
		return
	}
	s.checkStandbySlots(r, rows, waited[0])
	s.checkStandbys(ctx, r)
}

// checkStandbySlots: a standby that lags must not miss what tailer published.
func (s *Source) checkStandbySlots(r *outbox.Findings, physical [][]string, setting string) {
	const what = "synchronized_standby_slots"
	var waited []string
	for _, name := range strings.Split(setting, ",") {
		if name = strings.Trim(strings.TrimSpace(name), `"`); name != "" {
			waited = append(waited, name)
		}
	}
	var present, missing []string
	for _, p := range physical {
		present = append(present, p[0])
		if !slices.Contains(waited, p[0]) {
			missing = append(missing, p[0])
		}
	}
	for _, name := range waited {
		if !slices.Contains(present, name) {
			r.Warn(what, "start that standby, or take it out: ALTER SYSTEM SET synchronized_standby_slots = '...', and SELECT pg_reload_conf()",
				"it names %s, from which no standby reads now: until one does the server holds back what tailer is to publish", name)
		}
	}
	if len(missing) > 0 {
		all := append(slices.Clone(waited), missing...)
		r.Warn(what, fmt.Sprintf("ALTER SYSTEM SET synchronized_standby_slots = %s, and SELECT pg_reload_conf()", strings.TrimSpace(quoteLiteral(strings.Join(all, ", ")))),
			"standbys read from %s, and the server does not wait for them: one that is promoted may lack rows that were published", strings.Join(missing, ", "))
	} else if len(present) > 0 {
		r.OK(what, "tailer gets nothing that the standbys of %s have not", strings.Join(present, ", "))
	}
	for _, p := range physical {
		if p[1] == "" {
			r.Warn("standby of slot "+p[0], "on the standby: hot_standby_feedback = on",
				"it gives no feedback, without which it cannot keep copies of slots")
		}
	}
}

// checkStandbys asks each host of the URL that is a standby.
func (s *Source) checkStandbys(ctx context.Context, r *outbox.Findings) {
	c, err := s.dialConfig(ctx)
	if err != nil || !severalHosts(c) {
		return
	}
	for _, one := range singleHosts(c) {
		what := "standby " + net.JoinHostPort(one.Host, strconv.Itoa(int(one.Port)))
		conn, err := pgconn.ConnectConfig(ctx, one)
		if err != nil {
			r.Warn(what, "", "it cannot be asked: %v", shorten(err))
			continue
		}
		x := &session{conn: conn, pid: conn.PID()}
		s.checkStandby(ctx, x, r, what)
		x.close()
	}
}

func (s *Source) checkStandby(ctx context.Context, x *session, r *outbox.Findings, what string) {
	row, err := x.row(ctx, `select pg_is_in_recovery(), current_setting('server_version_num')::int / 10000, current_setting('sync_replication_slots', true),
  current_setting('hot_standby_feedback'), current_setting('wal_level')`)
	switch {
	case err != nil:
		r.Warn(what, "", "it cannot be asked: %v", err)
		return
	case row[0] != "t":
		return // the primary
	}
	for i, setting := range []string{"", "", "sync_replication_slots", "hot_standby_feedback", "wal_level"} {
		want := map[string]string{"wal_level": "logical"}[setting]
		if want == "" {
			want = "on"
		}
		if setting != "" && row[i] != want {
			r.Warn(what, fmt.Sprintf("on the standby: %s = %s", setting, want), "%s is %s there: it keeps no copy of tailer's slot", setting, row[i])
		}
	}
	slots, err := x.query(ctx, `select synced and not temporary, coalesce(invalidation_reason, ''), coalesce(confirmed_flush_lsn, '0/0')
from pg_replication_slots where slot_name = $1`, s.cfg.Slot)
	switch {
	case err != nil:
		r.Warn(what, "", "it cannot be asked for its slots: %v", err)
	case len(slots) == 0:
		r.Warn(what, "sync_replication_slots = on there, primary_conninfo with a dbname, and primary_slot_name", "it has no copy of slot %s yet", s.cfg.Slot)
	case slots[0][1] != "":
		r.Warn(what, "", "its copy of slot %s is invalid: %s", s.cfg.Slot, slots[0][1])
	case slots[0][0] != "t":
		r.Warn(what, "wait: it becomes usable once the standby has what the slot needs", "its copy of slot %s is not usable yet", s.cfg.Slot)
	default:
		r.OK(what, "it keeps a copy of slot %s, confirmed up to %s", s.cfg.Slot, slots[0][2])
	}
}

// singleHosts makes a configuration of each host of one that names several,
// whatever the server's role.
func singleHosts(c *pgconn.Config) []*pgconn.Config {
	type host struct {
		name string
		port uint16
	}
	var list []*pgconn.Config
	seen := map[host]bool{}
	all := append([]*pgconn.FallbackConfig{{Host: c.Host, Port: c.Port, TLSConfig: c.TLSConfig}}, c.Fallbacks...)
	for _, f := range all {
		h := host{f.Host, f.Port}
		if seen[h] {
			continue
		}
		seen[h] = true
		one := c.Copy()
		one.Host, one.Port, one.TLSConfig, one.Fallbacks, one.ValidateConnect = f.Host, f.Port, f.TLSConfig, nil, nil
		for _, g := range all { // the same host with other TLS, as sslmode has it
			if g.Host == f.Host && g.Port == f.Port && g != f {
				one.Fallbacks = append(one.Fallbacks, g)
			}
		}
		list = append(list, one)
	}
	return list
}

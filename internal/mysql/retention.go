package mysql

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

const (
	retentionFix = "SET GLOBAL binlog_expire_logs_seconds = 604800 and in the configuration file " +
		"(Cloud SQL: flag binlog_expire_logs_seconds or log retention days; Azure: server parameter)"
	retentionFixRDS = "CALL mysql.rds_set_configuration('binlog retention hours', 168)"
)

// checkRetention looks at how long tailer may be away.
func (s *Source) checkRetention(ctx context.Context, x *session, r *outbox.Findings) {
	judgeRetention(s.id.vars, hoursOfRDS(ctx, x), r)
}

// hoursOfRDS is by what RDS and Aurora purge their log; see kept.
func hoursOfRDS(ctx context.Context, x *session) *string {
	// Elsewhere there is no such table, which without a right to it looks the
	// same as one that must not be read.
	rows, err := x.query(ctx, "select value from mysql.rds_configuration where name = 'binlog retention hours'")
	switch {
	case err != nil:
		return nil
	case len(rows) == 0:
		return new(string)
	}
	return &rows[0][0]
}

// kept is for how long the log is kept. RDS and Aurora purge it by a setting of
// their own, whatever the server's say: hours is its value, "" when it is not
// set, which keeps nothing, and nil when there is none that could be read.
// limited is false when it is never purged by time.
func kept(vars map[string]string, hours *string) (keep time.Duration, limited bool) {
	if hours != nil {
		n, _ := strconv.ParseFloat(*hours, 64)
		return time.Duration(n * float64(time.Hour)), true
	}
	seconds, err := strconv.ParseFloat(vars["binlog_expire_logs_seconds"], 64)
	if err != nil || seconds == 0 {
		days, _ := strconv.ParseFloat(vars["expire_logs_days"], 64)
		seconds = days * 86400
	}
	if seconds == 0 || strings.EqualFold(vars["binlog_expire_logs_auto_purge"], "OFF") {
		return 0, false
	}
	return time.Duration(seconds) * time.Second, true
}

// keepAgain is how often the server is asked for how long it keeps its log.
const keepAgain = time.Minute

// loadKeep says for how long the server keeps its log: by age, whoever reads it.
func (s *Source) loadKeep(ctx context.Context, x *session, g *outbox.Gauges) error {
	if time.Since(s.keepAsked) > keepAgain {
		rows, err := x.query(ctx, identifySQL)
		if err != nil {
			return fmt.Errorf("ask for the log's retention: %w", err)
		}
		id, err := identityOf(rows)
		if err != nil {
			return err
		}
		s.keepSetting, s.keep = "binlog_expire_logs_seconds", 0
		hours := hoursOfRDS(ctx, x)
		if hours != nil {
			s.keepSetting = "binlog retention hours"
		}
		if keep, limited := kept(id.vars, hours); limited && (hours != nil || !isRDS(id.vars)) {
			s.keep = keep
		}
		s.keepAsked = time.Now()
	}
	g.Keep, g.KeepSetting, g.ByAge = s.keep, s.keepSetting, true
	return nil
}

// judgeRetention judges for how long the log is kept; see kept.
func judgeRetention(vars map[string]string, hours *string, r *outbox.Findings) {
	const what = "log retention"
	if hours == nil && isRDS(vars) {
		r.Warn(what, retentionFixRDS+"; CALL mysql.rds_show_configuration shows it, and GRANT SELECT ON mysql.rds_configuration TO 'USER'@'HOST' lets tailer see it",
			"this is RDS or Aurora, where binlog_expire_logs_seconds does not count, and `binlog retention hours` cannot be read; unless it was set, the log is not kept")
		return
	}
	switch keep, limited := kept(vars, hours); {
	case !limited:
		r.OK(what, "the server never purges its log by time")
	case hours != nil:
		judgeKeep(keep, retentionFixRDS, r)
	default:
		judgeKeep(keep, retentionFix, r)
	}
}

func judgeKeep(keep time.Duration, fix string, r *outbox.Findings) {
	const what = "log retention"
	switch {
	case keep == 0:
		r.Warn(what, fix, "the log is deleted as soon as the server has no use for it: rows are lost to tailer when it is away")
	case keep < 24*time.Hour:
		r.Warn(what, fix, "%s: rows are lost to tailer when it is away for longer", keep)
	default:
		r.OK(what, "%s; tailer must not be away for longer", keep)
	}
}

// isRDS tells by where the server is installed, or by a variable that only
// Aurora has.
func isRDS(vars map[string]string) bool {
	return vars["aurora_version"] != "" || strings.HasPrefix(vars["basedir"], "/rdsdbbin")
}

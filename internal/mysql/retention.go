package mysql

import (
	"context"
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
	var hours *string
	// Elsewhere there is no such table, which without a right to it looks the
	// same as one that must not be read.
	if rows, err := x.query(ctx, "select value from mysql.rds_configuration where name = 'binlog retention hours'"); err == nil {
		hours = new(string)
		if len(rows) > 0 {
			hours = &rows[0][0]
		}
	}
	judgeRetention(s.id.vars, hours, r)
}

// judgeRetention judges for how long the log is kept. RDS and Aurora purge it
// by a setting of their own, whatever the server's say: hours is its value, ""
// when it is not set, which keeps nothing, and nil when there is none that could
// be read.
func judgeRetention(vars map[string]string, hours *string, r *outbox.Findings) {
	const what = "log retention"
	if hours != nil {
		n, _ := strconv.ParseFloat(*hours, 64)
		judgeKeep(time.Duration(n*float64(time.Hour)), retentionFixRDS, r)
		return
	}
	if isRDS(vars) {
		r.Warn(what, retentionFixRDS+"; CALL mysql.rds_show_configuration shows it, and GRANT SELECT ON mysql.rds_configuration TO 'USER'@'HOST' lets tailer see it",
			"this is RDS or Aurora, where binlog_expire_logs_seconds does not count, and `binlog retention hours` cannot be read; unless it was set, the log is not kept")
		return
	}
	seconds, err := strconv.ParseFloat(vars["binlog_expire_logs_seconds"], 64)
	if err != nil || seconds == 0 {
		days, _ := strconv.ParseFloat(vars["expire_logs_days"], 64)
		seconds = days * 86400
	}
	if seconds == 0 || strings.EqualFold(vars["binlog_expire_logs_auto_purge"], "OFF") {
		r.OK(what, "the server never purges its log by time")
		return
	}
	judgeKeep(time.Duration(seconds)*time.Second, retentionFix, r)
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

package mysql

import (
	"strings"
	"testing"

	"github.com/tailer-io/tailer/internal/outbox"
)

func TestRetention(t *testing.T) {
	text := func(s string) *string { return &s }
	plain := map[string]string{"binlog_expire_logs_seconds": "2592000", "basedir": "/usr/"}
	rds := map[string]string{"binlog_expire_logs_seconds": "2592000", "basedir": "/rdsdbbin/mysql-8.0.40.R1/"}
	aurora := map[string]string{"binlog_expire_logs_seconds": "2592000", "aurora_version": "3.08.0"}
	for name, c := range map[string]struct {
		vars  map[string]string
		hours *string
		level outbox.Level
		text  string
	}{
		"by time":            {plain, nil, outbox.OK, "720h0m0s"},
		"an hour":            {map[string]string{"binlog_expire_logs_seconds": "3600"}, nil, outbox.Warn, "1h0m0s"},
		"in days":            {map[string]string{"expire_logs_days": "2"}, nil, outbox.OK, "48h0m0s"},
		"never":              {map[string]string{"binlog_expire_logs_seconds": "0"}, nil, outbox.OK, "never"},
		"not purged by time": {map[string]string{"binlog_expire_logs_seconds": "3600", "binlog_expire_logs_auto_purge": "OFF"}, nil, outbox.OK, "never"},
		"RDS, unread":        {rds, nil, outbox.Warn, "cannot be read"},
		"Aurora, unread":     {aurora, nil, outbox.Warn, "cannot be read"},
		"RDS, not set":       {rds, text(""), outbox.Warn, "as soon as"},
		"RDS, an hour":       {rds, text("1"), outbox.Warn, "1h0m0s"},
		"Aurora, a week":     {aurora, text("168"), outbox.OK, "168h0m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			var r outbox.Findings
			judgeRetention(c.vars, c.hours, &r)
			if len(r.List) != 1 || r.List[0].Level != c.level || !strings.Contains(r.List[0].Found, c.text) {
				t.Fatalf("found %+v, want level %v and %q", r.List, c.level, c.text)
			}
			if onRDS := c.hours != nil || isRDS(c.vars); c.level != outbox.OK && onRDS != strings.Contains(r.List[0].Fix, "CALL mysql.rds_set_configuration") {
				t.Errorf("the fix is %q", r.List[0].Fix)
			}
		})
	}
}

// Where that table is, its value counts.
func TestRetentionIsRead(t *testing.T) {
	w := private(t, "STACK_MARIADB_URL", 1)
	w.app()
	w.exec("create table mysql.rds_configuration (name varchar(100), value varchar(100), description varchar(300))",
		"insert into mysql.rds_configuration values ('source delay', '0', ''), ('binlog retention hours', null, '')")
	for _, c := range []struct {
		sql   string
		level outbox.Level
	}{{"do 0", outbox.Warn}, {"update mysql.rds_configuration set value = '72' where value is null", outbox.OK}} {
		w.exec(c.sql)
		for _, f := range New(w.config(), quiet()).Check(w.ctx()) {
			if f.What == "log retention" && f.Level != c.level {
				t.Errorf("after %q: %+v", c.sql, f)
			}
		}
	}
}

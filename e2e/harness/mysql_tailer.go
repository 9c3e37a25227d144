package harness

import (
	"net/url"
	"strings"
	"testing"
)

// What a MySQL or MariaDB server has of a tailer: its sessions and its account.

const dumps = " AND command LIKE 'Binlog Dump%'"

// sessions are the connections of the database's account; which is a further condition on the process list.
func (d *MySQLDatabase) sessions(which string) (ids []string, err error) {
	list := "information_schema.processlist"
	if d.kind == "mysql" {
		list = "performance_schema.processlist" // which can show every character of a statement
	}
	rows, err := d.admin.Query("SELECT id FROM "+list+" WHERE user = ?"+which, d.name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// Stream implements Database.
func (d *MySQLDatabase) Stream(t testing.TB, _ string) string {
	t.Helper()
	ids, err := d.sessions(dumps)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(ids, " ")
}

// EndSessions implements Database.
func (d *MySQLDatabase) EndSessions(t testing.TB, _ string, which Sessions) int {
	t.Helper()
	only := map[Sessions]string{AllSessions: "", StreamSession: dumps, LockSession: " AND command NOT LIKE 'Binlog Dump%'"}[which]
	if which == LockSession && d.kind == "mysql" {
		only += ` AND id IN (SELECT processlist_id FROM performance_schema.threads t JOIN performance_schema.metadata_locks l
			ON l.owner_thread_id = t.thread_id WHERE l.object_type = 'USER LEVEL LOCK' AND l.lock_status = 'GRANTED')`
	}
	ids, err := d.sessions(only)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, id := range ids {
		if _, err := d.admin.Exec("KILL " + id); err == nil { // it may have gone by itself
			n++
		}
	}
	return n
}

// Slots implements Database.
func (*MySQLDatabase) Slots(testing.TB) int { return 0 }

// Protect implements Database.
func (d *MySQLDatabase) Protect(t testing.TB, password string) string {
	t.Helper()
	d.Exec(t, "ALTER USER "+d.name+"@'%' IDENTIFIED BY '"+password+"'")
	own := *d.url
	own.User = url.UserPassword(d.name, password)
	return own.String()
}

// Account implements Database.
func (d *MySQLDatabase) Account(t testing.TB, setup func(url string) string) string {
	t.Helper()
	user := "e2e_role_" + Unique()
	t.Cleanup(func() { d.Exec(t, "DROP USER "+user+"@'%'") })
	own := *d.url
	own.User = url.UserPassword(user, "...") // which is what the statements leave to be filled in
	for line := range strings.Lines(setup(own.String())) {
		for _, verb := range []string{"CREATE ", "GRANT "} {
			if strings.HasPrefix(line, verb) {
				d.Exec(t, line)
			}
		}
	}
	return own.String()
}

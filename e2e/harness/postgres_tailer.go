package harness

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// What a PostgreSQL server has of a tailer: its slot, its sessions, its account.

// Slot is the name of the slot that a tailer of this name makes by default.
func Slot(name string) string { return strings.ReplaceAll(name, "-", "_") }

// End implements Database.
func (d *PostgresDatabase) End(ctx context.Context) (string, error) {
	var lsn string
	err := d.db.QueryRowContext(ctx, "SELECT pg_current_wal_lsn()").Scan(&lsn)
	return lsn, err
}

// Confirms implements Database.
func (*PostgresDatabase) Confirms() bool { return true }

// Confirmed implements Database. It asks over a connection that has nothing to do with the load.
func (d *PostgresDatabase) Confirmed(ctx context.Context, name string) (string, bool, error) {
	var lsn sql.NullString
	err := d.admin.QueryRowContext(ctx,
		"SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = $1", Slot(name)).Scan(&lsn)
	if err == sql.ErrNoRows {
		return "", false, nil
	}
	return lsn.String, lsn.Valid, err
}

// Compare implements Database.
func (*PostgresDatabase) Compare(a, b string) (int, error) {
	x, err := LSN(a)
	if err != nil {
		return 0, err
	}
	y, err := LSN(b)
	switch {
	case err != nil:
		return 0, err
	case x < y:
		return -1, nil
	case x > y:
		return 1, nil
	}
	return 0, nil
}

// Behind implements Database.
func (d *PostgresDatabase) Behind(row, position string) (bool, error) {
	order, err := d.Compare(row, position)
	return order > 0, err
}

// Victim implements Database: the load's way to lock leaves nothing to choose from.
func (*PostgresDatabase) Victim(error) bool { return false }

// LSN reads a log position as PostgreSQL prints it.
func LSN(s string) (uint64, error) {
	var high, low uint32
	if n, err := fmt.Sscanf(s, "%X/%X", &high, &low); n != 2 || err != nil {
		return 0, fmt.Errorf("%q is no LSN", s)
	}
	return uint64(high)<<32 | uint64(low), nil
}

// Beyond implements Database.
func (*PostgresDatabase) Beyond(testing.TB) string { return "FFFF/0" }

// Stream implements Database.
func (d *PostgresDatabase) Stream(t testing.TB, name string) string {
	t.Helper()
	return d.Text(t, "SELECT (SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1)", Slot(name))
}

// EndSessions implements Database.
func (d *PostgresDatabase) EndSessions(t testing.TB, name string, which Sessions) int {
	t.Helper()
	only := map[Sessions]string{
		AllSessions:   "",
		StreamSession: " AND backend_type = 'walsender'",
		LockSession:   " AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted)",
	}[which]
	n := d.Text(t, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1"+only, "tailer/"+name)
	return number(t, n)
}

// Slots implements Database.
func (d *PostgresDatabase) Slots(t testing.TB) int {
	t.Helper()
	return number(t, d.Text(t, "SELECT count(*) FROM pg_replication_slots WHERE database = $1", d.name))
}

// Protect implements Database. The server trusts everybody, so that any password will do.
func (d *PostgresDatabase) Protect(_ testing.TB, password string) string {
	own := *d.url
	own.User = url.UserPassword(own.User.Username(), password)
	return own.String()
}

// Account implements Database.
func (d *PostgresDatabase) Account(t testing.TB, setup func(url string) string) string {
	t.Helper()
	role := "e2e_role_" + Unique()
	t.Cleanup(func() {
		d.Exec(t, "REASSIGN OWNED BY "+role+" TO CURRENT_USER; DROP OWNED BY "+role)
		d.Exec(t, "DROP ROLE "+role)
	})
	own := *d.url
	own.User = url.User(role)
	for line := range strings.Lines(setup(own.String())) {
		for _, verb := range []string{"CREATE ", "ALTER ", "GRANT "} {
			if strings.HasPrefix(line, verb) {
				d.Exec(t, line)
			}
		}
	}
	return own.String()
}

func number(t testing.TB, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

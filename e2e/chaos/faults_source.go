package chaos

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/tailer-io/tailer/e2e/harness"
)

var binlogs = []string{"mysql", "mariadb"}

var sourceFaults = []Fault{
	{Name: "stream's session ended", Layer: Source, Expect: "goes on", Do: ended(harness.StreamSession), Short: true},
	{Name: "lock's session ended", Layer: Source, Expect: "goes on", Do: ended(harness.LockSession), Short: true},
	{Name: "all sessions ended", Layer: Source, Expect: "goes on", Do: ended(harness.AllSessions), Short: true},
	{Name: "server killed", Layer: Source, Expect: "goes on once it runs again", Own: true, Shakes: Source, Rough: true, Max: 3 * time.Second,
		Do: func(w *World) func() {
			w.server.Kill(w)
			return w.serverBack
		}},
	{Name: "server restarted", Layer: Source, Expect: "goes on once it runs again", Own: true, Shakes: Source, Rough: true, Max: time.Second,
		Do: func(w *World) func() {
			w.server.Stop(w)
			return w.serverBack
		}},
	{Name: "slot dropped", Layer: Source, Expect: "refuses", Sources: []string{"postgres"}, Alone: true,
		Refuses: []string{"slot", "tailer checkpoint reset"}, Do: func(w *World) func() {
			slot := harness.Slot(w.ID)
			w.Wait("the slot is dropped", time.Minute, func() (bool, string) {
				w.DB.EndSessions(w, w.ID, harness.StreamSession)
				_, err := w.DB.SQL().Exec("SELECT pg_drop_replication_slot($1)", slot)
				if err == nil {
					return true, ""
				}
				return false, err.Error()
			})
			return nil
		}},
	{Name: "slot advanced", Layer: Source, Expect: "refuses", Sources: []string{"postgres"}, Alone: true, Led: true,
		Refuses: []string{"slot", "tailer checkpoint"}, Do: func(w *World) func() {
			w.behind(func() {
				w.Wait("the slot is advanced", time.Minute, func() (bool, string) {
					_, err := w.DB.SQL().Exec("SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())", harness.Slot(w.ID))
					if err == nil {
						return true, ""
					}
					return false, err.Error()
				})
			})
			return nil
		}},
	{Name: "log purged", Layer: Source, Expect: "refuses", Sources: binlogs, Alone: true, Own: true, Shakes: Source,
		Refuses: []string{"the log behind the checkpoint is gone", "tailer checkpoint reset"}, Do: func(w *World) func() {
			w.behind(func() { purge(w) })
			return nil
		}},
	{Name: "log removed by max_slot_wal_keep_size", Layer: Source, Expect: "refuses", Sources: []string{"postgres"}, Alone: true, Own: true, Shakes: Source,
		Refuses: []string{"slot", "tailer checkpoint reset"}, Do: func(w *World) func() {
			w.behind(func() { loseSlot(w) })
			return nil
		}},
	{Name: "restored to an older state", Layer: Source, Expect: "refuses", Alone: true, Own: true, Shakes: Source,
		Refuses: []string{"tailer checkpoint set"}, Do: func(w *World) func() { restored(w); return nil }},
	{Name: "standby promoted", Layer: Source, Expect: "goes on, on the new timeline", Sources: []string{"postgres"}, Own: true, Shakes: Source, Rough: true,
		Do: func(w *World) func() {
			w.server.Stop(w)
			w.server.Promote(w)
			return w.serverBack
		}},
	{Name: "replica promoted", Layer: Source, Expect: "goes on behind the same GTID", Sources: []string{"mysql"}, Own: true, Shakes: Source, Rough: true,
		Do: func(w *World) func() {
			w.server.Stop(w)
			w.server.Rename(w)
			return w.serverBack
		}},
	{Name: "replica promoted", Layer: Source, Expect: "goes on behind the same GTID", Sources: []string{"mariadb"}, Own: true, Shakes: Source, Rough: true,
		Do: func(w *World) func() {
			// Sessions keep the number that the server had when they began.
			w.admin(fmt.Sprintf("SET GLOBAL server_id = %d", 2+w.random.Intn(1000)))
			w.admin("SET GLOBAL read_only = OFF") // what promotes it
			w.reconnect()
			w.DB.EndSessions(w, w.ID, harness.AllSessions)
			return nil
		}},
	{Name: "disk full", Layer: Source, Expect: "goes on once there is room and the server runs", Own: true, Shakes: Source, Rough: true, Alone: true,
		Min: 3 * time.Second, Max: 8 * time.Second, Within: 4 * time.Minute, // MySQL looks for room once a minute
		Do: func(w *World) func() {
			w.server.Small(w)
			w.serverBack()
			w.flowing()
			empty := w.server.Fill(w)
			w.Wait("nobody can commit", time.Minute, func() (bool, string) {
				n := w.load.Committed()
				time.Sleep(time.Second)
				return w.load.Committed() == n, "rows are committed still"
			})
			return func() {
				empty()
				w.serverBack()
			}
		}},
	{Name: "table altered", Layer: Source, Expect: "goes on", Do: func(w *World) func() {
		extra := fmt.Sprintf("extra%d", w.random.Int31())
		for _, statement := range []string{
			"ALTER TABLE " + w.DB.Outbox() + " ADD COLUMN " + extra + " varchar(10)",
			"CREATE TABLE " + extra + " (id int PRIMARY KEY)",
			"ALTER TABLE elsewhere ADD COLUMN " + extra + " int",
			"INSERT INTO " + extra + " VALUES (1)",
			"DROP TABLE " + extra,
			"ALTER TABLE elsewhere DROP COLUMN " + extra,
			"ALTER TABLE " + w.DB.Outbox() + " DROP COLUMN " + extra,
		} {
			w.retry(statement)
			w.pause(0, 200*time.Millisecond)
		}
		return nil
	}},
	{Name: "publication altered", Layer: Source, Expect: "refuses", Sources: []string{"postgres"}, Alone: true,
		Refuses: []string{"publication", "ALTER PUBLICATION"}, Do: func(w *World) func() {
			w.retry("ALTER PUBLICATION " + harness.Slot(w.ID) + " DROP TABLE " + w.DB.Outbox())
			return nil
		}},
	{Name: "role locked out", Layer: Source, Expect: "goes on once it is let in again", Rights: true, Min: time.Second, Max: 4 * time.Second,
		Alone: true, Do: func(w *World) func() {
			lock, unlock := "ALTER ROLE "+w.role()+" NOLOGIN", "ALTER ROLE "+w.role()+" LOGIN"
			if w.DB.Kind() != "postgres" {
				lock, unlock = "ALTER USER "+w.role()+"@'%' ACCOUNT LOCK", "ALTER USER "+w.role()+"@'%' ACCOUNT UNLOCK"
			}
			w.retry(lock)
			w.DB.EndSessions(w, w.ID, harness.AllSessions)
			return func() { w.retry(unlock) }
		}},
	{Name: "role lost privileges", Layer: Source, Expect: "refuses", Rights: true, Alone: true, Refuses: []string{"replication"},
		Do: func(w *World) func() {
			revoke := "ALTER ROLE " + w.role() + " NOREPLICATION"
			if w.DB.Kind() != "postgres" {
				revoke = "REVOKE REPLICATION SLAVE ON *.* FROM " + w.role() + "@'%'"
			}
			w.retry(revoke)
			w.DB.EndSessions(w, w.ID, harness.AllSessions)
			return nil
		}},
	{Name: "idle transaction, tailer started behind it", Layer: Source, Expect: "goes on, and publishes it once it is committed",
		Min: 500 * time.Millisecond, Max: 4 * time.Second, Alone: true, Do: idleTransaction},
	{Name: "idle transaction for long", Layer: Source, Expect: "goes on, and publishes it once it is committed", Long: true, Alone: true,
		Do: idleTransaction},
}

// idleTransaction leaves a transaction open that has written to the outbox, which holds the log back; a tailer that
// starts reads all that is behind its beginning again.
func idleTransaction(w *World) func() {
	w.Helper()
	tx, err := w.DB.SQL().Begin()
	if err != nil {
		w.Fatal(err)
	}
	id, kind := fmt.Sprintf("idle-%d", w.random.Int63()), strings.TrimPrefix(w.load.Topics()[0], harness.Topic(""))
	for into, values := range map[string]string{
		w.DB.Outbox() + " (id, aggregatetype, aggregateid, type, payload)": fmt.Sprintf("'%s', '%s', '%s', 'Idle', 'x'", id, kind, id),
		"expected (id, topic, msgkey, seq, value)":                         fmt.Sprintf("'%s', '%s', '%s', 1, 'x'", id, w.load.Topics()[0], id),
	} {
		if _, err := tx.Exec("INSERT INTO " + into + " VALUES (" + values + ")"); err != nil {
			w.Fatal(err)
		}
	}
	w.flowing()
	p := w.active()
	p.Kill()
	w.replace(p)
	return func() {
		if err := tx.Commit(); err != nil {
			w.Fatal(err)
		}
		w.Wait("the row of the idle transaction arrives", time.Minute, func() (bool, string) { w.tend(); return w.reader.Has(id), id })
	}
}

// loseSlot lets the server remove the log that the slot needs.
func loseSlot(w *World) {
	w.Helper()
	w.admin("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
	w.admin("SELECT pg_reload_conf()")
	defer func() {
		w.admin("ALTER SYSTEM RESET max_slot_wal_keep_size")
		w.admin("SELECT pg_reload_conf()")
	}()
	w.Wait("the slot is lost", 2*time.Minute, func() (bool, string) {
		w.admin("SELECT pg_switch_wal()")
		w.admin("CHECKPOINT")
		s := w.DB.Text(w, "SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1", harness.Slot(w.ID))
		return s == "lost", s
	})
}

// restored takes the server back to an older state of its disk, when all that it knows is published and nobody has
// written since.
func restored(w *World) {
	w.Helper()
	w.stop()
	w.arrive(len(w.load.Want()), 2*time.Minute)
	p := w.active()
	p.Kill()
	w.server.Stop(w)
	w.server.Save(w)
	w.serverBack()
	w.replace(p)
	w.write(true)
	w.flowing()
	w.stop()
	w.wanted = w.load.Want()
	w.arrive(len(w.wanted), 2*time.Minute)
	p = w.active()
	p.Kill()
	w.server.Stop(w)
	w.server.Restore(w)
	w.serverBack()
	w.replace(p)
}

// role is whose account tailer uses.
func (w *World) role() string {
	w.Helper()
	address := w.DB.URL()
	if w.url != "" {
		address = w.url
	}
	u, err := url.Parse(address)
	if err != nil {
		w.Fatal(err)
	}
	return u.User.Username()
}

// admin runs a statement that has no result as the one who may do everything.
func (w *World) admin(statement string) {
	w.Helper()
	var err error
	if w.DB.Kind() == "postgres" {
		_, err = w.DB.SQL().Exec(statement)
	} else {
		_, err = harness.MySQLAt(w, serverURL(w)).Admin(w).Exec(statement)
	}
	if err != nil {
		w.Fatalf("%s: %v", statement, err)
	}
}

// retry runs a statement again until nobody stands in its way.
func (w *World) retry(statement string) {
	w.Helper()
	w.Wait(statement, time.Minute, func() (bool, string) {
		_, err := w.DB.SQL().Exec(statement)
		return err == nil, fmt.Sprint(err)
	})
}

// ended ends sessions of the tailer.
func ended(which harness.Sessions) func(*World) func() {
	return func(w *World) func() {
		w.Wait("a session is ended", time.Minute, func() (bool, string) {
			w.tend()
			return w.DB.EndSessions(w, w.ID, which) > 0, "there is none"
		})
		return nil
	}
}

// serverBack starts the server and waits until it answers.
func (w *World) serverBack() {
	w.Helper()
	w.server.Mend(w)
	w.reconnect()
	w.Wait("the server answers", time.Minute, func() (bool, string) {
		err := w.DB.SQL().Ping()
		if err == nil {
			return true, ""
		}
		return false, err.Error()
	})
}

// reconnect drops the connections of ours that nobody uses now: they may be broken, or of former times.
func (w *World) reconnect() {
	w.DB.SQL().SetMaxIdleConns(0)
	w.DB.SQL().SetMaxIdleConns(16)
}

// behind kills the tailer, lets the writers commit what nobody publishes, does something to the log and starts the
// tailer again.
func (w *World) behind(do func()) {
	w.Helper()
	p := w.active()
	p.Kill()
	before := w.load.Committed()
	w.Wait("rows are committed that nobody publishes", time.Minute, func() (bool, string) {
		return w.load.Committed() > before+200, "too few"
	})
	do()
	w.replace(p)
}

package chaos

import (
	"time"

	"github.com/tailer-io/tailer/e2e/harness"
)

var binlogs = []string{"mysql", "mariadb"}

var sourceFaults = []Fault{
	{Name: "stream's session ended", Layer: Source, Expect: "goes on", Do: ended(harness.StreamSession), Short: true},
	{Name: "lock's session ended", Layer: Source, Expect: "goes on", Do: ended(harness.LockSession), Short: true},
	{Name: "all sessions ended", Layer: Source, Expect: "goes on", Do: ended(harness.AllSessions), Short: true},
	{Name: "server killed", Layer: Source, Expect: "goes on once it runs again", Own: true, Rough: true, Max: 3 * time.Second,
		Do: func(w *World) func() {
			w.server.Kill(w)
			return w.serverBack
		}},
	{Name: "server restarted", Layer: Source, Expect: "goes on once it runs again", Own: true, Rough: true, Max: time.Second,
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
	{Name: "log purged", Layer: Source, Expect: "refuses", Sources: binlogs, Alone: true, Own: true,
		Refuses: []string{"the log behind the checkpoint is gone", "tailer checkpoint reset"}, Do: func(w *World) func() {
			w.behind(func() { purge(w) })
			return nil
		}},
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
	w.Wait("the server answers", time.Minute, func() (bool, string) {
		err := w.DB.SQL().Ping()
		if err == nil {
			return true, ""
		}
		return false, err.Error()
	})
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

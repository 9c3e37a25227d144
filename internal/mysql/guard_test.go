package mysql

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// A server that lacks what was read last is refused although it is written to
// all the time, so that its log never ends: in strict mode at the first higher
// number, else at the place that was the log's end.
func TestBusyServerThatLacksWhatWasRead(t *testing.T) {
	t.Parallel()
	for _, strict := range []string{"on", "off"} {
		t.Run("strict "+strict, func(t *testing.T) {
			t.Parallel()
			w := private(t, "STACK_MARIADB_URL", 1)
			w.app()
			w.exec("set global gtid_strict_mode = " + strict)
			s := w.source()
			start := w.here(s)
			w.exec(insert(1))
			got := w.drain(s, start)
			checkpoint := got[len(got)-1].resume
			// The log again, with another server's transaction in place of the
			// last one.
			w.exec("reset master", "create database app2", "create table app2.t (id int)")
			w.exec("set session server_id = 2")
			busy := w.session()
			w.on(busy, "use app", "set session server_id = 2")
			w.exec(insert(100), insert(101), insert(102))
			done := make(chan struct{})
			var writer sync.WaitGroup
			writer.Go(func() {
				for i := 1000; ; i++ {
					select {
					case <-done:
						return
					case <-time.After(100 * time.Millisecond):
						w.on(busy, insert(i))
					}
				}
			})
			defer writer.Wait()
			defer close(done)
			if _, err := s.Connect(w.ctx()); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			r := w.refused(s.Prove(w.ctx(), checkpoint), ReasonHistory)
			if _, last, _ := strings.Cut(strings.Split(checkpoint.Lineage, ";")[1], "="); !strings.Contains(r.Text, last) {
				t.Errorf("it does not name %s: %s", last, r.Text)
			}
			if strict == "on" && !strings.Contains(r.Text, "has 0-2-") {
				t.Errorf("it does not name what the server has instead: %s", r.Text)
			}
			if d := time.Since(begin); d > probeWithin/2 {
				t.Errorf("it took %s", d)
			}
		})
	}
}

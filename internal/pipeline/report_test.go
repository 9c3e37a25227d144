package pipeline_test

import (
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tailer-io/tailer/internal/outboxtest"
	"github.com/tailer-io/tailer/internal/pipeline"
)

// A commit that never returns is the stall that nobody else notices: the
// process runs, connections stand, and nothing moves.
func TestAStallIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.finish()
		i := w.start("")
		synctest.Wait()
		if err := i.Ready(); err != nil {
			t.Fatalf("not ready while streaming: %v", err)
		}
		release := i.client.Stall()
		w.db.Insert("a-0")
		synctest.Wait()
		time.Sleep(9 * time.Second)
		if err := i.Ready(); err != nil {
			t.Errorf("after 9 s: %v", err)
		}
		time.Sleep(2 * time.Second)
		if err := i.Ready(); err == nil || !strings.Contains(err.Error(), "commit") {
			t.Errorf("ready after a commit of 11 s: %v", err)
		}
		if err := i.Health(); err != nil {
			t.Errorf("unhealthy after 11 s: %v", err)
		}
		if lag := float64(i.Status().LagSeconds); math.Abs(lag-11) > 0.5 {
			t.Errorf("lag %.1f s after 11 s", lag)
		}
		time.Sleep(50 * time.Second)
		if err := i.Health(); err == nil || !strings.Contains(err.Error(), "nothing has turned") {
			t.Errorf("healthy after a stall of 61 s: %v", err)
		}
		release()
		synctest.Wait()
		if err := i.Health(); err != nil {
			t.Errorf("unhealthy after the stall: %v", err)
		}
		time.Sleep(time.Second)
		if err := i.Ready(); err != nil {
			t.Errorf("not ready after the stall: %v", err)
		}
		i.crash()
		<-i.done
	})
}

// A broker that fails for minutes is no stall: retries turn, and everybody is
// told why nothing is published.
func TestAnOutageIsUnreadyAndHealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.finish()
		i := w.start("")
		synctest.Wait()
		var faults []outboxtest.Fault
		for n := 1; n <= 200; n++ {
			faults = append(faults, outboxtest.Fault{Call: outboxtest.Join, N: n}, outboxtest.Fault{Call: outboxtest.Fence, N: n})
		}
		w.br.Inject(faults...)
		w.db.Insert("a-0")
		time.Sleep(3 * time.Minute)
		if err := i.Health(); err != nil {
			t.Errorf("unhealthy while retrying: %v", err)
		}
		if err := i.Ready(); err == nil || !strings.Contains(err.Error(), "kafka") {
			t.Errorf("ready in an outage: %v", err)
		}
		s := i.Status()
		if s.State != pipeline.Retrying || !strings.Contains(s.LastError.Text, outboxtest.ErrFault.Error()) {
			t.Errorf("status %+v", s)
		}
		if lag := float64(s.LagSeconds); lag < 179 || lag > 181 {
			t.Errorf("lag %.1f s, want 180", lag)
		}
		w.br.Inject()
		time.Sleep(10 * time.Second)
		if s := i.Status(); s.State != pipeline.CaughtUp || s.LagSeconds != 0 {
			t.Errorf("after the outage: %+v", s)
		}
		if err := i.Ready(); err != nil {
			t.Errorf("not ready after the outage: %v", err)
		}
		i.crash()
		<-i.done
		w.check(w.db.Rows())
	})
}

// An active instance that writes nothing for three idle intervals, although it
// holds the lock, is fenced and evicted.
func TestStandbyTakesOverFromASilentHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := w.start("")
		w.db.Insert("a-0")
		synctest.Wait()
		second := w.start("")
		time.Sleep(10 * time.Second)
		if s := second.Status().State; s != pipeline.Standby {
			t.Fatalf("the second is %s", s)
		}
		if err := second.Ready(); err != nil {
			t.Errorf("a standby is not ready: %v", err)
		}
		release := first.client.Stall() // it sleeps from here on
		w.db.Insert("a-1")
		// The last record may be an idle interval old by now.
		time.Sleep(9 * time.Second)
		if s := second.Status().State; s != pipeline.Standby {
			t.Errorf("took over too early: %s", s)
		}
		time.Sleep(13 * time.Second)
		if s := second.Status().State; s != pipeline.CaughtUp && s != pipeline.Streaming {
			t.Errorf("did not take over: %s", s)
		}
		release() // it wakes up, and finds itself fenced
		time.Sleep(5 * time.Second)
		if s := first.Status().State; s != pipeline.Standby {
			t.Errorf("the one that slept is %s", s)
		}
		if n := first.restarts("rival"); n != 1 {
			t.Errorf("the one that slept counts %v rivals", n)
		}
		if n := second.restarts("rival"); n != 0 {
			t.Errorf("the one that took over counts %v rivals", n)
		}
		w.db.Insert("a-2")
		time.Sleep(time.Second)
		first.crash()
		second.crash()
		<-first.done
		<-second.done
		w.check(w.db.Rows())
	})
}

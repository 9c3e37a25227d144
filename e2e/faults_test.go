package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
	"github.com/tailer-io/tailer/e2e/proxy"
)

// faultCase is a running tailer whose way to the broker goes through the proxy, under a light load.
type faultCase struct {
	*harness.Case
	proxy *proxy.Proxy
	load  *harness.Load
	read  *harness.Reader
	wait  func(bool)
}

func newFaultCase(t *testing.T) *faultCase { t.Helper(); return newFaultCaseOn(t, source(t)) }

func newFaultCaseOn(t *testing.T, server harness.Server) *faultCase {
	t.Helper()
	p := faults(t)
	c := world(t, server)
	l := (&harness.Load{Seed: harness.Seed(t), Aggregates: 50, Types: 2, Writers: 3, Rows: 1 << 30, Largest: 300,
		Pause: 10 * time.Millisecond}).Prepare(c)
	for _, topic := range l.Topics() {
		c.Kafka.Create(t, topic, 3)
	}
	return &faultCase{Case: c, proxy: p, load: l, read: c.Follow(l.Topics()...)}
}

// goesOn demands that messages arrive again.
func (f *faultCase) goesOn(within time.Duration) {
	f.Helper()
	begin := time.Now()
	f.Arrived(f.read, f.load.Committed(), within)
	f.Logf("caught up again after %v", time.Since(begin).Round(time.Millisecond))
}

// judge ends the load and compares; the tailer stays.
func (f *faultCase) judge(t *testing.T) {
	t.Helper()
	f.wait(true)
	want := f.load.Want()
	f.Arrived(f.read, len(want), 60*time.Second)
	f.Check(want, check.ExactlyOnce)
}

var commitRequests = []struct {
	name string
	key  int16
}{
	{"AddPartitionsToTxn", proxy.AddPartitionsToTxn},
	{"Produce", proxy.Produce},
	{"EndTxn", proxy.EndTxn},
}

var startRequests = []struct {
	name string
	key  int16
}{
	{"InitProducerId", proxy.InitProducerID},
	{"AddPartitionsToTxn", proxy.AddPartitionsToTxn},
	{"Produce", proxy.Produce},
	{"EndTxn", proxy.EndTxn},
	{"Fetch", proxy.Fetch},
}

var actions = []proxy.Action{proxy.Fail, proxy.Lose}

func TestAFaultAtAnyRequestOfTheCommitSequenceLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	f := newFaultCase(t)
	p := f.Start(through(f.proxy))
	f.Sample()
	for range harness.Either(5, 1) {
		for _, request := range commitRequests {
			for _, action := range actions {
				name := fmt.Sprintf("%s %s", request.name, action)
				f.wait = f.load.Go()
				f.Arrived(f.read, f.load.Committed()+20, 20*time.Second)
				rule := f.proxy.Inject(request.key, 3, action)
				f.fires(name, rule)
				f.goesOn(20 * time.Second)
				f.wait(true)
				if !p.Running() {
					t.Fatalf("%s: tailer ended\n%s", name, p.Stderr())
				}
				// Judged after each, to know which one it was.
				want := f.load.Want()
				f.Arrived(f.read, len(want), 20*time.Second)
				if report := f.judgeNow(want); !report.Clean() {
					t.Errorf("%s: %s", name, report)
				}
			}
		}
	}
	if n := p.Metric("pipeline_restarts_total", "reason=sink"); !(n > 0) {
		t.Errorf("pipeline_restarts_total of the sink is %v after so many faults", n)
	}
	p.Stop()
	f.Check(f.load.Want(), check.ExactlyOnce)
}

// judgeNow judges without ending the sampler.
func (f *faultCase) judgeNow(want []check.Want) *check.Report {
	f.Helper()
	records := f.Kafka.Records(f, f.load.Topics()...)
	counts, err := check.Partitions(f.Context(), f.Kafka.Admin, f.load.Topics()...)
	if err != nil {
		f.Fatal(err)
	}
	return check.Compare(want, records, counts, check.ExactlyOnce)
}

func (f *faultCase) fires(name string, rule *proxy.Rule) {
	f.Helper()
	f.Wait(name+" is hit", 20*time.Second, func() (bool, string) {
		select {
		case <-rule.Fired():
			return true, ""
		default:
			return false, "no such request was made"
		}
	})
}

// The same requests again while a process starts, and while one recovers from an earlier fault.
func TestAFaultAtAnyRequestOfAStartLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	f := newFaultCase(t)
	p := f.Start(through(f.proxy))
	f.wait = f.load.Go()
	f.Arrived(f.read, 50, 20*time.Second)
	for _, request := range startRequests {
		for _, action := range actions {
			name := fmt.Sprintf("%s %s", request.name, action)
			p.Kill()
			rule := f.proxy.Inject(request.key, 1, action)
			p = f.Run(through(f.proxy))
			f.fires(name+" while starting", rule)
			f.goesOn(30 * time.Second)
		}
	}
	f.proxy.Clear()
	for _, action := range actions {
		lost := f.proxy.Inject(proxy.EndTxn, 1, proxy.Lose)
		next := f.proxy.Inject(proxy.InitProducerID, 1, action)
		f.fires("EndTxn", lost)
		f.fires(fmt.Sprintf("InitProducerId %s while recovering", action), next)
		f.goesOn(30 * time.Second)
	}
	f.judge(t)
	p.Stop()
}

func TestAFirstStartSurvivesFaultsOfTheBroker(t *testing.T) {
	t.Parallel()
	requests, actions := startRequests, actions
	if kind() != "postgres" && !harness.Full() {
		requests, actions = requests[2:4], actions[1:] // a sample: it is the sink that meets them
	}
	for i, request := range requests {
		for j, action := range actions {
			if len(actions) > 1 && !harness.Full() && (i+j)%2 == 1 {
				continue // each request meets one of the two
			}
			t.Run(fmt.Sprintf("%s %s", request.name, action), func(t *testing.T) {
				f := newFaultCase(t)
				f.load.Rows, f.load.Keep, f.load.Pause = 300, true, 0
				f.load.Must(t)
				// The first request belongs to the record of phase snapshot, a later one to the snapshot.
				rule := f.proxy.Inject(request.key, harness.Either(1, 2), action)
				p := f.Run(through(f.proxy))
				f.load.Rows, f.load.Pause = 1<<30, 10*time.Millisecond
				f.wait = f.load.Go()
				f.Arrived(f.read, f.load.Committed(), 60*time.Second)
				select {
				case <-rule.Fired():
				default:
					t.Logf("only %d requests of the kind were made", f.proxy.Count(request.key))
				}
				f.judge(t)
				p.Stop()
			})
		}
	}
}

func TestWithoutABrokerTailerIsUnreadyKeepsMeasuringAndRecovers(t *testing.T) {
	t.Parallel()
	f := newFaultCase(t)
	p := f.Start(through(f.proxy))
	f.Sample()
	f.wait = f.load.Go()
	f.Arrived(f.read, 100, 20*time.Second)

	f.proxy.Refuse()
	f.Wait("/readyz is 503", 20*time.Second, func() (bool, string) {
		code, body := p.Get("/readyz")
		return code == 503, fmt.Sprint(code, " ", body)
	})
	_, reason := p.Get("/readyz")
	holds(t, "/readyz", reason, f.proxy.Addr())
	f.Wait("the sink is shown as cut off", 10*time.Second, func() (bool, string) {
		n := p.Metric("sink_connected")
		return n == 0, fmt.Sprint(n)
	})

	// The gauges of the source go on: the log that the server keeps for us, or that is not published, is seen to grow.
	gauge := func() float64 {
		if n := p.Status().LagTransactions; kind() != "postgres" && n != nil {
			return *n
		}
		return p.Metric("slot_confirmed_lag_bytes")
	}
	before := gauge()
	lag := p.Metric("source_lag_seconds")
	f.Wait("the gauges move", 30*time.Second, func() (bool, string) {
		now, seconds := gauge(), p.Metric("source_lag_seconds")
		return now > before && seconds > lag && seconds > 0,
			fmt.Sprintf("behind by %v, was %v; lag %v s, was %v", now, before, seconds, lag)
	})
	if code, _ := p.Get("/healthz"); code != 200 {
		t.Errorf("/healthz is %d while it retries", code)
	}
	if s := p.Status(); s.LastError.Text == "" || s.State != "retrying" {
		t.Errorf("/status says %q, last error %q", s.State, s.LastError.Text)
	}

	if err := f.proxy.Accept(); err != nil {
		t.Fatal(err)
	}
	f.goesOn(60 * time.Second)
	f.wait(true)
	f.Arrived(f.read, len(f.load.Want()), 20*time.Second)
	f.Ready(p)
	f.Wait("the lag is gone", 20*time.Second, func() (bool, string) {
		n := p.Metric("source_lag_seconds")
		return n == 0, fmt.Sprint(n)
	})
	p.Stop()
	f.Check(f.load.Want(), check.ExactlyOnce)
}

func TestAStartWithoutABrokerWaitsForOne(t *testing.T) {
	t.Parallel()
	f := newFaultCase(t)
	f.proxy.Refuse()
	p := f.Run(through(f.proxy))
	f.Wait("it retries, unready", 20*time.Second, func() (bool, string) {
		code, body := p.Get("/readyz")
		return code == 503 && p.State() == "retrying", fmt.Sprint(code, " ", body, " ", p.State())
	})
	if err := f.proxy.Accept(); err != nil {
		t.Fatal(err)
	}
	f.Ready(p)
	f.load.Rows = 100
	f.load.Must(t)
	f.wait = func(bool) {}
	f.judge(t)
	p.Stop()
}

// A broker that answers nothing stalls the publisher. Meanwhile a walsender's keepalives must be answered, and a
// binlog's sender must be patient with a reader that does not read on (60 s is its default), or the server takes the
// connection for dead and reading begins anew.
func TestAStalledBrokerCausesNoTimeoutOfTheSource(t *testing.T) {
	t.Parallel()
	server, stall := source(t), harness.Either(by(90*time.Second, 3*time.Minute), 30*time.Second)
	if kind() != "postgres" && !harness.Full() {
		server = harness.MySQLAt(t, newOwnMySQL(t, kind(), 1, "--net-write-timeout=3").url()) // not to wait for 60 s
		stall = 20 * time.Second
	}
	f := newFaultCaseOn(t, server)
	p := f.Start(through(f.proxy))
	f.Sample()
	f.wait = f.load.Go()
	f.Arrived(f.read, 100, 20*time.Second)
	sender := f.DB.Stream(t, f.ID)

	f.proxy.Stall()
	f.Holds("the sender stays", stall, func() (bool, string) {
		now := f.DB.Stream(t, f.ID)
		return now == sender && p.Running(), fmt.Sprintf("sender %q, was %q", now, sender)
	})
	f.proxy.Flow()
	f.goesOn(60 * time.Second)
	if now := f.DB.Stream(t, f.ID); now != sender {
		t.Errorf("sender %q, was %q before the stall", now, sender)
	}
	f.judge(t)
	p.Stop()
}

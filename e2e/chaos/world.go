package chaos

import (
	"context"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
	"github.com/tailer-io/tailer/e2e/proxy"
)

// World is a case with a load, wires in front of both ends, and one or more tailers that are started again when they
// end, as a supervisor does.
type World struct {
	*harness.Case
	random   *rand.Rand
	server   *Server
	cluster  *Cluster
	source   *Wire
	brokers  []*Wire
	requests []*proxy.Proxy
	load     *harness.Load
	reader   *harness.Reader

	crew     []*harness.Tailer
	ends     []int // statuses that members of the crew may end with now
	restarts int   // of tailers that ended by themselves

	forgotten map[string]bool // ids that were lost with a topic that a fault deleted
	stop      func()          // ends the writing of this round
	long      time.Duration   // that long faults last
	url       string          // --source-url of an account of its own; "" is the database's
	seat      *seat           // where worlds that are struck together meet; nil: it is struck alone
	wanted    []check.Want    // what the database committed, where it does not know any more; nil: it does
}

// size of the load: four writers, rows in transactions of one to some hundred, and in each round one transaction of
// ten thousand.
const (
	writers    = 4
	largest    = 200
	big        = 10_000
	types      = 2
	partitions = 3
	pace       = 60 * time.Millisecond // of each writer between two transactions
)

// NewWorld makes the world of one fault, with a tailer that streams.
func NewWorld(t testing.TB, kind string, seed int64, f *Fault) *World {
	t.Helper()
	w := &World{random: rand.New(rand.NewSource(seed)), server: NewServer(t, kind), forgotten: map[string]bool{}}
	w.server.Mend(t)
	db := w.server.NewDatabase(t)
	w.source = wire(t, "127.0.0.1:0", w.server.Addr)
	w.Case = harness.With(t, moved{db, w.source.Addr()})
	w.DB.CreateOutbox(t, w.DB.Outbox())
	w.cluster = NewCluster(t, w.Kafka)
	w.cluster.Mend(t)
	t.Cleanup(func() { // before the harness removes database and topics
		w.server.Mend(t)
		w.cluster.Mend(t)
	})
	for _, n := range w.cluster.Nodes {
		between := fmt.Sprintf("127.0.0.1:%d", harness.FreePort(t))
		p, err := proxy.Start(between, n.Target)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		w.requests = append(w.requests, p)
		w.brokers = append(w.brokers, wire(t, n.Listen, between))
	}
	w.load = (&harness.Load{Seed: seed, Aggregates: 200, Types: types, Writers: writers, Rows: 1 << 30, Largest: largest,
		Big: []int{big}, Pause: pace}).Prepare(w.Case)
	w.createTopics(w.load.Topics()...)
	w.reader = w.Follow(w.load.Topics()...)
	if f.Rights && kind == "postgres" { // the others' account has no more anyway
		w.url = w.DB.Account(t, func(url string) string {
			return w.Do(0, "setup --print", w.Flags("--source-url="+url)...).Stdout()
		})
	}
	w.crew = []*harness.Tailer{w.tailer()}
	w.Wait("tailer streams", 2*time.Minute, func() (bool, string) {
		s := w.crew[0].State()
		return s == "streaming" || s == "caught_up", s
	})
	if !f.Led {
		w.Sample()
	}
	return w
}

func wire(t testing.TB, listen, target string) *Wire {
	t.Helper()
	w, err := StartWire(listen, target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// createTopics makes topics with the cluster's own replication.
func (w *World) createTopics(topics ...string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	answers, err := w.Kafka.Admin.CreateTopics(ctx, partitions, -1, nil, topics...)
	for _, a := range answers {
		if err == nil {
			err = a.Err
		}
	}
	if err != nil {
		w.Fatalf("create topics: %v", err)
	}
	w.Wait("the topics have leaders", 20*time.Second, func() (bool, string) {
		o, err := w.Kafka.Admin.ListEndOffsets(ctx, topics...)
		return err == nil && o.Error() == nil && len(o) == len(topics), fmt.Sprint(err, o.Error())
	})
}

// tailer starts one more tailer, whose ways to both ends lead through the wires.
func (w *World) tailer() *harness.Tailer {
	var addresses []string
	for _, n := range w.cluster.Nodes {
		addresses = append(addresses, n.Listen)
	}
	flags := []string{"--kafka-brokers=" + strings.Join(addresses, ","), "--kafka-transaction-timeout=" + transactionTimeout.String()}
	if w.url != "" {
		flags = append(flags, "--source-url="+w.url)
	}
	return w.Run(flags...)
}

// tend starts tailers again that have ended. One that ended as nobody may have expected ends the test.
func (w *World) tend() {
	w.Helper()
	for i, p := range w.crew {
		if p.Running() {
			continue
		}
		if code := p.Exit(time.Second); !slices.Contains(w.ends, code) {
			w.Fatalf("a tailer ended with status %d\n%s", code, last(p.Stderr(), 40))
		}
		w.restarts++
		w.crew[i] = w.tailer()
	}
}

// replace puts a fresh tailer in the place of one that a fault has ended.
func (w *World) replace(gone *harness.Tailer) {
	w.Helper()
	w.crew[slices.Index(w.crew, gone)] = w.tailer()
}

// active is the tailer that publishes now; one that runs, where another fault keeps all of them from it.
func (w *World) active() (active *harness.Tailer) {
	w.Helper()
	patience := time.Now().Add(10 * time.Second)
	w.Wait("a tailer is active, or runs at least", time.Minute, func() (bool, string) {
		w.tend()
		for _, p := range w.crew {
			if p.Running() && (p.Metric("active") == 1 || time.Now().After(patience)) {
				active = p
				return true, ""
			}
		}
		return false, "none is"
	})
	return active
}

// pause waits for a random time.
func (w *World) pause(least, most time.Duration) {
	time.Sleep(least + time.Duration(w.random.Int63n(int64(most-least)+1)))
}

// write lets the writers write until w.stop is called. A rough one goes on when a connection breaks: what was committed
// stands in the database beside the rows.
func (w *World) write(rough bool) {
	ctx, cancel := context.WithCancel(context.Background())
	var writing sync.WaitGroup
	var failed error
	writing.Go(func() {
		for ctx.Err() == nil {
			if err := w.load.Run(ctx); err != nil && !rough {
				failed = err
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	var once sync.Once
	w.stop = func() {
		once.Do(func() {
			cancel()
			writing.Wait()
			if failed != nil {
				w.Errorf("load: %v", failed)
			}
		})
	}
	w.Cleanup(w.stop)
}

// each does something to every wire of the brokers.
func (w *World) each(do func(*Wire)) {
	for _, b := range w.brokers {
		do(b)
	}
}

// anyNode is a random broker.
func (w *World) anyNode() int32 { return w.cluster.Nodes[w.random.Intn(len(w.cluster.Nodes))].ID }

// last is the last n lines of a text.
func last(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

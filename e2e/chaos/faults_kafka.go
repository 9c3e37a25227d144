package chaos

import (
	"context"
	"fmt"
	"math"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailer-io/tailer/e2e/proxy"
)

var kafkaFaults = []Fault{
	{Name: "any broker killed", Layer: Kafka, Expect: "goes on without it", Through: true, Own: true, Shakes: Kafka,
		Do: func(w *World) func() { return w.killBroker(w.anyNode()) }},
	{Name: "coordinator's leader killed", Layer: Kafka, Expect: "goes on without it", Through: true, Own: true, Shakes: Kafka,
		Do: func(w *World) func() { return w.killBroker(w.leadCoordinators()) }},
	{Name: "checkpoint's leader killed", Layer: Kafka, Expect: "goes on without it", Through: true, Own: true, Shakes: Kafka,
		Do: func(w *World) func() { return w.killBroker(w.leadCheckpoints()) }},
	{Name: "rolling restart", Layer: Kafka, Expect: "goes on", Own: true, Shakes: Kafka,
		Do: func(w *World) func() {
			for _, n := range w.cluster.Nodes {
				w.cluster.End(w, n.ID, syscall.SIGTERM)
				w.cluster.Mend(w)
			}
			return nil
		}},
	{Name: "leaders moved", Layer: Kafka, Expect: "goes on", Own: true,
		Do: func(w *World) func() {
			for range 3 {
				w.cluster.MoveLeaders(w, append(w.load.Topics(), w.Checkpoint())...)
				w.pause(0, time.Second)
			}
			return nil
		}},
	{Name: "min.insync.replicas not met", Layer: Kafka, Expect: "waits, goes on once it is met", Own: true, Shakes: Kafka,
		Min: 2 * time.Second, Max: 6 * time.Second,
		Do: func(w *World) func() {
			var topics []string
			for _, one := range w.struck() {
				topics = append(topics, one.load.Topics()...)
			}
			return w.tooFewReplicas(topics, "")
		}},
	{Name: "checkpoint's min.insync.replicas not met", Layer: Kafka, Expect: "waits, goes on once it is met", Own: true, Shakes: Kafka,
		Min: 2 * time.Second, Max: 6 * time.Second,
		Do: func(w *World) func() {
			var topics []string
			for _, one := range w.struck() {
				topics = append(topics, one.Checkpoint())
			}
			return w.tooFewReplicas(topics, "2")
		}},
	{Name: "transactional id expired", Layer: Kafka, Expect: "fences anew and goes on", Own: true, Alone: true,
		Do: func(w *World) func() {
			p := w.active()
			p.Signal(syscall.SIGSTOP)
			w.Wait("the coordinator forgets the transactional id", 2*time.Minute, func() (bool, string) {
				return w.cluster.Forgotten(w, w.ID), "it knows it"
			})
			return func() { p.Signal(syscall.SIGCONT) }
		}},
	{Name: "fenced from outside", Layer: Kafka, Expect: "reads who it was, fences again and goes on", Short: true,
		Do: func(w *World) func() {
			ctx, cancel := context.WithTimeout(w.Context(), 30*time.Second)
			defer cancel()
			rival := w.producer("tailer." + w.ID)
			defer rival.Close()
			if _, _, err := rival.ProducerID(ctx); err != nil {
				w.Fatalf("fence: %v", err)
			}
			return nil
		}},
	{Name: "another's transaction left open", Layer: Kafka, Expect: "goes on; readers wait until it is aborted", Alone: true,
		Min: time.Second, Max: 5 * time.Second, Do: foreignTransaction},
	{Name: "transaction timed out by the coordinator", Layer: Kafka, Expect: "publishes it again", Alone: true,
		Do: func(w *World) func() {
			w.outlast(func() { w.each((*Wire).Stall) }, func() { w.each((*Wire).Flow) })
			return func() { w.each((*Wire).Flow) }
		}},
	{Name: "max.message.bytes lowered", Layer: Kafka, Expect: "goes on with smaller batches", Short: true,
		Min: 2 * time.Second, Max: 4 * time.Second,
		Do: func(w *World) func() {
			p := w.active()
			p.Signal(syscall.SIGSTOP) // until there is more than fits
			w.cluster.Set(w, w.load.Topics(), "max.message.bytes", fmt.Sprint(3000+w.random.Intn(5000)))
			before := w.load.Committed()
			w.Wait("rows for large batches are committed", time.Minute, func() (bool, string) {
				return w.load.Committed() > before+500, "too few"
			})
			p.Signal(syscall.SIGCONT)
			return func() { w.cluster.Set(w, w.load.Topics(), "max.message.bytes", "") }
		}},
	{Name: "topic deleted", Layer: Kafka, Expect: "waits, names it, and goes on once it is made again", Short: true, Alone: true,
		Do: deleteTopic},
	{Name: "partitions added", Layer: Kafka, Expect: "goes on, with them from a batch's end on", Short: true, Grows: true, Alone: true,
		Do: func(w *World) func() {
			ctx, cancel := context.WithTimeout(w.Context(), 30*time.Second)
			defer cancel()
			answers, err := w.Kafka.Admin.CreatePartitions(ctx, 1, w.load.Topics()...)
			if err == nil {
				err = answers.Error()
			}
			if err != nil {
				w.Fatalf("add partitions: %v", err)
			}
			return w.newestUsed
		}},
}

// outlast stops everything while a transaction is open, and waits until its coordinator has aborted it.
func (w *World) outlast(stop, proceed func()) {
	w.Helper()
	w.Wait("the coordinator aborts a transaction of which nothing is heard", 2*time.Minute, func() (bool, string) {
		stop()
		for {
			w.pause(50*time.Millisecond, 100*time.Millisecond) // for what is under way
			switch state, _, _ := w.Kafka.Transaction(w, w.ID); state {
			case "CompleteAbort":
				return true, ""
			case "CompleteCommit", "Empty": // it was between two
				proceed()
				w.pause(0, 50*time.Millisecond)
				return false, state
			}
		}
	})
}

// killBroker is kill -9; it returns what starts the broker again.
func (w *World) killBroker(id int32) func() {
	w.Helper()
	w.cluster.Kill(w, id)
	return func() { w.cluster.Mend(w) }
}

// tooFewReplicas makes topics ask for all replicas and takes one away; afterwards they ask for as many as before.
func (w *World) tooFewReplicas(topics []string, before string) func() {
	w.Helper()
	const name = "min.insync.replicas"
	w.cluster.Set(w, topics, name, "3")
	back := w.killBroker(w.anyNode())
	return func() {
		back()
		w.cluster.Set(w, topics, name, before)
	}
}

// leadCoordinators makes one broker the coordinator of the transactions of all that are struck, and returns it.
func (w *World) leadCoordinators() int32 {
	w.Helper()
	var all kadm.TopicsSet
	for _, one := range w.struck() {
		all.Add(coordinatorTopic, w.cluster.coordinatorPartition(w, one.ID))
	}
	leader := w.cluster.Lead(w, all)
	for _, one := range w.struck() {
		w.Wait(fmt.Sprintf("broker %d coordinates the transactions of %s", leader, one.ID), time.Minute, func() (bool, string) {
			n, err := w.cluster.Coordinator(one.ID)
			return err == nil && n == leader, fmt.Sprint(n, err)
		})
	}
	return leader
}

// leadCheckpoints makes one broker the leader of the checkpoints of all that are struck, and returns it.
func (w *World) leadCheckpoints() int32 {
	w.Helper()
	var all kadm.TopicsSet
	for _, one := range w.struck() {
		all.Add(one.Checkpoint(), 0)
	}
	return w.cluster.Lead(w, all)
}

// producer is a client with a transactional id.
func (w *World) producer(id string) *kgo.Client {
	w.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(w.Kafka.Brokers, ",")...), kgo.TransactionalID(id),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		w.Fatal(err)
	}
	return client
}

// foreignTransaction leaves a transaction open in every partition of the load's topics, and demands that tailer goes
// on committing behind it.
func foreignTransaction(w *World) func() {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	other := w.producer("other." + w.ID)
	if err := other.BeginTransaction(); err != nil {
		w.Fatal(err)
	}
	for _, topic := range w.load.Topics() {
		for p := range int32(partitions) {
			if err := other.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: p, Value: []byte("never committed")}).FirstErr(); err != nil {
				w.Fatalf("produce: %v", err)
			}
		}
	}
	before := w.published()
	w.Wait("tailer commits behind an open transaction", time.Minute, func() (bool, string) {
		now := w.published()
		return now > before+50, fmt.Sprintf("%v published, were %v", now, before)
	})
	return func() {
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		defer other.Close()
		if err := other.EndTransaction(ctx, kgo.TryAbort); err != nil {
			w.Fatalf("abort: %v", err)
		}
	}
}

// deleteTopic deletes a topic while nothing is under way, so that what is lost with it is known; tailer must not make
// it again, for it may have had other settings.
func deleteTopic(w *World) func() {
	w.Helper()
	topic := w.load.Topics()[0]
	p := w.active()
	p.Signal(syscall.SIGSTOP)
	w.Wait("no transaction is under way", time.Minute, func() (bool, string) {
		state, _, _ := w.Kafka.Transaction(w, w.ID)
		return state == "CompleteCommit" || state == "CompleteAbort", state
	})
	for _, r := range w.Kafka.Records(w, topic) {
		if id, ok := r.ID(); ok {
			w.forgotten[id] = true
		}
	}
	w.Kafka.Delete(w, topic)
	p.Signal(syscall.SIGCONT)
	w.Wait("it is unready because of the topic", time.Minute, func() (bool, string) {
		code, body := p.Get("/readyz")
		return code == 503 && strings.Contains(body, topic), fmt.Sprint(code, " ", body)
	})
	w.pause(time.Second, 3*time.Second)
	if names := w.Kafka.Topics(w, topic); len(names) > 0 {
		w.Errorf("tailer has made %v again", names)
	}
	return func() {
		w.createTopics(topic)
		w.reader = w.Follow(w.load.Topics()...) // The one before knew the former topic.
	}
}

// newestUsed waits until the newest partition of every topic has messages.
func (w *World) newestUsed() {
	w.Helper()
	w.Wait("the new partitions are used", 2*time.Minute, func() (bool, string) {
		ends, err := w.Kafka.Admin.ListEndOffsets(w.Context(), w.load.Topics()...)
		if err != nil {
			return false, err.Error()
		}
		used := 0
		for _, partitions := range ends {
			if newest := int32(len(partitions) - 1); partitions[newest].Offset > 0 {
				used++
			}
		}
		return used == len(ends), fmt.Sprintf("%d of %d are", used, len(ends))
	})
}

// published is the sum of what the running tailers say that they have published.
func (w *World) published() (sum float64) {
	for _, p := range w.crew {
		if n := p.Metric("events_published_total"); !math.IsNaN(n) {
			sum += n
		}
	}
	return sum
}

// requestFaults are a request of the commit sequence that does not arrive, and one whose answer does not.
func requestFaults() (faults []Fault) {
	for _, r := range []struct {
		name string
		key  int16
	}{
		{"AddPartitionsToTxn", proxy.AddPartitionsToTxn}, {"Produce", proxy.Produce}, {"EndTxn", proxy.EndTxn},
	} {
		for _, a := range []proxy.Action{proxy.Fail, proxy.Lose} {
			faults = append(faults, Fault{Name: fmt.Sprintf("%s %s", r.name, a), Layer: Network, Expect: "goes on", First: true,
				Short: r.key == proxy.EndTxn, Do: func(w *World) func() { w.inject(r.key, a); return nil }})
		}
	}
	return faults
}

// inject makes the action befall one of the next requests of this key, whichever broker it goes to.
func (w *World) inject(key int16, action proxy.Action) {
	w.Helper()
	nth := 1 + w.random.Intn(5)
	var rules []*proxy.Rule
	for _, p := range w.requests {
		rules = append(rules, p.Inject(key, nth, action))
	}
	w.Wait("the request is made", time.Minute, func() (bool, string) {
		for _, r := range rules {
			select {
			case <-r.Fired():
				return true, ""
			default:
			}
		}
		w.tend()
		return false, "no such request was made"
	})
	for _, p := range w.requests {
		p.Clear()
	}
}

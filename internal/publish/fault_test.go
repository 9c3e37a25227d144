package publish

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Keys of the requests that tests meddle with.
const (
	apiProduce       = 0
	apiFetch         = 1
	apiInitProducer  = 22
	apiAddPartitions = 24
	apiEndTxn        = 26
)

// fate is what happens to a request on its way to the broker.
type fate int

const (
	pass       fate = iota
	cutBefore       // the connection breaks, the broker never hears of it
	cutAfter        // the broker does it, and the connection breaks before its answer
	refuse          // the broker never hears of it, and an error code comes back
	holdBefore      // the broker never hears of it, and nothing comes back on a connection that stands
	holdAfter       // the broker does it, and nothing comes back any more
)

// faults is a proxy in front of a listener of the broker that advertises the
// proxy's address.
type faults struct {
	l      net.Listener
	target string

	mu     sync.Mutex // guards decide and calls to it
	decide func(kmsg.Request) (fate, int16)
}

// faultWays are the listeners that no test uses, LISTEN/TARGET each.
var faultWays = sync.OnceValue(func() chan string {
	ways := strings.Fields(os.Getenv("STACK_KAFKA_FAULTS"))
	free := make(chan string, len(ways))
	for _, way := range ways {
		free <- way
	}
	return free
})

// newFaults starts the proxy, or skips; the test runs beside others then, as
// many as there are listeners. Requests pass until set says otherwise.
func newFaults(t *testing.T) *faults {
	t.Helper()
	t.Parallel()
	if cap(faultWays()) == 0 {
		t.Skip("STACK_KAFKA_FAULTS names no listener for faults; scripts/stack up brings some")
	}
	way := <-faultWays()
	t.Cleanup(func() { faultWays() <- way })
	listen, target, _ := strings.Cut(way, "/")
	l, err := net.Listen("tcp", listen)
	must(t, err)
	f := &faults{l: l, target: target}
	f.set(nil)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go f.serve(client)
		}
	}()
	return f
}

func (f *faults) set(decide func(kmsg.Request) (fate, int16)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.decide = decide
}

// nth lets the nth request of a kind (counted from 1) meet its fate.
func (f *faults) nth(api int16, nth int, what fate) {
	n := 0
	f.set(func(req kmsg.Request) (fate, int16) {
		if req.Key() == api {
			if n++; n == nth {
				return what, 0
			}
		}
		return pass, 0
	})
}

// refuseFirst answers the first n requests of each of these kinds with an
// error code.
func (f *faults) refuseFirst(n int, code *kerr.Error, apis ...int16) {
	left := make(map[int16]int)
	for _, api := range apis {
		left[api] = n
	}
	f.set(func(req kmsg.Request) (fate, int16) {
		if left[req.Key()] == 0 {
			return pass, 0
		}
		left[req.Key()]--
		return refuse, code.Code
	})
}

func (f *faults) fate(req kmsg.Request) (fate, int16) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.decide == nil || req == nil {
		return pass, 0
	}
	return f.decide(req)
}

func (f *faults) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", f.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	var mu sync.Mutex
	swallow, hold := false, false
	go func() {
		defer func() { _ = client.Close() }()
		for {
			answer, err := frame(server)
			mu.Lock()
			stop, mute := swallow, hold
			mu.Unlock()
			if err != nil || stop {
				return
			}
			if mute {
				continue
			}
			if _, err := client.Write(answer); err != nil {
				return
			}
		}
	}()
	for {
		req, err := frame(client)
		if err != nil {
			return
		}
		kreq, correlation := parse(req)
		switch what, code := f.fate(kreq); what {
		case cutBefore:
			return
		case refuse:
			if _, err := client.Write(refusalOf(kreq, correlation, code)); err != nil {
				return
			}
			continue
		case cutAfter:
			mu.Lock()
			swallow = true
			mu.Unlock()
		case holdBefore:
			continue
		case holdAfter:
			mu.Lock()
			hold = true
			mu.Unlock()
		}
		if _, err := server.Write(req); err != nil {
			return
		}
	}
}

func frame(r io.Reader) ([]byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	body := make([]byte, 4+binary.BigEndian.Uint32(head))
	copy(body, head)
	_, err := io.ReadFull(r, body[4:])
	return body, err
}

// parse reads the requests that tests meddle with; nil for others.
func parse(raw []byte) (kmsg.Request, int32) {
	b := kbin.Reader{Src: raw[4:]}
	api, version, correlation := b.Int16(), b.Int16(), b.Int32()
	b.NullableString()
	switch api {
	case apiProduce, apiFetch, apiInitProducer, apiAddPartitions, apiEndTxn:
	default:
		return nil, 0
	}
	req := kmsg.RequestForKey(api)
	req.SetVersion(version)
	if req.IsFlexible() {
		kmsg.SkipTags(&b)
	}
	if err := req.ReadFrom(b.Src); err != nil {
		panic(err)
	}
	return req, correlation
}

// refusalOf is the answer that refuses a request with an error code; -1000
// leaves the partitions out of it.
func refusalOf(kreq kmsg.Request, correlation int32, code int16) []byte {
	resp := kreq.ResponseKind()
	switch req := kreq.(type) {
	case *kmsg.InitProducerIDRequest:
		resp.(*kmsg.InitProducerIDResponse).ErrorCode = code
	case *kmsg.EndTxnRequest:
		resp.(*kmsg.EndTxnResponse).ErrorCode = code
	case *kmsg.AddPartitionsToTxnRequest:
		for _, topic := range req.Topics {
			rt := kmsg.NewAddPartitionsToTxnResponseTopic()
			rt.Topic = topic.Topic
			for _, p := range topic.Partitions {
				rp := kmsg.NewAddPartitionsToTxnResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p, code
				if code != leaveOut {
					rt.Partitions = append(rt.Partitions, rp)
				}
			}
			r := resp.(*kmsg.AddPartitionsToTxnResponse)
			r.Topics = append(r.Topics, rt)
		}
	case *kmsg.FetchRequest:
		for _, topic := range req.Topics {
			rt := kmsg.NewFetchResponseTopic()
			rt.Topic = topic.Topic
			for _, p := range topic.Partitions {
				rp := kmsg.NewFetchResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, code
				rt.Partitions = append(rt.Partitions, rp)
			}
			r := resp.(*kmsg.FetchResponse)
			r.Topics = append(r.Topics, rt)
		}
	case *kmsg.ProduceRequest:
		for _, topic := range req.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic = topic.Topic
			for _, p := range topic.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, code
				if code != leaveOut {
					rt.Partitions = append(rt.Partitions, rp)
				}
			}
			r := resp.(*kmsg.ProduceResponse)
			r.Topics = append(r.Topics, rt)
		}
	}
	out := binary.BigEndian.AppendUint32(make([]byte, 4), uint32(correlation))
	if resp.IsFlexible() {
		out = append(out, 0) // no tags
	}
	out = resp.AppendTo(out)
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	return out
}

// leaveOut makes an answer that does not name the partitions asked for.
const leaveOut = -1000

// Each step fails, and fails although it was done. What a reader sees then is
// the transaction before, or the one in doubt too; after the next Fence the
// sink works again.
func TestBrokenStepsOfATransaction(t *testing.T) {
	for _, c := range []struct {
		api       int16
		fate      fate
		committed bool
	}{
		{apiAddPartitions, cutBefore, false},
		{apiAddPartitions, cutAfter, false},
		{apiProduce, cutBefore, false},
		{apiProduce, cutAfter, false},
		{apiEndTxn, cutBefore, false},
		{apiEndTxn, cutAfter, true},
		{apiAddPartitions, holdBefore, false},
		{apiProduce, holdBefore, false},
		{apiProduce, holdAfter, false},
		{apiEndTxn, holdBefore, false},
		{apiEndTxn, holdAfter, true},
	} {
		t.Run(fmt.Sprintf("api=%d/fate=%d", c.api, c.fate), func(t *testing.T) {
			f := newFaults(t)
			r := newRig(t, func(cfg *KafkaConfig) { cfg.Brokers = []string{f.l.Addr().String()} })
			ctx := ctxT(t)
			must(t, r.Fence(ctx, 10*time.Second))
			transact(t, r.Kafka, msgs(r.topic, "k=1"))
			f.nth(c.api, 1, c.fate)
			m := msgs(r.topic, "k=2", "l=2")
			must(t, r.Admit(ctx, m, nil))
			if c.fate == holdBefore || c.fate == holdAfter {
				r.cluster.answer = 2 * time.Second
			}
			err := r.Join(ctx, m)
			if err == nil {
				err = r.Produce(ctx, m)
			}
			if err == nil {
				err = r.Commit(ctx)
			}
			if err == nil {
				t.Fatal("nothing failed")
			}
			r.cluster.answer = answerTimeout
			if err := r.Commit(ctx); err == nil {
				t.Error("a broken transaction was committed")
			}
			must(t, r.Fence(ctx, 10*time.Second))
			transact(t, r.Kafka, msgs(r.topic, "k=3"))
			want := map[bool]int{false: 2, true: 4}[c.committed]
			if got := r.read(r.topic); len(got) != want {
				t.Errorf("read %q after %v", values(got), err)
			}
		})
	}
}

// Without transactions a batch is sent again until it is acknowledged, and
// stored once although the broker had it already.
func TestAtLeastOnceOverBrokenConnections(t *testing.T) {
	for _, c := range []struct {
		fate fate
		nth  int
	}{{cutBefore, 1}, {cutAfter, 1}, {cutBefore, 2}, {cutAfter, 2}} {
		t.Run(fmt.Sprintf("fate=%d/request=%d", c.fate, c.nth), func(t *testing.T) {
			f := newFaults(t)
			r := newRig(t, func(cfg *KafkaConfig) {
				cfg.Brokers, cfg.Transactional = []string{f.l.Addr().String()}, false
			})
			ctx := ctxT(t)
			must(t, r.Fence(ctx, 0))
			m := load(r.topic, 10_000, 300) // some requests
			must(t, r.Admit(ctx, m, nil))
			f.nth(apiProduce, c.nth, c.fate)
			must(t, r.Join(ctx, m))
			must(t, r.Produce(ctx, m))
			must(t, r.Commit(ctx))
			transact(t, r.Kafka, msgs(r.topic, "order-1=last"))
			seen := make(map[string]bool)
			recs := r.read(r.topic)
			for _, rec := range recs {
				if len(rec.Headers) > 0 {
					seen[string(rec.Headers[0].Value)] = true
				}
			}
			if len(recs) != 10_001 || len(seen) != 10_000 {
				t.Errorf("%d records, %d of them different", len(recs), len(seen))
			}
		})
	}
}

// A broker that accepts connections and says nothing does not hold up who
// wants to stop.
func TestSilentBroker(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = l.Close() }()
	heard := make(chan struct{}, 8)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			heard <- struct{}{}
		}
	}()
	k := NewKafka(KafkaConfig{Brokers: []string{l.Addr().String()}, Transactional: true, TransactionalID: "x"}, slog.New(slog.DiscardHandler), nil)
	defer k.Close()
	why := errors.New("asked to stop")
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		<-heard
		cancel(why)
	}()
	start := time.Now()
	if err := k.Fence(ctx, time.Second); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("took %s", d)
	}
}

// behind gives a rig whose way to the broker leads through the proxy, fenced.
func behind(t *testing.T, transactional bool) (*faults, *rig) {
	t.Helper()
	f := newFaults(t)
	r := newRig(t, func(cfg *KafkaConfig) {
		cfg.Brokers, cfg.Transactional = []string{f.l.Addr().String()}, transactional
	})
	must(t, r.Fence(ctxT(t), 10*time.Second))
	return f, r
}

func TestAtLeastOnceOverErrors(t *testing.T) {
	for _, code := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.RequestTimedOut, kerr.UnknownTopicOrPartition} {
		t.Run(code.Message, func(t *testing.T) {
			f, r := behind(t, false)
			m := msgs(r.topic, "a=1", "a=2", "a=3")
			must(t, r.Admit(ctxT(t), m, nil))
			f.refuseFirst(2, code, apiProduce)
			must(t, r.Produce(ctxT(t), m))
			if got := values(r.read(r.topic)); got != "1 2 3" {
				t.Errorf("read %q", got)
			}
		})
	}
}

func TestAtLeastOnceTakesADuplicateForSuccess(t *testing.T) {
	f, r := behind(t, false)
	f.refuseFirst(1, kerr.DuplicateSequenceNumber, apiProduce)
	m := msgs(r.topic, "a=1")
	must(t, r.Admit(ctxT(t), m, nil))
	must(t, r.Produce(ctxT(t), m))
}

func TestAtLeastOnceGivesUp(t *testing.T) {
	f, r := behind(t, false)
	ctx := ctxT(t)
	f.refuseFirst(1, kerr.OutOfOrderSequenceNumber, apiProduce)
	m := msgs(r.topic, "a=1")
	must(t, r.Admit(ctx, m, nil))
	if err := r.Produce(ctx, m); err == nil || !strings.Contains(err.Error(), "OUT_OF_ORDER_SEQUENCE_NUMBER") {
		t.Errorf("%v", err)
	}
	if err := r.Produce(ctx, m); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("%v", err)
	}
	must(t, r.Fence(ctx, 0))
	must(t, r.Produce(ctx, m))
	if got := values(r.read(r.topic)); got != "1" {
		t.Errorf("read %q", got)
	}
}

// Any error of any partition breaks a transaction.
func TestProduceErrorsBreakATransaction(t *testing.T) {
	f, r := behind(t, true)
	ctx := ctxT(t)
	f.refuseFirst(1, kerr.NotLeaderForPartition, apiProduce)
	m := msgs(r.topic, "a=1", "b=2", "c=3", "d=4")
	must(t, r.Admit(ctx, m, nil))
	must(t, r.Join(ctx, m))
	if err := r.Produce(ctx, m); err == nil || !strings.Contains(err.Error(), "NOT_LEADER_OR_FOLLOWER") {
		t.Errorf("%v", err)
	}
	if err := r.Commit(ctx); err == nil {
		t.Error("committed")
	}
	must(t, r.Fence(ctx, 10*time.Second))
	transact(t, r.Kafka, m)
	if got := r.read(r.topic); len(got) != 4 {
		t.Errorf("read %q", values(got))
	}
}

// CONCURRENT_TRANSACTIONS and a coordinator that is loading are waited out.
func TestCoordinatorThatIsNotReady(t *testing.T) {
	for _, code := range []*kerr.Error{kerr.ConcurrentTransactions, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator} {
		t.Run(code.Message, func(t *testing.T) {
			f, r := behind(t, true)
			f.refuseFirst(3, code, apiInitProducer, apiAddPartitions, apiEndTxn)
			must(t, r.Fence(ctxT(t), 10*time.Second))
			transact(t, r.Kafka, msgs(r.topic, "a=1", "b=2"))
			if got := r.read(r.topic); len(got) != 2 {
				t.Errorf("read %q", values(got))
			}
		})
	}
}

// A broker that answers for fewer partitions than it was asked for has not
// acknowledged them.
func TestAnswerWithoutThePartition(t *testing.T) {
	f, r := behind(t, true)
	ctx := ctxT(t)
	m := msgs(r.topic, "a=1")
	must(t, r.Admit(ctx, m, nil))
	for _, api := range []int16{apiProduce, apiAddPartitions} {
		f.refuseFirst(1, &kerr.Error{Code: leaveOut}, api)
		err := r.Join(ctx, m)
		if err == nil {
			err = r.Produce(ctx, m)
		}
		if err == nil || !strings.Contains(err.Error(), "does not name it") {
			t.Errorf("api %d: %v", api, err)
		}
		must(t, r.Fence(ctx, 10*time.Second))
	}
}

// A topic that is compacted takes no message without a key: should one get past
// Admit, the broker's words for it reach the log.
func TestRecordErrorsAreTold(t *testing.T) {
	r := newRig(t, nil)
	ctx := ctxT(t)
	must(t, r.Fence(ctx, 10*time.Second))
	r.createTopic(r.topic, 1, "cleanup.policy", "compact")
	m := &outbox.Messages{List: []outbox.Message{{Topic: r.topic, Partition: 0, Key: []byte("k"), Value: bytes.Repeat([]byte("v"), 3)}}}
	must(t, r.Admit(ctx, m, nil))
	m.List[0].Key = nil
	must(t, r.Join(ctx, m))
	if err := r.Produce(ctx, m); err == nil || !strings.Contains(err.Error(), "INVALID_RECORD") {
		t.Errorf("%v", err)
	}
}

package publish

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
)

// network is what lies between us and a broker; without a broker it is one that
// takes connections and delivers nothing.
type network struct {
	net.Listener
	target   string
	accepted atomic.Int32

	mu   sync.Mutex // guards lost
	lost *atomic.Bool
}

func newNetwork(t *testing.T, target string) *network {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	r := &network{Listener: l, target: target, lost: new(atomic.Bool)}
	var open sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); open.Wait() })
	open.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.accepted.Add(1)
			open.Go(func() { r.serve(conn) })
		}
	})
	return r
}

// forget makes every connection that there is half-open, for good.
func (r *network) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost.Store(true)
	r.lost = new(atomic.Bool)
}

func (r *network) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	if r.target == "" {
		discard(client, nil, new(atomic.Bool))
		return
	}
	r.mu.Lock()
	lost := r.lost
	r.mu.Unlock()
	server, err := net.Dial("tcp", r.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go discard(server, client, lost)
	discard(client, server, lost)
}

// discard carries bytes until they are lost, and reads on.
func discard(from, to net.Conn, lost *atomic.Bool) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if to != nil && !lost.Load() {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
	}
}

// cluster3 is three brokers that know each other by addresses with a network between.
func cluster3(t *testing.T) (networks []*network) {
	t.Helper()
	meta := sarama.NewMockMetadataResponse(t)
	for id := range int32(3) {
		b := sarama.NewMockBroker(t, id)
		t.Cleanup(b.Close)
		r := newNetwork(t, b.Addr())
		networks = append(networks, r)
		meta.SetBroker(r.Addr().String(), id)
		b.SetHandlerByMap(map[string]sarama.MockResponse{
			"ApiVersionsRequest": sarama.NewMockApiVersionsResponse(t).SetApiKeys([]sarama.ApiVersionsResponseKey{
				{ApiKey: 3, MaxVersion: 11}, {ApiKey: 18, MaxVersion: 3}}),
			"MetadataRequest": meta,
		})
	}
	return networks
}

func silentKafka(t *testing.T, brokers ...*network) *Kafka {
	t.Helper()
	cfg := KafkaConfig{Transactional: true, TransactionalID: "x"}
	for _, r := range brokers {
		cfg.Brokers = append(cfg.Brokers, r.Addr().String())
	}
	k := NewKafka(cfg, slog.New(slog.DiscardHandler), nil)
	t.Cleanup(k.Close)
	return k
}

// Brokers that accept and never answer do not keep one that does from
// answering: waiting for the first of them would take an hour here.
func TestAnyBrokerAnswersBesideSilentOnes(t *testing.T) {
	silent := []*network{newNetwork(t, ""), newNetwork(t, ""), newNetwork(t, "")}
	k := silentKafka(t, append(silent, cluster3(t)[0])...)
	k.cluster.answer, k.cluster.next = time.Hour, time.Millisecond
	if _, err := k.cluster.metadata(ctxT(t)); err != nil {
		t.Fatal(err)
	}
	for i, r := range silent {
		if n := r.accepted.Load(); n != 1 {
			t.Errorf("silent broker %d was asked %d times", i, n)
		}
		if k.cluster.seeds[i].isOpen() {
			t.Errorf("the connection to silent broker %d was kept", i)
		}
	}
}

// Where nobody answers all are asked within the one time-out, for nobody's
// takes longer than the whole.
func TestSilentBrokersCostOneTimeout(t *testing.T) {
	silent := []*network{newNetwork(t, ""), newNetwork(t, ""), newNetwork(t, "")}
	k := silentKafka(t, silent...)
	k.cluster.answer, k.cluster.next = 2*time.Second, time.Millisecond
	_, err := k.cluster.metadata(ctxT(t))
	if !errors.Is(err, errSilent) || strings.Count(err.Error(), "no answer within 2s") != len(silent) {
		t.Errorf("error %v", err)
	}
	if classify(err) != retriable {
		t.Error("it is not to be tried again")
	}
	for i, r := range silent {
		if n := r.accepted.Load(); n != 1 {
			t.Errorf("silent broker %d was asked %d times", i, n)
		}
	}
}

// A router forgets all connections at once. The first question that is not
// answered tells for all of them: the next goes out on a fresh connection,
// where asking on another old one would take an hour here.
func TestOneSilenceIsAllSuspicion(t *testing.T) {
	networks := cluster3(t)
	k := silentKafka(t, networks...)
	k.cluster.next = time.Hour
	ctx := ctxT(t)
	_, err := k.cluster.metadata(ctx)
	must(t, err)
	versions := func(n *node) error {
		_, err := call(ctx, &k.cluster, n, func(b *sarama.Broker) (*sarama.ApiVersionsResponse, error) {
			return b.ApiVersions(&sarama.ApiVersionsRequest{})
		})
		return err
	}
	for _, n := range k.cluster.nodes {
		must(t, versions(n))
	}
	for _, r := range networks {
		r.forget()
	}
	k.cluster.answer = 100 * time.Millisecond
	if err := versions(k.cluster.nodes[1]); !errors.Is(err, errSilent) {
		t.Fatalf("error %v", err)
	}
	for id, n := range k.cluster.nodes {
		if n.isOpen() {
			t.Errorf("the connection to broker %d was kept", id)
		}
	}
	k.cluster.answer = time.Hour
	_, err = k.cluster.metadata(ctx)
	must(t, err)
}

// Who was heard from meanwhile is not suspected.
func TestHeardIsNotSuspect(t *testing.T) {
	networks := cluster3(t)
	k := silentKafka(t, networks...)
	ctx := ctxT(t)
	_, err := k.cluster.metadata(ctx)
	must(t, err)
	for _, n := range k.cluster.nodes {
		_, err := n.open(ctx, &k.cluster)
		must(t, err)
	}
	since := time.Now()
	k.cluster.nodes[2].link.heard = since.Add(1)
	k.cluster.suspect(since)
	for id, n := range k.cluster.nodes {
		if n.isOpen() != (id == 2) {
			t.Errorf("broker %d: open %v", id, n.isOpen())
		}
	}
}

// Large requests get the time that a slow network takes to carry them.
func TestPatience(t *testing.T) {
	c := newCluster(KafkaConfig{})
	for _, x := range []struct {
		bytes int
		want  time.Duration
	}{{0, answerTimeout}, {1 << 20, answerTimeout + 4*time.Second}, {100 << 20, ioTimeout}} {
		if got := c.patience(x.bytes); got != x.want {
			t.Errorf("%d bytes: %v, want %v", x.bytes, got, x.want)
		}
	}
	ctx, cancel := within(context.Background(), 0)
	defer cancel()
	<-ctx.Done()
	if err := context.Cause(ctx); !silent(err) || classify(err) != retriable {
		t.Errorf("%v is not silence", err)
	}
}

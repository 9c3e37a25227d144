package publish

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/tailer-io/tailer/internal/credential"
)

// maxIdle is how long a connection may lie unused. Brokers close theirs after
// ten minutes by default, load balancers after four to six; a request sent
// into one that is gone would break a transaction for nothing.
const maxIdle = 3 * time.Minute

// node is one broker, with a connection or without.
type node struct {
	id   int32 // -1 for an address from the configuration
	addr string
	link *link // nil without a connection
}

// link is one connection.
type link struct {
	broker *sarama.Broker
	wire   *wire
	used   time.Time
	heard  time.Time // when something came back last
}

func (n *node) isOpen() bool { return n.link != nil }

// open gives the node's connection, which it makes first when there is none
// or it has been idle for long. It waits until it stands, authenticated. It
// touches nothing but the node, for anyNode opens several at once.
func (n *node) open(ctx context.Context, c *cluster) (*link, error) {
	if n.link != nil && time.Since(n.link.used) > maxIdle {
		n.close()
	}
	if n.link != nil {
		n.link.used = time.Now()
		return n.link, nil
	}
	l := &link{broker: sarama.NewBroker(n.addr), wire: newWire(c.security.tls()), used: time.Now()}
	own := *c.conf // so that each connection has a dialer of its own
	own.Net.Proxy.Enable = true
	own.Net.Proxy.Dialer = l.wire
	if err := c.security.apply(&own); err != nil {
		return nil, c.refused(err)
	}
	stop := context.AfterFunc(ctx, l.wire.cut)
	defer stop()
	err := l.broker.Open(&own)
	if err == nil {
		// Open only starts to connect; Connected waits for it.
		var connected bool
		if connected, err = l.broker.Connected(); err == nil && !connected {
			err = sarama.ErrNotConnected
		}
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		l.close()
		return nil, c.refused(err)
	}
	l.heard = time.Now()
	n.link = l
	return l, nil
}

func (n *node) close() {
	if n.link != nil {
		n.link.close()
		n.link = nil
	}
}

func (l *link) close() {
	l.wire.cut()
	_ = l.broker.Close() // fails only when it is closed already
}

// call runs one request and its answer, which are small. Any error is one of
// the connection, which is closed: nobody knows what the broker has done.
func call[T any](ctx context.Context, c *cluster, n *node, f func(*sarama.Broker) (T, error)) (T, error) {
	return callFor(ctx, c, n, 0, f)
}

// callFor is call for an answer of that many bytes.
func callFor[T any](ctx context.Context, c *cluster, n *node, bytes int, f func(*sarama.Broker) (T, error)) (T, error) {
	asked := time.Now()
	bounded, cancel := within(ctx, c.patience(bytes))
	defer cancel()
	resp, err := exchange(bounded, c, n, f)
	c.worked = c.worked || n.isOpen()
	if err != nil && silent(err) {
		c.suspect(asked)
	}
	return resp, err
}

// exchange is a question and its answer, on a connection that is made for it
// when there is none. It touches nothing but the node.
func exchange[T any](ctx context.Context, c *cluster, n *node, f func(*sarama.Broker) (T, error)) (T, error) {
	var zero T
	l, err := n.open(ctx, c)
	if err != nil {
		return zero, err
	}
	stop := context.AfterFunc(ctx, l.wire.cut)
	resp, err := f(l.broker)
	stop()
	if err != nil {
		n.close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return zero, err
	}
	l.heard = time.Now()
	return resp, nil
}

// wire is the dialer of one connection. sarama's calls take no context, and
// closing its Broker waits for the call under way; cutting the wire beneath is
// what ends a call early.
type wire struct {
	tls    bool            // TLS will be spoken on it
	ctx    context.Context // ends dialing
	cancel context.CancelFunc

	mu   sync.Mutex // guards conn
	conn net.Conn
}

func newWire(tls bool) *wire {
	w := &wire{tls: tls}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// Dial is called by sarama.
func (w *wire) Dial(network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, Control: giveUp,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}}
	conn, err := d.DialContext(w.ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if w.tls {
		conn = credential.AlertFirst(conn)
	}
	w.mu.Lock()
	w.conn = conn
	w.mu.Unlock()
	if w.ctx.Err() != nil {
		w.cut()
	}
	return conn, nil
}

// cut closes the connection, or keeps it from being made. It may be called
// from any goroutine, any number of times.
func (w *wire) cut() {
	w.cancel()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn != nil {
		_ = w.conn.Close()
	}
}

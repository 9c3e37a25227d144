// Package proxy is a TCP proxy that understands just enough of Kafka's protocol to fail at a chosen request.
//
// It reads the size and the header of each request (api key, version, correlation id) and copies the rest. Every
// fault comes in two forms, because they look the same to the client and are opposites in the broker: the
// request never arrived, or it was carried out and its answer was lost.
//
// Request header: https://kafka.apache.org/protocol#protocol_messages
package proxy

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Keys of requests, from https://kafka.apache.org/protocol#protocol_api_keys.
const (
	Produce            = 0
	Fetch              = 1
	Metadata           = 3
	InitProducerID     = 22
	AddPartitionsToTxn = 24
	EndTxn             = 26
)

// Action is what befalls a request.
type Action int

const (
	// Fail cuts the connection before the request is handed on: the broker never sees it.
	Fail Action = iota
	// Lose hands the request on and cuts the connection instead of returning the answer.
	Lose
)

func (a Action) String() string { return [...]string{"failed", "done but not answered"}[a] }

// Proxy forwards connections from one address to another.
type Proxy struct {
	listen, target string

	mu       sync.Mutex // guards all below
	listener net.Listener
	conns    map[net.Conn]struct{}
	gate     chan struct{} // closed while traffic flows
	rules    []*Rule
	counts   map[int16]int
	closed   bool
}

// Rule is a fault that waits for its request.
type Rule struct {
	key    int16
	nth    int
	action Action
	fired  chan struct{}
}

// Fired is closed when the fault has happened.
func (r *Rule) Fired() <-chan struct{} { return r.fired }

// Start listens and forwards.
func Start(listen, target string) (*Proxy, error) {
	p := &Proxy{listen: listen, target: target, conns: map[net.Conn]struct{}{}, gate: make(chan struct{}),
		counts: map[int16]int{}}
	close(p.gate)
	if err := p.Accept(); err != nil {
		return nil, err
	}
	return p, nil
}

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.listen }

// Inject makes the action befall the n-th request of this key, counted from now on across all connections.
func (p *Proxy) Inject(key int16, nth int, action Action) *Rule {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &Rule{key: key, nth: nth, action: action, fired: make(chan struct{})}
	p.rules = append(p.rules, r)
	return r
}

// Clear drops the rules that have not fired.
func (p *Proxy) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = nil
}

// Count is how many requests of a key were seen since the start.
func (p *Proxy) Count(key int16) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[key]
}

// Stall holds every byte in both directions, connections staying open, until Flow.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gate:
		p.gate = make(chan struct{})
	default:
	}
}

// Flow ends a stall.
func (p *Proxy) Flow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gate:
	default:
		close(p.gate)
	}
}

// Refuse cuts all connections and refuses new ones until Accept, as a broker does that is not there.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		StopListening(p.listener)
		p.listener = nil
	}
	p.cut()
}

// Cut closes all connections; new ones are welcome.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut()
}

// cut is called with mu held.
func (p *Proxy) cut() {
	for c := range p.conns {
		c.Close()
	}
	clear(p.conns)
}

// Accept listens again after Refuse.
func (p *Proxy) Accept() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil || p.closed {
		return nil
	}
	l, err := net.Listen("tcp", p.listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	p.listener = l
	go p.serve(l)
	return nil
}

// Close ends the proxy.
func (p *Proxy) Close() {
	p.Flow()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Refuse()
}

func (p *Proxy) serve(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		go p.connect(client)
	}
}

func (p *Proxy) connect(client net.Conn) {
	broker, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil {
		client.Close()
		return
	}
	p.mu.Lock()
	if p.listener == nil {
		p.mu.Unlock()
		client.Close()
		broker.Close()
		return
	}
	p.conns[client], p.conns[broker] = struct{}{}, struct{}{}
	p.mu.Unlock()

	c := &connection{proxy: p, client: client, broker: broker, lose: map[int32]*Rule{}}
	go c.pump(broker, client, c.answer)
	c.pump(client, broker, c.request)
}

// connection is one client's connection and its partner to the broker.
type connection struct {
	proxy          *Proxy
	client, broker net.Conn

	mu   sync.Mutex // guards lose
	lose map[int32]*Rule
}

// header is the longest part of a frame that the proxy looks at: api key, api version, correlation id. An answer
// has its correlation id in front and may be no longer than that.
const header = 8

// pump copies frames; look sees the beginning of each and may refuse it, which ends the connection.
func (c *connection) pump(from, to net.Conn, look func(head []byte) bool) {
	defer c.close()
	buf := make([]byte, 64<<10)
	for {
		var size [4]byte
		if _, err := io.ReadFull(from, size[:]); err != nil {
			return
		}
		length := int64(binary.BigEndian.Uint32(size[:]))
		head := make([]byte, min(length, header))
		if _, err := io.ReadFull(from, head); err != nil {
			return
		}
		c.proxy.wait()
		if !look(head) {
			return
		}
		if _, err := to.Write(append(size[:], head...)); err != nil {
			return
		}
		if _, err := io.CopyBuffer(to, io.LimitReader(from, length-int64(len(head))), buf); err != nil {
			return
		}
	}
}

// wait returns when traffic may flow.
func (p *Proxy) wait() {
	p.mu.Lock()
	gate := p.gate
	p.mu.Unlock()
	<-gate
}

func (c *connection) request(head []byte) bool {
	if len(head) < header {
		return false
	}
	key := int16(binary.BigEndian.Uint16(head))
	rule := c.proxy.hit(key)
	if rule == nil {
		return true
	}
	if rule.action == Fail {
		close(rule.fired)
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lose[int32(binary.BigEndian.Uint32(head[4:]))] = rule
	return true
}

func (c *connection) answer(head []byte) bool {
	if len(head) < 4 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if rule := c.lose[int32(binary.BigEndian.Uint32(head))]; rule != nil {
		close(rule.fired)
		return false
	}
	return true
}

// hit counts a request and returns the rule whose turn it is.
func (p *Proxy) hit(key int16) *Rule {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[key]++
	var due *Rule
	rest := p.rules[:0]
	for _, r := range p.rules {
		if r.key == key {
			r.nth--
		}
		if r.key == key && r.nth <= 0 && due == nil {
			due = r
			continue
		}
		rest = append(rest, r)
	}
	p.rules = rest
	return due
}

func (c *connection) close() {
	c.client.Close()
	c.broker.Close()
	c.proxy.mu.Lock()
	defer c.proxy.mu.Unlock()
	delete(c.proxy.conns, c.client)
	delete(c.proxy.conns, c.broker)
}

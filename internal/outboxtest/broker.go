package outboxtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Call names a call into the broker.
type Call string

// The calls that can fail.
const (
	Fence   Call = "fence"
	Join    Call = "join"
	Produce Call = "produce"
	Commit  Call = "commit"
	Newest  Call = "newest"
)

// Fault makes one call fail.
type Fault struct {
	// Call is which.
	Call Call
	// N counts calls of that kind from 1; the N-th fails.
	N int
	// Done says that the broker does what is asked, and the answer is lost.
	Done bool
	// Then is run at the fault, for example to cancel a context, as a crash
	// does. May be nil.
	Then func()
}

// ErrFault is what a faulty call returns.
var ErrFault = errors.New("connection reset by a test")

// ErrFenced is what a producer of an older epoch gets.
var ErrFenced = errors.New("producer fenced")

type record struct {
	topic      string
	key, value []byte
	headers    []outbox.Header
	txn        int // 0 for none
}

// Broker is a Kafka of one partition a topic, with transactions. It lives
// through crashes of its clients.
type Broker struct {
	mu      sync.Mutex // guards all below
	log     []record   // all topics, in order of arrival
	state   map[int]bool
	epoch   int
	open    int // transaction of the newest epoch, 0 for none
	txns    int
	faults  []Fault
	counts  map[Call]int
	created bool
	changed chan struct{}
}

// NewBroker returns an empty broker; its checkpoint topic does not exist.
func NewBroker() *Broker {
	return &Broker{state: map[int]bool{}, counts: map[Call]int{}, changed: make(chan struct{})}
}

// Inject adds faults and starts counting calls anew.
func (b *Broker) Inject(f ...Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults, b.counts = f, map[Call]int{}
}

// Fired tells whether every fault has happened.
func (b *Broker) Fired() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.faults) == 0
}

// Committed is what a read_committed consumer sees of every topic but some, in
// order: keys and values.
func (b *Broker) Committed(except ...string) (keys, values []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.log {
		if !slices.Contains(except, r.topic) && (r.txn == 0 || b.state[r.txn]) {
			keys, values = append(keys, string(r.key)), append(values, string(r.value))
		}
	}
	return keys, values
}

// Open tells whether a transaction is open.
func (b *Broker) Open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open != 0
}

// Drop deletes the checkpoint topic.
func (b *Broker) Drop(topic string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := b.log[:0]
	for _, r := range b.log {
		if r.topic != topic {
			kept = append(kept, r)
		}
	}
	b.log, b.created = kept, false
}

// fault does what a call asks, unless a fault says otherwise. b.mu is held.
func (b *Broker) fault(c Call, do func() error) error {
	b.counts[c]++
	for i, f := range b.faults {
		if f.Call != c || f.N != b.counts[c] {
			continue
		}
		b.faults = append(b.faults[:i:i], b.faults[i+1:]...)
		if f.Done {
			if err := do(); err != nil {
				return err
			}
		}
		if f.Then != nil {
			f.Then()
		}
		return ErrFault
	}
	return do()
}

// Client is one process's connection: a Sink and a CheckpointTopic.
type Client struct {
	b     *Broker
	topic string
	// AtLeastOnce makes the client work without transactions.
	AtLeastOnce bool
	// Poison takes messages out whose value it is true for.
	Poison func(value []byte) bool
	// PoisonLetter does the same for dead letters.
	PoisonLetter func(key []byte) bool
	// MaxValue is what Room says; 0 for no limit.
	MaxValue int

	epoch  int
	joined bool
	stall  atomic.Pointer[chan struct{}]
}

// Stall keeps commits from returning until release is called.
func (c *Client) Stall() (release func()) {
	ch := make(chan struct{})
	c.stall.Store(&ch)
	return func() {
		c.stall.Store(nil)
		close(ch)
	}
}

// NewClient connects to b; topic is the checkpoint topic.
func NewClient(b *Broker, topic string) *Client { return &Client{b: b, topic: topic} }

// Fence makes this client the only one that can commit.
func (c *Client) Fence(ctx context.Context, _ time.Duration) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	c.joined = false
	return c.b.fault(Fence, func() error {
		c.b.epoch++
		c.epoch = c.b.epoch
		c.b.end(false)
		return nil
	})
}

// end closes the open transaction. b.mu is held.
func (b *Broker) end(commit bool) {
	if b.open != 0 {
		b.state[b.open] = commit
		b.open = 0
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// Admit takes out what the client's Poison says.
func (c *Client) Admit(_ context.Context, m *outbox.Messages, b *outbox.Batch) error {
	kept := m.List[:0]
	for _, msg := range m.List {
		if msg.Row >= 0 && !msg.Letter && c.Poison != nil && c.Poison(msg.Value) ||
			msg.Letter && c.PoisonLetter != nil && c.PoisonLetter(msg.Key) {
			m.Poison = append(m.Poison, outbox.Poison{Row: msg.Row,
				Position: string(b.PositionText(msg.Row)), Reason: "the test says so"})
			continue
		}
		kept = append(kept, msg)
	}
	m.List = kept
	return nil
}

// Room is MaxValue, or without one no limit.
func (c *Client) Room(context.Context, string) (int, error) {
	if c.MaxValue > 0 {
		return c.MaxValue, nil
	}
	return math.MaxInt, nil
}

// Join opens the transaction.
func (c *Client) Join(ctx context.Context, m *outbox.Messages) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if c.AtLeastOnce || len(m.List) == 0 {
		return nil
	}
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	return c.b.fault(Join, func() error {
		if c.epoch != c.b.epoch {
			return ErrFenced
		}
		if c.b.open == 0 {
			c.b.txns++
			c.b.open = c.b.txns
		}
		c.joined = true
		return nil
	})
}

// Produce appends the messages.
func (c *Client) Produce(ctx context.Context, m *outbox.Messages) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	return c.b.fault(Produce, func() error {
		txn := 0
		if !c.AtLeastOnce {
			if c.epoch != c.b.epoch {
				return ErrFenced
			}
			if !c.joined && len(m.List) > 0 {
				return errors.New("produce to a partition that was not added to the transaction")
			}
			txn = c.b.open
		}
		for _, msg := range m.List {
			if msg.Topic == c.topic && !c.b.created {
				return fmt.Errorf("topic %s does not exist", c.topic)
			}
			c.b.log = append(c.b.log, record{topic: msg.Topic, key: bytes.Clone(msg.Key), value: bytes.Clone(msg.Value),
				headers: cloneHeaders(msg.Headers), txn: txn})
		}
		if c.AtLeastOnce {
			c.b.end(false) // nothing is open; wakes readers
		}
		return nil
	})
}

// Commit ends the transaction.
func (c *Client) Commit(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if c.AtLeastOnce || !c.joined {
		return nil
	}
	if ch := c.stall.Load(); ch != nil {
		<-*ch
	}
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	return c.b.fault(Commit, func() error {
		if c.epoch != c.b.epoch {
			return ErrFenced
		}
		c.b.end(true)
		c.joined = false
		return nil
	})
}

// Close does nothing: a transaction stays open, as after a crash.
func (c *Client) Close() {}

// Identity is the broker's.
func (c *Client) Identity(context.Context) (string, error) { return "cluster-1", nil }

// Exists tells whether the checkpoint topic was created.
func (c *Client) Exists(context.Context) (bool, error) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	return c.b.created, nil
}

// Create makes the checkpoint topic.
func (c *Client) Create(context.Context) error {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	c.b.created = true
	return nil
}

// Newest reads the checkpoint topic as a read_committed consumer does: not
// beyond the first record of an open transaction.
func (c *Client) Newest(ctx context.Context, keys []string, upTo *outbox.Barrier) (map[string][]byte, error) {
	for {
		c.b.mu.Lock()
		changed := c.b.changed
		var got map[string][]byte
		met := upTo == nil
		err := c.b.fault(Newest, func() error {
			got = map[string][]byte{}
			for _, r := range c.b.log {
				done, ended := c.b.state[r.txn]
				if r.txn != 0 && !ended {
					break
				}
				if r.topic != c.topic || r.txn != 0 && !done {
					continue
				}
				for _, k := range keys {
					if string(r.key) == k {
						got[k] = r.value
					}
				}
				if upTo != nil && string(r.key) == upTo.Key && bytes.Equal(r.value, upTo.Value) {
					met = true
					break
				}
			}
			return nil
		})
		c.b.mu.Unlock()
		if err != nil || met {
			return got, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Settled waits until no transaction is open that has written to the checkpoint
// topic.
func (c *Client) Settled(ctx context.Context) error {
	c.b.mu.Lock()
	open := map[int]bool{}
	for _, r := range c.b.log {
		if _, ended := c.b.state[r.txn]; r.topic == c.topic && r.txn != 0 && !ended {
			open[r.txn] = true
		}
	}
	for {
		changed := c.b.changed
		for txn := range open {
			if _, ended := c.b.state[txn]; ended {
				delete(open, txn)
			}
		}
		c.b.mu.Unlock()
		if len(open) == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		c.b.mu.Lock()
	}
}

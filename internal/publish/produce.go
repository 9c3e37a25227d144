package publish

import (
	"context"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/tailer-io/tailer/internal/outbox"
)

const (
	// ackTimeout is how long a leader waits for its in-sync replicas.
	ackTimeout = 10 * time.Second
	// maxInFlight is how many requests may be on their way to one broker. Up
	// to five keep their order there (KIP-679 explains the number); a broker
	// works on the requests of one connection one after the other.
	maxInFlight = 5
	// maxAnswers bounds requests without an answer, over all brokers.
	maxAnswers = 256
)

// Produce sends m and returns when every partition has acknowledged its
// records with acks=-1. Records of one partition keep their order; brokers are
// served side by side. In a transaction nothing is repeated and any error
// breaks the transaction; without one, see deliver. The messages' bytes are
// not used after it returns.
func (k *Kafka) Produce(ctx context.Context, m *outbox.Messages) error {
	if err := k.usable(); err != nil {
		return err
	}
	err := k.produce(ctx, m)
	if lost := k.awaitAll(); err == nil {
		err = lost
	}
	k.assembler.drop()
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("produce: %w", context.Cause(ctx)) // the wires were cut for it
	}
	k.noteDenied(err)
	return k.breaks(err)
}

func (k *Kafka) produce(ctx context.Context, m *outbox.Messages) error {
	now := time.Now().UnixMilli()
	for i := range m.List {
		msg := &m.List[i]
		p, err := k.part(ctx, msg.Topic, msg.Partition)
		if err != nil {
			return err
		}
		if k.cfg.Transactional && p.joined != k.membership.number {
			// Older brokers would take the records, and leave a transaction
			// that hangs for ever: the coordinator does not know of them.
			return fmt.Errorf("produce, topic %s partition %d: it was not joined to the transaction", msg.Topic, msg.Partition)
		}
		ms := now
		if !msg.Time.IsZero() {
			ms = msg.Time.UnixMilli()
		}
		if k.assembler.add(p, msg, ms) {
			continue
		}
		if err := k.flush(ctx, k.assembler.shipment(p.leader)); err != nil {
			return err
		}
		if !k.assembler.add(p, msg, ms) {
			return fmt.Errorf("produce: no room for a record to topic %s in an empty request", msg.Topic)
		}
	}
	for k.assembler.busy > 0 {
		if err := k.flush(ctx, k.assembler.shipments[0]); err != nil {
			return err
		}
	}
	return nil
}

// flush sends a shipment on its way. In a transaction that is all: the
// records are encoded when it returns, and the answer is looked at later.
func (k *Kafka) flush(ctx context.Context, s *shipment) error {
	if !k.cfg.Transactional {
		return k.deliver(ctx)
	}
	for _, b := range s.batches {
		k.assembler.seal(b, k.producer, true)
	}
	err := k.post(ctx, s.leader, s.batches)
	k.assembler.release(s)
	if err != nil {
		return err
	}
	return k.awaitDown(maxAnswers - 1)
}

// answers are requests under way.
type answers struct {
	ch      chan answer
	pending int
	bytes   int // sent since nothing was under way
}

// answer is what came back for one Produce request.
type answer struct {
	node  *node
	link  *link
	parts []*part
	sent  time.Time
	ctx   context.Context // ends when it is too late; then the connection is cut
	stop  func()
	resp  *sarama.ProduceResponse
	err   error
}

// post sends batches in one Produce request to the broker with that id. The
// answer arrives on k.answers.
func (k *Kafka) post(ctx context.Context, leader int32, batches []*batch) error {
	first := batches[0].part
	n := k.cluster.nodes[leader]
	if n == nil {
		return &brokerError{step: "produce", topic: first.topic.name, partition: first.index, code: sarama.ErrLeaderNotAvailable}
	}
	opening, cancel := within(ctx, k.cluster.answer)
	l, err := n.open(opening, &k.cluster)
	cancel()
	if err != nil {
		return fmt.Errorf("produce, connect to broker %d at %s: %w", n.id, n.addr, err)
	}
	req := &sarama.ProduceRequest{
		Version:      9,
		RequiredAcks: sarama.WaitForAll,
		Timeout:      int32(ackTimeout / time.Millisecond),
	}
	if k.cfg.Transactional {
		req.TransactionalID = &k.cfg.TransactionalID
	}
	k.cluster.worked = true
	if k.answers.pending == 0 {
		k.answers.bytes = 0
	}
	parts := make([]*part, len(batches))
	for i, b := range batches {
		parts[i] = b.part
		k.answers.bytes += b.size
		req.AddBatch(b.part.topic.name, b.part.index, &b.wire)
	}
	if k.answers.ch == nil {
		// Never more pending than it has room for: sarama's goroutine that
		// reads answers must not block, or its Close would hang.
		k.answers.ch = make(chan answer, maxAnswers)
	}
	ch := k.answers.ch
	a := answer{node: n, link: l, parts: parts, sent: time.Now()}
	var done context.CancelFunc
	a.ctx, done = within(ctx, k.cluster.patience(k.answers.bytes))
	cutting := context.AfterFunc(a.ctx, l.wire.cut)
	a.stop = func() { cutting(); done() }
	err = l.broker.AsyncProduce(req, func(resp *sarama.ProduceResponse, err error) {
		a.resp, a.err = resp, err
		ch <- a
	})
	if err != nil {
		n.close()
		if a.ctx.Err() != nil {
			err = context.Cause(a.ctx)
		}
		a.stop()
		return fmt.Errorf("produce to broker %d at %s: %w", n.id, n.addr, err)
	}
	k.answers.pending++
	return nil
}

// next waits for one answer. It does not watch the context: its end cuts the
// wires, and then the answers are errors.
func (k *Kafka) next() answer {
	a := <-k.answers.ch
	k.answers.pending--
	late := context.Cause(a.ctx)
	a.stop()
	if a.err == nil {
		a.link.heard = time.Now()
	} else {
		if a.node.link == a.link {
			a.node.close()
		}
		if late != nil {
			a.err = late
		}
		if silent(a.err) {
			k.cluster.suspect(a.sent)
		}
		a.err = fmt.Errorf("produce to broker %d at %s: %w", a.node.id, a.node.addr, a.err)
	}
	return a
}

// awaitDown waits until no more than n requests are under way, and sooner for
// the first error.
func (k *Kafka) awaitDown(n int) error {
	for k.answers.pending > n || (k.answers.pending > 0 && len(k.answers.ch) > 0) {
		if err := k.next().check(); err != nil {
			return err
		}
	}
	return nil
}

// awaitAll waits for all answers and returns the first error.
func (k *Kafka) awaitAll() error {
	var first error
	for k.answers.pending > 0 {
		if err := k.next().check(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// check returns the first error of an answer. A partition that is not
// mentioned has not acknowledged anything.
func (a answer) check() error {
	if a.err != nil {
		return a.err
	}
	for _, p := range a.parts {
		if err := a.of(p); err != nil {
			return err
		}
	}
	return nil
}

// of is the answer for one partition.
func (a answer) of(p *part) error {
	block := a.resp.GetBlock(p.topic.name, p.index)
	if block == nil {
		return fmt.Errorf("produce, topic %s partition %d: the broker's answer does not name it", p.topic.name, p.index)
	}
	if block.Err == sarama.ErrNoError {
		return nil
	}
	text := deref(block.ErrorMessage)
	for _, r := range block.RecordErrors {
		if r.BatchIndexErrorMessage != nil {
			text += fmt.Sprintf(" (record %d: %s)", r.BatchIndex, *r.BatchIndexErrorMessage)
		}
	}
	return &brokerError{step: "produce", topic: p.topic.name, partition: p.index, code: block.Err, text: text}
}

// usable tells whether the producer may send.
func (k *Kafka) usable() error {
	switch {
	case k.producer.broken != nil:
		return fmt.Errorf("the producer is broken until it is fenced anew: %w", k.producer.broken)
	case !k.producer.ready:
		return errNotFenced
	}
	return nil
}

// breaks notes an error after which only Fence goes on.
func (k *Kafka) breaks(err error) error {
	if err == nil {
		return nil
	}
	k.producer.ready, k.producer.broken = false, err
	k.stale = true
	return err
}

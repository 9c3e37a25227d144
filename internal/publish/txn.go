package publish

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/IBM/sarama"

	"github.com/tailer-io/tailer/internal/outbox"
)

const (
	// defaultMaxTimeout is the brokers' default transaction.max.timeout.ms.
	defaultMaxTimeout = 15 * time.Minute
	// coordinatorPatience bounds how long one step asks the coordinator again
	// while it is loading, moving, or busy with the transaction before.
	coordinatorPatience = 30 * time.Second
	// spreadPatience bounds how long a topic may be unknown to it.
	spreadPatience = 2 * time.Second
)

// membership is which transaction is open: a partition belongs to it when its
// joined is number. Nothing else is remembered, and nothing across Commit or
// Fence: a stale membership would let EndTxn succeed for a transaction that
// never held the records.
type membership struct {
	number uint64
	count  int // partitions joined
}

func (m *membership) clear() { m.number, m.count = m.number+1, 0 }

// Fence makes this process the only writer under the transactional id
// (InitProducerId, KIP-98): an open transaction is aborted, the epoch is
// bumped, and whoever fenced before gets PRODUCER_FENCED. timeout bounds the
// time between the first Join and Commit; zero asks for the longest that the
// broker allows (transaction.max.timeout.ms). Without transactions it fetches
// a fresh producer id, and fences nobody.
//
// It asks again, for up to half a minute, while the coordinator is being elected,
// is loading, or still ends the transaction before.
func (k *Kafka) Fence(ctx context.Context, timeout time.Duration) error {
	k.producer = producer{}
	k.membership.clear()
	k.assembler.drop()
	for _, t := range k.topics {
		for _, p := range t.parts {
			p.sequence = 0
		}
	}
	if k.stale {
		if err := k.refresh(ctx); err != nil {
			return err
		}
	}
	if !k.cfg.Transactional {
		return k.fenceIdempotent(ctx)
	}
	longest := timeout <= 0
	if longest {
		timeout = k.longestTimeout(ctx)
	}
	k.coordinator = nil
	resp, err := k.initProducer(ctx, timeout)
	for longest && isCode(err, sarama.ErrInvalidTransactionTimeout) && timeout > time.Second {
		// Only an approximation was known: come down to what is allowed.
		timeout /= 2
		resp, err = k.initProducer(ctx, timeout)
	}
	if isCode(err, sarama.ErrInvalidTransactionTimeout) {
		return &outbox.Invalid{Option: "kafka-transaction-timeout",
			Text: timeout.String() + " is longer than the brokers' transaction.max.timeout.ms allows"}
	}
	if err != nil {
		k.stale = true
		return err
	}
	k.producer = producer{id: resp.ProducerID, epoch: resp.ProducerEpoch, ready: true}
	k.log.Debug("fenced", keyProducerID, resp.ProducerID, keyEpoch, resp.ProducerEpoch)
	return nil
}

func (k *Kafka) initProducer(ctx context.Context, timeout time.Duration) (*sarama.InitProducerIDResponse, error) {
	const step = "init producer id"
	return ask(ctx, k, step, func(b *sarama.Broker) (*sarama.InitProducerIDResponse, error) {
		return b.InitProducerID(&sarama.InitProducerIDRequest{
			Version:            4,
			TransactionalID:    &k.cfg.TransactionalID,
			TransactionTimeout: timeout,
			ProducerID:         -1, // not resuming: a plain bump of the epoch
			ProducerEpoch:      -1,
		})
	}, func(resp *sarama.InitProducerIDResponse) error { return refusal(step, resp.Err) })
}

// longestTimeout asks a broker for transaction.max.timeout.ms. A guess that is
// too long is corrected by Fence.
func (k *Kafka) longestTimeout(ctx context.Context) time.Duration {
	const setting = "transaction.max.timeout.ms"
	if _, err := k.cluster.metadata(ctx); err != nil {
		return defaultMaxTimeout // Fence meets the same error and returns it
	}
	for _, n := range k.cluster.all() {
		if n.id < 0 {
			continue
		}
		id := strconv.Itoa(int(n.id))
		found, err := k.cluster.configs(ctx, n, sarama.BrokerResource, []string{id}, setting)
		if err != nil {
			break // not authorised, most likely
		}
		if ms, err := strconv.ParseInt(found[id][setting], 10, 32); err == nil && ms > 0 {
			return time.Duration(ms) * time.Millisecond
		}
		break
	}
	return defaultMaxTimeout
}

// Join names every partition of m that the open transaction does not hold yet
// (AddPartitionsToTxn) and waits for the answer. It does nothing without
// transactions, or when there is no new one.
func (k *Kafka) Join(ctx context.Context, m *outbox.Messages) error {
	if err := k.usable(); err != nil {
		return err
	}
	if !k.cfg.Transactional {
		return nil
	}
	var joining map[string][]int32
	for i := range m.List {
		p, err := k.part(ctx, m.List[i].Topic, m.List[i].Partition)
		if err != nil {
			return k.breaks(err)
		}
		if p.joined == k.membership.number {
			continue
		}
		p.joined = k.membership.number
		k.membership.count++
		if joining == nil {
			joining = make(map[string][]int32)
		}
		joining[p.topic.name] = append(joining[p.topic.name], p.index)
	}
	if joining == nil {
		return nil
	}
	_, err := ask(ctx, k, stepJoin, func(b *sarama.Broker) (*sarama.AddPartitionsToTxnResponse, error) {
		return b.AddPartitionsToTxn(&sarama.AddPartitionsToTxnRequest{
			Version:         3,
			TransactionalID: k.cfg.TransactionalID,
			ProducerID:      k.producer.id,
			ProducerEpoch:   k.producer.epoch,
			TopicPartitions: joining,
		})
	}, func(resp *sarama.AddPartitionsToTxnResponse) error { return joined(joining, resp) })
	k.noteDenied(err)
	return k.breaks(err)
}

const stepJoin = "add partitions to transaction"

// joined checks that every partition asked for is in the answer, without an
// error.
func joined(asked map[string][]int32, resp *sarama.AddPartitionsToTxnResponse) error {
	var vague error
	for topic, indexes := range asked {
		got := make(map[int32]sarama.KError, len(indexes))
		for _, p := range resp.Errors[topic] {
			got[p.Partition] = p.Err
		}
		for _, index := range indexes {
			code, ok := got[index]
			err := &brokerError{step: stepJoin, topic: topic, partition: index, code: code}
			switch {
			case !ok:
				return fmt.Errorf("%s, topic %s partition %d: the broker's answer does not name it", stepJoin, topic, index)
			case code == sarama.ErrNoError:
			case code == sarama.ErrOperationNotAttempted:
				// Nothing was added because of another partition, whose
				// error says more.
				vague = err
			default:
				return err
			}
		}
	}
	return vague
}

// Commit ends the transaction (EndTxn) and returns when the coordinator has
// written the decision: from then on it is certain, although readers may see
// it some milliseconds later. After an error the outcome is unknown until
// Fence and a look at the log. It does nothing when no partition was joined.
func (k *Kafka) Commit(ctx context.Context) error {
	if err := k.usable(); err != nil {
		return err
	}
	if !k.cfg.Transactional || k.membership.count == 0 {
		return nil
	}
	start := time.Now()
	const step = "end transaction"
	_, err := ask(ctx, k, step, func(b *sarama.Broker) (*sarama.EndTxnResponse, error) {
		return b.EndTxn(&sarama.EndTxnRequest{
			Version:           3,
			TransactionalID:   k.cfg.TransactionalID,
			ProducerID:        k.producer.id,
			ProducerEpoch:     k.producer.epoch,
			TransactionResult: true,
		})
	}, func(resp *sarama.EndTxnResponse) error { return refusal(step, resp.Err) })
	k.membership.clear()
	if err != nil {
		return k.breaks(err)
	}
	k.metrics.commit.Observe(time.Since(start).Seconds())
	k.metrics.transactions.Inc()
	return nil
}

// ask puts a question to the transaction coordinator, again while it is not
// ready for it. A broken connection is not repaired: nobody knows whether the
// coordinator has heard the question.
func ask[T any](ctx context.Context, k *Kafka, step string, send func(*sarama.Broker) (T, error), check func(T) error) (T, error) {
	var zero T
	// CONCURRENT_TRANSACTIONS means that markers of the transaction before
	// are being written, which takes a millisecond or two.
	known := time.Now().Add(spreadPatience)
	for b := newBackoff(time.Millisecond, 50*time.Millisecond, coordinatorPatience); ; {
		err := k.findCoordinator(ctx)
		if err == nil {
			n := k.coordinator
			resp, sent := call(ctx, &k.cluster, n, send)
			if sent != nil {
				return zero, fmt.Errorf("%s, coordinator %d at %s: %w", step, n.id, n.addr, sent)
			}
			if err = check(resp); err == nil {
				return resp, nil
			}
		}
		var refused *brokerError
		if !errors.As(err, &refused) || !askAgain(refused.code) && !(spreading(refused.code) && time.Now().Before(known)) {
			return zero, err
		}
		if refused.code != sarama.ErrConcurrentTransactions && !spreading(refused.code) {
			k.coordinator = nil // it may have moved
		}
		if gaveUp := b.wait(ctx); gaveUp != nil {
			return zero, fmt.Errorf("%w (%w)", err, gaveUp)
		}
	}
}

// refusal makes an error of an answer's code; nil when there is none.
func refusal(step string, code sarama.KError) error {
	if code == sarama.ErrNoError {
		return nil
	}
	return &brokerError{step: step, code: code}
}

// askAgain tells whether the coordinator said "not now" or "not me", and did
// nothing.
func askAgain(code sarama.KError) bool {
	switch code {
	case sarama.ErrConcurrentTransactions, sarama.ErrOffsetsLoadInProgress,
		sarama.ErrConsumerCoordinatorNotAvailable, sarama.ErrNotCoordinatorForConsumer:
		return true
	}
	return false
}

// spreading tells whether the coordinator has not heard of a topic that its
// leaders have; true for a moment after the topic was created.
func spreading(code sarama.KError) bool { return code == sarama.ErrUnknownTopicOrPartition }

func (k *Kafka) findCoordinator(ctx context.Context) error {
	if k.coordinator != nil {
		return nil
	}
	n, err := k.cluster.coordinator(ctx, k.cfg.TransactionalID)
	k.coordinator = n
	return err
}

package publish

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

// deliverPatience bounds how long one round of batches is sent again.
const deliverPatience = 30 * time.Second

// fenceIdempotent fetches a new producer id without a transactional id. Any
// broker gives one.
func (k *Kafka) fenceIdempotent(ctx context.Context) error {
	const step = "init producer id"
	for b := newBackoff(5*time.Millisecond, 200*time.Millisecond, coordinatorPatience); ; {
		resp, _, err := anyNode(ctx, &k.cluster, step, func(b *sarama.Broker) (*sarama.InitProducerIDResponse, error) {
			return b.InitProducerID(&sarama.InitProducerIDRequest{Version: 4, ProducerID: -1, ProducerEpoch: -1})
		})
		if err != nil {
			return err
		}
		if resp.Err == sarama.ErrNoError {
			k.producer = producer{id: resp.ProducerID, epoch: resp.ProducerEpoch, ready: true}
			return nil
		}
		err = &brokerError{step: step, code: resp.Err}
		if classify(err) != retriable {
			return err
		}
		if waitErr := b.wait(ctx); waitErr != nil {
			return fmt.Errorf("%w (%w)", err, waitErr)
		}
	}
}

// deliver sends all shipments and waits until every batch is acknowledged: at
// most one batch per partition is under way, so that none can overtake
// another. A batch that failed in a way that may pass is sent again as it was,
// with the same sequence numbers, to whoever leads its partition then; the
// broker recognises what it has already.
func (k *Kafka) deliver(ctx context.Context) error {
	var open []*batch
	for _, s := range k.assembler.shipments[:k.assembler.busy] {
		for _, b := range s.batches {
			k.assembler.seal(b, k.producer, false)
			open = append(open, b)
		}
	}
	for wait := newBackoff(10*time.Millisecond, time.Second, deliverPatience); ; {
		err := k.attempt(ctx, open)
		left := open[:0]
		for _, b := range open {
			if !b.done {
				left = append(left, b)
			}
		}
		if open = left; len(open) == 0 {
			k.assembler.drop()
			return nil
		}
		if classify(err) != retriable {
			return err
		}
		if waitErr := wait.wait(ctx); waitErr != nil {
			return fmt.Errorf("%w (%w)", err, waitErr)
		}
		if refreshErr := k.refresh(ctx); refreshErr != nil && ctx.Err() != nil {
			return errors.Join(err, refreshErr)
		}
	}
}

// attempt sends batches to the leaders of their partitions, marks those that
// are acknowledged, and returns an error that cannot pass before one that can.
func (k *Kafka) attempt(ctx context.Context, batches []*batch) error {
	var worst error
	note := func(err error) {
		if err != nil && (worst == nil || classify(worst) == retriable && classify(err) != retriable) {
			worst = err
		}
	}
	acks := func(a answer) {
		if a.err != nil {
			note(a.err)
			return
		}
		for _, p := range a.parts {
			switch err := a.of(p); {
			case err == nil, isCode(err, sarama.ErrDuplicateSequenceNumber):
				p.open.done = true
			default:
				note(err)
			}
		}
	}
	byLeader := make(map[int32][]*batch)
	for _, b := range batches {
		byLeader[b.part.leader] = append(byLeader[b.part.leader], b)
	}
	for leader, list := range byLeader {
		if k.answers.pending == maxAnswers {
			acks(k.next())
		}
		note(k.post(ctx, leader, list))
	}
	for k.answers.pending > 0 {
		acks(k.next())
	}
	return worst
}

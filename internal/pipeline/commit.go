package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tailer-io/tailer/internal/checkpoint"
	"github.com/tailer-io/tailer/internal/outbox"
)

// The commit sequence. Messages and checkpoint become visible together, then
// the database is told. Whatever stops the process between two steps, the next
// start reads the newest committed checkpoint and goes on from there: it finds
// either an aborted transaction (all of the batch is sent again, nobody saw it)
// or a database that keeps more log than needed (it is read and dropped).
//
// With at-least-once delivery there is no transaction: joining and committing
// do nothing, the checkpoint is saved after all messages are acknowledged, and
// a crash between the two sends the batch twice.
//
// commit brings the batch from the source's log into Kafka, once. An error of
// the sink is repaired by the caller (recover.go), which finds in the attempt
// what the checkpoint says if the transaction did commit.
func (p *Pipeline) commit(ctx context.Context, b *outbox.Batch) (attempt, error) {
	try := attempt{begin: time.Now()}

	// 1. Rows become messages, each with its topic and partition. Rows that
	// can never be published are taken out.
	p.memory.note(b)
	m := &p.msgs
	m.Reset()
	p.mapper.Map(b, m)
	if err := p.admit(ctx, m, b); err != nil {
		return try, err
	}
	v, err := p.sortOut(ctx, b, m, nil)
	if err != nil {
		return try, err
	}
	try.next, try.verdict = p.record(v.resume), v
	try.next.Halted, try.next.LastCommit = v.halted, p.lastCommit(b, v.halted != nil)
	p.endWith(m, try.next)
	reached(StepMapped)
	// A crash up to here leaves nothing behind, but perhaps a new empty topic.

	// 2. The transaction is told every partition it will touch, the
	// checkpoint's among them, before the first byte goes there.
	if err := p.sink.Join(ctx, m); err != nil {
		return try, sinkError{err}
	}
	reached(StepJoined)
	// A crash here leaves an empty transaction. The next start's fencing
	// aborts it, or the broker does after --kafka-transaction-timeout.

	// 3. All messages and the checkpoint, acknowledged by all in-sync replicas.
	p.memory.reclaim()
	if err := p.sink.Produce(ctx, m); err != nil {
		return try, sinkError{err}
	}
	reached(StepProduced)
	// A crash here leaves a transaction that is aborted as above: no
	// read_committed consumer ever sees its messages, nor we its checkpoint.
	// At-least-once: the messages are out, the checkpoint is not; they will be
	// sent again.

	// 4. The transaction commits: messages and checkpoint appear together.
	if err := p.sink.Commit(ctx); err != nil {
		return try, sinkError{err} // or it did: the outcome is unknown
	}
	if err := p.save(ctx, try.next); err != nil {
		return try, err // at-least-once only: save is part of 3 otherwise
	}
	reached(StepCommitted)
	p.committed(b, m, try)
	// A crash here leaves a database that holds our log a little longer than
	// it must. The next start reads the checkpoint and begins behind it.

	// 5. The database may forget its log up to the last whole transaction.
	if err := p.source.Confirm(ctx, try.next.Resume().Position); err != nil {
		return try, fmt.Errorf("confirm position: %w", err)
	}
	reached(StepConfirmed)
	// A crash here leaves nothing undone.

	return try, try.halt()
}

// attempt is one try to commit a batch.
type attempt struct {
	begin time.Time
	// next is the checkpoint if it commits; nil when it did not get that far.
	next *checkpoint.Record
	verdict
}

// admit asks the sink, which knows topics and their limits but not our tables.
func (p *Pipeline) admit(ctx context.Context, m *outbox.Messages, b *outbox.Batch) error {
	if err := p.sink.Admit(ctx, m, b); err != nil {
		return sinkOrRefusal(err)
	}
	for i := range m.Poison {
		if q := &m.Poison[i]; q.Table == "" {
			q.Table, q.ID = p.cfg.Tables[b.Rows[q.Row].Shape.Table], p.mapper.ID(b, q.Row)
		}
	}
	slices.SortStableFunc(m.Poison, func(a, b outbox.Poison) int { return a.Row - b.Row })
	return nil
}

// sinkError marks an error after which the sink alone has to be rebuilt.
type sinkError struct{ error }

func (e sinkError) Unwrap() error { return e.error }

// storeError marks an error of the checkpoint file.
type storeError struct{ error }

func (e storeError) Unwrap() error { return e.error }

func isSinkError(err error) bool {
	var s sinkError
	return errors.As(err, &s)
}

// record is what the checkpoint has to say at r.
func (p *Pipeline) record(r outbox.Resume) *checkpoint.Record {
	rec := &checkpoint.Record{
		Phase:    checkpoint.PhaseStreaming,
		Source:   checkpoint.Source{Kind: p.identity.Kind, Identity: p.identity.ID},
		Cluster:  p.cluster,
		Tables:   p.tables,
		Time:     time.Now().UTC(),
		Tailer:   p.cfg.Version,
		Instance: p.cfg.Instance,
	}
	if p.added != nil {
		rec.SteppedOver = p.added.steppedOver
	}
	rec.SetResume(r)
	return rec
}

// lastCommit is what the checkpoint behind a batch says of the newest
// transaction that is published whole. A batch that halts adds none: it may have
// been cut anywhere.
func (p *Pipeline) lastCommit(b *outbox.Batch, halted bool) (last time.Time) {
	if p.last != nil {
		last = p.last.LastCommit
	}
	n := len(b.Txns)
	if b.Resume.Open != nil {
		n--
	}
	if halted || n <= 0 {
		return last
	}
	return b.Txns[n-1].Commit.UTC()
}

// endWith appends the checkpoint to the messages when it travels inside their
// transaction. It comes last: a partition is written in order.
func (p *Pipeline) endWith(m *outbox.Messages, rec *checkpoint.Record) {
	if p.inTransaction() {
		m.List = append(m.List, p.toTopic(p.cfg.Name, rec.Encode()))
	}
}

// save stores the checkpoint when it does not travel inside the transaction.
func (p *Pipeline) save(ctx context.Context, rec *checkpoint.Record) error {
	switch {
	case p.inTransaction() || p.keepsNothing():
		return nil
	case p.file != nil:
		if err := p.file.Save(ctx, rec.Encode()); err != nil {
			return storeError{err}
		}
		return nil
	default:
		return p.write(ctx, p.cfg.Name, rec.Encode())
	}
}

// inTransaction tells whether the checkpoint is one of the transaction's
// messages.
func (p *Pipeline) inTransaction() bool { return p.cfg.Transactional && p.topic != nil }

// keepsNothing tells that there is no checkpoint at all (stdout, no file).
func (p *Pipeline) keepsNothing() bool { return p.topic == nil && p.file == nil }

// toTopic is a message for the checkpoint topic.
func (p *Pipeline) toTopic(key string, value []byte) outbox.Message {
	return outbox.Message{Topic: p.cfg.CheckpointTopic, Partition: 0, Key: []byte(key), Value: value, Row: -1}
}

// write commits one record to the checkpoint topic, alone.
func (p *Pipeline) write(ctx context.Context, key string, value []byte) error {
	var m outbox.Messages
	m.List = append(m.List, p.toTopic(key, value))
	if err := p.sink.Admit(ctx, &m, nil); err != nil {
		return sinkError{err}
	}
	if len(m.Poison) > 0 {
		return outbox.Refuse("checkpoint_size", "raise max.message.bytes of the checkpoint topic",
			"the checkpoint record does not fit its topic: %s", m.Poison[0].Reason)
	}
	if err := p.sink.Join(ctx, &m); err != nil {
		return sinkError{err}
	}
	if err := p.sink.Produce(ctx, &m); err != nil {
		return sinkError{err}
	}
	if err := p.sink.Commit(ctx); err != nil {
		return sinkError{err}
	}
	return nil
}

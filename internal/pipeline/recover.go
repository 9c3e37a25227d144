package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tailer-io/tailer/internal/checkpoint"
	"github.com/tailer-io/tailer/internal/outbox"
)

// errRival means that another instance of the name fenced us: step back to
// standing by.
var errRival = errors.New("another instance of this name has taken over")

// errDiverged means that the checkpoint is neither what it was before the
// batch in doubt nor what it is after it: read everything again from there.
var errDiverged = errors.New("the checkpoint is not where this process left it; reading again from there")

// publish commits a batch and repairs the sink when it fails, until the batch
// is committed for certain. Every error that comes back ends the session.
func (p *Pipeline) publish(ctx, stop context.Context, b *outbox.Batch) error {
	var retry backoff
	for {
		before := p.last
		try, err := p.commit(ctx, b)
		if !isSinkError(err) {
			return err
		}
		for isSinkError(err) {
			p.fail(err)
			if !retry.wait(stop) {
				return context.Cause(stop)
			}
			var rec *checkpoint.Record
			if rec, err = p.refence(ctx); err != nil {
				continue
			}
			switch {
			case p.keepsNothing() || p.file != nil:
				// Nothing in Kafka tells how far the batch came: all of it
				// goes out again, which is what at-least-once means.
			case rec.SameResume(try.next):
				// It did commit; only the answer was lost.
				p.committed(b, &p.msgs, try)
				p.recoveredSink()
				if err := p.source.Confirm(ctx, try.next.Resume().Position); err != nil {
					return fmt.Errorf("confirm position: %w", err)
				}
				return try.halt()
			case rec.SameResume(before):
				// It did not: the whole batch once more.
			default:
				return errDiverged
			}
			p.recoveredSink()
		}
		if err != nil {
			return err
		}
	}
}

// recoveredSink notes that the sink alone was rebuilt.
func (p *Pipeline) recoveredSink() {
	p.recovered()
	p.restarted("sink")
	p.log.Info("the sink works again")
}

// refence rebuilds the sink: who else may write is settled first, so that a
// process that slept does not fence the one that took over from it.
func (p *Pipeline) refence(ctx context.Context) (*checkpoint.Record, error) {
	if err := p.stillLocked(ctx); err != nil {
		return nil, err
	}
	if p.topic != nil {
		there, err := p.topic.Exists(ctx)
		if err != nil {
			return nil, sinkOrRefusal(err)
		}
		if !there {
			return nil, vanished(p.cfg.CheckpointTopic)
		}
		got, err := p.topic.Newest(ctx, []string{p.barrierKey()}, nil)
		if err != nil {
			return nil, sinkOrRefusal(err)
		}
		if who := barrierInstance(got[p.barrierKey()]); who != p.cfg.Instance {
			p.wroteBarrier = false // counted where errRival arrives
			return nil, fmt.Errorf("%w: %s", errRival, who)
		}
	}
	return p.fence(ctx, p.cfg.TransactionTimeout)
}

// fence makes this process the only writer and reads the checkpoint that is
// final from then on; nil when there is none.
func (p *Pipeline) fence(ctx context.Context, timeout time.Duration) (*checkpoint.Record, error) {
	if err := p.sink.Fence(ctx, timeout); err != nil {
		return nil, sinkOrRefusal(err)
	}
	reached(StepFenced)
	if p.topic == nil {
		return p.load(ctx)
	}
	p.fences++
	value, err := json.Marshal(barrier{Instance: p.cfg.Instance, Fence: p.fences, Time: time.Now().UTC()})
	if err != nil {
		return nil, fmt.Errorf("encode barrier: %w", err)
	}
	if err := p.write(ctx, p.barrierKey(), value); err != nil {
		return nil, err
	}
	p.wroteBarrier = true
	reached(StepBarred)
	got, err := p.topic.Newest(ctx, []string{p.cfg.Name}, &outbox.Barrier{Key: p.barrierKey(), Value: value})
	if err != nil {
		return nil, sinkOrRefusal(err)
	}
	if got[p.cfg.Name] == nil {
		if p.last != nil {
			return nil, vanished(p.cfg.CheckpointTopic)
		}
		return nil, nil
	}
	return checkpoint.Decode(got[p.cfg.Name])
}

// load reads the file's record; nil when there is none or no file.
func (p *Pipeline) load(ctx context.Context) (*checkpoint.Record, error) {
	if p.file == nil {
		return nil, nil
	}
	b, err := p.file.Load(ctx)
	if err != nil || b == nil {
		return nil, err
	}
	return checkpoint.Decode(b)
}

// barrier is the value of a barrier record. No two are equal.
type barrier struct {
	Instance string    `json:"instance"`
	Fence    int       `json:"fence"`
	Time     time.Time `json:"time"`
}

func (p *Pipeline) barrierKey() string { return p.cfg.Name + "/barrier" }

func barrierInstance(value []byte) string {
	var b barrier
	if json.Unmarshal(value, &b) != nil {
		return ""
	}
	return b.Instance
}

func vanished(topic string) error {
	return outbox.Refuse("checkpoint_vanished",
		"find out who deleted it; `tailer checkpoint set POSITION` goes on from a position of the database's log (Postgres: --from-slot, the slot's) and may publish rows twice, `tailer checkpoint reset` starts anew with a snapshot",
		"the checkpoint in topic %s has vanished while this process was using it: which rows are published is not known any more", topic)
}

// sinkOrRefusal marks an error of the sink's side as one, unless an operator
// must decide.
func sinkOrRefusal(err error) error {
	var r *outbox.Refusal
	if errors.As(err, &r) {
		return err
	}
	return sinkError{err}
}

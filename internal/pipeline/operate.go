package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tailer-io/tailer/internal/checkpoint"
	"github.com/tailer-io/tailer/internal/outbox"
)

// The operator's commands on a checkpoint. They take the same steps as a
// start: nothing is written before the lock is held and the name is fenced, so
// a running tailer is never pulled away from under its feet.

// ShowCheckpoint reads the record as it is, nil when there is none. It writes
// nothing, fences nobody and does not need the source.
func (p *Pipeline) ShowCheckpoint(ctx context.Context) (*checkpoint.Record, error) {
	defer p.sink.Close()
	return p.peekSettled(ctx)
}

// peekSettled is peek once the transactions that were open have ended.
func (p *Pipeline) peekSettled(ctx context.Context) (*checkpoint.Record, error) {
	return p.look(ctx, p.settled)
}

// peek reads the record without asking whether it fits. What a tailer that has
// just ended committed last may not be readable yet: see settled, and fence.
func (p *Pipeline) peek(ctx context.Context) (*checkpoint.Record, error) {
	return p.look(ctx, func(context.Context) error { return nil })
}

// look is peek, which waits for something when the topic is there.
func (p *Pipeline) look(ctx context.Context, wait func(context.Context) error) (*checkpoint.Record, error) {
	if err := p.identifyCluster(ctx); err != nil {
		return nil, err
	}
	if p.topic == nil {
		return p.load(ctx)
	}
	there, err := p.topic.Exists(ctx)
	if err != nil || !there {
		return nil, err
	}
	if err := wait(ctx); err != nil {
		return nil, err
	}
	got, err := p.topic.Newest(ctx, []string{p.cfg.Name}, nil)
	if err != nil || got[p.cfg.Name] == nil {
		return nil, err
	}
	return checkpoint.Decode(got[p.cfg.Name])
}

// settlePatience is how long a command waits for transactions that are open. One
// that is committed can be read some milliseconds later; one whose process is
// gone stays open until --kafka-transaction-timeout has passed.
const settlePatience = 5 * time.Second

// settled waits until what a tailer that has just ended committed last can be
// read: the record before it would have the next one publish a batch again.
func (p *Pipeline) settled(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, settlePatience)
	defer cancel()
	err := p.topic.Settled(waiting)
	if err != nil && ctx.Err() == nil && waiting.Err() != nil {
		p.log.Warn("a transaction of this name is open, and may still move the checkpoint; read it again in a while", "topic", p.cfg.CheckpointTopic)
		return nil
	}
	return err
}

// SetCheckpoint makes the next start stream from where at says, and returns
// the record it replaced (nil for none). at is asked once the lock is held;
// what it returns is proven against the server first. A holder of the lock is
// a Refusal that names it.
func (p *Pipeline) SetCheckpoint(ctx context.Context, at func(context.Context) (outbox.Resume, error)) (old *checkpoint.Record, err error) {
	defer p.source.Close()
	defer p.sink.Close()
	if old, err = p.hold(ctx, p.source.Connect); err != nil {
		return nil, err
	}
	if err := p.source.Prepare(ctx); err != nil {
		return nil, fmt.Errorf("prepare the source: %w", err)
	}
	resume, err := at(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.source.Prove(ctx, resume); err != nil {
		return nil, err
	}
	if err := p.replace(ctx, p.record(resume).Encode()); err != nil {
		return nil, err
	}
	return old, nil
}

// ResetCheckpoint forgets the checkpoint and drops the anchor: the next start
// is a first start. It returns the record that was forgotten, nil for none.
func (p *Pipeline) ResetCheckpoint(ctx context.Context) (old *checkpoint.Record, err error) {
	defer p.source.Close()
	defer p.sink.Close()
	if old, err = p.hold(ctx, p.source.Reach); err != nil {
		return nil, err
	}
	// The anchor first: if this ends in between, the next start finds a
	// checkpoint without an anchor and refuses, and reset can be said again.
	if err := p.source.DropAnchor(ctx); err != nil {
		return nil, fmt.Errorf("drop the slot: %w", err)
	}
	if err := p.replace(ctx, nil); err != nil {
		return nil, err
	}
	return old, nil
}

// hold connects, takes the lock and fences, and returns the record that is final
// then; one that cannot be read is nil.
func (p *Pipeline) hold(ctx context.Context, connect func(context.Context) (outbox.Identity, error)) (*checkpoint.Record, error) {
	id, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	p.identity = id
	old, err := p.peek(ctx)
	if err != nil && !isRefusal(err) {
		return nil, err // one that cannot be read may be replaced
	}
	if err := p.takeLock(ctx, old); err != nil {
		return nil, err
	}
	if p.topic == nil {
		return old, nil
	}
	if err := p.idleElsewhere(ctx, old); err != nil {
		return nil, err
	}
	there, err := p.topic.Exists(ctx)
	if err != nil {
		return nil, err
	}
	if !there {
		if err := p.topic.Create(ctx); err != nil {
			return nil, fmt.Errorf("create the checkpoint topic: %w", err)
		}
	}
	rec, err := p.fence(ctx, p.cfg.TransactionTimeout)
	if err != nil && !isRefusal(err) {
		return nil, err
	}
	return rec, nil
}

// lockPatience is how long an operator's command waits for the lock: the server
// may need a moment to notice that a process has ended, and an instance that
// waits after a refusal holds it for a moment whenever it looks again.
const lockPatience = 5 * time.Second

// takeLock takes the name's lock, or says who holds it; rec is the newest
// record, nil for none.
func (p *Pipeline) takeLock(ctx context.Context, rec *checkpoint.Record) error {
	for began := time.Now(); ; {
		held, holder, err := p.source.TryLock(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("take the lock of %s: %w", p.cfg.Name, err)
		case held:
			return nil
		case time.Since(began) >= lockPatience:
			return outbox.Refuse("active", "stop it first", "an instance of %q is active: %s", p.cfg.Name, p.activeNow(ctx, holder, rec))
		case !pause(ctx, lockPatience/50):
			return context.Cause(ctx)
		}
	}
}

// idleElsewhere looks after a record of another database, or of another server or
// branch of history of this one: the lock, which is in ours, says nothing about
// who writes that record. An instance writes one every idleInterval, so one that
// changes while we watch, by our own clock, is a Refusal; old is nil for none.
func (p *Pipeline) idleElsewhere(ctx context.Context, old *checkpoint.Record) error {
	if old == nil {
		return nil
	}
	ours := old.Source == (checkpoint.Source{Kind: p.identity.Kind, Identity: p.identity.ID})
	if ours && strings.HasPrefix(old.Lineage, p.identity.Lineage) || ours && old.Lineage == "" {
		return nil // a source may add to its lineage in a record
	}
	p.log.Info("the checkpoint is of another database or server; looking whether an instance there still writes it",
		"source", string(old.Source.Kind)+" "+old.Source.Identity, "seconds", takeOverAfter.Seconds())
	old, err := p.peekSettled(ctx)
	if err != nil && !isRefusal(err) {
		return err
	}
	if old == nil {
		return nil
	}
	for began := time.Now(); time.Since(began) < takeOverAfter; {
		if !pause(ctx, lockInterval) {
			return context.Cause(ctx)
		}
		now, err := p.peek(ctx)
		if err != nil && !isRefusal(err) {
			return err
		}
		if now != nil && !bytes.Equal(now.Encode(), old.Encode()) {
			return outbox.Refuse("active", "give this one another --name; or stop that one, if its database is given up",
				"an instance of %q is active with another database or server, %s %s: %s", p.cfg.Name, now.Source.Kind, now.Source.Identity,
				p.activeNow(ctx, "as its checkpoint says", now))
		}
	}
	return nil
}

// replace stores a record, or forgets it when value is nil.
func (p *Pipeline) replace(ctx context.Context, value []byte) error {
	if p.topic != nil {
		return p.write(ctx, p.cfg.Name, value)
	}
	if value == nil {
		return p.file.Remove()
	}
	return p.file.Save(ctx, value)
}

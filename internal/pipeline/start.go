package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/tailer-io/tailer/internal/checkpoint"
	"github.com/tailer-io/tailer/internal/outbox"
)

// start brings this process from nothing to the point where streaming may
// begin, and says from where. The order matters: nobody is fenced before it is
// known that the checkpoint is of this database, and nothing is believed that
// was read before fencing.
func (p *Pipeline) start(ctx context.Context) (outbox.Resume, error) {
	p.last, p.tookLock = nil, false
	p.adopt(nil)

	// 1. The configuration is valid: cmd has seen to it (status 2).

	// 2. An ordinary session: who is the server, and has it what we need?
	id, err := p.source.Connect(ctx)
	if err != nil {
		return outbox.Resume{}, err
	}
	p.connected(id)
	p.identity = id
	p.poll(ctx)
	if p.keepsNothing() {
		return p.startFromNow(ctx)
	}

	// 3. The checkpoint, without a producer. A record that does not fit ends
	// the start here, and whoever is active under the name notices nothing.
	rec, err := p.readBefore(ctx)
	if err != nil {
		return outbox.Resume{}, err
	}
	reached(StepRead)

	// 4. The name's lock. Not free: stand by.
	if err := p.lock(ctx); err != nil {
		return outbox.Resume{}, err
	}
	p.tookLock = true
	reached(StepLocked)
	if err := p.ready(ctx, rec); err != nil {
		return outbox.Resume{}, err
	}

	// 5. and 6. Fence, barrier, and the checkpoint that is final.
	rec, err = p.fence(ctx, p.cfg.TransactionTimeout)
	if err != nil {
		return outbox.Resume{}, err
	}
	if rec != nil {
		if err := rec.Fits(p.cfg.Name, p.identity, p.cluster, p.configured); err != nil {
			return outbox.Resume{}, err
		}
		p.adopt(rec)
	}
	p.sinkUp(true)
	if err := p.evictFormer(ctx); err != nil {
		return outbox.Resume{}, err
	}
	p.setActive(true)
	if rec == nil || rec.Phase == checkpoint.PhaseSnapshot {
		rec, err = p.first(ctx, rec)
		if err != nil {
			return outbox.Resume{}, err
		}
	}

	// 7. Does the server's log continue at the checkpoint?
	if rec.Open != nil && rec.Open.Tables != checkpoint.TablesHash(p.tables) {
		return outbox.Resume{}, tablesChanged()
	}
	if err := p.source.Prove(ctx, rec.Resume()); err != nil {
		return outbox.Resume{}, fmt.Errorf("compare the checkpoint with the server: %w", err)
	}
	reached(StepProved)
	p.last = rec
	p.checkpointed(rec)
	p.mayClean()
	p.log.Info("streaming", "position", rec.Position, "source", id.ID, "server_version", id.Version)

	// 8. Stream.
	return rec.Resume(), nil
}

// tablesChanged refuses a count of rows that was made for other tables.
func tablesChanged() error {
	return outbox.Refuse(checkpoint.ReasonTables, "configure the same tables until that transaction is through",
		"the checkpoint stands inside a transaction whose rows were counted for other tables")
}

// startFromNow is the start of stdout without a file: nothing is read and
// nothing kept.
func (p *Pipeline) startFromNow(ctx context.Context) (outbox.Resume, error) {
	if err := p.source.Prepare(ctx); err != nil {
		return outbox.Resume{}, err
	}
	if err := p.sink.Fence(ctx, p.cfg.TransactionTimeout); err != nil {
		return outbox.Resume{}, sinkError{err}
	}
	p.sinkUp(true)
	p.setActive(true)
	p.log.Info("streaming from now on; nothing is kept for a restart")
	return outbox.Resume{}, nil
}

// readBefore reads the checkpoint without a producer: nil when there is none. One
// that does not fit may be the one before the last: a command that has just
// replaced it ends before its transaction can be read. So it is refused only when
// it is still there behind the transactions that were open.
func (p *Pipeline) readBefore(ctx context.Context) (*checkpoint.Record, error) {
	rec, err := p.readOnce(ctx)
	if !isRefusal(err) || p.topic == nil {
		return rec, err
	}
	if err := p.settled(ctx); err != nil {
		return nil, sinkOrRefusal(fmt.Errorf("wait for open transactions: %w", err))
	}
	return p.readOnce(ctx)
}

func (p *Pipeline) readOnce(ctx context.Context) (*checkpoint.Record, error) {
	if err := p.identifyCluster(ctx); err != nil {
		return nil, err
	}
	if p.file != nil {
		rec, err := p.load(ctx)
		return p.fitting(rec, err)
	}
	there, err := p.topic.Exists(ctx)
	if err != nil {
		return nil, sinkOrRefusal(fmt.Errorf("look for the checkpoint topic: %w", err))
	}
	if !there {
		return nil, nil
	}
	got, err := p.topic.Newest(ctx, []string{p.cfg.Name}, nil)
	if err != nil {
		return nil, sinkOrRefusal(fmt.Errorf("read the checkpoint: %w", err))
	}
	if got[p.cfg.Name] == nil {
		return nil, nil
	}
	rec, err := checkpoint.Decode(got[p.cfg.Name])
	return p.fitting(rec, err)
}

// identifyCluster asks which Kafka cluster the checkpoint has to be of.
func (p *Pipeline) identifyCluster(ctx context.Context) error {
	if p.cfg.Cluster == nil {
		return nil
	}
	cluster, err := p.cfg.Cluster.Identity(ctx)
	if err != nil {
		return sinkOrRefusal(fmt.Errorf("connect to Kafka: %w", err))
	}
	p.cluster = cluster
	return nil
}

func (p *Pipeline) fitting(rec *checkpoint.Record, err error) (*checkpoint.Record, error) {
	if rec == nil || err != nil {
		return nil, err
	}
	return rec, rec.Fits(p.cfg.Name, p.identity, p.cluster, p.configured)
}

// ready makes sure, with the lock held and before fencing, that a first start
// is allowed when there is no record, and that the checkpoint topic is there.
func (p *Pipeline) ready(ctx context.Context, rec *checkpoint.Record) error {
	if rec == nil {
		// It may have been written while we stood by.
		var err error
		if rec, err = p.readBefore(ctx); err != nil {
			return err
		}
	}
	if rec == nil {
		if err := p.allowFirst(ctx, nil); err != nil {
			return err
		}
	}
	if p.topic == nil {
		return nil
	}
	there, err := p.topic.Exists(ctx)
	if err != nil {
		return sinkOrRefusal(fmt.Errorf("look for the checkpoint topic: %w", err))
	}
	if there {
		return nil
	}
	if !p.cfg.CreateTopics {
		return &outbox.Invalid{Option: "create-topics", Text: "is false, and the checkpoint topic " + p.cfg.CheckpointTopic + " does not exist",
			Hint: "`tailer setup --print` shows how to create it"}
	}
	if err := p.topic.Create(ctx); err != nil {
		return sinkOrRefusal(fmt.Errorf("create the checkpoint topic: %w", err))
	}
	return nil
}

// isRefusal tells whether an operator must decide.
func isRefusal(err error) bool {
	var r *outbox.Refusal
	return errors.As(err, &r)
}

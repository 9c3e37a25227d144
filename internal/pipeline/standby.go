package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tailer-io/tailer/internal/checkpoint"
)

const lockInterval = time.Second

// locker is a Store that only one process may use; checkpoint.File is one.
type locker interface{ Lock() error }

// lock takes the name's lock, standing by until it is free. When the holder
// keeps the lock but writes no checkpoint for three idle intervals (its host
// is gone, or it sleeps), lock returns with force set: the start goes on to
// fence it, and then ends its sessions.
func (p *Pipeline) lock(ctx context.Context) error {
	p.force = false
	var seen staleness
	logged := ""
	for {
		held, holder, err := p.source.TryLock(ctx)
		if err != nil {
			return fmt.Errorf("take the lock of %s: %w", p.cfg.Name, err)
		}
		if l, ok := p.file.(locker); held && ok {
			err := l.Lock()
			if err != nil && !errors.Is(err, checkpoint.ErrInUse) {
				return storeError{err} // it is not there, or not ours: nobody else is active for that
			}
			if err != nil {
				held, holder = false, err.Error()
			}
		}
		if held {
			return nil
		}
		if holder != logged {
			p.log.Info("standing by: another instance of this name is active", "holder", holder)
			logged = holder
		}
		p.setState(Standby, "active is "+holder)
		p.turned()
		if p.topic == nil {
			p.sinkUp(true) // nothing of the sink is needed to stand by
		} else {
			stale, err := p.observe(ctx, &seen)
			if err != nil {
				return err
			}
			if stale && p.cfg.Transactional { // without fencing there is the lock only
				p.log.Warn("the active instance holds the lock but has written no checkpoint; taking over", "holder", holder, "after", takeOverAfter)
				p.force = true
				return nil
			}
		}
		if time.Since(p.lastPoll()) > watchInterval {
			p.poll(ctx)
		}
		if !pause(ctx, lockInterval) {
			return context.Cause(ctx)
		}
	}
}

// staleness is for how long the newest record has been seen to stay the same, by
// our own clock and only while it can be read: an outage of Kafka is not the
// holder's fault, and clocks of two hosts are not compared.
type staleness struct {
	record []byte
	silent time.Duration
	looked time.Time // when it was read last
}

// maxLookGap is how much of the time between two looks counts. More went by
// where this process, or the machine that it shares with the holder, was held
// up itself.
const maxLookGap = 3 * time.Second

// note takes the newest record as it was read at a moment, and says for how
// long there has been no other.
func (s *staleness) note(record []byte, now time.Time) time.Duration {
	if s.looked.IsZero() || !bytes.Equal(record, s.record) {
		s.record, s.silent = bytes.Clone(record), 0
	} else {
		s.silent += min(now.Sub(s.looked), maxLookGap)
	}
	s.looked = now
	return s.silent
}

func (p *Pipeline) observe(ctx context.Context, s *staleness) (bool, error) {
	there, err := p.topic.Exists(ctx)
	if err != nil {
		return false, sinkOrRefusal(fmt.Errorf("look for the checkpoint topic: %w", err))
	}
	p.sinkUp(true)
	if !there {
		return false, nil // the holder is in its first start
	}
	got, err := p.topic.Newest(ctx, []string{p.cfg.Name, p.barrierKey()}, nil)
	if err != nil {
		return false, sinkOrRefusal(fmt.Errorf("read the checkpoint: %w", err))
	}
	p.succeeded(barrierInstance(got[p.barrierKey()]))
	now := got[p.cfg.Name]
	silent := s.note(now, time.Now())
	// Without any record the holder may be in its first start, waiting for
	// old transactions: it has nothing to write yet.
	if now == nil {
		return false, nil
	}
	rec, err := checkpoint.Decode(now)
	if err != nil {
		return false, err
	}
	if err := rec.Fits(p.cfg.Name, p.identity, p.cluster, p.configured); err != nil {
		return false, err
	}
	p.observed(rec)
	if rec.Phase == checkpoint.PhaseSnapshot {
		return false, nil
	}
	return silent > takeOverAfter, nil
}

// succeeded counts that another instance has taken the place of this one, as
// the newest barrier says: once for each time that this one was active. A
// process that slept notices only that its session to the database is gone,
// and that may be anything; the holder of the lock may be its own session that
// the server has not given up yet.
func (p *Pipeline) succeeded(by string) {
	if !p.wroteBarrier || by == p.cfg.Instance {
		return
	}
	p.wroteBarrier = false
	p.restarted("rival")
	p.log.Warn("another instance of this name has taken over", "instance", by)
}

// evictFormer ends the sessions of a holder that was fenced because it showed
// no life, and takes the lock. Fenced first: whatever it still does cannot
// commit.
func (p *Pipeline) evictFormer(ctx context.Context) error {
	if !p.force {
		return nil
	}
	if err := p.source.Evict(ctx); err != nil {
		return fmt.Errorf("end the sessions of the former instance: %w", err)
	}
	held, holder, err := p.source.TryLock(ctx)
	if err != nil {
		return fmt.Errorf("take the lock of %s: %w", p.cfg.Name, err)
	}
	if !held {
		return fmt.Errorf("%w: %s", errRival, holder)
	}
	p.force = false
	return nil
}

package check

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Sampler watches whether the position confirmed to the database ever led the checkpoint. Confirming first and
// committing afterwards loses rows only when a crash falls into the gap between, so it has to be caught while
// everything goes well.
//
// One sample: ask the database what is confirmed, then the coordinator for the state of the transaction, then the
// checkpoint topic for its end, and compare with the newest committed record below it.
//
// The end is the last stable offset, except while a commit is under way: it is answered before its markers are
// written, so what was confirmed in that moment is rightly confirmed. Then it is the high watermark, and the
// sample waits until every transaction below is decided. In every other state the markers of all earlier
// transactions are written: the coordinator lets none begin before.
type Sampler struct {
	client    *kgo.Client
	admin     *kadm.Client
	topic     string
	name      string
	txn       string
	confirmed Confirmed
	compare   func(a, b string) (int, error)

	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex // guards all below
	samples int
	led     []string
	failed  error
}

// Confirmed asks the database which position it was told; ok is false when there is none yet.
type Confirmed func(ctx context.Context) (position string, ok bool, err error)

// StartSampler begins to sample the checkpoint that a tailer keeps in a topic under its name, written by the
// transactional id txn; compare orders two positions of its source.
func StartSampler(ctx context.Context, brokers, topic, name, txn string, confirmed Confirmed,
	compare func(a, b string) (int, error)) (*Sampler, error) {

	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.FetchMaxWait(50*time.Millisecond),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}),
	)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &Sampler{client: client, admin: kadm.NewClient(client), topic: topic, name: name, txn: txn, confirmed: confirmed,
		compare: compare, cancel: cancel, done: make(chan struct{})}
	go s.run(ctx)
	return s, nil
}

// Stop ends the sampling and returns how many samples compared two positions, and those in which the database
// was ahead.
func (s *Sampler) Stop() (samples int, led []string, err error) {
	s.cancel()
	<-s.done
	s.client.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.samples, s.led, s.failed
}

func (s *Sampler) run(ctx context.Context) {
	defer close(s.done)
	var next int64 // the first offset not read yet
	var newest string
	for ctx.Err() == nil {
		position, ok, err := s.confirmed(ctx)
		if err != nil {
			s.fail(ctx, fmt.Errorf("read the confirmed position: %w", err))
			return
		}
		isolation := Committed
		if described, err := s.admin.DescribeTransactions(ctx, s.txn); err != nil || s.committing(described) {
			isolation = Uncommitted
		}
		marks, err := ends(ctx, s.admin, isolation, s.topic)
		if mark, exists := marks.Lookup(s.topic, 0); ok && err == nil && exists && mark.Err == nil {
			if next, newest, err = s.readTo(ctx, mark.Offset, next, newest); err != nil {
				s.fail(ctx, err)
				return
			}
			s.judge(position, newest)
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// committing reports whether markers of a transaction may be still to come. An unknown state counts as one.
func (s *Sampler) committing(described kadm.DescribedTransactions) bool {
	d, err := described.On(s.txn, nil)
	if err != nil {
		return true
	}
	switch d.State {
	case "Empty", "Ongoing", "CompleteCommit", "CompleteAbort":
		return false
	}
	return true
}

// readTo reads committed records up to the mark and returns the position of the newest one of this name.
func (s *Sampler) readTo(ctx context.Context, mark, next int64, newest string) (int64, string, error) {
	for next < mark {
		fetches := s.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return next, newest, nil
		}
		var bad error
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset >= next {
				next = r.Offset + 1
			}
			if r.Attrs.IsControl() || string(r.Key) != s.name {
				return
			}
			var record struct{ Position string }
			if r.Value != nil {
				if err := json.Unmarshal(r.Value, &record); err != nil {
					bad = fmt.Errorf("checkpoint at offset %d: %w", r.Offset, err)
				}
			}
			newest = record.Position
		})
		if bad != nil {
			return next, newest, bad
		}
	}
	return next, newest, nil
}

// judge compares one pair. A name without a position is in its first start: the slot is made before there is
// anything to record.
func (s *Sampler) judge(confirmed, newest string) {
	if newest == "" {
		return
	}
	order, err := s.compare(confirmed, newest)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failed = err
		return
	}
	s.samples++
	if order > 0 {
		s.led = append(s.led, fmt.Sprintf("confirmed %s, checkpoint %s", confirmed, newest))
	}
}

func (s *Sampler) fail(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // Being stopped is no failure.
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = err
}

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/tailer-io/tailer/e2e/bench/relay"
	"github.com/tailer-io/tailer/e2e/bench/verify"
)

const (
	// quiet is for how long nothing must have been appended before the topics are read back: reading during a run
	// takes processor time from it.
	quiet = 500 * time.Millisecond
	// patience is for how long nothing may arrive before a run is called wrong.
	patience = 30 * time.Second
)

// drained waits until all events of the backlog are there and returns them; wrong says why they are not what they
// should be.
func (w *world) drained(ctx context.Context, i relay.Instance, exactlyOnce bool) (tally *verify.Tally, wrong, err error) {
	changed, last := time.Now(), int64(-1)
	tried := int64(-1) // what was appended when the topics were read back
	for {
		asked := time.Now()
		n, err := w.appended(ctx, w.topics)
		if err != nil {
			return nil, nil, err
		}
		if n != last {
			changed, last = time.Now(), n
		}
		idle := time.Since(changed)
		if n-w.before >= int64(w.backlog.Events) && idle > quiet && n != tried {
			if tally, err = w.read(ctx); err != nil {
				return nil, nil, err
			}
			tried = n
			// A relay that appends several times in all of it is not at its end because it has paused.
			if wrong = tally.Wrong(exactlyOnce); wrong == nil {
				return tally, nil, nil
			}
		}
		if err := i.Failed(); err != nil {
			return nil, err, nil
		}
		if idle > patience {
			if wrong == nil {
				wrong = fmt.Errorf("nothing arrived for %v, %d records and control records in all", patience, n-w.before)
			}
			return tally, wrong, nil
		}
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		// With thousands of partitions asking is work for the broker.
		case <-time.After(max(50*time.Millisecond, 20*time.Since(asked))):
		}
	}
}

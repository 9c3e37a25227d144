package outbox

import (
	"context"
	"sync"
	"time"
)

// Handoff passes batches from the one goroutine that reads to the one that
// publishes. It owns a fixed number of batches, so memory is bounded and a
// slow publisher pushes back on the reader.
//
// The reader appends to a batch it acquired. At a commit it lets the batch
// rest: from then on the publisher may take it at any moment, and if it has
// not done so when the reader wants to append again, the reader gets the same
// batch back. So a free publisher takes whatever whole transactions are there
// at once, and a busy one finds them gathered in one batch. A full batch is
// pushed. While the log is being caught up with, a free publisher waits a moment
// for a full one: see patience.
//
//	reader:     Acquire -> append ... -> Rest            (at a commit)
//	                                  -> Push            (full, or cut)
//	publisher:  Take -> ... -> Recycle
type Handoff struct {
	limits Limits

	mu      sync.Mutex // guards all below
	free    []*Batch
	queue   []*Batch // full ones, oldest first
	resting *Batch   // ends on a commit; nil while the reader appends or when taken
	resume  Resume   // what the last batch handed over or at rest ended with
	closed  error
	opened  bool      // the log is being read
	heard   time.Time // when the reader last showed that it is alive
	blocked int       // the reader waits for a free batch, or for room
	n       int       // how many batches there are
	handed  int       // bytes of batches pushed or taken, and not recycled
	taken   time.Time // when the last batch with rows was taken
	patient bool      // the publisher waits for a full batch, and not for one at rest

	wakeReader    chan struct{}
	wakePublisher chan struct{}
}

// NewHandoff makes a Handoff of n batches (at least 2; 3 let reading go on
// while one batch commits and another waits), whose first batch follows start.
func NewHandoff(n int, limits Limits, start Resume) *Handoff {
	h := &Handoff{
		limits:        limits,
		resume:        start,
		heard:         time.Now(),
		n:             n,
		wakeReader:    make(chan struct{}, 1),
		wakePublisher: make(chan struct{}, 1),
	}
	for range n {
		h.free = append(h.free, new(Batch))
	}
	return h
}

// Limits tells the reader when a batch is full.
func (h *Handoff) Limits() Limits { return h.limits }

// Acquire gives the reader the batch to append to: the one at rest, or an
// empty one whose Start is set. It waits while the publisher has them all, and
// returns the context's cause or what Close was given.
func (h *Handoff) Acquire(ctx context.Context) (*Batch, error) {
	h.mu.Lock()
	for {
		if h.closed != nil {
			defer h.mu.Unlock()
			return nil, h.closed
		}
		if b := h.resting; b != nil {
			h.resting = nil
			h.mu.Unlock()
			return b, nil
		}
		if b := h.takeFree(); b != nil {
			h.mu.Unlock()
			return b, nil
		}
		if err := h.wait(ctx); err != nil {
			h.mu.Unlock()
			return nil, err
		}
	}
}

// wait gives the lock up until the publisher may have got on. h.mu is held, and
// held again when it returns; the error is the context's cause.
func (h *Handoff) wait(ctx context.Context) (err error) {
	h.blocked++
	h.mu.Unlock()
	select {
	case <-h.wakeReader:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	h.mu.Lock()
	h.blocked--
	h.heard = time.Now()
	return err
}

// Crowded tells that rows far larger than a batch are being published: more
// bytes than all batches together should have. The reader then lets go of what
// it holds and waits for Room before it reads on, so that a large row is in
// memory once for the reader or once for the publisher, not for both.
func (h *Handoff) Crowded() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.crowded()
}

func (h *Handoff) crowded() bool { return h.handed > h.n*h.limits.Bytes }

// Room waits until it is not Crowded any more. It returns the context's cause
// or what Close was given.
func (h *Handoff) Room(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.crowded() {
		if h.closed != nil {
			return h.closed
		}
		if err := h.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// takeFree returns an empty batch or nil. h.mu is held.
func (h *Handoff) takeFree() *Batch {
	n := len(h.free)
	if n == 0 {
		return nil
	}
	b := h.free[n-1]
	h.free = h.free[:n-1]
	b.Start, b.Resume = h.resume, h.resume
	return b
}

// Rest leaves the batch, which ends on a commit and has its Resume set, for
// the publisher to take or for Acquire to give back.
func (h *Handoff) Rest(b *Batch) {
	h.mu.Lock()
	h.resting, h.resume = b, b.Resume
	patient := h.patient && b.patience() > 0
	h.mu.Unlock()
	if !patient {
		wake(h.wakePublisher)
	}
}

// Push hands over a batch that is full or cut; the next Acquire gives another
// one. It never blocks: Acquire does.
func (h *Handoff) Push(b *Batch) {
	h.mu.Lock()
	h.queue, h.resume = append(h.queue, b), b.Resume
	h.hand(b)
	h.mu.Unlock()
	wake(h.wakePublisher)
}

// hand counts a batch that goes to the publisher. h.mu is held.
func (h *Handoff) hand(b *Batch) {
	b.handed = b.Bytes()
	h.handed += b.handed
}

// Advance says that the log holds no outbox row up to r, outside a
// transaction: the batch at rest ends there now. urgent asks for a checkpoint
// soon. Without a free batch nothing happens; the next call will say it again.
// Only the reader calls it, and only while it holds no batch.
func (h *Handoff) Advance(r Resume, urgent bool) {
	h.mu.Lock()
	if h.resting == nil {
		h.resting = h.takeFree()
	}
	b := h.resting
	if b != nil {
		b.Resume, h.resume = r, r
		b.Urgent = b.Urgent || urgent
	}
	h.heard = time.Now()
	h.mu.Unlock()
	if b != nil && urgent {
		wake(h.wakePublisher)
	}
}

// Open notes that the log is being read from now on: whatever is committed
// from here on will come.
func (h *Handoff) Open() {
	h.mu.Lock()
	h.opened, h.heard = true, time.Now()
	h.mu.Unlock()
}

// Opened tells whether the log is being read.
func (h *Handoff) Opened() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.opened
}

// Heard notes that the reader is alive although it has nothing to hand over.
func (h *Handoff) Heard() {
	h.mu.Lock()
	h.heard = time.Now()
	h.mu.Unlock()
}

// LastHeard is when the reader last showed that it is alive: now, while it
// waits for the publisher.
func (h *Handoff) LastHeard() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.blocked > 0 {
		return time.Now()
	}
	return h.heard
}

// ReadUpTo is what the last batch handed over or at rest ends with.
func (h *Handoff) ReadUpTo() Resume {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.resume
}

// Oldest is the commit time of the oldest row that waits for the publisher;
// zero when none does.
func (h *Handoff) Oldest() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, b := range h.queue {
		if t := b.Oldest(); !t.IsZero() {
			return t
		}
	}
	if h.resting != nil {
		return h.resting.Oldest()
	}
	return time.Time{}
}

// InFlight is the size of all batches that are not empty, in bytes, as far as
// the publisher can know it.
func (h *Handoff) InFlight() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, b := range h.queue {
		n += b.Bytes()
	}
	if h.resting != nil {
		n += h.resting.Bytes()
	}
	return n
}

// A batch's fixed cost is spread over its rows, so a publisher that has much to
// catch up with waits for a full batch: for a sixteenth of how far it is behind,
// which nobody notices, and no longer than patienceAtMost. Less than patienceFrom
// is not worth a timer.
const (
	patiencePart   = 16
	patienceFrom   = time.Millisecond
	patienceAtMost = 100 * time.Millisecond
)

// patience is how long the publisher may wait for the batch to fill.
func (b *Batch) patience() time.Duration {
	if d := min(b.Behind/patiencePart, patienceAtMost); d >= patienceFrom {
		return d
	}
	return 0
}

// Take gives the publisher the oldest batch: one pushed, else the one at rest
// if it has rows or is urgent. One whose source is behind is left to grow until
// it is full, or until its patience, which began with the batch before, is over.
// At the deadline (idle in the future, zero for never) it gives the one at rest
// even if it has no rows, or nil if there is none: time for an idle checkpoint.
// It returns the context's cause, or what Close was given once every batch has
// been taken.
func (h *Handoff) Take(ctx context.Context, idle time.Time) (*Batch, error) {
	var deadline, patience <-chan time.Time
	if !idle.IsZero() {
		t := time.NewTimer(time.Until(idle))
		defer t.Stop()
		deadline = t.C
	}
	due := false
	for {
		h.mu.Lock()
		h.patient = false
		switch {
		case len(h.queue) > 0:
			b := h.queue[0]
			h.queue = append(h.queue[:0], h.queue[1:]...)
			h.taken = time.Now()
			h.mu.Unlock()
			return b, nil
		case h.resting != nil && (due || h.closed != nil || h.resting.Urgent || len(h.resting.Rows) > 0):
			b := h.resting
			wait := b.patience() - time.Since(h.taken)
			if wait > 0 && !due && h.closed == nil && !b.Urgent {
				h.patient = true
				t := time.NewTimer(wait)
				defer t.Stop()
				patience = t.C
				break
			}
			h.resting = nil
			h.hand(b)
			if len(b.Rows) > 0 {
				h.taken = time.Now()
			}
			h.mu.Unlock()
			return b, nil
		case h.closed != nil:
			defer h.mu.Unlock()
			return nil, h.closed
		case due:
			h.mu.Unlock()
			return nil, nil
		}
		h.mu.Unlock()
		select {
		case <-h.wakePublisher:
		case <-patience:
		case <-deadline:
			due = true
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Recycle gives a batch back that was committed and confirmed. Nothing of it
// may be used afterwards.
func (h *Handoff) Recycle(b *Batch) {
	b.Reset(2 * h.limits.Bytes)
	h.mu.Lock()
	h.handed, b.handed = h.handed-b.handed, 0
	h.free = append(h.free, b)
	h.mu.Unlock()
	wake(h.wakeReader)
}

// Close ends the hand-over: the publisher still gets what was handed over,
// then err. The reader gets err at once.
func (h *Handoff) Close(err error) {
	h.mu.Lock()
	if h.closed == nil {
		h.closed = err
	}
	h.mu.Unlock()
	wake(h.wakeReader)
	wake(h.wakePublisher)
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

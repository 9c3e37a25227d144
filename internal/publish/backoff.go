package publish

import (
	"context"
	"errors"
	"time"
)

var errGaveUp = errors.New("gave up waiting")

// backoff waits ever longer between two questions.
type backoff struct {
	next, most time.Duration
	deadline   time.Time
}

// newBackoff waits first, then a quarter longer each time up to most, and
// gives up after limit. Doubling would overshoot: what is waited for here takes
// a millisecond or two, or some tens on a busy broker.
func newBackoff(first, most, limit time.Duration) *backoff {
	return &backoff{next: first, most: most, deadline: time.Now().Add(limit)}
}

// wait returns errGaveUp after the limit, or the context's cause.
func (b *backoff) wait(ctx context.Context) error {
	if time.Now().After(b.deadline) {
		return errGaveUp
	}
	t := time.NewTimer(b.next)
	defer t.Stop()
	b.next = min(b.next+b.next/4, b.most)
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

package pipeline

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	backoffFirst = 50 * time.Millisecond
	backoffMost  = 3 * time.Second
)

// backoff spaces retries: doubling, capped, and jittered so that instances do
// not come back all at once. The zero value is ready.
type backoff struct{ last time.Duration }

// wait pauses before the next try; false means that ctx ended.
func (b *backoff) wait(ctx context.Context) bool {
	b.last = min(max(2*b.last, backoffFirst), backoffMost)
	return pause(ctx, b.last/2+rand.N(b.last/2))
}

func (b *backoff) reset() { b.last = 0 }

package publish

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

const (
	// dialTimeout bounds the making of a TCP connection.
	dialTimeout = 5 * time.Second
	// answerTimeout bounds a question and its answer, the connection included
	// when there is none yet. A leader that waits for its in-sync replicas says
	// so after ackTimeout, and a coordinator that lost one learns of it after
	// the brokers' session timeout (9 s): the answer comes behind both.
	answerTimeout = 15 * time.Second
	// nextAfter is how long one broker may think about a question that any
	// other could answer from memory as well, before another is asked too.
	nextAfter = time.Second
	// slowest is a network that still counts as one, in bytes a second: large
	// requests and answers get the time that it takes to carry them, up to
	// ioTimeout.
	slowest = 256 << 10
	// ioTimeout bounds one read or write of sarama's, whatever the size.
	ioTimeout = 30 * time.Second
	// unheard bounds how long the kernel waits for a peer's acknowledgement of
	// what was sent, keepalive probes included: a host that vanished is known
	// sooner than a broker that is slow to answer.
	unheard = 10 * time.Second
)

// errSilent says that an answer did not come in time. Whether the broker did
// what it was asked is unknown.
var errSilent = errors.New("no answer")

// patience is how long a question of that many bytes, or with an answer of as
// many, may take.
func (c *cluster) patience(bytes int) time.Duration {
	carry := time.Duration(bytes) * time.Second / slowest
	return max(c.answer, min(c.answer+carry, ioTimeout))
}

// within bounds ctx for a question; its cause is errSilent when the time is up.
func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("%w within %v", errSilent, d))
}

// silent tells an error that a peer's silence is from one that it caused.
func silent(err error) bool {
	var late net.Error
	return errors.Is(err, errSilent) || errors.As(err, &late) && late.Timeout()
}

// suspect closes every connection on which nothing was heard since then. What
// made one broker fall silent, a router that forgot its connections or a
// network that is gone, has most likely done it to the others; each would
// cost its own wait otherwise.
func (c *cluster) suspect(since time.Time) {
	for _, n := range c.all() {
		if n.link != nil && n.link.heard.Before(since) {
			n.close()
		}
	}
}

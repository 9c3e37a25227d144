package publish

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

// reply is what one broker had to say.
type reply[T any] struct {
	node *node
	resp T
	err  error
}

// anyNode runs one request on whichever broker answers: it asks one after the
// other, the next as soon as one fails or is silent for a moment, and takes
// the first answer. Brokers that say nothing cost no more than answerTimeout
// together. The request has to be one that may be asked twice.
func anyNode[T any](ctx context.Context, c *cluster, step string, f func(*sarama.Broker) (T, error)) (T, *node, error) {
	var zero T
	bounded, cancel := within(ctx, c.answer)
	replies := make(chan reply[T])
	nodes := c.all()
	begin, worked := time.Now(), false
	asked, left := 0, 0
	// Each goroutine has its node to itself, and is awaited.
	ask := func() {
		if asked < len(nodes) {
			n := nodes[asked]
			asked, left = asked+1, left+1
			go func() {
				resp, err := exchange(bounded, c, n, f)
				replies <- reply[T]{n, resp, err}
			}()
		}
	}
	var first *reply[T]
	var errs []error
	next := time.NewTimer(c.next)
	defer next.Stop()
	for ask(); left > 0; {
		select {
		case r := <-replies:
			left--
			worked = worked || r.node.isOpen()
			switch {
			case r.err == nil && first == nil:
				first = &r
				cancel() // the others' connections with it: they are slow at best
			case r.err != nil && first == nil:
				errs = append(errs, fmt.Errorf("%s: %w", r.node.addr, r.err))
				if bounded.Err() == nil {
					ask()
				}
			}
		case <-next.C:
			if first == nil && bounded.Err() == nil {
				ask()
			}
			next.Reset(c.next)
		}
	}
	late := silent(context.Cause(bounded))
	cancel()
	c.worked = c.worked || worked
	if late {
		c.suspect(begin)
	}
	switch {
	case first != nil:
		return first.resp, first.node, nil
	case ctx.Err() != nil:
		return zero, nil, fmt.Errorf("%s: %w", step, context.Cause(ctx))
	}
	return zero, nil, fmt.Errorf("%s: no broker answers: %w", step, failures(errs))
}

// failures are what the brokers failed with, as one error in one line, and each
// once: a broker that is asked first is mostly one that the cluster lists, too.
type failures []error

func (a failures) Error() string {
	var texts []string
	for _, err := range a {
		if t := err.Error(); !slices.Contains(texts, t) {
			texts = append(texts, t)
		}
	}
	return strings.Join(texts, "; ")
}

func (a failures) Unwrap() []error { return a }

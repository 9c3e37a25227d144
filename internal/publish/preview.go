package publish

import (
	"context"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Illegal says why no topic can take a message, whatever its settings: because
// of the topic's name, or of the time. "" when one can.
func Illegal(msg *outbox.Message) (reason string) {
	if reason, ok := legalTopic(msg.Topic); !ok {
		return reason
	}
	return unstorable(msg)
}

// Preview does for one message what Admit does, and creates nothing: it puts
// the partition into the message, and says why it is poison, if it is. exists
// is false when there is no such topic yet, of which nothing is known.
func (k *Kafka) Preview(ctx context.Context, msg *outbox.Message) (exists bool, reason string, err error) {
	if reason := Illegal(msg); reason != "" {
		return false, reason, nil
	}
	t, seen := k.topics[msg.Topic]
	if !seen {
		if t, err = k.look(ctx, msg.Topic); err != nil {
			if reason := refusedFor(msg.Topic, err); reason != "" {
				return false, reason, nil
			}
			return false, "", fmt.Errorf("look up topic %s: %w", msg.Topic, err)
		}
		k.topics[msg.Topic] = t // nil: it does not exist
	}
	if t == nil {
		return false, "", nil
	}
	reason, err = k.admit(ctx, msg, time.Now())
	return true, reason, err
}

// look takes a topic over as it is; nil when there is none.
func (k *Kafka) look(ctx context.Context, name string) (*topic, error) {
	found, err := k.cluster.metadata(ctx, name)
	if err != nil {
		return nil, err
	}
	err = knownTopic(found[name])
	switch {
	case isCode(err, sarama.ErrUnknownTopicOrPartition):
		return nil, nil
	case err != nil && !isCode(err, sarama.ErrLeaderNotAvailable):
		return nil, err
	}
	t := k.take(found[name])
	return t, k.readLimits(ctx, t)
}

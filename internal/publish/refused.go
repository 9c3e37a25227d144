package publish

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

const (
	// limitsTrusted is how old what is known of a topic may be when a row is
	// called poison for it: what an operator mends is noticed at once.
	limitsTrusted = time.Second
	// maxRefused bounds how many refused names are remembered: they come from
	// rows.
	maxRefused = 1024
)

// refused is why there is no topic of a name, for us.
type refused struct {
	reason string
	at     time.Time
}

// target finds the topic of a message, or creates it where that is allowed;
// reason says why it takes nothing from us, ever: its name is illegal or is
// refused by the brokers, or we are not authorised. Whatever may pass by itself
// is an error.
func (k *Kafka) target(ctx context.Context, name string) (t *topic, reason string, err error) {
	t = k.find(name)
	if t != nil && !t.gone {
		return t, k.deniedNow(ctx, t), nil
	}
	if reason, ok := legalTopic(name); !ok {
		return nil, reason, nil
	}
	if r, ok := k.refused[name]; ok && time.Since(r.at) < limitsTrusted {
		return nil, r.reason, nil
	}
	create := k.cfg.CreateTopics && name != k.cfg.CheckpointTopic
	if t, err = k.need(ctx, name, create); err != nil {
		if reason = refusedFor(name, err); reason == "" {
			return nil, "", err
		}
		if len(k.refused) >= maxRefused {
			clear(k.refused)
		}
		k.refused[name] = refused{reason, time.Now()}
		return nil, reason, nil
	}
	return t, k.deniedNow(ctx, t), nil
}

// refusedFor says why the brokers refuse a topic; "" for an error that may
// pass.
func refusedFor(name string, err error) string {
	var e *brokerError
	switch {
	case isCode(err, sarama.ErrTopicAuthorizationFailed), isCode(err, sarama.ErrClusterAuthorizationFailed):
		return fmt.Sprintf("topic %s is refused: this user is not authorised for it, or not to create it (tailer setup --print lists the rights)", name)
	case isCode(err, sarama.ErrInvalidTopic) && errors.As(err, &e):
		return fmt.Sprintf("topic %s is refused by the brokers: %s", name, e.text)
	}
	return ""
}

// deniedNow says why a topic that exists takes nothing from us; "" when it
// does. It looks again if what is known is old.
func (k *Kafka) deniedNow(ctx context.Context, t *topic) string {
	if t.denied.IsZero() {
		return ""
	}
	if time.Since(t.looked) > limitsTrusted {
		found, err := k.cluster.metadata(ctx, t.name)
		if meta := found[t.name]; err == nil && meta != nil && meta.Err == sarama.ErrNoError {
			k.take(meta)
		}
		if t.looked = time.Now(); t.denied.IsZero() {
			return ""
		}
	}
	return fmt.Sprintf("topic %s is refused: this user is not authorised to write to it (tailer setup --print lists the rights)", t.name)
}

// mayWrite is the bit of Write among authorised operations (KIP-430, AclOperation).
const mayWrite = 1 << 4

// allowed notes whether we may write to a topic, where the broker says so.
// Without that, what a request was told holds until the next refresh, and is
// tried again then.
func (k *Kafka) allowed(t *topic, meta *sarama.TopicMetadata) {
	switch ops := meta.TopicAuthorizedOperations; {
	case ops <= 0: // an old broker, or one that does not tell
		if time.Since(t.denied) > refreshEvery {
			t.denied = time.Time{}
		}
	case ops&mayWrite == 0:
		t.deny()
	default:
		t.denied = time.Time{}
	}
}

// noteDenied remembers a topic that a request was refused for, so that Admit
// takes its rows out of the next attempt.
func (k *Kafka) noteDenied(err error) {
	var e *brokerError
	if errors.As(err, &e) && e.code == sarama.ErrTopicAuthorizationFailed {
		if t := k.topics[e.topic]; t != nil {
			t.denied = time.Time{}
			t.deny()
		}
	}
}

// deny notes that we may not write to a topic.
func (t *topic) deny() {
	if t.denied.IsZero() {
		t.denied, t.looked = time.Now(), time.Now()
	}
}

package publish

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

// defaultMaxMessage is Kafka's default of max.message.bytes.
const defaultMaxMessage = 1048588

// limits are what a topic takes.
type limits struct {
	// maxBytes is max.message.bytes: the largest record batch.
	maxBytes int
	// before and after bound how far a record's time may lie in the past and
	// in the future (message.timestamp.before.max.ms, .after.max.ms).
	before, after time.Duration
	// compact says that records need a key (cleanup.policy).
	compact bool
	read    time.Time
}

func defaultLimits() limits {
	return limits{maxBytes: defaultMaxMessage, before: math.MaxInt64, after: math.MaxInt64, read: time.Now()}
}

// Room is how many bytes of key, value and headers a record to a topic may
// have. The topic is found, or created where that is allowed. 0 says that it
// takes none from us: Admit says why.
func (k *Kafka) Room(ctx context.Context, name string) (int, error) {
	t, reason, err := k.target(ctx, name)
	if err != nil || reason != "" {
		return 0, err
	}
	if time.Since(t.limits.read) > limitsTrusted {
		if err := k.readLimits(ctx, t); err != nil {
			return 0, err
		}
	}
	largest := min(t.limits.maxBytes, k.cfg.MaxRequestBytes-requestSlack)
	return max(largest-batchOverhead-recordOverhead, 0), nil
}

// recordOverhead bounds what a record has beside key, value and headers, if it
// has no more than a few headers: lengths and deltas as varints.
const recordOverhead = 100

const (
	configMaxBytes = "max.message.bytes"
	configBefore   = "message.timestamp.before.max.ms"
	configAfter    = "message.timestamp.after.max.ms"
)

// readLimits asks for the limits of topics. Who may write to a topic may not
// always describe its settings: then the limits stay what they were, at first
// Kafka's defaults.
func (k *Kafka) readLimits(ctx context.Context, topics ...*topic) error {
	if len(topics) == 0 {
		return nil
	}
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = t.name
	}
	found, err := k.cluster.configs(ctx, nil, sarama.TopicResource, names, configMaxBytes, configBefore, configAfter, configCleanup)
	switch {
	case isCode(err, sarama.ErrTopicAuthorizationFailed), isCode(err, sarama.ErrClusterAuthorizationFailed),
		isCode(err, sarama.ErrUnknownTopicOrPartition):
		k.log.Debug("topic settings cannot be read", keyErr, err)
	case err != nil:
		return err
	}
	for _, t := range topics {
		if found[t.name] == nil {
			t.limits.read = time.Now()
			continue
		}
		l := defaultLimits()
		if n, err := strconv.Atoi(found[t.name][configMaxBytes]); err == nil {
			l.maxBytes = n
		}
		l.before = millis(found[t.name][configBefore])
		l.after = millis(found[t.name][configAfter])
		l.compact = strings.Contains(found[t.name][configCleanup], "compact")
		if l.maxBytes != t.limits.maxBytes {
			k.log.Debug("topic limit", keyTopic, t.name, keyMaxBytes, l.maxBytes)
		}
		t.limits = l
	}
	return nil
}

// millis reads a setting in milliseconds; one that is missing, or longer than
// a Duration can say, is no limit.
func millis(s string) time.Duration {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > math.MaxInt64/int64(time.Millisecond) {
		return math.MaxInt64
	}
	return time.Duration(n) * time.Millisecond
}

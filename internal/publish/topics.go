package publish

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

// refreshEvery is how often Admit looks whether topics changed.
const refreshEvery = 30 * time.Second

// topic is a topic as this process knows it. Its partition count is pinned
// between two refreshes: keys stay where they are within a batch.
type topic struct {
	name   string
	id     sarama.Uuid // zero on brokers older than 2.8
	parts  []*part
	limits limits
	// gone is set when the brokers do not know the topic any more.
	gone bool
	// denied is since when we may not write to it; zero when we may, as far as
	// is known. looked is when that was last asked.
	denied, looked time.Time
}

// part is one partition.
type part struct {
	topic    *topic
	index    int32
	leader   int32
	sequence int32  // of the next record; wraps to 0 behind 2^31-1
	joined   uint64 // number of the transaction that holds it
	open     *batch // being filled; nil
}

// find looks a topic up among those known; nil if it is not.
func (k *Kafka) find(name string) *topic {
	if t := k.last; t != nil && t.name == name {
		return t
	}
	t := k.topics[name]
	if t != nil {
		k.last = t
	}
	return t
}

// need gives a topic that exists, asking the brokers and creating it if it was
// never seen and create allows it.
func (k *Kafka) need(ctx context.Context, name string, create bool) (*topic, error) {
	t := k.find(name)
	if t != nil && !t.gone {
		return t, nil
	}
	found, err := k.cluster.metadata(ctx, name)
	if err != nil {
		return nil, err
	}
	meta := found[name]
	seen := t != nil
	switch {
	case meta == nil:
		return nil, fmt.Errorf("look up topic %s: the broker's answer does not name it", name)
	case meta.Err == sarama.ErrUnknownTopicOrPartition && seen:
		return nil, fmt.Errorf("topic %s is gone; tailer does not re-create a topic it has seen: create it, or restart tailer", name)
	case meta.Err == sarama.ErrUnknownTopicOrPartition && !create:
		return nil, fmt.Errorf("topic %s does not exist; create it, or allow it with --create-topics", name)
	case meta.Err == sarama.ErrUnknownTopicOrPartition:
		if meta, err = k.create(ctx, name); err != nil {
			return nil, err
		}
	case meta.Err != sarama.ErrNoError && meta.Err != sarama.ErrLeaderNotAvailable:
		return nil, &brokerError{step: "look up topic " + name, code: meta.Err}
	}
	t = k.take(meta)
	if err := k.readLimits(ctx, t); err != nil {
		return nil, err
	}
	return t, nil
}

// create makes a topic with the configured partitions and replication.
func (k *Kafka) create(ctx context.Context, name string) (*sarama.TopicMetadata, error) {
	detail := &sarama.TopicDetail{NumPartitions: k.cfg.TopicPartitions, ReplicationFactor: k.cfg.TopicReplication}
	if name == k.cfg.DeadLetterTopic {
		detail.NumPartitions, detail.ConfigEntries = 1, deadLetterConfig()
	}
	if detail.NumPartitions <= 0 {
		detail.NumPartitions = -1
	}
	if detail.ReplicationFactor <= 0 {
		detail.ReplicationFactor = -1
	}
	meta, existed, err := k.cluster.createTopic(ctx, name, detail)
	if err != nil {
		return nil, err
	}
	if !existed {
		k.log.Info("created topic", keyTopic, name, keyPartitions, len(meta.Partitions),
			keyReplication, len(meta.Partitions[0].Replicas))
	}
	return meta, nil
}

// take makes what metadata says about a topic ours, and logs what changed.
func (k *Kafka) take(meta *sarama.TopicMetadata) *topic {
	t := k.topics[meta.Name]
	var was int
	if t != nil {
		was = len(t.parts)
	}
	recreated := t != nil && t.id != meta.Uuid
	switch {
	case t == nil:
		t = &topic{name: meta.Name, limits: defaultLimits()}
		k.topics[t.name] = t
	case recreated:
		k.log.Warn("topic was re-created by somebody; messages published before are lost with the old one",
			keyTopic, t.name, keyBefore, was, keyPartitions, len(meta.Partitions))
		t.parts = nil // a new log knows nothing of our sequence numbers
	case len(meta.Partitions) > was:
		k.log.Warn("topic has more partitions; keys move, and their order holds from here on",
			keyTopic, t.name, keyBefore, was, keyPartitions, len(meta.Partitions))
	case len(meta.Partitions) < was:
		k.log.Warn("topic has fewer partitions", keyTopic, t.name, keyBefore, was, keyPartitions, len(meta.Partitions))
		t.parts = t.parts[:len(meta.Partitions)]
	}
	t.id, t.gone = meta.Uuid, false
	k.allowed(t, meta)
	for i := len(t.parts); i < len(meta.Partitions); i++ {
		t.parts = append(t.parts, &part{topic: t, index: int32(i), leader: -1})
	}
	for _, p := range meta.Partitions {
		if int(p.ID) < len(t.parts) { // numbered from 0 without a gap
			t.parts[p.ID].leader = p.Leader
		}
	}
	return t
}

// refresh looks at all known topics: leaders, partition counts, limits. One
// that is missing is marked gone, which is an error only for who needs it.
func (k *Kafka) refresh(ctx context.Context) error {
	names := make([]string, 0, len(k.topics))
	for name := range k.topics {
		names = append(names, name)
	}
	found, err := k.cluster.metadata(ctx, names...)
	if err != nil {
		return err
	}
	present := make([]*topic, 0, len(names))
	for _, name := range names {
		switch meta := found[name]; {
		case meta == nil, meta.Err == sarama.ErrUnknownTopicOrPartition:
			if t := k.topics[name]; !t.gone {
				t.gone = true
				k.log.Warn("topic is gone", keyTopic, name)
			}
		case meta.Err == sarama.ErrNoError, meta.Err == sarama.ErrLeaderNotAvailable:
			present = append(present, k.take(meta))
		case meta.Err == sarama.ErrTopicAuthorizationFailed:
			k.topics[name].deny()
		default:
			return &brokerError{step: "look up topic " + name, code: meta.Err}
		}
	}
	if err := k.readLimits(ctx, present...); err != nil {
		return err
	}
	k.refreshed, k.stale = time.Now(), false
	return nil
}

var errNoPartition = errors.New("no such partition")

// part gives the partition of a message that was admitted, or that names its
// partition itself. It never creates a topic.
func (k *Kafka) part(ctx context.Context, name string, index int32) (*part, error) {
	t := k.find(name)
	if t == nil || t.gone {
		var err error
		if t, err = k.need(ctx, name, false); err != nil {
			return nil, err
		}
	}
	if index < 0 || int(index) >= len(t.parts) {
		return nil, fmt.Errorf("topic %s partition %d: %w; it has %d", name, index, errNoPartition, len(t.parts))
	}
	return t.parts[index], nil
}

// legalTopic tells whether Kafka takes a name for a topic; reason says why
// not (org.apache.kafka.common.internals.Topic).
func legalTopic(name string) (reason string, ok bool) {
	switch {
	case name == "":
		return "the topic name is empty", false
	case len(name) > 249:
		return fmt.Sprintf("the topic name has %d characters, Kafka takes 249", len(name)), false
	case name == "." || name == "..":
		return fmt.Sprintf("%q is no topic name", name), false
	}
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-') {
			return fmt.Sprintf("topic name %q has a character that is none of a-z A-Z 0-9 . _ -", name), false
		}
	}
	return "", true
}

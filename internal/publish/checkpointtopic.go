package publish

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/IBM/sarama"

	"github.com/tailer-io/tailer/internal/outbox"
)

// reasonSettings labels a refusal of the checkpoint topic's settings.
const reasonSettings = "checkpoint_topic_settings"

// Identity is the id of the Kafka cluster, as its brokers made it up when it
// was created.
func (k *Kafka) Identity(ctx context.Context) (string, error) {
	if _, err := k.cluster.metadata(ctx); err != nil {
		return "", err
	}
	if k.cluster.id == "" {
		return "", fmt.Errorf("the brokers do not say which cluster they are")
	}
	return k.cluster.id, nil
}

// Exists reports whether the checkpoint topic is there. One that could lose or
// reorder checkpoints is an *outbox.Refusal: it must have one partition, and be
// compacted and nothing else. So is one whose settings may not be read.
func (k *Kafka) Exists(ctx context.Context) (bool, error) {
	name := k.cfg.CheckpointTopic
	found, err := k.cluster.metadata(ctx, name)
	if err != nil {
		return false, err
	}
	meta := found[name]
	switch {
	case meta == nil:
		return false, fmt.Errorf("look up checkpoint topic %s: the broker's answer does not name it", name)
	case meta.Err == sarama.ErrUnknownTopicOrPartition:
		return false, nil
	case meta.Err != sarama.ErrNoError:
		return false, &brokerError{step: "look up checkpoint topic " + name, code: meta.Err}
	}
	if n := len(meta.Partitions); n != 1 {
		return true, outbox.Refuse(reasonSettings,
			"choose another --checkpoint-topic, or delete this one if it is not in use; tailer setup creates it",
			"checkpoint topic %s has %d partitions, it must have 1", name, n)
	}
	const setting = "cleanup.policy"
	settings, err := k.cluster.configs(ctx, nil, sarama.TopicResource, []string{name}, setting)
	if isCode(err, sarama.ErrTopicAuthorizationFailed) {
		return true, outbox.Refuse(reasonSettings,
			fmt.Sprintf("kafka-acls.sh --bootstrap-server %s --add --allow-principal User:... --operation DescribeConfigs --topic %s", k.bootstrap(), name),
			"the settings of checkpoint topic %s cannot be read, so nobody knows whether it is compacted", name)
	}
	if err != nil {
		return true, err
	}
	if policy := settings[name][setting]; !compactOnly(policy) {
		return true, outbox.Refuse(reasonSettings,
			fmt.Sprintf("kafka-configs.sh --bootstrap-server %s --alter --entity-type topics --entity-name %s --add-config cleanup.policy=compact", k.bootstrap(), name),
			"checkpoint topic %s has cleanup.policy %q, which deletes checkpoints by age", name, policy)
	}
	return true, nil
}

func compactOnly(policy string) bool {
	list := strings.Split(strings.ReplaceAll(policy, " ", ""), ",")
	return slices.Contains(list, "compact") && !slices.Contains(list, "delete")
}

// Create makes the checkpoint topic: one partition, compacted, on three brokers
// where there are as many, of which two have to have each checkpoint. One that
// was created meanwhile is no error.
func (k *Kafka) Create(ctx context.Context) error {
	name := k.cfg.CheckpointTopic
	if _, err := k.cluster.metadata(ctx); err != nil {
		return err
	}
	replication := min(3, len(k.cluster.nodes))
	meta, existed, err := k.cluster.createTopic(ctx, name, &sarama.TopicDetail{
		NumPartitions:     1,
		ReplicationFactor: int16(replication),
		ConfigEntries:     checkpointConfig(replication),
	})
	if err != nil {
		return err
	}
	if !existed {
		k.log.Info("created checkpoint topic", keyTopic, name, keyPartitions, len(meta.Partitions), keyReplication, replication)
	}
	k.take(meta)
	return nil
}

// checkpointConfig are the settings of the checkpoint topic. Small segments
// keep what compaction has not reached yet, and so a read from the beginning,
// short; a tombstone need not outlive the restart that reads it by more than a
// minute.
func checkpointConfig(replication int) map[string]*string {
	isr := "1"
	if replication >= 3 {
		isr = "2"
	}
	set := make(map[string]*string)
	for _, s := range checkpointSettings(isr) {
		set[s[0]] = &s[1]
	}
	return set
}

func checkpointSettings(isr string) [][2]string {
	return [][2]string{
		{"cleanup.policy", "compact"},
		{"min.insync.replicas", isr},
		{"segment.bytes", "16777216"},
		{"delete.retention.ms", "60000"},
	}
}

func (k *Kafka) bootstrap() string { return strings.Join(k.cfg.Brokers, ",") }

package publish

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Names of the findings.
const (
	whatBrokers     = "kafka_brokers"
	whatVersion     = "kafka_version"
	whatTransaction = "kafka_transactional_id"
	whatIdempotent  = "kafka_idempotent_write"
	whatCheckpoint  = "kafka_checkpoint_topic"
	whatDeadLetter  = "kafka_dead_letter_topic"
	whatTopic       = "kafka_topic"
	whatMaxMessage  = "kafka_max_message_bytes"
)

// Check is the preflight of the Kafka side: one finding per requirement, each
// proved by doing where that changes nothing. A running tailer of the same
// name is not disturbed: nothing is fenced, and no topic is created. It stops
// at brokers that do not answer.
func (k *Kafka) Check(ctx context.Context) []outbox.Finding {
	found, ok := k.checkBrokers(ctx)
	if !ok {
		return found
	}
	if k.cfg.Transactional {
		found = append(found, k.checkTransaction(ctx))
	} else {
		found = append(found, k.checkIdempotent(ctx))
	}
	if k.cfg.CheckpointTopic != "" {
		found = append(found, k.checkCheckpoint(ctx)...)
	}
	if k.cfg.DeadLetters {
		found = append(found, k.checkDeadLetters(ctx)...)
	}
	return append(found, k.checkTopics(ctx)...)
}

// checkBrokers connects to every broker and asks for its versions.
func (k *Kafka) checkBrokers(ctx context.Context) ([]outbox.Finding, bool) {
	if _, err := k.cluster.metadata(ctx); err != nil {
		return []outbox.Finding{{
			Level: outbox.Fail, What: whatBrokers, Found: err.Error(),
			Fix: "check --kafka-brokers and the network; the brokers must listen without TLS there",
		}}, false
	}
	var found []outbox.Finding
	ids := make([]int32, 0, len(k.cluster.nodes))
	for id := range k.cluster.nodes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	reached := 0
	for _, id := range ids {
		n := k.cluster.nodes[id]
		versions, err := call(ctx, &k.cluster, n, func(b *sarama.Broker) (*sarama.ApiVersionsResponse, error) {
			return b.ApiVersions(&sarama.ApiVersionsRequest{Version: 3, ClientSoftwareName: "tailer", ClientSoftwareVersion: "1"})
		})
		if err != nil {
			found = append(found, outbox.Finding{
				Level: outbox.Fail, What: whatBrokers, Found: fmt.Sprintf("broker %d at %s does not answer: %v", id, n.addr, err),
				Fix: "make the broker's advertised.listeners reachable from here",
			})
			continue
		}
		reached++
		found = append(found, checkVersion(n, versions)...)
	}
	if reached == len(ids) {
		found = slices.Insert(found, 0, outbox.Finding{
			Level: outbox.OK, What: whatBrokers, Found: fmt.Sprintf("%d of %d answer, cluster %s", reached, len(ids), k.cluster.id),
		})
	}
	return found, reached > 0
}

// checkVersion wants InitProducerId 3, which came with Kafka 2.5 (KIP-360).
func checkVersion(n *node, v *sarama.ApiVersionsResponse) []outbox.Finding {
	const initProducerID, since = 22, 3
	for _, api := range v.ApiKeys {
		if api.ApiKey == initProducerID && api.MaxVersion >= since {
			return []outbox.Finding{{
				Level: outbox.OK, What: whatVersion,
				Found: fmt.Sprintf("broker %d speaks InitProducerId %d to %d: Kafka 2.5 or newer", n.id, api.MinVersion, api.MaxVersion),
			}}
		}
	}
	return []outbox.Finding{{
		Level: outbox.Fail, What: whatVersion, Found: fmt.Sprintf("broker %d is older than Kafka 2.5", n.id),
		Fix: "upgrade the brokers to Kafka 2.5 or newer",
	}}
}

// checkTransaction proves the rights without fencing a running tailer. EndTxn
// under the real transactional id with a producer id that nobody has is
// refused as such by who would let us in (INVALID_PRODUCER_ID_MAPPING), and
// otherwise for want of the right. Then InitProducerId under another id, with
// ".check" behind, shows that the cluster can run transactions at all.
func (k *Kafka) checkTransaction(ctx context.Context) outbox.Finding {
	id := k.cfg.TransactionalID
	failed := func(err error) outbox.Finding {
		fix := "the broker's log has the cause"
		switch {
		case isCode(err, sarama.ErrTransactionalIDAuthorizationFailed):
			fix = k.acl("--operation Write --operation Describe --transactional-id " + id)
		case isCode(err, sarama.ErrConsumerCoordinatorNotAvailable):
			fix = "the topic __transaction_state needs transaction.state.log.replication.factor brokers"
		}
		return outbox.Finding{Level: outbox.Fail, What: whatTransaction, Found: err.Error(), Fix: fix}
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	const step = "use transactional id"
	k.coordinator = nil
	_, err := ask(ctx, k, step, func(b *sarama.Broker) (*sarama.EndTxnResponse, error) {
		return b.EndTxn(&sarama.EndTxnRequest{Version: 3, TransactionalID: id, ProducerID: math.MaxInt64, ProducerEpoch: 0})
	}, func(resp *sarama.EndTxnResponse) error { return refusal(step+" "+id, resp.Err) })
	if err != nil && !isCode(err, sarama.ErrInvalidProducerIDMapping) {
		return failed(err)
	}
	probe := NewKafka(k.cfg, k.log, nil)
	defer probe.Close()
	probe.cfg.TransactionalID = id + ".check"
	err = probe.Fence(ctx, time.Minute)
	switch {
	case isCode(err, sarama.ErrTransactionalIDAuthorizationFailed):
		// The right is for the one id only, which is as it should be.
	case err != nil:
		return failed(err)
	}
	return outbox.Finding{Level: outbox.OK, What: whatTransaction, Found: id + " may be used"}
}

func (k *Kafka) checkIdempotent(ctx context.Context) outbox.Finding {
	probe := NewKafka(k.cfg, k.log, nil)
	defer probe.Close()
	if err := probe.Fence(ctx, 0); err != nil {
		return outbox.Finding{
			Level: outbox.Fail, What: whatIdempotent, Found: err.Error(),
			Fix: k.acl("--operation IdempotentWrite --cluster"),
		}
	}
	return outbox.Finding{Level: outbox.OK, What: whatIdempotent, Found: "allowed"}
}

// checkCheckpoint looks at the checkpoint topic, or asks whether it could be
// created.
func (k *Kafka) checkCheckpoint(ctx context.Context) []outbox.Finding {
	name := k.cfg.CheckpointTopic
	exists, err := k.Exists(ctx)
	var refusal *outbox.Refusal
	switch {
	case errors.As(err, &refusal):
		return []outbox.Finding{{Level: outbox.Fail, What: whatCheckpoint, Found: refusal.Text, Fix: refusal.Hint}}
	case isCode(err, sarama.ErrTopicAuthorizationFailed):
		return []outbox.Finding{{Level: outbox.Fail, What: whatCheckpoint, Found: err.Error(), Fix: k.acl(checkpointACL(name))}}
	case err != nil:
		return []outbox.Finding{{Level: outbox.Fail, What: whatCheckpoint, Found: err.Error(), Fix: "see the error"}}
	case !exists:
		return []outbox.Finding{k.checkCreate(ctx, name)}
	}
	found := []outbox.Finding{{Level: outbox.OK, What: whatCheckpoint, Found: name + ": 1 partition, compacted"}}
	if _, err := k.Newest(ctx, nil, nil); err != nil {
		found[0] = outbox.Finding{Level: outbox.Fail, What: whatCheckpoint, Found: err.Error(), Fix: k.acl(checkpointACL(name))}
	}
	return append(found, k.checkSafety(ctx, whatCheckpoint, name)...)
}

// checkCreate asks the controller whether it would create the checkpoint topic.
func (k *Kafka) checkCreate(ctx context.Context, name string) outbox.Finding {
	replication := min(3, len(k.cluster.nodes))
	n := k.cluster.nodes[k.cluster.controller]
	if n == nil {
		return outbox.Finding{Level: outbox.Warn, What: whatCheckpoint, Found: name + " does not exist, and there is no controller to ask",
			Fix: k.checkpointLine()}
	}
	resp, err := call(ctx, &k.cluster, n, func(b *sarama.Broker) (*sarama.CreateTopicsResponse, error) {
		detail := &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: int16(replication), ConfigEntries: checkpointConfig(replication)}
		return b.CreateTopics(sarama.NewCreateTopicsRequest(k.cluster.conf.Version,
			map[string]*sarama.TopicDetail{name: detail}, 10*time.Second, true))
	})
	if err == nil && resp.TopicErrors[name] != nil && resp.TopicErrors[name].Err != sarama.ErrNoError {
		err = &brokerError{step: "create topic", code: resp.TopicErrors[name].Err, text: deref(resp.TopicErrors[name].ErrMsg)}
	}
	if err != nil {
		return outbox.Finding{Level: outbox.Fail, What: whatCheckpoint,
			Found: fmt.Sprintf("%s does not exist and may not be created: %v", name, err), Fix: k.checkpointLine()}
	}
	return outbox.Finding{Level: outbox.OK, What: whatCheckpoint, Found: name + " does not exist; tailer creates it"}
}

// checkSafety warns about a topic that one lost disk empties.
func (k *Kafka) checkSafety(ctx context.Context, what, name string) []outbox.Finding {
	found, err := k.cluster.metadata(ctx, name)
	if err != nil || found[name] == nil || len(found[name].Partitions) == 0 {
		return nil
	}
	const setting = "min.insync.replicas"
	replicas := len(found[name].Partitions[0].Replicas)
	if replicas < 2 {
		return []outbox.Finding{{Level: outbox.Warn, What: what, Found: name + " has one replica: it is lost with its broker's disk",
			Fix: "raise its replication factor to 3 with kafka-reassign-partitions.sh"}}
	}
	settings, err := k.cluster.configs(ctx, nil, sarama.TopicResource, []string{name}, setting)
	if err != nil {
		return nil // not authorised; it is advice only
	}
	if isr, err := strconv.Atoi(settings[name][setting]); err == nil && isr < 2 {
		return []outbox.Finding{{Level: outbox.Warn, What: what,
			Found: fmt.Sprintf("%s has %d replicas but %s=%d: a write is acknowledged by a single broker when the others lag", name, replicas, setting, isr),
			Fix:   fmt.Sprintf("kafka-configs.sh --bootstrap-server %s --alter --entity-type topics --entity-name %s --add-config %s=2", k.bootstrap(), name, setting)}}
	}
	return nil
}

// checkTopics reports how large a record batch may be, on the topics that are
// known and on those to be created.
func (k *Kafka) checkTopics(ctx context.Context) []outbox.Finding {
	var found []outbox.Finding
	if n := k.cluster.nodes[k.cluster.controller]; n != nil {
		const setting = "message.max.bytes"
		id := strconv.Itoa(int(n.id))
		settings, err := k.cluster.configs(ctx, n, sarama.BrokerResource, []string{id}, setting)
		if err == nil && settings[id][setting] != "" {
			found = append(found, outbox.Finding{Level: outbox.OK, What: whatMaxMessage,
				Found: fmt.Sprintf("topics take record batches of %s bytes unless they say otherwise; a larger row is poison", settings[id][setting])})
		}
	}
	names := make([]string, 0, len(k.topics))
	for name := range k.topics {
		if name != k.cfg.CheckpointTopic {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		t := k.topics[name]
		found = append(found, outbox.Finding{Level: outbox.OK, What: whatTopic,
			Found: fmt.Sprintf("%s: %d partitions, %s=%d", name, len(t.parts), configMaxBytes, t.limits.maxBytes)})
		found = append(found, k.checkSafety(ctx, whatTopic, name)...)
	}
	return found
}

// acl is the kafka-acls line that grants something.
func (k *Kafka) acl(what string) string {
	return k.grant("tailer", what)
}

func (k *Kafka) grant(user, what string) string {
	return fmt.Sprintf("kafka-acls.sh --bootstrap-server %s --add --allow-principal User:%s %s", k.bootstrap(), user, what)
}

func checkpointACL(name string) string {
	return "--operation Read --operation Write --operation Describe --operation DescribeConfigs --topic " + name
}

// checkpointLine creates the checkpoint topic by hand.
func (k *Kafka) checkpointLine() string {
	replication := 3
	if n := len(k.cluster.nodes); n > 0 {
		replication = min(3, n)
	}
	isr := "1"
	if replication >= 3 {
		isr = "2"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "kafka-topics.sh --bootstrap-server %s --create --topic %s --partitions 1 --replication-factor %d",
		k.bootstrap(), k.cfg.CheckpointTopic, replication)
	for _, s := range checkpointSettings(isr) {
		fmt.Fprintf(&b, " --config %s=%s", s[0], s[1])
	}
	return b.String()
}

// SetupLines are the kafka-topics.sh and kafka-acls.sh lines that create the
// checkpoint topic and grant the least rights to a user of that name. Nothing is
// asked of the brokers; what is known of them already is used.
func (k *Kafka) SetupLines(name string) []string {
	grant := func(what string) string { return k.grant(name, what) }
	var lines []string
	if k.cfg.CheckpointTopic != "" {
		lines = append(lines, k.checkpointLine())
	}
	if k.cfg.Transactional {
		lines = append(lines, grant("--operation Write --operation Describe --transactional-id "+k.cfg.TransactionalID),
			grant("--operation Write --operation Describe --transactional-id "+k.cfg.TransactionalID+RepublishSuffix))
	} else {
		// Brokers since 2.8 take Write on any topic for it (KIP-679).
		lines = append(lines, grant("--operation IdempotentWrite --cluster"))
	}
	if k.cfg.DeadLetters {
		lines = append(lines, k.deadLetterLine(), grant(deadLetterACL(k.cfg.DeadLetterTopic)))
		if k.cfg.Transactional { // for tailer replay
			lines = append(lines, grant("--operation Write --operation Describe --transactional-id "+k.cfg.TransactionalID+ReplaySuffix))
		}
	}
	topics := "--operation Write --operation Describe --operation DescribeConfigs"
	if k.cfg.CreateTopics {
		topics += " --operation Create"
	}
	if k.cfg.TopicPrefix == "" {
		lines = append(lines, grant(topics+" --topic '*'"))
	} else {
		lines = append(lines, grant(topics+" --resource-pattern-type prefixed --topic "+k.cfg.TopicPrefix))
	}
	if k.cfg.CheckpointTopic != "" {
		lines = append(lines, grant(checkpointACL(k.cfg.CheckpointTopic)))
	}
	return lines
}

package publish

import (
	"context"
	"fmt"
	"strings"

	"github.com/IBM/sarama"

	"github.com/tailer-io/tailer/internal/outbox"
)

// RepublishSuffix makes the transactional id under which rows are published a
// second time of tailer's own.
const RepublishSuffix = ".republish"

// ReplaySuffix makes the transactional id under which dead letters are
// published again of the one of the name: the two do not fence each other.
const ReplaySuffix = ".replay"

const (
	configRetention = "retention.ms"
	configCleanup   = "cleanup.policy"
)

// deadLetterConfig are the settings with which the dead-letter topic is
// created: a row must not be lost because nobody looked for a week.
func deadLetterConfig() map[string]*string {
	set := make(map[string]*string)
	for _, s := range deadLetterSettings {
		set[s[0]] = &s[1]
	}
	return set
}

var deadLetterSettings = [][2]string{{configCleanup, "delete"}, {configRetention, "-1"}}

// deadLetterLine creates the dead-letter topic by hand.
func (k *Kafka) deadLetterLine() string {
	var b strings.Builder
	fmt.Fprintf(&b, "kafka-topics.sh --bootstrap-server %s --create --topic %s --partitions 1", k.bootstrap(), k.cfg.DeadLetterTopic)
	if k.cfg.TopicReplication > 0 {
		fmt.Fprintf(&b, " --replication-factor %d", k.cfg.TopicReplication)
	}
	for _, s := range deadLetterSettings {
		fmt.Fprintf(&b, " --config %s=%s", s[0], s[1])
	}
	return b.String()
}

func deadLetterACL(name string) string {
	return "--operation Read --operation Write --operation Describe --operation DescribeConfigs --topic " + name
}

// SetupDeadLetters makes the dead-letter topic unless it is there; created
// tells which.
func (k *Kafka) SetupDeadLetters(ctx context.Context) (created bool, err error) {
	name := k.cfg.DeadLetterTopic
	found, err := k.cluster.metadata(ctx, name)
	if err != nil {
		return false, err
	}
	if meta := found[name]; meta == nil || meta.Err != sarama.ErrUnknownTopicOrPartition {
		return false, knownTopic(meta)
	}
	_, err = k.need(ctx, name, true)
	return err == nil, err
}

// checkDeadLetters looks at the dead-letter topic, or asks whether it could be
// created.
func (k *Kafka) checkDeadLetters(ctx context.Context) []outbox.Finding {
	name := k.cfg.DeadLetterTopic
	found, err := k.cluster.metadata(ctx, name)
	meta := found[name]
	fail := func(err error) []outbox.Finding {
		return []outbox.Finding{{Level: outbox.Fail, What: whatDeadLetter, Found: err.Error(), Fix: k.acl(deadLetterACL(name))}}
	}
	switch {
	case err != nil:
		return fail(err)
	case meta != nil && meta.Err == sarama.ErrUnknownTopicOrPartition && k.cfg.CreateTopics:
		return []outbox.Finding{{Level: outbox.OK, What: whatDeadLetter,
			Found: name + " does not exist; it is created for the first row that cannot be published, with one partition and retention.ms=-1"}}
	case meta != nil && meta.Err == sarama.ErrUnknownTopicOrPartition:
		return []outbox.Finding{{Level: outbox.Fail, What: whatDeadLetter, Found: name + " does not exist, and --create-topics is false", Fix: k.deadLetterLine()}}
	}
	if err := knownTopic(meta); err != nil {
		return fail(err)
	}
	if ops := meta.TopicAuthorizedOperations; ops > 0 && ops&mayWrite == 0 {
		return fail(fmt.Errorf("%s: this user may not write to it", name))
	}
	list := k.checkRetention(ctx, name)
	if len(list) == 0 {
		list = []outbox.Finding{{Level: outbox.OK, What: whatDeadLetter, Found: name}}
	}
	return append(list, k.checkSafety(ctx, whatDeadLetter, name)...)
}

// checkRetention warns about settings that take dead letters away.
func (k *Kafka) checkRetention(ctx context.Context, name string) []outbox.Finding {
	settings, err := k.cluster.configs(ctx, nil, sarama.TopicResource, []string{name}, configCleanup, configRetention)
	if err != nil {
		return []outbox.Finding{{Level: outbox.Warn, What: whatDeadLetter, Found: "its settings cannot be read: " + err.Error(), Fix: k.acl(deadLetterACL(name))}}
	}
	alter := fmt.Sprintf("kafka-configs.sh --bootstrap-server %s --alter --entity-type topics --entity-name %s --add-config ", k.bootstrap(), name)
	var list []outbox.Finding
	if policy := settings[name][configCleanup]; strings.Contains(policy, "compact") {
		list = append(list, outbox.Finding{Level: outbox.Fail, What: whatDeadLetter,
			Found: fmt.Sprintf("%s has cleanup.policy %q: of letters with the same id all but the newest are taken away", name, policy), Fix: alter + "cleanup.policy=delete"})
	}
	if ms := settings[name][configRetention]; ms != "-1" {
		list = append(list, outbox.Finding{Level: outbox.Warn, What: whatDeadLetter,
			Found: fmt.Sprintf("%s has retention.ms=%s: rows that nobody has replayed by then are lost", name, ms), Fix: alter + "retention.ms=-1"})
	}
	return list
}

package harness

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailer-io/tailer/e2e/check"
)

// Kafka is the cluster under test.
type Kafka struct {
	Brokers string
	Client  *kgo.Client
	Admin   *kadm.Client
}

// NewKafka is the cluster that STACK_KAFKA names; without it the test is skipped.
func NewKafka(t testing.TB) *Kafka {
	t.Helper()
	brokers := Env(t, "STACK_KAFKA")
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MetadataMinAge(20*time.Millisecond),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &Kafka{Brokers: brokers, Client: client, Admin: kadm.NewClient(client)}
}

// Create makes a topic, with settings given as name and value in turn, and waits until its partitions have a
// leader.
func (k *Kafka) Create(t testing.TB, topic string, partitions int32, settings ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	configs := map[string]*string{}
	for i := 0; i+1 < len(settings); i += 2 {
		configs[settings[i]] = &settings[i+1]
	}
	if _, err := k.Admin.CreateTopic(ctx, partitions, 1, configs, topic); err != nil {
		t.Fatalf("create topic %s: %v", topic, err)
	}
	for {
		if o, err := k.Admin.ListEndOffsets(ctx, topic); err == nil && o.Error() == nil && len(o[topic]) == int(partitions) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("topic %s has no leaders", topic)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Topics lists the topics whose name contains the text.
func (k *Kafka) Topics(t testing.TB, containing string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	all, err := k.Admin.ListTopics(ctx)
	if err != nil {
		t.Fatalf("list topics: %v", err)
	}
	var names []string
	for _, name := range all.Names() {
		if strings.Contains(name, containing) {
			names = append(names, name)
		}
	}
	return names
}

// Delete removes topics and waits until they are gone.
func (k *Kafka) Delete(t testing.TB, topics ...string) {
	t.Helper()
	if len(topics) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := k.Admin.DeleteTopics(ctx, topics...); err != nil {
		t.Errorf("delete topics: %v", err)
		return
	}
	for {
		counts, err := check.Partitions(ctx, k.Admin, topics...)
		if err == nil && len(counts) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			t.Errorf("topics %v stay", topics)
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Transaction describes the transactional id of a tailer.
func (k *Kafka) Transaction(t testing.TB, name string) (state string, id int64, epoch int16) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	txn := "tailer." + name
	described, err := k.Admin.DescribeTransactions(ctx, txn)
	if err != nil {
		t.Fatalf("describe transaction: %v", err)
	}
	d, err := described.On(txn, nil)
	if err != nil {
		t.Fatalf("describe transaction %s: %v", txn, err)
	}
	return d.State, d.ProducerID, d.ProducerEpoch
}

// Write appends one record outside any transaction, as an operator's tool might.
func (k *Kafka) Write(t testing.TB, topic string, partition int32, key string, value []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r := &kgo.Record{Topic: topic, Partition: partition, Key: []byte(key), Value: value}
	if err := k.Client.ProduceSync(ctx, r).FirstErr(); err != nil {
		t.Fatalf("write to %s: %v", topic, err)
	}
}

// Records reads what a read_committed consumer finds in the topics; a topic that does not exist is empty.
func (k *Kafka) Records(t testing.TB, topics ...string) []check.Record {
	t.Helper()
	return k.records(t, check.Committed, topics...)
}

// Everything reads aborted records too.
func (k *Kafka) Everything(t testing.TB, topics ...string) []check.Record {
	t.Helper()
	return k.records(t, check.Uncommitted, topics...)
}

func (k *Kafka) records(t testing.TB, isolation check.Isolation, topics ...string) []check.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 120*time.Second)
	defer cancel()
	counts, err := check.Partitions(ctx, k.Admin, topics...)
	if err != nil {
		t.Fatalf("list partitions: %v", err)
	}
	var present []string
	for topic := range counts {
		present = append(present, topic)
	}
	records, err := check.Read(ctx, k.Brokers, isolation, present...)
	if err != nil {
		t.Fatalf("read %v: %v", present, err)
	}
	return records
}

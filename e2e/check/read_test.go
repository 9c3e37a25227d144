package check

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Against a real broker: what is committed is read, what is aborted is not, and what is left open is reported.
func TestReadAndOpen(t *testing.T) {
	brokers := os.Getenv("STACK_KAFKA")
	if brokers == "" {
		t.Skip("STACK_KAFKA is not set")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	topic := fmt.Sprintf("check-%d", time.Now().UnixNano())
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.TransactionalID(topic),
		kgo.TransactionTimeout(10*time.Second),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(ctx, 2, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	defer admin.DeleteTopics(context.Background(), topic)

	begin := func(partition int32, id string, value []byte) {
		t.Helper()
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		r := &kgo.Record{Topic: topic, Partition: partition, Key: []byte{}, Value: value,
			Headers: []kgo.RecordHeader{{Key: "id", Value: []byte(id)}}}
		if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	end := func(commit kgo.TransactionEndTry) {
		t.Helper()
		if err := client.EndTransaction(ctx, commit); err != nil {
			t.Fatal(err)
		}
	}
	begin(0, "null", nil)
	end(kgo.TryCommit)
	begin(0, "aborted", nil)
	end(kgo.TryAbort)
	begin(1, "empty", []byte{})
	end(kgo.TryCommit)
	begin(1, "aborted too", nil)
	end(kgo.TryAbort)

	read := func(isolation Isolation) map[string]Record {
		t.Helper()
		records, err := Read(ctx, brokers, isolation, topic)
		if err != nil {
			t.Fatal(err)
		}
		byID := map[string]Record{}
		for _, r := range records {
			id, _ := r.ID()
			byID[id] = r
		}
		if len(byID) != len(records) {
			t.Fatalf("%d records, %d ids", len(records), len(byID))
		}
		return byID
	}
	open := func(within time.Duration) []string {
		t.Helper()
		short, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		found, err := Open(short, admin, topic)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if found := open(10 * time.Second); len(found) != 0 {
		t.Errorf("open: %v", found)
	}
	got := read(Committed)
	if len(got) != 2 {
		t.Errorf("committed: %v", got)
	}
	if r := got["null"]; r.Value != nil || r.Key == nil {
		t.Errorf("null: key %v value %v", r.Key, r.Value)
	}
	if r := got["empty"]; r.Value == nil || len(r.Value) != 0 {
		t.Errorf("empty: value %v", r.Value)
	}
	if got := read(Uncommitted); len(got) != 4 {
		t.Errorf("uncommitted: %v", got)
	}

	begin(1, "left open", nil)
	if found := open(time.Second); len(found) != 1 || !strings.HasPrefix(found[0], topic+"/1:") {
		t.Errorf("open: %v", found)
	}
	end(kgo.TryCommit)
	if found := open(10 * time.Second); len(found) != 0 {
		t.Errorf("open: %v", found)
	}
	if got := read(Committed); len(got) != 3 {
		t.Errorf("committed: %v", got)
	}
	if n, err := Partitions(ctx, admin, topic, topic+"-none"); err != nil || len(n) != 1 || n[topic] != 2 {
		t.Errorf("partitions %v, %v", n, err)
	}
}

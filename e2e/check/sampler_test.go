package check

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Against a real broker: a confirmed position is judged by committed records of its own name alone.
func TestSamplerSeesALead(t *testing.T) {
	brokers := os.Getenv("STACK_KAFKA")
	if brokers == "" {
		t.Skip("STACK_KAFKA is not set")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	topic := fmt.Sprintf("sampler-%d", time.Now().UnixNano())
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.TransactionalID(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(ctx, 1, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	defer admin.DeleteTopics(context.Background(), topic)
	write := func(key, position string, commit kgo.TransactionEndTry) {
		t.Helper()
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		r := &kgo.Record{Topic: topic, Key: []byte(key), Value: fmt.Appendf(nil, `{"position": %q}`, position)}
		if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := client.EndTransaction(ctx, commit); err != nil {
			t.Fatal(err)
		}
	}

	var confirmed atomic.Value
	confirmed.Store("")
	s, err := StartSampler(ctx, brokers, topic, "mine", topic, func(context.Context) (string, bool, error) {
		p := confirmed.Load().(string)
		return p, p != "", nil
	}, func(a, b string) (int, error) { return strings.Compare(a, b), nil })
	if err != nil {
		t.Fatal(err)
	}
	state := func() (samples, led int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.samples, len(s.led)
	}
	more := func() { // a few samples begun after now
		t.Helper()
		for from, _ := state(); ; time.Sleep(time.Millisecond) {
			if now, _ := state(); now >= from+3 {
				return
			}
			if ctx.Err() != nil {
				t.Fatal("no samples")
			}
		}
	}
	write("mine", "0/5", kgo.TryCommit)
	confirmed.Store("0/5")
	more()
	write("mine", "0/8", kgo.TryAbort)
	write("other", "0/9", kgo.TryCommit)
	more()
	if _, led := state(); led != 0 {
		t.Fatalf("led %v before anything led", s.led)
	}
	confirmed.Store("0/6")
	more()
	if _, led := state(); led == 0 {
		t.Fatal("the lead was not seen")
	}
	write("mine", "0/6", kgo.TryCommit)
	more()
	_, before := state()
	more()
	if _, led := state(); led != before {
		t.Fatal("a lead was seen behind the checkpoint that covers it")
	}

	// Produced and not committed is no cover, however soon it may be.
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Key: []byte("mine"), Value: []byte(`{"position": "0/7"}`)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	confirmed.Store("0/7")
	more()
	if _, led := state(); led == before {
		t.Fatal("the lead over an open transaction was not seen")
	}
	if err := client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	samples, led, err := s.Stop()
	if err != nil || samples == 0 || !strings.Contains(led[0], "0/6") {
		t.Fatal(samples, led, err)
	}
}

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailer-io/tailer/e2e/harness"
)

// comparison is what tests look at in `tailer compare --output json`.
type comparison struct {
	Equal       bool
	A, B        struct{ Records, Duplicates, Outside int }
	Both        int            `json:"in_both"`
	Differences map[string]int // by kind
	Notes       []string
	Examples    []struct {
		Kind  string
		ID    string
		First *struct{ Offset int } `json:"first_difference"`
	}
}

// compare runs tailer compare and demands an exit status.
func compare(c *harness.Case, code int, topics ...string) (out comparison) {
	c.Helper()
	p := c.Do(code, "compare", append(topics, "--output=json", "--kafka-brokers="+c.Kafka.Brokers)...)
	if err := json.Unmarshal([]byte(p.Stdout()), &out); err != nil {
		c.Fatalf("%v\n%s", err, p.Stdout())
	}
	return out
}

// A second tailer publishes to topics of its own. It crashed between Produce and Commit, so its topic holds aborted
// records too.
func TestAShadowRunIsEqual(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	topic := harness.Topic(c.Type)
	shadow := "shadow." + topic
	c.Kafka.Create(t, topic, 5)
	c.Kafka.Create(t, shadow, 5)
	book := c.Ledger()
	first := c.Start()
	second := []string{"--name=" + c.ID + "-shadow", "--topic-prefix=shadow."}
	for i := range 10 {
		book.Insert(fmt.Sprint("key-", i%3), fmt.Sprintf(`{"n":%d}`, i))
	}
	c.CrashAt("first.produced", 1, second...).Want(sigkill, 30*time.Second)
	other := c.Start(second...)
	for i := range 200 {
		book.Insert(fmt.Sprint("key-", i%7), fmt.Sprintf(`{"n":%d}`, i))
	}
	c.Arrived(c.Follow(topic), book.Len(), 30*time.Second)
	c.Arrived(c.Follow(shadow), book.Len(), 30*time.Second)
	first.Stop()
	other.Stop()

	got := compare(c, 0, topic, shadow)
	if !got.Equal || got.Both != book.Len() || got.A.Records != book.Len() || len(got.Notes) != 0 {
		t.Errorf("read_committed: %+v", got)
	}
	p := c.Do(0, "compare", topic, shadow, "--kafka-brokers="+c.Kafka.Brokers)
	holds(t, "compare", p.Stdout(), fmt.Sprintf("A  %-*s  %d records in 5 partitions", len(shadow), topic, book.Len()), "\nequal\n")
	got = compare(c, 1, topic, shadow, "--isolation=read_uncommitted")
	if got.Equal || got.Differences["duplicate_in_b"] == 0 || got.B.Records <= book.Len() {
		t.Errorf("read_uncommitted: %+v", got)
	}
}

func TestCompareFindsEveryKindOfDifference(t *testing.T) {
	t.Parallel()
	c := harness.New(t, source(t))
	a, b := harness.Topic(c.Type)+".a", harness.Topic(c.Type)+".b"
	c.Kafka.Create(t, a, 2)
	c.Kafka.Create(t, b, 2)
	begin := time.Now().Add(-time.Hour).Truncate(time.Second)
	// write appends records "partition minute id key value header", ten minutes later in B.
	write := func(topic string, later time.Duration, texts ...string) {
		t.Helper()
		for _, text := range texts {
			var partition int32
			var minute int
			var id, key, value, header string
			if _, err := fmt.Sscan(text, &partition, &minute, &id, &key, &value, &header); err != nil {
				t.Fatal(err)
			}
			r := &kgo.Record{Topic: topic, Partition: partition, Key: []byte(key), Value: []byte(value), Timestamp: begin.Add(time.Duration(minute)*time.Minute + later),
				Headers: []kgo.RecordHeader{{Key: "id", Value: []byte(id)}, {Key: "run", Value: []byte(header)}}}
			if err := c.Kafka.Client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(a, 0, "0 0 one k v h", "0 1 two k v h", "0 2 three k v h", "0 3 four k value h", "0 4 five k v h", "0 5 six k v h", "1 6 seven l v h", "1 7 eight l v h", "1 8 eight l v h")
	write(b, time.Second, "0 0 two k v h", "0 1 one k v h", "0 3 four k valve h", "0 4 five m v h", "0 5 six k v other", "0 6 seven l v h", "1 7 eight l v h", "1 9 nine l v h", "1 9 seven l v h")
	got := compare(c, 1, a, b)
	want := map[string]int{"missing_in_b": 1, "extra_in_b": 1, "duplicate_in_a": 1, "duplicate_in_b": 1, "reordered": 1,
		"key_differs": 1, "value_differs": 1, "headers_differ": 1, "partition_differs": 1}
	if got.Equal || fmt.Sprint(got.Differences) != fmt.Sprint(want) || got.Both != 7 {
		t.Errorf("got %+v", got)
	}
	ids := map[string]string{}
	for _, e := range got.Examples {
		ids[e.Kind] = e.ID
		if e.Kind == "value_differs" && (e.First == nil || e.First.Offset != 3) {
			t.Errorf("first difference %+v", e.First)
		}
	}
	if want := map[string]string{"missing_in_b": "three", "extra_in_b": "nine", "duplicate_in_a": "eight", "duplicate_in_b": "seven", "reordered": "one",
		"key_differs": "five", "value_differs": "four", "headers_differ": "six", "partition_differs": "seven"}; fmt.Sprint(ids) != fmt.Sprint(want) {
		t.Errorf("examples %v", ids)
	}
	p := c.Do(1, "compare", a, b, "--kafka-brokers="+c.Kafka.Brokers)
	holds(t, "compare", p.Stdout(), "value, first at byte 3", "76 61 6c 75 65", "|value|", "|valve|", `behind id "two"`, "\ndifferent\n")
	holds(t, "compare", p.Stderr(), "differ")

	got = compare(c, 1, a, b, "--ignore-header=run", "--ignore-partition", "--limit=0")
	if got.Differences["headers_differ"] != 0 || got.Differences["partition_differs"] != 0 || len(got.Examples) != 0 {
		t.Errorf("what is ignored: %+v", got)
	}
	// By key and value, as no record has such a header.
	got = compare(c, 1, a, b, "--id-header=none")
	if got.Differences["value_differs"] != 0 || got.Differences["extra_in_b"] == 0 || len(got.Notes) == 0 {
		t.Errorf("without ids: %+v", got)
	}
	// From the minute of four to that of seven: its counterpart is a second later.
	at := func(minute int) string { return begin.Add(time.Duration(minute) * time.Minute).Format(time.RFC3339) }
	got = compare(c, 1, a, b, "--since="+at(3), "--until="+at(7), "--slack=90s")
	if want := map[string]int{"missing_in_b": 0, "extra_in_b": 0, "duplicate_in_a": 0, "duplicate_in_b": 0, "reordered": 0,
		"key_differs": 1, "value_differs": 1, "headers_differ": 1, "partition_differs": 1}; fmt.Sprint(got.Differences) != fmt.Sprint(want) || got.Both != 4 {
		t.Errorf("since and until: %+v", got)
	}
}

func TestCompareOfWhatIsNotThere(t *testing.T) {
	t.Parallel()
	c := harness.New(t, source(t))
	topic := harness.Topic(c.Type)
	c.Kafka.Create(t, topic, 1)
	p := c.Do(1, "compare", topic, topic+".none", "--kafka-brokers="+c.Kafka.Brokers)
	holds(t, "compare", p.Stderr(), topic+".none", "no such topic")
	if topics := c.Kafka.Topics(t, c.Type); len(topics) != 1 {
		t.Errorf("topics %v", topics)
	}
	p = c.Do(1, "compare", topic, topic+".none", "--kafka-brokers="+harness.ClosedAddr(t))
	holds(t, "compare", p.Stderr(), "no broker answers")
	if strings.Contains(p.Stdout(), "equal") {
		t.Error(p.Stdout())
	}
}

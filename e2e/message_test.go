package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

func TestRowsOfOneTransactionKeepTheOrderOfTheirStatements(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	book := c.Ledger()
	c.Kafka.Create(t, harness.Topic(c.Type), 1)
	r := c.Follow(harness.Topic(c.Type))
	p := c.Start()
	c.Sample()
	var values []any
	for i := range 2000 {
		values = append(values, fmt.Sprint(i))
	}
	book.All(c.DB.Outbox(), c.Type, "a", values...)
	c.Arrived(r, 2000, 20*time.Second)
	p.Stop()
	c.Check(book.Want(), check.ExactlyOnce)
}

// Kafka lets EndTxn succeed for a transaction that never contained the records, if a producer remembers from the
// one before that the partition has joined.
func TestTransactionsInARowOnOnePartitionAreAllCommitted(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	book := c.Ledger()
	c.Kafka.Create(t, harness.Topic(c.Type), 1)
	r := c.Follow(harness.Topic(c.Type))
	p := c.Start()
	for range harness.Either(500, 50) {
		id := book.Insert("a", "x")
		c.Wait("the row arrives", 10*time.Second, func() (bool, string) { return r.Has(id), id })
	}
	p.Stop()
	c.Check(book.Want(), check.ExactlyOnce)
}

func TestKeysAndValuesAreTheBytesOfTheDatabase(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	book := c.Ledger()
	r := c.Follow(harness.Topic(c.Type))
	add := func() {
		book.Insert("null", nil)
		book.Insert("empty", "")
		book.Insert("", "empty key")
		book.Insert(" ", " ")
		book.Insert("ключ-鍵-🔑", "значение-値-💎-\u0001-\u2028-é-e\u0301")
		book.Insert("lines", "a\nb\r\n\tc\\n\\N\\.\"'`")
		book.Insert(strings.Repeat("k", 255), strings.Repeat("v", 100_000))
		for i := range 50 {
			book.Insert(fmt.Sprintf("spread-%d-%s", i, strings.Repeat("é", i%7)), fmt.Sprint(i))
		}
	}
	add() // For the snapshot.
	p := c.Start("--topic-partitions=7")
	c.Sample()
	add()
	c.Arrived(r, book.Len(), 20*time.Second)
	p.Stop()
	if n := len(c.Kafka.Topics(t, harness.Topic(c.Type))); n != 1 {
		t.Errorf("%d topics", n)
	}
	if counts, err := check.Partitions(t.Context(), c.Kafka.Admin, harness.Topic(c.Type)); err != nil ||
		counts[harness.Topic(c.Type)] != 7 {
		t.Errorf("partitions %v, %v; --topic-partitions was 7", counts, err)
	}
	c.Check(book.Want(), check.ExactlyOnce)
}

func TestTypesOfIDKeyAndPayload(t *testing.T) {
	t.Parallel()
	blob := make([]byte, 300)
	rand.Read(blob)
	type column struct {
		payload string // column type
		value   any    // inserted
		want    any    // published: nil, or text, or bytes
	}
	const written, sorted = `{"b":1, "a" : [1.50, null, "é"]}`, `{"a": [1.50, null, "é"], "b": 1}`
	cases := []column{
		{"text", "plain", "plain"},
		{"varchar(100)", "plain", "plain"},
		{by("bytea", "blob"), blob, blob},
		{by("bytea", "longblob"), []byte{}, []byte{}},
		{by("bytea", "varbinary(10)"), nil, nil},
	}
	cases = append(cases, map[string][]column{
		"postgres": {
			{"jsonb", written, sorted},
			{"json", written, written},
			{"jsonb", `"text"`, `"text"`},
			{"jsonb", nil, nil},
			{"xml", "<a>b</a>", "<a>b</a>"},
		},
		"mysql": {
			{"json", written, `{"a": [1.5, null, "é"], "b": 1}`}, // the server's own text
			{"json", `"text"`, `"text"`},
			{"json", nil, nil},
			{"binary(4)", []byte("ab"), []byte("ab\x00\x00")},
		},
		"mariadb": {
			{"json", written, written},
			{"json", nil, nil},
			{"binary(4)", []byte("ab"), []byte("ab\x00\x00")},
		},
	}[kind()]...)
	for i, k := range cases {
		t.Run(fmt.Sprint(i, " ", k.payload), func(t *testing.T) {
			t.Parallel()
			c := harness.New(t, source(t))
			c.DB.Exec(t, fmt.Sprintf(`CREATE TABLE outbox (id %s PRIMARY KEY, aggregatetype text NOT NULL, aggregateid bigint NOT NULL,
				type text, payload %s)`, map[string]string{"postgres": "uuid", "mysql": "char(36)", "mariadb": "uuid"}[kind()], k.payload))
			statement := fmt.Sprintf("INSERT INTO outbox VALUES (%s, %s, -9007199254740993, NULL, %s)", c.DB.Arg(1), c.DB.Arg(2), c.DB.Arg(3))
			book := c.Ledger()
			r := c.Follow(harness.Topic(c.Type))
			ids := []string{"0194c2e4-7a3b-7c5d-8e9f-000000000001", "0194c2e4-7a3b-7c5d-8e9f-000000000002"}
			insert := func(id string) {
				c.DB.Exec(t, statement, id, c.Type, k.value)
				book.Expect(id, c.Type, "-9007199254740993", k.want)
			}
			insert(ids[0]) // For the snapshot.
			p := c.Start()
			insert(ids[1])
			c.Arrived(r, 2, 20*time.Second)
			p.Stop()
			c.Check(book.Want(), check.ExactlyOnce)
		})
	}
}

func TestEveryCompressionIsReadable(t *testing.T) {
	t.Parallel()
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			c := world(t, source(t))
			l := (&harness.Load{Seed: harness.Seed(t), Aggregates: 20, Writers: 2, Rows: 1000}).Prepare(c)
			r := c.Follow(l.Topics()...)
			p := c.Start("--kafka-compression=" + codec)
			l.Must(t)
			want := l.Want()
			c.Arrived(r, len(want), 20*time.Second)
			p.Stop()
			c.Check(want, check.ExactlyOnce)
		})
	}
}

func TestTheTopicPrefixComesBeforeEveryTopic(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	prefix := "shadow-" + c.Type + "."
	topic := prefix + harness.Topic(c.Type)
	book := c.Ledger()
	r := c.Follow(topic)
	p := c.Start("--topic-prefix=" + prefix)
	book.Insert("a", "x")
	c.Arrived(r, 1, 20*time.Second)
	p.Stop()
	if topics := c.Kafka.Topics(t, harness.Topic(c.Type)); len(topics) != 1 || topics[0] != topic {
		t.Errorf("topics %v, wanted only %s", topics, topic)
	}
}

// The timestamp is the time of publishing: a backlog older than the topic's retention must not be deleted on
// arrival.
func TestTheTimestampIsTheTimeOfPublishing(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	book := c.Ledger()
	r := c.Collect(harness.Topic(c.Type))
	c.Start().Stop()
	book.Insert("a", "x")
	begin := time.Now()
	p := c.Start()
	c.Arrived(r, 1, 20*time.Second)
	p.Stop()
	if at := time.UnixMilli(r.Records()[0].Millis); at.Before(begin.Add(-time.Millisecond)) || at.After(time.Now()) {
		t.Errorf("the timestamp is %v, published after %v", at, begin)
	}
}

// A message that the topic can never take halts before it: what came before is published, nothing behind it is.
func TestAMessageTooLargeForItsTopicHaltsBeforeIt(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	c.Kafka.Create(t, harness.Topic(c.Type), 1, "max.message.bytes", "20000")
	book := c.Ledger()
	r := c.Follow(harness.Topic(c.Type))
	p := c.Start()
	book.Insert("a", "before")
	c.Arrived(r, 1, 20*time.Second)
	noise := make([]byte, 30000)
	rand.Read(noise) // Does not compress.
	id := book.Insert("a", base64.StdEncoding.EncodeToString(noise))
	book.Insert("b", "after")
	p.Want(3, 20*time.Second)
	holds(t, "the halt", p.Stderr(), "outbox", id, aPosition, "max.message.bytes")
	again := c.Run()
	again.Want(3, 20*time.Second)
	holds(t, "the next halt", again.Stderr(), id)
	c.Check(book.Want()[:1], check.ExactlyOnce)

	// Made to fit, it goes on with that very row.
	settings := "40000000"
	if _, err := c.Kafka.Admin.AlterTopicConfigs(t.Context(), alter("max.message.bytes", settings), harness.Topic(c.Type)); err != nil {
		t.Fatal(err)
	}
	p = c.Start()
	c.Arrived(r, 3, 20*time.Second)
	p.Stop()
	c.Check(book.Want(), check.ExactlyOnce)
}

func TestPoisonInsideOfATransactionHaltsBeforeItsRowOnly(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	c.Kafka.Create(t, harness.Topic(c.Type), 1, "max.message.bytes", "20000")
	book := c.Ledger()
	p := c.Start()
	big := strings.Repeat("0123456789abcdef", 3000)
	ids := book.All(c.DB.Outbox(), c.Type, "a", "1", "2", big, "4", "5")
	p.Want(3, 20*time.Second)
	holds(t, "the halt", p.Stderr(), ids[2])

	// Skipped, the others are published, each once.
	r := c.Follow(harness.Topic(c.Type))
	p = c.Start("--on-poison=skip")
	c.Arrived(r, 4, 20*time.Second)
	p.Counts(c, 1, "events_poison_total", "action=skip")
	p.Stop()
	want := book.Want()
	c.Check(append(want[:2:2], want[3:]...), check.ExactlyOnce)
}

func TestARowLongerThanTheLimitIsPoison(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	book := c.Ledger()
	r := c.Follow(harness.Topic(c.Type))
	p := c.Start("--max-row-bytes=64KiB")
	book.Insert("a", strings.Repeat("x", 60<<10))
	c.Arrived(r, 1, 20*time.Second)
	id := book.Insert("a", strings.Repeat("x", 70<<10))
	p.Want(3, 20*time.Second)
	holds(t, "the halt", p.Stderr(), id, "--max-row-bytes")
	c.Check(book.Want()[:1], check.ExactlyOnce)
}

func TestARowWithoutAggregateTypeIsPoison(t *testing.T) {
	t.Parallel()
	c := harness.New(t, source(t))
	c.DB.Exec(t, "CREATE TABLE outbox (id varchar(64) PRIMARY KEY, aggregatetype text, aggregateid text, type text, payload text)")
	p := c.Start()
	c.DB.Exec(t, "INSERT INTO outbox VALUES ('the-id', NULL, 'a', 'x', 'y')")
	p.Want(3, 20*time.Second)
	holds(t, "the halt", p.Stderr(), "the-id", "outbox", "aggregatetype")
}

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// tramVector is a row that the real producer of Eventuate Tram wrote, and the record that the real CDC service made
// of it.
type tramVector struct {
	Source string
	Row    struct {
		ID, Destination, Headers, Payload string
		DBID                              int64
	}
	Record struct {
		Topic     string
		Partition int32
		Key       string
		Value     string
	}
}

// tramVectors reads the vectors of some sources, in the order in which the rows were written.
func tramVectors(t *testing.T, sources ...string) []tramVector {
	t.Helper()
	data, err := os.ReadFile("testdata/golden/eventuate/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []tramVector }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	var list []tramVector
	for _, v := range file.Vectors {
		if strings.Contains(strings.Join(sources, " ")+" ", v.Source+" ") {
			list = append(list, v)
		}
	}
	return list
}

// tramTable makes a table as Eventuate's scripts do; text is the type of headers and payload.
func tramTable(t *testing.T, db harness.Database, table, text string, databaseIDs bool) {
	t.Helper()
	id := by("id VARCHAR(1000) PRIMARY KEY", "id VARCHAR(255) PRIMARY KEY")
	if databaseIDs {
		id = by("dbid BIGSERIAL PRIMARY KEY, id VARCHAR(1000)", "dbid BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, id VARCHAR(255)")
	}
	db.Exec(t, fmt.Sprintf(`CREATE TABLE %s (%s, destination %s NOT NULL, headers %s NOT NULL, payload %s NOT NULL,
		published SMALLINT DEFAULT 0, message_partition SMALLINT, creation_time BIGINT)`+by("", " DEFAULT CHARSET utf8mb4"),
		table, id, by("TEXT", "LONGTEXT"), text, text))
}

// tramInsert writes one row; a dbid of 0 leaves it to the database.
func tramInsert(t *testing.T, db harness.Database, table string, dbid int64, id, destination, headers, payload string, published int) {
	t.Helper()
	columns, values := "id, destination, headers, payload, published", []any{id, destination, headers, payload, published}
	if dbid > 0 {
		columns, values = "dbid, "+columns, append([]any{dbid}, values...)
	}
	var marks []string
	for i := range values {
		marks = append(marks, db.Arg(i+1))
	}
	db.Exec(t, fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", table, columns, strings.Join(marks, ", ")), values...)
}

// landed waits until n records can be read.
func landed(c *harness.Case, r *harness.Reader, n int) {
	c.Helper()
	c.Wait(fmt.Sprint(n, " records"), 30*time.Second, func() (bool, string) {
		got := len(r.Records())
		return got >= n, fmt.Sprint(got)
	})
}

// What the real CDC writes, tailer writes byte for byte: topic, partition, key, value, and no record headers. Some of
// the rows are there before it starts.
func TestEventuateVectors(t *testing.T) {
	t.Parallel()
	server := source(t)
	text := by("TEXT", "LONGTEXT")
	for _, s := range []struct {
		name, text string
		vectors    []tramVector
		flags      []string
		exact      int // how many values are equal byte for byte, and not in content alone
	}{
		{"application ids", text, tramVectors(t, "postgres", "mysql"), nil, 38},
		{"database ids", text, tramVectors(t, "postgres-dbid"), []string{"--outbox-id=7"}, 11},
		{"JSON columns", by("JSON", "JSON"), jsonVectors(tramVectors(t, "postgres", "mysql")), nil, by(22, 0)},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			c := harness.New(t, server)
			schema, plain := c.DB.Schema(t, "eventuate")
			table := schema + ".message"
			tramTable(t, c.DB, table, s.text, s.flags != nil)
			insert := func(list []tramVector) {
				for _, v := range list {
					tramInsert(t, c.DB, table, v.Row.DBID, v.Row.ID, v.Row.Destination, v.Row.Headers, v.Row.Payload, 0)
				}
			}
			var far int64 // a dbid that no vector has
			if s.flags != nil {
				far = 9000
			}
			// The migration scripts' own row, and one that a polling reader is done with.
			tramInsert(t, c.DB, table, far, "CDC-IGNORED", "CDC-IGNORED", "{}", "{}", 1)
			insert(s.vectors[:5])
			topics := map[string]bool{}
			for _, v := range s.vectors {
				topics[c.ID+"."+v.Record.Topic] = true
			}
			var names []string
			for topic := range topics {
				c.Kafka.Create(t, topic, 6)
				names = append(names, topic)
			}
			r := c.Collect(names...)
			p := c.Start(append(s.flags, "--preset=eventuate", "--outbox-table="+plain+".message", "--topic-prefix="+c.ID+".")...)
			insert(s.vectors[5:])
			tramInsert(t, c.DB, table, 2*far, "done", s.vectors[0].Row.Destination, "{}", "{}", 1)
			landed(c, r, len(s.vectors))
			p.Stop()
			tramCompare(t, c, s.vectors, c.Kafka.Records(t, names...), s.exact)
			for _, topic := range c.Kafka.Topics(t, c.ID) {
				if !topics[topic] && topic != c.Checkpoint() {
					t.Errorf("there is a topic %s", topic)
				}
			}
		})
	}
}

// jsonVectors are those that a JSON column can hold.
func jsonVectors(list []tramVector) []tramVector {
	var fit []tramVector
	for _, v := range list {
		if json.Valid([]byte(v.Row.Payload)) && json.Valid([]byte(v.Row.Headers)) {
			fit = append(fit, v)
		}
	}
	return fit
}

func tramCompare(t *testing.T, c *harness.Case, vectors []tramVector, got []check.Record, exact int) {
	t.Helper()
	if len(got) != len(vectors) {
		t.Errorf("%d records, wanted %d", len(got), len(vectors))
	}
	type place struct {
		topic     string
		partition int32
	}
	next := map[place][]check.Record{}
	for _, r := range got {
		at := place{r.Topic, r.Partition}
		next[at] = append(next[at], r)
	}
	same := 0
	for i, v := range vectors {
		at := place{c.ID + "." + v.Record.Topic, v.Record.Partition}
		if len(next[at]) == 0 {
			t.Errorf("%d: nothing more in partition %d of %s", i, at.partition, at.topic)
			continue
		}
		r := next[at][0]
		next[at] = next[at][1:]
		if r.Key == nil || string(r.Key) != v.Record.Key || len(r.Headers) != 0 {
			t.Errorf("%d: key %q, headers %v; want %q and none", i, r.Key, r.Headers, v.Record.Key)
		}
		if string(r.Value) == v.Record.Value {
			same++
		}
		if x, y := tramContent(t, r.Value), tramContent(t, []byte(v.Record.Value)); !reflect.DeepEqual(x, y) {
			t.Errorf("%d: value\n got  %s\n want %s", i, r.Value, v.Record.Value)
		}
		if time.Since(time.UnixMilli(r.Millis)).Abs() > time.Minute {
			t.Errorf("%d: the time is %s, not that of publishing", i, time.UnixMilli(r.Millis))
		}
	}
	if same < exact {
		t.Errorf("%d values are equal byte for byte, want %d", same, exact)
	}
}

// tramContent is what a consumer gets from a value: the payload, as JSON where it is any, and the headers.
func tramContent(t *testing.T, value []byte) (content struct {
	Payload any
	Headers map[string]string
}) {
	t.Helper()
	if err := json.Unmarshal(value, &content); err != nil {
		t.Fatalf("%s: %v", value, err)
	}
	var parsed any
	if json.Unmarshal([]byte(content.Payload.(string)), &parsed) == nil {
		content.Payload = parsed
	}
	return content
}

// The tables of a sharded outbox are read together, and the ids that the database gave in each stay apart.
func TestEventuateShards(t *testing.T) {
	t.Parallel()
	c := harness.New(t, source(t))
	schema, plain := c.DB.Schema(t, "eventuate")
	var tables []string
	for i := range 3 {
		name := fmt.Sprintf("message%d", i)
		tramTable(t, c.DB, schema+"."+name, by("TEXT", "LONGTEXT"), true)
		tables = append(tables, plain+"."+name)
	}
	topic := c.ID + ".orders"
	c.Kafka.Create(t, topic, 3)
	r := c.Collect(topic)
	p := c.Start("--preset=eventuate", "--outbox-id=40", "--outbox-table="+strings.Join(tables, ","))
	want := map[string]bool{}
	for i := range 3 {
		for n := 1; n <= 2; n++ {
			tramInsert(t, c.DB, fmt.Sprintf("%s.message%d", schema, i), 0, "", topic, `{"a":"b"}`, "x", 0)
			want[fmt.Sprintf("%016x-%016x", n, 40+i)] = true
		}
	}
	landed(c, r, len(want))
	p.Stop()
	for _, r := range c.Kafka.Records(t, topic) {
		id := tramContent(t, r.Value).Headers["ID"]
		if !want[id] || string(r.Key) != id {
			t.Errorf("key %q, value %s; want one of %v", r.Key, r.Value, want)
		}
		delete(want, id)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}

// A row on which a consumer would stop for good never gets out.
func TestEventuatePoison(t *testing.T) {
	t.Parallel()
	c := harness.New(t, source(t))
	schema, plain := c.DB.Schema(t, "eventuate")
	table := schema + ".message"
	tramTable(t, c.DB, table, by("TEXT", "LONGTEXT"), false)
	topic := c.ID + ".orders"
	c.Kafka.Create(t, topic, 1)
	r := c.Collect(topic)
	args := []string{"--preset=eventuate", "--outbox-table=" + plain + ".message"}
	p := c.Start(args...)
	tramInsert(t, c.DB, table, 0, "good-1", topic, `{"ID":"good-1"}`, "x", 0)
	tramInsert(t, c.DB, table, 0, "bad-1", topic, `{"PARTITION_ID":"1"}`, "x", 0)
	tramInsert(t, c.DB, table, 0, "good-2", topic, `{"ID":"good-2"}`, "x", 0)
	p.Want(3, 30*time.Second)
	holds(t, "the refusal", p.Stderr(), "bad-1", "header ID is missing", "--outbox-id", "--on-poison")

	bad := []struct{ headers, payload string }{
		{`"text"`, "x"}, {"{}", "x"}, {"{", "x"}, {`{"ID":"b","a":{}}`, "x"}, {`{"ID":"b","event-type":"t"}`, "{}"},
		{`{"ID":"b","event-type":"t","event-aggregate-type":"a","event-aggregate-id":"1"}`, "no JSON"},
		{`{"ID":"b","command_type":"t"}`, "no JSON"},
	}
	for i, b := range bad {
		tramInsert(t, c.DB, table, 0, fmt.Sprint("bad-1", i), topic, b.headers, b.payload, 0)
	}
	tramInsert(t, c.DB, table, 0, "bad-2", c.ID+" no topic", `{"ID":"b"}`, "x", 0)
	tramInsert(t, c.DB, table, 0, "good-3", topic, `{"ID":"good-3"}`, "x", 0)
	p = c.Start(append(args, "--on-poison=skip")...)
	landed(c, r, 3)
	p.Counts(c, len(bad)+2, "events_poison_total", "action=skip")
	p.Stop()
	var ids []string
	for _, r := range c.Kafka.Records(t, topic) {
		ids = append(ids, string(r.Key))
	}
	if got := strings.Join(ids, " "); got != "good-1 good-2 good-3" {
		t.Errorf("got %s", got)
	}
}

// A huge row is written whole.
func TestEventuateLargeRow(t *testing.T) {
	t.Parallel()
	c := harness.New(t, source(t))
	schema, plain := c.DB.Schema(t, "eventuate")
	table := schema + ".message"
	tramTable(t, c.DB, table, by("TEXT", "LONGTEXT"), false)
	topic := c.ID + ".orders"
	c.Kafka.Create(t, topic, 1, "max.message.bytes", "41943040")
	r := c.Collect(topic)
	p := c.Start("--preset=eventuate", "--outbox-table="+plain+".message")
	payload := `{"list":["` + strings.Repeat(`some text of a line","`, 12<<20/22) + `"]}`
	for i := range 2 {
		id := fmt.Sprint("row-", i)
		tramInsert(t, c.DB, table, 0, id, topic, `{"ID":"`+id+`","PARTITION_ID":"k"}`, payload, 0)
	}
	landed(c, r, 2)
	p.Stop()
	for _, r := range c.Kafka.Records(t, topic) {
		var got struct{ Payload string }
		if err := json.Unmarshal(r.Value, &got); err != nil || got.Payload != payload {
			t.Errorf("the payload in %d bytes is another one, %v", len(r.Value), err)
		}
	}
}

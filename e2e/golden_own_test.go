package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// Two tables, each with a mapping of its own, from one transaction; one of them changes while tailer runs.
func TestOwnMappingsWithoutCode(t *testing.T) {
	t.Parallel()
	c, db := postgres(t)
	db.Exec(t, `CREATE DOMAIN cents AS numeric(10,2)`)
	db.Exec(t, `CREATE TABLE sales (event_id bigint PRIMARY KEY, region text, customer int, kind text, body bytea, shard smallint,
		occurred timestamptz, trace text, price cents)`)
	db.Exec(t, `CREATE TABLE audit (id uuid PRIMARY KEY, what jsonb)`)
	config := filepath.Join(t.TempDir(), "tailer.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, `
tables:
  - table: public.sales
    columns: {id: event_id, payload: body, partition: shard, timestamp: occurred, traceparent: trace}
    topic: "%[1]s.sales.{region}"
    key: "{region}-{customer}"
    id-header: event-id
    headers:
      - {column: kind, name: type}
      - {name: source, value: sales-db}
      - {name: nth, meta: ordinal}
      - {column: price}
      - {column: later}
    missing-columns: ignore
    formats: {headers: simple}
  - table: public.audit
    columns: {aggregateid: id, payload: what}
    topic: "%[1]s.audit"
    formats: {value: json, key: json}
    expand-json: true
`, c.Type), 0o600); err != nil {
		t.Fatal(err)
	}
	sales, audit := c.Type+".sales.eu", c.Type+".audit"
	c.Kafka.Create(t, sales, 4)
	c.Kafka.Create(t, audit, 1)
	r := c.Collect(sales, audit)
	const insert = `INSERT INTO sales VALUES (%d, 'eu', 7, 'sold', '\x00ff', 3, '2024-02-29 12:34:56.789+00',
		'00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 12.5%s)`
	db.Exec(t, fmt.Sprintf(insert, 1, "")) // For the snapshot.
	p := c.Start("--config=" + config)
	db.Exec(t, "BEGIN; "+fmt.Sprintf(insert, 2, "")+`; INSERT INTO audit VALUES ('0194c2e4-7a3b-7c5d-8e9f-000000000001', '{"a": [1, 2]}'); COMMIT`)
	c.Wait("three records", 20*time.Second, func() (bool, string) { n := len(r.Records()); return n == 3, fmt.Sprint(n) })
	db.Exec(t, "ALTER TABLE sales ADD COLUMN later date")
	db.Exec(t, fmt.Sprintf(insert, 3, ", '2024-02-29'"))
	c.Wait("four records", 20*time.Second, func() (bool, string) { n := len(r.Records()); return n == 4, fmt.Sprint(n) })

	bySales := func(id, nth string, more ...check.Header) check.Record {
		return check.Record{Topic: sales, Partition: 3, Key: []byte("eu-7"), Value: []byte("\x00\xff"), Millis: 1709210096789,
			Headers: append([]check.Header{{Key: "traceparent", Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")},
				{Key: "event-id", Value: []byte(id)}, {Key: "type", Value: []byte("sold")}, {Key: "source", Value: []byte("sales-db")},
				{Key: "nth", Value: []byte(nth)}, {Key: "price", Value: []byte("12.50")}}, more...)}
	}
	want := map[string]bool{
		described(bySales("1", "1"), true, true):                                                     true,
		described(bySales("2", "1"), true, true):                                                     true,
		described(bySales("3", "1", check.Header{Key: "later", Value: []byte("19782")}), true, true): true,
		described(check.Record{Topic: audit, Key: []byte(`"0194c2e4-7a3b-7c5d-8e9f-000000000001"`), Value: []byte(`{"a":[1,2]}`),
			Headers: []check.Header{{Key: "id", Value: []byte("0194c2e4-7a3b-7c5d-8e9f-000000000001")}}}, true, false): true,
	}
	for _, got := range r.Records() {
		text := described(got, true, got.Topic == sales)
		if !want[text] {
			t.Errorf("unexpected\n    %s", text)
		}
		delete(want, text)
	}
	for text := range want {
		t.Errorf("missing\n    %s", text)
	}

	// A change that the mapping cannot follow is a refusal, not a guess.
	db.Exec(t, "ALTER TABLE sales ALTER COLUMN occurred TYPE int USING 1")
	db.Exec(t, `INSERT INTO sales VALUES (4, 'eu', 7, 'sold', '\x00', 3, 5)`)
	p.Want(3, 20*time.Second)
	holds(t, "the refusal", p.Stderr(), "columns.timestamp", "occurred", "int4")
}

// Ids of sixteen bytes are UUIDs in key, headers and templates, the payload's bytes stay what they are, and a schema
// repeats what columns default to, be it a literal or the current time.
func TestOwnMappingsOfBinaryUUIDs(t *testing.T) {
	t.Parallel()
	c, db := binlog(t)
	db.Exec(t, `CREATE TABLE plain (id binary(16) PRIMARY KEY, aggregatetype varchar(99), aggregateid binary(16), payload longblob)`)
	db.Exec(t, `CREATE TABLE described (id binary(16) PRIMARY KEY, tenant varbinary(16), payload text, n int NOT NULL DEFAULT 7,
		s varchar(9) DEFAULT 'it', made datetime DEFAULT CURRENT_TIMESTAMP)`)
	config := filepath.Join(t.TempDir(), "tailer.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, `
tables:
  - table: %[2]s.plain
    uuid-columns: [id, aggregateid]
  - table: %[2]s.described
    uuid-columns: [id, tenant]
    topic: "%[1]s.schemas"
    key: "{tenant}/{id}"
    id-header: "-"
    headers: [{column: tenant}]
    envelope: [{column: n}, {column: s}, {column: made}]
    schema-name: own
    formats: {value: json-schema, headers: json}
`, c.Type, db.Name()), 0o600); err != nil {
		t.Fatal(err)
	}
	plain, schemas := harness.Topic(c.Type), c.Type+".schemas"
	c.Kafka.Create(t, plain, 1)
	c.Kafka.Create(t, schemas, 1)
	r := c.Collect(plain, schemas)
	const id, text = "0194c2e47a3b7c5d8e9f0000000000", "0194c2e4-7a3b-7c5d-8e9f-0000000000"
	insert := func(n string) {
		db.Exec(t, fmt.Sprintf(`INSERT INTO plain VALUES (X'%[1]s%[3]s', '%[2]s', X'%[1]s00', X'00ff')`, id, c.Type, n))
		db.Exec(t, fmt.Sprintf(`INSERT INTO described (id, tenant, payload, s, made) VALUES (X'%[1]s%[2]s', X'%[1]s00', 'x', NULL, '2024-02-29 12:34:56')`, id, n))
	}
	insert("01") // For the snapshot.
	c.Start("--config=" + config)
	insert("02")
	c.Wait("four records", 20*time.Second, func() (bool, string) { n := len(r.Records()); return n == 4, fmt.Sprint(n) })

	const schema = `{"schema":{"type":"struct","fields":[{"type":"string","optional":true,"field":"payload"},` +
		`{"type":"int32","optional":false,"default":7,"field":"n"},{"type":"string","optional":true,"default":"it","field":"s"},` +
		`{"type":"int64","optional":true,"name":"io.debezium.time.Timestamp","version":1,"default":0,"field":"made"}],` +
		`"optional":false,"name":"own.Value"},"payload":{"payload":"x","n":7,"s":null,"made":1709210096000}}`
	want := map[string]bool{}
	for _, n := range []string{"01", "02"} {
		want[described(check.Record{Topic: plain, Key: []byte(text + "00"), Value: []byte("\x00\xff"),
			Headers: []check.Header{{Key: "id", Value: []byte(text + n)}}}, true, false)] = true
		want[described(check.Record{Topic: schemas, Key: []byte(text + "00/" + text + n), Value: []byte(schema),
			Headers: []check.Header{{Key: "tenant", Value: []byte(`"` + text + `00"`)}}}, true, false)] = true
	}
	for _, got := range r.Records() {
		text := described(got, true, false)
		if !want[text] {
			t.Errorf("unexpected\n    %s", text)
		}
		delete(want, text)
	}
	for text := range want {
		t.Errorf("missing\n    %s", text)
	}
}

// A type that has no form here is refused at the start, before a row of it comes.
func TestGeometryIsRefused(t *testing.T) {
	t.Parallel()
	c, db := binlog(t)
	db.Exec(t, `CREATE TABLE outbox (id int PRIMARY KEY, aggregatetype varchar(99), aggregateid int, payload point)`)
	p := c.Run()
	p.Want(3, 20*time.Second)
	holds(t, "the refusal", p.Stderr(), "payload", "is of type point")
}

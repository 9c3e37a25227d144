package convert

import (
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/tailer-io/tailer/internal/outboxtest"
)

const whole = `{"name": "orders-outbox", "config": {
  "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
  "database.hostname": "db.example", "database.port": 5432, "database.user": "debezium", "database.password": "s3cret",
  "database.dbname": "shop", "topic.prefix": "shop", "table.include.list": "public.outbox,app\\.events",
  "tasks.max": "1", "plugin.name": "pgoutput", "slot.name": "debezium", "snapshot.mode": "no_data",
  "extended.headers.enabled": "true", "time.precision.mode": "isostring", "heartbeat.interval.ms": "1000",
  "key.converter": "org.apache.kafka.connect.storage.StringConverter",
  "value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable": false,
  "transforms": "outbox", "transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter",
  "transforms.outbox.table.field.event.id": "event_id", "transforms.outbox.table.field.event.key": "ref",
  "transforms.outbox.table.field.event.payload": "body", "transforms.outbox.table.field.event.timestamp": "created",
  "transforms.outbox.table.field.event.schema.version": "v", "transforms.outbox.route.by.field": "kind",
  "transforms.outbox.route.topic.regex": "(?<x>.*)", "transforms.outbox.route.topic.replacement": "t.${x}",
  "transforms.outbox.route.tombstone.on.empty.payload": "true", "transforms.outbox.table.expand.json.payload": "true",
  "transforms.outbox.table.json.payload.null.behavior": "optional_bytes",
  "transforms.outbox.table.field.additional.missing": "ignore",
  "transforms.outbox.table.fields.additional.placement": " type : HEADER : eventType ,n:envelope,p:partition,s:header:,"
}}`

const wholeYAML = `name: orders-outbox
source-url: postgres://debezium@db.example:5432/shop
snapshot: never
tables:
  - table: public.outbox
    columns:
      id: event_id
      aggregatetype: kind
      aggregateid: ref
      payload: body
      timestamp: created
      partition: p
      schema-version: v
    topic:
      regex: (?<x>.*)
      replacement: t.${x}
    context-headers: shop
    headers:
      - column: type
        name: eventType
      - column: s
    envelope:
      - column: n
    schema-name: shop.public.outbox
    missing-columns: ignore
    tombstone-on-empty-payload: true
    expand-json: true
    expand-json-nulls: true
    formats:
      key: string
      value: json
      headers: simple
    types:
      time: isostring
  - table: app.events
`

func TestWholeConnector(t *testing.T) {
	r, err := Debezium([]byte(whole), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Lost) > 0 {
		t.Errorf("lost: %q", r.Lost)
	}
	want := []string{"database.password: it is not repeated; give it by --source-password-file or TAILER_SOURCE_URL"}
	if !slices.Equal(r.Notes, want) {
		t.Errorf("notes: %q", r.Notes)
	}
	_, body, _ := strings.Cut(string(r.YAML), "\n\n")
	if !strings.HasPrefix(body, wholeYAML) {
		t.Errorf("got\n%s\nwant\n%s", body, wholeYAML)
	}
	if strings.Contains(string(r.YAML), "s3cret") {
		t.Error("the password is in it")
	}
}

func TestServerProperties(t *testing.T) {
	r, err := Debezium([]byte(`# Debezium Server
debezium.source.connector.class = io.debezium.connector.mysql.MySqlConnector
debezium.source.topic.prefix: shop
debezium.source.extended.headers.enabled: FALSE
debezium.source.table.include.list=shop.outbox
debezium.source.offset.storage.file.filename=data/offsets.dat
debezium.sink.type=kafka
debezium.sink.kafka.producer.bootstrap.servers=k1:9092,\
    k2:9092
debezium.format.key=simplestring
debezium.format.value.schemas.enable=false
debezium.transforms=outbox
debezium.transforms.outbox.type=io.debezium.transforms.outbox.EventRouter
debezium.transforms.outbox.route.topic.replacement=t.\u0024{routedByValue}
quarkus.log.level=INFO
`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Lost) > 0 {
		t.Errorf("lost: %q", r.Lost)
	}
	_, body, _ := strings.Cut(string(r.YAML), "\n\n")
	want := `kafka-brokers: k1:9092,k2:9092
snapshot: initial
tables:
  - table: shop.outbox
    topic:
      regex: (?<routedByValue>.*)
      replacement: t.${routedByValue}
    formats:
      key: string
      value: json
      headers: json-schema
`
	if body != want {
		t.Errorf("got\n%s\nwant\n%s", body, want)
	}
}

// What cannot be carried over is named, each option by itself.
func TestLost(t *testing.T) {
	const base = `"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "table.include.list": "public.outbox",
"extended.headers.enabled": false, "key.converter": "org.apache.kafka.connect.storage.StringConverter",
"value.converter": "org.apache.kafka.connect.storage.StringConverter", "transforms": "outbox",
"transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter"`
	for _, c := range []struct{ options, want string }{
		{`"transforms": "outbox,route", "transforms.route.type": "x.Router", "transforms.route.regex": "a"`,
			"transforms=route (x.Router): tailer runs no other transforms than the router"},
		{`"transforms": ""`, "transforms: io.debezium.transforms.outbox.EventRouter is not among them, so this connector publishes no outbox"},
		{`"transforms.outbox.predicate": "isOutbox", "predicates": "isOutbox", "predicates.isOutbox.type": "x"`,
			"predicate=isOutbox: the router has no such option that is known"},
		{`"value.converter": "io.confluent.connect.avro.AvroConverter", "value.converter.schema.registry.url": "http://r"`,
			"value.converter=io.confluent.connect.avro.AvroConverter: it needs a schema registry, which tailer does not talk to; a payload that is encoded already passes untouched with the format bytes"},
		{`"value.converter": "x.OwnConverter"`, "value.converter=x.OwnConverter: there is no such format"},
		{`"value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.decimal.format": "NUMERIC"`,
			"value.converter.decimal.format=NUMERIC: numbers are written in base64"},
		{`"value.converter": "io.debezium.converters.BinaryDataConverter", "value.converter.delegate.converter.type": "x.Own"`,
			"value.converter.delegate.converter.type=x.Own: there is no such format"},
		{`"value.converter.charset": "latin1"`, "value.converter.charset=latin1: the format has no such setting"},
		{`"header.converter": "io.debezium.converters.BinaryDataConverter"`, "header.converter=io.debezium.converters.BinaryDataConverter: there is no such format"},
		{`"header.converter": "org.apache.kafka.connect.converters.ByteArrayConverter"`,
			"header.converter=org.apache.kafka.connect.converters.ByteArrayConverter: there is no such format"},
		{`"table.include.list": "public.outbox_.*"`, "table.include.list=public.outbox_.*: it is a pattern; name the tables with --outbox-table"},
		{`"transforms.outbox.table.fields.additional.placement": "type"`,
			`table.fields.additional.placement: "type" has no place; Debezium refuses it at start`},
		{`"transforms.outbox.table.fields.additional.placement": "type:body"`,
			`table.fields.additional.placement: "body" is no place; Debezium fails at the first row`},
		{`"interval.handling.mode": "string"`, "interval.handling.mode=string: values and names are as with numeric"},
		{`"header.converter": "org.apache.kafka.connect.json.JsonConverter", "extended.headers.enabled": true, "topic.prefix": "shop"`,
			"extended.headers.enabled: the headers __debezium.context.* are not known in the format json-schema of header.converter; with false Debezium leaves them out"},
		{`"extended.headers.enabled": "True"`,
			"topic.prefix: there is none, and the headers __debezium.context.* hold it; with extended.headers.enabled=false Debezium leaves them out"},
		{`"producer.override.partitioner.class": "org.apache.kafka.clients.producer.RoundRobinPartitioner"`,
			"producer.override.partitioner.class=org.apache.kafka.clients.producer.RoundRobinPartitioner: the key alone chooses the partition, or columns.partition"},
		{`"producer.override.partitioner.ignore.keys": "TRUE"`,
			"producer.override.partitioner.ignore.keys=TRUE: the key alone chooses the partition, or columns.partition"},
		{`"producer.override.interceptor.classes": "x.Y"`, "producer.override.interceptor.classes=x.Y: it may change messages, and tailer runs none"},
		{`"producer.override.value.serializer": "x.Y"`, "producer.override.value.serializer=x.Y: bytes are as the converter makes them"},
		{`"topic.creation.default.partitions": "many"`, "topic.creation.default.partitions=many: it is no number that Kafka takes"},
		{`"skipped.operations": "t, c"`, "skipped.operations=t, c: Debezium publishes no rows that are inserted, and tailer all"},
		{`"snapshot.mode": "custom"`, "snapshot.mode=custom: tailer knows initial and never"},
		{`"snapshot.select.statement.overrides": "public.outbox"`,
			"snapshot.select.statement.overrides=public.outbox: the first start publishes all rows in the table, or none with snapshot: never"},
		{`"snapshot.query.mode": "Custom"`, "snapshot.query.mode=Custom: the first start publishes all rows in the table, or none with snapshot: never"},
		{`"snapshot.include.collection.list": "public.other"`,
			"snapshot.include.collection.list=public.other: it does not name public.outbox, whose rows the first start publishes unless snapshot is never"},
		{`"column.exclude.list": "public.outbox.type", "transforms.outbox.table.field.additional.missing": "IGNORE"`,
			"column.exclude.list=public.outbox.type: with missing columns ignored it leaves headers or fields out; remove them from table.fields.additional.placement"},
		{`"slot.stream.params": "origin=none"`, "slot.stream.params=origin=none: tailer publishes the rows of every origin"},
		{`"topic.naming.strategy": "x.Own", "transforms.outbox.table.fields.additional.placement": "a:envelope", "value.converter": "org.apache.kafka.connect.json.JsonConverter"`,
			"topic.naming.strategy=x.Own: the name of the envelope's schema is as with io.debezium.schema.SchemaTopicNamingStrategy"},
		{`"transforms.outbox.table.json.payload.null.behavior": "keep"`,
			"transforms.outbox.table.json.payload.null.behavior=keep: it is not one of ignore, optional_bytes"},
		{`"transforms.outbox.route.topic.replacement": "${nope}"`, `tables: public.outbox: topic: replacement: the regex has no group named "nope"`},
		{`"value.converter": "org.apache.kafka.connect.converters.ByteArrayConverter", "transforms.outbox.table.expand.json.payload": "true"`,
			"tables: public.outbox: formats.value: bytes is not changed by expand-json; allowed are string, json, json-schema"},
		{`"table.include.list": "\"public\".\"outbox\""`,
			`table.include.list: "\"public\".\"outbox\"" is no schema.name without quotes, each of at most 63 bytes; name the table with --outbox-table`},
		{`"time.precision.mode": "exact"`, "time.precision.mode=exact: it is not one of adaptive, adaptive_time_microseconds, microseconds, nanoseconds, isostring, connect"},
		{`"provide.transaction.metadata": "TRUE"`, "provide.transaction.metadata=true: tailer publishes no topic of transactions"},
		{`"column.mask.with.10.chars": "public.outbox.payload"`, "column.mask.with.10.chars=public.outbox.payload: it has no equivalent that is known"},
		{`"connector.class": "io.debezium.connector.oracle.OracleConnector"`,
			"connector.class=io.debezium.connector.oracle.OracleConnector: tailer reads PostgreSQL, MySQL and MariaDB"},
	} {
		r, err := Debezium([]byte("{"+base+","+c.options+"}"), Options{})
		if err != nil {
			t.Errorf("%s: %v", c.options, err)
		} else if !slices.Equal(r.Lost, []string{c.want}) {
			t.Errorf("%s:\n got  %q\n want %q", c.options, r.Lost, c.want)
		}
	}
}

// Debezium Server publishes elsewhere, too.
func TestOtherSink(t *testing.T) {
	r, err := Debezium([]byte("debezium.sink.type=kinesis\n"), Options{})
	if want := "debezium.sink.type=kinesis: tailer publishes to Kafka"; err != nil || !slices.Contains(r.Lost, want) {
		t.Errorf("%v, lost %q, want %s", err, r.Lost, want)
	}
}

func TestWorkerAndTables(t *testing.T) {
	connector := []byte(`{"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "table.include.list": "public.outbox_.*",
"topic.prefix": "shop", "key.converter": "org.apache.kafka.connect.storage.StringConverter", "transforms": "outbox",
"transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter"}`)
	r, err := Debezium(connector, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := "value.converter: it is the worker's, which is not in this file; name the worker's properties with --worker"
	if !slices.Contains(r.Lost, want) {
		t.Errorf("lost: %q", r.Lost)
	}
	r, err = Debezium(connector, Options{Tables: []string{"public.outbox_a"}, Worker: []byte("bootstrap.servers=k:9092\n" +
		"key.converter=org.apache.kafka.connect.json.JsonConverter\nvalue.converter=org.apache.kafka.connect.json.JsonConverter\n" +
		"value.converter.schemas.enable=false\n")})
	if err != nil || len(r.Lost) > 0 {
		t.Fatalf("%v, lost: %q", err, r.Lost)
	}
	for _, part := range []string{"kafka-brokers: k:9092\n", "- table: public.outbox_a\n", "key: string\n", "value: json\n"} {
		if !strings.Contains(string(r.YAML), part) {
			t.Errorf("no %q in\n%s", part, r.YAML)
		}
	}
}

func TestEveryRefusalHasItsText(t *testing.T) {
	outboxtest.Refusals(t, map[string]int{"lose": 0, "note": 0, "fail": 0, "Errorf": 0, "New": 0})
}

func TestUnreadable(t *testing.T) {
	for in, want := range map[string]string{
		"\xff=1": "it is no UTF-8",
		"[{}]":   "it is a list: wanted is one connector",
		"{} {}":  "more than one JSON object is in it: wanted is one connector",
		`{"error_code": 404, "message": "Connector shop not found"}`: "it is an error of Kafka Connect: Connector shop not found",
		"":          "it holds no options",
		"{":         "it is no JSON: unexpected EOF",
		`{"a": {}}`: "the value of a is no text",
		`a=\u12`:    `"\\u12" ends inside of \u`,
		`a=\uxyzw`:  `"\\uxyzw" has a \u that is no number`,
	} {
		if _, err := Debezium([]byte(in), Options{}); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
	const worker = "the worker's file: it is no JSON: unexpected EOF"
	if _, err := Debezium([]byte(whole), Options{Worker: []byte("{")}); err == nil || err.Error() != worker {
		t.Errorf("%v, want %s", err, worker)
	}
}

// Every value survives the quoting.
func TestQuote(t *testing.T) {
	for _, s := range []string{"", "plain", "true", "null", "5", "a: b", "# x", "'", `"`, `\`, "{a}", "a\nb", "é😀", "- x", " x ", "${routedByValue}", "%"} {
		var back string
		if err := yaml.Unmarshal([]byte("k: "+quote(s)), &struct{ K *string }{&back}); err != nil || back != s {
			t.Errorf("%q became %s, read as %q (%v)", s, quote(s), back, err)
		}
	}
}

// Whatever becomes of a file, it is YAML; and what loses nothing, tailer takes.
func FuzzDebezium(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("debezium.source.topic.prefix=a\\\n b\n"))
	f.Add([]byte("database.hostname=h\ndatabase.port=1\ndatabase.dbname=d\ndatabase.user=u\ntopic.prefix=p\ntransforms=o\ntransforms.o.type=" + routerClass +
		"\nconnector.class=io.debezium.connector.postgresql.PostgresConnector\nkey.converter=" + stringConverter + "\nvalue.converter=" + stringConverter +
		"\ntransforms.o.route.topic.replacement=a\ntransforms.o.table.fields.additional.placement=a:header:b,c:partition,d:envelope"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Debezium(data, Options{})
		if err != nil {
			return
		}
		var out map[string]any
		if err := yaml.Unmarshal(r.YAML, &out); err != nil {
			t.Errorf("%q became YAML that is none: %v\n%s", data, err, r.YAML)
		}
		if len(r.Lost) > 0 {
			return
		}
		if err := load(t, r.YAML); err != nil {
			t.Errorf("%q became a file that tailer refuses: %v\n%s", data, err, r.YAML)
		}
	})
}

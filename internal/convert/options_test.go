package convert

import (
	"slices"
	"strings"
	"testing"
)

// connector is one that converts without a word, with other options.
func connector(t *testing.T, options string) []byte {
	t.Helper()
	return []byte(`{"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "table.include.list": "public.outbox",
"extended.headers.enabled": false, "topic.prefix": "shop", "key.converter": "org.apache.kafka.connect.storage.StringConverter",
"value.converter": "org.apache.kafka.connect.storage.StringConverter", "transforms": "outbox",
"transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter", ` + options + `}`)
}

func convert(t *testing.T, data []byte, o Options) *Result {
	t.Helper()
	r, err := Debezium(data, o)
	if err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return r
}

const (
	jsonValue = `"value.converter": "org.apache.kafka.connect.json.JsonConverter", `
	enveloped = jsonValue + `"transforms.outbox.table.fields.additional.placement": "a:envelope", `
	binaryOf  = `"value.converter": "io.debezium.converters.BinaryDataConverter",
"value.converter.delegate.converter.type": "org.apache.kafka.connect.json.JsonConverter", `
)

// The case of values with a closed set does not matter, as it does not to Debezium.
func TestCase(t *testing.T) {
	for _, c := range []struct{ options, line string }{
		{`"transforms.outbox.route.tombstone.on.empty.payload": "True"`, "    tombstone-on-empty-payload: true"},
		{jsonValue + `"transforms.outbox.table.expand.json.payload": " TRUE "`, "    expand-json: true"},
		{jsonValue + `"value.converter.schemas.enable": "False"`, "      value: json"},
		{jsonValue + `"value.converter.schemas.enable": "TRUE"`, "      value: json-schema"},
		{binaryOf + `"value.converter.delegate.converter.type.schemas.enable": "FALSE"`, "      value: bytes-or-json"},
		{binaryOf + `"value.converter.delegate.converter.type.schemas.enable": "True"`, "      value: bytes-or-json-schema"},
		{`"extended.headers.enabled": "TRUE"`, "    context-headers: shop"},
		{`"transforms.outbox.table.field.additional.missing": "IGNORE"`, "    missing-columns: ignore"},
		{jsonValue + `"transforms.outbox.table.expand.json.payload": true, "transforms.outbox.table.json.payload.null.behavior": "Optional_Bytes"`,
			"    expand-json-nulls: true"},
		{`"binary.handling.mode": "Base64"`, "      binary: base64"},
		{`"snapshot.mode": "NO_DATA"`, "snapshot: never"},
		{`"snapshot.mode": "Initial"`, "snapshot: initial"},
		{`"producer.override.compression.type": "ZSTD"`, "kafka-compression: zstd"},
	} {
		r := convert(t, connector(t, c.options), Options{})
		if len(r.Lost) > 0 || !strings.Contains(string(r.YAML), "\n"+c.line+"\n") {
			t.Errorf("%s: lost %q, want %q in\n%s", c.options, r.Lost, c.line, r.YAML)
		}
	}
}

// What is neither true nor false says nothing, whichever option it is.
func TestNoBoolean(t *testing.T) {
	for _, option := range []string{"extended.headers.enabled", "provide.transaction.metadata", "enable.time.adjuster", "include.schema.comments",
		"key.converter.schemas.enable", "value.converter.delegate.converter.type.schemas.enable", "gtid.source.filter.dml.events",
		"transforms.outbox.route.tombstone.on.empty.payload", "transforms.outbox.table.expand.json.payload",
		"producer.override.partitioner.ignore.keys", "snapshot.mode.configuration.based.snapshot.data"} {
		for _, v := range []string{"yes", "", "1", "truely"} {
			want := option + `: "` + v + `" is neither true nor false`
			if _, err := Debezium(connector(t, `"`+option+`": "`+v+`"`), Options{}); err == nil || err.Error() != want {
				t.Errorf("%v, want %s", err, want)
			}
		}
	}
}

func TestSnapshotMode(t *testing.T) {
	const based = `"configuration_based", "snapshot.mode.configuration.based.snapshot.data": `
	for mode, want := range map[string]string{
		`"initial"`: "initial", `"when_needed"`: "initial", `"always"`: "initial", `"initial_only"`: "initial",
		`"no_data"`: "never", `"never"`: "never", `"schema_only"`: "never", `"recovery"`: "never", `"SCHEMA_ONLY_RECOVERY"`: "never",
		`"configuration_based"`: "never", based + `"false"`: "never", based + `"True"`: "initial",
	} {
		r := convert(t, connector(t, `"snapshot.mode": `+mode), Options{})
		if len(r.Lost) > 0 || !strings.Contains(string(r.YAML), "\nsnapshot: "+want+"\n") {
			t.Errorf("%s: lost %q, want %s in\n%s", mode, r.Lost, want, r.YAML)
		}
	}
}

// A connector that does not name extended.headers.enabled has the headers.
func TestContextHeadersByDefault(t *testing.T) {
	config := strings.Replace(string(connector(t, `"tasks.max": 1`)), `"extended.headers.enabled": false,`, "", 1)
	r := convert(t, []byte(config), Options{})
	if len(r.Lost) > 0 || !strings.Contains(string(r.YAML), "\n    context-headers: shop\n") {
		t.Errorf("lost %q, no context-headers in\n%s", r.Lost, r.YAML)
	}
	want := []string{"extended.headers.enabled: Debezium adds the headers __debezium.context.* by default since 3.2.1, so context-headers does; " +
		"remove it if your messages have none"}
	if !slices.Equal(r.Notes, want) {
		t.Errorf("notes %q", r.Notes)
	}
	off := convert(t, connector(t, `"tasks.max": 1`), Options{})
	if strings.Contains(string(off.YAML), "context-headers") || len(off.Notes) > 0 {
		t.Errorf("notes %q, and\n%s", off.Notes, off.YAML)
	}
}

// A producer's settings come from the connector, from the worker, and from Debezium Server.
func TestProducer(t *testing.T) {
	const own = "x.OwnPartitioner: the key alone chooses the partition, or columns.partition"
	worker := "bootstrap.servers=SASL_SSL://k1:9092, k2:9092\nproducer.partitioner.class=x.OwnPartitioner\nproducer.compression.type=lz4\n" +
		"consumer.partitioner.class=no\ntopic.creation.enable=false\n"
	r := convert(t, connector(t, `"topic.creation.default.partitions": 7`), Options{Worker: []byte(worker)})
	if want := []string{"producer.partitioner.class=" + own}; !slices.Equal(r.Lost, want) {
		t.Errorf("lost %q, want %q", r.Lost, want)
	}
	for _, line := range []string{"kafka-brokers: k1:9092,k2:9092", "kafka-compression: lz4"} {
		if !strings.Contains(string(r.YAML), "\n"+line+"\n") {
			t.Errorf("no %s in\n%s", line, r.YAML)
		}
	}
	if strings.Contains(string(r.YAML), "topic-partitions") {
		t.Errorf("topic.creation.* has no effect with this worker:\n%s", r.YAML)
	}
	overridden := `"producer.override.partitioner.class": "", "producer.override.bootstrap.servers": "o:1",
"topic.creation.default.partitions": "6", "topic.creation.default.replication.factor": "-1", "topic.creation.default.cleanup.policy": "compact"`
	r = convert(t, connector(t, overridden), Options{Worker: []byte(strings.Replace(worker, "=false", "=true", 1))})
	if len(r.Lost) > 0 || !strings.Contains(string(r.YAML), "\nkafka-brokers: o:1\nkafka-compression: lz4\ntopic-partitions: 6\nsnapshot:") {
		t.Errorf("lost %q, in\n%s", r.Lost, r.YAML)
	}
	want := []string{"topic.creation.default.cleanup.policy=compact: tailer creates topics alike; make those with settings of their own before the first start"}
	if !slices.Equal(r.Notes, want) {
		t.Errorf("notes %q", r.Notes)
	}
	r = convert(t, []byte("debezium.sink.type=kafka\ndebezium.sink.kafka.producer.partitioner.class=x.OwnPartitioner\n"), Options{})
	if want := "debezium.sink.kafka.producer.partitioner.class=" + own; !slices.Contains(r.Lost, want) {
		t.Errorf("lost %q, want %q", r.Lost, want)
	}
}

// The name of the envelope's schema is that of a topic.
func TestSchemaName(t *testing.T) {
	for _, c := range []struct{ options, table, want string }{
		{``, "public.outbox", "shop.public.outbox"},
		{`"topic.delimiter": "_",`, "public.outbox", "shop_public_outbox"},
		{``, "my schema.out$böx😀", "shop.my_schema.out_b_x__"},
		{``, "public." + strings.Repeat("x", 63), "shop.public." + strings.Repeat("x", 63)},
	} {
		r := convert(t, connector(t, enveloped+c.options+`"tasks.max": 1`), Options{Tables: []string{c.table}})
		if len(r.Lost) > 0 || !strings.Contains(string(r.YAML), "\n    schema-name: "+c.want+"\n") {
			t.Errorf("lost %q, no schema-name %s in\n%s", r.Lost, c.want, r.YAML)
		}
	}
	if got := sanitized(strings.Repeat("é", 300)); got != strings.Repeat("_", 249) {
		t.Errorf("%d bytes: %s", len(got), got)
	}
}

// What changes nothing about the messages is not lost: the router replaces the key, a name of a schema that nobody
// writes has no effect, and what keeps rows out of a snapshot has none without a snapshot.
func TestNotLost(t *testing.T) {
	for _, options := range []string{
		`"message.key.columns": "public.outbox:id"`, `"skip.messages.without.change": true`, `"skipped.operations": "u,d,t"`, `"skipped.operations": "none"`,
		`"topic.naming.strategy": "x.Own", "topic.delimiter": "_"`, `"include.schema.comments": true`,
		enveloped + `"topic.naming.strategy": "io.debezium.schema.SchemaTopicNamingStrategy"`,
		enveloped + `"value.converter.schemas.enable": false, "topic.naming.strategy": "x.Own"`,
		`"snapshot.mode": "no_data", "snapshot.query.mode": "custom", "snapshot.select.statement.overrides.public.outbox": "SELECT 1", ` +
			`"snapshot.include.collection.list": "public.other"`,
		`"snapshot.include.collection.list": "public.other, public\\.outbox", "snapshot.query.mode": "SELECT_ALL"`,
		`"errors.tolerance": "NONE", "event.processing.failure.handling.mode": "Fail"`, `"slot.stream.params": "binary=true"`,
		`"producer.override.partitioner.class": "org.apache.kafka.clients.producer.internals.DefaultPartitioner"`,
		`"producer.override.partitioner.ignore.keys": "False", "producer.override.linger.ms": 5`,
		`"table.include.list": "public.outbox,public.outbox"`,
	} {
		if r := convert(t, connector(t, options), Options{}); len(r.Lost)+len(r.Notes) > 0 {
			t.Errorf("%s: lost %q, notes %q", options, r.Lost, r.Notes)
		}
	}
}

func TestNotes(t *testing.T) {
	const passes = ": Debezium passes over what it cannot publish, and tailer stops before it; on-poison chooses otherwise"
	for options, want := range map[string]string{
		`"errors.tolerance": "all"`:                                             "errors.tolerance=all: Debezium passes over what it cannot publish, and tailer stops before it; on-poison chooses otherwise",
		`"event.processing.failure.handling.mode": "WARN"`:                      "event.processing.failure.handling.mode=WARN" + passes,
		`"event.processing.failure.handling.mode": "skip"`:                      "event.processing.failure.handling.mode=skip" + passes,
		`"inconsistent.schema.handling.mode": "skip"`:                           "inconsistent.schema.handling.mode=skip" + passes,
		`"value.converter.replace.null.with.default": "true"`:                   "value.converter.replace.null.with.default=true: NULL is never replaced by a column's default",
		`"database.sslmode": "require"`:                                         "database.sslmode=require: name it in source-url",
		`"database.hostname": "db", "database.user": "u"`:                       "database.dbname: there is none; give the database by source-url or TAILER_SOURCE_URL",
		`"database.password": "s3cret"`:                                         "database.password: it is not repeated; give it by --source-password-file or TAILER_SOURCE_URL",
		`"transforms.outbox.table.field.event.type": "kind"`:                    "table.field.event.type=kind: the router reads no such column; table.fields.additional.placement places it",
		`"transforms.outbox.table.fields.additional.error.on.missing": "false"`: "table.fields.additional.error.on.missing=false: the former name has no effect in Debezium 3.6 either; it is table.field.additional.missing",
		`"transforms.outbox.table.json.payload.empty.array.behavior": "keep"`:   "table.json.payload.empty.array.behavior=keep: tailer leaves empty arrays out as Debezium 3.6 does, which ignores the option",
		`"transforms.outbox.table.op.invalid.behavior": "fatal"`:                "table.op.invalid.behavior=fatal: updates publish nothing and stop nothing",
		`"transforms.outbox.tracing.operation.name": "x"`:                       "tracing.*: they work only with OpenTelemetry on the class path; columns: {traceparent: tracingspancontext} passes the context of that column on",
		`"table.include.list": null`:                                            "table.include.list: there is none; the table is taken to be public.outbox",
		`"topic.creation.default.cleanup.policy": "compact"`:                    "topic.creation.default.cleanup.policy=compact: tailer creates topics alike; make those with settings of their own before the first start",
		`"column.include.list": "public.outbox.id"`:                             "column.include.list=public.outbox.id: tailer reads only the columns that are mapped",
		`"snapshot.mode": "ALWAYS"`:                                             "snapshot.mode=ALWAYS: the first start publishes the rows in the table, later ones do not",
		`"snapshot.mode": "initial_only"`:                                       "snapshot.mode=initial_only: tailer goes on with the rows that are inserted; --until now ends it",
		`"producer.override.compression.type": "brotli"`:                        "producer.override.compression.type=brotli: it is not one of none, gzip, snappy, lz4, zstd; kafka-compression names one",
		`"producer.override.bootstrap.servers": "k1"`:                           "producer.override.bootstrap.servers=k1: it is no list of host:port; kafka-brokers names them",
		`"database.hostname": "${env:HOST}", "database.dbname": "shop"`:         "database.*: ${env:HOST} is resolved by Kafka Connect alone; give the database by source-url or TAILER_SOURCE_URL",
	} {
		if r := convert(t, connector(t, options), Options{}); len(r.Lost) > 0 || !slices.Equal(r.Notes, []string{want}) {
			t.Errorf("%s: lost %q, notes %q", options, r.Lost, r.Notes)
		}
	}
}

// What only the binlog's connectors have.
func TestBinlogLost(t *testing.T) {
	mysql := func(options string) []byte {
		return []byte(`{"connector.class": "io.debezium.connector.mysql.MySqlConnector", "table.include.list": "shop.outbox", ` + options + mysqlRouter + `}`)
	}
	for options, want := range map[string]string{
		`"gtid.source.includes": "u1"`:                                                                 "gtid.source.includes=u1: tailer publishes the rows of every server's transactions",
		`"gtid.source.excludes": "u1"`:                                                                 "gtid.source.excludes=u1: tailer publishes the rows of every server's transactions",
		`"gtid.source.excludes": "u1", "gtid.source.filter.dml.events": "False"`:                       "",
		`"include.schema.comments": "TRUE", "header.converter": "` + jsonConverter + `"`:               "include.schema.comments=true: schemas hold no comments",
		`"header.converter": "` + jsonConverter + `"`:                                                  "",
		`"include.schema.comments": "false", "header.converter": "` + jsonConverter + `"`:              "",
		`"topic.naming.strategy": "io.debezium.schema.DefaultTopicNamingStrategy"`:                     "",
		`"topic.naming.strategy": "io.debezium.schema.SchemaTopicNamingStrategy", "topic.prefix": "p"`: "",
	} {
		r := convert(t, mysql(options+", "), Options{})
		if want == "" && len(r.Lost) > 0 || want != "" && !slices.Equal(r.Lost, []string{want}) {
			t.Errorf("%s: lost %q, want %q", options, r.Lost, want)
		}
	}
}

package config

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/outboxtest"
)

// What people read when a configuration is wrong, word by word.

func TestEveryRefusalHasItsText(t *testing.T) {
	outboxtest.Refusals(t, map[string]int{"invalid": 1, "bad": 1, "Errorf": 0, "New": 0})
}

func TestBad(t *testing.T) {
	ok := []string{"--source-url=" + testURL, "--kafka-brokers=k:9092"}
	with := func(args ...string) []string { return append(append([]string{}, ok...), args...) }
	stdout := func(args ...string) []string {
		return append([]string{"--source-url=" + testURL, "--sink=stdout"}, args...)
	}
	for _, c := range []struct {
		name string
		args []string
		env  []string
		want string
	}{
		{"no source", []string{"--kafka-brokers=k:1"}, nil,
			"--source-url: is required, for example postgres://user@host:5432/database or mysql://user@host:3306/database"},
		{"no url", with("--source-url=host=db password=x"), nil,
			"--source-url: is not a URL; allowed is postgres://user@host:5432/database or mysql://user@host:3306/database"},
		{"scheme", with("--source-url=oracle://u:p@h/db"), nil,
			`--source-url: scheme "oracle" is not one of postgres, postgresql, mysql, mariadb`},
		{"slot for MySQL", with("--source-url=mysql://u@h/db", "--pg-slot=s"), nil,
			"--pg-slot: is for postgres:// only; mysql:// needs no slot"},
		{"publication for MariaDB", with("--source-url=mariadb://u@h/db", "--pg-publication=p"), nil,
			"--pg-publication: is for postgres:// only; mariadb:// needs no publication"},
		{"server id for Postgres", with("--mysql-server-id=7"), nil,
			"--mysql-server-id: is for mysql:// and mariadb:// only"},
		{"server id", with("--source-url=mysql://u@h/db", "--mysql-server-id=4294967296"), nil,
			`--mysql-server-id: "4294967296" is not a whole number from 0 to 4294967295`},
		{"table without database", with("--source-url=mysql://u@h", "--name=n"), nil,
			`--outbox-table: "outbox" is in no database: --source-url names none; want database.name`},
		{"no database", with("--source-url=postgres://"), nil,
			"--name: is required, because --source-url names no database"},
		{"two passwords", with("--source-url=postgres://u:p@h/db", "--source-password-file=pw"), nil,
			"--source-password-file: is given, but --source-url holds a password too; only one of them is allowed"},
		{"two passwords, one by command", with("--source-url=postgres://u:p@h/db", "--source-password-command=pw"), nil,
			"--source-password-command: is given, but --source-url holds a password too; only one of them is allowed"},
		{"two passwords, none in the URL", with("--source-password-file=pw", "--source-password-command=pw"), nil,
			"--source-password-command: is not allowed beside --source-password-file"},
		{"no password file", with("--source-password-file=none"), nil,
			"--source-password-file: read password file none: no such file or directory"},
		{"empty password file", with("--source-password-file=empty"), nil,
			"--source-password-file: read password file empty: it is empty"},
		{"no brokers", []string{"--source-url=" + testURL}, nil,
			"--kafka-brokers: is required with --sink kafka, for example 127.0.0.1:9092; without Kafka, --sink stdout prints the messages"},
		{"broker without port", with("--kafka-brokers=k2"), nil,
			`--kafka-brokers: "k2" is not host:port`},
		{"broker port", with("--kafka-brokers=k2:99999"), nil,
			`--kafka-brokers: "k2:99999" is not host:port`},
		{"broker without host", with("--kafka-brokers=:9092"), nil,
			`--kafka-brokers: ":9092" is not host:port`},
		{"name", with("--name=a b"), nil,
			`--name: "a b" is not 1 to 200 letters, digits, dots, dashes and underscores`},
		{"name dots", with("--name=.."), nil,
			`--name: ".." is not 1 to 200 letters, digits, dots, dashes and underscores`},
		{"name from environment", ok, []string{"TAILER_NAME=a/b"},
			`--name: "a/b" is not 1 to 200 letters, digits, dots, dashes and underscores; set by environment variable TAILER_NAME`},
		{"slot", with("--pg-slot=My-Slot"), nil,
			`--pg-slot: "My-Slot" is not 1 to 63 of a-z, 0-9 and underscore`},
		{"publication", with("--pg-publication=" + strings.Repeat("p", 64)), nil,
			`--pg-publication: "` + strings.Repeat("p", 64) + `" is not 1 to 63 bytes without a NUL`},
		{"table", with("--outbox-table=outbox"), nil,
			`--outbox-table: "outbox" is not schema.name, without quotes, each at most 63 bytes`},
		{"table parts", with("--outbox-table=a.b.c"), nil,
			`--outbox-table: "a.b.c" is not schema.name, without quotes, each at most 63 bytes`},
		{"table twice", with("--outbox-table=a.b,a.b"), nil,
			"--outbox-table: a.b is given twice"},
		{"preset", with("--preset=avro"), nil,
			`--preset: "avro" is not one of debezium, eventuate, cloudevents`},
		{"sink", with("--sink=rabbit"), nil,
			`--sink: "rabbit" is not one of kafka, stdout`},
		{"compression", with("--kafka-compression=brotli"), nil,
			`--kafka-compression: "brotli" is not one of none, gzip, snappy, lz4, zstd`},
		{"delivery", with("--delivery=twice"), nil,
			`--delivery: "twice" is not one of exactly-once, at-least-once`},
		{"delivery stdout", stdout("--delivery=exactly-once"), nil,
			"--delivery: exactly-once is not allowed with --sink stdout, which knows no transactions; allowed is at-least-once"},
		{"snapshot", with("--snapshot=always"), nil,
			`--snapshot: "always" is not one of initial, never`},
		{"snapshot rows", with("--snapshot-max-rows=-1"), nil,
			`--snapshot-max-rows: "-1" is not a whole number from 0 to 9223372036854775807`},
		{"poison", with("--on-poison=ignore"), nil,
			`--on-poison: "ignore" is not one of halt, dead-letter, skip`},
		{"dead-letter topic", with("--dead-letter-topic=a/b"), nil,
			`--dead-letter-topic: "a/b" is not 1 to 249 letters, digits, dots, dashes and underscores`},
		{"dead-letter topic twice", with("--dead-letter-topic=t", "--checkpoint-topic=t"), nil,
			"--dead-letter-topic: t is the checkpoint topic already; each needs a topic of its own"},
		{"refusal", with("--on-refusal=ignore"), nil,
			`--on-refusal: "ignore" is not one of exit, wait`},
		{"boolean", with("--create-topics=yes"), nil,
			`--create-topics: "yes" is not one of true, false`},
		{"partitions", with("--topic-partitions=many"), nil,
			`--topic-partitions: "many" is not a whole number from 0 to 2147483647`},
		{"replication", with("--topic-replication=99999"), nil,
			`--topic-replication: "99999" is not a whole number from 0 to 32767`},
		{"prefix", with("--topic-prefix=a/"), nil,
			`--topic-prefix: "a/" is not at most 199 letters, digits, dots, dashes and underscores`},
		{"checkpoint topic", with("--checkpoint-topic=a b"), nil,
			`--checkpoint-topic: "a b" is not 1 to 249 letters, digits, dots, dashes and underscores`},
		{"file and exactly-once", with("--checkpoint-file=c.json"), nil,
			"--checkpoint-file: is not allowed with --delivery exactly-once, whose checkpoint is part of the Kafka transaction; allowed with at-least-once and stdout"},
		{"two stores", with("--delivery=at-least-once", "--checkpoint-file=c", "--checkpoint-topic=t"), nil,
			"--checkpoint-topic: is not allowed beside --checkpoint-file: there is one store"},
		{"topic of stdout", stdout("--checkpoint-topic=t"), nil,
			"--checkpoint-topic: is not allowed with --sink stdout; allowed is --checkpoint-file"},
		{"require of stdout", stdout("--require-checkpoint"), nil,
			"--require-checkpoint: is not allowed with --sink stdout without --checkpoint-file, which keeps none"},
		{"clean-up of stdout", stdout("--cleanup", "--cleanup-after=0"), nil,
			"--cleanup: is not allowed with --sink stdout without --checkpoint-file: no checkpoint says what was published"},
		{"clean-up without a column", with("--cleanup", "--outbox-table=a.b"), nil,
			"--cleanup-column: is required with --cleanup: the column of a.b that holds when a row was inserted; without one, --cleanup-after 0 deletes rows as soon as they are published"},
		{"clean-up of the future", with("--cleanup", "--cleanup-after=-1h"), nil,
			"--cleanup-after: -1h0m0s is negative; 0 deletes rows as soon as they are published"},
		{"interval", with("--commit-interval=5"), nil,
			`--commit-interval: "5" is not a duration such as 5ms, 15s, 1m or 24h`},
		{"interval range", with("--commit-interval=2m"), nil,
			"--commit-interval: 2m0s is not between 0 and 1m"},
		{"timeout", with("--kafka-transaction-timeout=10ms"), nil,
			"--kafka-transaction-timeout: 10ms is not between 1s and 1h"},
		{"row bytes", with("--max-row-bytes=16XB"), nil,
			`--max-row-bytes: "16XB" is not a size such as 16MiB, 64k or 1048576`},
		{"row bytes range", with("--max-row-bytes=2GiB"), nil,
			"--max-row-bytes: 2GiB is not between 1k and 1GiB"},
		{"http", with("--http-addr=8245"), nil,
			`--http-addr: "8245" is not host:port, :port or empty`},
		{"log level", with("--log-level=loud"), nil,
			`--log-level: "loud" is not one of debug, info, warn, error`},
		{"log format", with(), []string{"TAILER_LOG_FORMAT=xml"},
			`--log-format: "xml" is not one of text, json; set by environment variable TAILER_LOG_FORMAT`},
		{"unready bytes for MySQL", with("--source-url=mysql://u@h/db", "--slot-wal-unready-bytes=1GiB"), nil,
			"--slot-wal-unready-bytes: is for postgres:// only; mysql:// keeps no log for anybody"},
		{"no url, with a password", with("--source-url=host=db password=x://y"), nil,
			"--source-url: is not a URL; allowed is postgres://user@host:5432/database or mysql://user@host:3306/database"},
		{"long slot", with("--pg-slot=" + strings.Repeat("s", 64)), nil,
			`--pg-slot: "` + strings.Repeat("s", 64) + `" is not 1 to 63 of a-z, 0-9 and underscore`},
		{"long name", with("--name=" + strings.Repeat("n", 201)), nil,
			`--name: "` + strings.Repeat("n", 201) + `" is not 1 to 200 letters, digits, dots, dashes and underscores`},
		{"long prefix", with("--topic-prefix=" + strings.Repeat("p", 200)), nil,
			`--topic-prefix: "` + strings.Repeat("p", 200) + `" is not at most 199 letters, digits, dots, dashes and underscores`},
		{"quoted table", with(`--outbox-table=public."outbox"`), nil,
			`--outbox-table: "public.\"outbox\"" is not schema.name, without quotes, each at most 63 bytes`},
		{"long table", with("--outbox-table=public." + strings.Repeat("t", 64)), nil,
			`--outbox-table: "public.` + strings.Repeat("t", 64) + `" is not schema.name, without quotes, each at most 63 bytes`},
		{"days", with("--cleanup-after=7d"), nil,
			`--cleanup-after: "7d" is not a duration such as 5ms, 15s, 1m or 24h`},
		{"sasl mechanism", with("--kafka-sasl-mechanism=GSSAPI"), nil,
			`--kafka-sasl-mechanism: "GSSAPI" is not one of ` + strings.Join(mechanisms[1:], ", ")},
		{"password file is a directory", with("--source-password-file=."), nil,
			"--source-password-file: read password file .: is a directory"},
		{"no file", with("--config=none.yaml"), nil,
			"--config: cannot be read: open none.yaml: no such file or directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			write(t, "pw", "x\n")
			if err := os.WriteFile("empty", []byte("\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := load(t, Run, c.args, c.env)
			wantInvalid(t, err, c.want)
		})
	}
}

// What only some commands ask for.
func TestBadForCommand(t *testing.T) {
	for _, c := range []struct {
		name string
		cmd  Command
		args []string
		want string
	}{
		{"nobody to ask", Status, []string{"--http-addr="}, "--http-addr: is empty, so there is no server to ask; give it as the running tailer has it"},
		{"nothing to compare", Compare, nil, "--kafka-brokers: is required, for example 127.0.0.1:9092"},
		{"nothing to plan", Plan, nil, "--source-url: is required, for example postgres://user@host:5432/database or mysql://user@host:3306/database"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(t, c.cmd, c.args, nil)
			wantInvalid(t, err, c.want)
		})
	}
}

func TestBadFile(t *testing.T) {
	const unknown = `--config: t.yaml:2: unknown key `
	for _, c := range []struct{ name, yaml, want string }{
		{"unknown key", "sink: stdout\nkafka-broker: x:1\n", unknown + `"kafka-broker"; did you mean kafka-brokers?`},
		{"underscores", "sink: stdout\npg_slot: x\n", unknown + `"pg_slot"; did you mean pg-slot?`},
		{"nothing near", "sink: stdout\nqqqqqqqq: x\n", unknown + `"qqqqqqqq"`},
		{"config in a file", "sink: stdout\nconfig: x\n", unknown + `"config"`},
		{"duplicate key", "sink: stdout\nname: a\nsink: kafka\n", "--config: t.yaml:3: key sink stands in line 1 already"},
		{"no value", "sink:\n", `--config: t.yaml:1: key sink has no value; write "" for an empty one`},
		{"a list for one", "sink: [stdout]\n", "--config: t.yaml:1: sink: a list is not one plain value"},
		{"a mapping for a list", "kafka-brokers: {a: b}\n", "--config: t.yaml:1: kafka-brokers: a mapping is not a list of plain values"},
		{"a nested list", "kafka-brokers:\n  - [a]\n", "--config: t.yaml:2: kafka-brokers: a list is not a plain value"},
		{"not a mapping", "- sink\n", "--config: t.yaml:1: the file is not a mapping of keys to values"},
		{"syntax", "sink: [\n", "--config: t.yaml: is not YAML: line 1: did not find expected node content"},
		{"two documents", "sink: stdout\n---\nname: a\n", "--config: t.yaml: line 2: a second document begins, and only one is allowed"},
		{"syntax of a second document", "sink: stdout\n---\n[\n", "--config: t.yaml: is not YAML: line 3: did not find expected node content"},
		{"no text", "\x00", "--config: t.yaml: is not YAML: control characters are not allowed"},
		{"unknown alias", "sink: *none\n", "--config: t.yaml: is not YAML: unknown anchor 'none' referenced"},
		{"a password file", "s3cret\n", "--config: t.yaml:1: the file is not a mapping of keys to values"},
		{"a key that is none", "? [a]\n: b\n", "--config: t.yaml:1: the file: a list is not a key"},
		{"a publication of two", "pg-publication: \"a\\0b\"\n", `--pg-publication: "a\x00b" is not 1 to 63 bytes without a NUL; set by t.yaml:1`},
		{"bad value", "\nlog-level: loud\n", `--log-level: "loud" is not one of debug, info, warn, error; set by t.yaml:2`},
		{"both lists", "tables: [{table: a.b}]\noutbox-table: a.b\n",
			"--outbox-table: is given beside the list of tables in t.yaml:1; only one of them is allowed; set by t.yaml:2"},
		{"tables no list", "tables: a.b\n", `--config: t.yaml:1: tables: "a.b" is not a list of tables, each with table and columns`},
		{"tables empty", "tables: []\n", "--config: t.yaml:1: tables: an empty list is not a list of tables, each with table and columns"},
		{"table missing", "tables:\n- columns: {id: x}\n", "--config: t.yaml:2: an element of tables has no table"},
		{"table form", "tables:\n- table: outbox\n", `--config: t.yaml:2: table "outbox" is not schema.name, without quotes, each at most 63 bytes`},
		{"table without a name", "tables:\n- table: ''\n", `--config: t.yaml:2: table: "" is not a name`},
		{"table twice", "tables:\n- table: a.b\n- table: c.d\n- table: a.b\n", "--config: t.yaml:4: table a.b is given twice"},
		{"element of tables", "tables:\n- a.b\n", `--config: t.yaml:2: an element of tables: "a.b" is not a mapping of keys to values`},
		{"table key", "tables:\n- table: a.b\n  column: x\n", `--config: t.yaml:3: unknown key "column"; did you mean columns? allowed are table, columns, topic, key, id-header, context-headers, headers, attributes, envelope, missing-columns, tombstone-on-empty-payload, expand-json, expand-json-nulls, schema-name, uuid-columns, formats, types, cleanup-column`},
		{"column", "tables:\n- table: a.b\n  columns:\n    aggregate-id: x\n", `--config: t.yaml:4: unknown key "aggregate-id"; did you mean aggregateid? allowed are id, aggregatetype, aggregateid, payload, timestamp, partition, schema-version, traceparent`},
		{"column value", "tables:\n- table: a.b\n  columns: {id: [x]}\n", "--config: t.yaml:3: id: a list is not a name"},
		{"columns form", "tables:\n- table: a.b\n  columns: x\n", `--config: t.yaml:3: columns: "x" is not a mapping of keys to values`},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, "t.yaml", c.yaml)
			_, err := load(t, Run, []string{"--config", path}, []string{"TAILER_SOURCE_URL=" + testURL, "TAILER_KAFKA_BROKERS=k:1"})
			wantInvalid(t, err, c.want)
		})
	}
}

func wantInvalid(t *testing.T, err error, want string) {
	t.Helper()
	var bad *outbox.Invalid
	switch {
	case !errors.As(err, &bad):
		t.Errorf("got %T %v, want *outbox.Invalid", err, err)
	case err.Error() != want:
		t.Errorf("\ngot  %s\nwant %s", err, want)
	}
}

package config

import "strings"

// Command is a set of tailer's commands: the ones an option is for.
type Command uint

// The commands that read a configuration.
const (
	Run Command = 1 << iota
	Check
	Setup
	Teardown
	Checkpoint
	Status
	Compare
	Plan
	Replay
	Recover
	Republish

	all      = Run | Check | Setup | Teardown | Checkpoint | Status | Compare | Plan | Replay | Recover | Republish
	source   = all &^ (Status | Compare | Plan) // commands that talk to the database and to Kafka
	database = source | Plan                    // commands that read the outbox's description
	brokers  = source | Plan | Compare          // commands that find the brokers
)

// option is one line of the table. The type of the field says how a value is
// read and written: see value.go.
type option struct {
	// name is the flag, the YAML key and, upper-cased with TAILER_ before it,
	// the environment name.
	name string
	// def is the default, as parse reads it; "" for none.
	def string
	// derived says in words what the default is where it depends on others.
	derived string
	// allowed lists the values of a choice.
	allowed []string
	// doc says what it means: unit, limits, special values.
	doc string
	// commands are those that have the flag.
	commands Command
	// secret means that the text may hold a password.
	secret bool
	// hidden means that the text is shown to nobody.
	hidden bool
	// noFile means that the option makes no sense inside the YAML file.
	noFile bool
	// field points to its place in a Config.
	field func(*Config) any
}

// options is where every option is declared, once.
var options = []option{
	{name: "config", noFile: true, commands: all,
		doc:   "YAML file with options; its keys are the options' names",
		field: func(c *Config) any { return &c.File }},
	{name: "name", derived: "tailer-<database>", commands: database,
		doc:   "identity of this instance: transactional.id `tailer.<name>`, checkpoint, lock, default slot and publication; at most 200 letters, digits, dots, dashes and underscores",
		field: func(c *Config) any { return &c.Name }},
	{name: "source-url", derived: "required", secret: true, commands: database,
		doc:   "database: `postgres://user@host:5432/database` with libpq's parameters (sslmode, sslrootcert, sslcert, socket directory), or `mysql://` or `mariadb://user@host:3306/database` with ssl-mode, ssl-ca, ssl-cert, ssl-key, socket; several hosts (`host1:3306,host2:3306`): the first that is a primary is read, looked for again after a failure",
		field: func(c *Config) any { return &c.SourceURL }},
	{name: "source-password-file", commands: database,
		doc:   "file that holds the database password, read at each connection; a trailing newline is cut off",
		field: func(c *Config) any { return &c.SourcePasswordFile }},
	{name: "source-password-command", hidden: true, commands: database,
		doc:   "line of shell that prints the database password, run for each connection, for tokens that expire",
		field: func(c *Config) any { return &c.SourcePasswordCommand }},
	{name: "outbox-table", derived: "public.outbox; MySQL, MariaDB: outbox; Eventuate Tram: eventuate.message", commands: database,
		doc:   "outbox table as schema.name, spelled as in the catalog; for MySQL and MariaDB database.name, or a name in the URL's database; repeatable",
		field: func(c *Config) any { return &c.outboxTables }},
	{name: "preset", def: PresetDebezium, allowed: []string{PresetDebezium, PresetEventuate, PresetCloudEvents}, commands: database,
		doc:   "message format: of Debezium's outbox event router (own mappings begin there), of Eventuate Tram, or CloudEvents 1.0 in binary mode",
		field: func(c *Config) any { return &c.Preset }},
	{name: "outbox-id", commands: database,
		doc:   "Eventuate Tram with ids of the database: eventuate.outbox.id of the application, 0 to 281474976710655; empty for ids of the application",
		field: func(c *Config) any { return &c.OutboxID }},
	{name: "cloudevents-source", derived: "/<name>", commands: database,
		doc:   "attribute source of CloudEvents, a URI reference; `tables:` may have another for each table",
		field: func(c *Config) any { return &c.CloudEventsSource }},
	{name: "pg-slot", derived: "from --name", commands: source,
		doc:   "Postgres: replication slot, at most 63 of a-z, 0-9 and _",
		field: func(c *Config) any { return &c.PgSlot }},
	{name: "pg-publication", derived: "from --name", commands: source,
		doc:   "Postgres: publication, at most 63 bytes",
		field: func(c *Config) any { return &c.PgPublication }},
	{name: "mysql-server-id", def: "0", derived: "2^31 + hash of name and source", commands: source,
		doc:   "MySQL, MariaDB: id under which the log is read, 1 to 4294967295; no replica of the server may have the same",
		field: func(c *Config) any { return &c.MySQLServerID }},
	{name: "max-row-bytes", def: "16MiB", commands: Run | Plan | Replay | Recover | Republish,
		doc:   "a row whose mapped columns are longer is poison; 1k to 1GiB",
		field: func(c *Config) any { return &c.MaxRowBytes }},

	{name: "sink", def: SinkKafka, allowed: []string{SinkKafka, SinkStdout}, commands: source,
		doc:   "where messages go; stdout prints one JSON line a message",
		field: func(c *Config) any { return &c.Sink }},
	{name: "kafka-brokers", derived: "required for Kafka", commands: brokers,
		doc:   "brokers to ask first, host:port; repeatable",
		field: func(c *Config) any { return &c.KafkaBrokers }},
	{name: "kafka-tls", def: "false", commands: brokers,
		doc:   "speak TLS to the brokers; the files below switch it on as well",
		field: func(c *Config) any { return &c.KafkaTLS }},
	{name: "kafka-tls-ca-file", commands: brokers,
		doc:   "authorities that the brokers' certificates must come from, PEM; without it the system's",
		field: func(c *Config) any { return &c.KafkaTLSCAFile }},
	{name: "kafka-tls-cert-file", commands: brokers,
		doc:   "own certificate for brokers that ask for one, PEM",
		field: func(c *Config) any { return &c.KafkaTLSCertFile }},
	{name: "kafka-tls-key-file", commands: brokers,
		doc:   "its key, PEM",
		field: func(c *Config) any { return &c.KafkaTLSKeyFile }},
	{name: "kafka-sasl-mechanism", allowed: mechanisms, commands: brokers,
		doc:   "how to log in to the brokers",
		field: func(c *Config) any { return &c.KafkaSASLMechanism }},
	{name: "kafka-sasl-username", commands: brokers,
		doc:   "who logs in",
		field: func(c *Config) any { return &c.KafkaSASLUsername }},
	{name: "kafka-sasl-password-file", commands: brokers,
		doc:   "file that holds the password, read at each connection; a trailing newline is cut off",
		field: func(c *Config) any { return &c.KafkaSASLPasswordFile }},
	{name: "kafka-sasl-token-file", commands: brokers,
		doc:   "file that holds a token for OAUTHBEARER, read at each connection",
		field: func(c *Config) any { return &c.KafkaSASLTokenFile }},
	{name: "kafka-sasl-token-url", commands: brokers,
		doc:   "token endpoint for OAUTHBEARER, asked with user and password as client credentials",
		field: func(c *Config) any { return &c.KafkaSASLTokenURL }},
	{name: "kafka-sasl-scope", commands: brokers,
		doc:   "scopes to ask the token endpoint for, separated by blanks",
		field: func(c *Config) any { return &c.KafkaSASLScope }},
	{name: "kafka-compression", def: "none", allowed: []string{"none", "gzip", "snappy", "lz4", "zstd"}, commands: Run | Replay | Recover | Republish,
		doc:   "codec of the messages",
		field: func(c *Config) any { return &c.KafkaCompression }},
	{name: "kafka-transaction-timeout", def: "15s", commands: Run | Replay | Recover,
		doc:   "the broker aborts a transaction that stays open longer; 1s to 1h, and no more than the broker's transaction.max.timeout.ms",
		field: func(c *Config) any { return &c.KafkaTransactionTimeout }},
	{name: "create-topics", def: "true", commands: Run | Check | Setup | Checkpoint | Replay | Recover | Republish,
		doc:   "create missing topics; each creation is logged",
		field: func(c *Config) any { return &c.CreateTopics }},
	{name: "topic-partitions", def: "0", commands: Run | Check | Setup | Replay | Recover | Republish,
		doc:   "partitions of a topic that is created; 0 means the broker's default",
		field: func(c *Config) any { return &c.TopicPartitions }},
	{name: "topic-replication", def: "0", commands: Run | Check | Setup | Checkpoint | Replay | Recover | Republish,
		doc:   "replication factor of a topic that is created; 0 means the broker's default",
		field: func(c *Config) any { return &c.TopicReplication }},
	{name: "topic-prefix", commands: Run | Check | Setup | Plan | Replay | Recover | Republish,
		doc:   "put before every topic name, for a shadow run beside another relay",
		field: func(c *Config) any { return &c.TopicPrefix }},

	{name: "delivery", def: ExactlyOnce, allowed: []string{ExactlyOnce, AtLeastOnce}, commands: source,
		derived: "exactly-once; with stdout at-least-once",
		doc:     "exactly-once puts messages and checkpoint into one Kafka transaction",
		field:   func(c *Config) any { return &c.Delivery }},
	{name: "commit-interval", def: "5ms", commands: Run,
		doc:   "the next transaction begins no sooner than this after the last began; the first event after a pause leaves at once; while far behind it waits longer, up to 100ms, for full batches; 0 to 1m",
		field: func(c *Config) any { return &c.CommitInterval }},
	{name: "checkpoint-topic", derived: "tailer-checkpoint.<name>", commands: source,
		doc:   "Kafka topic that holds the checkpoints of this name",
		field: func(c *Config) any { return &c.CheckpointTopic }},
	{name: "checkpoint-file", commands: source,
		doc:   "keep the checkpoint in this file instead; only with at-least-once or stdout",
		field: func(c *Config) any { return &c.CheckpointFile }},
	{name: "require-checkpoint", def: "false", commands: Run,
		doc:   "for production: a start without checkpoint is refused (status 3), never taken for a first start",
		field: func(c *Config) any { return &c.RequireCheckpoint }},
	{name: "snapshot", def: SnapshotInitial, allowed: []string{SnapshotInitial, SnapshotNever}, commands: Run | Check | Setup,
		doc:   "initial: the first start publishes the rows that are in the tables already; never: it begins with what is inserted from then on",
		field: func(c *Config) any { return &c.Snapshot }},
	{name: "snapshot-max-rows", def: "1000000", commands: Run | Recover,
		doc:   "a first start that finds more rows, or a `tailer recover` that chooses more, is refused (status 3)",
		field: func(c *Config) any { return &c.SnapshotMaxRows }},
	{name: "snapshot-order-by", derived: "primary key", commands: Run | Check | Recover | Republish,
		doc:   "column of the outbox tables in whose order a snapshot publishes their rows, such as the time of insert or a number from a sequence",
		field: func(c *Config) any { return &c.SnapshotOrderBy }},
	{name: "on-poison", def: "halt", allowed: []string{"halt", "dead-letter", "skip"}, commands: Run | Check | Setup | Recover,
		doc:   "what to do about a row that can never be published: halt before it (status 3), put it into the dead-letter topic, from where `tailer replay` publishes it, or skip it; the last two are logged and counted",
		field: func(c *Config) any { return &c.OnPoison }},
	{name: "dead-letter-topic", derived: "tailer-dead-letter.<name>", commands: Run | Check | Setup | Checkpoint | Replay | Recover,
		doc:   "Kafka topic for rows that cannot be published; one that is created has one partition and keeps them for ever",
		field: func(c *Config) any { return &c.DeadLetterTopic }},
	{name: "cleanup", def: "false", commands: Run | Check | Setup,
		doc:   "delete rows from the outbox tables once the checkpoint says that they are published and they are older than --cleanup-after",
		field: func(c *Config) any { return &c.Cleanup }},
	{name: "cleanup-after", def: "24h", commands: Run | Check | Setup,
		doc:   "how old a row gets before it may be deleted; 0 deletes it as soon as it is published",
		field: func(c *Config) any { return &c.CleanupAfter }},
	{name: "cleanup-column", commands: Run | Check | Setup,
		doc:   "column that holds when a row was inserted: a timestamp (UTC where it has no time zone), or milliseconds since 1970 in a bigint; `tables:` may have another for each table; not needed with --cleanup-after 0",
		field: func(c *Config) any { return &c.CleanupColumn }},
	{name: "on-refusal", def: "exit", allowed: []string{"exit", "wait"}, commands: Run,
		doc:   "exit with status 3, or wait: stay up, unready, and go on once the cause is gone",
		field: func(c *Config) any { return &c.OnRefusal }},
	{name: "slot-wal-unready-bytes", def: "0", commands: Run,
		doc:   "Postgres: `/readyz` says 503 while the server keeps more log than this for the slot, of an instance that stands by too; 0 switches it off",
		field: func(c *Config) any { return &c.SlotWALUnreadyBytes }},
	{name: "until", commands: Run,
		doc:   "publish up to here and exit 0: `now`, or a position: an LSN such as 0/16B3748, a GTID set, file:offset",
		field: func(c *Config) any { return &c.Until }},

	{name: "http-addr", def: "127.0.0.1:8245", commands: Run | Status,
		doc:   "address of metrics, health and status page, host:port; empty switches it off",
		field: func(c *Config) any { return &c.HTTPAddr }},
	{name: "http-pprof", def: "false", commands: Run,
		doc:   "serve Go's profiles at /debug/pprof/ there",
		field: func(c *Config) any { return &c.HTTPPprof }},
	{name: "log-level", def: "info", allowed: []string{"debug", "info", "warn", "error"}, commands: all,
		doc:   "least level that is logged, on stderr",
		field: func(c *Config) any { return &c.LogLevel }},
	{name: "log-format", def: "text", allowed: []string{"text", "json"}, commands: all,
		doc:   "text for people, json for machines",
		field: func(c *Config) any { return &c.LogFormat }},
}

// lookup finds an option by its name, nil if there is none.
func lookup(name string) *option {
	for i := range options {
		if options[i].name == name {
			return &options[i]
		}
	}
	return nil
}

// env is the option's environment name.
func (o *option) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(o.name, "-", "_"))
}

// Package config turns flags, environment and a YAML file into one typed
// Config. Every option is declared once, in the table of options.go: its flag,
// its environment name, its YAML key and its line in the README come from
// there. A flag beats the environment, which beats the file, which beats the
// default.
package config

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/tailer-io/tailer/internal/credential"
	"github.com/tailer-io/tailer/internal/mapping"
	"github.com/tailer-io/tailer/internal/outbox"
)

// Values of the options that are a choice.
const (
	SinkKafka  = "kafka"
	SinkStdout = "stdout"

	ExactlyOnce = "exactly-once"
	AtLeastOnce = "at-least-once"

	PresetDebezium    = "debezium"
	PresetEventuate   = "eventuate"
	PresetCloudEvents = "cloudevents"

	SnapshotInitial = "initial"
	SnapshotNever   = "never"
)

// Config is the configuration of one command, checked and complete: values
// that depend on others (Name, PgSlot ...) are filled in. The options' own
// text, in options.go, says more about each field.
type Config struct {
	// File is the YAML file that was read; "" for none.
	File string
	// Name is the identity of the instance, legal in Kafka topic names.
	Name string

	// SourceURL is the database's URL, perhaps with a password: never to be
	// logged. RedactURL gives the form for people.
	SourceURL string
	// SourcePasswordFile is a file with the password, SourcePasswordCommand a
	// line of shell that prints it; "" for none. Password gives what they hold.
	SourcePasswordFile    string
	SourcePasswordCommand string
	// Tables are the outbox tables, in the order of the configuration.
	Tables []Table
	// Preset names the message format; OutboxID and CloudEventsSource belong to
	// PresetEventuate and PresetCloudEvents, and are "" beside any other.
	Preset            string
	OutboxID          string
	CloudEventsSource string
	// PgSlot and PgPublication are names in the database; "" for MySQL and
	// MariaDB.
	PgSlot        string
	PgPublication string
	// MySQLServerID is the id of a replica that tailer takes on; 0 lets the
	// source derive one.
	MySQLServerID uint32
	// MaxRowBytes is the greatest size of a row's mapped columns, in bytes.
	MaxRowBytes Size

	// Sink is SinkKafka or SinkStdout.
	Sink string
	// KafkaBrokers are host:port.
	KafkaBrokers []string
	// KafkaTLS, KafkaTLSCAFile, KafkaTLSCertFile and KafkaTLSKeyFile say how
	// connections to the brokers are protected.
	KafkaTLS         bool
	KafkaTLSCAFile   string
	KafkaTLSCertFile string
	KafkaTLSKeyFile  string
	// KafkaSASLMechanism is "", PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or
	// OAUTHBEARER, which takes its token from a file or from an endpoint;
	// KafkaSASLUsername and KafkaSASLPasswordFile are the credentials.
	KafkaSASLMechanism    string
	KafkaSASLUsername     string
	KafkaSASLPasswordFile string
	KafkaSASLTokenFile    string
	KafkaSASLTokenURL     string
	KafkaSASLScope        string
	// KafkaCompression is none, gzip, snappy, lz4 or zstd.
	KafkaCompression string
	// KafkaTransactionTimeout is what the broker is told.
	KafkaTransactionTimeout time.Duration
	// CreateTopics, TopicPartitions and TopicReplication say how missing
	// topics are made; 0 means the broker's own default.
	CreateTopics     bool
	TopicPartitions  int32
	TopicReplication int16
	// TopicPrefix is put before every message's topic.
	TopicPrefix string

	// Delivery is ExactlyOnce or AtLeastOnce.
	Delivery string
	// CommitInterval is the least time from one transaction's begin to the
	// next one's.
	CommitInterval time.Duration
	// CheckpointTopic is the Kafka topic of the checkpoints, CheckpointFile
	// the file that is used instead if it is not "".
	CheckpointTopic string
	CheckpointFile  string
	// RequireCheckpoint makes a start without checkpoint a refusal.
	RequireCheckpoint bool
	// Snapshot is SnapshotInitial or SnapshotNever.
	Snapshot string
	// SnapshotMaxRows is the greatest number of rows that a first start
	// publishes from the tables.
	SnapshotMaxRows int64
	// SnapshotOrderBy is the column in whose order a snapshot publishes rows; ""
	// is the primary key.
	SnapshotOrderBy string
	// OnPoison is halt, dead-letter or skip, OnRefusal exit or wait.
	OnPoison  string
	OnRefusal string
	// SlotWALUnreadyBytes is how much log the server may keep for the slot while
	// /readyz says 200; 0 for any amount.
	SlotWALUnreadyBytes Size
	// DeadLetterTopic is where rows go that cannot be published, if they go
	// anywhere.
	DeadLetterTopic string
	// Cleanup deletes published rows that are older than CleanupAfter.
	// CleanupColumn is where a table has no own.
	Cleanup       bool
	CleanupAfter  time.Duration
	CleanupColumn string
	// Until is "", "now" or a position at which to stop.
	Until string

	// HTTPAddr is host:port; "" switches the server off.
	HTTPAddr string
	// HTTPPprof serves Go's profiles there.
	HTTPPprof bool
	// LogLevel is the least level that is logged.
	LogLevel string
	// LogFormat is text or json.
	LogFormat string

	// Warnings is what is odd but no error, one line each, for the log.
	Warnings []string

	outboxTables []string
	tablesLine   int // where the file's tables: begins; 0 for none
}

// Table is one outbox table.
type Table struct {
	// Schema is the schema, for MySQL and MariaDB the database.
	Schema string
	Name   string
	// Mapping says what becomes of its rows; its Name is not filled in.
	Mapping mapping.Table
	// CleanupColumn holds when a row was inserted; "" when no age is asked for.
	CleanupColumn string
}

// String is "schema.name".
func (t Table) String() string { return t.Schema + "." + t.Name }

// TableNames are the outbox tables as "schema.name", in the configured order.
func (c *Config) TableNames() []string {
	names := make([]string, len(c.Tables))
	for i, t := range c.Tables {
		names[i] = t.String()
	}
	return names
}

// Password gives the database password anew for each connection; nil when only
// SourceURL can hold one.
func (c *Config) Password() credential.Password {
	switch {
	case c.SourcePasswordFile != "":
		return credential.File(c.SourcePasswordFile)
	case c.SourcePasswordCommand != "":
		return credential.Command(c.SourcePasswordCommand)
	}
	return nil
}

// SourceKind is what SourceURL's scheme says.
func (c *Config) SourceKind() outbox.Kind { return kindOf(c.SourceURL) }

// isBinlog tells MySQL and MariaDB from Postgres.
func (c *Config) isBinlog() bool {
	kind := c.SourceKind()
	return kind == outbox.MySQL || kind == outbox.MariaDB
}

// Transactional reports whether messages and checkpoint go into one Kafka
// transaction.
func (c *Config) Transactional() bool { return c.Delivery == ExactlyOnce }

// Level is LogLevel as slog knows it.
func (c *Config) Level() slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return slog.LevelInfo // not reached: the option's choices are slog's
	}
	return l
}

// String shows every option that is not empty, for the log, without secrets.
func (c *Config) String() string {
	var b strings.Builder
	for i := range options {
		o := &options[i]
		v := o.text(c)
		if o.secret {
			v = RedactURL(v)
		}
		if o.hidden && v != "" {
			v = hidden
		}
		if v != "" {
			fmt.Fprintf(&b, "%s=%s ", o.name, v)
		}
	}
	if c.tablesLine > 0 {
		fmt.Fprintf(&b, "tables=%s ", strings.Join(c.TableNames(), ","))
	}
	return strings.TrimSuffix(b.String(), " ")
}

package config

import (
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	slotBytes = "abcdefghijklmnopqrstuvwxyz0123456789_"
	nameBytes = slotBytes + "ABCDEFGHIJKLMNOPQRSTUVWXYZ.-"

	maxName       = 200 // leaves room for the prefixes of topic and transactional.id
	maxTopic      = 249 // https://kafka.apache.org/documentation/ (Topic.MAX_NAME_LENGTH)
	maxIdentifier = 63  // https://www.postgresql.org/docs/current/limits.html
)

const legalName = "letters, digits, dots, dashes and underscores"

// validate says what is wrong with a configuration and what is allowed, the
// first thing found. Each value has been parsed, so choices and forms are
// right; set tells what was given.
func (c *Config) validate(cmd Command, set settings) error {
	if cmd&database != 0 {
		if err := c.validateSource(set); err != nil {
			return err
		}
	}
	if cmd&brokers != 0 {
		if err := c.validateBrokers(cmd); err != nil {
			return err
		}
	}
	if cmd&source != 0 {
		if err := c.validateSink(); err != nil {
			return err
		}
	}
	if c.Cleanup && cmd&(Run|Check|Setup) != 0 {
		if err := c.validateCleanup(); err != nil {
			return err
		}
	}
	switch {
	case c.MaxRowBytes < 1<<10 || c.MaxRowBytes > 1<<30:
		return invalid("max-row-bytes", "%s is not between 1k and 1GiB", c.MaxRowBytes)
	case c.CommitInterval < 0 || c.CommitInterval > time.Minute:
		return invalid("commit-interval", "%s is not between 0 and 1m", c.CommitInterval)
	case c.KafkaTransactionTimeout < time.Second || c.KafkaTransactionTimeout > time.Hour:
		return invalid("kafka-transaction-timeout", "%s is not between 1s and 1h", c.KafkaTransactionTimeout)
	case c.HTTPAddr == "" && cmd == Status:
		return invalid("http-addr", "is empty, so there is no server to ask; give it as the running tailer has it")
	case c.HTTPAddr != "" && !isAddress(c.HTTPAddr, true):
		return invalid("http-addr", "%q is not host:port, :port or empty", c.HTTPAddr)
	}
	return nil
}

func (c *Config) validateSource(set settings) error {
	switch s := scheme(c.SourceURL); {
	case c.SourceURL == "":
		return invalid("source-url", "is required, for example postgres://user@host:5432/database or mysql://user@host:3306/database")
	case !isScheme(s):
		return invalid("source-url", "is not a URL; allowed is postgres://user@host:5432/database or mysql://user@host:3306/database")
	case c.SourceKind() == "":
		return invalid("source-url", "scheme %q is not one of postgres, postgresql, mysql, mariadb", s)
	case c.SourcePasswordFile != "" && hasPassword(c.SourceURL):
		return invalid("source-password-file", "is given, but --source-url holds a password too; only one of them is allowed")
	case c.SourcePasswordCommand != "" && hasPassword(c.SourceURL):
		return invalid("source-password-command", "is given, but --source-url holds a password too; only one of them is allowed")
	case c.SourcePasswordCommand != "" && c.SourcePasswordFile != "":
		return invalid("source-password-command", "is not allowed beside --source-password-file")
	case c.Name == "":
		return invalid("name", "is required, because --source-url names no database")
	case !isName(c.Name, maxName):
		return invalid("name", "%q is not 1 to %d %s", c.Name, maxName, legalName)
	case c.isBinlog() && c.PgSlot != "":
		return invalid("pg-slot", "is for postgres:// only; %s:// needs no slot", s)
	case c.isBinlog() && c.PgPublication != "":
		return invalid("pg-publication", "is for postgres:// only; %s:// needs no publication", s)
	case c.isBinlog() && c.SlotWALUnreadyBytes != 0:
		return invalid("slot-wal-unready-bytes", "is for postgres:// only; %s:// keeps no log for anybody", s)
	case !c.isBinlog() && c.MySQLServerID != 0:
		return invalid("mysql-server-id", "is for mysql:// and mariadb:// only")
	case strings.Trim(c.PgSlot, slotBytes) != "" || len(c.PgSlot) > maxIdentifier:
		return invalid("pg-slot", "%q is not 1 to %d of a-z, 0-9 and underscore", c.PgSlot, maxIdentifier)
	case len(c.PgPublication) > maxIdentifier || strings.ContainsRune(c.PgPublication, 0):
		return invalid("pg-publication", "%q is not 1 to %d bytes without a NUL", c.PgPublication, maxIdentifier)
	}
	for i, t := range c.Tables {
		if contains(c.TableNames()[:i], t.String()) {
			return invalid("outbox-table", "%s is given twice", t)
		}
	}
	if where, given := set["source-url"]; given && where.where == "" && hasPassword(c.SourceURL) {
		c.Warnings = append(c.Warnings, "other users can see the password in --source-url by ps; TAILER_SOURCE_URL or --source-password-file keep it to yourself")
	}
	return nil
}

func (c *Config) validateBrokers(cmd Command) error {
	for _, b := range c.KafkaBrokers {
		if !isAddress(b, false) {
			return invalid("kafka-brokers", "%q is not host:port", b)
		}
	}
	switch {
	case cmd == Compare && len(c.KafkaBrokers) == 0:
		return invalid("kafka-brokers", "is required, for example 127.0.0.1:9092")
	case c.TopicPrefix != "" && !isName(c.TopicPrefix+"x", maxName):
		return invalid("topic-prefix", "%q is not at most %d %s", c.TopicPrefix, maxName-1, legalName)
	}
	return nil
}

func (c *Config) validateSink() error {
	kafka := c.Sink == SinkKafka
	switch {
	case kafka && len(c.KafkaBrokers) == 0:
		return invalid("kafka-brokers", "is required with --sink kafka, for example 127.0.0.1:9092; without Kafka, --sink stdout prints the messages")
	case !kafka && c.Delivery == ExactlyOnce:
		return invalid("delivery", "exactly-once is not allowed with --sink stdout, which knows no transactions; allowed is at-least-once")
	case c.Delivery == ExactlyOnce && c.CheckpointFile != "":
		return invalid("checkpoint-file", "is not allowed with --delivery exactly-once, whose checkpoint is part of the Kafka transaction; allowed with at-least-once and stdout")
	case c.CheckpointFile != "" && c.CheckpointTopic != "":
		return invalid("checkpoint-topic", "is not allowed beside --checkpoint-file: there is one store")
	case !kafka && c.CheckpointTopic != "":
		return invalid("checkpoint-topic", "is not allowed with --sink stdout; allowed is --checkpoint-file")
	case c.CheckpointTopic != "" && !isName(c.CheckpointTopic, maxTopic):
		return invalid("checkpoint-topic", "%q is not 1 to %d %s", c.CheckpointTopic, maxTopic, legalName)
	case !isName(c.DeadLetterTopic, maxTopic):
		return invalid("dead-letter-topic", "%q is not 1 to %d %s", c.DeadLetterTopic, maxTopic, legalName)
	case c.DeadLetterTopic == c.CheckpointTopic:
		return invalid("dead-letter-topic", "%s is the checkpoint topic already; each needs a topic of its own", c.DeadLetterTopic)
	case !kafka && c.CheckpointFile == "" && c.RequireCheckpoint:
		return invalid("require-checkpoint", "is not allowed with --sink stdout without --checkpoint-file, which keeps none")
	case !kafka && len(c.KafkaBrokers) > 0:
		c.Warnings = append(c.Warnings, "--kafka-brokers is not used with --sink stdout")
	}
	return nil
}

// validateCleanup makes sure that what is to be deleted can be told, and points
// out which rows are deleted although no message of tailer's holds them.
func (c *Config) validateCleanup() error {
	switch {
	case c.Sink != SinkKafka && c.CheckpointFile == "":
		return invalid("cleanup", "is not allowed with --sink stdout without --checkpoint-file: no checkpoint says what was published")
	case c.CleanupAfter < 0:
		return invalid("cleanup-after", "%s is negative; 0 deletes rows as soon as they are published", c.CleanupAfter)
	}
	for _, t := range c.Tables {
		if c.CleanupAfter > 0 && t.CleanupColumn == "" {
			return invalid("cleanup-column", "is required with --cleanup: the column of %s that holds when a row was inserted; without one, --cleanup-after 0 deletes rows as soon as they are published", t)
		}
	}
	if c.Snapshot == SnapshotNever {
		c.Warnings = append(c.Warnings, "--cleanup deletes also rows that were in the tables before the first start, which --snapshot never does not publish")
	}
	if c.OnPoison != "halt" {
		c.Warnings = append(c.Warnings, "--cleanup deletes also rows that --on-poison "+c.OnPoison+" left out; `tailer replay` does not find those any more that were too large for the dead-letter topic")
	}
	return nil
}

// isName reports whether s is legal in Kafka topic names.
func isName(s string, limit int) bool {
	return s != "" && s != "." && s != ".." && len(s) <= limit && strings.Trim(s, nameBytes) == ""
}

// isAddress reports whether s is host:port; a listener needs no host.
func isAddress(s string, listener bool) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" && !listener {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && (n > 0 || listener)
}

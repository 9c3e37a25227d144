package convert

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/tailer-io/tailer/internal/mapping/connect"
)

// kinds are the schemes of tailer's sources, by connector.
var kinds = map[string]string{
	"io.debezium.connector.postgresql.PostgresConnector": "postgres",
	"io.debezium.connector.mysql.MySqlConnector":         "mysql",
	"io.debezium.connector.mariadb.MariaDbConnector":     "mariadb",
}

// source takes what says which database is read.
func (c *conversion) source() {
	c.name, _ = c.take("name")
	class, _ := c.take("connector.class")
	if c.kind = kinds[class]; c.kind == "" {
		c.kind = "postgres"
		c.lose("connector.class=%s: tailer reads PostgreSQL, MySQL and MariaDB", class)
	}
	c.host, _ = c.take("database.hostname")
	if port, _ := c.take("database.port"); port != "" && c.host != "" {
		c.host = net.JoinHostPort(c.host, port)
	}
	c.user, _ = c.take("database.user")
	c.database, _ = c.take("database.dbname")
	if _, ok := c.take("database.password"); ok {
		c.note("database.password: it is not repeated; give it by --source-password-file or TAILER_SOURCE_URL")
	}
	if v, ok := c.take("database.sslmode"); ok {
		c.note("database.sslmode=%s: name it in source-url", v)
	}
	c.prefix, _ = c.take("topic.prefix")
	c.regex, _ = c.take("table.include.list")
	if c.binlog() {
		c.binlogSource()
	}
}

// url is the database's, without a password.
func (c *conversion) url() string {
	u := url.URL{Scheme: c.kind, Host: c.host, Path: "/" + c.database}
	if c.user != "" {
		u.User = url.User(c.user)
	}
	if c.sslMode != "" {
		u.RawQuery = url.Values{"ssl-mode": {c.sslMode}}.Encode()
	}
	return u.String()
}

// connector takes the options that shape values, and the ones with a meaning
// of their own here.
func (c *conversion) connector() {
	mode := func(option string, allowed []string, to *string) {
		v, ok := c.take(option)
		if !ok {
			return
		}
		if !slices.Contains(allowed, strings.ToLower(v)) {
			c.lose("%s=%s: it is not one of %s", option, v, strings.Join(allowed, ", "))
			return
		}
		*to = strings.ToLower(v)
	}
	mode("binary.handling.mode", connect.BinaryModes, &c.mapping.Modes.Binary)
	mode("decimal.handling.mode", connect.DecimalModes, &c.mapping.Modes.Decimal)
	mode("time.precision.mode", c.timeModes(), &c.mapping.Modes.Time)
	if c.binlog() {
		mode("bigint.unsigned.handling.mode", connect.UnsignedBigintModes, &c.mapping.Modes.UnsignedBigint)
	}
	for option, def := range map[string]string{
		"interval.handling.mode": "numeric", "money.fraction.digits": "2", "enable.time.adjuster": "true",
		"schema.name.adjustment.mode": "none", "field.name.adjustment.mode": "none",
	} {
		if v, ok := c.take(option); ok && !strings.EqualFold(v, def) {
			c.lose("%s=%s: values and names are as with %s", option, v, def)
		}
	}
	switch v := c.takeOr("snapshot.mode", "initial"); v {
	case "no_data", "never", "schema_only":
		c.snapshot = "never"
	case "initial", "when_needed", "configuration_based", "custom":
	default:
		c.note("snapshot.mode=%s: the first start publishes the rows in the table, later ones do not", v)
	}
	switch v, ok := c.take("extended.headers.enabled"); {
	case v == "true":
		c.context = c.prefix
	case !ok:
		c.note("extended.headers.enabled: Debezium's default adds headers __debezium.context.*; context-headers: %s adds them here", quote(c.prefix))
	}
	if v, ok := c.take("provide.transaction.metadata"); ok && v == "true" {
		c.lose("provide.transaction.metadata=%s: tailer publishes no topic of transactions", v)
	}
	if v, ok := c.take("column.exclude.list"); ok {
		c.note("column.exclude.list=%s: tailer reads only the columns that are mapped", v)
	}
	if v, ok := c.take("producer.override.compression.type"); ok {
		c.codec = v
	}
	if v, ok := c.take("producer.override.bootstrap.servers"); ok {
		c.brokers = v
	}
}

// silent are options, or their beginnings with a dot at the end, that change
// nothing about the messages of an outbox.
var silent = []string{
	"tasks.max", "plugin.name", "publication.name", "publication.autocreate.mode", "publish.via.partition.root",
	"slot.name", "slot.drop.on.stop", "slot.max.retries", "slot.retry.delay.ms", "slot.stream.params", "slot.failover",
	"skipped.operations", "tombstones.on.delete", "include.schema.changes", "include.schema.comments", "include.query",
	"include.unknown.datatypes", "unavailable.value.placeholder", "hstore.handling.mode", "replica.identity.autoset.values",
	"schema.include.list", "schema.refresh.mode", "status.update.interval.ms", "lsn.flush.mode",
	"flush.lsn.source", "xmin.fetch.interval.ms", "read.only", "retriable.restart.connector.wait.ms", "max.batch.size",
	"max.queue.size", "max.queue.size.in.bytes", "poll.interval.ms", "executor.shutdown.timeout.ms", "query.fetch.size",
	"message.prefix.include.list", "message.prefix.exclude.list", "notification.", "signal.", "heartbeat.", "snapshot.",
	"incremental.snapshot.", "guardrail.", "errors.", "topic.creation.", "topic.naming.strategy", "topic.heartbeat.prefix",
	"topic.transaction", "topic.delimiter", "topic.cache.size", "schema.history.", "database.server.name",
	"database.connectionTimeZone", "connect.timeout.ms", "connect.keep.alive", "connect.keep.alive.interval.ms",
	"connection.adapter", "connection.validation.timeout.ms", "database.ssl.", "database.query.timeout.ms",
	"database.initial.statements", "database.tcpKeepAlive", "driver.", "gtid.source.includes", "gtid.source.excludes",
	"event.deserialization.failure.handling.mode", "event.processing.failure.handling.mode",
	"event.converting.failure.handling.mode", "inconsistent.schema.handling.mode", "min.row.count.to.stream.results",
	"exactly.once.support", "transaction.boundary", "offset.flush.interval.ms", "offset.storage",
	"offset.storage.", "internal.", "custom.metric.tags", "openlineage.", "log.", "producer.override.", "offsets.storage.topic",
	"config.action.reload", "binlog.buffer.size", "use.nongraceful.disconnect", "gtid.source.filter.dml.events", "ignore.unknown",
}

// rest judges what nobody took: what is known to be silent, and what is not.
func (c *conversion) rest() {
	for key, v := range c.left {
		known := slices.ContainsFunc(silent, func(s string) bool {
			return s == key || strings.HasSuffix(s, ".") && strings.HasPrefix(key, s)
		})
		if !known {
			c.lose("%s=%s: it has no equivalent that is known", key, v)
		}
	}
}

// literal is an entry of table.include.list that names one table, word one of
// another list. A dot is taken for itself, as everybody means it.
var (
	literal = regexp.MustCompile(`^[^\\.*+?()\[\]{}|^$]+(\\?\.)[^\\.*+?()\[\]{}|^$]+$`)
	word    = regexp.MustCompile(`^[^\\.*+?()\[\]{}|^$,]+$`)
)

// chooseTables names the outbox tables.
func (c *conversion) chooseTables(given []string) {
	if len(given) > 0 {
		c.tables = given
		return
	}
	if c.regex == "" {
		c.guessTable()
		return
	}
	for _, entry := range strings.Split(c.regex, ",") {
		entry = strings.TrimSpace(entry)
		switch {
		case literal.MatchString(entry):
			c.tables = append(c.tables, strings.ReplaceAll(entry, `\.`, "."))
		case entry != "":
			c.unguessed = true
			c.lose("table.include.list=%s: it is a pattern; name the tables with --outbox-table", entry)
		}
	}
}

package convert

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/tailer-io/tailer/internal/mapping"
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
	for _, option := range []string{"sslmode", "sslrootcert", "sslcert", "sslkey"} {
		if v, ok := c.take("database." + option); ok {
			c.note("database.%s=%s: name it in source-url", option, v)
		}
	}
	c.prefix, _ = c.take("topic.prefix")
	c.regex, _ = c.take("table.include.list")
	if c.binlog() {
		c.binlogSource()
	}
}

// url is the database's, without a password; "" where the file does not say.
func (c *conversion) url() string {
	if c.host == "" {
		return ""
	}
	u := url.URL{Scheme: c.kind, Host: c.host, Path: "/" + c.database}
	if c.user != "" {
		u.User = url.User(c.user)
	}
	if c.sslMode != "" {
		u.RawQuery = url.Values{"ssl-mode": {c.sslMode}}.Encode()
	}
	return u.String()
}

// reachable forgets a database that the file does not name, or that only Kafka
// Connect can find: a part of it stands in a place of the worker's.
func (c *conversion) reachable() {
	for _, part := range []string{c.host, c.user, c.database} {
		if strings.Contains(part, "${") {
			c.note("database.*: %s is resolved by Kafka Connect alone; give the database by source-url or TAILER_SOURCE_URL", part)
			c.host = ""
		}
	}
	if c.host != "" && c.database == "" {
		c.note("database.dbname: there is none; give the database by source-url or TAILER_SOURCE_URL")
		c.host = ""
	}
}

// connector takes the options that shape values, and the ones with a meaning
// of their own here.
func (c *conversion) connector() {
	c.mapping.Modes.Binary = c.choice("binary.handling.mode", "", connect.BinaryModes...)
	c.mapping.Modes.Decimal = c.choice("decimal.handling.mode", "", connect.DecimalModes...)
	c.mapping.Modes.Time = c.choice("time.precision.mode", "", c.timeModes()...)
	if c.binlog() {
		c.mapping.Modes.UnsignedBigint = c.choice("bigint.unsigned.handling.mode", "", connect.UnsignedBigintModes...)
	}
	for option, def := range map[string]string{
		"interval.handling.mode": "numeric", "money.fraction.digits": "2",
		"schema.name.adjustment.mode": "none", "field.name.adjustment.mode": "none",
	} {
		if v, ok := c.take(option); ok && !strings.EqualFold(v, def) {
			c.lose("%s=%s: values and names are as with %s", option, v, def)
		}
	}
	if !c.flag("enable.time.adjuster", true) {
		c.lose("enable.time.adjuster=false: values and names are as with true")
	}
	c.contextHeaders()
	if c.flag("provide.transaction.metadata", false) {
		c.lose("provide.transaction.metadata=true: tailer publishes no topic of transactions")
	}
	if v, ok := c.take("skipped.operations"); ok && slices.Contains(fields(strings.ToLower(v)), "c") {
		c.lose("skipped.operations=%s: Debezium publishes no rows that are inserted, and tailer all", v)
	}
	c.filters()
	c.failures()
}

// contextHeaders takes extended.headers.enabled, which is on by default.
func (c *conversion) contextHeaders() {
	const option = "extended.headers.enabled"
	_, named := c.left[option]
	format := c.mapping.HeaderFormat
	switch {
	case !c.flag(option, true):
	case c.prefix == "":
		c.lose("topic.prefix: there is none, and the headers __debezium.context.* hold it; with %s=false Debezium leaves them out", option)
	case format == mapping.FormatJSON || format == mapping.FormatJSONSchema:
		c.lose("%s: the headers __debezium.context.* are not known in the format %s of header.converter; with false Debezium leaves them out", option, format)
	default:
		c.mapping.ContextHeaders = c.prefix
		if !named {
			c.note("%s: Debezium adds the headers __debezium.context.* by default since 3.2.1, so context-headers does; remove it if your messages have none", option)
		}
	}
}

// filters takes what leaves out columns, or the transactions of other servers.
func (c *conversion) filters() {
	for _, option := range []string{"column.exclude.list", "column.include.list"} {
		v, ok := c.take(option)
		switch {
		case ok && c.mapping.IgnoreMissing:
			c.lose("%s=%s: with missing columns ignored it leaves headers or fields out; remove them from table.fields.additional.placement", option, v)
		case ok:
			c.note("%s=%s: tailer reads only the columns that are mapped", option, v)
		}
	}
	if filtered := c.flag("gtid.source.filter.dml.events", true); filtered {
		for _, option := range []string{"gtid.source.includes", "gtid.source.excludes"} {
			if v, ok := c.take(option); ok {
				c.lose("%s=%s: tailer publishes the rows of every server's transactions", option, v)
			}
		}
	}
	if v, ok := c.take("slot.stream.params"); ok && strings.Contains(strings.ToLower(v), "origin") {
		c.lose("slot.stream.params=%s: tailer publishes the rows of every origin", v)
	}
}

// failures takes what passes over rows that cannot be published.
func (c *conversion) failures() {
	for option, stops := range map[string]string{
		"errors.tolerance": "none", "event.processing.failure.handling.mode": "fail",
		"event.deserialization.failure.handling.mode": "fail", "inconsistent.schema.handling.mode": "fail",
	} {
		if v, ok := c.take(option); ok && !strings.EqualFold(v, stops) {
			c.note("%s=%s: Debezium passes over what it cannot publish, and tailer stops before it; on-poison chooses otherwise", option, v)
		}
	}
}

// silent are options, or their beginnings with a dot at the end, that change
// nothing about the messages of an outbox.
var silent = []string{
	"tasks.max", "plugin.name", "publication.name", "publication.autocreate.mode", "publish.via.partition.root",
	"slot.name", "slot.drop.on.stop", "slot.max.retries", "slot.retry.delay.ms", "slot.failover", "slot.seek.to.known.offset.on.start",
	"create.slot.command.timeout", "offset.mismatch.strategy", "lsn.flush.", "flush.lsn.source", "status.update.interval.ms",
	"xmin.fetch.interval.ms", "read.only", "replica.identity.autoset.values", "schema.refresh.mode", "schema.include.list",
	"message.prefix.include.list", "message.prefix.exclude.list", "hstore.handling.mode", "unavailable.value.placeholder",
	// Updates and deletes, which publish nothing, and the key, which the router replaces.
	"tombstones.on.delete", "skip.messages.without.change", "message.key.columns", "include.query", "include.unknown.datatypes",
	// Other topics than the outbox's, and how they are called.
	"include.schema.changes", "heartbeat.", "notification.", "topic.heartbeat.prefix", "topic.heartbeat.name", "topic.transaction",
	"topic.cache.size", "topic.regex", "topic.replacement", "topic.key.", "transaction.metadata.factory", "sourceinfo.struct.maker",
	"schema.history.", "signal.", "incremental.snapshot.", "guardrail.", "snapshot.", "legacy.snapshot.max.threads", "streaming.delay.ms",
	"max.batch.size", "max.queue.size", "max.queue.size.in.bytes", "queue.provider.type", "poll.interval.ms", "query.fetch.size",
	"executor.shutdown.timeout.ms", "retriable.restart.connector.wait.ms", "errors.", "event.converting.failure.handling.mode",
	"database.server.name", "database.server.id.offset", "database.connectionTimeZone", "database.ssl.", "database.sslpassword",
	"database.sslfactory", "database.query.timeout.ms", "database.initial.statements", "database.tcpKeepAlive", "database.jdbc.driver",
	"database.protocol", "driver.", "connect.timeout.ms", "connect.keep.alive", "connect.keep.alive.interval.ms", "connection.adapter",
	"connection.factory.class", "connection.timeout.ms", "connection.validation.timeout.ms", "binlog.buffer.size",
	"binlog.net.read.timeout", "binlog.net.write.timeout", "use.nongraceful.disconnect", "min.row.count.to.stream.results",
	"ddl.parser.type", "table.ignore.builtin", "gtid.source.", "gtid.ignore.on.recovery", "exactly.once.support", "transaction.boundary",
	"offset.flush.interval.ms", "offset.storage", "offset.storage.", "offsets.storage.topic", "config.action.reload", "internal.",
	"custom.metric.tags", "custom.sanitize.pattern", "statistics.metrics.enabled", "advanced.metrics.enable", "openlineage.", "log.",
	"unknown.properties.ignored",
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
		for _, name := range given {
			c.addTable(name)
		}
		return
	}
	if c.regex == "" {
		c.guessTable()
		return
	}
	for _, entry := range fields(c.regex) {
		if literal.MatchString(entry) {
			c.addTable(strings.ReplaceAll(entry, `\.`, "."))
		} else {
			c.unguessed = true
			c.lose("table.include.list=%s: it is a pattern; name the tables with --outbox-table", entry)
		}
	}
}

// addTable adds one that is not there yet.
func (c *conversion) addTable(name string) {
	if !slices.Contains(c.tables, name) {
		c.tables = append(c.tables, name)
	}
}

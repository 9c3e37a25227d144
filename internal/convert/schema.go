package convert

import (
	"strings"
	"unicode/utf16"

	"github.com/tailer-io/tailer/internal/mapping"
)

// withSchema are the formats that write schemas, the name of an envelope's
// among them.
func withSchema(f mapping.Format) bool {
	return f == mapping.FormatJSONSchema || f == mapping.FormatBytesJSONSchema
}

// schemas takes what shows in schemas alone.
func (c *conversion) schemas() {
	m := &c.mapping
	if comments := c.flag("include.schema.comments", false); comments && c.binlog() &&
		(withSchema(m.KeyFormat) || withSchema(m.ValueFormat) || withSchema(m.HeaderFormat)) {
		c.lose("include.schema.comments=true: schemas hold no comments")
	}
	plain := "io.debezium.schema.SchemaTopicNamingStrategy"
	if c.binlog() {
		plain = "io.debezium.schema.DefaultTopicNamingStrategy"
	}
	if v := c.takeOr("topic.naming.strategy", plain); v != plain && len(m.Envelope) > 0 && withSchema(m.ValueFormat) {
		c.lose("topic.naming.strategy=%s: the name of the envelope's schema is as with %s", v, plain)
	}
	c.delimiter = c.takeOr("topic.delimiter", ".")
}

// schemaName begins the name of the envelope's schema: Debezium takes it from
// the topic that the table would have without the router.
func (c *conversion) schemaName(table string) string {
	if c.prefix == "" {
		return ""
	}
	return sanitized(c.prefix + c.delimiter + strings.Replace(table, ".", c.delimiter, 1))
}

// longestTopic is Kafka's limit, see
// https://kafka.apache.org/documentation/ (Topic.MAX_NAME_LENGTH).
const longestTopic = 249

// sanitized makes a topic's name as Debezium does: each UTF-16 unit that Kafka
// does not allow becomes an underscore.
func sanitized(name string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(name)) {
		if b.Len() == longestTopic {
			break
		}
		if u < 128 && legalName(string(rune(u))) {
			b.WriteByte(byte(u))
		} else {
			b.WriteByte('_')
		}
	}
	return b.String()
}

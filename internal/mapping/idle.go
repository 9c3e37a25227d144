package mapping

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tailer-io/tailer/internal/mapping/connect"
	"github.com/tailer-io/tailer/internal/outbox"
)

// checkIdle refuses settings that would do nothing: whoever wrote one meant
// something else. cfg is the table before the defaults. What Debezium takes
// without a word, and `tailer convert` may therefore write, is not refused.
func (t *table) checkIdle(cfg Table) error {
	switch {
	case cfg.AggregateType != "" && t.topic != nil && !t.topic.uses(cfg.AggregateType):
		return t.invalid("columns.aggregatetype", "has no effect beside a topic template without {%s}", cfg.AggregateType)
	case cfg.AggregateID != "" && t.keyText != nil && t.CloudEvents == nil && !t.keyText.uses(cfg.AggregateID):
		return t.invalid("columns.aggregateid", "has no effect beside a key without {%s}", cfg.AggregateID)
	case cfg.SchemaName != "" && len(t.Envelope) == 0:
		return t.invalid("schema-name", "has no effect without envelope")
	case t.Modes != connect.Modes{} && t.KeyFormat == FormatText && t.ValueFormat == FormatText && t.HeaderFormat == FormatText:
		return t.invalid("types", "has no effect on the format text; formats takes the others")
	}
	return nil
}

// checkTrace refuses a column that cannot hold a trace context. Types that are
// not known may.
func (m *Mapper) checkTrace(t *table, c *outbox.Column) error {
	column := columnOf(c)
	typ, err := m.cfg.Source.Type(column, connect.Modes{})
	if err != nil || typ.Schema.Type == "string" || m.cfg.Source.Binary(column) && !m.cfg.Source.Hex(column) {
		return nil
	}
	return t.invalid("columns.traceparent", "column %q is of type %s; allowed are texts", c.Name, c.Type)
}

// uses reports whether a column is in the template.
func (t *template) uses(column string) bool {
	return slices.ContainsFunc(t.parts, func(p templatePart) bool { return p.column == column })
}

// maxTopic is the length of Kafka's longest topic name.
const maxTopic = 249

// checkTopic refuses a topic that no row could make legal: see
// https://github.com/apache/kafka/blob/trunk/clients/src/main/java/org/apache/kafka/common/internals/Topic.java.
func (t *table) checkTopic() error {
	var constant strings.Builder
	whole := true // no column and no group in it
	switch {
	case t.topic != nil:
		for _, p := range t.topic.parts {
			constant.WriteString(p.text)
			whole = whole && p.column == ""
		}
	case t.regex != nil:
		for _, p := range t.regex.parts {
			constant.WriteString(p.text)
			whole = whole && p.text != ""
		}
	default:
		return nil
	}
	if why := illegalTopic(constant.String(), whole); why != "" {
		return t.invalid("topic", "%s", why)
	}
	return nil
}

func illegalTopic(constant string, whole bool) string {
	legal := func(c rune) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("._-", c)
	}
	switch {
	case strings.TrimFunc(constant, legal) != "":
		return fmt.Sprintf("%q has a character that no topic's name may have; allowed are a-z A-Z 0-9 . _ -", constant)
	case len(constant) > maxTopic:
		return fmt.Sprintf("its own characters are %d, and Kafka takes names of %d", len(constant), maxTopic)
	case whole && constant == "":
		return "the replacement is empty, and no topic has an empty name"
	case whole && (constant == "." || constant == ".."):
		return fmt.Sprintf("%q is no topic name", constant)
	}
	return ""
}

package convert

import (
	"fmt"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/tailer-io/tailer/internal/mapping"
)

// yaml writes the file by hand: a generic encoder knows neither the order of
// the keys nor comments.
func (c *conversion) yaml() []byte {
	w := &writer{}
	w.line("# What Debezium's Outbox Event Router was told, for tailer.")
	w.line("#")
	w.line("# Slot, publication and server id are tailer's own: both may run side by side,")
	w.line("# with topic-prefix for a shadow run.")
	for _, n := range c.notes {
		w.line("# note: %s", n)
	}
	for _, l := range c.lost {
		w.line("# LOST: %s", l)
	}
	w.line("")
	if legalName(c.name) {
		w.pair("name", c.name)
	}
	if u := c.url(); u != "" {
		w.pair("source-url", u)
	}
	if c.brokers != "" {
		w.pair("kafka-brokers", c.brokers)
	}
	if c.codec != "" {
		w.pair("kafka-compression", c.codec)
	}
	w.number("topic-partitions", c.partitions)
	w.number("topic-replication", c.replication)
	w.pair("snapshot", c.snapshot)
	w.line("tables:")
	for _, t := range c.tables {
		c.table(w, t)
	}
	if c.unguessed {
		w.line("  # - table: SCHEMA.NAME")
	}
	return []byte(w.String())
}

func legalName(s string) bool {
	return s != "" && len(s) <= 200 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}

func (c *conversion) table(w *writer, name string) {
	m := c.mappingOf(name)
	w.line("  - table: %s", quote(name))
	w.section("columns", [][2]string{
		{"id", m.ID}, {"aggregatetype", m.AggregateType}, {"aggregateid", m.AggregateID}, {"payload", m.Payload},
		{"timestamp", m.Timestamp}, {"partition", m.Partition}, {"schema-version", m.SchemaVersion},
	})
	if m.Topic != (mapping.Topic{}) {
		w.line("    topic:")
		w.line("      regex: %s", quote(m.Topic.Regex))
		w.line("      replacement: %s", quote(m.Topic.Replacement))
	}
	if m.ContextHeaders != "" {
		w.line("    context-headers: %s", quote(m.ContextHeaders))
	}
	if len(m.Headers) > 0 {
		w.line("    headers:")
		for _, h := range m.Headers {
			w.entry(h.Column, h.Name)
		}
	}
	if len(m.Envelope) > 0 {
		w.line("    envelope:")
		for _, f := range m.Envelope {
			w.entry(f.Column, f.Name)
		}
		if m.SchemaName != "" {
			w.line("    schema-name: %s", quote(m.SchemaName))
		}
	}
	if m.IgnoreMissing {
		w.line("    missing-columns: ignore")
	}
	for _, f := range []struct {
		key string
		on  bool
	}{{"tombstone-on-empty-payload", m.Tombstone}, {"expand-json", m.Expand}, {"expand-json-nulls", m.ExpandNulls}} {
		if f.on {
			w.line("    %s: true", f.key)
		}
	}
	w.section("formats", [][2]string{
		{"key", string(m.KeyFormat)}, {"value", string(m.ValueFormat)}, {"headers", string(m.HeaderFormat)},
	})
	w.section("types", [][2]string{{"binary", m.Modes.Binary}, {"decimal", m.Modes.Decimal},
		{"unsigned-bigint", m.Modes.UnsignedBigint}, {"time", m.Modes.Time}})
}

type writer struct{ strings.Builder }

func (w *writer) line(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if strings.HasPrefix(text, "#") {
		// A value with a line break must not end a comment.
		text = strings.Map(printable, strings.Join(strings.Fields(text), " "))
	}
	w.WriteString(text + "\n")
}

func printable(r rune) rune {
	if !unicode.IsPrint(r) {
		return '?'
	}
	return r
}

func (w *writer) pair(key, value string) { w.line("%s: %s", key, quote(value)) }

// number is a pair of what holds digits alone, or nothing.
func (w *writer) number(key, digits string) {
	if digits != "" {
		w.line("%s: %s", key, digits)
	}
}

// section is a mapping of what is not empty, or nothing.
func (w *writer) section(key string, pairs [][2]string) {
	open := false
	for _, p := range pairs {
		if p[1] == "" {
			continue
		}
		if !open {
			w.line("    %s:", key)
			open = true
		}
		w.line("      %s: %s", p[0], quote(p[1]))
	}
}

// entry is an element of a list: a column, and its name if it has another one.
func (w *writer) entry(column, name string) {
	w.line("      - column: %s", quote(column))
	if name != column {
		w.line("        name: %s", quote(name))
	}
}

// quote makes a YAML scalar of one line.
func quote(s string) string {
	node := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		node.Style = yaml.DoubleQuotedStyle
	}
	b, err := yaml.Marshal(node)
	if err != nil {
		return fmt.Sprintf("%q", s) // not reached: every text is a scalar
	}
	return strings.TrimSuffix(string(b), "\n")
}

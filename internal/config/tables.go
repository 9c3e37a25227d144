package config

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tailer-io/tailer/internal/mapping"
	"github.com/tailer-io/tailer/internal/mapping/connect"
)

// tableKeys are the keys of one element of tables, in the order in which
// documents show them.
var tableKeys = []string{"table", "columns", "topic", "key", "id-header", "context-headers", "headers", "attributes", "envelope", "missing-columns",
	"tombstone-on-empty-payload", "expand-json", "expand-json-nulls", "schema-name", "uuid-columns", "formats", "types", "cleanup-column"}

// columnNames are the keys of a table's columns.
var columnNames = []string{"id", "aggregatetype", "aggregateid", "payload", "timestamp", "partition", "schema-version", "traceparent"}

// tableEntry is one element of tables.
type tableEntry struct {
	line    int
	table   string
	mapping mapping.Table
	cleanup string // its cleanup-column
}

func (f *file) readTables(n *yaml.Node) error {
	f.tablesLine = n.Line
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		return f.bad(n.Line, "%s: %s is not a list of tables, each with table and columns", tablesKey, shown(n))
	}
	for _, item := range n.Content {
		item = named(item)
		t := tableEntry{line: item.Line}
		err := f.eachKey(item, "an element of "+tablesKey, tableKeys, func(key string, value *yaml.Node) error {
			return f.readTable(&t, key, value)
		})
		if err != nil {
			return err
		}
		if t.table == "" {
			return f.bad(item.Line, "an element of %s has no table", tablesKey)
		}
		f.tables = append(f.tables, t)
	}
	return nil
}

// readTable notes one key of a table.
func (f *file) readTable(t *tableEntry, key string, n *yaml.Node) error {
	m := &t.mapping
	switch key {
	case "table":
		return f.name(n, key, &t.table)
	case "columns":
		return f.eachKey(n, key, columnNames, func(column string, name *yaml.Node) error {
			return f.name(name, column, columnField(m, column))
		})
	case "topic":
		if n.Kind == yaml.ScalarNode {
			return f.name(n, key, &m.Topic.Template)
		}
		return f.regex(n, &m.Topic)
	case "key":
		return f.name(n, key, &m.Key)
	case "id-header":
		return f.name(n, key, &m.IDHeader)
	case "context-headers":
		return f.name(n, key, &m.ContextHeaders)
	case "schema-name":
		return f.name(n, key, &m.SchemaName)
	case "headers":
		return f.each(n, key, func(item *yaml.Node) error { return f.header(&m.Headers, key, item) })
	case "attributes":
		m.CloudEvents = &mapping.CloudEvents{}
		return f.each(n, key, func(item *yaml.Node) error { return f.header(&m.CloudEvents.Attributes, key, item) })
	case "envelope":
		return f.each(n, key, func(item *yaml.Node) error { return f.field(m, item) })
	case "missing-columns":
		var s string
		err := f.choice(n, key, []string{"error", "ignore"}, &s)
		m.IgnoreMissing = s == "ignore"
		return err
	case "tombstone-on-empty-payload":
		return f.flag(n, key, &m.Tombstone)
	case "expand-json":
		return f.flag(n, key, &m.Expand)
	case "expand-json-nulls":
		return f.flag(n, key, &m.ExpandNulls)
	case "uuid-columns":
		return f.each(n, key, func(item *yaml.Node) error {
			m.UUIDs = append(m.UUIDs, "")
			return f.name(item, "an element of "+key, &m.UUIDs[len(m.UUIDs)-1])
		})
	case "formats":
		return f.formats(m, n)
	case "cleanup-column":
		return f.name(n, key, &t.cleanup)
	}
	return f.types(m, n) // the key is types: eachKey knows no other
}

func columnField(m *mapping.Table, column string) *string {
	switch column {
	case "id":
		return &m.ID
	case "aggregatetype":
		return &m.AggregateType
	case "aggregateid":
		return &m.AggregateID
	case "timestamp":
		return &m.Timestamp
	case "partition":
		return &m.Partition
	case "schema-version":
		return &m.SchemaVersion
	case "traceparent":
		return &m.Traceparent
	}
	return &m.Payload
}

// regex reads a topic's regex with its replacement; either may be left out.
func (f *file) regex(n *yaml.Node, topic *mapping.Topic) error {
	*topic = mapping.Topic{Regex: "(?<routedByValue>.*)", Replacement: "outbox.event.${routedByValue}"}
	return f.eachKey(n, "topic", []string{"regex", "replacement"}, func(key string, value *yaml.Node) error {
		if key == "regex" {
			return f.name(value, key, &topic.Regex)
		}
		return f.text(value, key, &topic.Replacement)
	})
}

func (f *file) header(list *[]mapping.Header, what string, n *yaml.Node) error {
	var h mapping.Header
	err := f.eachKey(n, "an element of "+what, []string{"name", "column", "value", "meta"}, func(key string, value *yaml.Node) error {
		return f.name(value, key, map[string]*string{"name": &h.Name, "column": &h.Column, "value": &h.Value, "meta": &h.Meta}[key])
	})
	*list = append(*list, h)
	return err
}

func (f *file) field(m *mapping.Table, n *yaml.Node) error {
	var e mapping.Field
	err := f.eachKey(n, "an element of envelope", []string{"name", "column"}, func(key string, value *yaml.Node) error {
		return f.name(value, key, map[string]*string{"name": &e.Name, "column": &e.Column}[key])
	})
	m.Envelope = append(m.Envelope, e)
	return err
}

func (f *file) formats(m *mapping.Table, n *yaml.Node) error {
	return f.eachKey(n, "formats", []string{"key", "value", "headers"}, func(key string, value *yaml.Node) error {
		switch key {
		case "key":
			return choose(f, value, key, mapping.KeyFormats, &m.KeyFormat)
		case "value":
			return choose(f, value, key, mapping.ValueFormats, &m.ValueFormat)
		}
		return choose(f, value, key, mapping.HeaderFormats, &m.HeaderFormat)
	})
}

func (f *file) types(m *mapping.Table, n *yaml.Node) error {
	return f.eachKey(n, "types", []string{"binary", "decimal", "unsigned-bigint", "time"}, func(key string, value *yaml.Node) error {
		switch key {
		case "binary":
			return f.choice(value, key, connect.BinaryModes, &m.Modes.Binary)
		case "decimal":
			return f.choice(value, key, connect.DecimalModes, &m.Modes.Decimal)
		case "unsigned-bigint":
			return f.choice(value, key, connect.UnsignedBigintModes, &m.Modes.UnsignedBigint)
		}
		return f.choice(value, key, connect.TimeModes, &m.Modes.Time)
	})
}

// name reads a scalar that is not empty, text one that may be.
func (f *file) name(n *yaml.Node, key string, to *string) error {
	if n.Kind != yaml.ScalarNode || n.Value == "" {
		return f.bad(n.Line, "%s: %s is not a name", key, shown(n))
	}
	*to = n.Value
	return nil
}

func (f *file) text(n *yaml.Node, key string, to *string) error {
	if n.Kind != yaml.ScalarNode {
		return f.bad(n.Line, "%s: %s is not a text", key, shown(n))
	}
	*to = n.Value
	return nil
}

func (f *file) flag(n *yaml.Node, key string, to *bool) error {
	var s string
	err := f.choice(n, key, []string{"true", "false"}, &s)
	*to = s == "true"
	return err
}

func (f *file) choice(n *yaml.Node, key string, allowed []string, to *string) error {
	return choose(f, n, key, allowed, to)
}

func choose[T ~string](f *file, n *yaml.Node, key string, allowed []T, to *T) error {
	if n.Kind != yaml.ScalarNode || !slices.Contains(allowed, T(n.Value)) {
		names := make([]string, len(allowed))
		for i, a := range allowed {
			names[i] = string(a)
		}
		return f.bad(n.Line, "%s: %s is not one of %s", key, shown(n), strings.Join(names, ", "))
	}
	*to = T(n.Value)
	return nil
}

// each calls do for every element of a list.
func (f *file) each(n *yaml.Node, key string, do func(*yaml.Node) error) error {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		return f.bad(n.Line, "%s: %s is not a list of one or more", key, shown(n))
	}
	for _, item := range n.Content {
		if err := do(named(item)); err != nil {
			return err
		}
	}
	return nil
}

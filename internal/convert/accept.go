package convert

import (
	"strings"

	"github.com/tailer-io/tailer/internal/mapping"
)

// longestIdentifier is what tailer takes as the name of a schema or a table.
const longestIdentifier = 63

// accepted names what tailer would refuse at start.
func (c *conversion) accepted() {
	for _, t := range c.tables {
		schema, name, ok := strings.Cut(t, ".")
		if !ok || schema == "" || name == "" || strings.ContainsAny(name, ".") || strings.ContainsAny(t, "\"\x00") ||
			len(schema) > longestIdentifier || len(name) > longestIdentifier {
			c.lose("table.include.list: %q is no schema.name without quotes, each of at most %d bytes; name the table with --outbox-table", t, longestIdentifier)
		}
	}
	cfg := mapping.Config{}
	for _, t := range c.tables {
		cfg.Tables = append(cfg.Tables, c.mappingOf(t))
	}
	if len(cfg.Tables) == 0 {
		cfg.Tables = append(cfg.Tables, c.mappingOf("SCHEMA.NAME"))
	}
	if _, err := mapping.New(cfg); err != nil {
		c.lose("%s", err)
	}
}

// mappingOf is the mapping of one table.
func (c *conversion) mappingOf(table string) mapping.Table {
	m := c.mapping
	m.Name = table
	if len(m.Envelope) > 0 {
		m.SchemaName = c.schemaName(table)
	}
	return m
}

package convert

import (
	"slices"
	"strings"
)

// snapshots takes which rows the first start publishes.
func (c *conversion) snapshots() {
	data := c.flag("snapshot.mode.configuration.based.snapshot.data", false)
	switch v := c.takeOr("snapshot.mode", "initial"); strings.ToLower(v) {
	case "initial", "when_needed":
	case "no_data", "recovery", "never", "schema_only", "schema_only_recovery": // the last three are former names
		c.snapshot = "never"
	case "configuration_based":
		if !data {
			c.snapshot = "never"
		}
	case "always":
		c.note("snapshot.mode=%s: the first start publishes the rows in the table, later ones do not", v)
	case "initial_only":
		c.note("snapshot.mode=%s: tailer goes on with the rows that are inserted; --until now ends it", v)
	default:
		c.lose("snapshot.mode=%s: tailer knows initial and never", v)
	}
	if c.snapshot == "initial" {
		c.someRows()
	}
}

// someRows takes what keeps rows out of Debezium's snapshot.
func (c *conversion) someRows() {
	for key, v := range c.left {
		if key == "snapshot.query.mode" && !strings.EqualFold(strings.TrimSpace(v), "select_all") || strings.HasPrefix(key, "snapshot.select.statement.overrides") {
			delete(c.left, key)
			c.lose("%s=%s: the first start publishes all rows in the table, or none with snapshot: never", key, v)
		}
	}
	v, ok := c.take("snapshot.include.collection.list")
	if !ok {
		return
	}
	included := fields(strings.ReplaceAll(v, `\.`, "."))
	for _, t := range c.tables {
		if !slices.Contains(included, t) {
			c.lose("snapshot.include.collection.list=%s: it does not name %s, whose rows the first start publishes unless snapshot is never", v, t)
		}
	}
}

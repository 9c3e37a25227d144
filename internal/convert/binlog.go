package convert

import (
	"slices"
	"strings"

	"github.com/tailer-io/tailer/internal/mapping/connect"
)

// binlog reports whether the connector reads MySQL or MariaDB.
func (c *conversion) binlog() bool { return c.kind == "mysql" || c.kind == "mariadb" }

// sslModes are tailer's for those of the two connectors.
var sslModes = map[string]string{
	"disabled": "disabled", "preferred": "preferred", "required": "required", "verify_ca": "verify-ca", "verify_identity": "verify-identity",
	"disable": "disabled", "trust": "required", "verify-ca": "verify-ca", "verify-full": "verify-identity",
}

// binlogSource takes what only MySQL and MariaDB have.
func (c *conversion) binlogSource() {
	if v, ok := c.take("database.server.id"); ok {
		c.note("database.server.id=%s: tailer derives one of its own, so that both may run side by side; mysql-server-id sets it", v)
	}
	if v, ok := c.take("database.ssl.mode"); ok {
		if c.sslMode, ok = sslModes[strings.ToLower(v)]; !ok {
			c.lose("database.ssl.mode=%s: there is no such mode", v)
		}
	}
	if v, ok := c.take("database.ssl.truststore"); ok {
		c.note("database.ssl.truststore=%s: give its authorities as a PEM file, in ssl-ca of source-url", v)
	}
}

// timeModes are those of time.precision.mode that the connector accepts.
func (c *conversion) timeModes() []string {
	if !c.binlog() {
		return connect.TimeModes
	}
	return slices.DeleteFunc(slices.Clone(connect.TimeModes), func(m string) bool { return m == "adaptive" })
}

// guessTable names the outbox table where table.include.list is missing.
func (c *conversion) guessTable() {
	table := "public.outbox"
	if c.binlog() {
		database := c.left["database.include.list"]
		if !word.MatchString(database) {
			c.unguessed = true
			c.lose("table.include.list: there is none; name the table with --outbox-table")
			return
		}
		table = database + ".outbox"
	}
	c.tables = []string{table}
	c.note("table.include.list: there is none; the table is taken to be %s", table)
}

// chooseDatabase is the database of the URL, which says the tables' for
// MySQL and MariaDB: the connectors have none of their own.
func (c *conversion) chooseDatabase() {
	if c.binlog() && len(c.tables) > 0 {
		c.database, _, _ = strings.Cut(c.tables[0], ".")
	}
	delete(c.left, "database.include.list")
}

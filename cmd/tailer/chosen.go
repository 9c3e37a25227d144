package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tailer-io/tailer/internal/config"
	"github.com/tailer-io/tailer/internal/outbox"
)

// choosing are the flags that choose rows of the outbox.
type choosing struct {
	where  string
	fromID string
	tables []string
}

func (c *choosing) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.where, "where", "", "rows for which this SQL expression of the database is true")
	f.StringVar(&c.fromID, "from-id", "", "rows whose primary key, a number or a UUID of version 7, is this or greater")
	f.StringArrayVar(&c.tables, "table", nil, "rows of this outbox table only; repeatable (default all that are configured)")
}

// filter is what was chosen.
func (c *choosing) filter(cfg *config.Config) (outbox.Filter, error) {
	f := outbox.Filter{Where: strings.TrimSpace(c.where), From: strings.TrimSpace(c.fromID)}
	if (f.Where == "") == (f.From == "") {
		return f, &outbox.Invalid{Text: "one of --where and --from-id is required, and only one: which rows? --where true means all"}
	}
	for _, name := range c.tables {
		i := slices.IndexFunc(cfg.Tables, func(t config.Table) bool { return name == t.String() || name == t.Name })
		if i < 0 {
			return f, &outbox.Invalid{Option: "table", Text: fmt.Sprintf("%q is not configured; configured are %s", name, strings.Join(cfg.TableNames(), ", "))}
		}
		f.Tables = append(f.Tables, cfg.Tables[i].String())
	}
	return f, nil
}

// plural counts rows for people.
func plural(n int64) string {
	if n == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", n)
}

// sum adds the rows of all tables.
func sum(counts []int64) (n int64) {
	for _, c := range counts {
		n += c
	}
	return n
}

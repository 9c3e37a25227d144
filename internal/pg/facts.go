package pg

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tailer-io/tailer/internal/outbox"
)

// tableFacts is what the catalog says about one table.
type tableFacts struct {
	oid         string // "" when there is no such table
	kind        string // relkind: r table, p partitioned table, others are none for us
	persistence string // relpersistence: p permanent, u unlogged, t temporary
	columns     []string
	generated   []string // those of columns that are generated
	key         []string // columns of the primary key, in its order
	badLeaf     string   // a partition whose rows are not logged
	details     map[string]columnFacts
}

const tableSQL = `
select c.oid, c.relkind, c.relpersistence,
  coalesce((select string_agg(a.attname, E'\n' order by a.attnum) from pg_attribute a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), ''),
  coalesce((select string_agg(a.attname, E'\n' order by a.attnum) from pg_attribute a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated <> ''), ''),
  coalesce((select string_agg(a.attname, E'\n' order by k.n) from pg_index i
    cross join lateral unnest(i.indkey::int2[]) with ordinality k(attnum, n)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
    where i.indrelid = c.oid and i.indisprimary), ''),
  coalesce((select l.oid::regclass::text from pg_partition_tree(c.oid) t join pg_class l on l.oid = t.relid
    where c.relkind = 'p' and (l.relpersistence <> 'p' or l.relkind not in ('r', 'p')) limit 1), '')
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname = $2`

// loadTable asks the catalog about t; a table that is not there has no oid.
func loadTable(ctx context.Context, x *session, t Table) (tableFacts, error) {
	rows, err := x.query(ctx, tableSQL, t.Schema, t.Name)
	if err != nil {
		return tableFacts{}, fmt.Errorf("look up table %s: %w", t, err)
	}
	if len(rows) == 0 {
		return tableFacts{}, nil
	}
	r := rows[0]
	details, err := loadColumns(ctx, x, r[0])
	if err != nil {
		return tableFacts{}, err
	}
	return tableFacts{
		oid: r[0], kind: r[1], persistence: r[2], columns: lines(r[3]), generated: lines(r[4]),
		key: lines(r[5]), badLeaf: r[6], details: details,
	}, nil
}

func lines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}

// judge returns what is wrong with a table: *outbox.Invalid where the
// configuration does not fit (at a first connection), else *outbox.Refusal.
func (f tableFacts) judge(t Table, version int, worked bool) error {
	unfit := func(reason, hint, text string) error {
		if worked {
			return &outbox.Refusal{Reason: reason, Text: text, Hint: hint}
		}
		return &outbox.Invalid{Option: "outbox-table", Text: text, Hint: hint}
	}
	switch {
	case f.oid == "":
		return unfit(ReasonTable, "create it, or name another table", fmt.Sprintf("table %s does not exist", t))
	case f.kind != "r" && f.kind != "p":
		return unfit(ReasonTable, "name a table", fmt.Sprintf("%s is no table but a %s", t, kindName(f.kind)))
	case f.persistence == "u":
		return outbox.Refuse(ReasonTable, "ALTER TABLE "+t.quoted()+" SET LOGGED",
			"table %s is UNLOGGED: its rows never reach the log", t)
	case f.persistence != "p":
		return outbox.Refuse(ReasonTable, "use a permanent table", "table %s is temporary: its rows never reach the log", t)
	case f.badLeaf != "":
		return outbox.Refuse(ReasonTable, "ALTER TABLE "+f.badLeaf+" SET LOGGED, or detach it",
			"partition %s of table %s is unlogged or foreign: its rows never reach the log", f.badLeaf, t)
	}
	for i, c := range t.Columns {
		if !slices.Contains(f.columns, c) {
			if t.optional(i) {
				continue
			}
			return unfit(ReasonColumn, "add the column, or map another one",
				fmt.Sprintf("table %s has no column %q; it has %s", t, c, strings.Join(f.columns, ", ")))
		}
		if version < 18 && slices.Contains(f.generated, c) {
			return unfit(ReasonColumn, "map a column that is stored",
				fmt.Sprintf("column %q of table %s is generated: before PostgreSQL 18 the log does not bring it", c, t))
		}
	}
	return nil
}

func kindName(kind string) string {
	switch kind {
	case "v":
		return "view"
	case "m":
		return "materialized view"
	case "f":
		return "foreign table"
	case "S":
		return "sequence"
	case "i", "I":
		return "index"
	case "c":
		return "composite type"
	}
	return "relation of kind " + kind
}

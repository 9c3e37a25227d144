package pg

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tailer-io/tailer/internal/outbox"
)

// columnFacts is what the catalog says about a column beyond what the log
// brings with every description of its table.
type columnFacts struct {
	declared uint32 // OID of the type as declared, which may be a domain
	typ      string // as outbox.Column.Type
	mod      int32  // type modifier of what it is based on, -1 for none
	notNull  bool
	labels   string
	def      string // expression of the default
	cents    int    // of money: see session.cents
}

// A domain is followed to what it is based on, and has no default, as Debezium
// sees none there. Types outside of pg_catalog have
// the name of their schema before theirs, except those that the mapping knows.
const columnsSQL = `
with recursive c as (
  select a.attnum, a.attname, a.atttypid as declared, a.attnotnull as required, t.oid as typ, t.typtype, t.typbasetype,
    case when t.typtype = 'd' then t.typtypmod else a.atttypmod end as mod
  from pg_attribute a join pg_type t on t.oid = a.atttypid
  where a.attrelid = $1::oid and a.attnum > 0 and not a.attisdropped
  union all
  select c.attnum, c.attname, c.declared, c.required, t.oid, t.typtype, t.typbasetype,
    case when t.typtype = 'd' then t.typtypmod else c.mod end
  from c join pg_type t on t.oid = c.typbasetype where c.typtype = 'd')
select c.attname, c.declared, c.mod, c.required,
  case when c.typtype = 'e' then 'enum'
    when t.typnamespace = 'pg_catalog'::regnamespace or t.typname in ('citext', 'ltree') then t.typname
    else format_type(t.oid, null) end,
  coalesce((select string_agg(e.enumlabel, ',' order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid), ''),
  coalesce((select pg_get_expr(d.adbin, d.adrelid) from pg_attrdef d join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
    where d.adrelid = $1::oid and d.adnum = c.attnum and a.attgenerated = '' and a.atttypid not in (select oid from pg_type where typtype = 'd')), '')
from c join pg_type t on t.oid = c.typ where c.typtype <> 'd'`

// loadColumns asks the catalog about the columns of the table with this OID.
func loadColumns(ctx context.Context, x *session, oid string) (map[string]columnFacts, error) {
	rows, err := x.query(ctx, columnsSQL, oid)
	if err != nil {
		return nil, fmt.Errorf("look up the columns of a table: %w", err)
	}
	facts := make(map[string]columnFacts, len(rows))
	for _, r := range rows {
		declared, err1 := strconv.ParseUint(r[1], 10, 32)
		mod, err2 := strconv.ParseInt(r[2], 10, 32)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("look up the columns of a table: %q is described oddly", r[0])
		}
		facts[r[0]] = columnFacts{declared: uint32(declared), mod: int32(mod), notNull: r[3] == "t", typ: r[4], labels: r[5], def: r[6], cents: x.cents}
	}
	return facts, nil
}

// column makes the Column of a wanted column from its type as the server gives
// it with a table or a result, and from what the catalog says.
func column(name string, oid uint32, mod int32, facts map[string]columnFacts) outbox.Column {
	c := outbox.Column{Name: name, Type: typeName(oid)}
	if f, ok := facts[name]; ok {
		c.NotNull, c.Default = f.notNull, f.def
		if f.declared == oid {
			if f.typ != c.Type { // a domain, an enumeration, an array
				c.Type, mod = f.typ, f.mod
			}
			c.Labels = f.labels
		}
	}
	c.Precision, c.Scale = modifier(c.Type, mod)
	return c
}

// modifier takes a type modifier apart, as the types' own output functions do
// (numerictypmodout and so on).
func modifier(typ string, mod int32) (precision, scale int) {
	if len(typ) > 0 && typ[0] == '_' {
		typ = typ[1:]
	}
	switch {
	case mod < 0:
		return -1, -1
	case typ == "numeric" && mod >= 4:
		scale = int((mod - 4) & 0x7ff)
		return int((mod - 4) >> 16 & 0xffff), (scale ^ 1024) - 1024 // 11 bits, signed
	case typ == "bit", typ == "varbit", typ == "time", typ == "timetz", typ == "timestamp", typ == "timestamptz":
		return int(mod), -1
	}
	return -1, -1
}

// missing is an optional column that the table does not have.
func missing(name string) outbox.Column {
	return outbox.Column{Name: name, Missing: true, Precision: -1, Scale: -1}
}

// optional tells whether the i-th wanted column may be missing.
func (t Table) optional(i int) bool { return i < len(t.Optional) && t.Optional[i] }

// shape is the shape of a table as the catalog has it now, with every wanted
// column there or optional.
func (f *tableFacts) shape(index int, t Table) *outbox.Shape {
	s := &outbox.Shape{Table: index}
	for _, name := range t.Columns {
		c := missing(name)
		if d, ok := f.details[name]; ok {
			c = column(name, d.declared, d.mod, f.details)
		}
		s.Columns = append(s.Columns, c)
	}
	return s
}

// rest names the columns that are not wanted.
func (f *tableFacts) rest(t Table) []string {
	return slices.DeleteFunc(slices.Clone(f.columns), func(c string) bool { return slices.Contains(t.Columns, c) })
}

// fits asks the mapping whether it can do with a table.
func (s *Source) fits(index int, f *tableFacts) error {
	t := s.cfg.Tables[index]
	if t.SnapshotOrder != "" && !s.worked { // later there may be no snapshot any more
		if err := f.has("snapshot-order-by", t, t.SnapshotOrder); err != nil {
			return err
		}
	}
	for _, name := range t.Columns {
		if d := f.details[name]; strings.TrimPrefix(d.typ, "_") == "money" && d.cents != 2 {
			return outbox.Refuse(ReasonColumn, fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s TYPE numeric, or map another column", t.quoted(), quoteIdent(name)),
				"column %q of table %s is money, which has %d digits after the point in this database (lc_monetary) and 2 in the log as tailer reads it",
				name, t, d.cents)
		}
	}
	if s.cfg.Check == nil {
		return nil
	}
	return s.cfg.Check(f.shape(index, t))
}

// has tells whether a table has the column that an option names.
func (f *tableFacts) has(option string, t Table, column string) error {
	if slices.Contains(f.columns, column) {
		return nil
	}
	return &outbox.Invalid{Option: option, Text: fmt.Sprintf("table %s has no column %q; it has %s", t, column, strings.Join(f.columns, ", "))}
}

// describe gives the facts that Connect found, or asks for them again.
func (s *Source) describe(ctx context.Context, table int, again bool) (map[string]columnFacts, error) {
	if again {
		details, err := loadColumns(ctx, s.ctl, s.tables[table].oid)
		if err != nil {
			return nil, err
		}
		s.tables[table].details = details
	}
	return s.tables[table].details, nil
}

// declared is the OID of a column's type as declared: a result names what a
// domain is based on.
func (f *tableFacts) declared(name string, oid uint32) uint32 {
	if d, ok := f.details[name]; ok {
		return d.declared
	}
	return oid
}

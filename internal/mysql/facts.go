package mysql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tailer-io/tailer/internal/outbox"
)

// tableFacts is what information_schema says about one table.
type tableFacts struct {
	exists       bool
	schema, name string // in the letters that the log uses
	kind         string // BASE TABLE, VIEW, ...
	engine       string
	columns      []columnFacts // in the table's order
	key          []string      // columns of the primary key, in its order
	// asOf is the log's end after all this was asked; its zero value lies
	// before everything.
	asOf place
}

// columnFacts is one column. The log has types too, but neither zero padding,
// display width nor the digits of FLOAT(M,D), and names of columns and members
// only with binlog_row_metadata=FULL.
type columnFacts struct {
	name     string
	dataType string // DATA_TYPE: varchar, bigint, json, ...
	full     string // COLUMN_TYPE: int(10) unsigned zerofill, enum('a','b'), ...
	charset  string // "" for what is no text
	notNull  bool
	// precision is the digits of a number or of a fraction of a second, or the
	// bits of a BIT; scale the digits behind the point; -1 when there is none.
	precision, scale int
	fallback         string // COLUMN_DEFAULT as an SQL expression, "" for none
}

// column finds one by its name; names of columns do not mind case.
func (f *tableFacts) column(name string) *columnFacts {
	if i := f.index(name); i >= 0 {
		return &f.columns[i]
	}
	return nil
}

// has tells whether a table has the column that an option names.
func (f *tableFacts) has(option string, t Table, column string) error {
	if f.index(column) >= 0 {
		return nil
	}
	names := make([]string, len(f.columns))
	for i := range f.columns {
		names[i] = f.columns[i].name
	}
	return &outbox.Invalid{Option: option, Text: fmt.Sprintf("table %s has no column %q; it has %s", t, column, strings.Join(names, ", "))}
}

func (f *tableFacts) index(name string) int {
	return slices.IndexFunc(f.columns, func(c columnFacts) bool { return strings.EqualFold(c.name, name) })
}

func (c *columnFacts) unsigned() bool {
	return strings.Contains(c.full, " unsigned") || c.zerofill() > 0
}

// zerofill is the width to which a number is padded with zeros, 0 for none.
func (c *columnFacts) zerofill() int {
	if !strings.Contains(c.full, " zerofill") {
		return 0
	}
	_, rest, _ := strings.Cut(c.full, "(")
	width, _, _ := strings.Cut(rest, ")")
	width, _, decimal := strings.Cut(width, ",")
	n, _ := strconv.Atoi(width)
	if decimal && c.dataType == "decimal" {
		n++ // the point
	}
	return n
}

// members are the values of an ENUM or SET.
func (c *columnFacts) members() []string {
	_, rest, ok := strings.Cut(c.full, "(")
	if !ok {
		return nil
	}
	var out []string
	for len(rest) > 0 && rest[0] == '\'' {
		var v strings.Builder
		rest = rest[1:]
		for len(rest) > 0 {
			if rest[0] == '\'' {
				if !strings.HasPrefix(rest, "''") {
					break
				}
				rest = rest[1:]
			}
			v.WriteByte(rest[0])
			rest = rest[1:]
		}
		out = append(out, v.String())
		rest = strings.TrimPrefix(strings.TrimPrefix(rest, "'"), ",")
	}
	return out
}

// loadTable asks information_schema about t; a table that is not there, or of
// which nothing may be seen, does not exist.
func loadTable(ctx context.Context, x *session, t Table) (tableFacts, error) {
	rows, err := x.query(ctx, `select table_schema, table_name, table_type, coalesce(engine, '')
from information_schema.tables where table_schema = %s and table_name = %s`, t.Schema, t.Name)
	if err != nil {
		return tableFacts{}, fmt.Errorf("look up table %s: %w", t, err)
	}
	if len(rows) == 0 {
		return tableFacts{}, nil
	}
	f := tableFacts{exists: true, schema: rows[0][0], name: rows[0][1], kind: rows[0][2], engine: rows[0][3]}
	rows, err = x.query(ctx, `select column_name, data_type, column_type, coalesce(character_set_name, ''), is_nullable,
  coalesce(datetime_precision, numeric_precision, -1), coalesce(numeric_scale, -1),
  -- MariaDB prints an expression, and MySQL a literal without its quotes, but where it says otherwise.
  coalesce(if(instr(version(), 'MariaDB') or instr(extra, 'DEFAULT_GENERATED'), column_default,
    concat('''', replace(column_default, '''', ''''''), '''')), '')
from information_schema.columns where table_schema = %s and table_name = %s order by ordinal_position`, t.Schema, t.Name)
	if err != nil {
		return tableFacts{}, fmt.Errorf("look up columns of table %s: %w", t, err)
	}
	for _, r := range rows {
		precision, err1 := strconv.Atoi(r[5])
		scale, err2 := strconv.Atoi(r[6])
		if err := errors.Join(err1, err2); err != nil {
			return tableFacts{}, fmt.Errorf("look up columns of table %s: %w", t, err)
		}
		f.columns = append(f.columns, columnFacts{
			name: r[0], dataType: strings.ToLower(r[1]), full: r[2], charset: r[3],
			notNull: r[4] == "NO", precision: precision, scale: scale, fallback: r[7],
		})
	}
	rows, err = x.query(ctx, `select column_name from information_schema.key_column_usage
where table_schema = %s and table_name = %s and constraint_name = 'PRIMARY' order by ordinal_position`, t.Schema, t.Name)
	if err != nil {
		return tableFacts{}, fmt.Errorf("look up primary key of table %s: %w", t, err)
	}
	for _, r := range rows {
		f.key = append(f.key, r[0])
	}
	return f, nil
}

// shape is the table as information_schema knows it, in the form in which rows
// have it.
func (f *tableFacts) shape(index int, t Table) *outbox.Shape {
	s := &outbox.Shape{Table: index, Columns: make([]outbox.Column, len(t.Columns))}
	for i, name := range t.Columns {
		known := f.column(name)
		if known == nil {
			s.Columns[i] = missingColumn(name)
			continue
		}
		s.Columns[i] = known.shape(name)
	}
	return s
}

// addRest gives a shape the columns that are not wanted.
func (f *tableFacts) addRest(s *outbox.Shape, t Table) {
	for i := range f.columns {
		name := f.columns[i].name
		if !slices.ContainsFunc(t.Columns, func(w string) bool { return strings.EqualFold(w, name) }) {
			s.Rest = append(s.Rest, f.columns[i].shape(name))
		}
	}
}

// shape describes the column under this name.
func (c *columnFacts) shape(name string) outbox.Column {
	out := column{unsigned: c.unsigned()}
	if c.dataType == "enum" || c.dataType == "set" {
		out.typ = storedAs[c.dataType][0]
		for _, m := range c.members() {
			out.members = append(out.members, []byte(m))
		}
	}
	return shapeColumn(name, &out, c)
}

// transactional are the engines whose rows reach the log with their
// transaction. Rows of any other stand there although the transaction around
// them was rolled back.
var transactional = []string{"innodb", "rocksdb", "xtradb", "ndbcluster"}

// judge returns what is wrong with a table: *outbox.Invalid where the
// configuration does not fit (at a first connection), else *outbox.Refusal.
func (f *tableFacts) judge(t Table, worked bool) error {
	unfit := func(reason, hint, text string) error {
		if worked {
			return &outbox.Refusal{Reason: reason, Text: text, Hint: hint}
		}
		return &outbox.Invalid{Option: "outbox-table", Text: text, Hint: hint}
	}
	switch {
	case !f.exists:
		return unfit(ReasonTable, "create it, grant SELECT on it, or name another table",
			fmt.Sprintf("table %s does not exist, or this account may not see it", t))
	case f.kind == "SYSTEM VERSIONED":
		return outbox.Refuse(ReasonTable, "ALTER TABLE "+t.quoted()+" DROP SYSTEM VERSIONING",
			"table %s is system-versioned: what an UPDATE or DELETE leaves in its history is in the log as an inserted row", t)
	case f.kind != "BASE TABLE":
		return unfit(ReasonTable, "name a table", fmt.Sprintf("%s is no table but a %s", t, strings.ToLower(f.kind)))
	case !slices.Contains(transactional, strings.ToLower(f.engine)):
		return outbox.Refuse(ReasonTable, "ALTER TABLE "+t.quoted()+" ENGINE=InnoDB",
			"table %s has the engine %s, which knows no transactions: its rows are in the log even if the application rolls back", t, f.engine)
	}
	for i, name := range t.Columns {
		c := f.column(name)
		if c == nil && t.optional(i) {
			continue
		}
		if c == nil {
			names := make([]string, len(f.columns))
			for k := range f.columns {
				names[k] = f.columns[k].name
			}
			return unfit(ReasonColumn, "add the column, or map another one",
				fmt.Sprintf("table %s has no column %q; it has %s", t, name, strings.Join(names, ", ")))
		}
		if err := c.judge(t); err != nil {
			return err
		}
	}
	return nil
}

// sameBytes are the character sets whose bytes are the same in utf8mb4; a
// client sees of them what the log holds.
var sameBytes = []string{"", "utf8mb4", "utf8mb3", "utf8", "ascii", "binary"}

// readable are the types that the log is read for, as information_schema names
// them.
var readable = []string{
	"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double", "bit", "year",
	"date", "time", "datetime", "timestamp",
	"char", "varchar", "binary", "varbinary", "enum", "set", "json", "uuid",
	"tinytext", "text", "mediumtext", "longtext", "tinyblob", "blob", "mediumblob", "longblob",
}

func (c *columnFacts) judge(t Table) error {
	switch {
	case !slices.Contains(readable, c.dataType):
		return outbox.Refuse(ReasonType, "use another type, such as varchar, binary, json or longtext",
			"column %q of table %s is of type %s, which tailer cannot read from the log", c.name, t, c.dataType)
	case strings.Contains(strings.ToUpper(c.full), "COMPRESSED"):
		return outbox.Refuse(ReasonType, "ALTER TABLE "+t.quoted()+" MODIFY the column without COMPRESSED",
			"column %q of table %s is compressed: the log holds its bytes as they are stored", c.name, t)
	case !slices.Contains(sameBytes, c.charset):
		return outbox.Refuse(ReasonCharset,
			"ALTER TABLE "+t.quoted()+" MODIFY "+quoteIdent(c.name)+" "+c.full+" CHARACTER SET utf8mb4",
			"column %q of table %s is in %s: the log holds the bytes of that character set, not what a client sees", c.name, t, c.charset)
	}
	return nil
}

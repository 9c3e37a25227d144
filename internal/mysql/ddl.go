package mysql

import (
	"strings"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Facts of information_schema are of the moment in which they are asked for,
// and rows are of the moment in which they were written. DDL in the log tells
// the two apart: behind it facts are asked for anew, before the next row of the
// table. What was read with facts that already held what the DDL did is refused
// where that may have made a difference; see the package comment.

const namesHint = "SET GLOBAL binlog_row_metadata = 'FULL' and in the configuration file: then the log names its columns"

// changes takes DDL, and notes which tables it may have changed.
func (f *feed) changes(schema, text []byte) error {
	switch objectOf(text) {
	case "TABLE", "TABLES":
	default:
		return nil
	}
	for i := range f.facts {
		known, m := &f.facts[i], &f.maps[i]
		if !patternOf(known.name).in(text) || !strings.EqualFold(string(schema), known.schema) && !patternOf(known.schema).in(text) {
			continue
		}
		if m.taken && !f.reached(&known.asOf) && known.mattered(f.tables[i], m.named, text) {
			m.taken = false
			return outbox.Refuse(ReasonColumn, namesHint+"; compare what was published last with the table; starting again goes on behind the change",
				"table %s was changed by transaction %s, after rows were written that tailer has read with the columns that the table had later: their values may stand in the wrong columns or be written in another way",
				f.tables[i], f.group.name.text(f.mode))
		}
		m.stale = true
	}
	return nil
}

// mattered: may DDL have changed what these facts tell of rows? Without names
// in the log everything rests on them; with names, only how some types are
// written.
func (f *tableFacts) mattered(t Table, named bool, text []byte) bool {
	if !named {
		return true
	}
	x := lexer{text}
	whole := x.keyword() != "ALTER" // another table takes this one's place
	for _, name := range t.Columns {
		c := f.column(name)
		if c == nil {
			continue
		}
		special := c.dataType == "uuid" || c.zerofill() > 0 || c.scale >= 0 && (c.dataType == "float" || c.dataType == "double")
		switch {
		case whole && special:
			return true
		case !whole && patternOf(c.name).in(text) && (special || isSpecial(text)):
			return true
		}
	}
	return false
}

// isSpecial: does DDL name a type whose text the log does not tell whole?
func isSpecial(text []byte) bool {
	x := lexer{text}
	return x.find("ZEROFILL", "UUID", "FLOAT", "DOUBLE", "REAL", "FLOAT4", "FLOAT8") != ""
}

// look asks for a table's facts again. Where the log does not name its columns,
// a difference in those that are wanted is refused: nothing says that the rows
// which follow are of now.
func (f *feed) look(i int) error {
	facts, err := f.reload(i)
	if err != nil {
		return err
	}
	m, old := &f.maps[i], &f.facts[i]
	refuse := m.taken && !m.named && !old.alike(&facts, f.tables[i])
	*old, m.stale, m.taken = facts, false, false
	if refuse {
		return outbox.Refuse(ReasonColumn, namesHint+"; starting again goes on with the table as it is now",
			"table %s was changed before transaction %s, and the log does not name its columns: whether its rows are of the table as it is now cannot be told",
			f.tables[i], f.group.name.text(f.mode))
	}
	return nil
}

// alike: do wanted columns stand in the same places, and mean the same?
func (f *tableFacts) alike(g *tableFacts, t Table) bool {
	for _, name := range t.Columns {
		a, b := f.index(name), g.index(name)
		if a != b || a >= 0 && (f.columns[a].full != g.columns[a].full || f.columns[a].charset != g.columns[a].charset) {
			return false
		}
	}
	return true
}

package outbox

import (
	"slices"
	"strings"
)

// Filter chooses rows of the outbox tables. The zero value chooses all. Its
// JSON is stored in checkpoints and never changes.
type Filter struct {
	// Where is a condition in the database's own SQL, as an operator typed it;
	// "" for none. A source proves that it is one expression before it uses it.
	Where string `json:"where,omitempty"`
	// From is the least value of the primary key that is chosen, as text; ""
	// for none. It is never given beside Where.
	From string `json:"from_id,omitempty"`
	// Tables are the configured names of the tables of which rows are chosen;
	// empty for all. Of the others none are.
	Tables []string `json:"tables,omitempty"`
}

// IsZero reports whether f chooses every row.
func (f Filter) IsZero() bool { return f.Where == "" && f.From == "" && len(f.Tables) == 0 }

// Has reports whether f may choose rows of a table.
func (f Filter) Has(table string) bool {
	return len(f.Tables) == 0 || slices.Contains(f.Tables, table)
}

// String is what people are told about f.
func (f Filter) String() string {
	s := "all rows"
	switch {
	case f.Where != "":
		s = "rows where " + f.Where
	case f.From != "":
		s = "rows from id " + f.From + " on"
	}
	if len(f.Tables) > 0 {
		s += " of " + strings.Join(f.Tables, ", ")
	}
	return s
}

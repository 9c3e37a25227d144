package outbox

// Aged are rows of one outbox table that are old enough to be deleted, as they
// were at one moment.
type Aged struct {
	// Table is the table's index, as in Shape.
	Table int
	// UpTo is a position by which every one of the rows had been committed: a
	// checkpoint that has reached it says that all of them were published.
	UpTo Position
	// Rows names the rows in the source's own text. A row that is written anew
	// has another name, as far as the source can tell.
	Rows []string
}

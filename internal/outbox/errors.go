package outbox

import (
	"errors"
	"fmt"
)

var (
	// ErrEnd is returned by a source that was told where to stop, once
	// everything up to there has been handed over.
	ErrEnd = errors.New("reached the position to stop at")
	// ErrClosed is returned by a Handoff after Close.
	ErrClosed = errors.New("hand-over is closed")
	// ErrOtherServer says that the source's address leads to another server
	// than the one that was proven: what is read on belongs to neither, so
	// everything begins anew there.
	ErrOtherServer = errors.New("another server answers now")
)

// Refusal means that an operator must decide: going on could lose, double or
// reorder rows. tailer exits with status 3, or waits with --on-refusal wait.
type Refusal struct {
	// Reason is a short name from a closed set, such as "slot_missing": the
	// label of the metric refused.
	Reason string
	// Text says what is wrong or lost, in one sentence.
	Text string
	// Hint says which command or statement accepts or mends it.
	Hint string
}

// Refuse makes a Refusal; the text is formatted.
func Refuse(reason, hint, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Text: fmt.Sprintf(format, args...), Hint: hint}
}

func (r *Refusal) Error() string { return withHint("refused: "+r.Text, r.Hint) }

// Invalid means that the configuration is wrong or does not fit the database:
// status 2.
type Invalid struct {
	// Option is the option's one name, such as "outbox-table".
	Option string
	// Text says what is wrong and what is allowed.
	Text string
	// Hint says what to do; may be empty.
	Hint string
}

func (e *Invalid) Error() string {
	if e.Option == "" {
		return withHint(e.Text, e.Hint)
	}
	return withHint("--"+e.Option+": "+e.Text, e.Hint)
}

// Poison is a row that cannot be published, ever.
type Poison struct {
	// Row indexes the batch's rows.
	Row int
	// Table is the configured name of its table.
	Table string
	// ID is its id as text for people, "" when it is NULL.
	ID string
	// Position is where it stands, in the source's text.
	Position string
	// Reason says why it cannot be published.
	Reason string
}

func (p Poison) Error() string {
	return fmt.Sprintf("row with id %q of table %s at %s cannot be published: %s", p.ID, p.Table, p.Position, p.Reason)
}

func withHint(text, hint string) string {
	if hint == "" {
		return text
	}
	return text + "; " + hint
}

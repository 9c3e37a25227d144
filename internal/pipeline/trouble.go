package pipeline

import (
	"slices"
	"time"
)

// keptErrors is how many different errors are remembered.
const keptErrors = 10

// Trouble is an error, as often as it came in a row.
type Trouble struct {
	First, Last time.Time
	Times       int
	Text        string
}

// noteError remembers the newest error; r.mu is held. An error that comes back
// at once is the same trouble going on.
func (r *report) noteError(now time.Time, text string) {
	r.lastError = StatusError{Time: &now, Text: text}
	if len(r.errors) > 0 && r.errors[0].Text == text {
		r.errors[0].Last = now
		r.errors[0].Times++
		return
	}
	r.errors = slices.Insert(r.errors, 0, Trouble{First: now, Last: now, Times: 1, Text: text})
	r.errors = r.errors[:min(len(r.errors), keptErrors)]
}

// Errors are the newest errors, the newest first.
func (r *report) Errors() []Trouble {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.errors)
}

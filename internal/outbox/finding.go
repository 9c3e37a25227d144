package outbox

import (
	"errors"
	"fmt"
)

// Level grades a Finding.
type Level string

// The levels, as check prints them.
const (
	OK   Level = "ok"
	Warn Level = "warn"
	Fail Level = "FAIL"
)

// Finding is one line of a preflight: a requirement and what was found.
type Finding struct {
	Level Level
	// What names the requirement, such as "wal_level".
	What string
	// Found says what was found, in one line.
	Found string
	// Fix is the statement or setting that mends it; empty when OK.
	Fix string
}

// Findings gathers the lines of a preflight, in order. The zero value is empty.
type Findings struct{ List []Finding }

// OK notes a requirement that is met.
func (f *Findings) OK(what, format string, args ...any) {
	f.List = append(f.List, Finding{Level: OK, What: what, Found: fmt.Sprintf(format, args...)})
}

// Warn notes something odd that does not keep tailer from running.
func (f *Findings) Warn(what, fix, format string, args ...any) {
	f.List = append(f.List, Finding{Level: Warn, What: what, Found: fmt.Sprintf(format, args...), Fix: fix})
}

// Fail notes a requirement that is not met.
func (f *Findings) Fail(what, fix, format string, args ...any) {
	f.List = append(f.List, Finding{Level: Fail, What: what, Found: fmt.Sprintf(format, args...), Fix: fix})
}

// Err notes an error as a failure, with its own hint when it has one.
func (f *Findings) Err(what, fix string, err error) {
	var refusal *Refusal
	var invalid *Invalid
	switch {
	case errors.As(err, &refusal):
		f.Fail(what, refusal.Hint, "%s", refusal.Text)
	case errors.As(err, &invalid):
		f.Fail(what, invalid.Hint, "%s", invalid.Text)
	default:
		f.Fail(what, fix, "%v", err)
	}
}

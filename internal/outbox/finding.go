package outbox

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

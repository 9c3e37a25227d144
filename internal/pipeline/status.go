package pipeline

import (
	"encoding/json"
	"math"
	"time"
)

// State is what the pipeline does right now.
type State string

// The states, as /status shows them.
const (
	Starting     State = "starting"
	Snapshotting State = "snapshot"
	Streaming    State = "streaming"
	CaughtUp     State = "caught_up"
	Standby      State = "standby"
	Retrying     State = "retrying"
	Refused      State = "refused"
	Stopping     State = "stopping"
)

// Status is what /status shows. Fields may be added; none changes meaning.
type Status struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	State   State  `json:"state"`
	// Reason says why the state is what it is, where that is not obvious.
	Reason string       `json:"reason"`
	Source StatusSource `json:"source"`
	// Position is the newest checkpoint's, in the source's text.
	Position string `json:"position"`
	// ServerPosition is the end of the server's log when it was asked last.
	ServerPosition string `json:"server_position"`
	// LagSeconds is now minus the commit time of the oldest row read and not
	// committed; null when the server cannot be asked.
	LagSeconds Number `json:"lag_seconds"`
	// LagBytes is the log between Position and ServerPosition; null when the
	// server cannot be asked, or counts transactions.
	LagBytes Number `json:"lag_bytes"`
	// LagTransactions is the same where positions are GTIDs; else null.
	LagTransactions Number `json:"lag_transactions"`
	// LogSecondsLeft is in how many seconds the source will not keep the log
	// any more that is not read yet, if all goes on as in the last minutes;
	// null when there is no such limit, or no telling.
	LogSecondsLeft Number `json:"log_seconds_left"`
	// Published counts rows since the process started.
	Published uint64 `json:"published"`
	// Poison counts rows that could not be published, by action.
	Poison    map[string]uint64 `json:"poison"`
	LastError StatusError       `json:"last_error"`
}

// StatusSource names the database.
type StatusSource struct {
	Kind     string `json:"kind"`
	Identity string `json:"identity"`
}

// StatusError is the newest error; the zero value when there was none.
type StatusError struct {
	Time *time.Time `json:"time"`
	Text string     `json:"text"`
}

// Number is a float that is null in JSON when it is not a number.
type Number float64

// MarshalJSON writes null for NaN and the infinities, which JSON cannot say.
func (n Number) MarshalJSON() ([]byte, error) {
	if f := float64(n); math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

package outbox

import (
	"fmt"
	"strings"
	"time"
)

// Kind names the kind of a source.
type Kind string

// The kinds of sources. Their text is stored in checkpoints and never changes.
const (
	Postgres Kind = "postgres"
	MySQL    Kind = "mysql"
	MariaDB  Kind = "mariadb"
)

// Position is a place in a source's log, in that source's own text: for
// Postgres an LSN such as "0/16B3748" (the end of a commit record, see
// https://www.postgresql.org/docs/current/datatype-pg-lsn.html). Only the
// source that wrote it can order two positions. The zero value means "no
// position": nothing has been read yet.
type Position struct {
	Kind Kind
	Text string
}

// String gives the form that never changes, "postgres:0/16B3748"; empty for
// the zero value. ParsePosition reads it back.
func (p Position) String() string {
	if p.IsZero() {
		return ""
	}
	return string(p.Kind) + ":" + p.Text
}

// IsZero reports whether p is "no position".
func (p Position) IsZero() bool { return p.Text == "" }

// ParsePosition reads what String printed. The text behind the colon is not
// checked: only the source can.
func ParsePosition(s string) (Position, error) {
	kind, text, ok := strings.Cut(s, ":")
	switch k := Kind(kind); {
	case s == "":
		return Position{}, nil
	case !ok || text == "":
		return Position{}, fmt.Errorf("parse position %q: want KIND:TEXT, for example postgres:0/16B3748", s)
	case k != Postgres && k != MySQL && k != MariaDB:
		return Position{}, fmt.Errorf("parse position %q: kind is none of postgres, mysql, mariadb", s)
	default:
		return Position{Kind: k, Text: text}, nil
	}
}

// Resume says where reading goes on, so that every row behind it is read once
// more and no row before it.
type Resume struct {
	// Position is the end of the last source transaction that is done with.
	Position Position
	// Lineage is the branch of history Position lies on: the timeline in
	// Postgres ("3"), the server UUID in MySQL.
	Lineage string
	// Open is set when the first rows of the transaction that follows
	// Position are done with too; nil otherwise.
	Open *Open
}

// IsZero reports whether r says nothing at all.
func (r Resume) IsZero() bool { return r.Position.IsZero() && r.Open == nil }

// Open describes a source transaction that was too large for one batch and of
// which only the first rows are done with.
type Open struct {
	// Txn names that very transaction in the source's own text (Postgres:
	// "XID@FINAL_LSN"). A restart that meets another one refuses.
	Txn string `json:"txn"`
	// Rows is how many of its outbox INSERT rows were read, mapped or not.
	Rows uint64 `json:"rows"`
}

// Identity says which database a source talks to.
type Identity struct {
	Kind Kind
	// ID stays the same over restarts, and over failover to a replica where
	// the database has such a thing: Postgres "SYSTEM_ID/DATABASE".
	ID string
	// Lineage is the current branch of history, as in Resume.
	Lineage string
	// Version is the server's own version text, for people.
	Version string
}

// Gauges is what a source tells about itself when it is asked, every 10 s.
// A negative number means that the server does not say.
type Gauges struct {
	// At is when the server was asked.
	At time.Time
	// Server is the end of the server's log.
	Server Position
	// InTransactions means that log is counted in transactions (GTIDs), not
	// in bytes, where two positions are compared.
	InTransactions bool
	// ConfirmedLagBytes is the log between the confirmed position and the
	// server's end (slot_confirmed_lag_bytes).
	ConfirmedLagBytes float64
	// RetainedBytes is the log that the server keeps for us
	// (slot_retained_bytes).
	RetainedBytes float64
	// SafeBytes is how much more log may be written before the server cuts
	// us off (slot_safe_wal_bytes).
	SafeBytes float64
	// Keep is for how long the server keeps its log for us at most; 0 for no
	// such limit, or an unknown one. KeepSetting names the limit.
	Keep        time.Duration
	KeepSetting string
	// Away is how much of Keep has gone by, because nobody reads; negative
	// when somebody does. A source that counts the age of its log instead of
	// the absence of readers sets ByAge.
	Away time.Duration
	// ByAge says that log older than Keep goes, whoever reads it.
	ByAge bool
}

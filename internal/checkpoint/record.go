package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Version is the newest version of the record that this binary writes and
// reads. It reads every older one. A record is written in the oldest version
// that says all of it, so that an older binary refuses only what it would
// misunderstand:
//
//	1  all but the fields below
//	2  a filter: who does not know it would take the whole snapshot, or none
const Version = 2

// Phase says how far the first start has come.
type Phase string

const (
	// PhaseSnapshot means that a first start began and did not finish: the
	// anchor in the database may exist, and nothing was published.
	PhaseSnapshot Phase = "snapshot"
	// PhaseStreaming means that everything before the position is published.
	PhaseStreaming Phase = "streaming"
)

// Record is what a checkpoint says. It is stored as JSON under the key that is
// the instance's name.
type Record struct {
	// Version is the version that was read; see the constant. Encode writes
	// the one that the record needs.
	Version int `json:"version"`
	// Phase is the phase of the start.
	Phase Phase `json:"phase"`
	// Source is the database that Position belongs to.
	Source Source `json:"source"`
	// Cluster is the Kafka cluster's id; "" without Kafka.
	Cluster string `json:"kafka_cluster,omitempty"`
	// Tables are the configured outbox tables, sorted.
	Tables []string `json:"tables"`
	// Position is where reading goes on, in the source's text; "" in
	// PhaseSnapshot.
	Position string `json:"position"`
	// Lineage is the branch of history that Position lies on.
	Lineage string `json:"lineage,omitempty"`
	// Open names the transaction of which the first rows are published too.
	Open *Open `json:"open,omitempty"`
	// Halted names the row right behind the position at which tailer halted,
	// because it cannot be published; nil otherwise.
	Halted *Halted `json:"halted,omitempty"`
	// Filter chooses the rows of the snapshot, as `tailer recover` was told; nil
	// for all of them. In PhaseSnapshot only.
	Filter *outbox.Filter `json:"filter,omitempty"`
	// LastCommit is when, by the source's clock, the newest of the transactions
	// was committed whose outbox rows are all published; the zero time when that
	// is not known. It is for people who have to find the first row that is not.
	LastCommit time.Time `json:"last_commit,omitzero"`
	// SteppedOver are rows that the snapshot leaves out: in PhaseSnapshot, and
	// while a table is added.
	SteppedOver []SteppedOver `json:"stepped_over,omitempty"`
	// Time is when the record was made, by the clock of its writer.
	Time time.Time `json:"time"`
	// Tailer is the version of the binary that wrote it.
	Tailer string `json:"tailer"`
	// Instance names the process that wrote it.
	Instance string `json:"instance"`
}

// Source identifies a database; see outbox.Identity.
type Source struct {
	Kind     outbox.Kind `json:"kind"`
	Identity string      `json:"identity"`
}

// Open is outbox.Open with the hash of the table list under which its rows
// were counted: with another list the count would mean other rows.
type Open struct {
	outbox.Open
	Tables string `json:"tables_hash"`
}

// Halted is a row at which tailer halted.
type Halted struct {
	Table string `json:"table"`
	// ID is its id as people see it, "" for NULL.
	ID       string `json:"id"`
	Position string `json:"position"`
	// Transaction names its transaction as Open.Txn does, Ordinal is its number
	// among the outbox rows of that, from 1.
	Transaction string `json:"transaction"`
	Ordinal     uint64 `json:"ordinal"`
	Reason      string `json:"reason"`
}

// InSnapshot tells that the row is one of a snapshot, behind no position.
func (h *Halted) InSnapshot() bool { return h.Transaction == outbox.SnapshotTxn }

// SteppedOver is a row that an operator stepped over before the snapshot that
// holds it was published.
type SteppedOver struct {
	Table string `json:"table"`
	ID    string `json:"id"`
	// DeadLetter asks for it to be kept in the dead-letter topic.
	DeadLetter bool `json:"dead_letter,omitempty"`
}

// Resume is where the record says that reading goes on.
func (r *Record) Resume() outbox.Resume {
	res := outbox.Resume{Lineage: r.Lineage}
	if r.Position != "" {
		res.Position = outbox.Position{Kind: r.Source.Kind, Text: r.Position}
	}
	if r.Open != nil {
		o := r.Open.Open
		res.Open = &o
	}
	return res
}

// SetResume makes the record say that reading goes on at res.
func (r *Record) SetResume(res outbox.Resume) {
	r.Position, r.Lineage, r.Open = res.Position.Text, res.Lineage, nil
	if res.Open != nil {
		r.Open = &Open{Open: *res.Open, Tables: TablesHash(r.Tables)}
	}
}

// SameResume reports whether both records say that reading goes on at the same
// place, with the same tables. A nil record says nothing, and equals none.
func (r *Record) SameResume(o *Record) bool {
	if r == nil || o == nil {
		return false
	}
	if (r.Open == nil) != (o.Open == nil) || r.Open != nil && *r.Open != *o.Open {
		return false
	}
	return r.Phase == o.Phase && r.Source == o.Source && r.Position == o.Position && r.Lineage == o.Lineage && slices.Equal(r.Tables, o.Tables)
}

// Encode is the record as it is stored.
func (r *Record) Encode() []byte {
	stored := *r
	stored.Version = 1
	if r.Filter != nil {
		stored.Version = 2
	}
	b, err := json.Marshal(&stored)
	if err != nil {
		panic(fmt.Sprintf("encode checkpoint: %v", err)) // no field can fail
	}
	return b
}

// Decode reads a stored record. A record of a newer version, or one that is
// not understood, is a Refusal: starting without it would be a first start.
func Decode(b []byte) (*Record, error) {
	var v struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(b, &v); err != nil || v.Version < 1 {
		return nil, outbox.Refuse(ReasonUnreadable, "look at it with a Kafka console consumer; `tailer checkpoint reset` gives it up and starts anew",
			"the checkpoint record is not one of tailer's: %.80q", b)
	}
	if v.Version > Version {
		return nil, outbox.Refuse(ReasonNewer, "run the newer tailer",
			"the checkpoint was written by a newer tailer (record version %d; this binary knows %d)", v.Version, Version)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	var r Record
	if err := dec.Decode(&r); err != nil {
		return nil, outbox.Refuse(ReasonUnreadable, "`tailer checkpoint reset` gives it up and starts anew", "the checkpoint record cannot be read: %v", err)
	}
	if r.Phase != PhaseSnapshot && r.Phase != PhaseStreaming || r.Phase == PhaseStreaming && r.Position == "" {
		return nil, outbox.Refuse(ReasonUnreadable, "`tailer checkpoint reset` gives it up and starts anew",
			"the checkpoint record has phase %q and position %q, which no tailer writes", r.Phase, r.Position)
	}
	return &r, nil
}

// The reasons of this package's refusals, as the metric shows them.
const (
	ReasonUnreadable   = "checkpoint_unreadable"
	ReasonNewer        = "checkpoint_newer"
	ReasonOtherSource  = "other_database"
	ReasonOtherCluster = "other_cluster"
	ReasonTables       = "tables_changed"
)

// Fits returns nil when the record belongs to this database and Kafka cluster,
// and all of its tables are still configured, else a Refusal that says what
// differs and what accepts it. Tables may have been added: see Added.
func (r *Record) Fits(name string, id outbox.Identity, cluster string, tables []string) error {
	src := Source{Kind: id.Kind, Identity: id.ID}
	switch {
	case r.Source != src:
		return outbox.Refuse(ReasonOtherSource,
			"give this instance another --name, or, if the database really was replaced, `tailer checkpoint reset` starts anew",
			"the checkpoint of %q belongs to another database: it is of %s %s, this one is %s %s",
			name, r.Source.Kind, r.Source.Identity, src.Kind, src.Identity)
	case r.Cluster != cluster:
		return outbox.Refuse(ReasonOtherCluster,
			"if these brokers really are to receive what follows, `tailer checkpoint set "+r.Position+"` accepts it",
			"the checkpoint of %q was written to another Kafka cluster: %q, this one is %q; what is published there may be missing here",
			name, r.Cluster, cluster)
	}
	if gone := r.Removed(tables); len(gone) > 0 {
		// What is committed to them and not published would be left out without
		// a word.
		hint := "configure it again, or `tailer checkpoint forget-table TABLE` gives up what of it is not published yet"
		if r.Phase == PhaseSnapshot {
			hint = "configure it again, or `tailer checkpoint reset` begins the first start anew"
		}
		return outbox.Refuse(ReasonTables, hint,
			"the checkpoint of %q is of the tables %s, configured are %s: not configured any more is %s",
			name, strings.Join(r.Tables, ", "), strings.Join(Sorted(tables), ", "), strings.Join(gone, ", "))
	}
	return nil
}

// Added are the tables, sorted, that are configured and that the record does
// not know: nothing of them is published yet.
func (r *Record) Added(tables []string) []string { return without(Sorted(tables), r.Tables) }

// Removed are the tables, sorted, that the record knows and that are not
// configured any more.
func (r *Record) Removed(tables []string) []string { return without(r.Tables, tables) }

// without are those of a that are not in b.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(t string) bool { return slices.Contains(b, t) })
}

// Sorted is the table list as records hold it.
func Sorted(tables []string) []string {
	s := slices.Clone(tables)
	slices.Sort(s)
	return s
}

// TablesHash identifies a list of tables, in any order: the first 16 hex
// digits of a SHA-256.
func TablesHash(tables []string) string {
	sum := sha256.Sum256([]byte(strings.Join(Sorted(tables), "\x00")))
	return hex.EncodeToString(sum[:8])
}

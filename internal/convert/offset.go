package convert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Offset is how far a Debezium connector has come, as Kafka Connect keeps it.
// One of Postgres and Binlog is set.
type Offset struct {
	Postgres *PostgresOffset
	Binlog   *BinlogOffset
}

// PostgresOffset is the offset of Debezium's connector for PostgreSQL. LSNs are
// byte positions in the log.
type PostgresOffset struct {
	// LSN is where the event begins that was handled last: for a COMMIT where
	// it ends, for a BEGIN where the transaction's first change begins.
	LSN uint64
	// Commit is the end of the transaction that was handled last.
	Commit uint64
	// Transaction is the number of the event's transaction, 0 when it has none.
	Transaction uint32
	// Event is what the event did: BEGIN, COMMIT, INSERT, UPDATE, DELETE,
	// TRUNCATE, MESSAGE.
	Event string
}

// BinlogOffset is the offset of Debezium's connectors for MySQL and MariaDB. A
// restart reads from File and Pos, or from behind GTIDs, and passes over what
// Events and Rows count.
type BinlogOffset struct {
	// File and Pos are where the open transaction begins (its BEGIN in MySQL,
	// its GTID in MariaDB), else behind the event that was handled last.
	File string
	Pos  uint64
	// GTIDs are the transactions that are done with, without the open one; ""
	// when the server has none.
	GTIDs string
	// Events is how many events of the open transaction are done with, its
	// beginning included.
	Events uint64
	// Rows is how many rows of the event that follows are done with.
	Rows uint64
}

// ReadOffset reads what GET /connectors/NAME/offsets of Kafka Connect answers,
// or the value of one record of its offsets topic. An offset that stands in a
// snapshot is an error: the rows that are done with cannot be told by it.
func ReadOffset(data []byte) (*Offset, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var top map[string]any
	if err := dec.Decode(&top); err != nil {
		return nil, fmt.Errorf("it is no JSON object: %w", err)
	}
	if dec.More() {
		return nil, errors.New("more than one JSON object is in it")
	}
	fields, err := oneOffset(top)
	if err != nil {
		return nil, err
	}
	if err := inSnapshot(fields); err != nil {
		return nil, err
	}
	r := fieldReader{fields: fields}
	offset := new(Offset)
	switch {
	case r.has("lsn"):
		offset.Postgres = r.postgres()
	case r.has("file"):
		offset.Binlog = r.binlog()
	default:
		return nil, fmt.Errorf("it has neither lsn (PostgreSQL) nor file and pos (MySQL, MariaDB), but %s",
			strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
	}
	if r.err != nil {
		return nil, r.err
	}
	return offset, nil
}

// oneOffset takes the envelopes off.
func oneOffset(top map[string]any) (map[string]any, error) {
	if message, ok := top["message"].(string); ok && top["error_code"] != nil {
		return nil, fmt.Errorf("it is an error of Kafka Connect: %s", message)
	}
	if list, ok := top["offsets"].([]any); ok {
		switch len(list) {
		case 0:
			return nil, errors.New("the connector has committed no offset yet")
		case 1:
		default:
			return nil, fmt.Errorf("it holds offsets of %d partitions: leave only the one whose server is the connector's topic.prefix", len(list))
		}
		one, ok := list[0].(map[string]any)
		if !ok {
			return nil, errors.New("the element of offsets is no object")
		}
		top = one
	}
	if inner, there := top["offset"]; there {
		fields, ok := inner.(map[string]any)
		if !ok {
			return nil, errors.New("the connector has committed no offset yet")
		}
		return fields, nil
	}
	return top, nil
}

// inSnapshot refuses an offset of a snapshot, the first or an incremental one.
func inSnapshot(fields map[string]any) error {
	switch v := fields["snapshot"].(type) {
	case nil:
	case bool:
		if v {
			return errInSnapshot
		}
	default:
		return errInSnapshot
	}
	for name, v := range fields {
		if strings.HasPrefix(name, "incremental_snapshot_") && v != nil {
			return errors.New("it stands in an incremental snapshot: wait until the connector has ended that")
		}
	}
	return nil
}

var errInSnapshot = errors.New("it stands in a snapshot: wait until the connector streams and has published a row that was inserted since")

// fieldReader reads fields of an offset, and keeps the first error.
type fieldReader struct {
	fields map[string]any
	err    error
}

func (r *fieldReader) has(name string) bool { return r.fields[name] != nil }

func (r *fieldReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// number reads a whole number from 0 to limit; a field that is missing or null
// is 0.
func (r *fieldReader) number(name string, limit uint64) uint64 {
	if !r.has(name) {
		return 0
	}
	var n uint64
	v, ok := r.fields[name].(json.Number)
	if ok {
		_, err := fmt.Sscan(v.String(), &n)
		ok = err == nil && fmt.Sprint(n) == v.String() && n <= limit
	}
	if !ok {
		r.fail("its %s is no whole number from 0 to %d: %v", name, limit, r.fields[name])
	}
	return n
}

// text reads a string; a field that is missing or null is "".
func (r *fieldReader) text(name string) string {
	if !r.has(name) {
		return ""
	}
	v, ok := r.fields[name].(string)
	if !ok {
		r.fail("its %s is no text: %v", name, r.fields[name])
	}
	return v
}

func (r *fieldReader) postgres() *PostgresOffset {
	o := &PostgresOffset{
		LSN: r.number("lsn", math.MaxInt64), Commit: r.number("lsn_commit", math.MaxInt64),
		Transaction: uint32(r.number("txId", math.MaxUint32)), Event: r.text("messageType"),
	}
	switch {
	case o.Commit == 0:
		r.fail("it has no lsn_commit: the connector has not seen the end of a transaction since it began to stream")
	case o.Event == "":
		r.fail("it has no messageType: a connector older than 2.2 wrote it, which does not say whether the event at lsn is done with")
	case !slices.Contains([]string{"BEGIN", "COMMIT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "MESSAGE"}, o.Event):
		r.fail("its messageType is %s, which is not known", o.Event)
	case o.Event == "COMMIT" && o.LSN != o.Commit:
		r.fail("its messageType is COMMIT, and lsn and lsn_commit differ: %d, %d", o.LSN, o.Commit)
	case o.Transaction == 0 && o.Event != "COMMIT" && (o.Event != "MESSAGE" || o.LSN != o.Commit):
		r.fail("it stands inside a transaction and has no txId")
	}
	return o
}

func (r *fieldReader) binlog() *BinlogOffset {
	o := &BinlogOffset{
		File: r.text("file"), Pos: r.number("pos", math.MaxInt64), GTIDs: strings.Join(strings.Fields(r.text("gtids")), ""),
		Events: r.number("event", math.MaxInt64), Rows: r.number("row", math.MaxInt32),
	}
	switch {
	case o.Pos < 4:
		r.fail("its pos is %d, where no event begins", o.Pos)
	case o.Rows > 0 && o.Events == 0:
		r.fail("it counts rows of an event outside of a transaction, as it is inside an XA transaction: let the connector publish something else")
	}
	return o
}

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/harness"
)

// line is one line of --sink stdout.
type line struct {
	Topic        string            `json:"topic"`
	PartitionKey json.RawMessage   `json:"partition_key"`
	Key          json.RawMessage   `json:"key"`
	Value        json.RawMessage   `json:"value"`
	Headers      []json.RawMessage `json:"headers"`
	Position     string            `json:"position"`
}

func lines(t *testing.T, p *harness.Process) []line {
	t.Helper()
	var all []line
	for s := range strings.Lines(p.Stdout()) {
		if !strings.HasSuffix(s, "\n") {
			continue // Still being written.
		}
		var fields map[string]json.RawMessage
		var l line
		if err := json.Unmarshal([]byte(s), &l); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		json.Unmarshal([]byte(s), &fields)
		for _, name := range []string{"topic", "partition_key", "key", "value", "headers", "position"} {
			if _, ok := fields[name]; !ok {
				t.Errorf("no %s in %s", name, s)
			}
		}
		all = append(all, l)
	}
	return all
}

// noKafka is a case whose tailers are told nothing about Kafka.
func noKafka(t *testing.T) (*harness.Case, harness.Database, []string) {
	t.Helper()
	c := harness.New(t, source(t))
	c.Omit = []string{"--kafka-brokers"}
	return c, c.DB, []string{"--sink=stdout"}
}

func TestStdoutPrintsALineAMessage(t *testing.T) {
	t.Parallel()
	c, db, args := noKafka(t)
	db.Exec(t, "CREATE TABLE outbox (id varchar(64) PRIMARY KEY, aggregatetype text, aggregateid text, type text, payload "+by("bytea", "longblob")+")")
	db.Exec(t, "INSERT INTO outbox VALUES ('old', 'x', 'x', 'x', NULL)")
	before, err := db.End(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := c.Start(args...)
	blob := []byte{0xff, 0x00, 0xc3, 0x28}
	rows := []struct {
		key   string
		value any
		want  string
	}{
		{"a", []byte("plain"), `"plain"`},
		{"b", []byte(""), `""`},
		{"c", nil, `null`},
		{"ключ-🔑", []byte("\"q\" \\ \n\u2028<&>💎"), "\"\\\"q\\\" \\\\ \\n\u2028<&>💎\""},
		{"d", blob, `{"base64":"` + base64.StdEncoding.EncodeToString(blob) + `"}`},
	}
	for i, r := range rows {
		db.Exec(t, fmt.Sprintf("INSERT INTO outbox VALUES (%s, %s, %s, 'x', %s)", db.Arg(1), db.Arg(2), db.Arg(3), db.Arg(4)), fmt.Sprint("id-", i), c.Type, r.key, r.value)
	}
	c.Wait("the lines are there", 20*time.Second, func() (bool, string) {
		n := len(lines(t, p.Process))
		return n >= len(rows), fmt.Sprint(n)
	})
	p.Stop()
	printed := lines(t, p.Process)
	if len(printed) != len(rows) {
		t.Fatalf("%d lines for %d rows\n%s", len(printed), len(rows), p.Stdout())
	}
	for i, r := range rows {
		l := printed[i]
		key, _ := json.Marshal(r.key)
		header, _ := json.Marshal([]string{"id", fmt.Sprint("id-", i)})
		if l.Topic != harness.Topic(c.Type) || !same(l.Key, key) || !same(l.PartitionKey, key) || !same(l.Value, []byte(r.want)) ||
			len(l.Headers) != 1 || !same(l.Headers[0], header) {
			t.Errorf("row %d: topic %s key %s partition_key %s value %s headers %s; wanted key %s value %s header %s",
				i, l.Topic, l.Key, l.PartitionKey, l.Value, l.Headers, key, r.want, header)
		}
		if behind, err := db.Behind(l.Position, before); err != nil || !behind {
			t.Errorf("row %d: position %s, %v; the log stood at %s before", i, l.Position, err, before)
		}
	}
	// Without a file nothing is kept, not even on the server, once it has noticed that its client is gone.
	c.Wait("no slot is left", 10*time.Second, func() (bool, string) {
		n := db.Slots(t)
		return n == 0, fmt.Sprint(n)
	})
}

// same compares two JSON values by what they mean.
func same(a, b []byte) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return string(p) == string(q)
}

func TestStdoutWithAFileGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	c, db, args := noKafka(t)
	db.CreateOutbox(t, db.Outbox())
	args = append(args, "--checkpoint-file="+filepath.Join(t.TempDir(), "checkpoint"), "--until=now")
	book := c.Ledger()
	printed := 0
	for range 3 {
		for range 50 {
			book.Insert("a", "x")
		}
		p := c.Run(args...)
		p.Want(0, 30*time.Second)
		all := lines(t, p.Process)
		if len(all) != 50 {
			t.Fatalf("%d lines, wanted 50\n%s", len(all), p.Stdout())
		}
		for _, l := range all {
			if !same(l.Headers[0], fmt.Appendf(nil, `["id","%s"]`, book.Want()[printed].ID)) {
				t.Fatalf("line %d has the header %s, wanted id %s", printed, l.Headers, book.Want()[printed].ID)
			}
			printed++
		}
	}
}

func TestStdoutUntilNowEndsAtOnceWhenNothingIsKept(t *testing.T) {
	t.Parallel()
	c, db, args := noKafka(t)
	db.CreateOutbox(t, db.Outbox())
	p := c.Run(append(args, "--until=now")...)
	p.Want(0, 30*time.Second)
	if p.Stdout() != "" {
		t.Errorf("printed %q", p.Stdout())
	}
}

// A slot waits for the transactions that are open when it is made; until it is there, rows pass unseen.
func TestStdoutIsNotReadyBeforeItSeesEveryRow(t *testing.T) {
	t.Parallel()
	if kind() != "postgres" {
		t.Skipf("E2E_SOURCE is %s", kind())
	}
	c, db, args := noKafka(t)
	db.CreateOutbox(t, db.Outbox())
	tx, err := db.SQL().Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec("INSERT INTO outbox VALUES ('open', 'x', 'x', 'x', 'x')"); err != nil {
		t.Fatal(err)
	}
	p := c.Run(args...)
	c.Wait("the slot is being made", 20*time.Second, func() (bool, string) {
		n := db.Text(t, "SELECT count(*) FROM pg_replication_slots WHERE database = $1", db.Name())
		return n == "1", n
	})
	c.Holds("it is not ready", 2*time.Second, func() (bool, string) {
		code, _ := p.Get("/readyz")
		return code == 503, fmt.Sprint(code, " ", p.State())
	})
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	c.Ready(p)
	id := c.Ledger().Insert("a", "x")
	c.Wait("the row is printed", 20*time.Second, func() (bool, string) { return strings.Contains(p.Stdout(), id), p.Stdout() })
	p.Stop()
}

// A reader that stops reading stalls the loop for good: the one way to stall it from outside, and what /healthz is
// there to tell.
func TestAStalledLoopIsUnhealthy(t *testing.T) {
	t.Parallel()
	if !harness.Full() {
		t.Skip("takes more than a minute: E2E_FULL=1")
	}
	c, db, args := noKafka(t)
	db.CreateOutbox(t, db.Outbox())
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	p := c.RunTo(write, args...)
	write.Close()
	c.Ready(p)
	book := c.Ledger()
	for range 10 {
		book.Insert("a", strings.Repeat("x", 100_000)) // More than a pipe holds.
	}
	stalled := time.Now()
	c.Wait("/healthz is 503", 90*time.Second, func() (bool, string) {
		code, body := p.Get("/healthz")
		if code == 503 && time.Since(stalled) < 50*time.Second {
			t.Fatalf("/healthz is 503 after %v only", time.Since(stalled))
		}
		return code == 503, fmt.Sprint(code, " ", body)
	})
	if code, _ := p.Get("/readyz"); code != 503 {
		t.Errorf("/readyz is %d", code)
	}
	go io.Copy(io.Discard, read)
	c.Wait("/healthz is 200 again", 20*time.Second, func() (bool, string) {
		code, body := p.Get("/healthz")
		return code == 200, fmt.Sprint(code, " ", body)
	})
	p.Stop()
}

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

const (
	sigstop = syscall.SIGSTOP
	sigcont = syscall.SIGCONT
)

// settled is a case that has published three rows and was stopped.
func settled(t *testing.T) (*harness.Case, *harness.Ledger) {
	t.Helper()
	c := world(t, source(t))
	book := c.Ledger()
	r := c.Follow(harness.Topic(c.Type))
	p := c.Start()
	for i := range 3 {
		book.Insert("a", fmt.Sprint(i))
	}
	c.Arrived(r, 3, 20*time.Second)
	p.Stop()
	// The server notices a moment later that the reader is gone.
	c.Wait("nobody reads the log", 10*time.Second, func() (bool, string) {
		stream := c.DB.Stream(t, c.ID)
		return stream == "", stream
	})
	return c, book
}

// settledPostgres is settled for what only Postgres has.
func settledPostgres(t *testing.T) (*harness.Case, *harness.PostgresDatabase, *harness.Ledger) {
	t.Helper()
	if kind() != "postgres" {
		t.Skipf("E2E_SOURCE is %s", kind())
	}
	c, book := settled(t)
	return c, c.DB.(*harness.PostgresDatabase), book
}

// refuses starts a tailer and demands status 3 and a text that holds each of the words.
func refuses(t *testing.T, c *harness.Case, args []string, words ...string) {
	t.Helper()
	p := c.Run(args...)
	p.Want(3, 30*time.Second)
	holds(t, "the refusal", p.Stderr(), words...)
}

// resumes starts a tailer, adds a row and demands that the topics hold exactly the ledger.
func resumes(t *testing.T, c *harness.Case, book *harness.Ledger, args ...string) {
	t.Helper()
	r := c.Follow(harness.Topic(c.Type))
	p := c.Start(args...)
	book.Insert("a", "afterwards")
	c.Arrived(r, book.Len(), 20*time.Second)
	p.Stop()
	c.Check(book.Want(), check.ExactlyOnce)
}

func TestAVanishedCheckpointTopicIsRefused(t *testing.T) {
	t.Parallel()
	c, _, book := settledPostgres(t)
	c.Kafka.Delete(t, c.Checkpoint())
	refuses(t, c, nil, "checkpoint", c.Checkpoint(), "tailer checkpoint set --from-slot")

	// What it names does accept it. The idle checkpoint of the stop has confirmed all three rows.
	c.Do(0, "checkpoint set --from-slot", c.Flags()...)
	resumes(t, c, book)
}

func TestAVanishedSlotIsRefused(t *testing.T) {
	t.Parallel()
	c, db, book := settledPostgres(t)
	db.Exec(t, "SELECT pg_drop_replication_slot($1)", harness.Slot(c.ID))
	book.Insert("a", "in the gap")
	refuses(t, c, nil, "slot", harness.Slot(c.ID), "tailer checkpoint reset")
	if n := db.Text(t, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1", harness.Slot(c.ID)); n != "0" {
		t.Error("the refused start made a slot")
	}
	c.Check(book.Want()[:3], check.ExactlyOnce) // Nothing of the gap was published.
}

func TestASlotMovedByHandIsRefused(t *testing.T) {
	t.Parallel()
	c, db, book := settledPostgres(t)
	book.Insert("a", "skipped")
	db.Exec(t, "SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())", harness.Slot(c.ID))
	refuses(t, c, nil, "slot", harness.Slot(c.ID), "tailer checkpoint")
	c.Check(book.Want()[:3], check.ExactlyOnce)
}

// record is the newest checkpoint of the case, as stored.
func record(t *testing.T, c *harness.Case) []byte {
	t.Helper()
	var newest []byte
	for _, r := range c.Kafka.Records(t, c.Checkpoint()) {
		if string(r.Key) == c.ID {
			newest = r.Value
		}
	}
	if newest == nil {
		t.Fatal("there is no checkpoint")
	}
	return newest
}

// stored is the position of the newest checkpoint.
func stored(t *testing.T, c *harness.Case) string {
	t.Helper()
	var fields struct{ Position string }
	if err := json.Unmarshal(record(t, c), &fields); err != nil {
		t.Fatal(err)
	}
	return fields.Position
}

// elsewhere is the record as it would stand in another cluster.
func elsewhere(t *testing.T, c *harness.Case, record []byte) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	meta, err := c.Kafka.Admin.BrokerMetadata(ctx)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(record), meta.Cluster, "AnotherClusterAnother1", 1)
	if other == string(record) {
		t.Fatalf("the checkpoint does not name the cluster %s: %s", meta.Cluster, record)
	}
	return []byte(other)
}

func TestACheckpointOfAnotherClusterIsRefused(t *testing.T) {
	t.Parallel()
	c, book := settled(t)
	c.Kafka.Write(t, c.Checkpoint(), 0, c.ID, elsewhere(t, c, record(t, c)))
	refuses(t, c, nil, "cluster", "AnotherClusterAnother1", "tailer checkpoint")
	c.Check(book.Want(), check.ExactlyOnce)
}

func TestACheckpointOfANewerTailerIsRefused(t *testing.T) {
	t.Parallel()
	c, book := settled(t)
	var fields map[string]any
	if err := json.Unmarshal(record(t, c), &fields); err != nil {
		t.Fatal(err)
	}
	if _, ok := fields["version"].(float64); !ok {
		t.Fatalf("the checkpoint has no version: %v", fields)
	}
	fields["version"] = 1000
	newer, _ := json.Marshal(fields)
	c.Kafka.Write(t, c.Checkpoint(), 0, c.ID, newer)
	refuses(t, c, nil, "newer")
	c.Check(book.Want(), check.ExactlyOnce)
}

func TestACheckpointThatLeadsTheServerIsRefused(t *testing.T) {
	t.Parallel()
	c, book := settled(t)
	var fields map[string]any
	if err := json.Unmarshal(record(t, c), &fields); err != nil {
		t.Fatal(err)
	}
	beyond := c.DB.Beyond(t)
	fields["position"] = beyond
	ahead, _ := json.Marshal(fields)
	c.Kafka.Write(t, c.Checkpoint(), 0, c.ID, ahead)
	refuses(t, c, nil, by(beyond, "999999999999"), "tailer checkpoint")
	if confirmed, _, _ := c.DB.Confirmed(t.Context(), c.ID); confirmed == beyond {
		t.Error("the refused start moved the slot")
	}
	c.Check(book.Want(), check.ExactlyOnce)
}

func TestASlotWithoutACheckpointIsAdoptedOnlyWithSnapshotNever(t *testing.T) {
	t.Parallel()
	c, db := postgres(t)
	db.CreateOutbox(t, db.Outbox())
	book := c.Ledger()
	book.Insert("a", "before the slot")
	book.Forget(1)
	slot := harness.Slot(c.ID)
	db.Exec(t, "CREATE PUBLICATION "+slot+" FOR TABLE outbox WITH (publish = 'insert', publish_via_partition_root = true)")
	db.Exec(t, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", slot)
	book.Insert("a", "since the slot")
	refuses(t, c, nil, slot, "tailer checkpoint set --from-slot")
	resumes(t, c, book, "--snapshot=never")
}

func TestAFirstStartIsRefusedWhereACheckpointIsRequired(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	refuses(t, c, []string{"--require-checkpoint=true"}, "--require-checkpoint", c.Checkpoint())
	if n := c.DB.Slots(t); n != 0 {
		t.Error("the refused start made a slot")
	}
}

func TestASnapshotOfTooManyRowsIsRefused(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	book := c.Ledger()
	for range 3 {
		book.Insert("a", "x")
	}
	refuses(t, c, []string{"--snapshot-max-rows=2"}, "--snapshot-max-rows", "--snapshot never")
	resumes(t, c, book, "--snapshot-max-rows=3")
}

func TestSnapshotNeverBeginsWithWhatIsInsertedFromThenOn(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	book := c.Ledger()
	book.Insert("a", "old")
	book.Forget(1)
	resumes(t, c, book, "--snapshot=never")
}

func TestOnRefusalWaitStaysUpAndGoesOnByItself(t *testing.T) {
	t.Parallel()
	c, book := settled(t)
	good := record(t, c)
	c.Kafka.Write(t, c.Checkpoint(), 0, c.ID, elsewhere(t, c, good))

	r := c.Follow(harness.Topic(c.Type))
	p := c.Run("--on-refusal=wait")
	c.Wait("it is refused", 20*time.Second, func() (bool, string) { s := p.State(); return s == "refused", s })
	code, body := p.Get("/readyz")
	if code != 503 {
		t.Errorf("/readyz is %d while refused", code)
	}
	holds(t, "/readyz", body, "cluster")
	holds(t, "/status", p.Status().Reason, "cluster")
	if n := p.Metric("refused"); n != 1 {
		t.Errorf("tailer_refused is %v", n)
	}
	if code, _ := p.Get("/healthz"); code != 200 {
		t.Errorf("/healthz is %d while refused", code)
	}
	if !p.Running() {
		t.Fatal("it ended")
	}

	c.Kafka.Write(t, c.Checkpoint(), 0, c.ID, good)
	c.Ready(p)
	if n := p.Metric("refused"); n == 1 {
		t.Error("tailer_refused is still 1")
	}
	book.Insert("a", "afterwards")
	c.Arrived(r, book.Len(), 20*time.Second)
	p.Stop()
	c.Check(book.Want(), check.ExactlyOnce)
}

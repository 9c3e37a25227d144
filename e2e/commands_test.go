package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// flags are what a command other than run is given.
func flags(c *harness.Case, more ...string) []string { return c.Flags(more...) }

func TestVersionAndHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"version"}, {"--help"}, {"run", "--help"}, {"checkpoint", "--help"}} {
		p := harness.Exec(t, harness.Binary(t), nil, args...)
		p.Want(0, 5*time.Second)
		if !strings.Contains(p.Stdout(), "tailer") {
			t.Errorf("%v prints %q", args, p.Stdout())
		}
	}
}

func TestCheckNamesWhatIsMissingAndItsFix(t *testing.T) {
	t.Parallel()
	c := harness.New(t, source(t))
	db := c.DB
	p := c.Do(1, "check", flags(c)...)
	holds(t, "check without a table", p.Stdout(), "FAIL", "outbox", "ok")

	db.CreateOutbox(t, db.Outbox())
	p = c.Do(0, "check", flags(c)...)
	if strings.Contains(p.Stdout(), "FAIL") {
		t.Errorf("check of what is well:\n%s", p.Stdout())
	}
	holds(t, "check", p.Stdout(), append(by(
		[]string{"wal_level", "replication", "publication", "max_slot_wal_keep_size"},
		[]string{"binlog_format", "binlog_row_image", "sync_binlog", "innodb_flush_log_at_trx_commit", "log retention", "server id"},
	), "ok", "transactional")...)

	db.Exec(t, by("ALTER TABLE outbox SET UNLOGGED", "ALTER TABLE outbox ENGINE=MyISAM"))
	p = c.Do(1, "check", flags(c)...)
	holds(t, "check of a table that is not logged as it should", p.Stdout(),
		append(by([]string{"UNLOGGED", "SET LOGGED"}, []string{"MyISAM", "ENGINE=InnoDB"}), "FAIL")...)
	db.Exec(t, by("ALTER TABLE outbox SET LOGGED", "ALTER TABLE outbox ENGINE=InnoDB")+"; ALTER TABLE outbox DROP COLUMN payload")
	p = c.Do(1, "check", flags(c)...)
	holds(t, "check of a table without payload", p.Stdout(), "FAIL", "payload")

	// It has looked and touched nothing.
	if n := db.Slots(t); n != 0 {
		t.Errorf("%d slots after check", n)
	}
	if n := publications(t, c); n != "0" {
		t.Errorf("%s publications after check", n)
	}
	if topics := c.Kafka.Topics(t, c.ID); len(topics) != 0 {
		t.Errorf("topics %v after check", topics)
	}
}

// publications counts those of the case's database.
func publications(t *testing.T, c *harness.Case) string {
	t.Helper()
	return c.DB.Text(t, by("SELECT count(*) FROM pg_publication", "SELECT 0"))
}

func TestCheckFailsWhereServersAreOutOfReach(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	p := c.Do(1, "check", flags(c, "--kafka-brokers="+harness.ClosedAddr(t))...)
	holds(t, "check", p.Stdout(), "FAIL", "ok")
	p = c.Do(1, "check", flags(c, "--source-url="+c.DB.Kind()+"://u@"+harness.ClosedAddr(t)+"/db")...)
	holds(t, "check", p.Stdout(), "FAIL", "ok")
}

func TestCheckOfALostSlotFails(t *testing.T) {
	t.Parallel()
	c, db, _ := settledPostgres(t)
	db.Exec(t, "SELECT pg_drop_replication_slot($1); ", harness.Slot(c.ID))
	db.Exec(t, "SELECT pg_create_logical_replication_slot($1, 'test_decoding')", harness.Slot(c.ID))
	p := c.Do(1, "check", flags(c)...)
	holds(t, "check", p.Stdout(), "FAIL", harness.Slot(c.ID), "pgoutput")
	refuses(t, c, nil, harness.Slot(c.ID), "pgoutput")
}

func TestSetupPrintTouchesNothingAndSetupDoesIt(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	count := func() string {
		return fmt.Sprint(publications(t, c), " ", c.DB.Slots(t), " ", len(c.Kafka.Topics(t, c.Checkpoint())))
	}
	p := c.Do(0, "setup --print", flags(c)...)
	holds(t, "setup --print", p.Stdout(), append(by(
		[]string{"CREATE PUBLICATION", "publish_via_partition_root"}, []string{"CREATE USER", "binlog_row_image"},
	), "GRANT SELECT", "REPLICATION", "kafka-topics", "kafka-acls", "tailer."+c.ID, c.Checkpoint(), "cleanup.policy=compact")...)
	if n := count(); n != "0 0 0" {
		t.Errorf("after setup --print: publications, slots, topics %s", n)
	}
	c.Do(0, "setup", flags(c)...)
	if n := count(); n != by("1 0 1", "0 0 1") {
		t.Errorf("after setup: publications, slots, topics %s", n)
	}
	c.Do(0, "setup", flags(c)...) // Twice is once.

	book := c.Ledger()
	book.Insert("a", "before the slot")
	book.Forget(1)
	c.Do(0, "setup --snapshot=never", flags(c)...)
	if n := count(); n != by("1 1 1", "0 0 1") {
		t.Errorf("after setup --snapshot never: publications, slots, topics %s", n)
	}
	if kind() != "postgres" {
		return // which keeps no place in its log for anybody
	}
	book.Insert("a", "since the slot")
	resumes(t, c, book, "--snapshot=never")
}

// What setup --print prints must be enough: a role with exactly these rights runs.
func TestTheRightsThatSetupPrintsSuffice(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	url := c.DB.Account(t, func(url string) string {
		return c.Do(0, "setup --print", flags(c, "--source-url="+url)...).Stdout()
	})
	book := c.Ledger()
	book.Insert("a", "snapshot")
	resumes(t, c, book, "--source-url="+url)
}

func TestTeardownRemovesSlotPublicationAndCheckpoint(t *testing.T) {
	t.Parallel()
	c, book := settled(t)
	c.Do(2, "teardown", flags(c)...) // Nobody is there to be asked.
	shown := c.Do(0, "checkpoint show", flags(c)...).Stdout()
	var down struct {
		Name     string
		Replaced json.RawMessage
		Done     []string
	}
	out := c.Do(0, "teardown --yes --output=json", flags(c)...).Stdout()
	if err := json.Unmarshal([]byte(out), &down); err != nil || down.Name != c.ID || len(down.Done) == 0 || !sameJSON(t, string(down.Replaced), shown) {
		t.Errorf("teardown: %v\n%s\nthe record was\n%s", err, out, shown)
	}
	if n := c.DB.Slots(t); n != 0 {
		t.Errorf("%d slots are left", n)
	}
	if n := publications(t, c); n != "0" {
		t.Errorf("%s publications are left", n)
	}
	p := c.Do(1, "checkpoint show", flags(c)...)
	holds(t, "checkpoint show", p.Stderr(), c.ID)
	records := c.Kafka.Records(t, c.Checkpoint())
	var last []byte
	found := false
	for _, r := range records {
		if string(r.Key) == c.ID {
			last, found = r.Value, true
		}
	}
	if !found || last != nil {
		t.Errorf("the checkpoint ends with %q, wanted a tombstone", last)
	}

	// A later run is a first start again: it publishes what is in the table.
	r := c.Follow(harness.Topic(c.Type))
	c.Start().Stop()
	c.Wait("the rows come again", 20*time.Second, func() (bool, string) {
		n := len(c.Kafka.Records(t, harness.Topic(c.Type)))
		return n == 2*book.Len(), fmt.Sprint(n, " records, ", r.IDs(), " ids")
	})
}

// sameJSON reports whether two texts are the same document.
func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if err := errors.Join(json.Unmarshal([]byte(a), &x), json.Unmarshal([]byte(b), &y)); err != nil {
		t.Error(err)
		return false
	}
	return reflect.DeepEqual(x, y)
}

func TestTeardownSparesARunningTailer(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	book := c.Ledger()
	r := c.Follow(harness.Topic(c.Type))
	p := c.Start()
	book.Insert("a", "x")
	c.Arrived(r, 1, 20*time.Second)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	holder := fmt.Sprintf("process %d on host %s", p.PID(), host)
	for _, command := range []string{"teardown --yes", "checkpoint reset", "checkpoint set --now", "checkpoint skip --id=x"} {
		holds(t, command, c.Do(3, command, flags(c)...).Stderr(), "is active: "+holder, by("server process", "connection"), "stop it first")
		var refused struct{ Error, Hint, Reason string }
		if err := json.Unmarshal([]byte(c.Do(3, command+" --output=json", flags(c)...).Stderr()), &refused); err != nil ||
			refused.Reason != "active" || refused.Hint != "stop it first" || !strings.Contains(refused.Error, holder) {
			t.Errorf("%s --output json: %v, %+v", command, err, refused)
		}
	}
	book.Insert("a", "y")
	c.Arrived(r, 2, 20*time.Second)
	p.Stop()
	c.Check(book.Want(), check.ExactlyOnce)
}

func TestCheckpointShowSetAndReset(t *testing.T) {
	t.Parallel()
	c, book := settled(t)
	p := c.Do(0, "checkpoint show", flags(c)...)
	var shown struct{ Position, Phase string }
	if err := json.Unmarshal([]byte(p.Stdout()), &shown); err != nil || shown.Position == "" || shown.Phase != "streaming" {
		t.Fatalf("checkpoint show: %v\n%s", err, p.Stdout())
	}

	// Forwards: what lies between is skipped, on the operator's word.
	book.Insert("a", "skipped")
	book.Forget(1)
	c.Do(0, "checkpoint set --now", flags(c)...)
	resumes(t, c, book)

	// A position that is none, and one that the server has not reached.
	c.Do(2, "checkpoint set nonsense", flags(c)...)
	c.Do(2, "checkpoint set", flags(c)...)
	c.Do(3, "checkpoint set "+c.DB.Beyond(t), flags(c)...)

	position, err := c.DB.End(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	book.Insert("a", "behind the position")
	c.Do(0, "checkpoint set "+position, flags(c)...)
	resumes(t, c, book)

	// What a command replaced is what set takes back.
	record := c.Do(0, "checkpoint show", flags(c)...).Stdout()
	var set struct {
		Position string
		Replaced json.RawMessage
	}
	out := c.Do(0, "checkpoint set --now --output=json", flags(c)...).Stdout()
	if err := json.Unmarshal([]byte(out), &set); err != nil || set.Position == "" || !sameJSON(t, string(set.Replaced), record) {
		t.Errorf("checkpoint set --now: %v\n%s\nthe record was\n%s", err, out, record)
	}
	c.Do(0, "checkpoint set", append(flags(c), string(set.Replaced))...)
	var back, was struct{ Position string }
	if err := errors.Join(json.Unmarshal([]byte(c.Do(0, "checkpoint show", flags(c)...).Stdout()), &back), json.Unmarshal([]byte(record), &was)); err != nil || back != was {
		t.Errorf("set back: %v, at %q, was at %q", err, back.Position, was.Position)
	}

	p = c.Do(0, "checkpoint reset", flags(c)...)
	holds(t, "checkpoint reset", p.Stdout(), `replaced {"version":`, `"position"`)
	if n := c.DB.Slots(t); n != 0 {
		t.Errorf("%d slots are left", n)
	}
	c.Do(1, "checkpoint show", flags(c)...)
}

func TestStatusAnswersForARunningTailer(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	p := c.Start()
	at := "--http-addr=" + p.Addr()
	c.Wait("it has caught up", 20*time.Second, func() (bool, string) {
		s := p.Status()
		return s.State == "caught_up" && s.LagSeconds != nil && *s.LagSeconds == 0, s.State
	})
	for _, command := range []string{"status", "status --ready"} {
		holds(t, command, c.Do(0, command, at).Stdout(), c.ID, "state")
	}
	s := p.Status()
	if s.Name != c.ID || s.Version == "" || s.Source.Kind != c.DB.Kind() || !strings.Contains(s.Source.Identity, c.DB.Name()) ||
		s.Position == "" || s.ServerPosition == "" || s.LagSeconds == nil || by(s.LagBytes, s.LagTransactions) == nil {
		_, body := p.Get("/status")
		t.Errorf("/status: %s", body)
	}
	if code, body := p.Get("/"); code != 200 || !strings.Contains(body, c.ID) {
		t.Errorf("/: %d %s", code, body)
	}
	if code, _ := p.Get("/debug/pprof/"); code != 404 {
		t.Errorf("/debug/pprof/ without its option: %d", code)
	}
	p.Stop()
	c.Do(1, "status", at)

	// Live and not ready: no broker.
	q := c.Run("--kafka-brokers=" + harness.ClosedAddr(t))
	at = "--http-addr=" + q.Addr()
	c.Wait("it retries", 20*time.Second, func() (bool, string) { s := q.State(); return s == "retrying", s })
	c.Do(0, "status", at)
	holds(t, "status --ready", c.Do(1, "status --ready", at).Stderr(), "ready")
}

func TestEveryMetricOfTheContractIsThere(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	book := c.Ledger()
	r := c.Follow(harness.Topic(c.Type))
	p := c.Start()
	book.Insert("a", "x")
	c.Arrived(r, 1, 20*time.Second)
	p.Counts(c, 1, "events_published_total", "table="+c.DB.Outbox())
	lag := by("source_lag_bytes", "source_lag_transactions")
	c.Wait("the source was polled", 15*time.Second, func() (bool, string) {
		n := p.Metric(lag)
		return n == n, fmt.Sprint(n)
	})
	_, body := p.Get("/metrics")
	for _, name := range append(by([]string{"slot_confirmed_lag_bytes", "slot_retained_bytes", "slot_safe_wal_bytes"}, nil),
		"events_read_total", "events_published_total", "publish_latency_seconds_bucket", "source_lag_seconds", lag, "checkpoint_timestamp_seconds", "last_error_timestamp_seconds", "kafka_commit_duration_seconds_bucket",
		"kafka_transactions_total", "batch_events", "in_flight_bytes", "source_connected", "sink_connected", "active", "info",
		"build_info") {
		if !strings.Contains(body, "\ntailer_"+name) {
			t.Errorf("no metric tailer_%s", name)
		}
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes"} {
		if !strings.Contains(body, "\n"+name) {
			t.Errorf("no metric %s", name)
		}
	}
	for metric, want := range map[string]float64{"active": 1, "source_connected": 1, "sink_connected": 1,
		"events_read_total": 1, "events_published_total": 1} {
		if got := p.Metric(metric); got != want {
			t.Errorf("tailer_%s is %v, wanted %v", metric, got, want)
		}
	}
}

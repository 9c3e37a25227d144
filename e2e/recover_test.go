package e2e

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// gap is a case that has published three rows and was stopped; then two more were committed. Rows are stamped, and
// the condition chooses those that were not published.
type gap struct {
	*harness.Case
	book  *harness.Ledger
	since string // the flag --where
}

func newGap(t *testing.T, server harness.Server) *gap {
	t.Helper()
	c := world(t, server)
	c.DB.Exec(t, "ALTER TABLE "+c.DB.Outbox()+" ADD created_at "+
		by("timestamptz(6) NOT NULL DEFAULT clock_timestamp()", "timestamp(6) NOT NULL DEFAULT current_timestamp(6)"))
	book := c.Ledger()
	r := c.Follow(harness.Topic(c.Type))
	p := c.Start()
	for i := range 3 {
		book.Insert("a", fmt.Sprint(i))
	}
	c.Arrived(r, 3, 20*time.Second)
	p.Stop()
	c.Wait("nobody reads the log", 10*time.Second, func() (bool, string) {
		stream := c.DB.Stream(t, c.ID)
		return stream == "", stream
	})
	now := c.DB.Text(t, by("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')", "SELECT utc_timestamp(6)"))
	book.Insert("a", "in the gap")
	book.Insert("b", "in the gap")
	return &gap{Case: c, book: book, since: fmt.Sprintf("--where=created_at > '%s'", now)}
}

// lose takes away what would bring the rows of the gap.
func (g *gap) lose(t *testing.T) {
	if kind() == "postgres" {
		g.DB.Exec(t, "SELECT pg_drop_replication_slot($1)", harness.Slot(g.ID))
	}
}

// recover runs the command to an exit status.
func (g *gap) recover(code int, args ...string) *harness.Process {
	g.Helper()
	return g.Do(code, "recover", g.Flags(args...)...)
}

// streamsOn starts a tailer, adds a row and demands that the topics hold exactly what was committed.
func (g *gap) streamsOn(t *testing.T, args ...string) {
	t.Helper()
	resumes(t, g.Case, g.book, args...)
}

func TestRecoverBringsTheRowsOfTheGapAndStreamsOn(t *testing.T) {
	t.Parallel()
	server, own := source(t), (*ownMySQL)(nil)
	if kind() != "postgres" {
		own = newOwnMySQL(t, kind(), 1)
		server = harness.MySQLAt(t, own.url())
	}
	g := newGap(t, server)
	if own != nil {
		own.purge()
	} else {
		g.lose(t)
	}
	refuses(t, g.Case, nil, by("slot", "gone"), "tailer recover")
	waiting := g.Run("--on-refusal=wait")
	g.Wait("it is refused, and waits", 20*time.Second, func() (bool, string) {
		state := waiting.State()
		return state == "refused", state
	})
	before := record(t, g.Case)

	dry := g.recover(0, g.since, "--dry-run")
	holds(t, "the dry run", dry.Stdout(), ": 2 of 5 rows", "2 rows would be published", "nothing was changed")
	asked := g.recover(2, g.since)
	holds(t, "unasked", asked.Stderr(), "--yes")
	g.recover(2, "--where=created_at > ", "--yes")
	g.recover(3, g.since, "--yes", "--snapshot-max-rows=1")
	if now := record(t, g.Case); string(now) != string(before) || g.DB.Slots(t) != 0 {
		t.Errorf("something was changed: the record is %s, was %s; %d slots", now, before, g.DB.Slots(t))
	}

	done := g.recover(0, g.since, "--yes")
	holds(t, "recover", done.Stdout(), "replaces {", `"phase":"streaming"`, "publishes 2 rows of "+g.DB.Outbox(), "streams from")
	if strings.Contains(done.Stdout(), "NOTHING IS LOST") {
		t.Errorf("it takes the log for whole: %s", done.Stdout())
	}
	g.Ready(waiting)
	waiting.Stop()
	g.streamsOn(t)
}

func TestRecoverRefusesWhileAnInstanceIsActive(t *testing.T) {
	t.Parallel()
	g := newGap(t, source(t))
	p := g.Start()
	holds(t, "recover", g.recover(3, g.since, "--yes").Stderr(), "active", "stop it first")
	p.Stop()
	g.streamsOn(t)
}

// Whatever a crash leaves, the next start publishes the chosen rows and no others, with a snapshot or without.
func TestACrashAtAnyStepOfRecoverIsMendedByTheNextStart(t *testing.T) {
	t.Parallel()
	for i, step := range []string{"first.publication", "first.phase", "first.slot", "first.produced", "first.committed"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			g := newGap(t, source(t))
			g.lose(t)
			crash := harness.Exec(t, harness.Faulty(t), []string{"FAULT_CRASH_AT=" + step},
				append([]string{"recover"}, g.Flags(g.since, "--yes")...)...)
			crash.Want(sigkill, 30*time.Second)
			g.book.Insert("a", "after the crash")
			if step == "first.publication" && kind() == "postgres" {
				refuses(t, g.Case, nil, "slot") // it had not begun
				g.recover(0, g.since, "--yes")
			}
			g.streamsOn(t, []string{"--snapshot=never", "--require-checkpoint"}[:i%3]...)
		})
	}
}

// It is one expression and no more, read-only, whatever the operator or a script puts there.
func TestAConditionIsOneExpression(t *testing.T) {
	t.Parallel()
	g := newGap(t, source(t))
	for _, bad := range []string{
		"true) or (true",
		"true then true end or case when true",
		"true) --",
		"true; drop table " + g.DB.Outbox(),
		"true); drop table " + g.DB.Outbox() + "; select (true",
		"true /*",
		"id = 'x",
		"true limit 1",
		"select true",
		"no_such_column = 1",
		by("true) #", "true) #"),
		by("id = $1", "id = ?"),
		by("payload::int > 0", "id = (select payload from outbox)"),
		by("nextval('s') > 0", "id = (select id from outbox for update)"),
	} {
		if kind() == "postgres" && strings.HasPrefix(bad, "nextval") {
			g.DB.Exec(t, "CREATE SEQUENCE public.s")
			bad = "nextval('public.s') > 0"
		}
		holds(t, bad, g.recover(2, "--where="+bad, "--dry-run").Stderr(), "--where")
	}
	for good, n := range map[string]string{
		"true":                                "5 of 5",
		"(payload = 'in the gap') -- both":    "2 of 5",
		"payload in ('0', '1') or id is null": "2 of 5",
		"exists (select 1)":                   "5 of 5",
	} {
		holds(t, good, g.recover(0, "--where="+good, "--dry-run").Stdout(), n)
	}
	holds(t, "random ids", g.recover(2, "--from-id=7", "--dry-run").Stderr(), "--from-id", "--where")
}

func TestRecoverFromAnID(t *testing.T) {
	t.Parallel()
	c := harness.New(t, source(t))
	for _, table := range []string{c.DB.Outbox(), "second"} {
		c.DB.Exec(t, "CREATE TABLE "+table+by(" (id bigint PRIMARY KEY,", " (id bigint unsigned PRIMARY KEY,")+
			" aggregatetype varchar(255) NOT NULL, aggregateid varchar(255) NOT NULL, type varchar(255), payload text)")
		for _, id := range []string{"2", "9", "10", "9007199254740993"} {
			c.DB.Exec(t, "INSERT INTO "+table+" VALUES ("+id+", '"+c.Type+"', 'a', 't', '"+table+"')")
		}
	}
	second := by("public.second", c.DB.Name()+".second")
	tables := []string{"--outbox-table=" + by("public.outbox", c.DB.Name()+".outbox"), "--outbox-table=" + second}
	count := func(args ...string) string {
		return c.Do(0, "recover", c.Flags(append(args, append(tables, "--dry-run")...)...)...).Stdout()
	}
	both := count("--from-id=10")
	if strings.Count(both, ": 2 of 4 rows") != 2 {
		t.Errorf("ids from 10 on: %s", both)
	}
	holds(t, "an id beyond what a double holds", count("--from-id=9007199254740993"), ": 1 of 4 rows")
	holds(t, "none", count("--from-id=9007199254740994"), "0 rows would be published")
	one := count("--from-id=9", "--table="+second)
	holds(t, "one table", one, "outbox: 0 of 4 rows", "second: 3 of 4 rows")
	holds(t, "no number", c.Do(2, "recover", c.Flags(append(tables, "--from-id=1 or true", "--dry-run")...)...).Stderr(), "--from-id", "no number")
	holds(t, "no table", c.Do(2, "recover", c.Flags(append(tables, "--from-id=1", "--table=third", "--dry-run")...)...).Stderr(), "--table", "second")
}

func TestRepublishBesideARunningTailer(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	book := c.Ledger()
	topic := harness.Topic(c.Type)
	r := c.Follow(topic)
	p := c.Start("--on-poison=skip")
	c.Sample()
	var ids []string
	for i := range 4 {
		ids = append(ids, book.Insert(fmt.Sprint("k", i%2), fmt.Sprint("value ", i)))
	}
	c.Arrived(r, 4, 20*time.Second)
	again := func(code int, args ...string) *harness.Process {
		t.Helper()
		return c.Do(code, "republish", c.Flags(args...)...)
	}
	values := func(topic string) (got []string) {
		for _, rec := range c.Kafka.Records(t, topic) {
			got = append(got, string(rec.Value))
		}
		return got
	}
	where := fmt.Sprintf("--where=id in ('%s', '%s')", ids[1], ids[3])
	holds(t, "dry run", again(0, where, "--dry-run").Stdout(), "would be published again: 2 rows")
	if n := len(values(topic)); n != 4 {
		t.Fatalf("the dry run left %d records of 4", n)
	}
	holds(t, "republish", again(0, where).Stdout(), "published again: 2 rows of "+c.DB.Outbox())
	other := topic + ".rebuilt"
	again(0, "--where=true", "--topic="+other)
	if got := strings.Join(values(other), ","); !sameSet(got, "value 0,value 1,value 2,value 3") {
		t.Errorf("the other topic has %s", got)
	}
	holds(t, "its own topic", again(2, "--where=true", "--topic="+c.Checkpoint()).Stderr(), "tailer's own")

	// A row that cannot be published keeps the others from being.
	c.DB.Exec(t, "INSERT INTO "+c.DB.Outbox()+" (id, aggregatetype, aggregateid, type, payload) VALUES ('bad one', 'no topic!', 'k', 't', 'x')")
	c.Wait("the row is skipped", 20*time.Second, func() (bool, string) {
		n := p.Metric("events_poison_total", "action=skip")
		return n == 1, fmt.Sprint(n)
	})
	bad := again(1, "--where=true")
	holds(t, "poison", bad.Stdout(), "bad one", "cannot be published")
	holds(t, "poison", bad.Stderr(), "nothing was", "--skip-poison")
	if n := len(values(topic)); n != 6 {
		t.Errorf("%d records, 4 and 2 again were published", n)
	}
	again(0, "--where=true", "--skip-poison")
	if n := len(values(topic)); n != 10 {
		t.Errorf("%d records, 4, 2 again and 4 again were published", n)
	}

	// The tailer has noticed nothing.
	book.Insert("k0", "later")
	c.Arrived(r, 5, 20*time.Second)
	if n := p.Metric("pipeline_restarts_total"); n != 0 {
		t.Errorf("%v restarts", n)
	}
	p.Stop()
	if got := values(topic); !sameSet(strings.Join(got, ","), strings.Repeat("value 0,value 1,value 2,value 3,", 2)+"value 1,value 3,later") {
		t.Errorf("the topic has %q", got)
	}
	c.Kafka.Delete(t, other)
	if report := c.Judge(book.Want(), check.ExactlyOnce); len(report.Led) > 0 {
		t.Errorf("the confirmed position led the checkpoint: %s", report)
	}
}

// sameSet compares lists with commas, in whatever order.
func sameSet(a, b string) bool {
	count := map[string]int{}
	for _, s := range strings.Split(a, ",") {
		count[s]++
	}
	for _, s := range strings.Split(b, ",") {
		count[s]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

// The log that is kept makes an instance unready, and nothing else: it streams on.
func TestUnreadyWhileTheServerKeepsTooMuchLog(t *testing.T) {
	t.Parallel()
	c, db := postgres(t)
	db.CreateOutbox(t, db.Outbox())
	book := c.Ledger()
	r := c.Follow(harness.Topic(c.Type))
	unready := func(p *harness.Tailer) {
		t.Helper()
		c.Wait("it is unready because of the log", 30*time.Second, func() (bool, string) {
			code, body := p.Get("/readyz")
			return code == 503 && strings.Contains(body, "--slot-wal-unready-bytes 1"), fmt.Sprint(code, " ", body, " ", p.State())
		})
	}
	active := c.Start("--slot-wal-unready-bytes=1024GiB")
	other := c.Run("--slot-wal-unready-bytes=1")
	c.Wait("it stands by", 20*time.Second, func() (bool, string) {
		state := other.State()
		return state == "standby", state
	})
	unready(other)
	active.Stop()
	book.Insert("a", "published by one that is unready")
	c.Arrived(r, 1, 30*time.Second)
	unready(other)
	other.Stop()
	c.Check(book.Want(), check.ExactlyOnce)
	bad := c.Do(2, "run", c.Flags("--slot-wal-unready-bytes=1", "--source-url=mysql://root@127.0.0.1:1/x")...)
	holds(t, "with MySQL", bad.Stderr(), "--slot-wal-unready-bytes", "postgres://")
}

// MySQL keeps its log for a time: how much of it is left is known as long as the checkpoint is young.
func TestTheTimeThatIsLeftOfTheLogIsShown(t *testing.T) {
	t.Parallel()
	c, db := binlog(t)
	db.CreateOutbox(t, db.Outbox())
	p := c.Start()
	keep, err := strconv.ParseFloat(db.Text(t, "SELECT @@global.binlog_expire_logs_seconds"), 64)
	if err != nil {
		t.Fatal(err)
	}
	c.Wait("the time that is left is that of the log's retention", 30*time.Second, func() (bool, string) {
		_, body := p.Get("/status")
		var s struct {
			Left *float64 `json:"log_seconds_left"`
		}
		if err := json.Unmarshal([]byte(body), &s); err != nil || s.Left == nil {
			return err == nil && keep == 0, fmt.Sprint(body, " ", err)
		}
		return keep > 0 && *s.Left <= keep && *s.Left > keep-60, fmt.Sprint(*s.Left, " of ", keep)
	})
	p.Stop()
}

package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// letter is a dead letter as docs/operations.md describes it.
type letter struct {
	Version               int
	Name, Table, Position string
	Source                struct{ Kind, Identity string }
	ID                    *string
	Transaction           string
	Ordinal               int
	Reason, Tailer        string
	Time, Committed       time.Time
	Length                int
	SHA256                string
	Columns               map[string]any
	Shape                 []any
	RowID                 map[string]any `json:"row_id"`
}

func deadLetters(c *harness.Case) string { return "tailer-dead-letter." + c.ID }

// letters reads the dead letters of a case, in their order.
func letters(t *testing.T, c *harness.Case) (list []letter) {
	t.Helper()
	for _, r := range c.Kafka.Records(t, deadLetters(c)) {
		if r.Value == nil {
			continue // a mark
		}
		var l letter
		if err := json.Unmarshal(r.Value, &l); err != nil {
			t.Fatalf("%s: %v", r.Value, err)
		}
		if l.Version != 1 || l.Name != c.ID || l.Source.Kind != c.DB.Kind() || l.Position == "" || l.Transaction == "" || l.Ordinal < 1 ||
			l.Reason == "" || l.Tailer == "" || l.Time.IsZero() || l.Committed.IsZero() || len(l.SHA256) != 64 || string(r.Key) != *l.ID {
			t.Errorf("dead letter with key %q: %s", r.Key, r.Value)
		}
		list = append(list, l)
	}
	return list
}

// checkLetters compares their rows.
func checkLetters(t *testing.T, c *harness.Case, want ...string) (list []letter) {
	t.Helper()
	list = letters(t, c)
	var got []string
	for _, l := range list {
		got = append(got, *l.ID)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("dead letters of %q, want %q", got, want)
	}
	return list
}

// unordered is a list without its order, for rows of the snapshot and of replay.
func unordered(want []check.Want) []check.Want {
	for i := range want {
		want[i].Seq = 0
	}
	return want
}

// poisoned is a row that cannot be published.
type poisoned struct {
	kind   string // of it
	reason string // must be in what is said of it
	route  any
	value  string
	at     any
}

// poisons are all kinds, for a topic that takes 20,000 bytes.
func poisons(c *harness.Case) []poisoned {
	return []poisoned{
		{kind: "no-route", reason: "aggregatetype", value: "v"},
		{kind: "illegal", reason: "topic name", route: c.Type + " ü", value: "v\x01 <&> \u2028"},
		{kind: "long", reason: "--max-row-bytes", route: c.Type, value: strings.Repeat("l", 70<<10)},
		{kind: "large", reason: "max.message.bytes", route: c.Type, value: strings.Repeat("x", 30<<10)},
		{kind: "time", reason: "at", route: c.Type, value: "v", at: "no time"},
	}
}

// mixed is a world with a table that takes rows of every kind, and what inserts
// good rows and bad ones in turn: two transactions of several rows, then each
// alone.
type mixed struct {
	*harness.Case
	book *harness.Ledger
	args []string
	bad  []string // ids, in the order in which they are committed
	kind map[string]poisoned
	good int
}

func newMixed(t *testing.T) *mixed {
	t.Helper()
	c := world(t, source(t))
	table := c.DB.Outbox()
	c.DB.Exec(t, "ALTER TABLE "+table+by(" ALTER aggregatetype DROP NOT NULL", " MODIFY aggregatetype varchar(255) NULL"))
	c.DB.Exec(t, "ALTER TABLE "+table+" ADD COLUMN at varchar(40)")
	// Nothing maps these, and a dead letter has them all the same.
	c.DB.Exec(t, "ALTER TABLE "+table+" ADD COLUMN amount numeric(8,2) DEFAULT 1.5")
	c.DB.Exec(t, "ALTER TABLE "+table+by(" ADD COLUMN raw bytea DEFAULT '\\x00ff'", " ADD COLUMN raw binary(2) DEFAULT X'00ff'"))
	c.DB.Exec(t, "ALTER TABLE "+table+by(" ADD COLUMN made timestamp(3)", " ADD COLUMN made datetime(3)")+" DEFAULT '2024-02-29 12:34:56.789'")
	c.DB.Exec(t, "ALTER TABLE "+table+" ADD COLUMN nothing int")
	c.Kafka.Create(t, harness.Topic(c.Type), 1, "max.message.bytes", "20000")
	config := filepath.Join(t.TempDir(), "tailer.yaml")
	if err := os.WriteFile(config, []byte("tables:\n  - table: "+table+"\n    columns: {timestamp: at}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &mixed{Case: c, book: c.Ledger(), args: []string{"--config=" + config, "--max-row-bytes=64KiB"}, kind: map[string]poisoned{}}
}

func (m *mixed) insert(t *testing.T) {
	t.Helper()
	var tuples []string
	var args []any
	add := func(id string, p poisoned) {
		var places []string
		for _, a := range []any{id, p.route, "key", "Changed", p.value, p.at} {
			args = append(args, a)
			places = append(places, m.DB.Arg(len(args)))
		}
		tuples = append(tuples, "("+strings.Join(places, ", ")+")")
	}
	goodRow := func() {
		m.good++
		id := fmt.Sprintf("%s-good-%02d", m.Type, m.good)
		add(id, poisoned{route: m.Type, value: fmt.Sprint(m.good)})
		m.book.Expect(id, m.Type, "key", fmt.Sprint(m.good))
	}
	commit := func() {
		if _, err := m.DB.SQL().Exec("INSERT INTO "+m.DB.Outbox()+" (id, aggregatetype, aggregateid, type, payload, at) VALUES "+
			strings.Join(tuples, ", "), args...); err != nil {
			t.Fatal(err)
		}
		tuples, args = nil, nil
	}
	for round, together := range []int{5, 1} {
		for i, p := range poisons(m.Case) {
			id := fmt.Sprintf("%s-%s-%d", m.Type, p.kind, round)
			add(id, p)
			m.bad, m.kind[id] = append(m.bad, id), p
			if together == 1 {
				commit()
			}
			if i != 2 || together == 1 { // two in a row once
				goodRow()
			}
			if (i+1)%together == 0 {
				commit()
			}
		}
	}
}

// checkKept compares a dead letter with its row.
func (m *mixed) checkKept(t *testing.T, l letter) {
	t.Helper()
	p := m.kind[*l.ID]
	if !strings.Contains(l.Reason, p.reason) || l.Columns["id"] != *l.ID || l.Columns["payload"] != p.value || l.Columns["aggregateid"] != "key" ||
		l.Columns["aggregatetype"] != p.route || l.Columns["at"] != p.at || len(l.Shape) != 10 || l.RowID != nil {
		t.Errorf("dead letter of the row %q: %.300v", *l.ID, l)
	}
	raw := by[any](`\x00ff`, map[string]any{"base64": "AP8="})
	if l.Columns["type"] != "Changed" || l.Columns["amount"] != "1.50" || !reflect.DeepEqual(l.Columns["raw"], raw) ||
		l.Columns["made"] != "2024-02-29 12:34:56.789" || !hasNull(l.Columns, "nothing") {
		t.Errorf("what is not mapped of the row %q: %.300v", *l.ID, l.Columns)
	}
	if !strings.HasSuffix(l.Table, "outbox") || !anyPosition.MatchString(l.Position) && l.Transaction != "snapshot" {
		t.Errorf("dead letter of the row %q: table %q, position %q", *l.ID, l.Table, l.Position)
	}
}

func hasNull(columns map[string]any, name string) bool {
	v, ok := columns[name]
	return ok && v == nil
}

func TestEveryKindOfPoisonIsSkipped(t *testing.T) {
	t.Parallel()
	m := newMixed(t)
	m.insert(t) // for the snapshot
	r := m.Follow(harness.Topic(m.Type))
	p := m.Start(append(m.args, "--on-poison=skip")...)
	m.Arrived(r, m.good, 20*time.Second)
	p.Stop()
	if n := strings.Count(p.Stderr(), "skipped rows"); n != 1 {
		t.Errorf("it says %d times that rows are skipped", n)
	}
	holds(t, "the log", p.Stderr(), "rows=10 total=10")
	checkLetters(t, m.Case)
	m.Check(unordered(m.book.Want()), check.ExactlyOnce)
}

func TestEveryKindOfPoisonBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	for _, snapshot := range []bool{false, true} {
		t.Run(fmt.Sprintf("snapshot=%t", snapshot), func(t *testing.T) {
			t.Parallel()
			m := newMixed(t)
			args := append(m.args, "--on-poison=dead-letter")
			if snapshot {
				m.insert(t)
			}
			r := m.Follow(harness.Topic(m.Type))
			p := m.Start(args...)
			if !snapshot {
				m.insert(t)
			}
			m.Arrived(r, m.good, 20*time.Second)
			m.Wait("all are counted", 10*time.Second, func() (bool, string) {
				n := p.Metric("events_poison_total", "action=dead_letter")
				return n == 10 && p.Status().Poison["dead_letter"] == 10.0, fmt.Sprint(n, p.Status().Poison)
			})
			p.Counts(m.Case, m.good, "events_published_total")
			p.Stop()
			list := letters(t, m.Case)
			var got []string
			for _, l := range list {
				got = append(got, *l.ID)
				m.checkKept(t, l)
			}
			want := slices.Clone(m.bad)
			if snapshot { // in the order of the primary key
				slices.Sort(want)
				slices.Sort(got)
			}
			if !slices.Equal(got, want) {
				t.Errorf("dead letters %q, want %q", got, want)
			}
			configs, err := m.Kafka.Admin.DescribeTopicConfigs(t.Context(), deadLetters(m.Case))
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range configs[0].Configs {
				if want := map[string]string{"retention.ms": "-1", "cleanup.policy": "delete"}[c.Key]; want != "" && c.MaybeValue() != want {
					t.Errorf("%s is %s", c.Key, c.MaybeValue())
				}
			}
			all := m.book.Want()
			if snapshot {
				all = unordered(all)
			}
			m.Check(all, check.ExactlyOnce)
		})
	}
}

// Each row that halts is stepped over by itself, half of them kept.
func TestEveryKindOfPoisonHaltsAndIsSteppedOver(t *testing.T) {
	t.Parallel()
	m := newMixed(t)
	m.Start(m.args...).Stop()
	m.insert(t)
	skip := func(code int, id string, args ...string) string {
		p := m.Do(code, "checkpoint skip --id="+id, m.Flags(append(m.args[:1:1], args...)...)...)
		return p.Stdout() + p.Stderr()
	}
	var kept []string
	for i, id := range m.bad {
		p := m.Run(append(m.args, "--until=now")...)
		p.Want(3, 20*time.Second)
		holds(t, "the halt", p.Stderr(), fmt.Sprintf("%q", id), m.kind[id].reason, aPosition, m.DB.Outbox(), "tailer checkpoint skip --id "+id)
		if i == 0 {
			holds(t, "another id", skip(3, "nobody"), "another row", id)
		}
		args := []string{}
		if i%2 == 0 {
			args, kept = []string{"--dead-letter"}, append(kept, id)
		}
		holds(t, "skip", skip(0, id, args...), "replaced {", id, aPosition)
		holds(t, "skip said twice", skip(3, id, args...), "has not halted")
	}
	p := m.Run(append(m.args, "--until=now")...)
	p.Want(0, 20*time.Second)
	for _, l := range checkLetters(t, m.Case, kept...) {
		m.checkKept(t, l)
	}
	m.Check(m.book.Want(), check.ExactlyOnce)
}

// A halt in the snapshot publishes nothing of it. What is stepped over is left
// out, or kept, by the next one.
func TestPoisonInTheSnapshotIsSteppedOver(t *testing.T) {
	t.Parallel()
	m := newMixed(t)
	m.insert(t)
	order := slices.Clone(m.bad)
	slices.Sort(order)
	for i, id := range order {
		p := m.Run(m.args...)
		p.Want(3, 30*time.Second)
		holds(t, "the halt", p.Stderr(), fmt.Sprintf("%q", id), "nothing of the snapshot is published", "tailer checkpoint skip --id "+id)
		if n := len(m.Kafka.Records(t, harness.Topic(m.Type))); n != 0 {
			t.Fatalf("%d records are published", n)
		}
		args := m.Flags(m.args[:1]...)
		if i%2 == 0 {
			args = append(args, "--dead-letter")
		}
		holds(t, "skip", m.Do(0, "checkpoint skip --id="+id, args...).Stdout(), "replaced {", "the snapshot of the next start", id)
	}
	p := m.Run(append(m.args, "--until=now")...)
	p.Want(0, 30*time.Second)
	checkLetters(t, m.Case, order[0], order[2], order[4], order[6], order[8])
	m.Check(unordered(m.book.Want()), check.ExactlyOnce)
}

// A row is stepped over only when nobody is active, and a running tailer notices nothing.
func TestSteppingOverNeedsTheName(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	book := c.Ledger()
	p := c.Start()
	r := c.Follow(harness.Topic(c.Type))
	id := book.Insert("a", "v")
	c.Arrived(r, 1, 20*time.Second)
	said := c.Do(3, "checkpoint skip --id="+id, c.Flags()...)
	holds(t, "skip beside an active tailer", said.Stderr(), "active", "stop it first")
	c.Do(2, "checkpoint skip", c.Flags()...)
	book.Insert("a", "w")
	c.Arrived(r, 2, 20*time.Second)
	p.Stop()
	c.Check(book.Want(), check.ExactlyOnce)
}

// What skip and set replace, set takes back, inside a transaction too: nothing is published twice.
func TestSetTakesBackWhatWasReplaced(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	c.Kafka.Create(t, harness.Topic(c.Type), 1, "max.message.bytes", "20000")
	book := c.Ledger()
	p := c.Start()
	ids := book.All(c.DB.Outbox(), c.Type, "a", "1", "2", strings.Repeat("x", 30_000), "4")
	p.Want(3, 20*time.Second)
	said := c.Do(0, "checkpoint skip --id="+ids[2], c.Flags()...)
	record, ok := strings.CutPrefix(strings.Split(said.Stdout(), "\n")[0], "replaced ")
	if !ok {
		t.Fatalf("skip prints %q", said.Stdout())
	}
	set := harness.Exec(t, harness.Binary(t), nil, append([]string{"checkpoint", "set", record}, c.Flags()...)...)
	set.Want(0, 30*time.Second)
	if _, err := c.Kafka.Admin.AlterTopicConfigs(t.Context(), alter("max.message.bytes", "1000000"), harness.Topic(c.Type)); err != nil {
		t.Fatal(err)
	}
	r := c.Follow(harness.Topic(c.Type))
	p = c.Start()
	c.Arrived(r, 4, 20*time.Second)
	p.Stop()
	c.Check(book.Want(), check.ExactlyOnce)
}

// Dead letters are committed with the batch and its checkpoint: a crash leaves neither a gap nor a second one.
func TestDeadLettersSurviveCrashes(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"commit.joined", "commit.produced", "commit.committed"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			m := newMixed(t)
			args := append(m.args, "--on-poison=dead-letter")
			m.Start(args...).Stop()
			m.insert(t)
			for n := 1; n <= 3; n++ {
				p := m.CrashAt(step, n, args...)
				m.Wait("it crashes", 20*time.Second, func() (bool, string) { return !p.Running(), p.State() })
			}
			p := m.Run(append(args, "--until=now")...)
			p.Want(0, 20*time.Second)
			for _, l := range checkLetters(t, m.Case, m.bad...) {
				m.checkKept(t, l)
			}
			m.Check(m.book.Want(), check.ExactlyOnce)
		})
	}
}

// replayed runs `tailer replay` and returns its JSON.
func replayed(t *testing.T, c *harness.Case, code int, args ...string) (sum struct {
	Replayed, Stays, Gone, Already int
	Letters                        []struct {
		What, ID, Reason string
		Changed          bool
	}
}) {
	t.Helper()
	p := c.Do(code, "replay --output=json", c.Flags(args...)...)
	if err := json.Unmarshal([]byte(p.Stdout()), &sum); err != nil {
		t.Fatalf("%v: %s\n%s", err, p.Stdout(), p.Stderr())
	}
	return sum
}

// After a fix, dead-lettered rows are published once, beside a running tailer; those that were too large to be kept
// come from the table.
func TestReplayAfterAFix(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	c.Kafka.Create(t, harness.Topic(c.Type), 1, "max.message.bytes", "5000")
	c.Kafka.Create(t, deadLetters(c), 1, "max.message.bytes", "12000", "retention.ms", "-1")
	book := c.Ledger()
	p := c.Start("--on-poison=dead-letter")
	small := book.Insert("a", strings.Repeat("ü", 3000))
	large := book.Insert("b", strings.Repeat("l", 50_000))
	goneID := book.Insert("c", strings.Repeat("g", 50_000))
	book.Forget(1)
	changed := book.Insert("d", strings.Repeat("c", 50_000))
	book.Forget(1)
	c.Wait("four dead letters", 20*time.Second, func() (bool, string) {
		n := p.Metric("events_poison_total", "action=dead_letter")
		return n == 4, fmt.Sprint(n)
	})
	list := checkLetters(t, c, small, large, goneID, changed)
	value := strings.Repeat("l", 50_000)
	whole := large + c.Type + "b" + value
	sum := sha256.Sum256([]byte(whole))
	if l := list[1]; list[0].Columns["payload"] != strings.Repeat("ü", 3000) || l.Columns != nil || l.RowID["id"] != large || l.Length != len(whole) ||
		l.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("%v", l)
	}
	c.DB.Exec(t, "DELETE FROM "+c.DB.Outbox()+" WHERE id = '"+goneID+"'")
	c.DB.Exec(t, "UPDATE "+c.DB.Outbox()+" SET payload = 'smaller' WHERE id = '"+changed+"'")
	book.Expect(changed, c.Type, "d", "smaller")

	// Nothing is mended yet but the one row.
	dry := replayed(t, c, 1, "--dry-run")
	if dry.Replayed != 1 || dry.Stays != 2 || dry.Gone != 1 {
		t.Errorf("%+v", dry)
	}
	if _, err := c.Kafka.Admin.AlterTopicConfigs(t.Context(), alter("max.message.bytes", "1000000"), harness.Topic(c.Type)); err != nil {
		t.Fatal(err)
	}
	one := replayed(t, c, 0, "--id="+large)
	if one.Replayed != 1 || one.Letters[0].ID != large {
		t.Errorf("%+v", one)
	}
	r := c.Follow(harness.Topic(c.Type))
	rest := replayed(t, c, 1)
	if rest.Replayed != 2 || rest.Already != 1 || rest.Gone != 1 || rest.Letters[0].What != "gone" || rest.Letters[0].ID != goneID ||
		!rest.Letters[2].Changed {
		t.Errorf("%+v", rest)
	}
	if again := replayed(t, c, 1); again.Replayed != 0 || again.Already != 3 || again.Gone != 1 {
		t.Errorf("%+v", again)
	}
	text := c.Do(1, "replay", c.Flags()...)
	holds(t, "replay", text.Stdout()+text.Stderr(), "gone: id", goneID, "0 replayed, 0 stay, 1 gone, 3 were replayed before")
	holds(t, "replay of nobody", c.Do(1, "replay --id=nobody", c.Flags()...).Stderr(), "nobody")

	// The tailer was not fenced, and goes on.
	c.Arrived(r, 3, 20*time.Second)
	book.Insert("a", "after")
	c.Arrived(r, 4, 20*time.Second)
	if n := p.Metric("pipeline_restarts_total"); n != 0 {
		t.Errorf("%v restarts", n)
	}
	p.Stop()
	c.Check(unordered(book.Want()), check.ExactlyOnce)
}

// A replay that is killed, and run again, publishes every row once.
func TestReplayThatIsKilled(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	const rows = 12000
	book := c.Ledger()
	c.Kafka.Create(t, harness.Topic(c.Type), 1, "max.message.bytes", "600")
	p := c.Start("--on-poison=dead-letter")
	for i := range rows / 500 {
		var values []any
		for k := range 500 {
			values = append(values, fmt.Sprintf("%d %s", 500*i+k, strings.Repeat("x", 600)))
		}
		book.All(c.DB.Outbox(), c.Type, "a", values...)
	}
	c.Wait("all are dead letters", 30*time.Second, func() (bool, string) {
		n := p.Metric("events_poison_total", "action=dead_letter")
		return n == rows, fmt.Sprint(n)
	})
	p.Stop()
	if _, err := c.Kafka.Admin.AlterTopicConfigs(t.Context(), alter("max.message.bytes", "1000000"), harness.Topic(c.Type)); err != nil {
		t.Fatal(err)
	}
	r := c.Follow(harness.Topic(c.Type))
	for range 2 {
		before := r.IDs()
		killed := harness.Exec(t, harness.Binary(t), nil, append([]string{"replay"}, c.Flags()...)...)
		c.Wait("some are replayed", 30*time.Second, func() (bool, string) { return r.IDs() > before || !killed.Running(), "" })
		killed.Kill()
	}
	sum := replayed(t, c, 0)
	if sum.Replayed+sum.Already != rows || sum.Already == 0 || sum.Replayed == 0 {
		t.Errorf("%d, and by those that were killed %d, of %d", sum.Replayed, sum.Already, rows)
	}
	c.Check(book.Want(), check.ExactlyOnce)
}

// On stdout a dead letter is a line with the dead-letter topic.
func TestDeadLettersOnStdout(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	book := c.Ledger()
	first := book.Insert("a", "small")
	second := book.Insert("a", strings.Repeat("x", 2000))
	file := filepath.Join(t.TempDir(), "checkpoint")
	c.Omit = []string{"--kafka-brokers"}
	args := []string{"--sink=stdout", "--checkpoint-file=" + file, "--max-row-bytes=1k", "--until=now"}
	lines := func(p *harness.Tailer) (list []struct{ Topic, Key, Value string }) {
		for line := range strings.Lines(p.Stdout()) {
			list = append(list, struct{ Topic, Key, Value string }{})
			if err := json.Unmarshal([]byte(line), &list[len(list)-1]); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
		}
		return list
	}
	p := c.Run(append(slices.Clone(args), "--on-poison=dead-letter")...)
	p.Want(0, 20*time.Second)
	list := lines(p)
	var l letter
	if len(list) != 2 || list[0].Value != "small" || list[1].Topic != deadLetters(c) || list[1].Key != second ||
		json.Unmarshal([]byte(list[1].Value), &l) != nil || *l.ID != second || l.Columns["payload"] != strings.Repeat("x", 2000) {
		t.Fatalf("after %s, printed\n%s", first, p.Stdout())
	}

	third := book.Insert("a", strings.Repeat("y", 2000))
	p = c.Run(slices.Clone(args)...)
	p.Want(3, 20*time.Second)
	skip := c.Do(0, "checkpoint skip --dead-letter --id="+third, c.Flags(args[:2:2]...)...)
	var said struct{ Topic, Key string }
	if err := json.Unmarshal([]byte(skip.Stdout()), &said); err != nil || said.Topic != deadLetters(c) || said.Key != third {
		t.Errorf("%v: %s", err, skip.Stdout())
	}
	p = c.Run(slices.Clone(args)...)
	p.Want(0, 20*time.Second)
	if p.Stdout() != "" {
		t.Errorf("printed\n%s", p.Stdout())
	}
}

// Topics that a user may not write to are poison for their rows, not for others: with no rights at all, and with the
// right to see them only. A right that is granted is noticed.
func TestATopicRefusedByAuthorisationIsPoison(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	brokers := harness.Env(t, "STACK_KAFKA_SECURE")
	ca := filepath.Join(harness.Env(t, "STACK_TLS_DIR"), "ca.pem")
	user := c.ID
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("password-of-"+user), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	scram := kadm.UpsertSCRAM{User: user, Mechanism: kadm.ScramSha256, Iterations: 4096, Password: "password-of-" + user}
	if res, err := c.Kafka.Admin.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{scram}); err != nil || res.Error() != nil {
		t.Fatal(err, res.Error())
	}
	t.Cleanup(func() {
		ctx := context.Background()
		_, _ = c.Kafka.Admin.AlterUserSCRAMs(ctx, []kadm.DeleteSCRAM{{User: user, Mechanism: kadm.ScramSha256}}, nil)
		_, _ = c.Kafka.Admin.DeleteACLs(ctx, kadm.NewACLs().AnyResource().Allow("User:"+user).AllowHosts().Operations().ResourcePatternType(kadm.ACLPatternAny))
	})
	grant := func(b *kadm.ACLBuilder, operations ...kmsg.ACLOperation) {
		b = b.Allow("User:" + user).AllowHosts().Operations(operations...).ResourcePatternType(kadm.ACLPatternLiteral)
		if res, err := c.Kafka.Admin.CreateACLs(ctx, b); err != nil || res[0].Err != nil {
			t.Fatal(err, res)
		}
	}
	all := []kmsg.ACLOperation{kmsg.ACLOperationRead, kmsg.ACLOperationWrite, kmsg.ACLOperationDescribe, kmsg.ACLOperationDescribeConfigs, kmsg.ACLOperationCreate}
	open, seen, shut := c.Type+"open", c.Type+"seen", c.Type+"shut"
	for _, topic := range []string{harness.Topic(open), harness.Topic(seen), harness.Topic(shut)} {
		c.Kafka.Create(t, topic, 1)
	}
	grant(kadm.NewACLs().Topics(harness.Topic(open), c.Checkpoint(), deadLetters(c)), all...)
	grant(kadm.NewACLs().Topics(harness.Topic(seen)), kmsg.ACLOperationDescribe, kmsg.ACLOperationDescribeConfigs)
	grant(kadm.NewACLs().TransactionalIDs("tailer."+c.ID, "tailer."+c.ID+".replay"), kmsg.ACLOperationWrite, kmsg.ACLOperationDescribe)
	args := []string{"--kafka-brokers=" + brokers, "--kafka-tls-ca-file=" + ca, "--kafka-sasl-mechanism=SCRAM-SHA-256",
		"--kafka-sasl-username=" + user, "--kafka-sasl-password-file=" + password}

	book := c.Ledger()
	table := c.DB.Outbox()
	c.Start(args...).Stop()
	book.Into(table, open, "a", "1")
	first := book.Into(table, shut, "a", "2")
	second := book.Into(table, seen, "a", "3")
	book.Into(table, open, "a", "4")
	third := book.Into(table, c.Type+"missing", "a", "5") // nobody may create it
	book.Into(table, open, "a", "6")

	p := c.Run(args...)
	p.Want(3, 30*time.Second)
	holds(t, "the halt", p.Stderr(), first, "authoris", harness.Topic(shut))

	p = c.Start(append(args, "--on-poison=dead-letter")...)
	r := c.Follow(harness.Topic(open), harness.Topic(seen), harness.Topic(shut))
	c.Arrived(r, 3, 30*time.Second)
	for _, l := range checkLetters(t, c, first, second, third) {
		if !strings.Contains(l.Reason, "not authorised") {
			t.Errorf("reason %q", l.Reason)
		}
	}
	// Granted, the next row is published, and the others can be replayed.
	grant(kadm.NewACLs().Topics(harness.Topic(seen), harness.Topic(shut)), all...)
	c.Wait("the rights are there", 30*time.Second, func() (bool, string) {
		sum := c.Flags(append(args, "--dry-run", "--output=json")...)
		q := harness.Exec(t, harness.Binary(t), nil, append([]string{"replay"}, sum...)...)
		q.Exit(20 * time.Second)
		return strings.Contains(q.Stdout(), `"stays": 1`), q.Stdout()
	})
	if sum := replayed(t, c, 1, args...); sum.Replayed != 2 || sum.Stays != 1 {
		t.Errorf("%+v", sum)
	}
	c.Arrived(r, 5, 30*time.Second)
	time.Sleep(1100 * time.Millisecond) // what a running tailer knows of a refused topic may be a second old
	book.Into(table, seen, "b", "7")
	c.Arrived(r, 6, 30*time.Second)

	// A right that is taken away while messages flow: rows behind it are kept, nothing is stuck.
	revoke := kadm.NewACLs().Topics(harness.Topic(seen)).Allow("User:" + user).AllowHosts().Operations().ResourcePatternType(kadm.ACLPatternLiteral)
	if _, err := c.Kafka.Admin.DeleteACLs(ctx, revoke); err != nil {
		t.Fatal(err)
	}
	c.Wait("a row is refused", 30*time.Second, func() (bool, string) {
		book.Into(table, seen, "b", "8")
		return p.Metric("events_poison_total", "action=dead_letter") > 3, fmt.Sprint(p.Status().Poison)
	})
	book.Into(table, open, "b", "9")
	c.Wait("the row behind it arrives", 30*time.Second, func() (bool, string) { return r.Has(book.Want()[book.Len()-1].ID), p.State() })
	p.Stop()
	buried := map[string]bool{third: true}
	for _, l := range letters(t, c)[3:] {
		buried[*l.ID] = true
	}
	c.Check(slices.DeleteFunc(book.Want(), func(w check.Want) bool { return buried[w.ID] }), check.ExactlyOnce)
}

// Without the right to write dead letters, a row that cannot be published halts after all.
func TestADeadLetterTopicThatIsRefusedHalts(t *testing.T) {
	t.Parallel()
	m := newMixed(t)
	m.Kafka.Create(t, deadLetters(m.Case), 1, "max.message.bytes", "200")
	m.Start(m.args...).Stop()
	m.insert(t)
	p := m.Run(append(m.args, "--on-poison=dead-letter")...)
	p.Want(3, 20*time.Second)
	holds(t, "the halt", p.Stderr(), m.bad[0], m.kind[m.bad[0]].reason, "dead letter", deadLetters(m.Case), "max.message.bytes")
	if said := m.Do(3, "checkpoint skip --dead-letter --id="+m.bad[0], m.Flags(m.args[:1]...)...).Stderr(); !strings.Contains(said, deadLetters(m.Case)) {
		t.Errorf("skip: %s", said)
	}
	if _, err := m.Kafka.Admin.AlterTopicConfigs(t.Context(), alter("max.message.bytes", "1000000"), deadLetters(m.Case)); err != nil {
		t.Fatal(err)
	}
	m.Run(append(m.args, "--on-poison=dead-letter", "--until=now")...).Want(0, 20*time.Second)
	checkLetters(t, m.Case, m.bad...)
	m.Check(m.book.Want(), check.ExactlyOnce)
}

// setup makes the dead-letter topic where rows go there, and check looks at it.
func TestSetupAndCheckKnowTheDeadLetterTopic(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	flags := func(args ...string) []string { return c.Flags(append(args, "--on-poison=dead-letter")...) }
	printed := func() string { p := c.Do(0, "check", flags()...); return p.Stdout() }
	c.Do(0, "setup", c.Flags()...)
	if n := len(c.Kafka.Topics(t, deadLetters(c))); n != 0 {
		t.Error("setup made a dead-letter topic that nothing asked for")
	}
	holds(t, "check", printed(), deadLetters(c)+" does not exist; it is created")
	holds(t, "setup", c.Do(0, "setup", flags()...).Stdout(), "created dead-letter topic "+deadLetters(c))
	holds(t, "setup again", c.Do(0, "setup", flags()...).Stdout(), "dead-letter topic "+deadLetters(c)+" is there already")
	holds(t, "check", printed(), "ok    kafka_dead_letter_topic: "+deadLetters(c))
	holds(t, "setup --print", c.Do(0, "setup --print", flags()...).Stdout(), "--create --topic "+deadLetters(c), "retention.ms=-1", "tailer."+c.ID+".replay")
}

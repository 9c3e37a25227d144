package deadletter_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/deadletter"
	"github.com/tailer-io/tailer/internal/mapping"
	"github.com/tailer-io/tailer/internal/mapping/connect"
	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/outboxtest"
)

const topic = "dead"

// world is a dead-letter topic, and a table.
type world struct {
	t     *testing.T
	br    *outboxtest.Broker
	table map[string][][]byte // by id; rows are columns in the order of shape
	asked int                 // how often the table was
	// change adapts the next replay.
	change func(*deadletter.Config)
	poison func(value []byte) bool
}

var (
	_ deadletter.Sink  = (*outboxtest.Client)(nil)
	_ deadletter.Topic = (*outboxtest.Topic)(nil)
)

var shape = &outbox.Shape{Columns: []outbox.Column{
	{Name: "id", Type: "text", Precision: -1, Scale: -1}, {Name: "aggregatetype", Type: "text", Precision: -1, Scale: -1},
	{Name: "aggregateid", Type: "text", Precision: -1, Scale: -1}, {Name: "payload", Type: "bytea", Precision: -1, Scale: -1},
}}

func newWorld(t *testing.T) *world {
	return &world{t: t, br: outboxtest.NewBroker(), table: map[string][][]byte{}}
}

// row is one with a payload; nil columns are NULL.
func row(id, payload string) [][]byte {
	return [][]byte{[]byte(id), []byte("order"), []byte("key"), fmt.Appendf(nil, "\\x%x", payload)}
}

func add(b *outbox.Batch, cells [][]byte) {
	b.Add(shape)
	for i, v := range cells {
		if v != nil {
			b.SetCell(i, v)
		}
	}
}

// bury writes dead letters of rows of one transaction, as the pipeline does.
func (w *world) bury(name, txn string, room int, list ...[][]byte) {
	w.t.Helper()
	var b outbox.Batch
	var m outbox.Messages
	b.Begin([]byte(txn), time.Unix(1000, 0), 0)
	for _, cells := range list {
		add(&b, cells)
	}
	b.End([]byte("0/" + txn))
	writer := deadletter.Writer{Name: name, Tailer: "1", Topic: topic, Source: deadletter.Source{Kind: outbox.Postgres, Identity: "sys/db"}}
	for i := range b.Rows {
		id, _ := b.Value(&b.Rows[i], 0)
		q := outbox.Poison{Row: i, Table: "outbox", ID: outbox.IDText(id), Position: "0/" + txn, Reason: "too <large>"}
		if err := writer.Write(&m, &b, &q, room); err != nil {
			w.t.Fatal(err)
		}
	}
	c := outboxtest.NewClient(w.br, "checkpoint")
	ctx := context.Background()
	for _, err := range []error{c.Fence(ctx, 0), c.Join(ctx, &m), c.Produce(ctx, &m), c.Commit(ctx)} {
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// ByID reads the table.
func (w *world) ByID(_ context.Context, _ int, id []byte) (outbox.Snapshot, error) {
	w.asked++
	return &view{w.table[string(id)]}, nil
}

type view struct{ cells [][]byte }

func (v *view) Resume() outbox.Resume { return outbox.Resume{} }
func (v *view) Close()                {}
func (v *view) Read(_ context.Context, b *outbox.Batch, _ outbox.Limits) (bool, error) {
	if v.cells != nil {
		b.Begin([]byte("snapshot"), time.Now(), 0)
		add(b, v.cells)
	}
	return false, nil
}

// replay runs once and returns what it told.
func (w *world) replay() (deadletter.Summary, []deadletter.Outcome, error) {
	w.t.Helper()
	m, err := mapping.New(mapping.Config{Source: connect.Postgres, Tables: []mapping.Table{{Name: "outbox"}}})
	if err != nil {
		w.t.Fatal(err)
	}
	client := outboxtest.NewClient(w.br, "checkpoint")
	client.Poison = w.poison
	cfg := deadletter.Config{
		Name: "test", Letters: outboxtest.NewTopic(w.br, topic), TopicName: topic, Tables: []string{"outbox"},
		Wanted: m.Columns, Optional: m.Optional, Mapper: m, Sink: client, Rows: w, Timeout: time.Second,
		Limits: outbox.Limits{Rows: 3, Bytes: 1 << 20},
	}
	if w.change != nil {
		w.change(&cfg)
	}
	var told []deadletter.Outcome
	sum, err := deadletter.NewReplay(cfg, slog.New(slog.DiscardHandler), func(o deadletter.Outcome) { told = append(told, o) }).Run(context.Background())
	return sum, told, err
}

// must demands a sum.
func (w *world) must(want deadletter.Summary) []deadletter.Outcome {
	w.t.Helper()
	got, told, err := w.replay()
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Fatalf("%+v, %v; want %+v; told %+v", got, err, want, told)
	}
	return told
}

// wide is shape in a table with two columns more.
var wide = &outbox.Shape{Columns: shape.Columns, Rest: []outbox.Column{
	{Name: "note", Type: "text", Precision: -1, Scale: -1}, {Name: "extra", Type: "text", Precision: -1, Scale: -1, Charset: "latin1"},
	{Name: "zip", Type: "text", Missing: true, Precision: -1, Scale: -1},
}}

// buryWide writes a letter of a row with these two columns.
func (w *world) buryWide(id string, room int, note, extra string) {
	w.t.Helper()
	var b outbox.Batch
	var m outbox.Messages
	b.Begin([]byte("9"), time.Unix(1000, 0), 0)
	b.Add(wide)
	for i, v := range row(id, "p") {
		b.SetCell(i, v)
	}
	b.SetRest(0, []byte(note))
	b.SetRest(1, []byte(extra))
	b.End([]byte("0/9"))
	writer := deadletter.Writer{Name: "test", Tailer: "1", Topic: topic, Source: deadletter.Source{Kind: outbox.Postgres, Identity: "sys/db"}}
	if err := writer.Write(&m, &b, &outbox.Poison{Table: "outbox", ID: id, Position: "0/9", Reason: "r"}, room); err != nil {
		w.t.Fatal(err)
	}
	c := outboxtest.NewClient(w.br, "checkpoint")
	ctx := context.Background()
	for _, err := range []error{c.Fence(ctx, 0), c.Join(ctx, &m), c.Produce(ctx, &m), c.Commit(ctx)} {
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// A letter holds the columns that nothing maps as well, as long as there is room, and they do not change what names the
// row.
func TestALetterHoldsTheWholeRow(t *testing.T) {
	w := newWorld(t)
	w.buryWide("1", 10_000, "n1", "\xe9")
	w.buryWide("2", 2_000, strings.Repeat("n", 2000), "e")
	w.buryWide("3", 100, strings.Repeat("n", 2000), "e")
	w.bury("test", "9", 10_000, row("1", "p"))
	var got []deadletter.Letter
	end := int64(0)
	letters := outboxtest.NewTopic(w.br, topic)
	if _, e, _, err := letters.Span(t.Context(), time.Time{}); err == nil {
		end = e
	}
	if err := letters.Read(t.Context(), 0, end, func(r *outbox.Record) {
		var l deadletter.Letter
		if json.Unmarshal(r.Value, &l) == nil {
			got = append(got, l)
		}
	}); err != nil || len(got) != 4 {
		t.Fatal(err, got)
	}
	names := func(c deadletter.Cells) (list []string) {
		for _, cell := range c {
			list = append(list, cell.Name)
		}
		return list
	}
	mapped := []string{"aggregateid", "aggregatetype", "id", "payload"}
	if all := names(got[0].Columns); fmt.Sprint(all) != "[aggregateid aggregatetype extra id note payload]" || len(got[0].Shape) != 6 {
		t.Errorf("in full it has %v, shape %v", all, got[0].Shape)
	}
	if v, _ := got[0].Columns.Find("extra"); string(v) != "\xe9" {
		t.Errorf("extra is %q", v)
	}
	if some := names(got[1].Columns); !slices.Equal(some, mapped) || len(got[1].Shape) != 4 {
		t.Errorf("with little room it has %v, shape %v", some, got[1].Shape)
	}
	if got[2].Columns != nil || got[2].Shape != nil || names(got[2].RowID)[0] != "id" {
		t.Errorf("without room it has %+v", got[2])
	}
	if got[0].SHA256 != got[3].SHA256 || got[0].Length != got[3].Length {
		t.Errorf("the sum of the whole row is %s, of the mapped columns %s", got[0].SHA256, got[3].SHA256)
	}
}

// What was not mapped then and is today comes from the letter, unless it stands there in bytes that are no client's.
func TestReplayMapsWhatWasNotMapped(t *testing.T) {
	w := newWorld(t)
	w.buryWide("1", 10_000, "n1", "\xe9")
	for _, c := range []struct {
		column string
		asked  int
	}{{"note", 0}, {"extra", 1}, {"zip", 1}} {
		w.asked = 0
		w.change = func(cfg *deadletter.Config) {
			m, err := mapping.New(mapping.Config{Source: connect.Postgres, Tables: []mapping.Table{{Name: "outbox", Headers: []mapping.Header{{Column: c.column}}}}})
			if err != nil {
				t.Fatal(err)
			}
			cfg.Mapper, cfg.Wanted, cfg.Optional, cfg.DryRun = m, m.Columns, m.Optional, true
		}
		if _, _, err := w.replay(); err != nil || w.asked != c.asked {
			t.Errorf("%s: the table was asked %d times, want %d: %v", c.column, w.asked, c.asked, err)
		}
	}
}

func (w *world) check(want ...string) {
	w.t.Helper()
	_, got := w.br.Committed(topic, "checkpoint")
	if !slices.Equal(got, want) {
		w.t.Errorf("published %q, want %q", got, want)
	}
}

func values(from, n int) (list [][][]byte, payloads []string) {
	for i := range n {
		list = append(list, row(fmt.Sprint(from+i), fmt.Sprint("v", from+i)))
		payloads = append(payloads, fmt.Sprint("v", from+i))
	}
	return list, payloads
}

// Rows come back as the mapping makes them of the very bytes of the log, once.
func TestReplayPublishesOnce(t *testing.T) {
	w := newWorld(t)
	odd := row("o\xffdd <&> \u2028 \x01", "bytes \xff\x00")
	null := [][]byte{[]byte("null"), []byte("order"), nil, nil}
	w.bury("test", "1", 1<<20, odd, null)
	list, payloads := values(0, 7)
	w.bury("other", "2", 1<<20, row("foreign", "foreign"))
	w.bury("test", "3", 1<<20, list...)
	w.must(deadletter.Summary{Replayed: 9})
	w.check(append([]string{"bytes \xff\x00", ""}, payloads...)...)
	if keys, _ := w.br.Committed(topic, "checkpoint"); keys[0] != "key" || keys[1] != "" {
		t.Errorf("keys %q", keys)
	}
	w.must(deadletter.Summary{Already: 9})
	w.bury("test", "4", 1<<20, row("new", "new"))
	w.must(deadletter.Summary{Replayed: 1, Already: 9})
	w.check(append(append([]string{"bytes \xff\x00", ""}, payloads...), "new")...)
	if w.asked != 0 {
		t.Errorf("the table was asked %d times", w.asked)
	}
}

// One that stays does not keep the others, and is tried again.
func TestReplayOfWhatStillCannotBePublished(t *testing.T) {
	w := newWorld(t)
	list, _ := values(0, 5)
	w.bury("test", "1", 1<<20, list...)
	w.poison = func(v []byte) bool { return string(v) == "v1" || string(v) == "v4" }
	told := w.must(deadletter.Summary{Replayed: 3, Stays: 2})
	if o := told[1]; o.What != deadletter.Stays || o.ID != "1" || o.Reason != "the test says so" || o.Position != "0/1" || o.Table != "outbox" {
		t.Errorf("%+v", o)
	}
	w.check("v0", "v2", "v3")
	w.poison = nil
	w.must(deadletter.Summary{Replayed: 2, Already: 3})
	w.check("v0", "v2", "v3", "v1", "v4")
}

// Two letters about one row are one message, whichever of them has the mark.
func TestReplayOfALetterThatIsThereTwice(t *testing.T) {
	w := newWorld(t)
	w.bury("test", "1", 1<<20, row("a", "a"))
	w.bury("test", "1", 1<<20, row("a", "a"))
	w.must(deadletter.Summary{Replayed: 1, Already: 1})
	w.bury("test", "1", 1<<20, row("a", "a"))
	w.must(deadletter.Summary{Already: 3})
	w.check("a")
	w.bury("test", "2", 1<<20, row("a", "a")) // the same id and row in another transaction
	w.must(deadletter.Summary{Replayed: 1, Already: 3})
	w.check("a", "a")
}

// What was too large to be kept is read from its table, if it is there.
func TestReplayReadsLargeRowsFromTheTable(t *testing.T) {
	w := newWorld(t)
	large := strings.Repeat("x", 2000)
	w.bury("test", "1", 1000, row("there", large), row("gone", large), row("changed", large), row("small", "small"), [][]byte{nil, []byte("order"), nil, []byte(large)})
	w.table["there"] = row("there", large)
	w.table["changed"] = row("changed", "smaller")
	told := w.must(deadletter.Summary{Replayed: 3, Gone: 2})
	w.check(large, "smaller", "small")
	for i, want := range map[int]deadletter.Outcome{
		0: {What: deadletter.Gone, ID: "gone"}, 1: {What: deadletter.Replayed, ID: "there"}, 2: {What: deadletter.Replayed, ID: "changed", Changed: true},
		3: {What: deadletter.Replayed, ID: "small"}, 4: {What: deadletter.Gone},
	} {
		if got := told[i]; got.What != want.What || got.ID != want.ID || got.Changed != want.Changed {
			t.Errorf("told %+v, want %+v", got, want)
		}
	}
	w.must(deadletter.Summary{Already: 3, Gone: 2})
}

// A mapping that wants a column which was not mapped then finds it in the table.
func TestReplayWithAnotherMapping(t *testing.T) {
	w := newWorld(t)
	w.bury("test", "1", 1<<20, row("a", "a"), row("b", "b"))
	m, err := mapping.New(mapping.Config{Source: connect.Postgres, Tables: []mapping.Table{{Name: "outbox", AggregateType: "kind"}}})
	if err != nil {
		t.Fatal(err)
	}
	w.change = func(c *deadletter.Config) { c.Wanted, c.Optional = m.Columns, m.Optional }
	w.table["a"] = row("a", "from the table")
	w.must(deadletter.Summary{Replayed: 1, Gone: 1})
	w.check("from the table")
	w.change = func(c *deadletter.Config) { c.Tables = []string{"public.outbox"} }
	if told := w.must(deadletter.Summary{Already: 1, Stays: 1}); !strings.Contains(told[0].Reason, "configured") {
		t.Errorf("%+v", told)
	}
}

func TestReplayOfChosenLetters(t *testing.T) {
	w := newWorld(t)
	list, _ := values(0, 5)
	w.bury("test", "1", 1<<20, list...)
	w.change = func(c *deadletter.Config) { c.IDs = []string{"3", "1", "9"} }
	w.must(deadletter.Summary{Replayed: 2, Unknown: []string{"9"}})
	w.check("v1", "v3")
	w.must(deadletter.Summary{Already: 2, Unknown: []string{"9"}})
	w.change = func(c *deadletter.Config) { c.DryRun = true }
	before := len(outboxtest.NewTopic(w.br, topic).Records())
	w.must(deadletter.Summary{Replayed: 3, Already: 2})
	w.check("v1", "v3")
	if after := len(outboxtest.NewTopic(w.br, topic).Records()); after != before {
		t.Errorf("a dry run wrote %d records", after-before)
	}
	w.change = nil
	w.must(deadletter.Summary{Replayed: 3, Already: 2})
}

// Records that are no letters of this version stay where they are.
func TestReplayOfForeignRecords(t *testing.T) {
	w := newWorld(t)
	c := outboxtest.NewClient(w.br, "checkpoint")
	c.AtLeastOnce = true
	newer, err := json.Marshal(deadletter.Letter{Version: 2, Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	m := outbox.Messages{List: []outbox.Message{
		{Topic: topic, Key: []byte("k"), Value: []byte("no JSON")}, {Topic: topic, Key: []byte("new"), Value: newer}, {Topic: topic, Key: []byte("tombstone")},
	}}
	if err := c.Produce(context.Background(), &m); err != nil {
		t.Fatal(err)
	}
	told := w.must(deadletter.Summary{Stays: 3})
	if !strings.Contains(told[0].Reason, "no dead letter") || !strings.Contains(told[1].Reason, "newer tailer (version 2") {
		t.Errorf("%+v", told)
	}
}

// Wherever a replay fails, the next one publishes what is not published, and
// nothing twice.
func TestReplayThroughFaults(t *testing.T) {
	for _, call := range []outboxtest.Call{outboxtest.Fence, outboxtest.Join, outboxtest.Produce, outboxtest.Commit} {
		for n := 1; n <= 3; n++ {
			for _, done := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d/done=%t", call, n, done), func(t *testing.T) {
					w := newWorld(t)
					list, payloads := values(0, 8)
					w.bury("test", "1", 1<<20, list...)
					w.br.Inject(outboxtest.Fault{Call: call, N: n, Done: done})
					sum, told, err := w.replay()
					if (call != outboxtest.Fence || n == 1) && !errors.Is(err, outboxtest.ErrFault) {
						t.Fatalf("the fault went unnoticed: %v", err)
					}
					if len(told) != sum.Replayed || err != nil && sum.Replayed > 3*(n-1) {
						t.Errorf("told %d, %+v", len(told), sum)
					}
					w.br.Inject()
					if sum, _, err = w.replay(); err != nil || sum.Replayed+sum.Already != 8 {
						t.Fatalf("%+v, %v", sum, err)
					}
					w.check(payloads...)
				})
			}
		}
	}
}

// A mark that stands behind somebody's open transaction is waited for: it may say
// that what is read is replayed already.
func TestReplayWaitsForOpenTransactions(t *testing.T) {
	w := newWorld(t)
	w.bury("test", "1", 1<<20, row("a", "a"))
	late := &lateTopic{Topic: outboxtest.NewTopic(w.br, topic)}
	w.must(deadletter.Summary{Replayed: 1})
	w.change = func(c *deadletter.Config) { c.Letters = late }
	w.must(deadletter.Summary{Already: 1})
	w.check("a")
	if late.asked < 3 {
		t.Errorf("asked %d times", late.asked)
	}
}

// lateTopic hides the last record until it was asked a few times.
type lateTopic struct {
	*outboxtest.Topic
	asked int
}

func (l *lateTopic) Span(ctx context.Context, since time.Time) (start, end, hidden int64, err error) {
	start, end, hidden, err = l.Topic.Span(ctx, since)
	if l.asked++; l.asked <= 2 {
		end, hidden = end-1, hidden+1
	}
	return start, end, hidden, err
}

// The JSON of a letter is what docs/operations.md says.
func TestLetterAsJSON(t *testing.T) {
	w := newWorld(t)
	w.bury("test", "7", 1<<20, row("i<d>\u2028", "p"), [][]byte{[]byte("\xff"), nil, []byte("k"), []byte("\xfe\xff")})
	w.bury("test", "8", 500, [][]byte{[]byte("\xff"), nil, []byte(strings.Repeat("k", 1000)), nil})
	for i, want := range []string{
		`{"version":1,"name":"test","source":{"kind":"postgres","identity":"sys/db"},"table":"outbox","id":"i<d>\u2028","position":"0/7","transaction":"7","ordinal":1,"committed":"1970-01-01T00:16:40Z","reason":"too <large>","time":TIME,"tailer":"1","length":19,"sha256":"f3c7","columns":{"id":"i<d>\u2028","aggregatetype":"order","aggregateid":"key","payload":"\\x70"},"shape":[`,
		`,"columns":{"id":{"base64":"/w=="},"aggregatetype":null,"aggregateid":"k","payload":{"base64":"/v8="}},"shape":[`,
		`,"length":1001,"sha256":`,
	} {
		rec := outboxtest.NewTopic(w.br, topic).Records()[i]
		var l struct{ Time, SHA256 string }
		if err := json.Unmarshal(rec.Value, &l); err != nil {
			t.Fatal(err)
		}
		got := bytes.Replace(rec.Value, []byte(`"time":"`+l.Time+`"`), []byte(`"time":TIME`), 1)
		got = bytes.Replace(got, []byte(l.SHA256), []byte("f3c7"), 1)
		if want = strings.Replace(want, `"sha256":"f3c7"`, `"sha256":"f3c7"`, 1); !strings.Contains(string(got), want) {
			t.Errorf("got\n %s, want in it\n %s", got, want)
		}
		if i == 2 && (!strings.HasSuffix(string(got), `,"row_id":{"id":{"base64":"/w=="}}}`) || strings.Contains(string(got), "columns") || string(rec.Key) != "0xff") {
			t.Errorf("key %q, value %s", rec.Key, got)
		}
	}
}

// The id by which a large row is looked up must be the id that the table has today.
func TestReplayOfALargeRowWithAnotherIDColumn(t *testing.T) {
	w := newWorld(t)
	w.bury("test", "1", 1000, row("a", strings.Repeat("x", 2000)))
	w.table["a"] = row("a", "x")
	m, err := mapping.New(mapping.Config{Source: connect.Postgres, Tables: []mapping.Table{{Name: "outbox", ID: "event_id"}}})
	if err != nil {
		t.Fatal(err)
	}
	w.change = func(c *deadletter.Config) { c.Wanted, c.Optional = m.Columns, m.Optional }
	if told := w.must(deadletter.Summary{Stays: 1}); w.asked != 0 || !strings.Contains(told[0].Reason, `column "id"`) {
		t.Errorf("%+v, asked %d times", told, w.asked)
	}
}

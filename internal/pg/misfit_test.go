package pg

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailer-io/tailer/internal/outbox"
)

// What does not fit a table that is there, word by word: the tests with a server
// prove that the facts are as they are taken to be here.
func TestMisfits(t *testing.T) {
	table := Table{Schema: "public", Name: "outbox", Columns: []string{"id", "payload"}, CleanupColumn: "created_at"}
	facts := func(change func(*tableFacts)) *tableFacts {
		f := &tableFacts{oid: "1", kind: "r", persistence: "p", columns: []string{"id", "payload", "created_at"}, key: []string{"id"},
			details: map[string]columnFacts{"id": {typ: "int8"}, "payload": {typ: "jsonb"}, "created_at": {typ: "timestamptz"}}}
		if change != nil {
			change(f)
		}
		return f
	}
	ofType := func(column, typ string) *tableFacts {
		return facts(func(f *tableFacts) { f.details[column] = columnFacts{typ: typ} })
	}
	s := New(Config{Tables: []Table{table}, Cleanup: true, CleanupAfter: time.Hour}, nil)
	cleanup := func(f *tableFacts) error { return s.cleanable(table, f) }
	from := func(id string, f *tableFacts) error { return (&chosenRows{outbox.Filter{From: id}}).fits(table, f) }
	judge := func(f *tableFacts) error { return f.judge(table, 15, false) }
	ordered := func(column string) error {
		ordered := table
		ordered.SnapshotOrder = column
		return New(Config{Tables: []Table{ordered}}, nil).fits(0, facts(nil))
	}
	const instead = "; name the rows by a condition: --where \"created_at >= '...'\""
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"no table", judge(facts(func(f *tableFacts) { f.oid = "" })),
			"--outbox-table: table public.outbox does not exist; create it, or name another table"},
		{"a view", judge(facts(func(f *tableFacts) { f.kind = "v" })), "--outbox-table: public.outbox is no table but a view; name a table"},
		{"a sequence", judge(facts(func(f *tableFacts) { f.kind = "S" })), "--outbox-table: public.outbox is no table but a sequence; name a table"},
		{"no column", judge(facts(func(f *tableFacts) { f.columns = []string{"id", "body"} })),
			`--outbox-table: table public.outbox has no column "payload"; it has id, body; add the column, or map another one`},
		{"a generated column", judge(facts(func(f *tableFacts) { f.generated = []string{"payload"} })),
			`--outbox-table: column "payload" of table public.outbox is generated: before PostgreSQL 18 the log does not bring it; map a column that is stored`},
		{"order of a snapshot", ordered("occurred"), `--snapshot-order-by: table public.outbox has no column "occurred"; it has id, payload, created_at`},

		{"clean-up without a key", cleanup(facts(func(f *tableFacts) { f.key = nil })),
			`--cleanup: table public.outbox has no primary key; ALTER TABLE "public"."outbox" ADD PRIMARY KEY (...)`},
		{"clean-up without its column", cleanup(facts(func(f *tableFacts) { f.columns = []string{"id", "payload"} })),
			`--cleanup-column: table public.outbox has no column "created_at"; it has id, payload`},
		{"clean-up by a text", cleanup(ofType("created_at", "text")),
			`--cleanup-column: column "created_at" of table public.outbox is of type text; allowed are timestamptz, timestamp, and bigint for milliseconds since 1970`},

		{"newest without a key", (&newestRows{}).fits(table, facts(func(f *tableFacts) { f.key = nil })),
			"--order-by: is required: table public.outbox has no primary key"},
		{"newest by no column", (&newestRows{orderBy: "at"}).fits(table, facts(nil)),
			`--order-by: table public.outbox has no column "at"; it has id, payload, created_at`},
		{"chosen of two columns", from("1", facts(func(f *tableFacts) { f.key = []string{"id", "n"} })),
			"--from-id: table public.outbox has no primary key of one column" + instead},
		{"chosen from no number", from("one", facts(nil)), `--from-id: "one" is no number, and column "id" of table public.outbox is`},
		{"chosen from a random UUID", from("5f0c4c66-0f3e-4f0e-9d0a-111111111111", ofType("id", "uuid")),
			`--from-id: "5f0c4c66-0f3e-4f0e-9d0a-111111111111" is no UUID of version 7: others have no order in time` + instead},
		{"chosen from a text", from("a", ofType("id", "text")),
			`--from-id: column "id" of table public.outbox is text, whose order need not be one in time` + instead},
		{"chosen by no condition", s.chosenError("look at the condition", table, &pgconn.PgError{Code: "42703", Message: `column "x" does not exist`}),
			`--where: is no condition that can be asked of table public.outbox: column "x" does not exist; ` +
				"it is one SQL expression, without a semicolon; functions outside of pg_catalog need their schema's name, and times without a zone are UTC"},

		{"until", s.Until(t.Context(), "soon"), `--until: "soon" is no position; allowed are now, or an LSN such as 0/16B3748`},
	} {
		if c.err == nil || c.err.Error() != c.want {
			t.Errorf("%s: got\n %v, want\n %s", c.name, c.err, c.want)
		}
	}
}

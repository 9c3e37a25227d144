package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

func TestSeveralOutboxTablesKeepTheOrderAcrossThem(t *testing.T) {
	t.Parallel()
	c := harness.New(t, source(t))
	sales, plainSales := c.DB.Schema(t, "sales")
	odd, plainOdd := c.DB.Schema(t, "Odd Schema")
	tables := []string{sales + ".outbox", odd + by(`."Out Box"`, ".`Out Box`"), c.DB.Outbox()}
	for _, table := range tables {
		c.DB.CreateOutbox(t, table)
	}
	l := (&harness.Load{Seed: harness.Seed(t), Tables: tables, Aggregates: 50, Types: 2, Writers: 4, Rows: 5000}).Prepare(c)
	r := c.Follow(l.Topics()...)
	p := c.Start("--outbox-table="+plainSales+".outbox", "--outbox-table="+plainOdd+".Out Box", "--outbox-table="+c.DB.Outbox())
	c.Sample()
	l.Must(t)
	want := l.Want()
	c.Arrived(r, len(want), 30*time.Second)
	for _, table := range []string{plainSales + ".outbox", plainOdd + ".Out Box", c.DB.Outbox()} {
		if n := p.Metric("events_published_total", "table="+table); !(n > 0) {
			t.Errorf("events_published_total of %s is %v", table, n)
		}
	}
	p.Stop()
	c.Check(want, check.ExactlyOnce)
}

func TestAPartitionedOutboxTableIsOneTable(t *testing.T) {
	t.Parallel()
	c := harness.New(t, source(t))
	c.DB.Exec(t, `CREATE TABLE outbox (id varchar(64), aggregatetype varchar(255) NOT NULL, aggregateid varchar(255) NOT NULL,
			type varchar(255) NOT NULL, payload text, PRIMARY KEY (id)) PARTITION BY `+by(`HASH (id);
		CREATE TABLE outbox_0 PARTITION OF outbox FOR VALUES WITH (MODULUS 2, REMAINDER 0);
		CREATE TABLE outbox_1 (payload text, type varchar(255) NOT NULL, id varchar(64) NOT NULL,
			aggregateid varchar(255) NOT NULL, aggregatetype varchar(255) NOT NULL);
		ALTER TABLE outbox ATTACH PARTITION outbox_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1)`, "KEY (id) PARTITIONS 2"))
	l := (&harness.Load{Seed: harness.Seed(t), Aggregates: 50, Types: 2, Writers: 4, Rows: 1000, Keep: true}).Prepare(c)
	l.Must(t) // For the snapshot.
	r := c.Follow(l.Topics()...)
	p := c.Start()
	c.Sample()
	l.Keep, l.Rows = false, 4000
	l.Must(t)
	want := l.Want()
	c.Arrived(r, len(want), 30*time.Second)
	p.Stop()
	c.Check(want, check.ExactlyOnce)
}

// Columns are known by name. Each change is made both while tailer runs and while it is down, between rows.
func TestChangesOfTheTableAreFollowed(t *testing.T) {
	t.Parallel()
	type change struct{ name, sql string }
	changes := append([]change{
		{"a column added", "ALTER TABLE outbox ADD COLUMN note text"},
		{"a column added with a default", "ALTER TABLE outbox ADD COLUMN amount int NOT NULL DEFAULT 7"},
	}, by([]change{
		{"a mapped column dropped and added again, so that it stands last",
			"ALTER TABLE outbox DROP COLUMN payload, ADD COLUMN payload text"},
		{"an unmapped column dropped", "ALTER TABLE outbox DROP COLUMN note"},
		{"a mapped column retyped", "ALTER TABLE outbox ALTER COLUMN payload TYPE varchar(1000)"},
	}, []change{
		{"a mapped column dropped, and added again so that it stands last",
			"ALTER TABLE outbox DROP COLUMN payload; ALTER TABLE outbox ADD COLUMN payload text"},
		{"an unmapped column renamed", "ALTER TABLE outbox RENAME COLUMN note TO remark"},
		{"a column added at once, in front", "ALTER TABLE outbox ADD COLUMN leader varchar(20) FIRST, ALGORITHM=INSTANT"},
		{"columns in another order", "ALTER TABLE outbox MODIFY COLUMN payload longtext FIRST, MODIFY COLUMN aggregateid varchar(255) NOT NULL AFTER type"},
		{"an unmapped column dropped at once", "ALTER TABLE outbox DROP COLUMN remark, ALGORITHM=INSTANT"},
		{"a mapped column retyped", "ALTER TABLE outbox MODIFY COLUMN payload varchar(1000)"},
		{"the table dropped and made again in another form", `DROP TABLE outbox; CREATE TABLE outbox (type varchar(255), payload mediumtext,
			aggregateid varchar(255), id varchar(64) PRIMARY KEY, aggregatetype varchar(255)) ENGINE=InnoDB`},
		{"the table swapped for a copy, as tools for changes without a lock do it", `CREATE TABLE _outbox_gho LIKE outbox;
			ALTER TABLE _outbox_gho ADD COLUMN shape int FIRST;
			INSERT INTO _outbox_gho (id, aggregatetype, aggregateid, type, payload) SELECT id, aggregatetype, aggregateid, type, payload FROM outbox;
			RENAME TABLE outbox TO _outbox_del, _outbox_gho TO outbox`},
	})...)
	for _, down := range []bool{false, true} {
		t.Run(fmt.Sprintf("down=%t", down), func(t *testing.T) {
			t.Parallel()
			c := world(t, source(t))
			book := c.Ledger()
			r := c.Follow(harness.Topic(c.Type))
			p := c.Start()
			for _, change := range changes {
				if down {
					p.Stop()
				}
				book.Insert("a", "before "+change.name)
				c.DB.Exec(t, change.sql)
				book.Insert("a", "after "+change.name)
				if kind() == "postgres" {
					changeInside(t, c, book, change.name)
				}
				if down {
					p = c.Start()
				}
				c.Arrived(r, book.Len(), 20*time.Second)
			}
			p.Stop()
			c.Check(book.Want(), check.ExactlyOnce)
		})
	}
}

// changeInside changes the table in a transaction that has rows on both sides of the change.
func changeInside(t *testing.T, c *harness.Case, book *harness.Ledger, name string) {
	t.Helper()
	tx, err := c.DB.SQL().Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() // Does nothing behind a commit.
	for i, s := range []string{
		"INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload) VALUES ($1, $2, 'a', 'Changed', 'x')",
		"ALTER TABLE outbox ADD COLUMN passing int",
		"INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, passing) VALUES ($1, $2, 'a', 'Changed', 'y', 1)",
		"ALTER TABLE outbox DROP COLUMN passing",
	} {
		var args []any
		if i%2 == 0 {
			args = []any{fmt.Sprint(name, i), c.Type}
			book.Expect(fmt.Sprint(name, i), c.Type, "a", []string{"x", "", "y"}[i])
		}
		if _, err := tx.Exec(s, args...); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// What cannot be followed is refused: while running within one turn of the watch, and at the next start again.
func TestWhatWouldHideRowsIsRefused(t *testing.T) {
	t.Parallel()
	type change struct {
		name  string
		sql   string // $PUB stands for the publication
		words []string
		start int // status that the next start must have; 0 allows 2 and 3
	}
	cases := by([]change{
		{"a mapped column dropped", "ALTER TABLE outbox DROP COLUMN aggregateid CASCADE", []string{"aggregateid"}, 0},
		{"the table removed from the publication", "ALTER PUBLICATION $PUB DROP TABLE outbox",
			[]string{"ALTER PUBLICATION", "outbox", aPosition}, 3},
		{"a row filter added", "ALTER PUBLICATION $PUB SET TABLE outbox WHERE (aggregateid <> 'a')",
			[]string{"ALTER PUBLICATION", "outbox"}, 3},
		{"a mapped column left out of the publication", "ALTER PUBLICATION $PUB SET TABLE outbox (id, aggregatetype, aggregateid, type)",
			[]string{"ALTER PUBLICATION", "payload"}, 3},
		{"inserts no longer published", "ALTER PUBLICATION $PUB SET (publish = 'update')", []string{"ALTER PUBLICATION"}, 3},
		{"the publication dropped", "DROP PUBLICATION $PUB", []string{"PUBLICATION"}, 3},
	}, []change{
		{"a mapped column dropped", "ALTER TABLE outbox DROP COLUMN aggregateid", []string{"aggregateid"}, 0},
		{"a mapped column renamed", "ALTER TABLE outbox RENAME COLUMN payload TO body", []string{"payload", "body"}, 0},
		{"the table dropped", "DROP TABLE outbox", []string{"outbox", aPosition}, 0},
		{"the table renamed", "RENAME TABLE outbox TO outbox_away", []string{"outbox", aPosition}, 0},
		{"an engine that rolls nothing back", "ALTER TABLE outbox ENGINE=MyISAM", []string{"MyISAM", "ENGINE=InnoDB"}, 3},
		{"a mapped column in another character set", "ALTER TABLE outbox MODIFY COLUMN payload text CHARACTER SET latin1",
			[]string{"latin1", "payload", "utf8mb4"}, 3},
	})
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			c := world(t, source(t))
			book := c.Ledger()
			r := c.Follow(harness.Topic(c.Type))
			p := c.Start()
			book.Insert("a", "before")
			c.Arrived(r, 1, 20*time.Second)

			c.DB.Exec(t, strings.ReplaceAll(k.sql, "$PUB", harness.Slot(c.ID)))
			p.Want(3, 20*time.Second)
			holds(t, "the refusal", p.Stderr(), k.words...)
			again := c.Run()
			code := again.Exit(20 * time.Second)
			if code != 3 && (code != 2 || k.start == 3) {
				t.Errorf("the next start ended with status %d\n%s", code, again.Stderr())
			}
			holds(t, "the next start", again.Stderr(), k.words[0])
			c.Check(book.Want(), check.ExactlyOnce)
		})
	}
}

// An unlogged table, and one whose rows are logged although the transaction is rolled back.
func TestATableThatIsLoggedOtherwiseIsNotStartedWith(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	c.DB.Exec(t, by("ALTER TABLE outbox SET UNLOGGED", "ALTER TABLE outbox ENGINE=MyISAM"))
	p := c.Run()
	if code := p.Exit(20 * time.Second); code != 2 && code != 3 {
		t.Errorf("status %d\n%s", code, p.Stderr())
	}
	holds(t, "the error", p.Stderr(), append(by([]string{"UNLOGGED", "SET LOGGED"}, []string{"MyISAM", "ENGINE=InnoDB"}), "outbox")...)
}

func TestATableThatDoesNotFitIsStatus2(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]struct{ sql, word string }{
		"no table":         {"SELECT 1", "outbox"},
		"no payload":       {"CREATE TABLE outbox (id varchar(64) PRIMARY KEY, aggregatetype text, aggregateid text, type text)", "payload"},
		"no aggregatetype": {"CREATE TABLE outbox (id varchar(64) PRIMARY KEY, aggregateid text, type text, payload text)", "aggregatetype"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := harness.New(t, source(t))
			c.DB.Exec(t, k.sql)
			p := c.Run()
			p.Want(2, 20*time.Second)
			holds(t, "the error", p.Stderr(), k.word)
		})
	}
}

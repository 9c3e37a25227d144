package e2e

import (
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// Tables are changed, swapped for copies and swapped back while writers write: each row is read by the columns that
// the table had then.
func TestTheTableChangesUnderLoad(t *testing.T) {
	t.Parallel()
	c, db := binlog(t)
	db.CreateOutbox(t, db.Outbox())
	l := (&harness.Load{Seed: harness.Seed(t), Aggregates: 100, Types: 2, Writers: 4, Rows: 1 << 30, Largest: 300,
		Pause: time.Millisecond}).Prepare(c)
	r := c.Follow(l.Topics()...)
	p := c.Start()
	wait := l.Go()
	for range harness.Either(10, 2) {
		for _, s := range []string{
			"ALTER TABLE outbox ADD COLUMN passing varchar(255) DEFAULT 'passing' FIRST, ALGORITHM=INSTANT",
			"ALTER TABLE outbox MODIFY COLUMN payload longtext AFTER passing, MODIFY COLUMN type varchar(255) FIRST",
			"ALTER TABLE outbox RENAME COLUMN passing TO passed",
			"ALTER TABLE outbox DROP COLUMN passed, ALGORITHM=INSTANT",
			// The way of tools that change a copy and swap it in; what is copied is not inserted anew.
			`CREATE TABLE _outbox_gho LIKE outbox; ALTER TABLE _outbox_gho ADD COLUMN shape int FIRST;
			INSERT INTO _outbox_gho (id, aggregatetype, aggregateid, type, payload) SELECT id, aggregatetype, aggregateid, type, payload FROM outbox`,
			"RENAME TABLE outbox TO _outbox_del, _outbox_gho TO outbox",
			"DROP TABLE _outbox_del; ALTER TABLE outbox DROP COLUMN shape",
		} {
			c.Arrived(r, r.IDs()+50, 30*time.Second)
			db.Exec(t, s)
		}
	}
	wait(true)
	want := l.Want()
	c.Arrived(r, len(want), 60*time.Second)
	p.Stop()
	c.Check(want, check.ExactlyOnce)
}

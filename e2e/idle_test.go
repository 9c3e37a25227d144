package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// While the outbox is idle and another table is busy, the confirmed position keeps up: else the server could
// throw away none of its log. Not parallel: other tests' log would count against it.
func TestAnIdleOutboxHoldsBackNoLog(t *testing.T) {
	c, db := postgres(t)
	db.CreateOutbox(t, db.Outbox())
	db.Exec(t, "CREATE TABLE elsewhere (id bigserial, filler text)")
	book := c.Ledger()
	r := c.Follow(harness.Topic(c.Type))
	p := c.Start()
	c.Sample()
	book.Insert("a", "once")
	c.Arrived(r, 1, 20*time.Second)

	const mib = 1 << 20
	total := harness.Either(200, 50) * mib
	during := harness.Either(60*time.Second, 15*time.Second)
	lag := func() int64 {
		var n int64
		if err := db.SQL().QueryRow(`SELECT pg_current_wal_lsn() - confirmed_flush_lsn FROM pg_replication_slots
			WHERE slot_name = $1`, harness.Slot(c.ID)).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}

	// Transactions of somewhat less than 1 MiB of log, spread evenly.
	const row, rows = 8000, 110
	begin, written, worst := time.Now(), 0, int64(0)
	start := db.Text(t, "SELECT pg_current_wal_lsn()")
	for written < total {
		// The filler must not compress, or it would be a few bytes in the log.
		db.Exec(t, fmt.Sprintf(`INSERT INTO elsewhere (filler) SELECT (SELECT string_agg(md5(random()::text || i || j), '')
			FROM generate_series(1, %d) j) FROM generate_series(1, %d) i`, row/32, rows))
		worst = max(worst, lag())
		n := db.Text(t, "SELECT (pg_current_wal_lsn() - $1::pg_lsn)::bigint", start)
		fmt.Sscan(n, &written)
		due := begin.Add(time.Duration(float64(during) * float64(written) / float64(total)))
		for time.Now().Before(due) {
			time.Sleep(min(time.Until(due)+time.Millisecond, 200*time.Millisecond)) // The pace of the load.
			worst = max(worst, lag())
		}
	}
	t.Logf("%d MiB of log in %v; confirmed was behind by at most %.1f MiB", written/mib,
		time.Since(begin).Round(time.Second), float64(worst)/mib)
	if worst >= 16*mib {
		t.Errorf("the confirmed position was %.1f MiB behind, wanted less than 16", float64(worst)/mib)
	}

	db.Exec(t, "CHECKPOINT")
	c.Wait("the server may throw its log away", 30*time.Second, func() (bool, string) {
		n := db.Text(t, `SELECT (pg_current_wal_lsn() - restart_lsn)::bigint FROM pg_replication_slots WHERE slot_name = $1`,
			harness.Slot(c.ID))
		var retained int64
		fmt.Sscan(n, &retained)
		return retained < 32*mib, n + " bytes retained"
	})
	if s := p.Metric("source_lag_seconds"); s != 0 {
		c.Wait("source_lag_seconds is 0", 15*time.Second, func() (bool, string) {
			s := p.Metric("source_lag_seconds")
			return s == 0, fmt.Sprint(s)
		})
	}
	book.Insert("a", "again")
	c.Arrived(r, 2, 20*time.Second)
	p.Stop()
	c.Check(book.Want(), check.ExactlyOnce)
}

// A transaction far larger than memory is cut into batches; the process stays small.
func TestMemoryIsBoundedWhateverTheTransaction(t *testing.T) {
	c := world(t, source(t))
	rows := harness.Either(1_000_000, 200_000)
	c.Kafka.Create(t, harness.Topic(c.Type), 4)
	r := c.Follow(harness.Topic(c.Type))
	p := c.Start()
	c.Sample()
	begin := time.Now()
	c.DB.Fill(t, c.Type, rows, 1000, 6)
	inserted := time.Since(begin)
	c.Arrived(r, rows, harness.Either(120*time.Second, 60*time.Second))
	peak := p.PeakRSS()
	t.Logf("%d rows inserted in %v, arrived after %v, at most %.1f MiB resident, %.1f of a file now", rows, inserted.Round(time.Millisecond),
		time.Since(begin).Round(time.Millisecond), float64(peak)/(1<<20), float64(p.FileRSS())/(1<<20))
	if peak > promised {
		t.Errorf("%d bytes were resident, wanted at most %d", peak, promised)
	}
	p.Stop()
	c.Check(inOrderOfID(t, c.DB, c.Type, rows), check.ExactlyOnce)
}

// inOrderOfID is the list of a table that was filled by one statement in the order of its ids.
func inOrderOfID(t *testing.T, db harness.Database, aggregateType string, size int) []check.Want {
	t.Helper()
	rows, err := db.SQL().Query("SELECT id, aggregateid, payload FROM outbox ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	want := make([]check.Want, 0, size)
	for rows.Next() {
		w := check.Want{Topic: harness.Topic(aggregateType), Seq: int64(len(want) + 1)}
		if err := rows.Scan(&w.ID, &w.Key, &w.Value); err != nil {
			t.Fatal(err)
		}
		want = append(want, w)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return want
}

// A cut transaction is the hardest thing to resume: the checkpoint stands inside of it.
func TestKill9InsideOfALargeTransactionLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	kill9Inside(t, source(t))
}

func kill9Inside(t *testing.T, server harness.Server) {
	c := world(t, server)
	rows := harness.Either(500_000, 150_000)
	c.Kafka.Create(t, harness.Topic(c.Type), 3)
	r := c.Follow(harness.Topic(c.Type))
	p := c.Start()
	c.Sample()
	c.DB.Fill(t, c.Type, rows, 100, 1)
	for i := range harness.Either(10, 4) {
		c.Wait("some of the transaction arrives", 30*time.Second, func() (bool, string) {
			n := r.IDs()
			return n > i*rows/20, fmt.Sprint(n)
		})
		p.Kill()
		p = c.Run()
	}
	c.Arrived(r, rows, 60*time.Second)
	p.Stop()
	c.Check(inOrderOfID(t, c.DB, c.Type, rows), check.ExactlyOnce)
}

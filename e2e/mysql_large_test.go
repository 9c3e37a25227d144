package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// The whole log passes by tailer, whatever it is about: a large transaction of another table takes no memory, however
// it is written. Not parallel: on a server of all tests every reader would have it.
func TestALargeTransactionOfAnotherTableTakesNoMemory(t *testing.T) {
	if kind() == "postgres" {
		t.Skip("E2E_SOURCE is postgres")
	}
	megabytes := harness.Either(1000, 100)
	for name, how := range map[string]struct {
		session string   // to be said before the transaction
		server  []string // or the server's settings
	}{
		"plain": {"DO 0", nil},
		"compressed": map[string]struct {
			session string
			server  []string
		}{
			"mysql":   {"SET SESSION binlog_transaction_compression = ON", nil},
			"mariadb": {"DO 0", []string{"--log-bin-compress=ON"}},
		}[kind()],
	} {
		t.Run(name, func(t *testing.T) {
			server := source(t)
			if how.server != nil {
				server = harness.MySQLAt(t, newOwnMySQL(t, kind(), 1, how.server...).url())
			}
			c := world(t, server)
			c.DB.Exec(t, "CREATE TABLE elsewhere (id int AUTO_INCREMENT PRIMARY KEY, filler longtext)")
			c.DB.Exec(t, "CREATE TABLE digits (n int PRIMARY KEY)")
			c.DB.Exec(t, "INSERT INTO digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)")
			book := c.Ledger()
			r := c.Follow(harness.Topic(c.Type))
			p := c.Start()
			book.Insert("a", "before")
			before := logSize(t, c.DB.SQL())
			do := session(t, connection(t, c.DB))
			do(how.session, "BEGIN", outboxRow(c, "INSERT", "first"))
			for i := range megabytes { // 10,000 bytes a row
				do(fmt.Sprintf("INSERT INTO elsewhere (filler) SELECT repeat(concat(a.n, b.n, %05d, '-number '), 667) FROM digits a, digits b", i))
			}
			do(outboxRow(c, "INSERT", "last"), "COMMIT")
			book.Expect("first", c.Type, "a", "of first")
			book.Expect("last", c.Type, "a", "of last")
			book.Insert("a", "after")
			c.Arrived(r, book.Len(), 2*time.Minute)
			peak, logged, bound := p.PeakRSS(), logSize(t, c.DB.SQL())-before, int64(promised)
			t.Logf("beside %.1f MiB of log at most %.1f MiB were resident", float64(logged)/(1<<20), float64(peak)/(1<<20))
			if name == "compressed" {
				bound += 2 * logged // MySQL sends it in one piece
				if logged > int64(megabytes)<<20/4 {
					t.Errorf("%d bytes of log are not compressed", logged)
				}
			}
			if peak > bound {
				t.Errorf("%d bytes were resident, wanted at most %d", peak, bound)
			}
			p.Stop()
			c.Check(book.Want(), check.ExactlyOnce)
		})
	}
}

package e2e

import (
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// sparse is a server whose log says as little as it may: no names of columns, and in MySQL no GTIDs, so that positions
// are places in files. The files are small: the load goes through many of them.
func sparse(t *testing.T) *ownMySQL {
	t.Helper()
	switch kind() {
	case "mysql":
		return newOwnMySQL(t, kind(), 1, "--gtid-mode=OFF", "--enforce-gtid-consistency=OFF", "--binlog-row-metadata=MINIMAL", "--max-binlog-size=1M")
	case "mariadb":
		return newOwnMySQL(t, kind(), 1, "--binlog-row-metadata=NO_LOG", "--max-binlog-size=1M")
	}
	t.Skip("E2E_SOURCE is postgres")
	return nil
}

// The core cases with nothing in the log but what must be.
func TestASparseLogLosesDoublesAndReordersNothing(t *testing.T) {
	t.Parallel()
	server := harness.MySQLAt(t, sparse(t).url())
	cases := core
	if !harness.Full() {
		cases = cases[:0:0]
		for _, k := range core {
			if k.name == "Kill9" || k.name == "FirstStart" {
				cases = append(cases, k)
			}
		}
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			k.run(t, server)
		})
	}
	t.Run("Kill9Inside", func(t *testing.T) {
		t.Parallel()
		kill9Inside(t, server)
	})
}

// Places in files hold over restarts of the server, which begins another file; what is purged and was not published is
// a gap, and a log begun anew is another one, although its files have the same names.
func TestASparseLogOverRestartsPurgesAndAReset(t *testing.T) {
	t.Parallel()
	server := sparse(t)
	c := world(t, harness.MySQLAt(t, server.url()))
	c.DB.SQL().SetMaxIdleConns(0) // none that a restart would break
	r := c.Follow(harness.Topic(c.Type))
	book := c.Ledger()
	p := c.Start()
	insert := func(n int) {
		for range n {
			book.Insert("a", "x")
		}
	}
	for range 2 {
		insert(5)
		c.Arrived(r, book.Len(), 30*time.Second)
		server.kill()
		server.start()
		insert(5)
	}
	c.Arrived(r, book.Len(), 30*time.Second)
	p.Kill()
	insert(5) // in a file that is not the last
	server.kill()
	server.start()
	insert(5)
	resumes(t, c, book)

	// What is purged and was not published is a gap. What was published is no matter to GTIDs; a place in a file that is
	// gone cannot be found again.
	if kind() == "mariadb" {
		server.purge()
		resumes(t, c, book)
	}
	insert(1)
	server.purge()
	refuses(t, c, nil, "log", "gone", "tailer checkpoint reset")
	c.Check(book.Want()[:book.Len()-1], check.ExactlyOnce) // nothing of the gap was published
	book.Forget(1)
	c.Do(0, "checkpoint set --now", flags(c)...)
	resumes(t, c, book)

	time.Sleep(1100 * time.Millisecond) // files and MariaDB's GTIDs note the second
	server.exec(map[string]string{"mysql": "RESET BINARY LOGS AND GTIDS", "mariadb": "RESET MASTER"}[kind()])
	if kind() == "mysql" {
		refuses(t, c, nil, "log", "gone", "tailer checkpoint reset") // the checkpoint's file
		for range 30 {
			server.exec("FLUSH BINARY LOGS") // and one of the same name
		}
	} else {
		refuses(t, c, nil, "published", "tailer checkpoint set --now")
	}
	insert(60)
	refuses(t, c, nil, "tailer checkpoint set --now")
	book.Forget(60)
	c.Check(book.Want(), check.ExactlyOnce)
}

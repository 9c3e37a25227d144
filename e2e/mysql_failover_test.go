package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// A replica that is promoted goes on where the primary stopped, under the same GTIDs: nothing is lost or doubled. One
// that lacks what was published is refused, whoever it is.
func TestAPromotedReplicaIsFollowedAndOneThatLacksRowsIsRefused(t *testing.T) {
	t.Parallel()
	if kind() == "postgres" {
		t.Skip("E2E_SOURCE is postgres")
	}
	primary, replica := newOwnMySQL(t, kind(), 1), newOwnMySQL(t, kind(), 2)
	replica.follow(primary)
	front := newAddress(t, primary)
	c := world(t, harness.MySQLAt(t, front.url(kind())))
	c.DB.SQL().SetMaxIdleConns(0) // none that a change of the server would break
	c.Kafka.Create(t, harness.Topic(c.Type), 2)
	r := c.Follow(harness.Topic(c.Type))
	book := c.Ledger()
	p := c.Start()
	insert := func(n int) {
		for range n {
			book.Insert(fmt.Sprint("k", book.Len()%5), "x")
		}
	}
	caughtUp := func() {
		c.Wait("the replica has what the primary has", 30*time.Second, func() (bool, string) {
			a, b := replica.end(), primary.end()
			return a == b, fmt.Sprint(a, " and ", b)
		})
	}
	insert(20)
	c.Arrived(r, book.Len(), 30*time.Second)
	caughtUp()

	// The replica falls behind what is published, and somebody leads us to it.
	replica.pause()
	insert(5)
	c.Arrived(r, book.Len(), 30*time.Second)
	front.point(replica)
	p.Want(3, 60*time.Second)
	holds(t, "the refusal", p.Stderr(), "lack", "published", aPosition, "tailer checkpoint set --now")
	refuses(t, c, nil, "lack", aPosition)
	front.point(primary)
	p = c.Start()
	insert(5)
	c.Arrived(r, book.Len(), 30*time.Second)
	replica.proceed()
	caughtUp()

	// The primary dies with rows that the replica has and nobody has published yet.
	p.Signal(sigstop)
	insert(30)
	caughtUp()
	primary.kill()
	replica.promote()
	front.point(replica)
	insert(10)
	p.Signal(sigcont)
	c.Arrived(r, book.Len(), 60*time.Second)
	if !p.Running() {
		t.Fatalf("tailer ended\n%s", p.Stderr())
	}
	p.Stop()
	for range 2 { // the second of these starts reads what the first one stored, of the new server
		p = c.Start()
		insert(3)
		c.Arrived(r, book.Len(), 30*time.Second)
		p.Stop()
	}
	c.Check(book.Want(), check.ExactlyOnce)
}

// A server that crashes and comes back is waited for. A checkpoint whose log was purged is a gap; one of a server that began its log anew is of another history, even if
// the same GTIDs are there again.
func TestACrashOfTheServerIsWaitedForAndALogGoneOrBegunAnewIsRefused(t *testing.T) {
	t.Parallel()
	if kind() == "postgres" {
		t.Skip("E2E_SOURCE is postgres")
	}
	server := newOwnMySQL(t, kind(), 1)
	c := world(t, harness.MySQLAt(t, server.url()))
	c.DB.SQL().SetMaxIdleConns(0) // none that a restart would break
	r := c.Follow(harness.Topic(c.Type))
	book := c.Ledger()
	p := c.Start()
	for n := range 3 {
		book.Insert("a", "before")
		c.Arrived(r, n+1, 30*time.Second)
		if n < 2 {
			server.kill()
			server.start()
		}
	}
	p.Stop()

	// What is purged and was published is no matter; what was not is a gap.
	server.purge()
	resumes(t, c, book)
	book.Insert("a", "in the gap")
	server.purge()
	refuses(t, c, nil, "log", "gone", aPosition, "tailer checkpoint reset")
	c.Check(book.Want()[:book.Len()-1], check.ExactlyOnce) // nothing of the gap was published
	book.Forget(1)
	c.Do(0, "checkpoint set --now", flags(c)...)
	resumes(t, c, book)

	time.Sleep(1100 * time.Millisecond) // MariaDB notes commit times in seconds
	server.exec(map[string]string{"mysql": "RESET BINARY LOGS AND GTIDS", "mariadb": "RESET MASTER"}[kind()])
	refuses(t, c, nil, "published", "tailer checkpoint set --now")
	for range 60 {
		book.Insert("b", "under a number of old")
	}
	refuses(t, c, nil, "published", "tailer checkpoint set --now")
	book.Forget(60)
	c.Check(book.Want(), check.ExactlyOnce)
}

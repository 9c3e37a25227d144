package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// writable says whether a server of the test's own takes writes from applications.
func (m *ownMySQL) writable(yes bool) {
	m.t.Helper()
	m.exec(fmt.Sprintf("SET GLOBAL read_only = %t", !yes))
}

func (m *ownMySQL) addr() string { return fmt.Sprintf("127.0.0.1:%d", m.port) }

// Several hosts in the URL: the one that can be written to is read. When it dies and another is promoted, tailer goes
// on there by itself, and keeps to it although the old one comes back.
func TestSeveralHostsFollowThePromotedOneByThemselves(t *testing.T) {
	t.Parallel()
	if kind() == "postgres" {
		t.Skip("E2E_SOURCE is postgres")
	}
	primary, replica := newOwnMySQL(t, kind(), 1), newOwnMySQL(t, kind(), 2)
	replica.follow(primary)
	replica.writable(false)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	front := newAddress(t, primary) // of the applications
	c := world(t, harness.MySQLAt(t, front.url(kind())))
	c.DB.SQL().SetMaxIdleConns(0) // none that a change of the server would break
	c.DB = c.DB.(*harness.MySQLDatabase).At(fmt.Sprintf("%s,%s,%s", silent.Addr(), replica.addr(), primary.addr()))
	c.Kafka.Create(t, harness.Topic(c.Type), 2)
	r := c.Follow(harness.Topic(c.Type))
	book := c.Ledger()
	p := c.Start()
	insert := func(n int) {
		for range n {
			book.Insert(fmt.Sprint("k", book.Len()%5), "x")
		}
	}
	insert(50)
	c.Arrived(r, book.Len(), 60*time.Second)
	c.Wait("the replica has what the primary has", 30*time.Second, func() (bool, string) {
		a, b := replica.end(), primary.end()
		return a == b, fmt.Sprint(a, " and ", b)
	})

	// The primary dies with rows that nobody has published yet. Until the replica may be written to, it is no primary.
	p.Signal(sigstop)
	insert(30)
	c.Wait("the replica has these too", 30*time.Second, func() (bool, string) {
		a, b := replica.end(), primary.end()
		return a == b, fmt.Sprint(a, " and ", b)
	})
	primary.kill()
	p.Signal(sigcont)
	c.Wait("tailer says why it does not go on, for each host", 60*time.Second, func() (bool, string) {
		text := p.Stderr()
		for _, host := range []string{silent.Addr().String() + ": ", primary.addr() + ": ", replica.addr() + " is read-only"} {
			if !strings.Contains(text, host) {
				return false, text
			}
		}
		return true, ""
	})
	replica.promote()
	replica.writable(true)
	front.point(replica)
	insert(20)
	c.Arrived(r, book.Len(), 60*time.Second)
	if !p.Running() {
		t.Fatalf("tailer ended\n%s", p.Stderr())
	}

	// The old primary comes back as if nothing had been: it lacks what was published.
	primary.start()
	for range 2 {
		p.Kill()
		c.DB = c.DB.(*harness.MySQLDatabase).At(fmt.Sprintf("%s,%s", primary.addr(), replica.addr()))
		p = c.Run()
		insert(10)
		c.Arrived(r, book.Len(), 60*time.Second)
	}
	holds(t, "the log", p.Stderr(), primary.addr()+" is passed over")
	p.Stop()

	// Without the promoted one, that is refused.
	replica.writable(false)
	p = c.Run()
	p.Want(3, 60*time.Second)
	holds(t, "the refusal", p.Stderr(), "lack", "published", primary.addr(), replica.addr()+" is read-only", "tailer checkpoint set --now")
	replica.writable(true)
	resumes(t, c, book)
	c.Check(book.Want(), check.ExactlyOnce)
}

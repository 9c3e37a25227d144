package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// recipe is a statement of docs/consumers.md, as it stands there.
func recipe(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/consumers.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)<!-- recipe: " + name + " -->\n```sql\n(.*?)\n```").FindSubmatch(text)
	if m == nil {
		t.Fatalf("docs/consumers.md has no recipe %s", name)
	}
	return string(m[1])
}

// received is a consumer's database with the recipes of its kind.
type received struct {
	harness.Database
	insert, purge string
}

func newReceived(t *testing.T, kind string) *received {
	t.Helper()
	var r received
	dialect := "mysql"
	if kind == "postgres" {
		r.Database, dialect = harness.NewPostgres(t, "STACK_PG_URL").Create(t), kind
	} else {
		r.Database = harness.NewMySQL(t, stack(kind)+"_URL").Create(t)
	}
	r.insert, r.purge = recipe(t, dialect+" receive"), recipe(t, dialect+" purge")
	r.Exec(t, recipe(t, dialect+" table"))
	r.Exec(t, "CREATE TABLE work_done (consumer varchar(20), message_id varchar(64))") // no key: it counts every time
	return &r
}

// work does a message's work as the document says; rollback undoes it at the end, as a crash would.
func (r *received) work(ctx context.Context, consumer, id string, rollback bool) (first bool, err error) {
	tx, err := r.SQL().BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback() // nothing after Commit
	result, err := tx.ExecContext(ctx, r.insert, consumer, id)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	if err != nil {
		return false, err
	}
	if n == 1 {
		if _, err := tx.ExecContext(ctx, fmt.Sprintf("INSERT INTO work_done VALUES (%s, %s)", r.Arg(1), r.Arg(2)), consumer, id); err != nil {
			return false, err
		}
	}
	if rollback {
		return n == 1, nil
	}
	return n == 1, tx.Commit()
}

// onEveryDatabase runs a test on each kind that is there.
func onEveryDatabase(t *testing.T, f func(t *testing.T, r *received)) {
	for _, kind := range []string{"postgres", "mysql", "mariadb"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			f(t, newReceived(t, kind))
		})
	}
}

// Messages from a real topic come three times each, to workers that race and crash: the work of each is done once.
func TestTheRecipeSeesEveryCopy(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	const rows = 150
	c.DB.Fill(t, c.Type, rows, 5, 1)
	c.Start()
	var records []check.Record
	c.Wait("all messages are there", 30*time.Second, func() (bool, string) {
		if len(c.Topics()) == 0 {
			return false, "no topic"
		}
		records = c.Kafka.Records(t, c.Topics()...)
		return len(records) == rows, fmt.Sprint(len(records))
	})
	var ids []string
	for _, r := range records {
		for _, h := range r.Headers {
			if h.Key == "id" {
				ids = append(ids, string(h.Value))
			}
		}
	}
	if len(ids) != rows {
		t.Fatalf("%d messages have the header id", len(ids))
	}
	onEveryDatabase(t, func(t *testing.T, r *received) {
		queue := make(chan string, 4*rows)
		for range 3 {
			for _, i := range rand.Perm(rows) {
				queue <- ids[i]
			}
		}
		close(queue)
		var workers sync.WaitGroup
		for range 6 {
			workers.Go(func() {
				for id := range queue {
					for crash := rand.IntN(4) == 0; ; crash = false { // what is rolled back comes again
						_, err := r.work(t.Context(), "billing", id, crash)
						if !retry(err) && err != nil {
							t.Error(err)
							return
						}
						if err == nil && !crash {
							break
						}
					}
				}
			})
		}
		workers.Wait()
		if _, err := r.work(t.Context(), "shipping", ids[0], false); err != nil {
			t.Error(err)
		}
		got := r.Text(t, "SELECT concat(count(*), ' of ', count(DISTINCT message_id)) FROM work_done WHERE consumer = 'billing'")
		if want := fmt.Sprintf("%d of %d", rows, rows); got != want {
			t.Errorf("billing did the work %s times, want %s", got, want)
		}
		if got := r.Text(t, "SELECT count(*) FROM work_done WHERE consumer = 'shipping'"); got != "1" {
			t.Errorf("another consumer's work was done %s times", got)
		}
	})
}

// retry tells the deadlock that the document speaks of.
func retry(err error) bool {
	var m *mysql.MySQLError
	return errors.As(err, &m) && m.Number == 1213
}

// The second of two workers with the same message waits: for nothing to do if the first commits, for the work if it
// does not.
func TestTheRecipeWaitsForTheOtherWorker(t *testing.T) {
	t.Parallel()
	onEveryDatabase(t, func(t *testing.T, r *received) {
		for _, committed := range []bool{true, false} {
			id := fmt.Sprint("committed=", committed)
			tx, err := r.SQL().BeginTx(t.Context(), &sql.TxOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(r.insert, "billing", id); err != nil {
				t.Fatal(err)
			}
			second := make(chan bool, 1)
			go func() {
				first, err := r.work(t.Context(), "billing", id, false)
				if err != nil {
					t.Error(err)
				}
				second <- first
			}()
			select {
			case <-second:
				t.Fatal("the second did not wait")
			case <-time.After(300 * time.Millisecond):
			}
			end := tx.Rollback
			if committed {
				end = tx.Commit
			}
			if err := end(); err != nil {
				t.Fatal(err)
			}
			if first := <-second; first == committed {
				t.Errorf("%s: the second worker did the work: %v", id, first)
			}
		}
	})
}

func TestTheRecipePurgesByAge(t *testing.T) {
	t.Parallel()
	onEveryDatabase(t, func(t *testing.T, r *received) {
		ago := func(days int) string {
			if r.Kind() == "postgres" {
				return fmt.Sprintf("now() - interval '%d days'", days)
			}
			return fmt.Sprintf("NOW(6) - INTERVAL %d DAY", days)
		}
		const old = 12_000 // more than one statement deletes
		var values []string
		for i := range old {
			values = append(values, fmt.Sprintf("('billing', 'old-%d', %s)", i, ago(15)))
		}
		for i := range 100 {
			values = append(values, fmt.Sprintf("('billing', 'young-%d', %s)", i, ago(13)))
		}
		r.Exec(t, "INSERT INTO received_messages (consumer, message_id, received_at) VALUES "+strings.Join(values, ", "))
		var deleted []int64
		for {
			result, err := r.SQL().Exec(r.purge)
			if err != nil {
				t.Fatal(err)
			}
			n, err := result.RowsAffected()
			if err != nil {
				t.Fatal(err)
			}
			deleted = append(deleted, n)
			if n == 0 {
				break
			}
		}
		if got := fmt.Sprint(deleted); got != "[10000 2000 0]" {
			t.Errorf("deleted %s", got)
		}
		if left := r.Text(t, "SELECT count(*) FROM received_messages WHERE message_id LIKE 'young-%'"); left != "100" {
			t.Errorf("%s young ones are left", left)
		}
		if first, err := r.work(t.Context(), "billing", "young-1", false); err != nil || first {
			t.Errorf("a young one is seen as new: %v, %v", first, err)
		}
	})
}

// The document explains a lag of 1: behind the last message of a partition lies the marker of its transaction.
func TestBehindTheLastMessageLiesAMarker(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	c.Start("--topic-partitions=1")
	c.DB.Fill(t, c.Type, 10, 1, 1)
	topic := harness.Topic(c.Type)
	var records []check.Record
	c.Wait("all messages are there", 30*time.Second, func() (bool, string) {
		if len(c.Topics()) == 0 {
			return false, "no topic"
		}
		records = c.Kafka.Records(t, topic)
		return len(records) == 10, fmt.Sprint(len(records))
	})
	ends, err := c.Kafka.Admin.ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	end, _ := ends.Lookup(topic, 0)
	if last := records[len(records)-1].Offset; end.Offset-(last+1) != 1 {
		t.Errorf("the last message is at %d, the end at %d", last, end.Offset)
	}
}

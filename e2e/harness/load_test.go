package harness

import (
	"testing"
	"time"
)

// The verdicts of the whole suite rest on the list that the load keeps: it must be dense per key and agree with
// the tables.
func TestTheListOfALoadIsDense(t *testing.T) {
	for name, server := range map[string]func(testing.TB) Server{
		"postgres": func(t testing.TB) Server { return NewPostgres(t, "STACK_PG_URL") },
		"mysql":    func(t testing.TB) Server { return NewMySQL(t, "STACK_MYSQL_URL") },
		"mariadb":  func(t testing.TB) Server { return NewMySQL(t, "STACK_MARIADB_URL") },
	} {
		t.Run(name, func(t *testing.T) { listIsDense(t, server(t)) })
	}
}

func listIsDense(t *testing.T, server Server) {
	c := New(t, server)
	c.DB.CreateOutbox(c, c.DB.Outbox())
	l := (&Load{Seed: Seed(t), Aggregates: 100, Types: 2, Writers: 8, Rows: 5000, Big: []int{5000}}).Prepare(c)
	begin := time.Now()
	l.Must(t)
	t.Logf("%d rows in %d transactions in %v", l.Committed(), l.commits.Load(), time.Since(begin))

	want := l.Want()
	if len(want) != l.Committed() {
		t.Errorf("%d on the list, %d counted", len(want), l.Committed())
	}
	type key struct{ topic, key string }
	highest, count := map[key]int64{}, map[key]int64{}
	for _, w := range want {
		k := key{w.Topic, w.Key}
		count[k]++
		highest[k] = max(highest[k], w.Seq)
	}
	for k, n := range count {
		if highest[k] != n {
			t.Errorf("%v: %d rows, highest number %d", k, n, highest[k])
		}
	}
	db := c.DB
	if n := db.Text(t, "SELECT count(*) FROM outbox o WHERE NOT EXISTS (SELECT 1 FROM expected e WHERE e.id = o.id)"); n != "0" {
		t.Errorf("%s rows of the outbox are not on the list", n)
	}
	if n := db.Text(t, "SELECT count(*) FROM expected e WHERE NOT EXISTS (SELECT 1 FROM outbox o WHERE e.id = o.id)"); n == "0" {
		t.Error("nothing was inserted and deleted at once")
	}
}

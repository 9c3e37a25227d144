package harness

import (
	"fmt"
	"strings"
	"sync"

	"github.com/tailer-io/tailer/e2e/check"
)

// Ledger inserts single rows for tests that say what they insert, and keeps the list of it. It is for one
// goroutine that inserts in the order that it wants to see.
type Ledger struct {
	c    *Case
	want []check.Want
	seqs map[string]int64
	n    int
	mu   sync.Mutex // guards want, seqs and n
}

// Ledger begins a list.
func (c *Case) Ledger() *Ledger { return &Ledger{c: c, seqs: map[string]int64{}} }

// Insert commits one row of the case's aggregate type to the default outbox and returns its id. The value is
// text, or nil for NULL.
func (l *Ledger) Insert(key string, value any) string {
	l.c.Helper()
	return l.Into(l.c.DB.Outbox(), l.c.Type, key, value)
}

// Into commits one row to a table.
func (l *Ledger) Into(table, aggregateType, key string, value any) string {
	l.c.Helper()
	return l.All(table, aggregateType, key, value)[0]
}

// All commits one row for each value, in one transaction and one statement.
func (l *Ledger) All(table, aggregateType, key string, values ...any) []string {
	l.c.Helper()
	var ids, tuples []string
	var args []any
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range values {
		l.n++
		id := fmt.Sprintf("%s-%06d", l.c.Type, l.n)
		ids = append(ids, id)
		var places []string
		for _, a := range []any{id, aggregateType, key, "Changed", v} {
			args = append(args, a)
			places = append(places, l.c.DB.Arg(len(args)))
		}
		tuples = append(tuples, "("+strings.Join(places, ", ")+")")
		l.add(id, aggregateType, key, v)
	}
	if _, err := l.c.DB.SQL().Exec("INSERT INTO "+table+" (id, aggregatetype, aggregateid, type, payload) VALUES "+
		strings.Join(tuples, ", "), args...); err != nil {
		l.c.Fatalf("insert into %s: %v", table, err)
	}
	return ids
}

// Expect puts a message on the list that the test inserts itself.
func (l *Ledger) Expect(id, aggregateType, key string, value any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(id, aggregateType, key, value)
}

func (l *Ledger) add(id, aggregateType, key string, value any) {
	topic := Topic(aggregateType)
	l.seqs[topic+"\x00"+key]++
	w := check.Want{ID: id, Topic: topic, Key: key, Seq: l.seqs[topic+"\x00"+key]}
	switch v := value.(type) {
	case nil:
	case string:
		w.Value = []byte(v)
	case []byte:
		w.Value = v
	default:
		l.c.Fatalf("a value of type %T", value)
	}
	l.want = append(l.want, w)
}

// Forget takes the last n messages off the list: they must not be published.
func (l *Ledger) Forget(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.want[len(l.want)-n:] {
		l.seqs[w.Topic+"\x00"+w.Key]--
	}
	l.want = l.want[:len(l.want)-n]
}

// Want is the list.
func (l *Ledger) Want() []check.Want {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]check.Want(nil), l.want...)
}

// Len is how many messages are on the list.
func (l *Ledger) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.want)
}

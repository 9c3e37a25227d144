package harness

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
)

// Load writes to outbox tables as an application does, and keeps the list of what it committed.
//
// Every row is written together with a row of the table `expected` in the same transaction, so the list holds
// exactly what was committed, whatever happened on the way. An aggregate's row in the table `aggregate` is
// locked before its next sequence number is drawn and until the commit: sequence order is commit order.
type Load struct {
	Seed       int64
	Tables     []string // outbox tables; rows choose one at random
	Apart      bool     // all rows of an aggregate are in the same table
	Aggregates int
	Types      int // aggregate types, one topic each
	Writers    int
	Rows       int           // committed rows to reach, apart from those of Big
	Big        []int         // sizes of additional transactions, each begun while the writers write
	Largest    int           // rows in an ordinary transaction, at most; 0 means 500
	Plain      bool          // only committed transactions of one row each
	Pause      time.Duration // of each writer between two transactions: a load that others have to live beside
	Keep       bool          // no row is changed or deleted: for what a snapshot has to find

	c         *Case
	ids       atomic.Int64
	committed atomic.Int64 // rows
	commits   atomic.Int64 // transactions
}

// statements of a load are portable: they are to run on every source.
var schema = []string{
	`CREATE TABLE aggregate (id int PRIMARY KEY, seq bigint NOT NULL)`,
	`CREATE TABLE expected (id varchar(64) PRIMARY KEY, topic varchar(255) NOT NULL, msgkey varchar(255) NOT NULL,
		seq bigint NOT NULL, value text)`,
	`CREATE TABLE elsewhere (id int PRIMARY KEY, note text)`,
}

// Prepare makes the tables of a load, and the outbox tables that are not there yet are the caller's.
func (l *Load) Prepare(c *Case) *Load {
	c.Helper()
	l.c = c
	l.Tables = append([]string(nil), l.Tables...)
	if len(l.Tables) == 0 {
		l.Tables = []string{c.DB.Outbox()}
	}
	l.Aggregates = max(l.Aggregates, 1)
	l.Types = max(l.Types, 1)
	l.Writers = max(l.Writers, 1)
	if l.Largest == 0 {
		l.Largest = 500
	}
	db := c.DB.SQL()
	for _, s := range schema {
		if _, err := db.Exec(s); err != nil {
			c.Fatalf("%s: %v", first(s), err)
		}
	}
	var values []string
	for i := range l.Aggregates {
		values = append(values, fmt.Sprintf("(%d, 0)", i))
	}
	if _, err := db.Exec("INSERT INTO aggregate VALUES " + strings.Join(values, ", ")); err != nil {
		c.Fatal(err)
	}
	return l
}

// Topics are the topics that the load's messages go to.
func (l *Load) Topics() []string {
	var topics []string
	for i := range l.Types {
		topics = append(topics, Topic(l.kind(i)))
	}
	return topics
}

func (l *Load) kind(aggregate int) string { return fmt.Sprintf("%s-%d", l.c.Type, aggregate%l.Types) }

// Committed is the number of rows committed so far.
func (l *Load) Committed() int { return int(l.committed.Load()) }

// Run writes until the wanted number of rows is committed or the context ends. A transaction that is under way
// then is finished first: one that was cut off might still be committed when the list has been read.
func (l *Load) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	target := l.committed.Load() + int64(l.Rows)
	for _, size := range l.Big {
		target += int64(size)
	}
	var failed failure
	for i := range l.Writers {
		wg.Go(func() {
			random := rand.New(rand.NewSource(l.Seed + int64(i)*7919 + l.commits.Load()))
			for l.committed.Load() < target && ctx.Err() == nil {
				if err := l.transaction(ctx.Done(), random, 0); err != nil {
					failed.set(fmt.Errorf("writer %d: %w", i, err))
					cancel(nil)
				}
				if l.Pause > 0 {
					time.Sleep(l.Pause)
				}
			}
		})
	}
	for i, size := range l.Big {
		wg.Go(func() {
			random := rand.New(rand.NewSource(l.Seed - int64(i) - 1))
			if err := l.transaction(ctx.Done(), random, size); err != nil {
				failed.set(fmt.Errorf("transaction of %d rows: %w", size, err))
				cancel(nil)
			}
		})
	}
	wg.Wait()
	return failed.err
}

// failure keeps the first error.
type failure struct {
	once sync.Once
	err  error // read when all writers are gone
}

func (f *failure) set(err error) { f.once.Do(func() { f.err = err }) }

// Must is Run for a test that has nothing else to do meanwhile.
func (l *Load) Must(t testing.TB) {
	t.Helper()
	if err := l.Run(t.Context()); err != nil {
		t.Fatalf("load: %v", err)
	}
}

// Go runs the load in the background; wait stops it unless it is through, and returns when it has ended.
func (l *Load) Go() (wait func(stop bool)) {
	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan error, 1)
	go func() { failed <- l.Run(ctx) }()
	var once sync.Once
	wait = func(stop bool) {
		l.c.Helper()
		once.Do(func() {
			if stop {
				cancel()
			}
			if err := <-failed; err != nil {
				l.c.Errorf("load: %v", err)
			}
			cancel()
		})
	}
	l.c.Cleanup(func() { wait(true) })
	return wait
}

// Want reads the list of what was committed.
func (l *Load) Want() []check.Want {
	l.c.Helper()
	return Expected(l.c, l.c.DB)
}

// Expected reads the table `expected`.
func Expected(t testing.TB, db Database) []check.Want {
	t.Helper()
	rows, err := db.SQL().Query("SELECT id, topic, msgkey, seq, value FROM expected")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var want []check.Want
	for rows.Next() {
		var w check.Want
		var value sql.NullString
		if err := rows.Scan(&w.ID, &w.Topic, &w.Key, &w.Seq, &value); err != nil {
			t.Fatal(err)
		}
		if value.Valid {
			w.Value = []byte(value.String)
		}
		want = append(want, w)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return want
}

// row is one outbox row that is about to be inserted.
type row struct {
	table     string
	id        string
	aggregate int
	seq       int64
	value     any
}

// work is one transaction of a writer.
type work struct {
	l      *Load
	tx     *sql.Tx
	stop   <-chan struct{}
	random *rand.Rand
	seqs   map[int]int64 // of the aggregates that this transaction has locked
	locked []int
	rows   int // inserted and not rolled back
}

// longest is how long a transaction of a load may take before something is taken to be wrong.
const longest = 2 * time.Minute

// transaction does one transaction of a random kind, or one of exactly big rows. It stays no longer than needed
// once stop is closed.
func (l *Load) transaction(stop <-chan struct{}, random *rand.Rand, big int) error {
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	// MySQL's default would lock the gaps between the rows that it deletes: writers would wait for each other.
	tx, err := l.c.DB.SQL().BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer tx.Rollback() // Does nothing behind a commit.
	w := &work{l: l, tx: tx, stop: stop, random: random, seqs: map[int]int64{}}
	commit, err := w.do(ctx, big)
	if big == 0 && l.c.DB.Victim(err) {
		return nil // None of it is committed, and none on the list.
	}
	if err != nil {
		return err
	}
	if !commit {
		return tx.Rollback()
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	l.committed.Add(int64(w.rows))
	l.commits.Add(1)
	return nil
}

func (w *work) do(ctx context.Context, big int) (commit bool, err error) {
	l := w.l
	size, aggregates := w.size(), 0
	switch {
	case big > 0:
		// Half of the aggregates, so that the others go on being written to while this one is open.
		size, aggregates = big, (l.Aggregates+1)/2
	default:
		aggregates = min(size, 1+w.random.Intn(20))
	}
	if err := w.lock(ctx, aggregates); err != nil || len(w.locked) == 0 {
		return false, err // Everything wanted is locked by others: nothing to do this time.
	}
	if l.Plain && big == 0 {
		return true, w.finish(ctx, w.insert(ctx, 1))
	}

	kind := w.random.Intn(20)
	if l.Keep {
		kind = w.random.Intn(16)
	}
	switch {
	case big > 0, kind < 10: // plain
		err = w.insert(ctx, size)
	case kind < 12: // long: others commit in between
		if err = w.insert(ctx, size); err == nil {
			w.letOthersCommit(20)
			err = w.insert(ctx, 1+size/2)
		}
	case kind < 14: // part of it rolled back
		if err = w.insert(ctx, 1+size/2); err == nil {
			err = w.savepoint(ctx, size)
		}
		if err == nil {
			err = w.insert(ctx, 1)
		}
	case kind < 16: // all of it rolled back
		return false, w.insert(ctx, size)
	case kind < 18: // inserted and deleted at once, as the outbox pattern has it
		if err = w.insert(ctx, size); err == nil {
			err = w.deleteNewest(ctx)
		}
	default: // with changes that publish nothing
		if err = w.insert(ctx, size); err == nil {
			err = w.noise(ctx)
		}
	}
	return true, w.finish(ctx, err)
}

func (w *work) size() int {
	switch n := w.random.Intn(100); {
	case w.l.Plain || n < 60:
		return 1
	case n < 90:
		return 2 + w.random.Intn(20)
	default:
		return 1 + w.random.Intn(w.l.Largest)
	}
}

// lock takes up to n aggregates that nobody else holds. One statement and no waiting, so that two writers can
// never wait for each other.
func (w *work) lock(ctx context.Context, n int) error {
	wanted := w.random.Perm(w.l.Aggregates)[:min(n, w.l.Aggregates)]
	sort.Ints(wanted)
	list := make([]string, len(wanted))
	for i, id := range wanted {
		list[i] = strconv.Itoa(id)
	}
	rows, err := w.tx.QueryContext(ctx, "SELECT id, seq FROM aggregate WHERE id IN ("+strings.Join(list, ",")+
		") FOR UPDATE SKIP LOCKED")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int
		var seq int64
		if err := rows.Scan(&id, &seq); err != nil {
			return err
		}
		w.seqs[id] = seq
		w.locked = append(w.locked, id)
	}
	return rows.Err()
}

// insert adds n rows of the locked aggregates to the outbox and to the list.
func (w *work) insert(ctx context.Context, n int) error {
	for n > 0 {
		chunk := min(n, 500)
		table := w.l.Tables[w.random.Intn(len(w.l.Tables))]
		rows := make([]row, chunk)
		for i := range rows {
			aggregate := w.locked[w.random.Intn(len(w.locked))]
			w.seqs[aggregate]++
			id := fmt.Sprintf("%012d-%08x", w.l.ids.Add(1), w.random.Uint32())
			var value any = fmt.Sprintf(`{"aggregate": %d, "number": %d, "text": "%s"}`, aggregate, w.seqs[aggregate],
				strings.Repeat("pävê-", w.random.Intn(40)))
			if w.random.Intn(50) == 0 {
				value = nil
			}
			rows[i] = row{table, id, aggregate, w.seqs[aggregate], value}
			if w.l.Apart {
				rows[i].table = w.l.Tables[aggregate%len(w.l.Tables)]
			}
		}
		for _, part := range byTable(rows) {
			if err := w.write(ctx, part); err != nil {
				return err
			}
		}
		n -= chunk
		w.rows += chunk
	}
	return nil
}

// byTable takes rows apart by their table, keeping their order in each.
func byTable(rows []row) (parts [][]row) {
	at := map[string]int{}
	for _, r := range rows {
		i, known := at[r.table]
		if !known {
			i, parts = len(parts), append(parts, nil)
			at[r.table] = i
		}
		parts[i] = append(parts[i], r)
	}
	return parts
}

// write inserts rows of one table.
func (w *work) write(ctx context.Context, rows []row) error {
	var outbox, expected []any
	for _, r := range rows {
		kind, key := w.l.kind(r.aggregate), fmt.Sprintf("agg-%d", r.aggregate)
		outbox = append(outbox, r.id, kind, key, "Changed", r.value)
		expected = append(expected, r.id, Topic(kind), key, r.seq, r.value)
	}
	if err := w.values(ctx, "INSERT INTO "+rows[0].table+" (id, aggregatetype, aggregateid, type, payload)", outbox); err != nil {
		return err
	}
	return w.values(ctx, "INSERT INTO expected (id, topic, msgkey, seq, value)", expected)
}

// values inserts rows of five columns.
func (w *work) values(ctx context.Context, insert string, args []any) error {
	var b strings.Builder
	b.WriteString(insert + " VALUES ")
	for i := 0; i < len(args); i += 5 {
		if i > 0 {
			b.WriteString(", ")
		}
		for j := range 5 {
			b.WriteString([]string{"(", ", ", ", ", ", ", ", "}[j] + w.l.c.DB.Arg(i+j+1))
		}
		b.WriteString(")")
	}
	_, err := w.tx.ExecContext(ctx, b.String(), args...)
	return err
}

// savepoint inserts rows and takes them back without ending the transaction.
func (w *work) savepoint(ctx context.Context, n int) error {
	seqs := map[int]int64{}
	for k, v := range w.seqs {
		seqs[k] = v
	}
	rows := w.rows
	if _, err := w.tx.ExecContext(ctx, "SAVEPOINT here"); err != nil {
		return err
	}
	if err := w.insert(ctx, n); err != nil {
		return err
	}
	w.seqs, w.rows = seqs, rows
	_, err := w.tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT here")
	return err
}

// deleteNewest deletes what this transaction inserted (and older rows of these aggregates); it stays on the list, for an INSERT was committed.
func (w *work) deleteNewest(ctx context.Context) error {
	for _, table := range w.l.Tables {
		for _, aggregate := range w.locked[:min(len(w.locked), 3)] {
			if _, err := w.tx.ExecContext(ctx, fmt.Sprintf("DELETE FROM %s WHERE aggregateid = %s", table, w.l.c.DB.Arg(1)),
				fmt.Sprintf("agg-%d", aggregate)); err != nil {
				return err
			}
		}
	}
	return nil
}

// noise changes and deletes rows that were published long ago, and writes to a table that is no outbox.
func (w *work) noise(ctx context.Context) error {
	key := fmt.Sprintf("agg-%d", w.locked[0])
	table := w.l.Tables[w.random.Intn(len(w.l.Tables))]
	if _, err := w.tx.ExecContext(ctx, "UPDATE "+table+" SET payload = 'changed later' WHERE aggregateid = "+w.l.c.DB.Arg(1), key); err != nil {
		return err
	}
	id := w.random.Intn(1 << 30)
	if _, err := w.tx.ExecContext(ctx, fmt.Sprintf("DELETE FROM elsewhere WHERE id = %d", id)); err != nil {
		return err
	}
	_, err := w.tx.ExecContext(ctx, fmt.Sprintf("INSERT INTO elsewhere (id, note) VALUES (%d, 'no message')", id))
	return err
}

// letOthersCommit keeps the transaction open until the other writers have committed n times. They may be held up
// themselves, so it gives up after a moment.
func (w *work) letOthersCommit(n int64) {
	if w.l.Writers == 1 {
		return
	}
	until := w.l.commits.Load() + n
	giveUp := time.After(300 * time.Millisecond)
	for w.l.commits.Load() < until {
		select {
		case <-w.stop:
			return
		case <-giveUp:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// finish writes back the sequence numbers that the transaction has used.
func (w *work) finish(ctx context.Context, err error) error {
	if err != nil {
		return err
	}
	var cases, ids strings.Builder
	for i, id := range w.locked {
		fmt.Fprintf(&cases, " WHEN %d THEN %d", id, w.seqs[id])
		if i > 0 {
			ids.WriteString(",")
		}
		ids.WriteString(strconv.Itoa(id))
	}
	_, err = w.tx.ExecContext(ctx, "UPDATE aggregate SET seq = CASE id"+cases.String()+" END WHERE id IN ("+ids.String()+")")
	return err
}

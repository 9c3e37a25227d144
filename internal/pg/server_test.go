package pg_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/pg"
	"github.com/tailer-io/tailer/internal/pipeline"
)

var _ pipeline.Source = (*pg.Source)(nil)

// database is a database of the test's own on a real server.
type database struct {
	tb   testing.TB
	url  string
	name string
	slot string
	mu   sync.Mutex // guards conn
	conn *pgconn.PgConn
}

const outboxDDL = `create table outbox (id uuid primary key default gen_random_uuid(), aggregatetype text not null default 'order',
  aggregateid text not null, type text not null default 'created', payload jsonb, note text)`

var columns = []string{"id", "aggregatetype", "aggregateid", "type", "payload"}

// newDatabase makes a database with an outbox, or skips. What the test leaves
// behind on the server goes with it.
func newDatabase(tb testing.TB) *database {
	tb.Helper()
	base := os.Getenv("STACK_PG_URL")
	if base == "" {
		tb.Skip("STACK_PG_URL names no server: skipped")
	}
	name := "pgtest_" + unique()
	admin := dial(tb, base)
	if err := run(admin, "create database "+name); err != nil {
		tb.Fatal(err)
	}
	u, err := url.Parse(base)
	if err != nil {
		tb.Fatal(err)
	}
	u.Path = "/" + name
	db := &database{tb: tb, url: u.String(), name: name, slot: "slot_" + unique()}
	db.conn = dial(tb, db.url)
	tb.Cleanup(func() {
		_ = db.conn.Close(context.Background())
		for deadline := time.Now().Add(20 * time.Second); ; {
			_ = run(admin, fmt.Sprintf(`select pg_terminate_backend(active_pid) from pg_replication_slots where database = '%s' and active_pid is not null`, name))
			_ = run(admin, fmt.Sprintf(`select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = '%s' and not active`, name))
			err := run(admin, "drop database "+name+" with (force)")
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				tb.Errorf("clean up: %v", err)
				break
			}
			time.Sleep(20 * time.Millisecond) // a slot is let go by another process
		}
		_ = admin.Close(context.Background())
	})
	db.exec(outboxDDL)
	return db
}

func unique() string {
	var b [5]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func dial(tb testing.TB, url string) *pgconn.PgConn {
	tb.Helper()
	c, err := pgconn.Connect(context.Background(), url)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func run(c *pgconn.PgConn, sql string) error {
	_, err := c.Exec(context.Background(), sql).ReadAll()
	return err
}

func (db *database) exec(sql string, args ...any) {
	db.tb.Helper()
	if len(args) > 0 {
		sql = fmt.Sprintf(sql, args...)
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := run(db.conn, sql); err != nil {
		db.tb.Fatalf("%s: %v", sql, err)
	}
}

// ask gives the first column of the first row, "" when there is none.
func (db *database) ask(sql string, args ...any) string {
	db.tb.Helper()
	if len(args) > 0 {
		sql = fmt.Sprintf(sql, args...)
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	res, err := db.conn.Exec(context.Background(), sql).ReadAll()
	if err != nil {
		db.tb.Fatalf("%s: %v", sql, err)
	}
	last := res[len(res)-1]
	if len(last.Rows) == 0 {
		return ""
	}
	return string(last.Rows[0][0])
}

// version is the server's major version.
func (db *database) version() int {
	var v int
	fmt.Sscan(db.ask("select current_setting('server_version_num')::int / 10000"), &v)
	return v
}

func (db *database) config() pg.Config {
	return pg.Config{
		URL: db.url, Name: "test-" + db.name, Slot: db.slot, Publication: "Pub " + db.name,
		Tables: []pg.Table{{Schema: "public", Name: "outbox", Columns: columns}},
	}
}

func newSource(tb testing.TB, cfg pg.Config) *pg.Source {
	tb.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	s := pg.New(cfg, log)
	tb.Cleanup(s.Close)
	return s
}

// connected is a source that has connected and has its slot; resume is where
// that begins.
func (db *database) anchored(change ...func(*pg.Config)) (*pg.Source, outbox.Resume) {
	db.tb.Helper()
	cfg := db.config()
	for _, c := range change {
		c(&cfg)
	}
	ctx := context.Background()
	s := newSource(db.tb, cfg)
	if _, err := s.Connect(ctx); err != nil {
		db.tb.Fatal(err)
	}
	if err := s.Prepare(ctx); err != nil {
		db.tb.Fatal(err)
	}
	snap, err := s.CreateAnchor(ctx, outbox.Filter{})
	if err != nil {
		db.tb.Fatal(err)
	}
	defer snap.Close()
	return s, snap.Resume()
}

// connect is another source of the same configuration, connected.
func (db *database) connect(change ...func(*pg.Config)) *pg.Source {
	db.tb.Helper()
	cfg := db.config()
	for _, c := range change {
		c(&cfg)
	}
	s := newSource(db.tb, cfg)
	if _, err := s.Connect(context.Background()); err != nil {
		db.tb.Fatal(err)
	}
	return s
}

// row is a row as it came, copied.
type row struct {
	table   int
	cells   []string // NULL is "<null>"
	pos     string
	ordinal uint64
	at      time.Time // when it came
}

func rowsOf(b *outbox.Batch) []row {
	var out []row
	now := time.Now()
	for i := range b.Rows {
		r := &b.Rows[i]
		c := row{table: r.Shape.Table, pos: string(b.PositionText(i)), ordinal: b.Ordinal(i), at: now}
		for k := range r.Shape.Columns {
			v, ok := b.Value(r, k)
			if !ok {
				c.cells = append(c.cells, "<null>")
			} else {
				c.cells = append(c.cells, string(v))
			}
		}
		out = append(out, c)
	}
	return out
}

// tail runs Stream, and hands every batch to a publisher that confirms it.
type tail struct {
	tb     testing.TB
	src    *pg.Source
	h      *outbox.Handoff
	quiet  bool // confirm nothing
	cancel context.CancelFunc
	ended  chan error

	mu      sync.Mutex // guards what follows
	rows    []row
	resumes []outbox.Resume
	changed chan struct{}
	done    chan struct{}
}

var wide = outbox.Limits{Rows: 10000, Bytes: 8 << 20}

func startTail(tb testing.TB, s *pg.Source, r outbox.Resume, l outbox.Limits) *tail {
	return startTailWith(tb, s, r, l, false)
}

func startTailWith(tb testing.TB, s *pg.Source, r outbox.Resume, l outbox.Limits, quiet bool) *tail {
	ctx, cancel := context.WithCancel(context.Background())
	t := &tail{
		tb: tb, src: s, quiet: quiet, h: outbox.NewHandoff(3, l, r), cancel: cancel, ended: make(chan error, 1),
		changed: make(chan struct{}, 1), done: make(chan struct{}),
	}
	go func() {
		err := s.Stream(ctx, r, t.h)
		t.h.Close(err)
		t.ended <- err
	}()
	go t.publish()
	tb.Cleanup(func() { cancel(); <-t.done })
	return t
}

func (t *tail) publish() {
	defer close(t.done)
	for {
		b, err := t.h.Take(context.Background(), time.Now().Add(50*time.Millisecond))
		if err != nil {
			return
		}
		if b == nil {
			continue
		}
		rows := rowsOf(b)
		t.mu.Lock()
		t.rows = append(t.rows, rows...)
		t.resumes = append(t.resumes, b.Resume)
		t.mu.Unlock()
		if !t.quiet {
			if err := t.src.Confirm(context.Background(), b.Resume.Position); err != nil {
				t.tb.Errorf("confirm: %v", err)
			}
		}
		t.h.Recycle(b)
		select {
		case t.changed <- struct{}{}:
		default:
		}
	}
}

// wait waits until cond holds on the rows, at most 20 s.
func (t *tail) wait(what string, cond func([]row, []outbox.Resume) bool) []row {
	t.tb.Helper()
	deadline := time.After(20 * time.Second)
	for {
		t.mu.Lock()
		ok, rows := cond(t.rows, t.resumes), t.rows
		t.mu.Unlock()
		if ok {
			return rows
		}
		select {
		case <-t.changed:
		case <-time.After(100 * time.Millisecond):
		case err := <-t.ended:
			t.ended <- err
			t.mu.Lock()
			ok, rows := cond(t.rows, t.resumes), t.rows
			t.mu.Unlock()
			if ok {
				return rows
			}
			select {
			case <-t.done:
			case <-deadline:
			}
			t.mu.Lock()
			defer t.mu.Unlock()
			if cond(t.rows, t.resumes) {
				return t.rows
			}
			t.tb.Fatalf("%s: stream ended: %v (%d rows)", what, err, len(t.rows))
		case <-deadline:
			t.tb.Fatalf("%s: not within 20 s (%d rows)", what, len(rows))
		}
	}
}

func (t *tail) waitRows(n int) []row {
	t.tb.Helper()
	return t.wait(fmt.Sprintf("%d rows", n), func(r []row, _ []outbox.Resume) bool { return len(r) >= n })
}

// stop ends the stream and gives the last resume and what Stream returned.
func (t *tail) stop() (outbox.Resume, error) {
	t.cancel()
	return t.end()
}

// end waits for the stream's own end.
func (t *tail) end() (outbox.Resume, error) {
	t.tb.Helper()
	select {
	case err := <-t.ended:
		<-t.done
		t.mu.Lock()
		defer t.mu.Unlock()
		var last outbox.Resume
		if n := len(t.resumes); n > 0 {
			last = t.resumes[n-1]
		}
		return last, err
	case <-time.After(30 * time.Second):
		t.tb.Fatal("the stream does not end")
		return outbox.Resume{}, nil
	}
}

// refused checks that err is a Refusal of that reason whose text or hint holds
// every one of the words.
func refused(tb testing.TB, err error, reason string, words ...string) {
	tb.Helper()
	var r *outbox.Refusal
	if !errors.As(err, &r) {
		tb.Fatalf("want a refusal %s, got %v", reason, err)
	}
	if r.Reason != reason {
		tb.Fatalf("want a refusal %s, got %s: %v", reason, r.Reason, err)
	}
	for _, w := range words {
		if !strings.Contains(r.Text, w) && !strings.Contains(r.Hint, w) {
			tb.Fatalf("refusal does not say %q: %v", w, err)
		}
	}
}

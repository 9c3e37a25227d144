package mysql

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

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Tests against real servers, which scripts/stack names in the environment;
// each test has a database of its own.

var serverVars = []string{"STACK_MYSQL_URL", "STACK_MARIADB_URL"}

// world is a database on one server, with a session of an administrator.
type world struct {
	testing.TB
	url      *url.URL
	database string
	admin    *client.Conn
}

// onServers runs a test on every server there is.
func onServers(t *testing.T, test func(*world)) {
	for _, name := range serverVars {
		t.Run(strings.ToLower(strings.Split(name, "_")[1]), func(t *testing.T) { test(newWorld(t, name)) })
	}
}

func newWorld(t testing.TB, env string) *world {
	t.Helper()
	text := os.Getenv(env)
	if text == "" {
		t.Skipf("%s is not set: scripts/stack up mysql mariadb, then eval \"$(scripts/stack env)\"", env)
	}
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var unique [4]byte
	_, _ = rand.Read(unique[:])
	w := &world{TB: t, url: u, database: "tailer_" + hex.EncodeToString(unique[:])}
	w.admin = w.connect()
	w.exec("create database " + w.database + " character set utf8mb4")
	// A reader that begins by GTID has its file searched from the begin.
	w.exec("use "+w.database, "flush binary logs")
	t.Cleanup(func() { w.exec("drop database if exists " + w.database) })
	return w
}

func (w *world) mariadb() bool { return w.url.Scheme == "mariadb" }

func (w *world) connect() *client.Conn {
	w.Helper()
	password, _ := w.url.User.Password()
	c, err := client.Connect(w.url.Host, w.url.User.Username(), password, "")
	if err != nil {
		w.Fatalf("connect: %v", err)
	}
	w.Cleanup(func() { c.Close() })
	if _, err := c.Execute(sessionSQL); err != nil {
		w.Fatalf("set up session: %v", err)
	}
	return c
}

// session is another session in the test's database.
func (w *world) session() *client.Conn {
	w.Helper()
	c := w.connect()
	w.on(c, "use "+w.database)
	return c
}

func (w *world) exec(statements ...string) {
	w.Helper()
	w.on(w.admin, statements...)
}

func (w *world) on(c *client.Conn, statements ...string) {
	w.Helper()
	for _, s := range statements {
		if _, err := c.Execute(s); err != nil {
			w.Fatalf("%.200s: %v", s, err)
		}
	}
}

func (w *world) value(sql string) string {
	w.Helper()
	r, err := w.admin.Execute(sql)
	if err != nil {
		w.Fatalf("%.200s: %v", sql, err)
	}
	v, err := r.GetString(0, 0)
	if err != nil {
		w.Fatalf("%.200s: %v", sql, err)
	}
	return v
}

const outboxSQL = `create table outbox (id bigint unsigned not null auto_increment primary key, k varchar(100), payload longtext) engine=innodb`

// outbox makes the usual table.
func (w *world) outbox() *world {
	w.Helper()
	w.exec(outboxSQL)
	return w
}

func (w *world) config(tables ...Table) Config {
	u := *w.url
	u.Path = "/" + w.database
	if len(tables) == 0 {
		tables = []Table{{Name: "outbox", Columns: []string{"id", "k", "payload"}}}
	}
	return Config{URL: u.String(), Name: w.database, Tables: tables}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// source makes a connected Source.
func (w *world) source(tables ...Table) *Source {
	w.Helper()
	return w.sourceOf(w.config(tables...))
}

func (w *world) sourceOf(cfg Config) *Source {
	w.Helper()
	s := New(cfg, quiet())
	s.patience = 100 * time.Millisecond // what is lacking here stays so
	w.Cleanup(s.Close)
	if _, err := s.Connect(w.ctx()); err != nil {
		w.Fatalf("connect: %v", err)
	}
	return s
}

func (w *world) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	w.Cleanup(cancel)
	return ctx
}

// here is the end of the log.
func (w *world) here(s *Source) outbox.Resume {
	w.Helper()
	r, err := s.Now(w.ctx())
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// batch is what was handed over, copied.
type batch struct {
	rows   []string // cells joined by |, NULL as <null>
	bytes  [][][]byte
	txns   []string // name of each row's transaction
	resume outbox.Resume
	before []outbox.Resume // ResumeBefore of each row, of a small batch
}

// drain streams from r up to the log's end of now, and returns the batches.
func (w *world) drain(s *Source, r outbox.Resume) []batch {
	w.Helper()
	got, err := w.drainErr(s, r, outbox.Limits{Rows: 10_000, Bytes: 4 << 20})
	if !errors.Is(err, outbox.ErrEnd) {
		w.Fatalf("stream: %v", err)
	}
	return got
}

func (w *world) drainErr(s *Source, r outbox.Resume, l outbox.Limits) ([]batch, error) {
	w.Helper()
	if err := s.Until(w.ctx(), "now"); err != nil {
		w.Fatal(err)
	}
	h := outbox.NewHandoff(3, l, r)
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx := w.ctx()
	wg.Go(func() { h.Close(s.Stream(ctx, r, h)) })
	var got []batch
	for {
		b, err := h.Take(ctx, time.Time{})
		if err != nil {
			return got, err
		}
		got = append(got, copyBatch(b))
		h.Recycle(b)
	}
}

func copyBatch(b *outbox.Batch) batch {
	out := batch{resume: b.Resume}
	for i := range b.Rows {
		r := &b.Rows[i]
		var cells []string
		var raw [][]byte
		for c := range r.Shape.Columns {
			v, ok := b.Value(r, c)
			if !ok {
				cells, raw = append(cells, "<null>"), append(raw, nil)
				continue
			}
			cells, raw = append(cells, string(v)), append(raw, append([]byte{}, v...))
		}
		out.rows = append(out.rows, strings.Join(cells, "|"))
		out.bytes = append(out.bytes, raw)
		out.txns = append(out.txns, string(b.PositionText(i)))
		if len(b.Rows) <= 100 { // each walks from the batch's begin
			out.before = append(out.before, b.ResumeBefore(i))
		}
	}
	return out
}

// rows are those of all batches.
func rows(list []batch) []string {
	var out []string
	for _, b := range list {
		out = append(out, b.rows...)
	}
	return out
}

// want compares rows.
func (w *world) want(got []string, want ...string) {
	w.Helper()
	if len(got) != len(want) {
		w.Fatalf("%d rows, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	for i := range want {
		if got[i] != want[i] {
			w.Errorf("row %d is %q, want %q", i, got[i], want[i])
		}
	}
}

// refused asserts a Refusal with a reason.
func (w *world) refused(err error, reason string) *outbox.Refusal {
	w.Helper()
	var r *outbox.Refusal
	if !errors.As(err, &r) || r.Reason != reason {
		w.Fatalf("got %v, want a refusal %s", err, reason)
	}
	if r.Hint == "" || r.Text == "" {
		w.Errorf("the refusal says too little: %v", r)
	}
	return r
}

func insert(ids ...int) string {
	var v []string
	for _, id := range ids {
		v = append(v, fmt.Sprintf("(%d, 'k%d', 'p%d')", id, id, id))
	}
	return "insert into outbox (id, k, payload) values " + strings.Join(v, ", ")
}

func row(id int) string { return fmt.Sprintf("%d|k%d|p%d", id, id, id) }

// fixed is a password that never changes.
func fixed(s string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return s, nil }
}

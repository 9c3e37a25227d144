package mysql

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Events as real servers sent them (MySQL 9.7, MariaDB 10.11), in testdata:
// each with its length in front, 4 bytes. TAILER_CAPTURE=1 with servers in the
// environment takes them anew.

const capturedTable = `create table outbox (id binary(4) primary key, k varchar(20), n decimal(10,2) unsigned, at datetime(3), kind enum('a','b'), doc json) engine=innodb`

var captured = []string{
	"insert into outbox values (0x01000000, 'one', 1.5, '2026-11-22 12:34:56.789', 'b', '{\"x\": [1, 2.0]}')",
	"insert into other values (1)",
	"begin", "insert into outbox values (0x02000000, null, null, null, null, null), (0x03000000, '', 0, '2000-01-01', 'a', '[]')",
	"update outbox set k = 'changed'", "commit",
	"alter table outbox add column more int first",
	"insert into outbox values (7, 0x04000000, 'four', 4, null, 'a', 'null')",
}

// wantCaptured are the rows of both servers; MariaDB keeps JSON as the text
// that came.
var wantCaptured = []string{
	"\x01\x00\x00\x00|one|1.50|2026-11-22 12:34:56.789|b|{\"x\": [1, 2.0]}",
	"\x02\x00\x00\x00|<null>|<null>|<null>|<null>|<null>",
	"\x03\x00\x00\x00||0.00|2000-01-01 00:00:00.000|a|[]",
	"\x04\x00\x00\x00|four|4.00|<null>|a|null",
}

func TestCapture(t *testing.T) {
	if os.Getenv("TAILER_CAPTURE") == "" {
		t.Skip("TAILER_CAPTURE is not set: what is in testdata stays")
	}
	onServers(t, func(w *world) {
		w.database = "captured" // the name is in the events
		w.exec("drop database if exists captured", "create database captured", "use captured", capturedTable, "create table other (id int primary key) engine=innodb")
		w.Cleanup(func() { w.exec("drop database captured") })
		s := w.source(Table{Name: "outbox", Columns: []string{"id"}})
		r := w.here(s)
		w.exec(captured...)
		end := w.here(s)
		p, _ := parsePlace(s.id.mode, r.Position.Text)
		until, _ := parsePlace(s.id.mode, end.Position.Text)
		f, err := newFeed(w.ctx(), s, r, outbox.NewHandoff(2, outbox.Limits{Rows: 100, Bytes: 1 << 20}, r))
		if err != nil {
			w.Fatal(err)
		}
		f.until, f.reload = &until, func(i int) (tableFacts, error) { return s.loadTable(w.ctx(), s.ctl, i, true) }
		var out []byte
		d := &dump{src: s}
		d.event = func(h header, body []byte) error {
			var head [headerSize]byte
			binary.LittleEndian.PutUint32(head[0:], h.time)
			head[4] = byte(h.typ)
			binary.LittleEndian.PutUint32(head[5:], h.server)
			binary.LittleEndian.PutUint32(head[9:], uint32(headerSize+len(body)))
			binary.LittleEndian.PutUint32(head[13:], h.end)
			binary.LittleEndian.PutUint16(head[17:], h.flags)
			out = binary.LittleEndian.AppendUint32(out, uint32(headerSize+len(body)))
			out = append(append(out, head[:]...), body...)
			return f.event(h, body, false)
		}
		if err := d.run(w.ctx(), &p); !errors.Is(err, outbox.ErrEnd) {
			w.Fatal(err)
		}
		if err := os.WriteFile("testdata/"+w.url.Scheme+".events", out, 0o644); err != nil {
			w.Fatal(err)
		}
	})
}

// loadEvents reads testdata.
func loadEvents(t testing.TB, kind outbox.Kind) (list [][]byte) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + string(kind) + ".events")
	if err != nil {
		t.Fatal(err)
	}
	for len(b) > 0 {
		n := 4 + int(binary.LittleEndian.Uint32(b))
		list = append(list, b[4:n])
		b = b[n:]
	}
	return list
}

// capturedFeed is a feed without a server.
func capturedFeed(t testing.TB, kind outbox.Kind, columns ...string) (*feed, *outbox.Handoff) {
	t.Helper()
	s := New(Config{URL: string(kind) + "://u@h/captured", Tables: []Table{{Name: "outbox", Columns: columns}}}, quiet())
	s.id = identity{kind: kind, server: "s"}
	if kind == outbox.MariaDB {
		s.id.mode = byDomain
	}
	s.collations = map[int]string{63: "binary", 45: "utf8mb4", 255: "utf8mb4", 46: "utf8mb4"}
	facts := tableFacts{exists: true, schema: "captured", name: "outbox"}
	s.tables = []tableFacts{facts}
	r := outbox.Resume{Position: outbox.Position{Kind: kind, Text: none}, Lineage: "s"}
	h := outbox.NewHandoff(3, outbox.Limits{Rows: 1000, Bytes: 1 << 20}, r)
	f, err := newFeed(context.Background(), s, r, h)
	if err != nil {
		t.Fatal(err)
	}
	f.reload = func(int) (tableFacts, error) { return facts, nil }
	return f, h
}

func TestCaptured(t *testing.T) {
	for _, kind := range []outbox.Kind{outbox.MySQL, outbox.MariaDB} {
		t.Run(string(kind), func(t *testing.T) {
			f, h := capturedFeed(t, kind, "id", "k", "n", "at", "kind", "doc")
			for _, e := range loadEvents(t, kind) {
				if err := f.event(scanHeader(e), e[headerSize:], false); err != nil {
					t.Fatal(err)
				}
			}
			f.settle()
			b, err := h.Take(context.Background(), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			got := copyBatch(b)
			if !slices.Equal(got.rows, wantCaptured) {
				t.Errorf("got  %q\nwant %q", got.rows, wantCaptured)
			}
			if len(b.Txns) != 3 || b.Txns[0].Commit.Before(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) {
				t.Errorf("%d transactions, the first of %s", len(b.Txns), b.Txns[0].Commit)
			}
			if !strings.Contains(got.resume.Lineage, "last="+got.txns[3]) {
				t.Errorf("lineage %s does not name %s", got.resume.Lineage, got.txns[3])
			}
		})
	}
}

// A transaction costs the feed no allocation, whether its rows are wanted or
// another table's.
func TestFeedAllocatesNothing(t *testing.T) {
	for _, kind := range []outbox.Kind{outbox.MySQL, outbox.MariaDB} {
		f, h := capturedFeed(t, kind, "id", "k", "n", "at", "kind", "doc")
		var txn [][]byte
		begun := false
		for _, e := range loadEvents(t, kind) {
			switch typ := scanHeader(e).typ; typ {
			case replication.FORMAT_DESCRIPTION_EVENT, replication.ROTATE_EVENT:
				continue
			case replication.GTID_EVENT, replication.MARIADB_GTID_EVENT, replication.GTID_TAGGED_LOG_EVENT:
				begun = true
			}
			if begun {
				txn = append(txn, e)
			}
			if scanHeader(e).typ == replication.XID_EVENT {
				break
			}
		}
		run := func() {
			for _, e := range txn {
				if err := f.event(scanHeader(e), e[headerSize:], false); err != nil {
					t.Fatal(err)
				}
			}
		}
		drain := func() {
			f.settle()
			b, err := h.Take(context.Background(), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			h.Recycle(b)
		}
		run()
		drain()
		// Room for everything that follows.
		for range 3 {
			for range 600 {
				run()
			}
			drain()
		}
		run()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %.0f allocations a transaction, want 0", kind, n)
		}
	}
}

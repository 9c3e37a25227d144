package pg

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tailer-io/tailer/internal/outbox"
)

func TestLSN(t *testing.T) {
	for _, s := range []string{"0/0", "0/16B3748", "1/0", "FFFFFFFF/FFFFFFFF", "A/B0"} {
		l, err := parseLSN(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(appendLSN(nil, l)); got != s || got != l.String() {
			t.Errorf("%s became %s", s, got)
		}
	}
	for _, s := range []string{"", "0", "/", "0/", "/0", "0/G", "0/1 ", "+1/0", "0/-1", "123456789/0", "0x1/0", "1/2/3", "0/1_0"} {
		if l, err := parseLSN(s); err == nil {
			t.Errorf("%q became %s", s, l)
		}
	}
	xid, final, err := parseOpen(string(appendOpen(nil, 4294967295, 0x1_0000_00AB)))
	if err != nil || xid != 4294967295 || final != 0x1_0000_00AB {
		t.Error(xid, final, err)
	}
	for _, s := range []string{"", "1", "@", "1@", "@0/1", "x@0/1", "4294967296@0/1"} {
		if _, _, err := parseOpen(s); err == nil {
			t.Errorf("%q is no open transaction", s)
		}
	}
}

func TestParseHistory(t *testing.T) {
	h, err := parseHistory("1\t0/5000000\tno recovery target specified\n\n# x\n2\t1/A0\tbefore 2000\n")
	if err != nil || len(h) != 2 || h[0] != (branch{1, 0x5000000}) || h[1] != (branch{2, 0x1_0000_00A0}) {
		t.Error(h, err)
	}
	for _, s := range []string{"1", "x 0/1", "1 01"} {
		if _, err := parseHistory(s); err == nil {
			t.Errorf("%q is no history", s)
		}
	}
}

func TestTimelineGuard(t *testing.T) {
	s := &Source{id: identity{timeline: 3}}
	var r *outbox.Refusal
	if err := s.proveTimeline(context.Background(), "3", 5, 5); err != nil {
		t.Error(err)
	}
	for _, lineage := range []string{"4", "", "x", "-1"} {
		if err := s.proveTimeline(context.Background(), lineage, 5, 5); !errors.As(err, &r) || r.Reason != ReasonTimeline {
			t.Errorf("timeline %q: %v", lineage, err)
		}
	}
	history := []branch{{1, 0x100}, {2, 0x200}}
	for _, c := range []struct {
		timeline  uint32
		at, final lsn
		ok        bool
	}{{2, 0x200, 0x200, true}, {2, 0x201, 0x201, false}, {2, 0x100, 0x201, false}, {1, 0x100, 0x100, true}, {1, 0x101, 0x101, false}, {7, 1, 1, false}} {
		if err := s.onHistory(history, c.timeline, c.at, c.final); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestCreateSlotCommand(t *testing.T) {
	for _, c := range []struct {
		version           int
		temporary, export bool
		want              string
	}{
		{14, false, true, `CREATE_REPLICATION_SLOT "s" LOGICAL pgoutput EXPORT_SNAPSHOT`},
		{14, true, false, `CREATE_REPLICATION_SLOT "s" TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT`},
		{15, false, true, `CREATE_REPLICATION_SLOT "s" LOGICAL pgoutput (SNAPSHOT 'export')`},
		{17, false, true, `CREATE_REPLICATION_SLOT "s" LOGICAL pgoutput (SNAPSHOT 'export', FAILOVER true)`},
		{18, true, false, `CREATE_REPLICATION_SLOT "s" TEMPORARY LOGICAL pgoutput (SNAPSHOT 'nothing')`},
	} {
		if got := createSlotCommand("s", c.version, c.temporary, c.export); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestNames(t *testing.T) {
	if a, b := lockKey("a"), lockKey("b"); a == b {
		t.Error("two names have one lock")
	}
	if got := applicationName(strings.Repeat("x", 100)); len(got) != 63 {
		t.Errorf("application name %q", got)
	}
	if got := quoteLiteral(`a'b\c`); got != ` E'a''b\\c'` {
		t.Errorf("got %s", got)
	}
}

// corpus is what a real server said, each message with the header that
// streaming puts before it.
func corpus(tb testing.TB) [][]byte {
	tb.Helper()
	f, err := os.Open("testdata/pgoutput.hex")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var out [][]byte
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		b, err := hex.DecodeString(lines.Text())
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, append(append([]byte{'w'}, make([]byte, 24)...), b...))
	}
	if len(out) < 30 {
		tb.Fatalf("%d messages", len(out))
	}
	return out
}

var corpusTables = []Table{
	{Schema: "public", Name: "outbox", Columns: []string{"payload", "id", "aggregateid"}},
	{Schema: "public", Name: "parted", Columns: []string{"v"}},
}

func testFeed(tb testing.TB, tables []Table, l outbox.Limits, r outbox.Resume, until lsn) *feed {
	tb.Helper()
	var at lsn
	if !r.IsZero() {
		var err error
		if at, err = positionLSN(r.Position); err != nil {
			tb.Fatal(err)
		}
	}
	f, err := newFeed(tables, r, at, outbox.NewHandoff(100, l, r), until, new(atomic.Uint64))
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func keepalive(at lsn, reply bool) []byte {
	b := append([]byte{'k'}, make([]byte, 17)...)
	binary.BigEndian.PutUint64(b[1:], uint64(at))
	if reply {
		b[17] = 1
	}
	return b
}

// Whole rows have every column that the log brings, those that are wanted as ever.
func TestFeedBringsWholeRows(t *testing.T) {
	ctx := context.Background()
	f := testFeed(t, corpusTables, outbox.Limits{Rows: 100, Bytes: 1 << 20}, outbox.Resume{Lineage: "1"}, 0)
	f.whole = true
	for i, m := range corpus(t) {
		if err := f.message(ctx, m); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	f.settle()
	b, err := f.h.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range b.Rows {
		r := &b.Rows[i]
		line := fmt.Sprint(r.Shape.Table)
		size := 0
		for k := range r.Shape.Columns {
			v, _ := b.Value(r, k)
			size += len(v)
		}
		if size != r.Size {
			t.Errorf("row %d has %d bytes that are wanted, and says %d", i, size, r.Size)
		}
		for k, c := range r.Shape.Rest {
			v, ok := b.Rest(r, k)
			if !ok {
				v = []byte("NULL")
			}
			line += fmt.Sprintf(" %s(%s)=%s", c.Name, c.Type, v)
		}
		got = append(got, line)
	}
	want := []string{
		"0 aggregatetype(text)=order type(text)=created note(text)=NULL m(oid:16960)=fine",
		"0 aggregatetype(text)=order type(text)=created note(text)= m(oid:16960)=NULL",
		"0 aggregatetype(text)=order type(text)=paid note(text)=" + strings.Repeat("n", 300) + " m(oid:16960)=NULL",
		"1 id(int4)=5",
		"0 aggregatetype(text)=order type(text)=created m(oid:16960)=fine extra(oid:1007)={1,2}",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestFeedCorpus(t *testing.T) {
	ctx := context.Background()
	f := testFeed(t, corpusTables, outbox.Limits{Rows: 100, Bytes: 1 << 20}, outbox.Resume{Lineage: "1"}, 0)
	for i, m := range corpus(t) {
		if err := f.message(ctx, m); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	if err := f.message(ctx, keepalive(0x11020300, true)); err != nil || !f.replyAsked {
		t.Fatal(err)
	}
	f.settle()
	b, err := f.h.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range b.Rows {
		line := fmt.Sprintf("%d %s %d:", b.Rows[i].Shape.Table, b.PositionText(i), b.Ordinal(i))
		for k, c := range b.Rows[i].Shape.Columns {
			v, ok := b.Value(&b.Rows[i], k)
			if !ok {
				v = []byte("NULL")
			}
			line += fmt.Sprintf(" %s(%s)=%s", c.Name, c.Type, v)
		}
		got = append(got, line)
	}
	const id = "00000000-0000-0000-0000-00000000000"
	want := []string{
		`0 0/1101F2C8 1: payload(jsonb)={"x": 1.50} id(uuid)=` + id + `1 aggregateid(text)=a-1`,
		`0 0/1101F5B8 1: payload(jsonb)=NULL id(uuid)=` + id + `2 aggregateid(text)=a-2`,
		`0 0/1101F5B8 2: payload(jsonb)=[] id(uuid)=` + id + `3 aggregateid(text)=ä`,
		`1 0/1101FAE8 1: v(bytea)=\x00ff`,
		`0 0/11020298 1: payload(jsonb)={} id(uuid)=` + id + `4 aggregateid(text)=a-4`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if b.Rows[0].Shape != b.Rows[1].Shape {
		t.Error("the same description made another shape")
	}
	if want := (outbox.Resume{Position: position(0x11020300), Lineage: "1"}); b.Resume.Position != want.Position || b.Resume.Lineage != "1" || b.Resume.Open != nil {
		t.Errorf("resume %+v", b.Resume)
	}
}

// Every message cut short, and with a byte too much, is an error and never a
// panic.
func TestFeedMalformed(t *testing.T) {
	ctx := context.Background()
	all := corpus(t)
	for i, m := range all {
		for _, bad := range [][]byte{m[:len(m)-1], m[:26], m[:25], m[:10], {}, append(bytes.Clone(m), 0)} {
			f := testFeed(t, corpusTables, outbox.Limits{Rows: 100, Bytes: 1 << 20}, outbox.Resume{}, 0)
			for _, before := range all[:i] {
				if err := f.message(ctx, before); err != nil {
					t.Fatal(err)
				}
			}
			ignored := len(bad) > 25 && strings.IndexByte("UDTYOM", bad[25]) >= 0 ||
				len(bad) > 34 && bad[25] == 'I' && f.rels[binary.BigEndian.Uint32(bad[26:])].shape == nil
			if err := f.message(ctx, bad); err == nil && !ignored {
				t.Errorf("message %d of kind %q as %d bytes was taken", i, m[25], len(bad))
			}
		}
	}
	f := testFeed(t, corpusTables, outbox.Limits{Rows: 100, Bytes: 1 << 20}, outbox.Resume{}, 0)
	for _, bad := range []string{"x", "k", "w", strings.Repeat("w", 26)} {
		if err := f.message(ctx, []byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if err := f.message(ctx, all[3]); err == nil {
		t.Error("an insert outside a transaction was taken")
	}
	if err := f.message(ctx, all[4]); err == nil {
		t.Error("a commit outside a transaction was taken")
	}
}

func FuzzFeed(f *testing.F) {
	all := corpus(f)
	var joined []byte
	for _, m := range all {
		joined = binary.BigEndian.AppendUint16(joined, uint16(len(m)))
		joined = append(joined, m...)
	}
	f.Add(joined)
	f.Add(append(binary.BigEndian.AppendUint16(nil, 18), keepalive(5, true)...))
	f.Fuzz(func(t *testing.T, in []byte) {
		ctx := context.Background()
		fd := testFeed(t, corpusTables, outbox.Limits{Rows: 3, Bytes: 1 << 10}, outbox.Resume{}, 0)
		for n := 0; len(in) >= 2 && n < 90; n++ {
			size := min(int(binary.BigEndian.Uint16(in)), len(in)-2)
			if err := fd.message(ctx, in[2:2+size]); err != nil {
				return
			}
			in = in[2+size:]
		}
		fd.settle()
	})
}

// framed puts messages into protocol messages.
func framed(typ byte, bodies ...[]byte) []byte {
	var out []byte
	for _, b := range bodies {
		out = append(out, typ)
		out = binary.BigEndian.AppendUint32(out, uint32(len(b)+4))
		out = append(out, b...)
	}
	return out
}

// However the bytes come, set-up ends between two messages and loses nothing
// of what follows.
func TestReaderBoundary(t *testing.T) {
	setup := append(framed('S', []byte("a\x00b\x00"), []byte("server_version\x0015\x00")), framed('W', []byte{0, 0, 0})...)
	bodies := corpus(t)
	big := bytes.Repeat([]byte{'y'}, 200_000)
	bodies = append(bodies, append(append([]byte{'w'}, make([]byte, 24)...), big...))
	bodies = append(bodies, bodies[:5]...)
	stream := append(bytes.Clone(setup), framed('d', bodies...)...)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "half": iotest.HalfReader, "bytes": iotest.OneByteReader,
		"data and error": iotest.DataErrReader,
	} {
		d := newReader(wrap(bytes.NewReader(stream)))
		front := pgproto3.NewFrontend(d, io.Discard)
		for {
			m, err := front.Receive()
			if err != nil {
				t.Fatal(name, err)
			}
			if _, ok := m.(*pgproto3.CopyBothResponse); ok {
				break
			}
		}
		if !d.between() || front.ReadBufferLen() != 0 {
			t.Fatalf("%s: %d bytes were left in the frontend", name, front.ReadBufferLen())
		}
		for i := 0; i < len(bodies); {
			typ, body, ok, err := d.take()
			if err != nil {
				t.Fatal(name, err)
			}
			if !ok {
				if err := d.fill(); err != nil {
					t.Fatal(name, i, err)
				}
				continue
			}
			if typ != 'd' || !bytes.Equal(body, bodies[i]) {
				t.Fatalf("%s: message %d is not what was sent", name, i)
			}
			i++
		}
		if err := d.fill(); err != io.EOF {
			t.Errorf("%s: %v", name, err)
		}
		if len(d.buf) != bufferSize {
			t.Errorf("%s: the buffer stayed at %d bytes", name, len(d.buf))
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(framed('d', corpus(f)...), uint8(3))
	f.Add([]byte("d\x00\x00\x00\x03"), uint8(0))
	f.Fuzz(func(t *testing.T, in []byte, setup uint8) {
		d := newReader(iotest.HalfReader(bytes.NewReader(in)))
		d.max = 1 << 20
		var back []byte // what came out, put together again
		p := make([]byte, 8192)
		for range setup {
			n, err := d.Read(p)
			if err != nil {
				return
			}
			back = append(back, p[:n]...)
		}
		for !d.between() {
			n, err := d.Read(p)
			if err != nil {
				return
			}
			back = append(back, p[:n]...)
		}
		for {
			typ, body, ok, err := d.take()
			if err != nil {
				break
			}
			if ok {
				back = append(back, framed(typ, body)...)
				continue
			}
			if d.fill() != nil {
				break
			}
		}
		if !bytes.HasPrefix(in, back) {
			t.Fatal("what came out is not what went in")
		}
	})
}

// loop gives the same bytes for ever, as much at a time as fits.
type loop struct {
	b  []byte
	at int
}

func (l *loop) Read(p []byte) (int, error) {
	n := copy(p, l.b[l.at:])
	l.at = (l.at + n) % len(l.b)
	return n, nil
}

// benchFeed is a stream of transactions of so many rows, and a function that
// reads rows of it.
func benchFeed(tb testing.TB, perTxn int) func(rows int) {
	rel := func() []byte {
		b := append([]byte{'w'}, make([]byte, 24)...)
		b = append(b, 'R')
		b = binary.BigEndian.AppendUint32(b, 7)
		b = append(b, "public\x00outbox\x00d\x00\x05"...)
		for _, c := range []string{"id", "aggregatetype", "aggregateid", "type", "payload"} {
			b = append(append(append(b, 0), c...), 0)
			b = binary.BigEndian.AppendUint32(b, 25)
			b = binary.BigEndian.AppendUint32(b, 0xffffffff)
		}
		return b
	}()
	ins := append(append([]byte{'w'}, make([]byte, 24)...), 'I', 0, 0, 0, 7, 'N', 0, 5)
	for _, v := range []string{"00000000-0000-0000-0000-000000000001", "order", "a-123456", "created", strings.Repeat("x", 250)} {
		ins = append(ins, 't')
		ins = binary.BigEndian.AppendUint32(ins, uint32(len(v)))
		ins = append(ins, v...)
	}
	begin := append(append([]byte{'w'}, make([]byte, 24)...), 'B')
	begin = append(begin, make([]byte, 20)...)
	binary.BigEndian.PutUint64(begin[26:], 1<<40)
	commit := append(append([]byte{'w'}, make([]byte, 24)...), 'C', 0)
	commit = append(commit, make([]byte, 24)...)
	binary.BigEndian.PutUint64(commit[27:], 1<<40)
	binary.BigEndian.PutUint64(commit[35:], 1<<40+1)

	f := testFeed(tb, []Table{{Schema: "public", Name: "outbox", Columns: []string{"id", "aggregatetype", "aggregateid", "type", "payload"}}},
		outbox.Limits{Rows: 10000, Bytes: 8 << 20}, outbox.Resume{}, 0)
	ctx := context.Background()
	if err := f.message(ctx, rel); err != nil {
		tb.Fatal(err)
	}
	txn := framed('d', begin)
	for range perTxn {
		txn = append(txn, framed('d', ins)...)
	}
	txn = append(txn, framed('d', commit)...)
	past := time.Unix(1, 0)
	src := &loop{b: txn}
	for len(src.b) < 1<<20 {
		src.b = append(src.b, txn...)
	}
	d := newReader(src)
	have := 0
	return func(rows int) {
		for have -= rows; have < 0; {
			_, body, ok, err := d.take()
			if err != nil {
				tb.Fatal(err)
			}
			if !ok {
				f.settle()
				if err := d.fill(); err != nil {
					tb.Fatal(err)
				}
				continue
			}
			if body[25] == 'B' {
				f.done = 0 // the same transaction again
			}
			if body[25] == 'I' {
				have++
			}
			if err := f.message(ctx, body); err != nil {
				tb.Fatal(err)
			}
			if f.batch == nil {
				// It was full: be the publisher.
				b, err := f.h.Take(ctx, past)
				if err != nil {
					tb.Fatal(err)
				}
				if b != nil {
					f.h.Recycle(b)
				}
			}
		}
	}
}

func TestScanAllocations(t *testing.T) {
	for _, perTxn := range []int{1, 100} {
		read := benchFeed(t, perTxn)
		read(50000) // batches have grown
		const rows = 20000
		// Two texts a hand-over of 64 KB or of a full batch are all.
		if per := testing.AllocsPerRun(3, func() { read(rows) }) / rows; per > 0.02 {
			t.Errorf("%d rows a transaction: %.4f allocations a row", perTxn, per)
		}
	}
}

func BenchmarkScan(b *testing.B) {
	for _, perTxn := range []int{1, 100} {
		b.Run(fmt.Sprintf("rows=%d", perTxn), func(b *testing.B) {
			read := benchFeed(b, perTxn)
			read(50000)
			b.ReportAllocs()
			b.ResetTimer()
			read(b.N)
		})
	}
}

// A keepalive may be far behind the place at which the stream is to end. With
// some of the tables chosen what lies between is not known to hold nothing.
func TestFeedEndsNoFurtherThanAsked(t *testing.T) {
	f := testFeed(t, nil, outbox.Limits{Rows: 10, Bytes: 1 << 20}, outbox.Resume{Position: position(50)}, 100)
	if err := f.message(t.Context(), keepalive(150, false)); err != outbox.ErrEnd || f.done != 100 {
		t.Errorf("%v at %s, want the end at %s", err, f.done, lsn(100))
	}
}

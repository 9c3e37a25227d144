package checkpoint

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

func sample() *Record {
	r := &Record{
		Version: 1, Phase: PhaseStreaming, Source: Source{Kind: outbox.Postgres, Identity: "7/db"}, Cluster: "c1",
		Tables: []string{"public.a", "public.b"}, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Tailer: "1.0", Instance: "i1",
	}
	r.SetResume(outbox.Resume{
		Position: outbox.Position{Kind: outbox.Postgres, Text: "0/16B3748"}, Lineage: "3", Open: &outbox.Open{Txn: "7@0/16B3800", Rows: 20000},
	})
	return r
}

// The stored form is read by older and newer binaries, and by people: it must
// not change by accident.
func TestEncode(t *testing.T) {
	const want = `{"version":1,"phase":"streaming","source":{"kind":"postgres","identity":"7/db"},"kafka_cluster":"c1","tables":["public.a","public.b"],"position":"0/16B3748","lineage":"3","open":{"txn":"7@0/16B3800","rows":20000,"tables_hash":"dc180b5a0cb285fa"},"time":"2026-01-02T03:04:05Z","tailer":"1.0","instance":"i1"}`
	got := string(sample().Encode())
	if got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	back, err := Decode([]byte(got))
	if err != nil || !reflect.DeepEqual(back, sample()) {
		t.Errorf("decode: %+v, %v", back, err)
	}
	if !back.SameResume(sample()) {
		t.Error("a record read back says something else")
	}
}

// A filter is stored in a version of its own: a binary that does not know it
// would publish all rows, or none. Nothing else is.
func TestEncodeFilter(t *testing.T) {
	r := &Record{Phase: PhaseSnapshot, Source: Source{Kind: outbox.Postgres, Identity: "7/db"}, Tables: []string{"public.a"},
		Filter: &outbox.Filter{Where: "id > 'x'", Tables: []string{"public.a"}}, Tailer: "1.0", Instance: "i1"}
	const want = `{"version":2,"phase":"snapshot","source":{"kind":"postgres","identity":"7/db"},"tables":["public.a"],"position":"","filter":{"where":"id \u003e 'x'","tables":["public.a"]},"time":"0001-01-01T00:00:00Z","tailer":"1.0","instance":"i1"}`
	if got := string(r.Encode()); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	back, err := Decode(r.Encode())
	if err != nil || back.Version != 2 || !reflect.DeepEqual(back.Filter, r.Filter) {
		t.Errorf("decode: %+v, %v", back, err)
	}
	back.Filter = nil
	if got := string(back.Encode()); !strings.Contains(got, `"version":1`) {
		t.Errorf("without the filter: %s", got)
	}
	back.LastCommit = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if got := string(back.Encode()); !strings.Contains(got, `"version":1`) || !strings.Contains(got, `"last_commit":"2026-01-02T03:04:05Z"`) {
		t.Errorf("with the newest commit: %s", got)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for in, want := range map[string]string{
		``:              ReasonUnreadable,
		`{}`:            ReasonUnreadable,
		`[1]`:           ReasonUnreadable,
		`{"version":3}`: ReasonNewer,
		`{"version":1,"phase":"later","position":"0/1"}`:  ReasonUnreadable,
		`{"version":1,"phase":"streaming","position":""}`: ReasonUnreadable,
		`{"version":1,"phase":"streaming","position":1}`:  ReasonUnreadable,
	} {
		_, err := Decode([]byte(in))
		var r *outbox.Refusal
		if !errors.As(err, &r) || r.Reason != want || r.Hint == "" {
			t.Errorf("%s: %v, want a refusal %s with a hint", in, err, want)
		}
	}
	if _, err := Decode([]byte(`{"version":1,"phase":"snapshot","position":"","later_field":1}`)); err != nil {
		t.Errorf("an unknown field: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(sample().Encode())
	f.Add([]byte(`{"version":1,"phase":"snapshot"}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := Decode(in)
		if err != nil {
			return
		}
		back, err := Decode(r.Encode())
		if err != nil || !back.SameResume(r) {
			t.Errorf("%q does not survive: %v", in, err)
		}
	})
}

func TestFits(t *testing.T) {
	id := outbox.Identity{Kind: outbox.Postgres, ID: "7/db"}
	if err := sample().Fits("n", id, "c1", []string{"public.b", "public.a"}); err != nil {
		t.Errorf("order of tables: %v", err)
	}
	if err := sample().Fits("n", id, "c1", []string{"public.b", "public.a", "public.c"}); err != nil {
		t.Errorf("a table that was added: %v", err)
	}
	if got := sample().Added([]string{"public.d", "public.b", "public.c"}); !slices.Equal(got, []string{"public.c", "public.d"}) {
		t.Errorf("added are %v", got)
	}
	if got := sample().Removed([]string{"public.d", "public.b"}); !slices.Equal(got, []string{"public.a"}) {
		t.Errorf("removed are %v", got)
	}
	for want, err := range map[string]error{
		ReasonOtherSource:  sample().Fits("n", outbox.Identity{Kind: outbox.Postgres, ID: "8/db"}, "c1", []string{"public.a", "public.b"}),
		ReasonOtherCluster: sample().Fits("n", id, "c2", []string{"public.a", "public.b"}),
		ReasonTables:       sample().Fits("n", id, "c1", []string{"public.a"}),
	} {
		var r *outbox.Refusal
		if !errors.As(err, &r) || r.Reason != want || !strings.Contains(r.Hint, "tailer checkpoint") {
			t.Errorf("%v, want %s with a command in its hint", err, want)
		}
	}
}

func TestSameResume(t *testing.T) {
	for name, change := range map[string]func(*Record){
		"position": func(r *Record) { r.Position = "0/1" },
		"lineage":  func(r *Record) { r.Lineage = "4" },
		"phase":    func(r *Record) { r.Phase = PhaseSnapshot },
		"rows":     func(r *Record) { r.Open.Rows++ },
		"open":     func(r *Record) { r.Open = nil },
		"tables":   func(r *Record) { r.Tables = r.Tables[:1] },
	} {
		r := sample()
		change(r)
		if r.SameResume(sample()) || sample().SameResume(r) {
			t.Errorf("%s makes no difference", name)
		}
	}
	later := sample()
	later.Time, later.Instance = time.Now(), "i2"
	if !later.SameResume(sample()) || later.SameResume(nil) {
		t.Error("who wrote it and when must make none")
	}
}

func TestFile(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "checkpoint")
	f, other := NewFile(path), NewFile(path)
	if b, err := f.Load(ctx); b != nil || err != nil {
		t.Fatalf("load before save: %q, %v", b, err)
	}
	if err := f.Lock(); err != nil {
		t.Fatal(err)
	}
	if err := other.Lock(); !errors.Is(err, ErrInUse) {
		t.Error("two locks")
	}
	for _, s := range []string{"one", "two"} {
		if err := f.Save(ctx, []byte(s)); err != nil {
			t.Fatal(err)
		}
		if b, err := NewFile(path).Load(ctx); string(b) != s || err != nil {
			t.Fatalf("load: %q, %v", b, err)
		}
	}
	// A stale writer loses.
	if err := other.Save(ctx, []byte("stale")); err == nil {
		t.Error("a writer that read nothing replaced the record")
	}
	if left, _ := filepath.Glob(path + ".new*"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := f.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after remove: %v", err)
	}
}

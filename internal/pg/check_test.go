package pg_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/pg"
)

func find(t *testing.T, list []outbox.Finding, what string) outbox.Finding {
	t.Helper()
	for _, f := range list {
		if f.What == what {
			return f
		}
	}
	t.Fatalf("no finding %q in %+v", what, list)
	return outbox.Finding{}
}

func TestCheckSetupTeardown(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	ctx := context.Background()
	s := newSource(t, db.config())
	for _, f := range s.Check(ctx) {
		if f.Level == outbox.Fail {
			t.Errorf("%+v", f)
		}
		if f.Level != outbox.OK && f.Fix == "" {
			t.Errorf("no fix: %+v", f)
		}
	}
	if db.ask("select count(*) from pg_publication") != "0" {
		t.Error("check created a publication")
	}
	did, err := s.Setup(ctx, true)
	if err != nil || len(did) != 2 || !strings.HasPrefix(did[0], "created publication") || !strings.HasPrefix(did[1], "created slot") {
		t.Fatal(did, err)
	}
	s.Close()
	if did, err = s.Setup(ctx, true); err != nil || !strings.Contains(did[1], "already") {
		t.Fatal(did, err)
	}
	_, at, err := s.Anchor(ctx)
	if err != nil {
		t.Fatal(err)
	}
	db.exec(`alter publication "Pub %s" drop table outbox; alter table outbox drop column payload`, db.name)
	list := newSource(t, db.config()).Check(ctx)
	if f := find(t, list, "publication Pub "+db.name); f.Level != outbox.Fail || !strings.Contains(f.Fix, "ADD TABLE") {
		t.Errorf("%+v", f)
	}
	if f := find(t, list, "table public.outbox"); f.Level != outbox.Fail || !strings.Contains(f.Found, `"payload"`) {
		t.Errorf("%+v", f)
	}
	if f := find(t, list, "slot "+db.slot); f.Level != outbox.OK || !strings.Contains(f.Found, "confirmed up to") {
		t.Errorf("%+v", f)
	}
	db.exec(`alter publication "Pub %s" add table outbox`, db.name)

	tl := startTailWith(t, s, at, wide, true)
	for db.senderPID() == "" {
	}
	other := newSource(t, db.config())
	_, err = other.Teardown(ctx)
	refused(t, err, pg.ReasonSlotActive)
	_, _ = tl.stop()
	s.Close()
	for db.senderPID() != "" {
	}
	did, err = other.Teardown(ctx)
	if err != nil || len(did) != 2 {
		t.Fatal(did, err)
	}
	if did, err = other.Teardown(ctx); err != nil || !strings.Contains(did[0], "does not exist") {
		t.Fatal(did, err)
	}
}

// The printed statements work, for a role with no more rights than they give.
func TestSetupSQLIsEnough(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	role := "role_" + unique()
	t.Cleanup(func() {
		c := dial(t, db.url)
		_ = run(c, "drop owned by "+role+"; drop role "+role)
		_ = c.Close(context.Background())
	})
	s := newSource(t, func() pg.Config {
		c := db.config()
		c.URL = strings.Replace(c.URL, "//postgres@", "//"+role+"@", 1)
		return c
	}())
	for _, line := range s.SetupSQL() {
		if !strings.HasPrefix(line, "--") && !strings.Contains(line, "pg_create_logical_replication_slot") {
			db.exec("%s", line)
		}
	}
	ctx := context.Background()
	for _, f := range s.Check(ctx) {
		if f.Level == outbox.Fail {
			t.Errorf("%+v", f)
		}
	}
	if _, err := s.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Prepare(ctx); err != nil {
		t.Fatal(err)
	}
	snap, err := s.CreateAnchor(ctx, outbox.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	snap.Close()
	if err := s.Prove(ctx, snap.Resume()); err != nil {
		t.Fatal(err)
	}
	tl := startTail(t, s, snap.Resume(), wide)
	db.exec(`insert into outbox (aggregateid) values ('1')`)
	tl.waitRows(1)
}

func TestCheckUnreachable(t *testing.T) {
	s := newSource(t, pg.Config{
		URL: "postgres://u:secret@127.0.0.1:1/db?sslmode=disable", Name: "n", Slot: "s", Publication: "p",
		Tables: []pg.Table{{Schema: "public", Name: "outbox", Columns: columns}},
	})
	list := s.Check(context.Background())
	f := find(t, list, "connection")
	if f.Level != outbox.Fail || f.Fix == "" || strings.Contains(f.Found, "secret") {
		t.Errorf("%+v", f)
	}
}

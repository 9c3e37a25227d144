package mysql

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// The server sends a transaction before it counts it as executed: with
// semi-synchronous replication until a replica has acknowledged it. A start
// that comes in between waits, and does not take the server for one that lost
// what was published.
func TestSentBeforeExecuted(t *testing.T) {
	t.Parallel()
	words := strings.Fields(os.Getenv("STACK_MYSQL_SERVER"))
	if len(words) == 0 {
		t.Skip("STACK_MYSQL_SERVER is not set")
	}
	plugins := filepath.Join(filepath.Dir(filepath.Dir(words[len(words)-1])), "lib", "mysql", "plugin")
	w := private(t, "STACK_MYSQL_URL", 1, "--plugin-dir="+plugins)
	w.app()
	w.exec("install plugin rpl_semi_sync_source soname 'semisync_source.so'", "set global rpl_semi_sync_source_timeout = 3000",
		"set global rpl_semi_sync_source_enabled = on") // and no replica is there
	s := w.source()
	x := w.stream(s, w.here(s), outbox.Limits{Rows: 10, Bytes: 1 << 20})
	x.opened()
	c := w.session()
	var writer sync.WaitGroup
	writer.Go(func() { w.on(c, insert(1)) })
	defer writer.Wait()
	b, err := x.h.Take(w.ctx(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	resume := b.Resume
	w.want(copyBatch(b).rows, row(1))
	if n := w.value("select count(*) from outbox"); n != "0" {
		t.Fatal("the server did not wait for a replica")
	}
	next := w.source()
	next.patience = settleWithin
	if err := next.Prove(w.ctx(), resume); err != nil {
		t.Errorf("a transaction that is about to be committed: %v", err)
	}
	if n := w.value("select count(*) from outbox"); n != "1" {
		t.Error("it was proven before it was committed")
	}
}

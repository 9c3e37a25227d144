package e2e

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/tailer-io/tailer/e2e/harness"
	"github.com/tailer-io/tailer/e2e/proxy"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Most cases wait most of the time: for a lock, a time-out, a poll. The default would be the number of CPUs.
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		flag.Set("test.parallel", "6")
	}
	os.Exit(m.Run())
}

// source is the server that the common cases run against.
func source(t *testing.T) harness.Server {
	t.Helper()
	switch kind := os.Getenv("E2E_SOURCE"); kind {
	case "", "postgres":
		return harness.NewPostgres(t, "STACK_PG_URL")
	default:
		t.Fatalf("E2E_SOURCE=%s: only postgres is known", kind)
		return nil
	}
}

// postgres is a case of its own on Postgres, for what only Postgres has.
func postgres(t *testing.T) (*harness.Case, *harness.PostgresDatabase) {
	t.Helper()
	if kind := os.Getenv("E2E_SOURCE"); kind != "" && kind != "postgres" {
		t.Skipf("E2E_SOURCE is %s", kind)
	}
	db := harness.NewPostgres(t, "STACK_PG_URL").Create(t)
	return harness.With(t, db), db
}

// world is a case with its outbox table.
func world(t *testing.T, server harness.Server) *harness.Case {
	t.Helper()
	c := harness.New(t, server)
	c.DB.CreateOutbox(t, c.DB.Outbox())
	return c
}

var faultListener sync.Mutex // held by the test that listens on STACK_KAFKA_FAULT_LISTEN

// faults starts the proxy in front of the broker. There is one address for it, so such tests wait for each other.
func faults(t *testing.T) *proxy.Proxy {
	t.Helper()
	listen, target := harness.Env(t, "STACK_KAFKA_FAULT_LISTEN"), harness.Env(t, "STACK_KAFKA_FAULT_TARGET")
	faultListener.Lock()
	p, err := proxy.Start(listen, target)
	if err != nil {
		faultListener.Unlock()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close()
		faultListener.Unlock()
	})
	return p
}

// throughProxy is the flag that sends a tailer to the proxy.
func throughProxy(t *testing.T) string {
	t.Helper()
	return "--kafka-brokers=" + harness.Env(t, "STACK_KAFKA_FAULT_LISTEN")
}

// anLSN among the words of holds stands for any log position.
const anLSN = "an LSN"

var lsn = regexp.MustCompile(`\b[0-9A-F]{1,8}/[0-9A-F]{1,8}\b`)

// holds demands that a text contains each of the words, whatever their case.
func holds(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if w == anLSN {
			if !lsn.MatchString(text) {
				t.Errorf("%s names no log position:\n%s", what, text)
			}
			continue
		}
		if !strings.Contains(strings.ToLower(text), strings.ToLower(w)) {
			t.Errorf("%s does not name %q:\n%s", what, w, text)
		}
	}
}

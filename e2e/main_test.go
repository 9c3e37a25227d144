package e2e

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/tailer-io/tailer/e2e/harness"
	"github.com/tailer-io/tailer/e2e/proxy"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Most cases wait most of the time: for a lock, a time-out, a poll, and those with faults for each other. The
	// default would be the number of CPUs.
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		flag.Set("test.parallel", "10")
	}
	os.Exit(m.Run())
}

// kind is the kind of source that this run of the suite is about.
func kind() string {
	if k := os.Getenv("E2E_SOURCE"); k != "" {
		return k
	}
	return "postgres"
}

// source is the server that the common cases run against.
func source(t *testing.T) harness.Server {
	t.Helper()
	switch k := kind(); k {
	case "postgres":
		return harness.NewPostgres(t, "STACK_PG_URL")
	case "mysql", "mariadb":
		return harness.NewMySQL(t, stack(k)+"_URL")
	default:
		t.Fatalf("E2E_SOURCE=%s: known are postgres, mysql, mariadb", k)
		return nil
	}
}

// stack is how the environment's variables about a MySQL or MariaDB server begin.
func stack(kind string) string { return "STACK_" + strings.ToUpper(kind) }

// by is what differs between the kinds of sources: for Postgres the one, for MySQL and MariaDB the other.
func by[T any](postgres, binlog T) T {
	if kind() == "postgres" {
		return postgres
	}
	return binlog
}

// postgres is a case of its own on Postgres, for what only Postgres has.
func postgres(t *testing.T) (*harness.Case, *harness.PostgresDatabase) {
	t.Helper()
	if kind() != "postgres" {
		t.Skipf("E2E_SOURCE is %s", kind())
	}
	db := harness.NewPostgres(t, "STACK_PG_URL").Create(t)
	return harness.With(t, db), db
}

// binlog is a case of its own on MySQL or MariaDB, for what only they have.
func binlog(t *testing.T) (*harness.Case, *harness.MySQLDatabase) {
	t.Helper()
	if kind() == "postgres" {
		t.Skip("E2E_SOURCE is postgres")
	}
	db := harness.NewMySQL(t, stack(kind())+"_URL").Create(t)
	return harness.With(t, db), db
}

// world is a case with its outbox table.
func world(t *testing.T, server harness.Server) *harness.Case {
	t.Helper()
	c := harness.New(t, server)
	c.DB.CreateOutbox(t, c.DB.Outbox())
	return c
}

// faultWays are the ways to the broker that no test uses: the address that it advertises there, for a proxy to listen
// on, and the one that it listens on.
var faultWays = harness.Ways("STACK_KAFKA_FAULTS")

// faults starts a proxy in front of the broker; where all ways are taken, the test waits for one.
func faults(t *testing.T) *proxy.Proxy {
	t.Helper()
	harness.Env(t, "STACK_KAFKA_FAULTS")
	way := <-faultWays()
	listen, target, _ := strings.Cut(way, "/")
	p, err := proxy.Start(listen, target)
	if err != nil {
		faultWays() <- way
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close()
		faultWays() <- way
	})
	return p
}

// through is the flag that sends a tailer to a proxy.
func through(p *proxy.Proxy) string { return "--kafka-brokers=" + p.Addr() }

// aPosition among the words of holds stands for any log position.
const aPosition = "a position"

var anyPosition = regexp.MustCompile(by(`\b[0-9A-F]{1,8}/[0-9A-F]{1,8}\b`, `\b[0-9a-f-]{36}:[0-9]+|\b[0-9]+-[0-9]+-[0-9]+\b`))

// holds demands that a text contains each of the words, whatever their case.
func holds(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if w == aPosition {
			if !anyPosition.MatchString(text) {
				t.Errorf("%s names no log position:\n%s", what, text)
			}
			continue
		}
		if !strings.Contains(strings.ToLower(text), strings.ToLower(w)) {
			t.Errorf("%s does not name %q:\n%s", what, w, text)
		}
	}
}

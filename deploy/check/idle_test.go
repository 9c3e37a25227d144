package check

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/util/teststorage"
)

// watched is for how long an idle tailer is watched, and how often.
const (
	watched = time.Minute
	every   = 5 * time.Second
)

func env(t *testing.T, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		t.Skipf("%s is not set", name)
	}
	return v
}

// database is one on a server of scripts/stack, reached by the server's own
// client.
type database struct {
	name, url string
	client    []string // takes statements on standard input
	drop      string
}

func newDatabase(t *testing.T, kind, name string) *database {
	t.Helper()
	d := &database{name: name, drop: "DROP DATABASE " + name}
	admin := &database{}
	if kind == "postgres" {
		server := env(t, "STACK_PG_URL")
		d.url = strings.Replace(server, "/postgres?", "/"+name+"?", 1)
		psql := []string{env(t, "STACK_PG_BIN") + "/psql", "-X", "-q", "-v", "ON_ERROR_STOP=1"}
		d.client, admin.client = append(psql[:len(psql):len(psql)], d.url), append(psql, server)
		d.drop += " WITH (FORCE)"
	} else {
		variable := "STACK_" + strings.ToUpper(kind)
		d.url = env(t, variable+"_URL") + name
		admin.client = append(strings.Fields(env(t, variable+"_CLIENT")), "--no-defaults", "-u", "root", "-S", env(t, variable+"_SOCKET"))
		d.client = append(admin.client[:len(admin.client):len(admin.client)], name)
	}
	admin.exec(t, "CREATE DATABASE "+name)
	t.Cleanup(func() { admin.exec(t, d.drop) })
	d.exec(t, `CREATE TABLE outbox (id varchar(64) PRIMARY KEY, aggregatetype varchar(255) NOT NULL,
		aggregateid varchar(255) NOT NULL, type varchar(255) NOT NULL, payload text)`)
	d.exec(t, "CREATE TABLE other (n int)")
	return d
}

func (d *database) exec(t *testing.T, statement string) {
	t.Helper()
	cmd := exec.Command(d.client[0], d.client[1:]...)
	cmd.Stdin = strings.NewReader(statement + ";\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", statement, err, out)
	}
}

// start runs a tailer until the test ends and returns where it can be asked.
func start(t *testing.T, flags []string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	var log bytes.Buffer
	cmd := exec.Command(env(t, "E2E_TAILER"), append([]string{"run", "--http-addr=" + addr}, flags...)...)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("tailer ended with %v\n%s", err, log.String())
		}
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if code, _ := get(addr, "/readyz"); code == 200 {
			return addr
		}
		if time.Now().After(deadline) {
			t.Fatal("tailer is not ready after 30 s")
		}
	}
}

func get(addr, path string) (int, []byte) {
	r, err := http.Get("http://" + addr + path)
	if err != nil {
		return 0, nil
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	return r.StatusCode, body
}

// scrape does what Prometheus does: each sample with the target's labels, and up.
func scrape(t *testing.T, data *teststorage.TestStorage, addr, instance string, at time.Time) {
	t.Helper()
	code, body := get(addr, "/metrics")
	if code != 200 {
		t.Fatalf("/metrics answers %d", code)
	}
	p, err := textparse.New(body, "text/plain; version=0.0.4", labels.NewSymbolTable(), textparse.ParserOptions{})
	if err != nil {
		t.Fatal(err)
	}
	app := data.Appender(t.Context())
	add := func(l labels.Labels, v float64) {
		b := labels.NewBuilder(l)
		b.Set("job", "tailer").Set("instance", instance)
		if _, err := app.Append(0, b.Labels(), at.UnixMilli(), v); err != nil {
			t.Fatal(err)
		}
	}
	add(labels.FromStrings("__name__", "up"), 1)
	for {
		entry, err := p.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("metrics that Prometheus cannot read: %v", err)
		}
		if entry == textparse.EntrySeries {
			var l labels.Labels
			_, _, v := p.Series()
			p.Labels(&l)
			add(l, v)
		}
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
}

// Over what an idle tailer and its standby really show, no alert fires, nor
// would one if that went on: none is even pending. The database is busy with
// another table meanwhile.
func TestNoAlertWhileIdle(t *testing.T) {
	for _, kind := range []string{"postgres", "mysql", "mariadb"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			unique := make([]byte, 4)
			rand.Read(unique)
			name := fmt.Sprintf("idle%x", unique)
			flags := []string{"--name=" + name, "--kafka-brokers=" + env(t, "STACK_KAFKA"), "--log-level=warn"}
			env(t, "E2E_TAILER")
			d := newDatabase(t, kind, name)
			flags = append(flags, "--source-url="+d.url)
			t.Cleanup(func() { remove(t, name, flags) })
			addrs := map[string]string{"a": start(t, flags)}
			addrs["b"] = start(t, flags) // it stands by

			data := teststorage.New(t)
			e := newEngine(t, data)
			for end := time.Now().Add(watched); time.Now().Before(end); time.Sleep(every) {
				d.exec(t, "INSERT INTO other VALUES (1), (2), (3)")
				now := time.Now()
				for instance, addr := range addrs {
					scrape(t, data, addr, instance, now)
				}
				if firing, pending := e.at(t, now); len(firing)+len(pending) > 0 {
					t.Fatalf("firing %v, pending %v", firing, pending)
				}
			}
		})
	}
}

// remove takes back what tailer left: slot, publication and checkpoint topic.
func remove(t *testing.T, name string, flags []string) {
	if out, err := exec.Command(env(t, "E2E_TAILER"), append([]string{"teardown", "--yes"}, flags...)...).CombinedOutput(); err != nil {
		t.Errorf("teardown: %v\n%s", err, out)
	}
	out, err := exec.Command(env(t, "STACK_JAVA"), "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=OFF", "-cp", env(t, "STACK_KAFKA_CLASSPATH"),
		"org.apache.kafka.tools.TopicCommand", "--bootstrap-server", env(t, "STACK_KAFKA"), "--delete", "--if-exists",
		"--topic", "tailer-checkpoint."+name).CombinedOutput()
	if err != nil {
		t.Errorf("delete the topic: %v\n%s", err, out)
	}
}

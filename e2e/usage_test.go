package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/harness"
)

// tripwire is an address that counts who connects.
func tripwire(t *testing.T) (addr string, touched *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	touched = new(atomic.Int64)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			touched.Add(1)
			c.Close()
		}
	}()
	return l.Addr().String(), touched
}

// given is one way to run tailer: flags, environment and file. URL, BROKER and FREE stand for addresses.
type given struct {
	name string
	args []string
	env  []string
	yaml string
	want []string // what the error must name
}

const minimal = "--source-url=URL --kafka-brokers=BROKER --http-addr=FREE"

func with(more string) []string { return append(strings.Fields(minimal), strings.Fields(more)...) }

func TestWrongUsageIsStatus2BeforeAnyConnection(t *testing.T) {
	t.Parallel()
	harness.Binary(t)
	cases := []given{
		{name: "no source", args: []string{"--kafka-brokers=BROKER"}, want: []string{"source-url"}},
		{name: "no brokers", args: []string{"--source-url=URL"}, want: []string{"kafka-brokers", "stdout"}},
		{name: "unknown flag", args: with("--kafka-broker=x"), want: []string{"kafka-broker"}},
		{name: "unknown argument", args: with("surplus"), want: []string{"surplus"}},
		{name: "source of no kind", args: []string{"--source-url=oracle://u@h/db", "--kafka-brokers=BROKER"},
			want: []string{"source-url", by("postgres", "mysql")}},
		{name: "source that is no URL", args: []string{"--source-url=host:5432", "--kafka-brokers=BROKER"},
			want: []string{"source-url", by("postgres", "mysql")}},
		{name: "broker without port", args: []string{"--source-url=URL", "--kafka-brokers=127.0.0.1"},
			want: []string{"kafka-brokers", "host:port"}},
		{name: "sink", args: with("--sink=files"), want: []string{"sink", "kafka", "stdout"}},
		{name: "delivery", args: with("--delivery=at-most-once"), want: []string{"delivery", "exactly-once", "at-least-once"}},
		{name: "snapshot", args: with("--snapshot=always"), want: []string{"snapshot", "initial", "never"}},
		{name: "snapshot-max-rows", args: with("--snapshot-max-rows=many"), want: []string{"snapshot-max-rows"}},
		{name: "on-poison", args: with("--on-poison=ignore"), want: []string{"on-poison", "halt", "skip"}},
		{name: "on-refusal", args: with("--on-refusal=ignore"), want: []string{"on-refusal", "exit", "wait"}},
		{name: "commit-interval without unit", args: with("--commit-interval=5"), want: []string{"commit-interval", "ms"}},
		{name: "commit-interval below zero", args: with("--commit-interval=-1s"), want: []string{"commit-interval"}},
		{name: "transaction timeout", args: with("--kafka-transaction-timeout=0s"), want: []string{"kafka-transaction-timeout"}},
		{name: "max-row-bytes", args: with("--max-row-bytes=1XB"), want: []string{"max-row-bytes"}},
		{name: "compression", args: with("--kafka-compression=brotli"), want: []string{"kafka-compression", "zstd"}},
		{name: "create-topics", args: with("--create-topics=maybe"), want: []string{"create-topics", "true"}},
		{name: "topic-partitions", args: with("--topic-partitions=-3"), want: []string{"topic-partitions"}},
		{name: "preset", args: with("--preset=avro"), want: []string{"preset", "debezium"}},
		{name: "log-level", args: with("--log-level=loud"), want: []string{"log-level", "debug"}},
		{name: "log-format", args: with("--log-format=xml"), want: []string{"log-format", "json"}},
		{name: "http-addr", args: with("--http-addr=nowhere"), want: []string{"http-addr"}},
		{name: "table without schema", args: with("--outbox-table=" + by("outbox", ".outbox")), want: []string{"outbox-table", "schema"}},
		{name: "slot", args: with("--pg-slot=" + by("My-Slot", "slot")), want: []string{"pg-slot"}},
		{name: "server id", args: with("--mysql-server-id=" + by("1", "4294967296")), want: []string{"mysql-server-id"}},
		{name: "name", args: with("--name=a/b"), want: []string{"name"}},
		{name: "until", args: with("--until=tomorrow"), want: []string{"until", "now"}},
		{name: "file store with exactly-once", args: with("--checkpoint-file=x"), want: []string{"checkpoint-file", "exactly-once"}},
		{name: "exactly-once with stdout", args: []string{"--source-url=URL", "--sink=stdout", "--delivery=exactly-once"},
			want: []string{"delivery", "stdout"}},
		{name: "two stores", args: with("--delivery=at-least-once --checkpoint-file=x --checkpoint-topic=y"),
			want: []string{"checkpoint-topic", "checkpoint-file"}},
		{name: "two passwords", args: []string{"--source-url=postgres://u:secret1@h/db", "--kafka-brokers=BROKER",
			"--source-password-file=PASSWORD"}, want: []string{"source-password-file", "source-url"}},
		{name: "password file missing", args: with("--source-password-file=nowhere"), want: []string{"source-password-file"}},
		{name: "config missing", args: with("--config=nowhere.yaml"), want: []string{"nowhere.yaml"}},

		{name: "environment", args: with(""), env: []string{"TAILER_SNAPSHOT=always"}, want: []string{"TAILER_SNAPSHOT", "initial"}},
		{name: "environment of a duration", args: with(""), env: []string{"TAILER_COMMIT_INTERVAL=soon"},
			want: []string{"TAILER_COMMIT_INTERVAL"}},

		{name: "YAML with an unknown key", args: with(""), yaml: "kafka-broker: x", want: []string{"kafka-broker", "kafka-brokers"}},
		{name: "YAML with another unknown key", args: with(""), yaml: "comit-interval: 5ms", want: []string{"comit-interval", "commit-interval"}},
		{name: "YAML with a key twice", args: with(""), yaml: "snapshot: never\nsnapshot: initial", want: []string{"snapshot"}},
		{name: "YAML that is none", args: with(""), yaml: "a: [", want: []string{".yaml"}},
		{name: "YAML with a bad value", args: with(""), yaml: "snapshot: always", want: []string{"snapshot", "initial"}},
		{name: "YAML with a list for a value", args: with(""), yaml: "snapshot: [never]", want: []string{"snapshot"}},
		{name: "YAML with a map for a value", args: with(""), yaml: "kafka:\n  brokers: x", want: []string{"kafka"}},
		{name: "YAML with an unknown column", args: with(""), yaml: "tables:\n- table: public.outbox\n  columns: {aggregate: x}",
			want: []string{"aggregate", "aggregatetype"}},
		{name: "YAML and flag both with tables", args: with("--outbox-table=public.a"), yaml: "tables:\n- table: public.b",
			want: []string{"outbox-table", "tables"}},
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			server, touched := tripwire(t)
			p := execGiven(t, k, server)
			p.Want(2, 5*time.Second)
			holds(t, "the error", p.Stderr(), k.want...)
			if strings.Contains(p.Stderr(), "secret1") {
				t.Error("the error shows the password")
			}
			if n := touched.Load(); n != 0 {
				t.Errorf("%d connections were made", n)
			}
			if strings.Count(p.Stderr(), "\n") > 6 {
				t.Errorf("not one clear error:\n%s", p.Stderr())
			}
			if p.Stdout() != "" {
				t.Errorf("on stdout: %s", p.Stdout())
			}
		})
	}
}

func execGiven(t *testing.T, k given, server string) *harness.Process {
	t.Helper()
	dir := t.TempDir()
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("secret2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("URL", kind()+"://u@"+server+"/db", "BROKER", server, "FREE", harness.ClosedAddr(t),
		"PASSWORD", password)
	args := []string{"run"}
	for _, a := range k.args {
		args = append(args, fill.Replace(a))
	}
	if k.yaml != "" {
		file := filepath.Join(dir, "tailer.yaml")
		if err := os.WriteFile(file, []byte(k.yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config="+file)
	}
	return harness.Exec(t, harness.Binary(t), k.env, args...)
}

func TestAnUnknownCommandIsStatus2(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"rum"}, {"checkpoint", "shew"}, {"--nonsense"}} {
		p := harness.Exec(t, harness.Binary(t), nil, args...)
		p.Want(2, 5*time.Second)
		holds(t, "the error", p.Stderr(), strings.TrimLeft(args[len(args)-1], "-"))
	}
}

func TestAPortThatIsTakenIsStatus2(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := harness.Exec(t, harness.Binary(t), nil, append([]string{"run"}, c.Flags("--http-addr="+l.Addr().String())...)...)
	p.Want(2, 10*time.Second)
	holds(t, "the error", p.Stderr(), "http-addr", l.Addr().String())
}

// Flag beats environment beats file beats default; seen by what the process does with --name.
func TestFlagBeatsEnvironmentBeatsFile(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	file := filepath.Join(t.TempDir(), "tailer.yaml")
	brokers := fmt.Sprintf("kafka-brokers: [%s]", strings.ReplaceAll(c.Kafka.Brokers, ",", ", "))
	if err := os.WriteFile(file, fmt.Appendf(nil, "name: %s-file\nsource-url: %s\n%s\n", c.ID, c.DB.URL(), brokers), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, k := range []struct {
		env, args []string
		want      string
	}{
		{nil, nil, c.ID + "-file"},
		{[]string{"TAILER_NAME=" + c.ID + "-env"}, nil, c.ID + "-env"},
		{[]string{"TAILER_NAME=" + c.ID + "-env"}, []string{"--name=" + c.ID + "-flag"}, c.ID + "-flag"},
		{[]string{"TAILER_NAME=" + c.ID + "-env", "TAILER_CONFIG=" + file}, []string{"--config="}, c.ID + "-env"},
	} {
		args := append([]string{"checkpoint", "show", "--config=" + file}, k.args...)
		if len(k.args) > 0 && k.args[0] == "--config=" {
			args = []string{"checkpoint", "show"} // The file is named by the environment.
		}
		p := harness.Exec(t, harness.Binary(t), k.env, args...)
		p.Exit(20 * time.Second)
		holds(t, "checkpoint show", p.Stdout()+p.Stderr(), k.want)
	}
}

func TestUnknownVariablesWarnAndServiceLinksAreIgnored(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	q := c.RunBinary(harness.Binary(t), []string{"TAILER_KAFKA_BROKER=x", "TAILER_PORT=tcp://10.0.0.1:8245",
		"TAILER_PORT_8245_TCP_ADDR=10.0.0.1", "TAILER_SERVICE_HOST=10.0.0.1", "TAILER_SERVICE_PORT_HTTP=8245"})
	c.Ready(q)
	q.Stop()
	holds(t, "the log", q.Stderr(), "TAILER_KAFKA_BROKER", "TAILER_KAFKA_BROKERS")
	if strings.Contains(q.Stderr(), "TAILER_PORT") || strings.Contains(q.Stderr(), "TAILER_SERVICE") {
		t.Errorf("service links are not ignored:\n%s", q.Stderr())
	}
}

func TestSecretsShowUpNowhere(t *testing.T) {
	t.Parallel()
	c := world(t, source(t))
	const secret = "hunter2-Zw7"
	secretURL := c.DB.Protect(t, secret)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	look := func(t *testing.T, p *harness.Tailer) {
		t.Helper()
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID()))
		texts := map[string]string{"ps": string(cmdline)}
		for _, path := range []string{"/status", "/metrics", "/", "/readyz", "/healthz"} {
			_, texts[path] = p.Get(path)
		}
		p.Stop()
		texts["the log"] = p.Stderr()
		for what, text := range texts {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows the password", what)
			}
		}
	}
	c.Omit = []string{"--source-url"}
	t.Run("in the environment", func(t *testing.T) {
		p := c.RunBinary(harness.Binary(t), []string{"TAILER_SOURCE_URL=" + secretURL}, "--log-level=debug")
		c.Ready(p)
		look(t, p)
	})
	t.Run("in a file", func(t *testing.T) {
		p := c.Run("--source-url="+c.DB.URL(), "--source-password-file="+file, "--log-level=debug")
		c.Ready(p)
		look(t, p)
	})
	t.Run("in a failure", func(t *testing.T) {
		closed := fmt.Sprintf("%s://u:%s@%s/db", c.DB.Kind(), secret, harness.ClosedAddr(t))
		p := c.RunBinary(harness.Binary(t), []string{"TAILER_SOURCE_URL=" + closed}, "--log-level=debug")
		c.Wait("it retries", 20*time.Second, func() (bool, string) { s := p.State(); return s == "retrying", s })
		look(t, p)
	})
}

package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/tailer-io/tailer/internal/mapping"
	"github.com/tailer-io/tailer/internal/outbox"
)

const testURL = "postgres://app@db:5432/shop"

// load builds a configuration as cmd/tailer does.
func load(t *testing.T, cmd Command, args, environ []string) (*Config, error) {
	t.Helper()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	AddFlags(fs, cmd)
	if err := fs.Parse(args); err != nil {
		t.Fatalf("parse flags: %v", err)
	}
	return Load(cmd, fs, environ)
}

func mustLoad(t *testing.T, args, environ []string) *Config {
	t.Helper()
	c, err := load(t, Run, args, environ)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return c
}

// write makes a file below a fresh working directory and returns its name.
func write(t *testing.T, name, content string) string {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestDefaults(t *testing.T) {
	c := mustLoad(t, []string{"--source-url", testURL, "--kafka-brokers", "k1:9092"}, nil)
	want := &Config{
		Name:                    "tailer-shop",
		SourceURL:               testURL,
		Tables:                  []Table{{Schema: "public", Name: "outbox"}},
		Preset:                  "debezium",
		PgSlot:                  "tailer_shop",
		PgPublication:           "tailer_shop",
		MaxRowBytes:             16 << 20,
		Sink:                    SinkKafka,
		KafkaBrokers:            []string{"k1:9092"},
		KafkaCompression:        "none",
		KafkaTransactionTimeout: 15 * time.Second,
		CreateTopics:            true,
		Delivery:                ExactlyOnce,
		CommitInterval:          5 * time.Millisecond,
		CheckpointTopic:         "tailer-checkpoint.tailer-shop",
		Snapshot:                SnapshotInitial,
		SnapshotMaxRows:         1_000_000,
		OnPoison:                "halt",
		CleanupAfter:            24 * time.Hour,
		OnRefusal:               "exit",
		DeadLetterTopic:         "tailer-dead-letter.tailer-shop",
		HTTPAddr:                "127.0.0.1:8245",
		LogLevel:                "info",
		LogFormat:               "text",
		outboxTables:            []string{"public.outbox"},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if !c.Transactional() {
		t.Error("not transactional")
	}
}

// What the clean-up takes without a message of tailer's is pointed out; without
// it nothing is said.
func TestCleanupWarnings(t *testing.T) {
	args := []string{"--source-url", testURL, "--kafka-brokers=k:1", "--snapshot=never", "--on-poison=dead-letter", "--cleanup-after=0"}
	if c := mustLoad(t, args, nil); len(c.Warnings) != 0 {
		t.Errorf("without --cleanup: %q", c.Warnings)
	}
	c := mustLoad(t, append(args, "--cleanup"), nil)
	if len(c.Warnings) != 2 || !strings.Contains(c.Warnings[0], "--snapshot never") || !strings.Contains(c.Warnings[1], "--on-poison dead-letter") {
		t.Errorf("got %q", c.Warnings)
	}
}

func TestStdoutDefaults(t *testing.T) {
	c := mustLoad(t, []string{"--source-url", testURL, "--sink", "stdout", "--kafka-brokers=k:1"}, nil)
	if c.Delivery != AtLeastOnce || c.Transactional() || c.CheckpointTopic != "" {
		t.Errorf("delivery %s, checkpoint topic %q", c.Delivery, c.CheckpointTopic)
	}
	want := []string{"--kafka-brokers is not used with --sink stdout"}
	if !reflect.DeepEqual(c.Warnings, want) {
		t.Errorf("warnings %q", c.Warnings)
	}
}

// Every option can be set in every layer, and a layer beats those below it.
func TestPrecedence(t *testing.T) {
	path := write(t, "t.yaml", "source-url: postgres://file@db/shop\nkafka-brokers: [f1:1, f2:2]\ncommit-interval: 1ms\nname: file\nlog-level: debug\n")
	environ := []string{"TAILER_CONFIG=" + path, "TAILER_COMMIT_INTERVAL=2ms", "TAILER_NAME=env"}
	c := mustLoad(t, []string{"--commit-interval=3ms"}, environ)
	if c.CommitInterval != 3*time.Millisecond || c.Name != "env" || c.LogLevel != "debug" || c.File != path {
		t.Errorf("interval %s, name %s, level %s, file %q", c.CommitInterval, c.Name, c.LogLevel, c.File)
	}
	if !reflect.DeepEqual(c.KafkaBrokers, []string{"f1:1", "f2:2"}) {
		t.Errorf("brokers %q", c.KafkaBrokers)
	}
}

// What parse reads, text writes, for every option of the table.
func TestEveryOptionRoundTrips(t *testing.T) {
	samples := map[string]string{
		"text": "abc", "list": "a.b,c.d", "bool": "true", "duration": "7ms", "size": "64KiB", "number": "7",
	}
	for i := range options {
		o := &options[i]
		value := samples[o.kind()]
		if len(o.allowed) > 0 {
			value = o.allowed[len(o.allowed)-1]
		}
		var c Config
		if err := o.parse(&c, o.split(value)); err != nil {
			t.Errorf("%s: %v", o.name, err)
		} else if got := o.text(&c); got != value {
			t.Errorf("%s: got %q, want %q", o.name, got, value)
		}
		if o.doc == "" || o.commands == 0 {
			t.Errorf("%s: no doc or no command", o.name)
		}
	}
}

func TestListsAndBooleans(t *testing.T) {
	base := []string{"--source-url=" + testURL}
	for _, c := range []struct {
		args, env []string
		want      []string
	}{
		{[]string{"--kafka-brokers=a:1", "--kafka-brokers", "b:2"}, nil, []string{"a:1", "b:2"}},
		{[]string{"--kafka-brokers=a:1,b:2"}, nil, []string{"a:1", "b:2"}},
		{nil, []string{"TAILER_KAFKA_BROKERS=a:1, b:2,"}, []string{"a:1", "b:2"}},
	} {
		got := mustLoad(t, append(c.args, base...), c.env)
		if !reflect.DeepEqual(got.KafkaBrokers, c.want) {
			t.Errorf("%v %v: got %q", c.args, c.env, got.KafkaBrokers)
		}
	}
	c := mustLoad(t, append(base, "--kafka-brokers=a:1", "--require-checkpoint", "--create-topics=false"), nil)
	if !c.RequireCheckpoint || c.CreateTopics {
		t.Errorf("require-checkpoint %t, create-topics %t", c.RequireCheckpoint, c.CreateTopics)
	}
}

func TestTablesWithColumns(t *testing.T) {
	path := write(t, "t.yaml", `
sink: stdout
tables:
  - table: app.events
    columns: {id: event_id, aggregatetype: kind, aggregateid: ref, payload: body}
  - table: app.more
`)
	c := mustLoad(t, []string{"--config", path, "--source-url", testURL}, nil)
	want := []Table{
		{Schema: "app", Name: "events", Mapping: mapping.Table{ID: "event_id", AggregateType: "kind", AggregateID: "ref", Payload: "body"}},
		{Schema: "app", Name: "more"},
	}
	if !reflect.DeepEqual(c.Tables, want) {
		t.Errorf("got %+v", c.Tables)
	}
	if got := c.TableNames(); !reflect.DeepEqual(got, []string{"app.events", "app.more"}) {
		t.Errorf("names %q", got)
	}
}

func TestPasswordFile(t *testing.T) {
	path := write(t, "pw", "s3cret\n")
	c := mustLoad(t, []string{"--source-url", testURL, "--sink=stdout", "--source-password-file", path}, nil)
	if got, err := c.Password()(t.Context()); got != "s3cret" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if s := c.String(); strings.Contains(s, "s3cret") || !strings.Contains(s, "source-password-file=pw") {
		t.Errorf("String: %s", s)
	}
}

func TestPasswordCommand(t *testing.T) {
	c := mustLoad(t, []string{"--source-url", testURL, "--sink=stdout", "--source-password-command", "echo s3cret"}, nil)
	if got, err := c.Password()(t.Context()); got != "s3cret" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if s := c.String(); strings.Contains(s, "s3cret") || !strings.Contains(s, "source-password-command=xxxxx") {
		t.Errorf("String: %s", s)
	}
	if c = mustLoad(t, []string{"--source-url", testURL, "--sink=stdout"}, nil); c.Password() != nil {
		t.Error("a password from nowhere")
	}
}

func TestNoSecretInString(t *testing.T) {
	c := mustLoad(t, []string{"--source-url", "postgres://app:s3cret@db/shop?password=s3cret&sslmode=disable", "--sink=stdout"}, nil)
	if s := c.String(); strings.Contains(s, "s3cret") || !strings.Contains(s, "sslmode=disable") {
		t.Errorf("String: %s", s)
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "ps") {
		t.Errorf("warnings: %q", c.Warnings)
	}
}

func TestUnknownEnvironment(t *testing.T) {
	c := mustLoad(t, []string{"--source-url", testURL, "--sink=stdout"}, []string{
		"TAILER_KAFKA_BROKER=a:1", "TAILER_ZZZZZZZZZZZ=1",
		"TAILER_PORT=tcp://1.2.3.4:5", "TAILER_PORT_8245_TCP_ADDR=x", "TAILER_SERVICE_HOST=x", "HOME=/", "TAILOR=x",
	})
	want := []string{
		"unknown environment variable TAILER_KAFKA_BROKER; did you mean TAILER_KAFKA_BROKERS?",
		"unknown environment variable TAILER_ZZZZZZZZZZZ",
	}
	if !reflect.DeepEqual(c.Warnings, want) {
		t.Errorf("got %q", c.Warnings)
	}
}

// A status command needs neither database nor Kafka, and reads the same file.
func TestStatusNeedsNoSource(t *testing.T) {
	path := write(t, "t.yaml", "http-addr: \":9000\"\nsink: kafka\n")
	c, err := load(t, Status, []string{"--config", path}, nil)
	if err != nil || c.HTTPAddr != ":9000" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"run", "", 3}, {"rnu", "run", 1}, {"check", "checl", 1}, {"kafka-broker", "kafka-brokers", 1}, {"abc", "cab", 2}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: got %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestEmptyFile(t *testing.T) {
	for _, content := range []string{"", "# nothing\n", "---\n"} {
		if _, err := parseFile("t.yaml", []byte(content)); err != nil {
			t.Errorf("%q: %v", content, err)
		}
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]Size{
		"0": 0, "1048576": 1 << 20, "16MiB": 16 << 20, "16 mib": 16 << 20, "64k": 64 << 10, "64KiB": 64 << 10,
		"1g": 1 << 30, "7b": 7, "3M": 3 << 20,
	} {
		if got, err := ParseSize(s); err != nil || got != want {
			t.Errorf("%q: got %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "-1", "1.5MiB", "MiB", "1kB2", "9223372036854775808", "9223372036854775807g", "1TB"} {
		if got, err := ParseSize(s); err == nil {
			t.Errorf("%q: got %d", s, got)
		}
	}
}

func TestIdentifier(t *testing.T) {
	for name, want := range map[string]string{
		"tailer-shop":           "tailer_shop",
		"Shop.EU-1":             "shop_eu_1",
		strings.Repeat("x", 63): strings.Repeat("x", 63),
	} {
		if got := identifier(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	a, b := identifier(strings.Repeat("x", 80)+"a"), identifier(strings.Repeat("x", 80)+"b")
	if a == b || len(a) != 63 || len(b) != 63 {
		t.Errorf("%s and %s", a, b)
	}
}

func TestDatabaseOf(t *testing.T) {
	for url, want := range map[string]string{
		"postgres://u:p@h:5432/shop":          "shop",
		"postgresql://h1:1,h2:2/shop?x=y":     "shop",
		"postgres:///shop?host=/run/pg":       "shop",
		"postgres://%2Frun%2Fpg/shop":         "shop",
		"postgres://u@h/my%20shop":            "my shop",
		"postgres://u:p@h":                    "u",
		"postgres://u:p@h?dbname=other":       "other",
		"postgres://h/?user=me":               "me",
		"postgres://h":                        "",
		"postgres://u@h/shop?dbname=override": "override",
		"mysql://u@h:3306/shop?ssl-mode=x":    "shop",
		"mariadb://u@h":                       "", // nobody takes the user's name for it
	} {
		if got := databaseOf(url); got != want {
			t.Errorf("%s: got %q, want %q", url, got, want)
		}
	}
}

func TestDefaultName(t *testing.T) {
	c := mustLoad(t, []string{"--source-url", "postgres://h/my%20sh%C3%B6p", "--sink=stdout"}, nil)
	if c.Name != "tailer-my-sh-p" || c.PgSlot != "tailer_my_sh_p" {
		t.Errorf("name %s, slot %s", c.Name, c.PgSlot)
	}
}

func TestBinlogSource(t *testing.T) {
	c := mustLoad(t, []string{"--source-url=mysql://u@h/shop", "--outbox-table=outbox,billing.outbox", "--sink=stdout"}, nil)
	if want := []Table{{Schema: "shop", Name: "outbox"}, {Schema: "billing", Name: "outbox"}}; !reflect.DeepEqual(c.Tables, want) {
		t.Errorf("got %v, want %v", c.Tables, want)
	}
	if c.SourceKind() != outbox.MySQL || c.Name != "tailer-shop" || c.PgSlot != "" || c.PgPublication != "" {
		t.Errorf("kind %s, name %s, slot %q, publication %q", c.SourceKind(), c.Name, c.PgSlot, c.PgPublication)
	}
	_, err := load(t, Run, []string{"--source-url=mariadb://u@h/shop", "--outbox-table=outbox,shop.outbox", "--sink=stdout"}, nil)
	if err == nil || err.Error() != "--outbox-table: shop.outbox is given twice" {
		t.Errorf("got %v", err)
	}
}

func TestRedactURL(t *testing.T) {
	for url, want := range map[string]string{
		"postgres://u:s3cret@h/db":              "postgres://u:xxxxx@h/db",
		"postgres://u:s3:c@r/e?t@h:1/db":        "postgres://u:xxxxx@h:1/db",
		"postgres://u@h:5432/db":                "postgres://u@h:5432/db",
		"postgres://h:5432/db":                  "postgres://h:5432/db",
		"postgres://h/db?password=s3cret&a=b":   "postgres://h/db?password=xxxxx&a=b",
		"postgres://h/db?sslpassword=s3cret#x":  "postgres://h/db?sslpassword=xxxxx#x",
		"postgres://u:s3cret@h1:1,h2:2/db?a=b":  "postgres://u:xxxxx@h1:1,h2:2/db?a=b",
		"postgres://u:%zzs3cret@h/db?sslmode=x": "postgres://u:xxxxx@h/db?sslmode=x",
	} {
		if got := RedactURL(url); got != want {
			t.Errorf("%s: got %s, want %s", url, got, want)
		}
	}
}

// Every annotated example is a valid configuration of run.
func TestExamples(t *testing.T) {
	paths, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(paths) < 3 {
		t.Fatalf("found %q, %v", paths, err)
	}
	for _, path := range paths {
		if _, err := load(t, Run, []string{"--config", path}, nil); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// No file makes the reader panic, and whatever is wrong is the user's to mend.
func FuzzParseFile(f *testing.F) {
	f.Add("sink: stdout\nkafka-brokers: [a:1]\n")
	f.Add("tables:\n- table: a.b\n  columns: {id: x}\n")
	f.Add("a: &a [*a]\n<<: *a\n---\n")
	f.Fuzz(func(t *testing.T, content string) {
		_, err := parseFile("t.yaml", []byte(content))
		var bad *outbox.Invalid
		if err != nil && !errors.As(err, &bad) {
			t.Errorf("got %T %v", err, err)
		}
	})
}

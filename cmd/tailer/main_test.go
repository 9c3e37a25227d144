package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/outboxtest"
)

// execute runs a command line with nobody at the terminal.
func execute(t *testing.T, environ []string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	stdin, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	var out, errs bytes.Buffer
	a := &app{stdin: stdin, stdout: &out, stderr: &errs, environ: environ}
	status = a.execute(t.Context(), args)
	return status, out.String(), errs.String()
}

func TestExitStatus(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("connection reset"), 1},
		{fmt.Errorf("start: %w", &outbox.Invalid{Option: "name"}), 2},
		{fmt.Errorf("prove: %w", outbox.Refuse("slot_missing", "", "gone")), 3},
	} {
		if got := exitStatus(c.err); got != c.want {
			t.Errorf("%v: got %d, want %d", c.err, got, c.want)
		}
	}
}

func TestReport(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("no route"), "tailer: no route\n"},
		{errors.New("lookup db:\nno such host"), "tailer: lookup db: no such host\n"},
		{&outbox.Invalid{Option: "sink", Text: `"x" is not allowed`}, "tailer: --sink: \"x\" is not allowed\n"},
		{fmt.Errorf("prove: %w", outbox.Refuse("r", "do this", "it is gone")), "tailer: prove: refused: it is gone\nhint: do this\n"},
		{fmt.Errorf("%w (twice)", outbox.Refuse("r", "do this", "it is gone")), "tailer: refused: it is gone; do this (twice)\n"},
	} {
		var b bytes.Buffer
		if report(&b, c.err); b.String() != c.want {
			t.Errorf("got %q, want %q", b.String(), c.want)
		}
	}
}

func TestEveryRefusalHasItsText(t *testing.T) {
	outboxtest.Refusals(t, nil)
}

func TestWrongUsage(t *testing.T) {
	const record = `{"version":1,"phase":"streaming","source":{"kind":"postgres","identity":"7/db"},"tables":["public.outbox"],"position":"0/16B3748"`
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"rnu"}, "tailer: unknown command \"rnu\"\nhint: did you mean run?\n"},
		{[]string{"frobnicate"}, "tailer: unknown command \"frobnicate\"\nhint: tailer knows check, checkpoint, compare, completion, convert, plan, recover, replay, republish, run, setup, status, teardown, version\n"},
		{[]string{"checkpoint", "rest"}, "tailer: unknown command \"rest\"\nhint: did you mean reset?\n"},
		{[]string{"completion", "bsh"}, "tailer: unknown command \"bsh\"\nhint: did you mean bash?\n"},
		{[]string{"run", "--kafka-broker=x"}, "tailer: unknown flag: --kafka-broker\nhint: did you mean --kafka-brokers?\n"},
		{[]string{"run", "--name"}, "tailer: flag needs an argument: --name\nhint: `tailer run --help` lists the flags\n"},
		{[]string{"run", "extra"}, "tailer: unexpected argument \"extra\"\nhint: options begin with --\n"},
		{[]string{"version", "extra"}, "tailer: unexpected argument \"extra\"\nhint: options begin with --\n"},
		{[]string{"check", "--output=xml"}, "tailer: --output: \"xml\" is not one of text, json\n"},
		{[]string{"checkpoint", "set"}, "tailer: checkpoint set wants exactly one of POSITION, --now, --from-slot and --from-debezium-offset\n"},
		{[]string{"checkpoint", "set", "--debezium-include-query=true", "--now"}, "tailer: --debezium-include-query: is for --from-debezium-offset alone\n"},
		{[]string{"checkpoint", "set", "0/1", "--now"}, "tailer: checkpoint set wants exactly one of POSITION, --now, --from-slot and --from-debezium-offset\n"},
		{[]string{"checkpoint", "show", "--source-url=postgres://h/db", "--sink=stdout"},
			"tailer: --checkpoint-file: is required with --sink stdout, which keeps no checkpoint without it\n"},
		{[]string{"checkpoint", "set", "nonsense", "--source-url=postgres://h/db", "--kafka-brokers=k:1"},
			"tailer: \"nonsense\" is no position\nhint: want an LSN such as 0/16B3748; or --now\n"},
		{[]string{"checkpoint", "set", "0/0", "--source-url=postgres://h/db", "--kafka-brokers=k:1"},
			"tailer: \"0/0\" is no position\nhint: want an LSN such as 0/16B3748; or --now\n"},
		{[]string{"checkpoint", "set", "0/16B3748", "--source-url=mariadb://u@h/db", "--kafka-brokers=k:1"},
			"tailer: \"0/16B3748\" is no position\nhint: want a GTID position such as 0-1-42,1-7-100; or --now\n"},
		{[]string{"checkpoint", "set", "--from-slot", "--source-url=mysql://u@h/db", "--kafka-brokers=k:1"},
			"tailer: --from-slot: is for postgres:// only; mysql:// has no slot\n" +
				"hint: want a GTID set such as 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-23; with gtid_mode off, FILE:OFFSET such as binlog.000012:345; or --now\n"},
		{[]string{"checkpoint", "set", "{}", "--source-url=postgres://h/db", "--kafka-brokers=k:1"},
			"tailer: the checkpoint record is not one of tailer's: \"{}\"\nhint: want a record as `tailer checkpoint show` prints it, or an LSN such as 0/16B3748\n"},
		{[]string{"checkpoint", "set", `{"version":1,"phase":"snapshot"}`, "--source-url=postgres://h/db", "--kafka-brokers=k:1"},
			"tailer: the record is of a first start that did not finish: it names no position\nhint: `tailer checkpoint reset` starts anew\n"},
		{[]string{"checkpoint", "set", record + "}", "--source-url=mysql://u@h/db", "--kafka-brokers=k:1"},
			"tailer: the record is of another kind of database: it is of postgres, and --source-url names mysql\n"},
		{[]string{"checkpoint", "set", record + `,"open":{"txn":"7@0/16B3800","rows":2,"tables_hash":"x"}}`, "--source-url=postgres://h/db", "--kafka-brokers=k:1"},
			"tailer: the record stands inside a transaction whose rows were counted for other tables\nhint: configure the same tables\n"},
		{[]string{"checkpoint", "set", "--from-debezium-offset=/nowhere/offsets", "--source-url=postgres://h/db", "--kafka-brokers=k:1"},
			"tailer: --from-debezium-offset: cannot be read: open /nowhere/offsets: no such file or directory\n"},
		{[]string{"checkpoint", "skip", "--source-url=postgres://h/db", "--kafka-brokers=k:1"}, "tailer: --id: is required: the id of the row at which it halted\n"},
		{[]string{"checkpoint", "forget-table"}, "tailer: checkpoint forget-table wants one TABLE\n"},
		{[]string{"run", "--source-url=postgres://h/db", "--sink=stdout", "--until=never"},
			"tailer: --until: \"never\" is no position\nhint: allowed are now and an LSN such as 0/16B3748\n"},
		{[]string{"plan", "--rows=ten"}, "tailer: --rows: \"ten\" is not a whole number\n"},
		{[]string{"compare", "a", "b", "--slack=1d"}, "tailer: --slack: \"1d\" is not a duration such as 5ms, 15s, 1m or 24h\n"},
		{[]string{"checkpoint", "set", "--now=today"}, "tailer: --now: \"today\" is not one of true, false\n"},
		{[]string{"replay", "--source-url=postgres://h/db", "--sink=stdout"}, "tailer: --sink: is stdout: only Kafka keeps dead letters that can be read again\n"},
		{[]string{"recover", "--where=true", "--table=orders", "--source-url=postgres://h/db", "--kafka-brokers=k:1"},
			"tailer: --table: \"orders\" is not configured; configured are public.outbox\n"},
		{[]string{"recover", "--source-url=postgres://h/db", "--kafka-brokers=k:1"},
			"tailer: one of --where and --from-id is required, and only one: which rows? --where true means all\n"},
		{[]string{"republish", "--where=true", "--from-id=1", "--source-url=postgres://h/db", "--kafka-brokers=k:1"},
			"tailer: one of --where and --from-id is required, and only one: which rows? --where true means all\n"},
		{[]string{"recover", "--where=true", "--source-url=postgres://h/db", "--sink=stdout"},
			"tailer: --checkpoint-file: is required with --sink stdout, which keeps no checkpoint without it\n"},
		{[]string{"republish", "--where=true", "--source-url=postgres://h/db", "--sink=stdout"}, "tailer: --sink: is stdout: rows are published again to Kafka only; `tailer plan` prints the newest\n"},
		{[]string{"republish", "--where=true", "--topic=tailer-checkpoint.tailer-db", "--source-url=postgres://h/db", "--kafka-brokers=k:1"},
			"tailer: --topic: tailer-checkpoint.tailer-db is tailer's own\n"},
		{[]string{"teardown", "--source-url=postgres://h/db", "--kafka-brokers=k:1"},
			"tailer: --yes: is required where there is no terminal to ask on\n"},
	} {
		status, stdout, stderr := execute(t, nil, c.args...)
		if _, answer, asked := strings.Cut(stderr, "[y/N] \n"); asked {
			stderr = answer
		}
		lines := strings.SplitAfter(stderr, "\n")
		if status != exitInvalid || stdout != "" || stderr != c.want || len(lines) > 3 {
			t.Errorf("%q: status %d, stdout %q, stderr %q, want %q", c.args, status, stdout, stderr, c.want)
		}
	}
}

func TestVersionAndHelp(t *testing.T) {
	if status, stdout, _ := execute(t, nil, "version"); status != 0 || !strings.HasPrefix(stdout, "tailer dev (go") {
		t.Errorf("version: %d %q", status, stdout)
	}
	if status, stdout, _ := execute(t, nil); status != 0 || !strings.Contains(stdout, "Available Commands") {
		t.Errorf("no command: %d %q", status, stdout)
	}
	var visit func(path []string, c *cobra.Command)
	visit = func(path []string, c *cobra.Command) {
		if c.Name() == "completion" || c.Name() == "help" {
			return // cobra's own
		}
		status, stdout, stderr := execute(t, nil, append(path, "--help")...)
		if status != 0 || stderr != "" {
			t.Errorf("%q --help: %d %q", path, status, stderr)
		}
		if !c.HasSubCommands() && !strings.Contains(stdout, "Examples:") {
			t.Errorf("%q has no example", path)
		}
		for _, sub := range c.Commands() {
			visit(append(path[:len(path):len(path)], sub.Name()), sub)
		}
	}
	visit(nil, (&app{}).root())
}

func TestPrintFindings(t *testing.T) {
	findings := []outbox.Finding{
		{Level: outbox.OK, What: "wal_level", Found: "logical"},
		{Level: outbox.Warn, What: "slots", Found: "1 left", Fix: "raise max_replication_slots"},
		{Level: outbox.Fail, What: "table", Found: "is missing", Fix: "CREATE TABLE\nand grant"},
	}
	var b bytes.Buffer
	if err := printFindings(&b, findings, "text"); err != nil {
		t.Fatal(err)
	}
	want := `ok    wal_level: logical
warn  slots: 1 left
      fix: raise max_replication_slots
FAIL  table: is missing
      fix: CREATE TABLE
           and grant
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	if countFails(findings) != 1 {
		t.Error("wrong number of fails")
	}
	b.Reset()
	if err := printFindings(&b, findings[:1], "json"); err != nil {
		t.Fatal(err)
	}
	if want := "[\n  {\n    \"level\": \"ok\",\n    \"what\": \"wal_level\",\n    \"found\": \"logical\"\n  }\n]\n"; b.String() != want {
		t.Errorf("got %s", b.String())
	}
}

func TestCheckDirectory(t *testing.T) {
	dir := t.TempDir()
	if f := checkDirectory(filepath.Join(dir, "c.json")); f.Level != outbox.OK {
		t.Errorf("got %+v", f)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if f := checkDirectory(filepath.Join(dir, "none", "c.json")); f.Level != outbox.Fail || f.Fix == "" {
		t.Errorf("got %+v", f)
	}
}

// tailerAt answers like a running tailer that is live and not ready.
func tailerAt(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/status", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"name":"orders","version":"1.0","state":"retrying","reason":"broker down","position":"0/1","server_position":"0/2",
			"lag_seconds":null,"lag_bytes":1234567,"published":42,"last_error":{"time":"2026-01-02T03:04:05Z","text":"broker down"}}`)
	})
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "broker down", http.StatusServiceUnavailable)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func TestStatus(t *testing.T) {
	addr := tailerAt(t)
	want := `name        orders (tailer 1.0)
state       retrying: broker down
position    0/1
server      0/2
lag         unknown, 1234567 bytes
published   42
last error  2026-01-02T03:04:05Z broker down
`
	if status, stdout, stderr := execute(t, nil, "status", "--http-addr", addr); status != 0 || stdout != want || stderr != "" {
		t.Errorf("%d\n%s\n%s", status, stdout, stderr)
	}
	if got := logLag(nil, new(float64)); got != "0 transactions" {
		t.Errorf("a source with GTIDs: %s", got)
	}
	status, stdout, stderr := execute(t, []string{"TAILER_HTTP_ADDR=" + addr}, "status", "--ready", "--output=json")
	if status != 1 || !strings.HasPrefix(stdout, `{"name":"orders"`) || stderr != "{\"error\":\"not ready: broker down\",\"status\":1}\n" {
		t.Errorf("%d %q %q", status, stdout, stderr)
	}
	if status, _, _ := execute(t, nil, "status", "--http-addr=127.0.0.1:1"); status != 1 {
		t.Errorf("nobody there: %d", status)
	}
}

func TestDialable(t *testing.T) {
	for addr, want := range map[string]string{
		":8245": "127.0.0.1:8245", "0.0.0.0:1": "127.0.0.1:1", "[::]:1": "[::1]:1", "10.0.0.1:1": "10.0.0.1:1",
	} {
		if got := dialable(addr); got != want {
			t.Errorf("%s: got %s, want %s", addr, got, want)
		}
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/tailer-io/tailer/internal/outbox"
)

func TestReportJSON(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("lookup db:\nno such host"), `{"error":"lookup db: no such host","status":1}`},
		{&outbox.Invalid{Option: "sink", Text: `"x" is not allowed`, Hint: "say <kafka>"}, `{"error":"--sink: \"x\" is not allowed","hint":"say <kafka>","status":2}`},
		{fmt.Errorf("prove: %w", outbox.Refuse("slot_missing", "do this", "it is gone")),
			`{"error":"prove: refused: it is gone","hint":"do this","reason":"slot_missing","status":3}`},
	} {
		var b bytes.Buffer
		if reportJSON(&b, c.err); b.String() != c.want+"\n" {
			t.Errorf("got %s, want %s", b.String(), c.want)
		}
	}
}

// Errors take the form that the command line asks for, even one that cannot be
// parsed; a command without --output knows no other than text.
func TestErrorsAreJSONWhereItIsAskedFor(t *testing.T) {
	for _, c := range []struct {
		args   string
		status int
		json   bool
	}{
		{"check --output=json --source-url=postgres://h/db", 2, true},
		{"check --output json", 2, true},
		{"check --no-such-flag --output json", 2, true},
		{"check --output json --output text", 2, false},
		{"check --output=xml", 2, false},
		{"check", 2, false},
		{"version surplus --output json", 2, true},
		{"checkpoint set --output json", 2, true},
		{"status --http-addr=127.0.0.1:1 --output json", 1, true},
		{"run --output json", 2, false},
	} {
		status, stdout, stderr := execute(t, nil, strings.Fields(c.args)...)
		var f failure
		isJSON := json.Unmarshal([]byte(stderr), &f) == nil && f.Error != ""
		if status != c.status || stdout != "" || isJSON != c.json || isJSON && f.Status != status {
			t.Errorf("%s: status %d, stdout %q, stderr %q", c.args, status, stdout, stderr)
		}
	}
}

func TestVersionAsJSON(t *testing.T) {
	status, stdout, _ := execute(t, nil, "version", "--output", "json")
	var v map[string]string
	if err := json.Unmarshal([]byte(stdout), &v); err != nil || status != 0 || v["version"] != "dev" || v["go"] == "" || v["os"] == "" || v["arch"] == "" {
		t.Errorf("status %d, %v, %s", status, err, stdout)
	}
}

func TestSetupPrintAsJSON(t *testing.T) {
	status, stdout, stderr := execute(t, nil, "setup", "--print", "--output=json", "--source-url=postgres://app@h/shop", "--kafka-brokers=k:1")
	var v setupPrinted
	if err := json.Unmarshal([]byte(stdout), &v); err != nil || status != 0 || len(v.Database) == 0 || len(v.Kafka) == 0 {
		t.Fatalf("status %d, %v, %s%s", status, err, stdout, stderr)
	}
	// The lines are those of the text, database first.
	_, text, _ := execute(t, nil, "setup", "--print", "--source-url=postgres://app@h/shop", "--kafka-brokers=k:1")
	if got := strings.Join(append(v.Database, v.Kafka...), "\n") + "\n"; got != text {
		t.Errorf("got\n%s\nwant\n%s", got, text)
	}
}

func TestConvertAsJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.json")
	convert := func(status int, more string, args ...string) (c converted) {
		t.Helper()
		connector := `{"connector.class":"io.debezium.connector.postgresql.PostgresConnector","topic.prefix":"shop","database.hostname":"h",
"database.dbname":"shop","table.include.list":"public.outbox","plugin.name":"pgoutput","key.converter":"org.apache.kafka.connect.storage.StringConverter",
"value.converter":"org.apache.kafka.connect.storage.StringConverter","transforms":"outbox",
"transforms.outbox.type":"io.debezium.transforms.outbox.EventRouter"` + more + `}`
		if err := os.WriteFile(path, []byte(connector), 0o600); err != nil {
			t.Fatal(err)
		}
		got, stdout, stderr := execute(t, nil, append([]string{"convert", "debezium", path, "--output=json"}, args...)...)
		if err := json.Unmarshal([]byte(stdout), &c); err != nil || got != status {
			t.Fatalf("status %d, %v, %s%s", got, err, stdout, stderr)
		}
		return c
	}
	if c := convert(0, ""); c.YAML == nil || c.Lost == nil || len(c.Lost) != 0 || c.Notes == nil {
		t.Errorf("got %+v", c)
	}
	const lost = `,"skipped.operations":"c"`
	if c := convert(1, lost); c.YAML != nil || len(c.Lost) == 0 {
		t.Errorf("got %+v", c)
	}
	if c := convert(0, lost, "--force"); c.YAML == nil || len(c.Lost) == 0 {
		t.Errorf("got %+v", c)
	}
}

// The documents' members are a promise: see docs/commands.md.
func TestTheMembersAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{failure{}, jsonFinding{}, setupDone{}, setupPrinted{}, tornDown{}, checkpointSet{}, checkpointSkipped{},
		skippedRow{}, checkpointForgotten{}, converted{}, versionAnswer{},
		tableForgotten{}, recovered{}, rowsOfTable{}, republished{}, poisonRow{}} {
		for i := range reflect.TypeOf(v).NumField() {
			name, _, _ := strings.Cut(reflect.TypeOf(v).Field(i).Tag.Get("json"), ",")
			if !strings.Contains(string(doc), "`"+name+"`") {
				t.Errorf("docs/commands.md does not name %q of %T", name, v)
			}
		}
	}
}

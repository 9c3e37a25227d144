package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const connectorJSON = `{"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "table.include.list": "public.outbox",
"extended.headers.enabled": "false", "key.converter": "org.apache.kafka.connect.storage.StringConverter",
"value.converter": "org.apache.kafka.connect.storage.StringConverter", "transforms": "outbox",
"transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter"`

func TestConvertDebezium(t *testing.T) {
	dir := t.TempDir()
	good, bad, broken := filepath.Join(dir, "good.json"), filepath.Join(dir, "bad.json"), filepath.Join(dir, "broken.json")
	for path, text := range map[string]string{good: connectorJSON + "}", bad: connectorJSON + `, "column.mask.hash.a.with.salt.b": "c"}`, broken: "{"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args           []string
		status         int
		stdout, stderr string
	}{
		{[]string{good}, 0, "tables:\n  - table: public.outbox\n", ""},
		{[]string{bad}, 1, "", "lost: column.mask.hash.a.with.salt.b=c: it has no equivalent that is known\n" +
			"tailer: convert: 1 lost, as named above; --force prints the rest\n"},
		{[]string{bad, "--force"}, 0, "# LOST: column.mask.hash.a.with.salt.b=c", "lost: column.mask"},
		{[]string{good, "--outbox-table=app.events"}, 0, "  - table: app.events\n", ""},
		{[]string{}, 2, "", "tailer: one file is wanted\nhint: tailer convert debezium FILE; - is standard input\n"},
		{[]string{broken}, 2, "", "tailer: " + broken + ": it is no JSON: unexpected EOF\nhint: wanted is the JSON of a connector, or properties of Debezium Server\n"},
		{[]string{good, broken}, 2, "", "tailer: one file is wanted\nhint: tailer convert debezium FILE; - is standard input\n"},
		{[]string{"/nowhere/a.json"}, 2, "", "tailer: cannot be read: open /nowhere/a.json: no such file or directory\n"},
		{[]string{good, "--worker=/nowhere/worker"}, 2, "", "tailer: --worker: cannot be read: open /nowhere/worker: no such file or directory\n"},
		{[]string{good, "--outbox-table=a\"b"}, 2, "", "tailer: --outbox-table: \"a\\\"b\" is not a list with commas between\n"},
	} {
		var stdout, stderr strings.Builder
		a := &app{stdin: os.Stdin, stdout: &stdout, stderr: &stderr}
		status := a.execute(t.Context(), append([]string{"convert", "debezium"}, c.args...))
		if status != c.status || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) ||
			c.status == 2 && stderr.String() != c.stderr || c.stdout == "" && stdout.Len() > 0 || c.stderr == "" && stderr.Len() > 0 {
			t.Errorf("%q: status %d\nstdout %s\nstderr %s", c.args, status, stdout.String(), stderr.String())
		}
	}
}

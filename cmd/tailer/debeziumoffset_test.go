package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tailer-io/tailer/internal/convert"
	"github.com/tailer-io/tailer/internal/pg"
)

// Which change was the last one must never be told by comparing its place with
// the last commit: a change may begin where that ends.
func TestLeftPostgres(t *testing.T) {
	for _, c := range []struct {
		offset convert.PostgresOffset
		want   pg.Left
	}{
		{convert.PostgresOffset{LSN: 48, Commit: 32, Transaction: 7, Event: "INSERT"}, pg.Left{Commit: 32, Transaction: 7, Change: 48}},
		{convert.PostgresOffset{LSN: 32, Commit: 32, Transaction: 7, Event: "INSERT"}, pg.Left{Commit: 32, Transaction: 7, Change: 32}},
		{convert.PostgresOffset{LSN: 24, Commit: 32, Transaction: 7, Event: "DELETE"}, pg.Left{Commit: 32, Transaction: 7, Change: 24}},
		{convert.PostgresOffset{LSN: 32, Commit: 32, Transaction: 7, Event: "COMMIT"}, pg.Left{Commit: 32, Change: 32}},
		{convert.PostgresOffset{LSN: 48, Commit: 32, Transaction: 7, Event: "BEGIN"}, pg.Left{Commit: 32, Transaction: 7, Change: 47}},
		{convert.PostgresOffset{LSN: 32, Commit: 32, Transaction: 7, Event: "MESSAGE"}, pg.Left{Commit: 32, Transaction: 7, Change: 32}},
		{convert.PostgresOffset{LSN: 32, Commit: 32, Event: "MESSAGE"}, pg.Left{Commit: 32, Change: 32}},
	} {
		if got := leftPostgres(&c.offset); got != c.want {
			t.Errorf("%+v: got %+v, want %+v", c.offset, got, c.want)
		}
	}
}

// What is wrong with an offset is said before anybody is asked.
func TestWrongDebeziumOffset(t *testing.T) {
	const hint = "\nhint: wanted is what GET /connectors/NAME/offsets of Kafka Connect answers for a connector that is stopped\n"
	file := filepath.Join(t.TempDir(), "offsets.json")
	for _, c := range []struct{ text, source, want string }{
		{`{"offsets":[]}`, "postgres://h/db", "tailer: --from-debezium-offset: the connector has committed no offset yet" + hint},
		{`{"file":"b.1","pos":4}`, "postgres://h/db", "tailer: --from-debezium-offset: the offset is of another kind of database than postgres, which --source-url names\n"},
		{`{"lsn":8,"lsn_commit":8,"messageType":"COMMIT"}`, "mysql://u@h/db", "tailer: --from-debezium-offset: the offset is of another kind of database than mysql, which --source-url names\n"},
	} {
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		status, stdout, stderr := execute(t, nil, "checkpoint", "set", "--from-debezium-offset="+file, "--source-url="+c.source, "--kafka-brokers=k:1")
		if status != exitInvalid || stdout != "" || stderr != c.want {
			t.Errorf("%s: status %d, stdout %q, stderr %q, want %q", c.text, status, stdout, stderr, c.want)
		}
	}
	const either = "tailer: --debezium-include-query: \"maybe\" is neither true nor false\n"
	if status, _, stderr := execute(t, nil, "checkpoint", "set", "--from-debezium-offset="+file, "--debezium-include-query=maybe",
		"--source-url=mariadb://u@h/db", "--kafka-brokers=k:1"); status != exitInvalid || stderr != either {
		t.Errorf("status %d, stderr %q", status, stderr)
	}
}

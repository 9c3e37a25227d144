package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// TestRecordGolden is how cases get into testdata/golden/debezium. E2E_RECORD names a file of cases in that form
// without what is expected; a live Debezium then publishes their rows, and the file is written anew with what it
// published, or with the error it died of. Groups that are recorded already are left alone. @DB stands for the
// database, which the recorder makes; "topics" are those of a case that are not outbox.event.GROUP.
func TestRecordGolden(t *testing.T) {
	file := harness.Env(t, "E2E_RECORD")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var raw []map[string]any
	if err := json.Unmarshal(data, &raw); err != nil {
		t.Fatal(err)
	}
	var order []string
	groups := map[string][]map[string]any{}
	for _, c := range raw {
		name := c["group"].(string)
		if groups[name] == nil {
			order = append(order, name)
		}
		groups[name] = append(groups[name], c)
	}
	server := source(t)
	connect := harness.NewConnect(t, harness.NewKafka(t))
	for _, name := range order {
		if _, done := groups[name][0]["expected"]; done {
			continue
		}
		t.Run(name, func(t *testing.T) { newRecorder(t, server, connect, groups[name]).record() })
		out, err := json.MarshalIndent(raw, "", " ")
		if err == nil {
			err = os.WriteFile(file, append(out, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// recorder records the cases of one group, one after another on one connector as long as that lives.
type recorder struct {
	*harness.Case
	connect *harness.Connect
	raw     []map[string]any
	group   goldenGroup

	name string // the present connector, "" for none
	runs int
}

func newRecorder(t *testing.T, server harness.Server, connect *harness.Connect, raw []map[string]any) *recorder {
	t.Helper()
	r := &recorder{Case: harness.New(t, server), connect: connect, raw: raw}
	r.group.name = raw[0]["group"].(string)
	for _, c := range raw {
		c["source"], c["topic_prefix"], c["database"] = kind(), r.group.name, r.DB.Name()
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		b = bytes.ReplaceAll(b, []byte("@DB"), []byte(r.DB.Name()))
		var k goldenCase
		if err := errors.Join(json.Unmarshal(b, &k), json.Unmarshal(b, &c)); err != nil {
			t.Fatal(err)
		}
		r.group.cases = append(r.group.cases, k)
	}
	return r
}

func (r *recorder) record() {
	conn, err := r.DB.SQL().Conn(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	defer conn.Close()
	for _, s := range slices.Concat(r.group.ddl(), r.group.before()) {
		if _, err := conn.ExecContext(r.Context(), s); err != nil {
			r.Fatalf("%.300s: %v", s, err)
		}
	}
	topics := r.topics()
	r.Kafka.Delete(r, r.Kafka.Topics(r, r.group.name)...)
	for _, topic := range topics {
		r.Kafka.Create(r, topic, 3)
	}
	defer func() {
		r.end()
		r.Kafka.Delete(r, r.Kafka.Topics(r, r.group.name)...)
	}()
	reader := r.Collect(topics...)
	seen := 0
	for i, k := range r.group.cases {
		c := r.raw[i]
		c["expected"] = []any{}
		if err := r.begin(); err != nil {
			// A connector that does not even start stays so.
			for _, c := range r.raw[i:] {
				c["expected"] = []any{}
				c["expected_error"], c["expected_error_causes"] = causes(err.Error())
			}
			return
		}
		rows := 0
		for _, s := range k.SQL {
			if _, err := conn.ExecContext(context.Background(), s); err != nil {
				c["sql_error"] = err.Error()
				break
			}
			rows += strings.Count(s, "INSERT INTO outbox")
		}
		failed := ""
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline) && len(reader.Records()) < seen+rows; time.Sleep(20 * time.Millisecond) {
			if failed = r.connect.Failed(r.name); failed != "" {
				break
			}
		}
		records := reader.Records()
		c["expected"] = written(records[seen:])
		seen = len(records)
		if failed != "" {
			c["expected_error"], c["expected_error_causes"] = causes(failed)
			r.end()
		}
	}
}

func (r *recorder) topics() []string {
	topics := []string{"outbox.event." + r.group.name}
	for _, c := range r.raw {
		more, _ := c["topics"].([]any)
		for _, topic := range more {
			if !slices.Contains(topics, topic.(string)) {
				topics = append(topics, topic.(string))
			}
		}
	}
	return topics
}

// begin sees that a connector runs which reads what is committed from now on.
func (r *recorder) begin() error {
	if r.name != "" {
		return nil
	}
	r.runs++
	name := fmt.Sprintf("rec_%s_%d", strings.TrimPrefix(r.ID, "e2e-"), r.runs)
	server, err := url.Parse(harness.Env(r, map[string]string{"postgres": "STACK_PG_URL", "mysql": "STACK_MYSQL_URL", "mariadb": "STACK_MARIADB_URL"}[kind()]))
	if err != nil {
		r.Fatal(err)
	}
	var connector struct{ Config map[string]string }
	if err := json.Unmarshal(r.group.connector(), &connector); err != nil {
		r.Fatal(err)
	}
	options := connector.Config
	maps.Copy(options, map[string]string{"database.hostname": server.Hostname(), "database.port": server.Port(), "database.user": server.User.Username(),
		"errors.log.enable": "true"})
	if kind() == "postgres" {
		maps.Copy(options, map[string]string{"database.dbname": r.DB.Name(), "database.sslmode": "disable", "plugin.name": "pgoutput",
			"slot.name": name, "publication.name": name, "publication.autocreate.mode": "filtered"})
	} else {
		maps.Copy(options, map[string]string{"database.ssl.mode": map[string]string{"mysql": "disabled", "mariadb": "disable"}[kind()],
			"database.server.id": strconv.Itoa(1<<20 + int(crc32.ChecksumIEEE([]byte(name))%(1<<30))), "snapshot.locking.mode": "none",
			"database.include.list": r.DB.Name(), "include.schema.changes": "false",
			"schema.history.internal":                                "io.debezium.storage.file.history.FileSchemaHistory",
			"schema.history.internal.file.filename":                  filepath.Join(r.TempDir(), "history"),
			"schema.history.internal.store.only.captured.tables.ddl": "true",
		})
		if kind() == "mysql" {
			options["driver.allowPublicKeyRetrieval"] = "true"
		}
	}
	const connected = "Connected to binlog at"
	before := r.connect.Logged(connected)
	r.name = name
	if err := r.connect.Try(name, options); err != nil {
		r.end()
		return err
	}
	r.connect.Until("the connector streams", func() bool {
		if r.connect.Failed(name) != "" {
			return true // At the first row, the caller will see.
		}
		if kind() == "postgres" {
			return r.DB.Text(r, "select coalesce(bool_or(active), false)::text from pg_replication_slots where slot_name = '"+name+"'") == "true"
		}
		return r.connect.Logged(connected) > before
	})
	return nil
}

// end removes the connector.
func (r *recorder) end() {
	if r.name != "" {
		r.connect.Delete(r.name)
		r.name = ""
	}
}

// written is the form of records in the file.
func written(records []check.Record) []any {
	text := func(b []byte) any {
		if b == nil {
			return nil
		}
		return base64.StdEncoding.EncodeToString(b)
	}
	slices.SortStableFunc(records, func(a, b check.Record) int {
		if a.Topic != b.Topic {
			return strings.Compare(a.Topic, b.Topic)
		}
		if a.Partition != b.Partition {
			return int(a.Partition - b.Partition)
		}
		return int(a.Offset - b.Offset)
	})
	list := []any{}
	for _, r := range records {
		headers := [][2]any{}
		for _, h := range r.Headers {
			headers = append(headers, [2]any{h.Key, text(h.Value)})
		}
		out := map[string]any{"topic": r.Topic, "partition": r.Partition, "key_b64": text(r.Key), "value_b64": text(r.Value), "headers": headers}
		if time.Since(time.UnixMilli(r.Millis)).Abs() > time.Hour {
			out["timestamp"] = r.Millis
		}
		list = append(list, out)
	}
	return list
}

// causes are the first line of a trace, and those that name what caused it.
func causes(trace string) (first string, more []string) {
	lines := strings.Split(trace, "\n")
	for _, line := range lines {
		if strings.HasPrefix(line, "Caused by: ") {
			more = append(more, line)
		}
	}
	return lines[0], more
}

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/tailer-io/tailer/e2e/harness"
)

// example is a file of configs/ with what its world must hold. The file itself is used as it stands; only what names
// hosts, files and the instance is given by flags, which beat it.
type example struct {
	table  string // created where it is not the usual outbox
	insert string // with TYPE for the aggregate type of the case
	topic  string // where the message is to be, with TYPE
	more   func(t *testing.T, c *harness.Case) []string
}

var usual = example{
	insert: "INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload) VALUES ('1', 'TYPE', 'k', 'Made', 'v')",
	topic:  "outbox.event.TYPE",
}

var examples = map[string]example{
	"postgres.yaml":      usual,
	"mysql.yaml":         usual,
	"at-least-once.yaml": usual,
	"stdout.yaml":        {insert: usual.insert},
	"debezium.yaml": {
		table: `CREATE TABLE outbox (event_id text PRIMARY KEY, aggregatetype text NOT NULL, aggregate text NOT NULL,
			type text NOT NULL, body text, created_at timestamptz NOT NULL DEFAULT now())`,
		insert: "INSERT INTO outbox (event_id, aggregatetype, aggregate, type, body) VALUES ('1', 'TYPE', 'k', 'Made', 'v')",
		topic:  "shop.TYPE",
		more:   secured,
	},
	"eventuate.yaml": {
		table: `CREATE TABLE eventuate.message (id varchar(255) PRIMARY KEY, destination TEXT NOT NULL, headers TEXT NOT NULL,
			payload TEXT NOT NULL, published smallint DEFAULT 0, message_partition smallint, creation_time bigint)`,
		insert: `INSERT INTO eventuate.message (id, destination, headers, payload, published) VALUES
			('0000017f00000000-0242ac1100020000', 'TYPE', '{"ID":"0000017f00000000-0242ac1100020000","PARTITION_ID":"k"}', '{}', 0)`,
		topic: "TYPE",
	},
	"cloudevents.yaml": usual,
	"cleanup.yaml": {
		table: `CREATE TABLE outbox (id text PRIMARY KEY, aggregatetype text NOT NULL, aggregateid text NOT NULL,
			type text NOT NULL, payload text, created_at timestamptz NOT NULL DEFAULT now())`,
		insert: usual.insert,
		topic:  usual.topic,
	},
}

// secured makes the user that the file logs in as, with the rights for its topics.
func secured(t *testing.T, c *harness.Case) []string {
	t.Helper()
	const user, password = "tailer", "scram-secret"
	dir, broker := harness.Env(t, "STACK_TLS_DIR"), harness.Env(t, "STACK_KAFKA_SECURE")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	admin := c.Kafka.Admin
	name := user + "-" + c.ID
	if _, err := admin.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: name, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: password}}); err != nil {
		t.Fatal(err)
	}
	acl := func() *kadm.ACLBuilder {
		return kadm.NewACLs().Allow("User:"+name).AllowHosts().Topics("shop.", "tailer-checkpoint.", "__transaction_state").
			TransactionalIDs("tailer.").Clusters().Groups("tailer").ResourcePatternType(kadm.ACLPatternPrefixed).Operations(kadm.OpAll)
	}
	if _, err := admin.CreateACLs(ctx, acl()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if _, err := admin.DeleteACLs(ctx, acl()); err != nil {
			t.Error(err)
		}
		if _, err := admin.AlterUserSCRAMs(ctx, []kadm.DeleteSCRAM{{User: name, Mechanism: kadm.ScramSha512}}, nil); err != nil {
			t.Error(err)
		}
	})
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"--kafka-brokers=" + broker, "--kafka-tls-ca-file=" + filepath.Join(dir, "ca.pem"),
		"--kafka-sasl-username=" + name, "--kafka-sasl-password-file=" + file}
}

// Every example in configs/ starts against real servers and publishes a row.
func TestEveryExampleConfigurationRuns(t *testing.T) {
	t.Parallel()
	harness.Binary(t)
	files, err := filepath.Glob("../configs/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		e, ok := examples[filepath.Base(file)]
		if !ok {
			t.Errorf("%s is started by no test", file)
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		url := regexp.MustCompile(`(?m)^source-url: (\w+)://`).FindSubmatch(text)
		if url == nil {
			t.Errorf("%s names no source", file)
			continue
		}
		kinds := []string{string(url[1])}
		if kinds[0] == "mysql" {
			kinds = append(kinds, "mariadb")
		}
		for _, kind := range kinds {
			t.Run(filepath.Base(file)+" on "+kind, func(t *testing.T) {
				t.Parallel()
				runExample(t, kind, file, e)
			})
		}
	}
}

func runExample(t *testing.T, kind, file string, e example) {
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	var server harness.Server
	if kind == "postgres" {
		server = harness.NewPostgres(t, "STACK_PG_URL")
	} else {
		server = harness.NewMySQL(t, stack(kind)+"_URL")
	}
	c := harness.New(t, server)
	switch {
	case strings.Contains(e.table, "eventuate."):
		c.DB.Schema(t, "eventuate")
		fallthrough
	case e.table != "":
		c.DB.Exec(t, e.table)
	case kind == "postgres":
		c.DB.CreateOutbox(t, "public.outbox")
	default:
		c.DB.CreateOutbox(t, "outbox")
	}
	args := []string{"--config=" + path, "--log-format=text"}
	if e.topic == "" {
		c.Omit = []string{"--kafka-brokers"}
	}
	if e.more != nil {
		args = append(args, e.more(t, c)...)
	}
	fill := func(s string) string { return strings.ReplaceAll(s, "TYPE", c.Type) }
	p := c.Start(args...)
	c.DB.Exec(t, fill(e.insert))
	c.Wait("the row is published", 20*time.Second, func() (bool, string) {
		if e.topic == "" {
			return strings.Contains(p.Stdout(), fill(`"topic":"outbox.event.TYPE"`)), p.Stdout()
		}
		records := c.Kafka.Records(t, fill(e.topic))
		return len(records) == 1 && string(records[0].Key) == "k", fmt.Sprint(len(records), " records")
	})
	p.Stop()
}

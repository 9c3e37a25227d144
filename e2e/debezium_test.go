package e2e

import (
	"encoding/json"
	"hash/crc32"
	"maps"
	"math/rand"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// debezium is a connector with the outbox event router on a case's outbox.
type debezium struct {
	c       *harness.Case
	connect *harness.Connect
	name    string
	options map[string]string
	config  string // tailer's, as convert printed it
}

// newDebezium starts Kafka Connect with a connector for the case's source, and converts its configuration. extended
// ("true", "false") asks for Debezium's headers of the context.
func newDebezium(t *testing.T, c *harness.Case, extended string) *debezium {
	t.Helper()
	if !harness.Full() {
		t.Skip("E2E_FULL is not set: Kafka Connect takes a minute")
	}
	d := &debezium{c: c, name: "dbz_" + strings.ReplaceAll(strings.TrimPrefix(c.ID, "e2e-"), "-", "_")}
	d.connect = harness.NewConnect(t, c.Kafka)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Kafka Connect:\n%s", d.connect.Log())
		}
	})
	server, err := url.Parse(harness.Env(t, map[string]string{"postgres": "STACK_PG_URL", "mysql": "STACK_MYSQL_URL", "mariadb": "STACK_MARIADB_URL"}[kind()]))
	if err != nil {
		t.Fatal(err)
	}
	// Small batches, and so a transaction that takes a while.
	d.options = map[string]string{
		"tasks.max": "1", "database.hostname": server.Hostname(), "database.port": server.Port(), "database.user": server.User.Username(),
		"topic.prefix": d.name, "extended.headers.enabled": extended, "snapshot.mode": "no_data", "max.batch.size": "25", "max.queue.size": "50", "poll.interval.ms": "10",
		"key.converter":   "org.apache.kafka.connect.storage.StringConverter",
		"value.converter": "org.apache.kafka.connect.storage.StringConverter",
		"transforms":      "outbox", "transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter",
	}
	if kind() == "postgres" {
		maps.Copy(d.options, map[string]string{
			"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "database.dbname": c.DB.Name(), "database.sslmode": "disable",
			"plugin.name": "pgoutput", "slot.name": d.name, "table.include.list": c.DB.Outbox(),
		})
	} else {
		class := map[string]string{"mysql": "mysql.MySqlConnector", "mariadb": "mariadb.MariaDbConnector"}[kind()]
		maps.Copy(d.options, map[string]string{
			"connector.class": "io.debezium.connector." + class, "database.ssl.mode": map[string]string{"mysql": "disabled", "mariadb": "disable"}[kind()],
			"database.server.id": strconv.Itoa(1<<20 + int(crc32.ChecksumIEEE([]byte(d.name))%(1<<30))), "snapshot.locking.mode": "none",
			"database.include.list": c.DB.Name(), "table.include.list": c.DB.Outbox(), "include.schema.changes": "false",
			"schema.history.internal":                                "io.debezium.storage.file.history.FileSchemaHistory",
			"schema.history.internal.file.filename":                  filepath.Join(t.TempDir(), "history"),
			"schema.history.internal.store.only.captured.tables.ddl": "true",
		})
		if kind() == "mysql" {
			d.options["driver.allowPublicKeyRetrieval"] = "true"
		}
	}
	d.convert()
	return d
}

// convert writes tailer's configuration.
func (d *debezium) convert() {
	d.c.Helper()
	dir := d.c.TempDir()
	connector, err := json.Marshal(map[string]any{"name": d.name, "config": d.options})
	if err != nil {
		d.c.Fatal(err)
	}
	in := filepath.Join(dir, "connector.json")
	d.config = filepath.Join(dir, "tailer.yaml")
	if err := os.WriteFile(in, connector, 0o600); err != nil {
		d.c.Fatal(err)
	}
	p := d.c.Do(0, "convert", "debezium", in)
	if err := os.WriteFile(d.config, []byte(p.Stdout()), 0o600); err != nil {
		d.c.Fatal(err)
	}
}

// start lets the connector go on, and waits until it reads the log.
func (d *debezium) start() {
	d.c.Helper()
	d.connect.Start(d.name, d.options)
	if kind() != "postgres" {
		return
	}
	d.c.Wait("the connector reads its slot", time.Minute, func() (bool, string) {
		active := d.c.DB.Text(d.c, "select coalesce(bool_or(active), false)::text from pg_replication_slots where slot_name = '"+d.name+"'")
		return active == "true", active
	})
}

// begin starts the connector for the first time, and waits until it publishes what is committed: rows of a topic of
// their own show it.
func (d *debezium) begin() {
	d.c.Helper()
	d.start()
	kind := "Probe" + d.c.Type
	topic := harness.Topic(kind)
	d.c.Kafka.Create(d.c, topic, 1)
	r := d.c.Follow(topic)
	for n := 0; r.IDs() == 0; n++ {
		if n == 600 {
			d.c.Fatal("the connector has published nothing within a minute")
		}
		d.c.DB.Exec(d.c, "INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload) VALUES ('probe-"+strconv.Itoa(n)+"', '"+kind+"', 'a', 'Probed', 'x')")
		time.Sleep(100 * time.Millisecond)
	}
}

// take stops the connector and lets a tailer go on from its offset; it returns the offset, and what is said about it.
func (d *debezium) take(flags []string) (offsets []byte, said string) {
	d.c.Helper()
	offsets = d.connect.Stop(d.name)
	file := filepath.Join(d.c.TempDir(), "offsets.json")
	if err := os.WriteFile(file, offsets, 0o600); err != nil {
		d.c.Fatal(err)
	}
	args := d.c.Flags(append(flags, "--from-debezium-offset="+file)...)
	if kind() == "mariadb" {
		args = append(args, "--debezium-include-query=false")
	}
	p := harness.Exec(d.c, harness.Binary(d.c), nil, append([]string{"checkpoint", "set"}, args...)...)
	if code := p.Exit(time.Minute); code != 0 {
		d.c.Fatalf("checkpoint set from %s: %d\n%s", offsets, code, p.Stderr())
	}
	return offsets, p.Stdout() + p.Stderr()
}

// giveBack brings the tailer to a place between transactions and makes it the connector's offset.
func (d *debezium) giveBack(p *harness.Tailer, flags []string, offsets []byte) {
	d.c.Helper()
	p.Stop()
	d.c.Run(append(flags, "--until=now")...).Want(0, time.Minute)
	var record struct {
		Position string
		Open     any
	}
	show := d.c.Do(0, "checkpoint show", d.c.Flags(flags...)...)
	if err := json.Unmarshal([]byte(show.Stdout()), &record); err != nil || record.Open != nil {
		d.c.Fatalf("%v: %s", err, show.Stdout())
	}
	var body struct {
		Offsets []struct {
			Partition, Offset map[string]any
		} `json:"offsets"`
	}
	if err := json.Unmarshal(offsets, &body); err != nil || len(body.Offsets) != 1 {
		d.c.Fatalf("%v: %s", err, offsets)
	}
	offset := map[string]any{"file": body.Offsets[0].Offset["file"], "pos": 4, "gtids": record.Position}
	if kind() == "postgres" {
		n, err := strconv.ParseInt(d.c.DB.Text(d.c, "select ('"+record.Position+"'::pg_lsn - '0/0')::text"), 10, 64)
		if err != nil {
			d.c.Fatal(err)
		}
		// One byte less, where nothing can begin: Debezium takes a change at lsn_proc for one that it has published.
		offset = map[string]any{"lsn": n - 1, "lsn_proc": n - 1, "lsn_commit": n - 1, "messageType": "COMMIT"}
	}
	d.connect.Call("PATCH", "/connectors/"+d.name+"/offsets", map[string]any{
		"offsets": []any{map[string]any{"partition": body.Offsets[0].Partition, "offset": offset}}})
}

// The outbox goes from Debezium to tailer and back, several times, while several writers and large transactions write
// to it. Every row is published once, and the order of each key is kept.
func TestHandOverFromDebeziumAndBack(t *testing.T) {
	for _, variant := range []string{"plain", "heartbeats"} {
		t.Run(variant, func(t *testing.T) {
			c := world(t, source(t))
			d := newDebezium(t, c, "false")
			seed := harness.Seed(t)
			random := rand.New(rand.NewSource(seed))
			l := (&harness.Load{Seed: seed, Aggregates: 200, Types: 2, Writers: 3, Rows: 1 << 30, Largest: 300, Pause: 40 * time.Millisecond}).Prepare(c)
			for _, topic := range l.Topics() {
				c.Kafka.Create(t, topic, 3)
			}
			flags := []string{"--config=" + d.config}
			if variant == "heartbeats" {
				// They carry offsets too, and come between the events of a transaction.
				d.options["heartbeat.interval.ms"] = "1"
				c.Kafka.Create(t, "__debezium-heartbeat."+d.name, 1)
			}
			if kind() == "postgres" && variant == "heartbeats" {
				// Debezium's own slot and publication serve as well.
				flags = append(flags, "--pg-slot="+d.name, "--pg-publication=dbz_publication")
			} else {
				c.Do(0, "setup", c.Flags(flags...)...)
			}
			d.begin()
			r := c.Follow(l.Topics()...)
			wait := l.Go()
			within := 0
			const rounds = 8
			for i := range rounds {
				c.Arrived(r, r.IDs()+1+random.Intn(300), time.Minute)
				if i%2 == 0 {
					// In the middle of a large transaction, as far as one can aim.
					l.Transaction(t, random, 10000)
					c.Arrived(r, r.IDs()+2000+random.Intn(6000), time.Minute)
				}
				offsets, said := d.take(flags)
				if strings.Contains(said, "behind the first") {
					within++
				}
				t.Logf("round %d: %s\n%s", i, offsets, strings.TrimSpace(said))
				p := c.Start(flags...)
				c.Arrived(r, r.IDs()+1+random.Intn(1000), time.Minute)
				d.giveBack(p, flags, offsets)
				d.start()
			}
			c.Arrived(r, r.IDs()+100, time.Minute)
			wait(true)
			want := l.Want()
			// The checker names what does not come.
			for deadline := time.Now().Add(time.Minute); r.IDs() < len(want) && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			}
			d.connect.Stop(d.name)
			c.Check(want, check.ExactlyOnce)
			t.Logf("%d of %d hand-overs were inside a transaction", within, rounds)
			if within == 0 {
				t.Error("no hand-over was inside a transaction")
			}
		})
	}
}

// A tailer beside Debezium publishes the same to topics of its own.
func TestAShadowRunBesideDebeziumIsEqual(t *testing.T) {
	c := world(t, source(t))
	d := newDebezium(t, c, "true")
	l := (&harness.Load{Seed: harness.Seed(t), Aggregates: 50, Writers: 3, Rows: 5000, Largest: 300}).Prepare(c)
	topic := l.Topics()[0]
	shadow := "shadow." + topic
	for _, name := range []string{topic, shadow} {
		c.Kafka.Create(t, name, 3)
	}
	d.begin()
	p := c.Start("--config="+d.config, "--topic-prefix=shadow.")
	l.Must(t)
	want := l.Want()
	c.Arrived(c.Follow(topic), len(want), time.Minute)
	c.Arrived(c.Follow(shadow), len(want), time.Minute)
	p.Stop()
	d.connect.Stop(d.name)
	got := compare(c, 0, topic, shadow, "--ignore-header=__debezium.context.runId")
	if !got.Equal || got.Both != len(want) {
		t.Errorf("%+v", got)
	}
	t.Logf("%d records are the same", got.Both)
}

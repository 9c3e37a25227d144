package convert

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/tailer-io/tailer/internal/config"
	"github.com/tailer-io/tailer/internal/mapping"
)

// load says why tailer would refuse a converted file. What the file does not hold, the source and the brokers, stands
// in other options, as it does for people.
func load(t *testing.T, yaml []byte) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tailer.yaml")
	if err := os.WriteFile(path, yaml, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--config=" + path}
	if !strings.Contains(string(yaml), "\nsource-url:") {
		args = append(args, "--source-url=postgres://db/shop")
	}
	if !strings.Contains(string(yaml), "\nkafka-brokers:") {
		args = append(args, "--kafka-brokers=k:9092")
	}
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.AddFlags(fs, config.Run)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Run, fs, nil)
	if err != nil {
		return err
	}
	m := mapping.Config{}
	for _, table := range c.Tables {
		table.Mapping.Name = table.String()
		m.Tables = append(m.Tables, table.Mapping)
	}
	_, err = mapping.New(m)
	return err
}

// tailer takes every file that was converted without loss.
func TestLoads(t *testing.T) {
	fixtures := append(recorded(t), []byte(whole), connector(t, `"tasks.max": 1`))
	for _, header := range []string{jsonConverter, stringConverter, simpleConverter} {
		for _, extended := range []string{"true", "false"} {
			fixtures = append(fixtures, connector(t, `"header.converter": "`+header+`", "extended.headers.enabled": `+extended))
		}
	}
	for _, value := range []string{bytesConverter, stringConverter, jsonConverter, binaryConverter} {
		for _, option := range []string{`"transforms.outbox.table.expand.json.payload": true`, `"transforms.outbox.table.fields.additional.placement": "a:envelope"`,
			`"transforms.outbox.table.fields.additional.placement": "a:envelope:payload"`, `"transforms.outbox.route.topic.regex": "(?=x)"`,
			`"transforms.outbox.table.json.payload.null.behavior": "optional_bytes"`, `"producer.override.bootstrap.servers": "b:1 , PLAINTEXT://c:2"`,
			`"database.hostname": "::1", "database.port": 5432, "database.dbname": "a b/c"`, `"name": "?", "database.hostname": "h"`,
			`"name": "?", "database.hostname": "h/x", "database.dbname": "d"`, `"topic.creation.default.partitions": 3`,
			`"table.include.list": "a.b,a.b"`} {
			fixtures = append(fixtures, connector(t, `"value.converter": "`+value+`", `+option))
		}
	}
	for _, format := range []string{"", "debezium.format.header=simplestring\n", "debezium.source.extended.headers.enabled=false\n"} {
		fixtures = append(fixtures, []byte("debezium.source.connector.class=io.debezium.connector.mysql.MySqlConnector\ndebezium.source.topic.prefix=p\n"+
			"debezium.source.table.include.list=shop.outbox\ndebezium.transforms=o\ndebezium.transforms.o.type="+routerClass+"\n"+format))
	}
	whole, lost := 0, 0
	for _, data := range fixtures {
		r := convert(t, data, Options{})
		if len(r.Lost) > 0 {
			lost++
			continue
		}
		whole++
		if err := load(t, r.YAML); err != nil {
			t.Errorf("%v\nof %s\nbecame\n%s", err, data, r.YAML)
		}
	}
	t.Logf("%d files, %d of them lose something", len(fixtures), lost)
	if whole < 100 || lost < 20 {
		t.Errorf("%d files without loss and %d with: too few", whole, lost)
	}
}

// recorded are the configurations of the recordings of the live Debezium, each once.
func recorded(t *testing.T) [][]byte {
	t.Helper()
	files, err := filepath.Glob("../../e2e/testdata/golden/debezium/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	class := map[string]string{"string": stringConverter, "simple": simpleConverter, "json": jsonConverter, "json_schema": jsonConverter,
		"bytearray": bytesConverter, "binary": binaryConverter, "binary_nodelegate": binaryConverter}
	kind := map[string]string{"postgres": "postgresql.PostgresConnector", "mysql": "mysql.MySqlConnector", "mariadb": "mariadb.MariaDbConnector"}
	distinct := map[string]bool{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var cases []struct {
			Source     string
			Prefix     string `json:"topic_prefix"`
			Options    struct{ SMT, Connector map[string]string }
			Converters map[string]string
		}
		if err := json.Unmarshal(data, &cases); err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			options := map[string]string{"connector.class": "io.debezium.connector." + kind[c.Source], "topic.prefix": c.Prefix,
				"extended.headers.enabled": "false", "transforms": "o", "transforms.o.type": routerClass}
			for k, v := range c.Options.SMT {
				options["transforms.o."+k] = v
			}
			for part, converter := range c.Converters {
				options[part+".converter"] = class[converter]
				if converter == "json" {
					options[part+".converter.schemas.enable"] = "false"
				}
				if converter == "binary" {
					options[part+".converter.delegate.converter.type"] = jsonConverter
				}
			}
			maps.Copy(options, c.Options.Connector)
			options["table.include.list"] = "public.outbox"
			b, err := json.Marshal(options)
			if err != nil {
				t.Fatal(err)
			}
			distinct[string(b)] = true
		}
	}
	var all [][]byte
	for _, config := range slices.Sorted(maps.Keys(distinct)) {
		all = append(all, []byte(config))
	}
	return all
}

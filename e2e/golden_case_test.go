package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/tailer-io/tailer/e2e/check"
)

// goldenCase is one case of testdata/golden/debezium: what was done to a database, how Debezium was configured,
// and what it wrote.
type goldenCase struct {
	Name, Section, Group, Source string
	TopicPrefix                  string `json:"topic_prefix"`
	Database                     string // in which it was recorded
	DDL, SQL                     []string
	SQLBeforeStart               []string `json:"sql_before_start"`
	SQLError                     string   `json:"sql_error"`
	Options                      struct {
		SMT, Connector map[string]string
		Transforms     []string
		Decode         map[string]string
	}
	Converters         struct{ Key, Value, Header string }
	Expected           []goldenRecord
	ExpectedError      string `json:"expected_error"`
	PartitionIsChosen  any    `json:"partition_is_explicit"`
	PartitionArbitrary any    `json:"partition_arbitrary"`
	Nondeterministic   any

	partial bool // columns were left out, see readable
}

type goldenRecord struct {
	Topic              string
	Partition          int32
	KeyB64             *string `json:"key_b64"`
	ValueB64           *string `json:"value_b64"`
	Headers            [][2]*string
	Timestamp          any
	PartitionArbitrary any `json:"partition_arbitrary"`
}

// goldenCases reads the cases of a source, in the order in which they were recorded.
func goldenCases(t *testing.T, source string) []goldenCase {
	t.Helper()
	files, err := filepath.Glob("testdata/golden/debezium/*-" + source + ".json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases for %s: %v", source, err)
	}
	var all []goldenCase
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var cases []goldenCase
		if err := json.Unmarshal(data, &cases); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		for _, c := range cases {
			all = append(all, c.readable())
		}
	}
	return all
}

// goldenGroup is a run of cases with the same configuration: one database, one tailer.
type goldenGroup struct {
	name  string
	cases []goldenCase
}

// goldenGroups puts cases that can share a tailer together. A case that tailer refuses at start is alone.
func goldenGroups(cases []goldenCase) []goldenGroup {
	byName := map[string]*goldenGroup{}
	for _, c := range cases {
		name := c.Section + "/" + c.Group
		if c.Source != "postgres" {
			name = c.Section + "/" + c.Database // the name of an envelope's schema holds it
		}
		e := expectations[c.Name]
		if e.refused != "" || e.lost != "" || e.alone {
			name = strings.TrimPrefix(c.Name, c.Source+"/")
		}
		if byName[name] == nil {
			byName[name] = &goldenGroup{name: name}
		}
		byName[name].cases = append(byName[name].cases, c)
	}
	var groups []goldenGroup
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		groups = append(groups, *byName[name])
	}
	return groups
}

// goldenSample takes about a tenth of the cases, from every section: a few cases of every seventh group.
func goldenSample(groups []goldenGroup) []goldenGroup {
	var sample []goldenGroup
	for i, g := range groups {
		if i%7 == 3 {
			g.cases = g.cases[:min(len(g.cases), 12)]
			sample = append(sample, g)
		}
	}
	return sample
}

var createTable = regexp.MustCompile(`(?i)^CREATE TABLE ([a-z0-9_]+)`)

// schema is what tables were qualified with: on MySQL and MariaDB that is the database.
func (c *goldenCase) schema() string {
	if c.Source == "postgres" {
		return "public"
	}
	return c.Database
}

// tables are the outbox tables that the connector captured, among those of the cases.
func (g *goldenGroup) tables() []string {
	schema := g.cases[0].schema()
	pattern := g.cases[0].Options.Connector["table.include.list"]
	if pattern == "" {
		pattern = schema + ".outbox"
	}
	wanted := regexp.MustCompile("^(" + strings.ReplaceAll(pattern, ",", "|") + ")$")
	var tables []string
	for _, ddl := range g.ddl() {
		if m := createTable.FindStringSubmatch(ddl); m != nil && wanted.MatchString(schema+"."+m[1]) {
			tables = append(tables, schema+"."+m[1])
		}
	}
	return tables
}

// moved is the converted configuration, for another database than that of the recording.
func (g *goldenGroup) moved(yaml, database string) string {
	if g.cases[0].Source == "postgres" {
		return yaml
	}
	return strings.ReplaceAll(yaml, "- table: "+g.cases[0].Database+".", "- table: "+database+".")
}

// ddl are the statements of all cases, each once.
func (g *goldenGroup) ddl() []string {
	var all []string
	for _, c := range g.cases {
		for _, s := range c.DDL {
			if !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	return all
}

// before are the statements from before the start, of all cases, each once.
func (g *goldenGroup) before() []string {
	var all []string
	for _, c := range g.cases {
		for _, s := range append(c.SQLBeforeStart, expectations[c.Name].before...) {
			if !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	return all
}

// topics are those that the group's messages go to.
func (g *goldenGroup) topics(prefix string) []string {
	set := map[string]bool{}
	for _, c := range g.cases {
		for _, r := range c.want() {
			set[prefix+r.Topic] = true
		}
	}
	topics := slices.Collect(maps.Keys(set))
	sort.Strings(topics)
	return topics
}

// want is what tailer is to write for a case: what Debezium did, or what stands in expectations instead.
func (c *goldenCase) want() []goldenRecord {
	e := expectations[c.Name]
	switch {
	case e.refused != "" || e.lost != "" || e.poison != "":
		return nil
	case e.records != nil:
		return e.records(c)
	}
	return c.Expected
}

var converterClasses = map[string]map[string]string{
	"string":            {"": "org.apache.kafka.connect.storage.StringConverter"},
	"simple":            {"": "org.apache.kafka.connect.storage.SimpleHeaderConverter"},
	"json":              {"": "org.apache.kafka.connect.json.JsonConverter", ".schemas.enable": "false"},
	"json_schema":       {"": "org.apache.kafka.connect.json.JsonConverter", ".schemas.enable": "true"},
	"bytearray":         {"": "org.apache.kafka.connect.converters.ByteArrayConverter"},
	"binary_nodelegate": {"": "io.debezium.converters.BinaryDataConverter"},
	"binary": {"": "io.debezium.converters.BinaryDataConverter",
		".delegate.converter.type":                "org.apache.kafka.connect.json.JsonConverter",
		".delegate.converter.type.schemas.enable": "false"},
}

var connectorClasses = map[string]string{
	"postgres": "io.debezium.connector.postgresql.PostgresConnector",
	"mysql":    "io.debezium.connector.mysql.MySqlConnector",
	"mariadb":  "io.debezium.connector.mariadb.MariaDbConnector",
}

// connector is the JSON that a person would have registered with Kafka Connect.
func (g *goldenGroup) connector() []byte {
	c := &g.cases[0]
	config := map[string]string{
		"connector.class":          connectorClasses[c.Source],
		"topic.prefix":             c.TopicPrefix,
		"snapshot.mode":            "no_data",
		"extended.headers.enabled": "false",
		"poll.interval.ms":         "10",
		"tasks.max":                "1",
		"transforms":               "outbox",
		"transforms.outbox.type":   "io.debezium.transforms.outbox.EventRouter",
	}
	maps.Copy(config, c.Options.Connector)
	config["table.include.list"] = strings.Join(g.tables(), ",")
	for k, v := range c.Options.SMT {
		config["transforms.outbox."+k] = v
	}
	if len(c.Options.Transforms) > 0 {
		config["transforms"] = strings.Join(c.Options.Transforms, ",")
		config["transforms.decode.type"] = "io.debezium.connector.postgresql.transforms.DecodeLogicalDecodingMessageContent"
		for k, v := range c.Options.Decode {
			config["transforms.decode."+k] = v
		}
	}
	for part, converter := range map[string]string{"key": c.Converters.Key, "value": c.Converters.Value, "header": c.Converters.Header} {
		for suffix, v := range converterClasses[converter] {
			config[part+".converter"+suffix] = v
		}
	}
	b, err := json.MarshalIndent(map[string]any{"name": c.Group, "config": config}, "", "  ")
	if err != nil {
		panic(err) // A map of texts.
	}
	return b
}

func decoded(s *string) []byte {
	if s == nil {
		return nil
	}
	b, err := base64.StdEncoding.DecodeString(*s)
	if err != nil {
		panic(err) // The data is part of this repository.
	}
	return b
}

// encode is the inverse, for records that expectations make.
func encode(b []byte) *string {
	s := base64.StdEncoding.EncodeToString(b)
	return &s
}

// record is what a consumer should find.
func (r *goldenRecord) record(prefix string) check.Record {
	out := check.Record{Topic: prefix + r.Topic, Partition: r.Partition, Key: decoded(r.KeyB64), Value: decoded(r.ValueB64)}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, check.Header{Key: *h[0], Value: decoded(h[1])})
	}
	if ms, ok := r.Timestamp.(float64); ok {
		out.Millis = int64(ms)
	}
	return out
}

// described is a record for people, without what differs from run to run.
func described(r check.Record, partition, time bool) string {
	text := func(b []byte) string {
		if b == nil {
			return "null"
		}
		return fmt.Sprintf("%q", b)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "topic %s", r.Topic)
	if partition {
		fmt.Fprintf(&b, " partition %d", r.Partition)
	}
	fmt.Fprintf(&b, "\n      key %s\n      value %s", text(r.Key), text(r.Value))
	for _, h := range r.Headers {
		fmt.Fprintf(&b, "\n      header %s: %s", h.Key, text(masked(h).Value))
	}
	if time {
		fmt.Fprintf(&b, "\n      time %d", r.Millis)
	}
	return b.String()
}

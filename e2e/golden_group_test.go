package e2e

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"sort"
	"strings"
)

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

// goldenSample takes the first cases of every tenth group of a section, and of one at least.
func goldenSample(groups []goldenGroup) []goldenGroup {
	section := func(g goldenGroup) string { return g.cases[0].Section }
	total, seen := map[string]int{}, map[string]int{}
	for _, g := range groups {
		total[section(g)]++
	}
	var sample []goldenGroup
	for _, g := range groups {
		if seen[section(g)]%10 == min(1, total[section(g)]-1) {
			g.cases = g.cases[:min(len(g.cases), 12)]
			sample = append(sample, g)
		}
		seen[section(g)]++
	}
	return sample
}

var createTable = regexp.MustCompile(`(?i)^CREATE TABLE ([a-z0-9_]+)`)

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

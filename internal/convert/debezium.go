package convert

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tailer-io/tailer/internal/mapping"
)

// Result is tailer's configuration, and what is not in it.
type Result struct {
	// YAML is the file.
	YAML []byte
	// Lost are options that change bytes, routing or order, and have no
	// equivalent or none that is known, one sentence each.
	Lost []string
	// Notes are what is good to know, one sentence each.
	Notes []string
}

// Options are what the file itself does not say.
type Options struct {
	// Tables are the outbox tables, where the file has patterns for them.
	Tables []string
	// Worker is the configuration of the Connect worker, which has the
	// converters of connectors that name none; may be nil.
	Worker []byte
}

const routerClass = "io.debezium.transforms.outbox.EventRouter"

// Debezium converts a connector's Kafka Connect JSON, or the properties of
// Debezium Server, with the Outbox Event Router.
func Debezium(data []byte, o Options) (*Result, error) {
	options, err := read(data)
	if err != nil {
		return nil, err
	}
	c := &conversion{left: map[string]string{}, producer: map[string]setting{}, snapshot: "initial"}
	if isServer(options) {
		c.server(options)
	} else {
		c.left = options
	}
	if o.Worker != nil {
		worker, err := read(o.Worker)
		if err != nil {
			return nil, fmt.Errorf("the worker's file: %w", err)
		}
		c.worker(worker)
	}
	c.source()
	c.transforms()
	c.converters()
	c.connector()
	c.producers()
	c.topics()
	c.chooseTables(o.Tables)
	c.chooseDatabase()
	c.reachable()
	c.snapshots()
	c.schemas()
	c.rest()
	c.accepted()
	if c.wrong != nil {
		return nil, c.wrong
	}
	slices.Sort(c.lost)
	slices.Sort(c.notes)
	return &Result{YAML: c.yaml(), Lost: slices.Compact(c.lost), Notes: slices.Compact(c.notes)}, nil
}

// conversion takes options out of left as it understands them.
type conversion struct {
	left  map[string]string
	lost  []string
	notes []string
	wrong error // of the first value that is none of its option's

	kind      string // postgres, mysql, mariadb
	name      string
	host      string // of the database, with its port; "" for none
	user      string
	database  string
	sslMode   string // MySQL, MariaDB: tailer's ssl-mode, "" for its default
	brokers   string
	codec     string
	snapshot  string
	prefix    string // topic.prefix
	delimiter string // topic.delimiter

	partitions  string // of a topic that is created; "" for the broker's default
	replication string
	producer    map[string]setting // of the Kafka producer, by its own names

	mapping   mapping.Table
	regex     string // table.include.list
	tables    []string
	unguessed bool // tables could not be named
}

func isServer(options map[string]string) bool {
	for key := range options {
		if strings.HasPrefix(key, "debezium.") {
			return true
		}
	}
	return false
}

// serverFormats are Debezium Server's names of converters.
var serverFormats = map[string]string{
	"json":          jsonConverter,
	"jsonbytearray": jsonConverter,
	"simplestring":  stringConverter,
	"binary":        binaryConverter,
}

// server makes a connector's options of Debezium Server's properties.
func (c *conversion) server(options map[string]string) {
	for _, part := range []string{"key", "value", "header"} {
		format := "json"
		if f, ok := options["debezium.format."+part]; ok {
			format = strings.ToLower(strings.TrimSpace(f))
		}
		class, ok := serverFormats[format]
		if !ok {
			class = format
		}
		c.left[part+".converter"] = class
	}
	for key, v := range options {
		switch {
		case strings.HasPrefix(key, "debezium.source."):
			c.left[strings.TrimPrefix(key, "debezium.source.")] = v
		case key == "debezium.format.key", key == "debezium.format.value", key == "debezium.format.header":
		case strings.HasPrefix(key, "debezium.format."):
			part, rest, _ := strings.Cut(strings.TrimPrefix(key, "debezium.format."), ".")
			c.left[part+".converter."+rest] = v
		case strings.HasPrefix(key, "debezium.transforms"), strings.HasPrefix(key, "debezium.predicates"):
			c.left[strings.TrimPrefix(key, "debezium.")] = v
		case strings.HasPrefix(key, "debezium.sink.kafka.producer."):
			c.produce(key, "debezium.sink.kafka.producer.", v)
		case key == "debezium.sink.type" && !strings.EqualFold(strings.TrimSpace(v), "kafka"):
			c.lose("debezium.sink.type=%s: tailer publishes to Kafka", v)
		}
	}
}

// worker adds what a connector inherits from its worker: a converter with all
// of its settings or none of them, and each setting of the producer.
func (c *conversion) worker(options map[string]string) {
	for _, part := range []string{"key.converter", "value.converter", "header.converter"} {
		if _, own := c.left[part]; own {
			continue
		}
		for key, v := range options {
			if key == part || strings.HasPrefix(key, part+".") {
				c.left[key] = v
			}
		}
	}
	if v, ok := options["bootstrap.servers"]; ok {
		c.produce("bootstrap.servers", "", v)
	}
	for key, v := range options {
		if strings.HasPrefix(key, "producer.") {
			c.produce(key, "producer.", v)
		}
	}
	if v, ok := options["topic.creation.enable"]; ok && !c.boolean("topic.creation.enable", v) {
		c.drop("topic.creation.") // without effect there
	}
}

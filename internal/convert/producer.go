package convert

import (
	"net"
	"slices"
	"strconv"
	"strings"
)

// setting is one of the Kafka producer's, with the name that the file gave it.
type setting struct{ option, value string }

// produce notes a setting of the producer; a later one takes its place.
func (c *conversion) produce(option, prefix, value string) {
	c.producer[strings.TrimPrefix(option, prefix)] = setting{option, strings.TrimSpace(value)}
}

// plainPartitioners choose the partition as the producer does by itself: by
// murmur2 of the key.
var plainPartitioners = []string{"", "org.apache.kafka.clients.producer.internals.DefaultPartitioner"}

// plainSerializers pass on what a converter made.
var plainSerializers = []string{"", "org.apache.kafka.common.serialization.ByteArraySerializer",
	"org.apache.kafka.common.serialization.StringSerializer", "org.apache.kafka.common.serialization.ByteBufferSerializer"}

var codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// producers judges the producer's settings. Those that are not named here
// change neither bytes nor routing, and no order that tailer does not keep.
func (c *conversion) producers() {
	for key, v := range c.left {
		if strings.HasPrefix(key, "producer.override.") {
			delete(c.left, key)
			c.produce(key, "producer.override.", v)
		}
	}
	for name, s := range c.producer {
		switch {
		case name == "bootstrap.servers":
			c.chooseBrokers(s)
		case name == "compression.type":
			if c.codec = strings.ToLower(s.value); !slices.Contains(codecs, c.codec) {
				c.codec = ""
				c.note("%s=%s: it is not one of %s; kafka-compression names one", s.option, s.value, strings.Join(codecs, ", "))
			}
		case name == "partitioner.class" && slices.Contains(plainPartitioners, s.value):
		case name == "partitioner.ignore.keys" && !c.boolean(s.option, s.value):
		case name == "partitioner.adaptive.partitioning.enable", name == "partitioner.availability.timeout.ms":
			// They are about messages without a key.
		case strings.HasPrefix(name, "partitioner."):
			c.lose("%s=%s: the key alone chooses the partition, or columns.partition", s.option, s.value)
		case name == "interceptor.classes" && s.value != "":
			c.lose("%s=%s: it may change messages, and tailer runs none", s.option, s.value)
		case (name == "key.serializer" || name == "value.serializer") && !slices.Contains(plainSerializers, s.value):
			c.lose("%s=%s: bytes are as the converter makes them", s.option, s.value)
		}
	}
}

// chooseBrokers takes host:port, ... with or without a protocol before each.
func (c *conversion) chooseBrokers(s setting) {
	var brokers []string
	for _, b := range fields(s.value) {
		if _, after, ok := strings.Cut(b, "://"); ok {
			b = after
		}
		host, port, err := net.SplitHostPort(b)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 || host == "" {
			c.note("%s=%s: it is no list of host:port; kafka-brokers names them", s.option, s.value)
			return
		}
		brokers = append(brokers, b)
	}
	c.brokers = strings.Join(brokers, ",")
}

// topics takes how Kafka Connect creates topics: the number of partitions
// decides where a key goes.
func (c *conversion) topics() {
	count := func(option string) string {
		v, ok := c.take(option)
		if n, err := strconv.ParseInt(v, 10, 16); ok && err == nil && n > 0 {
			return strconv.FormatInt(n, 10)
		} else if ok && v != "-1" {
			c.lose("%s=%s: it is no number that Kafka takes", option, v)
		}
		return "" // -1 is the broker's default
	}
	c.partitions = count("topic.creation.default.partitions")
	c.replication = count("topic.creation.default.replication.factor")
	for key, v := range c.left {
		if strings.HasPrefix(key, "topic.creation.") {
			delete(c.left, key)
			c.note("%s=%s: tailer creates topics alike; make those with settings of their own before the first start", key, v)
		}
	}
}

package convert

import (
	"strings"

	"github.com/tailer-io/tailer/internal/mapping"
)

// The converters that have a format here.
const (
	stringConverter = "org.apache.kafka.connect.storage.StringConverter"
	jsonConverter   = "org.apache.kafka.connect.json.JsonConverter"
	bytesConverter  = "org.apache.kafka.connect.converters.ByteArrayConverter"
	simpleConverter = "org.apache.kafka.connect.storage.SimpleHeaderConverter"
	binaryConverter = "io.debezium.converters.BinaryDataConverter"
	// byteBuffer is the former name of binaryConverter.
	byteBufferConverter = "io.debezium.converters.ByteBufferConverter"
)

// converters takes key.converter, value.converter and header.converter.
func (c *conversion) converters() {
	c.mapping.KeyFormat = c.format("key", "")
	c.mapping.ValueFormat = c.format("value", "")
	c.mapping.HeaderFormat = c.format("header", simpleConverter)
}

func (c *conversion) format(part, def string) mapping.Format {
	prefix := part + ".converter"
	class := c.takeOr(prefix, def)
	schemas := c.flag(prefix+".schemas.enable", true)
	delegate, _ := c.take(prefix + ".delegate.converter.type")
	delegateSchemas := c.flag(prefix+".delegate.converter.type.schemas.enable", true)
	if v, ok := c.take(prefix + ".decimal.format"); ok && !strings.EqualFold(v, "base64") && class == jsonConverter {
		c.lose("%s.decimal.format=%s: numbers are written in base64", prefix, v)
	}
	defer c.settings(prefix + ".")
	switch class {
	case stringConverter:
		return mapping.FormatString
	case simpleConverter:
		return mapping.FormatSimple
	case jsonConverter:
		if schemas {
			return mapping.FormatJSONSchema
		}
		return mapping.FormatJSON
	case bytesConverter:
		if part != "header" {
			return mapping.FormatBytes
		}
	case binaryConverter, byteBufferConverter:
		switch {
		case part == "header":
		case delegate == "":
			return mapping.FormatBytes
		case delegate == jsonConverter && delegateSchemas:
			return mapping.FormatBytesJSONSchema
		case delegate == jsonConverter:
			return mapping.FormatBytesJSON
		case delegate == stringConverter:
			return mapping.FormatString // bytes stay bytes there, too
		default:
			c.lose("%s.delegate.converter.type=%s: there is no such format", prefix, delegate)
			return mapping.FormatBytes
		}
	case "":
		c.lose("%s: it is the worker's, which is not in this file; name the worker's properties with --worker", prefix)
		return mapping.FormatString
	}
	if registry(class) {
		c.lose("%s=%s: it needs a schema registry, which tailer does not talk to; a payload that is encoded already passes untouched with the format bytes", prefix, class)
	} else {
		c.lose("%s=%s: there is no such format", prefix, class)
	}
	return mapping.FormatText
}

// settings takes what is left of a converter's: caches, and a default that
// tailer never puts in.
func (c *conversion) settings(prefix string) {
	for key, v := range c.left {
		option, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		delete(c.left, key)
		switch option {
		case "schemas.cache.size", "converter.type", "type", "encoding":
		case "replace.null.with.default":
			c.note("%s=%s: NULL is never replaced by a column's default", key, v)
		default:
			if !registryOption(option) {
				c.lose("%s=%s: the format has no such setting", key, v)
			}
		}
	}
}

func registry(class string) bool {
	class = strings.ToLower(class)
	return strings.Contains(class, "avro") || strings.Contains(class, "protobuf") || strings.Contains(class, "jsonschema") ||
		strings.Contains(class, "confluent") || strings.Contains(class, "apicurio")
}

// registryOption reports settings that were lost with their converter.
func registryOption(option string) bool {
	return strings.Contains(option, "registry") || strings.HasPrefix(option, "apicurio") || strings.HasPrefix(option, "basic.auth") ||
		strings.HasPrefix(option, "enhanced.") || strings.HasPrefix(option, "auto.register")
}

package convert

import (
	"strings"

	"github.com/tailer-io/tailer/internal/mapping"
)

// transforms finds the router among the transforms, and takes its options.
func (c *conversion) transforms() {
	list, _ := c.take("transforms")
	found := false
	for _, alias := range strings.Split(list, ",") {
		if alias = strings.TrimSpace(alias); alias == "" {
			continue
		}
		prefix := "transforms." + alias + "."
		class, _ := c.take(prefix + "type")
		if class == routerClass && !found {
			found = true
			c.router(prefix)
			continue
		}
		c.lose("transforms=%s (%s): tailer runs no other transforms than the router", alias, class)
		c.drop(prefix)
	}
	if !found {
		c.lose("transforms: %s is not among them, so this connector publishes no outbox", routerClass)
	}
	// Options of transforms that are not in the list have no effect.
	c.drop("predicates")
	c.drop("transforms.")
}

// router takes the options of the Outbox Event Router, see
// https://debezium.io/documentation/reference/stable/transformations/outbox-event-router.html#outbox-event-router-configuration-options.
func (c *conversion) router(prefix string) {
	m := &c.mapping
	column := func(option string, to *string) {
		if v, ok := c.take(prefix + option); ok {
			*to = v
		}
	}
	column("table.field.event.id", &m.ID)
	column("table.field.event.key", &m.AggregateID)
	column("table.field.event.payload", &m.Payload)
	column("table.field.event.timestamp", &m.Timestamp)
	column("table.field.event.schema.version", &m.SchemaVersion)
	column("route.by.field", &m.AggregateType)

	regex, ok1 := c.left[prefix+"route.topic.regex"]
	replacement, ok2 := c.left[prefix+"route.topic.replacement"]
	delete(c.left, prefix+"route.topic.regex")
	delete(c.left, prefix+"route.topic.replacement")
	if ok1 || ok2 {
		m.Topic = mapping.Topic{Regex: "(?<routedByValue>.*)", Replacement: "outbox.event.${routedByValue}"}
		if ok1 {
			m.Topic.Regex = regex
		}
		if ok2 {
			m.Topic.Replacement = replacement
		}
	}
	m.Tombstone = c.flag(prefix+"route.tombstone.on.empty.payload", false)
	m.Expand = c.flag(prefix+"table.expand.json.payload", false)
	m.ExpandNulls = c.choice(prefix+"table.json.payload.null.behavior", "ignore", "optional_bytes") == "optional_bytes" && m.Expand
	m.IgnoreMissing = c.choice(prefix+"table.field.additional.missing", "error", "ignore") == "ignore"
	c.placement(prefix)

	if v, ok := c.take(prefix + "table.field.event.type"); ok {
		c.note("table.field.event.type=%s: the router reads no such column; table.fields.additional.placement places it", v)
	}
	if v, ok := c.take(prefix + "table.fields.additional.error.on.missing"); ok {
		c.note("table.fields.additional.error.on.missing=%s: the former name has no effect in Debezium 3.6 either; it is table.field.additional.missing", v)
	}
	if v, ok := c.take(prefix + "table.json.payload.empty.array.behavior"); ok && !strings.EqualFold(v, "ignore") {
		c.note("table.json.payload.empty.array.behavior=%s: tailer leaves empty arrays out as Debezium 3.6 does, which ignores the option", v)
	}
	if v, ok := c.take(prefix + "table.op.invalid.behavior"); ok {
		c.note("table.op.invalid.behavior=%s: updates publish nothing and stop nothing", v)
	}
	c.tracing(prefix)
	for key, v := range c.left {
		if option, ok := strings.CutPrefix(key, prefix); ok {
			delete(c.left, key)
			c.lose("%s=%s: the router has no such option that is known", option, v)
		}
	}
}

// tracing is notes only: without OpenTelemetry on the class path the options do
// nothing, and with it the spans are new ones, which nobody can repeat.
func (c *conversion) tracing(prefix string) {
	field := c.takeOr(prefix+"tracing.span.context.field", "")
	_, only := c.take(prefix + "tracing.with.context.field.only")
	_, name := c.take(prefix + "tracing.operation.name")
	if field == "" && !only && !name {
		return
	}
	if field == "" {
		field = "tracingspancontext"
	}
	c.note("tracing.*: they work only with OpenTelemetry on the class path; columns: {traceparent: %s} passes the context of that column on", field)
}

// placement reads column:place:alias, ... as the original does: spaces around
// each and the place's case do not matter, an empty alias is none.
func (c *conversion) placement(prefix string) {
	const option = "table.fields.additional.placement"
	list, ok := c.take(prefix + option)
	if !ok {
		return
	}
	for _, entry := range strings.Split(strings.TrimRight(list, ", "), ",") {
		parts := strings.Split(strings.TrimRight(entry, ": "), ":")
		for i := range parts {
			parts[i] = strings.TrimSpace(parts[i])
		}
		if len(parts) < 2 {
			c.lose("%s: %q has no place; Debezium refuses it at start", option, entry)
			continue
		}
		column, alias := parts[0], parts[0]
		if len(parts) == 3 {
			alias = parts[2]
		}
		switch strings.ToLower(parts[1]) {
		case "header":
			c.mapping.Headers = append(c.mapping.Headers, mapping.Header{Column: column, Name: alias})
		case "envelope":
			c.mapping.Envelope = append(c.mapping.Envelope, mapping.Field{Column: column, Name: alias})
		case "partition":
			c.mapping.Partition = column
		default:
			c.lose("%s: %q is no place; Debezium fails at the first row", option, parts[1])
		}
	}
}

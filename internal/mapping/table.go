package mapping

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tailer-io/tailer/internal/outbox"
)

// The wanted columns of every table begin with the id.
const colID = 0

// noHeader is the IDHeader that leaves the id out.
const noHeader = "-"

// none is the index of a column that is not used.
const none = -1

// table is a Table checked and taken apart: which columns it wants, and where
// each of them is used.
type table struct {
	Table
	wanted   []string
	optional []bool // by wanted: it may be missing

	// Indexes into wanted, or none.
	route, key, payload, timestamp, partition, version, trace int
	headers                                                   []int // by Headers; none for those without a column
	envelope                                                  []int // by Envelope
	attributes                                                []attribute

	topic   *template // nil: by the route column
	keyText *template // nil: the key column
	regex   *regex    // nil: "outbox.event." before the value

	idKey  []byte
	fixed  []outbox.Header   // before all others
	topics map[string]string // route value -> topic; for a template, the topic itself
	names  map[string]string // envelope: version and payload schema -> schema name
}

// invalid names the table and its option.
func (t *table) invalid(option, format string, args ...any) error {
	return &outbox.Invalid{Text: fmt.Sprintf("tables: %s: %s: %s", t.Name, option, fmt.Sprintf(format, args...))}
}

func newTable(cfg Table) (*table, error) {
	if cfg.Eventuate != nil {
		return newTramTable(cfg), nil
	}
	t := &table{Table: cfg.withDefaults(), topics: map[string]string{}, names: map[string]string{}}
	if err := t.checkFormats(); err != nil {
		return nil, err
	}
	if err := t.checkPlaces(); err != nil {
		return nil, err
	}
	var err error
	switch {
	case t.Topic.Template != "" && (t.Topic.Regex != "" || t.Topic.Replacement != ""):
		return nil, t.invalid("topic", "is a template, or a regex with its replacement, not both")
	case t.Topic.Template != "":
		if t.topic, err = parseTemplate(t.Topic.Template); err != nil {
			return nil, t.invalid("topic", "%s", err)
		}
	case t.Topic.Regex != "" || t.Topic.Replacement != "":
		if t.regex, err = newRegex(t.Topic.Regex, t.Topic.Replacement); err != nil {
			return nil, t.invalid("topic", "%s", err)
		}
	}
	if t.Key != "" {
		if t.keyText, err = parseTemplate(t.Key); err != nil {
			return nil, t.invalid("key", "%s", err)
		}
	}
	if err := t.checkTopic(); err != nil {
		return nil, err
	}
	if err := t.checkIdle(cfg); err != nil {
		return nil, err
	}
	t.idKey = []byte(t.IDHeader)
	t.place()
	if err := t.placeAttributes(); err != nil {
		return nil, err
	}
	return t, t.checkUUIDs()
}

func (t *table) checkFormats() error {
	for _, f := range []struct {
		option  string
		format  Format
		allowed []Format
	}{{"formats.key", t.KeyFormat, KeyFormats}, {"formats.value", t.ValueFormat, ValueFormats},
		{"formats.headers", t.HeaderFormat, HeaderFormats}} {
		if !slices.Contains(f.allowed, f.format) {
			return t.invalid(f.option, "%q is not one of %s", f.format, join(f.allowed))
		}
	}
	raw := t.ValueFormat == FormatText || t.ValueFormat == FormatBytes
	switch {
	case raw && len(t.Envelope) > 0:
		return t.invalid("formats.value", "%s cannot hold the fields of envelope; allowed are string, json, json-schema", t.ValueFormat)
	case raw && t.Expand:
		return t.invalid("formats.value", "%s is not changed by expand-json; allowed are string, json, json-schema", t.ValueFormat)
	case t.ExpandNulls && !t.Expand:
		return t.invalid("expand-json-nulls", "has no effect without expand-json")
	case t.SchemaVersion != "" && len(t.Envelope) == 0:
		// The original reads it for an envelope only, and does not even look
		// whether it is there.
		t.SchemaVersion = ""
	case t.ContextHeaders != "" && t.HeaderFormat != FormatText && t.HeaderFormat != FormatSimple && t.HeaderFormat != FormatString:
		return t.invalid("context-headers", "they are not known in the format %s; allowed are text, simple, string", t.HeaderFormat)
	case t.Key != "" && t.KeyFormat != FormatText && t.KeyFormat != FormatString:
		return t.invalid("formats.key", "%s is not for a key template; allowed are text, string", t.KeyFormat)
	}
	return nil
}

func (t *table) checkPlaces() error {
	for i, h := range t.Headers {
		set := 0
		for _, s := range []string{h.Column, h.Value, h.Meta} {
			if s != "" {
				set++
			}
		}
		switch {
		case set != 1:
			return t.invalid("headers", "number %d has not exactly one of column, value, meta", i+1)
		case h.Name == "":
			return t.invalid("headers", "number %d has no name", i+1)
		case h.Meta != "" && h.Meta != MetaPosition && h.Meta != MetaOrdinal:
			return t.invalid("headers", "meta %q is not one of position, ordinal", h.Meta)
		}
	}
	seen := map[string]bool{"payload": true}
	for i, f := range t.Envelope {
		if f.Column == "" {
			return t.invalid("envelope", "number %d has no column", i+1)
		}
		if seen[f.Name] {
			return t.invalid("envelope", "the name %s is there twice; payload is the value's own", f.Name)
		}
		seen[f.Name] = true
	}
	return nil
}

// place lists the wanted columns, each once, and remembers where they are. A
// column is optional only if every use of it is.
func (t *table) place() {
	fill := func(tm *template) {
		for i := range tm.parts {
			tm.parts[i].col = t.want(tm.parts[i].column, false)
			tm.parts[i].uuid = t.isUUID(tm.parts[i].column)
		}
	}
	t.want(t.ID, false)
	t.route, t.key = none, none
	if t.topic == nil {
		t.route = t.want(t.AggregateType, false)
	} else {
		fill(t.topic)
	}
	if t.keyText == nil {
		t.key = t.want(t.AggregateID, false)
	} else {
		fill(t.keyText)
	}
	t.payload = t.want(t.Payload, false)
	t.timestamp = t.want(t.Timestamp, false)
	t.partition = t.want(t.Partition, false)
	t.version = t.want(t.SchemaVersion, false)
	t.trace = t.want(t.Traceparent, false)
	for _, h := range t.Headers {
		t.headers = append(t.headers, t.want(h.Column, t.IgnoreMissing))
	}
	for _, f := range t.Envelope {
		t.envelope = append(t.envelope, t.want(f.Column, t.IgnoreMissing))
	}
}

// want notes that a column is used and gives its place; none for no column.
func (t *table) want(name string, optional bool) int {
	if name == "" {
		return none
	}
	i := slices.Index(t.wanted, name)
	if i < 0 {
		t.wanted, t.optional = append(t.wanted, name), append(t.optional, optional)
		return len(t.wanted) - 1
	}
	t.optional[i] = t.optional[i] && optional
	return i
}

func (t *table) checkUUIDs() error {
	for _, name := range t.UUIDs {
		switch {
		case !slices.Contains(t.wanted, name):
			return t.invalid("uuid-columns", "column %q is not mapped", name)
		case t.route != none && t.wanted[t.route] == name:
			return t.invalid("uuid-columns", "column %q is the route; write the topic as a template", name)
		}
	}
	return nil
}

// isUUID reports whether the bytes of a column are written as a UUID.
func (t *table) isUUID(column string) bool { return slices.Contains(t.UUIDs, column) }

// plain reports whether rows become messages the short way: a route, a key, a
// payload and an id, each as the database gives it.
func (t *table) plain() bool {
	return len(t.wanted) == shortColumns && t.topic == nil && t.keyText == nil && t.timestamp == none && t.partition == none && t.trace == none &&
		t.CloudEvents == nil && t.ContextHeaders == "" && len(t.Headers) == 0 && len(t.Envelope) == 0 && t.IDHeader == "id" && !t.Tombstone && !t.Expand &&
		t.KeyFormat == FormatText && t.ValueFormat == FormatText && t.HeaderFormat == FormatText
}

// routed is the topic of a value of the route column.
func (t *table) routed(prefix string, route []byte) string {
	if topic, ok := t.topics[string(route)]; ok {
		return topic
	}
	topic := "outbox.event." + string(route)
	if t.regex != nil {
		topic = t.regex.replace(string(route))
	}
	return t.keep(string(route), prefix+topic)
}

// named is the topic that a template made.
func (t *table) named(prefix string, topic []byte) string {
	if s, ok := t.topics[string(topic)]; ok {
		return s
	}
	return t.keep(string(topic), prefix+string(topic))
}

// keptNames bounds each cache of names: aggregate types are few, and a table
// that routes by something else must not make us grow.
const keptNames = 4096

func (t *table) keep(key, topic string) string {
	if len(t.topics) >= keptNames {
		clear(t.topics)
	}
	t.topics[strings.Clone(key)] = topic
	return topic
}

package mapping

import (
	"slices"
	"strings"

	"github.com/tailer-io/tailer/internal/mapping/connect"
)

// Config says how rows become messages.
type Config struct {
	// TopicPrefix is put before every topic; "" for none.
	TopicPrefix string
	// MaxRowBytes is the greatest size of a row's mapped columns together, in
	// bytes; a larger row is poison. 0 means no limit.
	MaxRowBytes int
	// Source knows the source's column types; the zero Source leaves only
	// FormatText.
	Source connect.Source
	// Run is what Table.ContextHeaders say of this process: a UUID of this run.
	Run string
	// Tables are the outbox tables, in the order of the source's list.
	Tables []Table
}

// Table says what becomes of the rows of one outbox table. The zero value of a
// field is its default; for the first four that is the field's name in lower
// case.
type Table struct {
	// Name is the configured name, for people: "public.outbox".
	Name string

	// Eventuate makes the table one of Eventuate Tram's; then every other field
	// but Name is to be empty. nil for other tables.
	Eventuate *Eventuate

	// CloudEvents makes the rows CloudEvents; then there is no header id unless
	// IDHeader is set. nil for other tables.
	CloudEvents *CloudEvents

	// ID is the column of the header id, and names a row in errors.
	ID string
	// AggregateType is the column that routes, unless Topic is a template.
	AggregateType string
	// AggregateID is the column of the key, unless Key is set.
	AggregateID string
	// Payload is the column of the value.
	Payload string

	// Timestamp is the column of the record's time; none means the time of
	// publishing.
	Timestamp string
	// Partition is a column of whole numbers that name the partition; where it
	// is NULL the key decides.
	Partition string
	// SchemaVersion is the column with the version of the envelope's schema.
	SchemaVersion string
	// Traceparent is the column with a trace context: a W3C traceparent, or
	// Java properties that hold one.
	Traceparent string

	// UUIDs are columns of sixteen bytes that are written as the text of a
	// UUID, wherever they are used.
	UUIDs []string

	// Topic makes the topic.
	Topic Topic
	// Key is a template of the key, such as "{region}-{customer}".
	Key string
	// IDHeader is the name of the header with the id; "-" leaves it out.
	IDHeader string
	// ContextHeaders puts Debezium's headers __debezium.context.* before all
	// others, with this as the connector's logical name; "" leaves them out.
	ContextHeaders string
	// Headers follow the header id, in order.
	Headers []Header
	// Envelope wraps the value into a struct of the payload and these columns.
	Envelope []Field
	// IgnoreMissing leaves out headers and envelope fields whose column the
	// table does not have; else that is an error.
	IgnoreMissing bool

	// Tombstone makes a value of nothing but white space a null value.
	Tombstone bool
	// Expand turns a payload that is the text of a JSON object into that
	// object; ExpandNulls keeps its names without a value.
	Expand, ExpandNulls bool
	// SchemaName begins the name of the envelope's schema; "" is Name.
	SchemaName string

	// KeyFormat, ValueFormat and HeaderFormat are how bytes are made.
	KeyFormat, ValueFormat, HeaderFormat Format
	// Modes are choices for some types, in all formats but text and bytes.
	Modes connect.Modes
}

// Topic is how a row finds its topic.
type Topic struct {
	// Template is the topic's name with columns in braces.
	Template string
	// Regex is matched against the whole of the route column's value, in Java's
	// syntax as far as Go has it; Replacement may name its groups as $1 or
	// ${name}. A value that does not match is the topic itself. Empty means
	// "outbox.event." before the value.
	Regex, Replacement string
}

// Header is one more header: exactly one of Column, Value and Meta is set.
type Header struct {
	// Name is the header's; "" means the column's.
	Name string
	// Column is the column of its value.
	Column string
	// Value is a constant.
	Value string
	// Meta is MetaPosition or MetaOrdinal.
	Meta string
}

// The facts about a row that a header may carry.
const (
	// MetaPosition is where the row's transaction was committed, in the source's
	// text: the LSN of its commit record, or its GTID. It is the same for all
	// rows of a transaction, however often they are read.
	MetaPosition = "position"
	// MetaOrdinal numbers the outbox rows of a transaction from 1.
	MetaOrdinal = "ordinal"
)

// Field is one more field of the envelope.
type Field struct {
	// Name is the field's; "" means the column's.
	Name string
	// Column is the column of its value.
	Column string
}

// Format is how a column becomes bytes.
type Format string

const (
	// FormatText is the database's own text, and the bytes themselves where
	// the column holds bytes. The default.
	FormatText Format = "text"
	// FormatString is Connect's StringConverter, except that bytes are
	// themselves: Java would give the name of an object.
	FormatString Format = "string"
	// FormatJSON is JsonConverter without schemas.
	FormatJSON Format = "json"
	// FormatJSONSchema is JsonConverter with schemas.
	FormatJSONSchema Format = "json-schema"
	// FormatBytes takes columns of bytes only: ByteArrayConverter.
	FormatBytes Format = "bytes"
	// FormatBytesJSON is bytes for a column of bytes or bits, else JSON:
	// Debezium's BinaryDataConverter that delegates to JsonConverter. NULL is
	// null where Connect's type is bytes, as it is for numeric(p,s), too.
	FormatBytesJSON Format = "bytes-or-json"
	// FormatBytesJSONSchema is the same with schemas.
	FormatBytesJSONSchema Format = "bytes-or-json-schema"
	// FormatSimple is SimpleHeaderConverter.
	FormatSimple Format = "simple"
)

// KeyFormats, ValueFormats and HeaderFormats are what may be chosen where, the
// default first.
var (
	KeyFormats = []Format{FormatText, FormatString, FormatJSON, FormatJSONSchema, FormatBytes,
		FormatBytesJSON, FormatBytesJSONSchema}
	ValueFormats  = KeyFormats
	HeaderFormats = []Format{FormatText, FormatSimple, FormatString, FormatJSON, FormatJSONSchema}
)

// withDefaults fills in what is empty.
func (t Table) withDefaults() Table {
	idHeader := "id"
	if t.CloudEvents != nil {
		idHeader = noHeader
	}
	for _, c := range []struct {
		field *string
		def   string
	}{
		{&t.IDHeader, idHeader}, {&t.ID, "id"}, {&t.AggregateType, "aggregatetype"}, {&t.AggregateID, "aggregateid"}, {&t.Payload, "payload"},
		{&t.SchemaName, t.Name},
	} {
		if *c.field == "" {
			*c.field = c.def
		}
	}
	for _, f := range []*Format{&t.KeyFormat, &t.ValueFormat, &t.HeaderFormat} {
		if *f == "" {
			*f = FormatText
		}
	}
	t.Headers, t.Envelope = slices.Clone(t.Headers), slices.Clone(t.Envelope)
	for i := range t.Headers {
		if t.Headers[i].Name == "" {
			t.Headers[i].Name = t.Headers[i].Column
		}
	}
	for i := range t.Envelope {
		if t.Envelope[i].Name == "" {
			t.Envelope[i].Name = t.Envelope[i].Column
		}
	}
	return t
}

// join lists choices.
func join[T ~string](list []T) string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return strings.Join(out, ", ")
}

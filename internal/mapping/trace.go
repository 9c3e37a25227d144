package mapping

import (
	"bytes"

	"github.com/tailer-io/tailer/internal/outbox"
)

// traceFields are the headers that a trace context may have, see
// https://www.w3.org/TR/trace-context/ and https://www.w3.org/TR/baggage/.
var traceFields = [][]byte{[]byte("traceparent"), []byte("tracestate"), []byte("baggage")}

// traceHeaders are the headers of a trace context in a column: the text of a
// traceparent, or Java properties as Debezium's tracingspancontext holds them.
// What is neither makes no header.
func traceHeaders(text []byte, out *[3]outbox.Header) []outbox.Header {
	if t := bytes.TrimSpace(text); isTraceparent(t) {
		out[0] = outbox.Header{Key: traceFields[0], Value: t}
		return out[:1]
	}
	n := 0
	for _, field := range traceFields {
		v := property(text, field)
		if v == nil || n == 0 && !isTraceparent(v) {
			if n == 0 {
				return nil // the others mean nothing without it
			}
			continue
		}
		out[n] = outbox.Header{Key: field, Value: v}
		n++
	}
	return out[:n]
}

// property is the value of a name in java.util.Properties, without escapes:
// none of the fields' values needs one.
func property(text, name []byte) []byte {
	for line := range bytes.SplitSeq(text, []byte{'\n'}) {
		line = bytes.TrimSpace(line)
		if rest, ok := bytes.CutPrefix(line, name); ok && len(rest) > 0 && (rest[0] == '=' || rest[0] == ':') {
			return bytes.TrimSpace(rest[1:])
		}
	}
	return nil
}

// isTraceparent checks version-traceid-parentid-flags.
func isTraceparent(t []byte) bool {
	if len(t) < 55 || t[2] != '-' || t[35] != '-' || t[52] != '-' || len(t) > 55 && t[55] != '-' {
		return false
	}
	for i, c := range t[:55] {
		if i != 2 && i != 35 && i != 52 && (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

package mapping

import (
	"bytes"
	"fmt"
)

// tramHeaders is what a row's headers say, as far as the preset eventuate has
// to know.
type tramHeaders struct {
	id, partition tramHeader
	// What dispatchers of domain events ask for; event says that one of the
	// three is there.
	eventType, aggregateType, aggregateID tramHeader
	event                                 bool
	// The same for commands. null is the name of a header command_... without
	// a value, which CommandHandlerParams stumbles over.
	commandType tramHeader
	command     bool
	null        []byte
	// closing is the index of the object's last brace; empty tells that
	// nothing is inside.
	closing int
	empty   bool
}

// tramHeader is a header's value.
type tramHeader struct {
	there bool // the header is there
	value bool // and not null
	plain bool // text has no escapes
	text  []byte
}

// commandPrefix begins the headers of commands (CommandMessageHeaders).
var commandPrefix = []byte("command_")

// scanTramHeaders reads the column headers: one object whose values are
// strings, numbers, booleans and nulls. Of two headers of one name the last one
// counts. reason says why a consumer would stop on it. scratch is used for
// names with escapes, and returned.
func scanTramHeaders(s, scratch []byte) (h tramHeaders, reason string, _ []byte) {
	i := skipSpace(s, 0)
	if i >= len(s) || s[i] != '{' {
		return h, "its headers are no JSON object", scratch
	}
	if i = skipSpace(s, i+1); i < len(s) && s[i] == '}' {
		h.empty = true
		return h, h.end(s, i), scratch
	}
	for {
		i = skipSpace(s, i)
		end, plain := scanString(s, i)
		if end == bad {
			return h, badHeaders(i), scratch
		}
		name := s[i+1 : end-1]
		if !plain {
			scratch = appendUnescaped(scratch[:0], name)
			name = scratch
		}
		if i = skipSpace(s, end); i >= len(s) || s[i] != ':' {
			return h, badHeaders(i), scratch
		}
		i = skipSpace(s, i+1)
		var v tramHeader
		if v, end, reason = scanTramValue(s, i, name); reason != "" {
			return h, reason, scratch
		}
		h.note(name, v)
		if i = skipSpace(s, end); i >= len(s) || s[i] != ',' {
			return h, h.end(s, i), scratch
		}
		i++
	}
}

// end checks that the object, and the text with it, ends at i.
func (h *tramHeaders) end(s []byte, i int) (reason string) {
	if i >= len(s) || s[i] != '}' {
		return badHeaders(i)
	}
	if behind := skipSpace(s, i+1); behind < len(s) {
		return badHeaders(behind)
	}
	h.closing = i
	return ""
}

func badHeaders(at int) string { return fmt.Sprintf("its headers are no JSON from byte %d on", at) }

func scanTramValue(s []byte, i int, name []byte) (v tramHeader, end int, reason string) {
	v.there = true
	if i >= len(s) {
		return v, bad, badHeaders(i)
	}
	switch s[i] {
	case '{', '[':
		return v, bad, fmt.Sprintf("its header %q is no text but an object or array", name)
	case '"':
		if end, v.plain = scanString(s, i); end == bad {
			return v, bad, badHeaders(i)
		}
		v.value, v.text = true, s[i+1:end-1]
		return v, end, ""
	}
	if end = scanScalar(s, i); end == bad {
		return v, bad, badHeaders(i)
	}
	if v.text = s[i:end]; string(v.text) != "null" {
		v.value, v.plain = true, true
	}
	return v, end, ""
}

// note remembers a header that matters.
func (h *tramHeaders) note(name []byte, v tramHeader) {
	switch string(name) {
	case "ID":
		h.id = v
	case "PARTITION_ID":
		h.partition = v
	case "event-type":
		h.eventType, h.event = v, true
	case "event-aggregate-type":
		h.aggregateType, h.event = v, true
	case "event-aggregate-id":
		h.aggregateID, h.event = v, true
	case "command_type":
		h.commandType, h.command = v, true
	case "command__destination", "command_reply_to", "command_resource":
		h.command = true
		h.noteNull(name, v)
	default:
		if bytes.HasPrefix(name, commandPrefix) {
			h.noteNull(name, v)
		}
	}
}

func (h *tramHeaders) noteNull(name []byte, v tramHeader) {
	if !v.value && h.null == nil {
		h.null = bytes.Clone(name)
	}
}

// missing names the first header that a dispatcher asks for and does not find;
// "" for none.
func (h *tramHeaders) missing() string {
	switch {
	case h.event && !h.eventType.value:
		return "event-type"
	case h.event && !h.aggregateType.value:
		return "event-aggregate-type"
	case h.event && !h.aggregateID.value:
		return "event-aggregate-id"
	case h.command && !h.commandType.value:
		return "command_type"
	case h.command && h.null != nil:
		return string(h.null)
	}
	return ""
}

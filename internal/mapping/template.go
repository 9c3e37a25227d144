package mapping

import (
	"fmt"
	"strings"

	"github.com/tailer-io/tailer/internal/mapping/connect"
	"github.com/tailer-io/tailer/internal/outbox"
)

// template is a text with columns in braces.
type template struct {
	parts []templatePart
}

type templatePart struct {
	text   string
	column string // "" for a text
	col    int    // its index among the wanted columns
	uuid   bool   // its bytes are written as a UUID
}

// parseTemplate reads "orders.{region}"; {{ and }} stand for braces.
func parseTemplate(s string) (*template, error) {
	t := &template{}
	text := ""
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			i = len(s)
		}
		text += s[:i]
		if s = s[i:]; s == "" {
			break
		}
		if len(s) > 1 && s[1] == s[0] {
			text += s[:1]
			s = s[2:]
			continue
		}
		name, rest, ok := strings.Cut(s[1:], "}")
		if s[0] == '}' || !ok || name == "" || strings.Contains(name, "{") {
			return nil, fmt.Errorf("%q is not closed or empty; a column stands in braces, {{ is a brace", s)
		}
		t.parts = append(t.parts, templatePart{text: text}, templatePart{column: name})
		text, s = "", rest
	}
	t.parts = append(t.parts, templatePart{text: text})
	return t, nil
}

// append puts the row's values in; column is the one that cannot be written, if
// any, and why says what it is.
func (t *template) append(dst []byte, b *outbox.Batch, r *outbox.Row) (out []byte, column, why string) {
	for i := range t.parts {
		p := &t.parts[i]
		if p.column == "" {
			dst = append(dst, p.text...)
			continue
		}
		v, ok := b.Value(r, p.col)
		switch {
		case !ok:
			return dst, p.column, "is NULL"
		case p.uuid && len(v) != uuidBytes:
			return dst, p.column, errUUID.Error()
		case p.uuid:
			dst = connect.AppendUUID(dst, v)
		default:
			dst = append(dst, v...)
		}
	}
	return dst, "", ""
}

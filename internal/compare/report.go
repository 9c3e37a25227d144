package compare

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// WriteText writes the result for people.
func (r *Result) WriteText(w io.Writer) error {
	var b strings.Builder
	width := max(len(r.A.Topic), len(r.B.Topic))
	for _, s := range []struct {
		name Name
		side *Side
	}{{A, &r.A}, {B, &r.B}} {
		fmt.Fprintf(&b, "%s  %-*s  %s in %s\n", s.name, width, s.side.Topic,
			plural(s.side.Records, "record"), plural(int64(s.side.Partitions), "partition"))
	}
	fmt.Fprintf(&b, "\n%-18s %12d\n", "in both", r.Both)
	for k := range kinds {
		fmt.Fprintf(&b, "%-18s %12d\n", k, r.counts[k])
	}
	for _, n := range r.notes() {
		fmt.Fprintf(&b, "\nnote: %s", n)
	}
	if len(r.notes()) > 0 {
		b.WriteByte('\n')
	}
	for i := range r.Examples {
		r.Examples[i].writeText(&b)
	}
	verdict := "different"
	if r.Equal() {
		verdict = "equal"
	}
	fmt.Fprintf(&b, "\n%s\n", verdict)
	_, err := io.WriteString(w, b.String())
	return err
}

// plural is "1 record" and "2 records".
func plural(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// notes adds to Notes what follows from the counts.
func (r *Result) notes() []string {
	notes := r.Notes
	add := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	if r.A.WithoutID+r.B.WithoutID > 0 {
		add("without header %[3]q, and matched by key and value: %[1]s of A, %[2]d of B", plural(r.A.WithoutID, "record"), r.B.WithoutID, r.opt.IDHeader)
	}
	if r.A.Duplicates+r.B.Duplicates > r.counts[DuplicateA]+r.counts[DuplicateB] {
		add("with the id of an earlier one: %s of A, %d of B; copies that both sides have are no difference", plural(r.A.Duplicates, "record"), r.B.Duplicates)
	}
	if r.A.Outside+r.B.Outside > 0 {
		add("not of the time that is compared, and not counted: %s of A, %d of B", plural(r.A.Outside, "record"), r.B.Outside)
	}
	if r.A.Partitions != r.B.Partitions && !r.opt.IgnorePartition {
		add("the topics have different numbers of partitions, which spreads keys differently; --ignore-partition allows that")
	}
	return notes
}

func (e *Example) writeText(b *strings.Builder) {
	d := &e.detail
	fmt.Fprintf(b, "\n%s: ", e.Kind)
	if d.lost == "" {
		fmt.Fprintf(b, "id %s, key %s, ", quoted(d.id), quoted(d.key))
	}
	var at []string
	for _, p := range []struct {
		name  Name
		place *Place
	}{{A, e.A}, {B, e.B}} {
		if p.place != nil {
			at = append(at, fmt.Sprintf("%s %s", p.name, p.place))
		}
	}
	b.WriteString(strings.Join(at, ", ") + "\n")
	switch {
	case d.lost != "":
		fmt.Fprintf(b, "  %s\n", d.lost)
	case e.Kind == Missing, e.Kind == Extra:
		fmt.Fprintf(b, "  value %s\n", quoted(d.value))
	case e.Kind == Reordered:
		fmt.Fprintf(b, "  behind id %s of the same key at B %s, which A has later: %s\n", quoted(d.ahead), e.AheadB, e.AheadA)
	case d.diff != nil:
		fmt.Fprintf(b, "  %s, first at byte %d\n", d.where, d.diff.Offset)
		d.diff.A.writeText(b, A)
		d.diff.B.writeText(b, B)
	case d.where != "":
		fmt.Fprintf(b, "  %s\n", d.where)
	}
}

// String is "partition 0 offset 5".
func (p *Place) String() string { return fmt.Sprintf("partition %d offset %d", p.Partition, p.Offset) }

// writeText dumps the excerpt, 16 bytes a line.
func (x *Excerpt) writeText(b *strings.Builder, name Name) {
	if x.Null {
		fmt.Fprintf(b, "  %s  null\n", name)
		return
	}
	fmt.Fprintf(b, "  %s  %d bytes\n", name, x.Length)
	for i := 0; i < len(x.Bytes); i += 16 {
		line := x.Bytes[i:min(i+16, len(x.Bytes))]
		fmt.Fprintf(b, "     %08x  %-47s  |%s|\n", x.From+i, spaced(line), printable(line))
	}
}

func spaced(v []byte) string {
	var b strings.Builder
	for i, c := range v {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%02x", c)
	}
	return b.String()
}

// printable replaces what is not printable ASCII by dots.
func printable(v []byte) string {
	out := make([]byte, len(v))
	for i, c := range v {
		if out[i] = c; c < ' ' || c > '~' {
			out[i] = '.'
		}
	}
	return string(out)
}

// WriteJSON writes the result for machines.
func (r *Result) WriteJSON(w io.Writer) error {
	out := jsonResult{Equal: r.Equal(), A: r.A, B: r.B, Both: r.Both, Differences: make(map[string]int64),
		Notes: append([]string{}, r.notes()...), Examples: make([]jsonExample, len(r.Examples))}
	for k := range kinds {
		out.Differences[kindNames[k].json] = r.counts[k]
	}
	for i := range r.Examples {
		out.Examples[i] = r.Examples[i].json()
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

type jsonResult struct {
	Equal       bool             `json:"equal"`
	A           Side             `json:"a"`
	B           Side             `json:"b"`
	Both        int64            `json:"in_both"`
	Differences map[string]int64 `json:"differences"`
	Notes       []string         `json:"notes"`
	Examples    []jsonExample    `json:"examples"`
}

type jsonExample struct {
	Kind   Kind      `json:"kind"`
	ID     jsonBytes `json:"id"`
	Key    jsonBytes `json:"key"`
	A      *Place    `json:"a,omitempty"`
	B      *Place    `json:"b,omitempty"`
	AheadA *Place    `json:"ahead_a,omitempty"`
	AheadB *Place    `json:"ahead_b,omitempty"`
	What   string    `json:"what,omitempty"`
	First  *jsonDiff `json:"first_difference,omitempty"`
}

type jsonDiff struct {
	Offset int         `json:"offset"`
	A      jsonExcerpt `json:"a"`
	B      jsonExcerpt `json:"b"`
}

type jsonExcerpt struct {
	Null   bool   `json:"null,omitempty"`
	Length int    `json:"length"`
	From   int    `json:"from"`
	Hex    string `json:"hex"`
	Text   string `json:"text"`
}

func (e *Example) json() jsonExample {
	d := &e.detail
	out := jsonExample{Kind: e.Kind, ID: d.id, Key: d.key, A: e.A, B: e.B, AheadA: e.AheadA, AheadB: e.AheadB, What: d.where}
	if d.lost != "" {
		out.What = d.lost
	}
	if d.diff != nil {
		out.First = &jsonDiff{d.diff.Offset, d.diff.A.json(), d.diff.B.json()}
	}
	return out
}

func (x *Excerpt) json() jsonExcerpt {
	return jsonExcerpt{x.Null, x.Length, x.From, hex.EncodeToString(x.Bytes), printable(x.Bytes)}
}

// jsonBytes is text as a string, other bytes as {"base64":"..."}, nil as null,
// as in the lines of --sink stdout.
type jsonBytes []byte

// MarshalJSON implements json.Marshaler.
func (v jsonBytes) MarshalJSON() ([]byte, error) {
	switch {
	case v == nil:
		return []byte("null"), nil
	case utf8.Valid(v):
		return json.Marshal(string(v))
	}
	return json.Marshal(map[string]string{"base64": base64.StdEncoding.EncodeToString(v)})
}

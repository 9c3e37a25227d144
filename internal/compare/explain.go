package compare

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Name tells the two topics apart.
type Name string

// The two topics.
const (
	A Name = "A"
	B Name = "B"
)

// detail is what an example looked like.
type detail struct {
	id, key []byte // of the record, of A where it is there
	value   []byte // of a record that is on one side only
	// ahead is the id of the record that a reordered one fell behind.
	ahead []byte
	// where names what differs: key, value, "header 2 (type)".
	where string
	diff  *Diff
	// lost says why there is nothing to show.
	lost string
}

// Diff is where two texts differ first. A nil text is null, or is not there.
type Diff struct {
	// Offset is that of the first differing byte, from 0.
	Offset int
	A, B   Excerpt
}

// Excerpt is a piece of a text.
type Excerpt struct {
	// Null says that there is no text.
	Null bool
	// Length is that of the whole text, in bytes.
	Length int
	// From is where the piece begins.
	From  int
	Bytes []byte
}

// An excerpt begins some bytes before the first difference.
const (
	excerptBefore = 8
	excerptBytes  = 32
)

// Explain reads the records of the examples again, to show them. fetch gives a
// record, nil for one that is gone.
func (r *Result) Explain(fetch func(Name, Place) (*outbox.Record, error)) error {
	slices.SortStableFunc(r.Examples, func(a, b Example) int { return int(a.Kind) - int(b.Kind) })
	for i := range r.Examples {
		e := &r.Examples[i]
		var found [3]*outbox.Record
		for k, want := range []struct {
			name  Name
			place *Place
		}{{A, e.A}, {B, e.B}, {B, e.AheadB}} {
			if want.place == nil {
				continue
			}
			rec, err := fetch(want.name, *want.place)
			if err != nil {
				return fmt.Errorf("read an example again: %w", err)
			}
			if rec == nil {
				e.detail.lost = fmt.Sprintf("%s has removed it meanwhile", want.name)
				break
			}
			found[k] = rec
		}
		if e.detail.lost == "" {
			e.explain(found[0], found[1], found[2], r.opt)
		}
	}
	return nil
}

// explain fills in the detail from a's and b's record, of which one may be nil.
func (e *Example) explain(a, b, ahead *outbox.Record, opt Options) {
	own := a
	if own == nil {
		own = b
	}
	d := &e.detail
	d.id, d.key = idOf(own, opt.IDHeader), own.Key
	switch e.Kind {
	case Missing, Extra:
		d.value = own.Value
	case Reordered:
		d.ahead = idOf(ahead, opt.IDHeader)
	case Key:
		d.where, d.diff = "key", newDiff(a.Key, b.Key)
	case Value:
		d.where, d.diff = "value", newDiff(a.Value, b.Value)
	case Headers:
		d.where, d.diff = diffHeaders(kept(a.Headers, opt.IgnoreHeaders), kept(b.Headers, opt.IgnoreHeaders))
	}
}

// newDiff finds the first difference; there is one.
func newDiff(a, b []byte) *Diff {
	at := 0
	for at < len(a) && at < len(b) && a[at] == b[at] {
		at++
	}
	return &Diff{Offset: at, A: newExcerpt(a, at), B: newExcerpt(b, at)}
}

func newExcerpt(v []byte, at int) Excerpt {
	from := min(max(0, at-excerptBefore), len(v))
	to := min(from+excerptBytes, len(v))
	return Excerpt{Null: v == nil, Length: len(v), From: from, Bytes: v[from:to:to]}
}

// kept are the headers that may not differ.
func kept(headers []outbox.Header, ignored []string) []outbox.Header {
	var out []outbox.Header
	for _, h := range headers {
		if !slices.Contains(ignored, string(h.Key)) {
			out = append(out, h)
		}
	}
	return out
}

// diffHeaders finds the first header that differs, counted from 1 among those
// that are compared: its name, else its value.
func diffHeaders(a, b []outbox.Header) (where string, d *Diff) {
	for i := range max(len(a), len(b)) {
		switch {
		case i >= len(a):
			return fmt.Sprintf("header %d is only in B: %s", i+1, headerText(b[i])), nil
		case i >= len(b):
			return fmt.Sprintf("header %d is only in A: %s", i+1, headerText(a[i])), nil
		case !bytes.Equal(a[i].Key, b[i].Key):
			return fmt.Sprintf("header %d is %s in A and %s in B", i+1, headerText(a[i]), headerText(b[i])), nil
		case !bytes.Equal(a[i].Value, b[i].Value) || (a[i].Value == nil) != (b[i].Value == nil):
			return fmt.Sprintf("header %d (%s)", i+1, quoted(a[i].Key)), newDiff(a[i].Value, b[i].Value)
		}
	}
	return "no header", nil // not reached: the hashes differ
}

func headerText(h outbox.Header) string {
	return string(h.Key) + "=" + quoted(h.Value)
}

// quoted is a text for people: of a long one its beginning.
func quoted(v []byte) string {
	const most = 60
	switch {
	case v == nil:
		return "null"
	case len(v) > most:
		return fmt.Sprintf("%s... (%d bytes)", legibly(strings.ToValidUTF8(string(v[:most]), "?")), len(v))
	}
	return legibly(string(v))
}

// legibly quotes a text, and spares JSON the backslashes.
func legibly(s string) string {
	if strings.ContainsAny(s, `"\`) && strconv.CanBackquote(s) {
		return "`" + s + "`"
	}
	return strconv.Quote(s)
}

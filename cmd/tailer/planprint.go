package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/publish"
)

// planBytes is how much of a text plan shows without --full.
const planBytes = 200

// planText prints rows for people, a paragraph each.
type planText struct {
	w    io.Writer
	full bool
	rows int
}

func (p *planText) print(r *planned) error {
	var b strings.Builder
	if p.rows++; p.rows > 1 {
		b.WriteByte('\n')
	}
	if r.poison != nil {
		fmt.Fprintf(&b, "%s: row with id %s cannot be published\n  because        %s\n", r.table, p.text([]byte(r.poison.ID)), r.poison.Reason)
		return write(p.w, []byte(b.String()))
	}
	m := r.message
	line := func(name, value string) { fmt.Fprintf(&b, "  %-14s %s\n", name, value) }
	fmt.Fprintf(&b, "%s\n", r.table)
	line("topic", m.Topic)
	if m.Partition >= 0 {
		line("partition", strconv.Itoa(int(m.Partition)))
	}
	line("partition key", p.text(r.partitionKey))
	line("key", p.text(m.Key))
	line("value", p.text(m.Value))
	for _, h := range m.Headers {
		line("header", string(h.Key)+" = "+p.text(h.Value))
	}
	at := "when it is published"
	if !m.Time.IsZero() {
		at = planTime(m.Time)
	}
	line("timestamp", at)
	return write(p.w, []byte(b.String()))
}

func (p *planText) done() error {
	if p.rows == 0 {
		return write(p.w, []byte("the outbox has no rows\n"))
	}
	return nil
}

// text is a key, a value or a header: as it is where that is legible, else
// quoted.
func (p *planText) text(v []byte) string {
	if v == nil {
		return "null"
	}
	shown, rest := v, ""
	if !p.full && len(v) > planBytes {
		shown, rest = v[:planBytes], fmt.Sprintf(" ... (%d bytes)", len(v))
		for range utf8.UTFMax - 1 { // a character that is cut in two is left out
			if r, size := utf8.DecodeLastRune(shown); r != utf8.RuneError || size != 1 {
				break
			}
			shown = shown[:len(shown)-1]
		}
	}
	if legible(shown) {
		return string(shown) + rest
	}
	return strconv.Quote(string(shown)) + rest
}

// legible reports whether a text shows itself and nothing else: not null, not
// another line.
func legible(v []byte) bool {
	if len(v) == 0 || string(v) == "null" || v[0] == ' ' || v[0] == '"' || v[len(v)-1] == ' ' || !utf8.Valid(v) {
		return false
	}
	for _, r := range string(v) {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

func planTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// planJSON prints a line of JSON for each row.
type planJSON struct {
	w   io.Writer
	buf []byte
}

func (p *planJSON) print(r *planned) error {
	if r.poison != nil {
		enc := json.NewEncoder(p.w)
		enc.SetEscapeHTML(false)
		return enc.Encode(struct {
			Table  string `json:"table"`
			ID     string `json:"id"`
			Poison string `json:"poison"`
		}{r.table, r.poison.ID, r.poison.Reason})
	}
	p.buf = publish.AppendLine(p.buf[:0], beforeChoice(r), nil, p.more(r))
	return write(p.w, p.buf)
}

// more are the members that --sink stdout does not print.
func (p *planJSON) more(r *planned) string {
	table, _ := json.Marshal(r.table) // it never fails
	partition, at := "null", "null"
	if r.message.Partition >= 0 {
		partition = strconv.Itoa(int(r.message.Partition))
	}
	if !r.message.Time.IsZero() {
		at = `"` + planTime(r.message.Time) + `"`
	}
	return fmt.Sprintf(`,"table":%s,"partition":%s,"timestamp":%s`, table, partition, at)
}

// beforeChoice is the message as it was before its partition was looked up, for
// the member partition_key.
func beforeChoice(r *planned) *outbox.Message {
	m := *r.message
	if r.partitionKey != nil {
		m.Partition = outbox.ByKey
	}
	return &m
}

func (p *planJSON) done() error { return nil }

package main

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

func TestWrongPlans(t *testing.T) {
	const url = "--source-url=postgres://u@127.0.0.1:1/db"
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{}, "tailer: --source-url: is required, for example postgres://user@host:5432/database or mysql://user@host:3306/database\n"},
		{[]string{"extra"}, "tailer: unexpected argument \"extra\"\nhint: options begin with --\n"},
		{[]string{url, "--rows=0"}, "tailer: --rows: 0 is not 1 or more\n"},
		{[]string{url, "--output=yaml"}, "tailer: --output: \"yaml\" is not one of text, json\n"},
		{[]string{url, "--kafka-brokers=k"}, "tailer: --kafka-brokers: \"k\" is not host:port\n"},
		{[]string{url, "--topic-prefix=a/b"}, "tailer: --topic-prefix: \"a/b\" is not at most 199 letters, digits, dots, dashes and underscores\n"},
		{[]string{url, "--kafka-sasl-mechanism=PLAIN", "--kafka-brokers=k:1"}, "tailer: --kafka-sasl-username: is required with --kafka-sasl-mechanism\n"},
		{[]string{url, "--pg-slot=s"}, "tailer: unknown flag: --pg-slot\nhint: `tailer plan --help` lists the flags\n"},
	} {
		status, stdout, stderr := execute(t, nil, append([]string{"plan"}, c.args...)...)
		if status != exitInvalid || stdout != "" || stderr != c.want {
			t.Errorf("%q: status %d, stdout %q, stderr %q, want %q", c.args, status, stdout, stderr, c.want)
		}
	}
	if status, stdout, _ := execute(t, nil, "plan", url); status != exitFailed || stdout != "" {
		t.Errorf("no server: status %d, stdout %q", status, stdout)
	}
}

// plannedRows are a message with everything, one with as little as can be, and
// a row that cannot be published.
func plannedRows() []planned {
	header := func(k, v string) outbox.Header { return outbox.Header{Key: []byte(k), Value: []byte(v)} }
	return []planned{
		{table: "public.outbox", partitionKey: []byte("42"), message: &outbox.Message{Topic: "outbox.event.order", Partition: 3, Key: []byte("42"),
			Value: []byte(`{"a":"b"}`), Headers: []outbox.Header{header("id", "7"), header("note", "two\nlines")},
			Time: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)}},
		{table: "public.outbox", message: &outbox.Message{Topic: "t", Partition: outbox.ByKey, Value: []byte{0xff, 0}}},
		{table: "public.outbox", poison: &outbox.Poison{ID: "9", Reason: "column aggregatetype is NULL"}},
	}
}

func TestPlanText(t *testing.T) {
	var b bytes.Buffer
	p := &planText{w: &b}
	for _, r := range plannedRows() {
		if err := p.print(&r); err != nil {
			t.Fatal(err)
		}
	}
	want := `public.outbox
  topic          outbox.event.order
  partition      3
  partition key  42
  key            42
  value          {"a":"b"}
  header         id = 7
  header         note = "two\nlines"
  timestamp      2026-01-02T03:04:05.678Z

public.outbox
  topic          t
  partition key  null
  key            null
  value          "\xff\x00"
  timestamp      when it is published

public.outbox: row with id 9 cannot be published
  because        column aggregatetype is NULL
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	b.Reset()
	if err := (&planText{w: &b}).done(); err != nil || b.String() != "the outbox has no rows\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestPlanJSON(t *testing.T) {
	var b bytes.Buffer
	p := &planJSON{w: &b}
	for _, r := range plannedRows() {
		if err := p.print(&r); err != nil {
			t.Fatal(err)
		}
	}
	want := `{"topic":"outbox.event.order","partition_key":"42","key":"42","value":"{\"a\":\"b\"}","headers":[["id","7"],["note","two\nlines"]],"position":null,"table":"public.outbox","partition":3,"timestamp":"2026-01-02T03:04:05.678Z"}
{"topic":"t","partition_key":null,"key":null,"value":{"base64":"/wA="},"headers":[],"position":null,"table":"public.outbox","partition":null,"timestamp":null}
{"table":"public.outbox","id":"9","poison":"column aggregatetype is NULL"}
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	for _, line := range strings.Split(strings.TrimSpace(b.String()), "\n") {
		if !json.Valid([]byte(line)) {
			t.Errorf("%s", line)
		}
	}
}

func TestPlanCutsTexts(t *testing.T) {
	long := strings.Repeat("x", planBytes-1) + "ü" + "yz"
	p := &planText{}
	var got []string
	for _, v := range [][]byte{[]byte("plain"), {}, []byte("null"), []byte(" a"), []byte(`"a"`), []byte(long), []byte("\x80" + long)} {
		got = append(got, p.text(v))
	}
	want := []string{"plain", `""`, `"null"`, `" a"`, `"\"a\""`, long[:planBytes-1] + " ... (203 bytes)",
		`"\x80` + long[:planBytes-1] + `" ... (204 bytes)`}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	p.full = true
	if got := p.text([]byte(long)); got != long {
		t.Errorf("full: %s", got)
	}
}

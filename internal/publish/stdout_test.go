package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

func TestStdoutLines(t *testing.T) {
	b := new(outbox.Batch)
	b.Begin([]byte("7@0/1"), time.Now(), 0)
	b.Add(&outbox.Shape{})
	b.End([]byte("0/16B3748"))
	m := &outbox.Messages{List: []outbox.Message{
		{Topic: "t", Partition: outbox.ByKey, Key: []byte("k"), Value: []byte(`{"a":"<&>"}`), Row: 0,
			Headers: []outbox.Header{{Key: []byte("id"), Value: []byte("1")}, {Key: []byte("n")}}},
		{Topic: "t", Partition: outbox.ByKey, Row: 0, Headers: []outbox.Header{{Key: []byte("id"), Value: []byte("2")}}},
		{Topic: "t", Partition: 3, Key: []byte{0xff, 0}, Value: []byte("\"\\\n\r\t\x01\u2028é"), Row: -1},
	}}
	var out bytes.Buffer
	s := NewStdout(&out)
	must(t, s.Admit(context.Background(), m, b))
	must(t, s.Produce(context.Background(), m))
	want := strings.Join([]string{
		`{"topic":"t","partition_key":"k","key":"k","value":"{\"a\":\"<&>\"}","headers":[["id","1"],["n",null]],"position":"0/16B3748"}`,
		`{"topic":"t","partition_key":"2","key":null,"value":null,"headers":[["id","2"]],"position":"0/16B3748"}`,
		`{"topic":"t","partition_key":null,"key":{"base64":"/wA="},"value":"\"\\\n\r\t\u0001` + "\u2028é" + `","headers":[],"position":null}`,
		"",
	}, "\n")
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	for line := range strings.Lines(out.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestStdoutBroken(t *testing.T) {
	s := NewStdout(brokenPipe{})
	if err := s.Produce(context.Background(), msgs("t", "k=v")); err == nil || err.Error() != "write stdout: broken pipe" {
		t.Errorf("%v", err)
	}
}

func FuzzStdoutText(f *testing.F) {
	f.Add([]byte("a\"\\\x00é"))
	f.Fuzz(func(t *testing.T, v []byte) {
		line := appendBytes(nil, v)
		var got any
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if s, ok := got.(string); ok && s != string(v) {
			t.Errorf("%q became %q", v, s)
		}
	})
}

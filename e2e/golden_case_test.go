package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tailer-io/tailer/e2e/check"
)

// goldenCase is one case of testdata/golden/debezium: what was done to a database, how Debezium was configured,
// and what it wrote. One that names no DDL shares the database and the configuration of its group's first case.
type goldenCase struct {
	Name, Section, Group, Source string
	TopicPrefix                  string `json:"topic_prefix"`
	Database                     string // in which it was recorded
	DDL, SQL                     []string
	SQLBeforeStart               []string `json:"sql_before_start"`
	SQLError                     string   `json:"sql_error"`
	Options                      struct {
		SMT, Connector map[string]string
		Transforms     []string
		Decode         map[string]string
	}
	Converters         struct{ Key, Value, Header string }
	Expected           []goldenRecord
	ExpectedError      string `json:"expected_error"`
	PartitionIsChosen  any    `json:"partition_is_explicit"`
	PartitionArbitrary any    `json:"partition_arbitrary"`
	Nondeterministic   any

	partial bool // columns were left out, see readable
}

type goldenRecord struct {
	Topic              string
	Partition          int32
	KeyB64             *string `json:"key_b64"`
	ValueB64           *string `json:"value_b64"`
	Headers            [][2]*string
	HeadersChanged     map[string]*string `json:"headers_changed"` // from those of the group's first record
	Timestamp          any
	PartitionArbitrary any `json:"partition_arbitrary"`
}

// goldenCases reads the cases of a source, in the order in which they were recorded.
func goldenCases(t *testing.T, source string) []goldenCase {
	t.Helper()
	files, err := filepath.Glob("testdata/golden/debezium/*-" + source + ".json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases for %s: %v", source, err)
	}
	var all []goldenCase
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var cases []goldenCase
		if err := json.Unmarshal(data, &cases); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		first := map[string]goldenCase{} // of each group
		for _, c := range cases {
			if f, ok := first[c.Group]; !ok {
				first[c.Group] = c
			} else if c.DDL == nil {
				c.fill(&f)
			}
			all = append(all, c.readable())
		}
	}
	return all
}

// fill takes from the group's first case what this one does not repeat.
func (c *goldenCase) fill(first *goldenCase) {
	c.TopicPrefix, c.Database, c.DDL = first.TopicPrefix, first.Database, first.DDL
	c.Options, c.Converters = first.Options, first.Converters
	for i := range c.Expected {
		r := &c.Expected[i]
		if r.HeadersChanged == nil {
			continue
		}
		r.Headers = slices.Clone(first.Expected[0].Headers)
		for j, h := range r.Headers {
			if v, changed := r.HeadersChanged[*h[0]]; changed {
				r.Headers[j][1] = v
			}
		}
	}
}

// schema is what tables were qualified with: on MySQL and MariaDB that is the database.
func (c *goldenCase) schema() string {
	if c.Source == "postgres" {
		return "public"
	}
	return c.Database
}

// want is what tailer is to write for a case: what Debezium did, or what stands in expectations instead.
func (c *goldenCase) want() []goldenRecord {
	e := expectations[c.Name]
	switch {
	case e.refused != "" || e.lost != "" || e.poison != "":
		return nil
	case e.records != nil:
		return e.records(c)
	}
	return c.Expected
}

func decoded(s *string) []byte {
	if s == nil {
		return nil
	}
	b, err := base64.StdEncoding.DecodeString(*s)
	if err != nil {
		panic(err) // The data is part of this repository.
	}
	return b
}

// encode is the inverse, for records that expectations make.
func encode(b []byte) *string {
	s := base64.StdEncoding.EncodeToString(b)
	return &s
}

// record is what a consumer should find.
func (r *goldenRecord) record(prefix string) check.Record {
	out := check.Record{Topic: prefix + r.Topic, Partition: r.Partition, Key: decoded(r.KeyB64), Value: decoded(r.ValueB64)}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, check.Header{Key: *h[0], Value: decoded(h[1])})
	}
	if ms, ok := r.Timestamp.(float64); ok {
		out.Millis = int64(ms)
	}
	return out
}

// described is a record for people, without what differs from run to run.
func described(r check.Record, partition, time bool) string {
	text := func(b []byte) string {
		if b == nil {
			return "null"
		}
		return fmt.Sprintf("%q", b)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "topic %s", r.Topic)
	if partition {
		fmt.Fprintf(&b, " partition %d", r.Partition)
	}
	fmt.Fprintf(&b, "\n      key %s\n      value %s", text(r.Key), text(r.Value))
	for _, h := range r.Headers {
		fmt.Fprintf(&b, "\n      header %s: %s", h.Key, text(masked(h).Value))
	}
	if time {
		fmt.Fprintf(&b, "\n      time %d", r.Millis)
	}
	return b.String()
}

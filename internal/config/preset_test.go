package config

import (
	"os"
	"reflect"
	"testing"

	"github.com/tailer-io/tailer/internal/mapping"
)

func TestPresetEventuate(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want []Table
	}{
		{"default", nil, []Table{{Schema: "eventuate", Name: "message", Mapping: mapping.Table{Eventuate: &mapping.Eventuate{}}}}},
		{"shards", []string{"--outbox-table=app.message0,app.message1"}, []Table{
			{Schema: "app", Name: "message0", Mapping: mapping.Table{Eventuate: &mapping.Eventuate{}}},
			{Schema: "app", Name: "message1", Mapping: mapping.Table{Eventuate: &mapping.Eventuate{}}}}},
		{"database ids", []string{"--outbox-id=7", "--outbox-table=app.message,app.message0,app.message12"}, []Table{
			{Schema: "app", Name: "message", Mapping: mapping.Table{Eventuate: &mapping.Eventuate{DatabaseIDs: true, OutboxID: 7}}},
			{Schema: "app", Name: "message0", Mapping: mapping.Table{Eventuate: &mapping.Eventuate{DatabaseIDs: true, OutboxID: 7}}},
			{Schema: "app", Name: "message12", Mapping: mapping.Table{Eventuate: &mapping.Eventuate{DatabaseIDs: true, OutboxID: 19}}}}},
		{"outbox 0", []string{"--outbox-id=0"}, []Table{{Schema: "eventuate", Name: "message", Mapping: mapping.Table{Eventuate: &mapping.Eventuate{DatabaseIDs: true}}}}},
	} {
		for _, url := range []string{testURL, "mysql://app@db:3306/shop"} {
			got := mustLoad(t, append([]string{"--source-url", url, "--sink=stdout", "--preset=eventuate"}, c.args...), nil)
			if !reflect.DeepEqual(got.Tables, c.want) {
				t.Errorf("%s: got %+v, want %+v", c.name, got.Tables, c.want)
			}
		}
	}
}

func TestPresetCloudEvents(t *testing.T) {
	path := write(t, "t.yaml", `
sink: stdout
preset: cloudevents
tables:
  - table: app.a
    attributes:
      - {name: type, column: kind}
      - {name: source, value: /a}
      - {name: subject}
  - table: app.b
`)
	for _, c := range []struct{ args, source string }{{"--log-level=info", "/tailer-shop"}, {"--cloudevents-source=urn:shop", "urn:shop"}} {
		got := mustLoad(t, []string{"--config", path, "--source-url", testURL, c.args}, nil)
		want := []Table{
			{Schema: "app", Name: "a", Mapping: mapping.Table{CloudEvents: &mapping.CloudEvents{Source: c.source,
				Attributes: []mapping.Header{{Name: "type", Column: "kind"}, {Name: "source", Value: "/a"}, {Name: "subject"}}}}},
			{Schema: "app", Name: "b", Mapping: mapping.Table{CloudEvents: &mapping.CloudEvents{Source: c.source}}},
		}
		if !reflect.DeepEqual(got.Tables, want) {
			t.Errorf("%s: got %+v", c.args, got.Tables)
		}
	}
}

func TestBadPresets(t *testing.T) {
	mapped := write(t, "t.yaml", "tables:\n- {table: a.b}\n- {table: a.message, topic: x}\n")
	const attributes = "u.yaml"
	if err := os.WriteFile(attributes, []byte("tables:\n- {table: a.b, attributes: [{name: a, column: b}]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--outbox-id=1"}, "--outbox-id: is for --preset eventuate only"},
		{[]string{"--cloudevents-source=/a", "--preset=eventuate"}, "--cloudevents-source: is for --preset cloudevents only"},
		{[]string{"--preset=eventuate", "--outbox-id=281474976710656"}, `--outbox-id: "281474976710656" is not a whole number from 0 to 281474976710655`},
		{[]string{"--preset=eventuate", "--outbox-id=-1"}, `--outbox-id: "-1" is not a whole number from 0 to 281474976710655`},
		{[]string{"--preset=eventuate", "--outbox-id=one"}, `--outbox-id: "one" is not a whole number from 0 to 281474976710655`},
		{[]string{"--preset=eventuate", "--outbox-id=1", "--outbox-table=a.message70000"}, "--outbox-table: a.message70000: the number of a shard is at most 65535"},
		{[]string{"--preset=eventuate", "--config=" + mapped},
			"--config: t.yaml:3: table a.message has a mapping, and --preset eventuate has its own: only the key table is allowed"},
		{[]string{"--config=" + attributes}, "--config: u.yaml:2: table a.b has attributes, which are for --preset cloudevents only"},
	} {
		_, err := load(t, Run, append([]string{"--source-url", testURL, "--sink=stdout"}, c.args...), nil)
		if err == nil || err.Error() != c.want {
			t.Errorf("%q: got\n %v, want\n %s", c.args, err, c.want)
		}
	}
}

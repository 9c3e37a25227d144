package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// What live Debezium wrote, tailer writes byte for byte: topic, partition, key, value, headers in their order, and
// the time where a column gives it. Its configuration comes from Debezium's own through tailer convert.
// docs/debezium.md lists the differences; expectations hold tailer to them.
func TestGoldenDebezium(t *testing.T) {
	t.Parallel()
	server := source(t)
	groups := goldenGroups(goldenCases(t, kind()))
	if !harness.Full() {
		groups = goldenSample(groups)
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			replay(t, server, &g)
		})
	}
}

// Every difference is about a case that is there, and docs/debezium.md says how many there are.
func TestGoldenDifferences(t *testing.T) {
	doc, err := os.ReadFile("../docs/debezium.md")
	if err != nil {
		t.Fatal(err)
	}
	left := maps.Clone(expectations)
	for _, source := range []string{"postgres", "mysql", "mariadb"} {
		same, differ := 0, 0
		for _, c := range goldenCases(t, source) {
			if expectations[c.Name].differs() || c.partial {
				differ++
			} else {
				same++
			}
			delete(left, c.Name)
		}
		if row := fmt.Sprintf("%d | %d | %d |", same+differ, same, differ); !strings.Contains(string(doc), row) {
			t.Errorf("%s: docs/debezium.md has no row %q", source, row)
		}
	}
	for name := range left {
		t.Errorf("there is no case %s", name)
	}
}

// replay runs the cases of a group one after another on one tailer.
func replay(t *testing.T, server harness.Server, g *goldenGroup) {
	first := expectations[g.cases[0].Name]
	dir := t.TempDir()
	connector, config := filepath.Join(dir, "connector.json"), filepath.Join(dir, "tailer.yaml")
	if err := os.WriteFile(connector, g.connector(), 0o600); err != nil {
		t.Fatal(err)
	}
	convert := harness.Exec(t, harness.Binary(t), nil, "convert", "debezium", connector)
	if first.lost != "" {
		convert.Want(1, 10*time.Second)
		holds(t, "convert", convert.Stderr(), first.lost)
		return
	}
	convert.Want(0, 10*time.Second)
	c := harness.New(t, server)
	if err := os.WriteFile(config, []byte(g.moved(convert.Stdout(), c.DB.Name())), 0o600); err != nil {
		t.Fatal(err)
	}
	conn, err := c.DB.SQL().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	run := func(statements []string) error {
		for _, s := range statements {
			if _, err := conn.ExecContext(context.Background(), s); err != nil {
				return fmt.Errorf("%.200s: %w", s, err)
			}
		}
		return nil
	}
	if err := run(g.ddl()); err != nil {
		t.Fatal(err)
	}
	if err := run(g.before()); err != nil {
		t.Fatal(err)
	}

	prefix := c.ID + "."
	if first.noPrefix {
		prefix = ""
	}
	topics := g.topics(prefix)
	for _, topic := range topics {
		c.Kafka.Create(t, topic, 3)
		if first.noPrefix {
			defer c.Kafka.Delete(t, topic)
		}
	}
	args := []string{"--config=" + config, "--topic-partitions=3", "--on-poison=skip"}
	if prefix != "" {
		args = append(args, "--topic-prefix="+prefix)
	}
	if first.refused != "" {
		p := c.Run(args...)
		p.Want(max(2, first.status), 30*time.Second)
		holds(t, "the refusal", p.Stderr(), first.refused)
		return
	}
	var r *harness.Reader
	if len(topics) > 0 {
		r = c.Collect(topics...)
	}
	p := c.Start(args...)
	seen, poison := 0, 0
	for i := range g.cases {
		k := &g.cases[i]
		err := run(k.SQL)
		if (err != nil) != (k.SQLError != "") {
			t.Errorf("%s: the database says %v, and said %q", k.Name, err, k.SQLError)
		}
		want := k.want()
		if expectations[k.Name].poison != "" {
			poison++
			c.Wait(k.Name+": the row is poison", 10*time.Second, func() (bool, string) {
				n := p.Metric("events_poison_total", "action=skip")
				return n == float64(poison), fmt.Sprint(n, " rows, wanted ", poison)
			})
		}
		if len(want) == 0 {
			continue
		}
		arrived(c, r, seen+len(want))
		records := r.Records()
		got := records[min(seen, len(records)):]
		seen = len(records)
		compareCase(t, k, prefix, want, got)
	}
	p.Stop()
	holdsAll(t, g, p.Stderr())
	if len(topics) > 0 {
		if n := len(c.Kafka.Records(t, topics...)); n != seen {
			t.Errorf("there are %d records, and %d were seen", n, seen)
		}
	}
	if prefix != "" {
		for _, topic := range c.Kafka.Topics(t, prefix) {
			if strings.HasPrefix(topic, prefix) && !strings.Contains(strings.Join(topics, " "), topic) {
				t.Errorf("there is a topic %s", topic)
			}
		}
	}
}

// arrived waits a while; what is missing then is for compareCase to say.
func arrived(c *harness.Case, r *harness.Reader, n int) {
	for deadline := time.Now().Add(5 * time.Second); len(r.Records()) < n && time.Now().Before(deadline); {
		time.Sleep(2 * time.Millisecond)
	}
}

// holdsAll demands that the reasons of rows that were skipped are in the log; of many rows in a row only the first
// is told.
func holdsAll(t *testing.T, g *goldenGroup, log string) {
	t.Helper()
	reasons, found := 0, 0
	for _, k := range g.cases {
		if reason := expectations[k.Name].poison; reason != "" {
			reasons++
			if strings.Contains(log, reason) {
				found++
			}
		}
	}
	if reasons > 0 && found == 0 {
		t.Errorf("the log gives none of the reasons:\n%s", log)
	}
}

// compareCase matches the records of one case. Those of a partition come in its order; which of several partitions is
// read first does not matter.
func compareCase(t *testing.T, k *goldenCase, prefix string, want []goldenRecord, got []check.Record) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d records, wanted %d", k.Name, len(got), len(want))
	}
	left := append([]check.Record(nil), got...)
	for i := range want {
		w := &want[i]
		expected := w.record(prefix)
		partition := w.KeyB64 != nil && w.PartitionArbitrary == nil && k.PartitionArbitrary == nil
		_, timed := w.Timestamp.(float64)
		text := described(expected, partition, timed)
		at := -1
		for j := range left {
			if left[j].Topic != expected.Topic || partition && left[j].Partition != expected.Partition {
				continue
			}
			if described(left[j], partition, timed) == text {
				at = j
			}
			if partition || at >= 0 {
				break // The next record of a partition has to be this one.
			}
		}
		if at < 0 {
			t.Errorf("%s: wanted\n    %s\n  among", k.Name, text)
			for _, l := range left {
				t.Errorf("    %s", described(l, partition, timed))
			}
			return
		}
		if at >= 0 && !timed && time.Since(time.UnixMilli(left[at].Millis)).Abs() > time.Minute {
			t.Errorf("%s: the time is %s, not that of publishing", k.Name, time.UnixMilli(left[at].Millis))
		}
		left = append(left[:at], left[at+1:]...)
	}
}

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/harness"
)

// What docs/getting-started-*.md says is what one does: its table, an account with the rights that setup prints, its
// configuration, its commands, its INSERT.
func TestGettingStartedAsItIsWritten(t *testing.T) {
	t.Parallel()
	c := harness.New(t, source(t))
	text, err := os.ReadFile("../docs/getting-started-" + kind() + ".md")
	if err != nil {
		t.Fatal(err)
	}
	c.DB.Exec(t, block(t, text, "sql", "CREATE TABLE outbox"))
	if !strings.Contains(string(text), "tailer setup --print --name shop ") {
		t.Error("setup prints the rights for another name than the configuration has")
	}
	url := c.DB.Account(t, func(url string) string {
		return c.Do(0, "setup --print", flags(c, "--source-url="+url)...).Stdout()
	})
	var config strings.Builder
	for line := range strings.SplitSeq(block(t, text, "yaml", "source-url"), "\n") {
		switch key, _, _ := strings.Cut(line, ":"); key {
		case "name":
			line = "name: " + c.ID
		case "source-url":
			line = "source-url: " + url
		case "source-password-file":
			continue // the account of the test has its password in the URL
		case "kafka-brokers":
			line = "kafka-brokers: [" + c.Kafka.Brokers + "]"
		}
		config.WriteString(line + "\n")
	}
	file := filepath.Join(t.TempDir(), "tailer.yaml")
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"check", "plan"} {
		if !strings.Contains(string(text), "tailer "+command+" --config tailer.yaml") {
			t.Errorf("the page does not say %s", command)
		}
		c.Do(0, command, "--config="+file)
	}
	c.Omit = []string{"--name", "--source-url", "--kafka-brokers"}
	r := c.Collect(harness.Topic(c.Type))
	p := c.Start("--config=" + file)
	insert := regexp.MustCompile(`INSERT INTO outbox .*;`).FindString(block(t, text, "sql", "INSERT INTO outbox"))
	c.DB.Exec(t, strings.TrimSuffix(strings.Replace(insert, "'order'", "'"+c.Type+"'", 1), ";"))
	c.Arrived(r, 1, 30*time.Second)
	p.Stop()
	if got := r.Records()[0]; string(got.Key) != "42" || string(got.Value) != `{"id": 42}` {
		t.Errorf("key %q, value %q", got.Key, got.Value)
	}
	// In Postgres that role does not own the publication, and teardown says who has to drop it.
	down := c.Do(by(3, 0), "teardown --yes", "--config="+file)
	holds(t, "teardown", down.Stdout()+down.Stderr(), "forgot the checkpoint of "+c.ID, by("as its owner: DROP PUBLICATION", "replaced"))
}

// block is the fenced block in this language that holds a text.
func block(t *testing.T, text []byte, language, holding string) string {
	t.Helper()
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		if strings.Contains(m[1], holding) {
			return m[1]
		}
	}
	t.Fatalf("no block of %s holds %q", language, holding)
	return ""
}

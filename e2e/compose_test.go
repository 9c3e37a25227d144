package e2e

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/harness"
)

// What compose.yaml's application does, and the flags that its tailer is given, work together.
func TestTheComposeDemoPublishesOrders(t *testing.T) {
	t.Parallel()
	read := func(file string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	db := harness.NewPostgres(t, "STACK_PG_URL").Create(t)
	c := harness.With(t, db)
	// The topic is outbox.event.order, which others use too: a prefix of its own keeps them apart.
	m := regexp.MustCompile(`(?s)\n  tailer:.*?\n    command: (\[.*?\])`).FindStringSubmatch(read("../compose.yaml"))
	if m == nil {
		t.Fatal("compose.yaml has no command for tailer")
	}
	for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(m[1], -1) {
		if !strings.Contains("--name --source-url --kafka-brokers", flag) {
			t.Errorf("this test does not give tailer the flag %s that compose.yaml does", flag)
		}
	}
	c.DB.Exec(t, read("../deploy/compose/schema.sql"))
	prefix := c.ID + "."
	c.Start("--topic-prefix=" + prefix)
	for range 3 {
		c.DB.Exec(t, read("../deploy/compose/order.sql"))
	}
	c.Wait("three orders are published", 20*time.Second, func() (bool, string) {
		records := c.Kafka.Records(t, prefix+"outbox.event.order")
		return len(records) == 3 && string(records[2].Key) == "order-3", fmt.Sprint(len(records), " records")
	})
}

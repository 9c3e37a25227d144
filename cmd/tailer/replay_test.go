package main

import (
	"bytes"
	"testing"

	"github.com/tailer-io/tailer/internal/deadletter"
)

// A dry run has replayed nothing.
func TestReplayPrinter(t *testing.T) {
	for dry, want := range map[bool]string{
		false: "replayed: id \"a\" of table t at 0/1, as its table has it now, which is not what was given up: the row has changed, or which columns are mapped\n" +
			"3 replayed, 1 stay, 0 gone, 2 were replayed before\n",
		true: "would be replayed: id \"a\" of table t at 0/1, as its table has it now, which is not what was given up: the row has changed, or which columns are mapped\n" +
			"3 would be replayed, 1 stay, 0 gone, 2 were replayed before\n",
	} {
		var out bytes.Buffer
		p := &replayPrinter{w: &out, dryRun: dry}
		p.outcome(deadletter.Outcome{What: deadletter.Replayed, Table: "t", ID: "a", Position: "0/1", Changed: true})
		if err := p.summary(deadletter.Summary{Replayed: 3, Stays: 1, Already: 2}, nil); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("dry run %t: got\n%s, want\n%s", dry, out.String(), want)
		}
	}
}

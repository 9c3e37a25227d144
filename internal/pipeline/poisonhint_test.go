package pipeline

import (
	"strings"
	"testing"

	"github.com/tailer-io/tailer/internal/checkpoint"
)

// The command in the hint can be pasted, whatever the id.
func TestSkipHint(t *testing.T) {
	for id, want := range map[string]string{
		"a-1":                     "`tailer checkpoint skip --id a-1` steps",
		"":                        "`tailer checkpoint skip --id ''` steps",
		"it's":                    "`tailer checkpoint skip --id 'it'\\''s'` steps",
		"züg 1":                   "`tailer checkpoint skip --id 'züg 1'` steps",
		"a\n'b\\c\x1b":            "`tailer checkpoint skip --id $'a\\n\\'b\\\\c\\x1b'` steps",
		"a\u0085b":                "`tailer checkpoint skip --id $'a\\xc2\\x85b'` steps",
		strings.Repeat("é", 1500): "`tailer checkpoint skip --id ID`, with the whole id as `tailer checkpoint show` has it, steps",
	} {
		err := refuseHalted(&checkpoint.Halted{Table: "t", ID: id, Position: "0/1", Reason: "because"}, "nothing after it").Error()
		if !strings.Contains(err, "start again; or "+want) {
			t.Errorf("%.20q: %q does not say %q", id, err, want)
		}
		if len(err) > 900 {
			t.Errorf("%.20q: %d bytes", id, len(err))
		}
	}
	err := refuseHalted(&checkpoint.Halted{ID: "a\x00b"}, "").Error()
	if strings.Contains(err, "skip --id") || !strings.Contains(err, "start again; or run with --on-poison dead-letter or skip") {
		t.Errorf("no program can be given it: %q", err)
	}
}

func TestShortID(t *testing.T) {
	long := strings.Repeat("é", 1500)
	for id, want := range map[string]string{
		"a": "a", strings.Repeat("x", shownID): strings.Repeat("x", shownID),
		long: long[:shownID] + "... (3000 bytes)", "x" + long: "x" + long[:shownID-2] + "... (3001 bytes)",
	} {
		if got := shortID(id); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

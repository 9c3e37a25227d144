package pipeline

import (
	"testing"
	"time"
)

// A holder is silent for as long as it was seen to be: looks that come late count in part, and do not begin anew.
func TestStaleness(t *testing.T) {
	var s staleness
	now := time.Now()
	for i, look := range []struct {
		after  time.Duration
		record string
		want   time.Duration
	}{
		{0, "a", 0},
		{time.Second, "a", time.Second},
		{time.Second, "b", 0},
		{time.Second, "b", time.Second},
		{time.Minute, "b", time.Second + maxLookGap}, // we slept, and so may the holder have
		{2 * time.Second, "b", 3*time.Second + maxLookGap},
		{time.Hour, "c", 0},
		{maxLookGap, "c", maxLookGap},
	} {
		now = now.Add(look.after)
		if got := s.note([]byte(look.record), now); got != look.want {
			t.Errorf("look %d: silent for %v, want %v", i, got, look.want)
		}
	}
}

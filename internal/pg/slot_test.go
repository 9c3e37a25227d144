package pg

import "testing"

func TestRoom(t *testing.T) {
	for _, c := range []struct {
		what string
		slot slot
		want float64
	}{
		{"a limit", slot{walStatus: "reserved", safe: "100"}, 100},
		{"beyond it until the next checkpoint", slot{walStatus: "unreserved", safe: "-5"}, 0},
		{"no limit", slot{walStatus: "extended"}, -1},
		{"lost", slot{walStatus: "lost"}, 0},
	} {
		if got := c.slot.room(); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}

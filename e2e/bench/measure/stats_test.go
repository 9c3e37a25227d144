package measure

import (
	"math"
	"testing"
)

func TestHolds(t *testing.T) {
	steady := []float64{2.0, 2.1, 1.9, 2.0, 2.05, 1.95, 2.0, 2.1, 1.9}
	if ratio, ok := Holds(steady); !ok || ratio != 2 {
		t.Errorf("steady pairs: %v, %v; want 2, their median", ratio, ok)
	}
	// The median is 2 as well, but nearly half of the pairs lie at 1: the interval reaches down to there.
	wild := []float64{1, 1, 1, 1, 2, 2, 2.1, 2.1, 2.1}
	low, high := Interval(wild)
	if low != 1 || high != 2.1 {
		t.Errorf("interval %v to %v, want 1 to 2.1", low, high)
	}
	if ratio, _ := Holds(wild); math.Abs(ratio-1/0.9) > 1e-9 {
		t.Errorf("wild pairs: %v, want %v", ratio, 1/0.9)
	}
	if _, ok := Holds(steady[:8]); ok {
		t.Error("eight pairs were enough")
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{4, 1}, 2.5}, {[]float64{9, 1, 2}, 2}} {
		if got := Median(c.values); got != c.want {
			t.Errorf("median of %v: %v, want %v", c.values, got, c.want)
		}
	}
}

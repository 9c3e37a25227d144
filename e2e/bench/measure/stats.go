package measure

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Median is the middle one; of an even number, the mean of the two in the middle; 0 of none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// resamples is how many samples the bootstrap draws.
const resamples = 10_000

// Interval is the 95 % bootstrap interval of the median: of medians of as many values drawn with putting back.
func Interval(values []float64) (low, high float64) {
	if len(values) == 0 {
		return 0, 0
	}
	random := rand.New(rand.NewPCG(1, 2)) // the same table from the same figures
	medians := make([]float64, resamples)
	drawn := make([]float64, len(values))
	for i := range medians {
		for j := range drawn {
			drawn[j] = values[random.IntN(len(values))]
		}
		medians[i] = Median(drawn)
	}
	slices.Sort(medians)
	return medians[resamples*25/1000], medians[resamples*975/1000-1]
}

// Pairs is how many interleaved pairs a ratio needs before anything is said of it.
const Pairs = 9

// Holds is the largest ratio that these pairs show to be met: their median is not below it, and the 95 % bootstrap
// interval excludes what lies one tenth below it. ok is false with too few pairs.
func Holds(ratios []float64) (ratio float64, ok bool) {
	low, _ := Interval(ratios)
	return min(Median(ratios), low/0.9), len(ratios) >= Pairs
}

// Quantiles gives the quantiles, in milliseconds, of the times from one list to the other.
func Quantiles(from, to []time.Time) func(q float64) float64 {
	took := make([]float64, len(from))
	for i := range from {
		took[i] = float64(to[i].Sub(from[i])) / 1e6
	}
	slices.Sort(took)
	return func(q float64) float64 { return took[min(len(took)-1, int(q*float64(len(took))))] }
}

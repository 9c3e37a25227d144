package config

// Nearest is the name that is least edits away from word, "" if none comes
// close enough to be meant.
func Nearest(word string, names []string) string {
	best, least := "", len(word)/2+1
	for _, n := range names {
		if d := distance(word, n); d < least {
			best, least = n, d
		}
	}
	return best
}

// distance is the number of edits that make b of a: a byte inserted, deleted or
// replaced, or two neighbours swapped (optimal string alignment).
func distance(a, b string) int {
	d := make([][]int, len(a)+1) // d[i][j]: of a's first i bytes to b's first j
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replaced := d[i-1][j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			d[i][j] = min(replaced, d[i-1][j]+1, d[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}

// didYouMean is the end of an error about an unknown word.
func didYouMean(word string, names []string) string {
	if n := Nearest(word, names); n != "" {
		return "did you mean " + n + "?"
	}
	return ""
}

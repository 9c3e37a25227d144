package harness

import (
	"math/rand"
	"testing"
)

// Transaction does one transaction of exactly so many rows, beside Run or without it.
func (l *Load) Transaction(t testing.TB, random *rand.Rand, rows int) {
	t.Helper()
	if err := l.transaction(t.Context().Done(), random, rows); err != nil {
		t.Fatalf("transaction of %d rows: %v", rows, err)
	}
}

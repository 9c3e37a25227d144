package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is to be broken is still there.
func TestMutantsFit(t *testing.T) {
	for _, m := range mutants {
		for _, e := range m.edits {
			text, err := os.ReadFile(filepath.Join("../..", filepath.FromSlash(e.file)))
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(text), e.old); n != 1 {
				t.Errorf("%s: %s has the text %d times, want once:\n%s", m.what, e.file, n, e.old)
			}
		}
	}
}

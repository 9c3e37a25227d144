package publish

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
)

// The vectors come from the Java client itself: testdata/Murmur2Vectors.java.
func TestMurmur2AsInJava(t *testing.T) {
	table, err := os.ReadFile("testdata/murmur2.txt")
	must(t, err)
	n := 0
	for line := range strings.Lines(string(table)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		var text string
		var hash, partition int32
		_, err := fmt.Sscanf(line, "%q %d %d", &text, &hash, &partition)
		must(t, err)
		key, err := hex.DecodeString(text)
		must(t, err)
		if got := int32(murmur2(key)); got != hash {
			t.Errorf("murmur2(%x) = %d, Java says %d", key, got, hash)
		}
		if got := partitionOf(key, 12); got != partition {
			t.Errorf("partition of %x = %d, Java says %d", key, got, partition)
		}
		n++
	}
	if n < 90 {
		t.Errorf("only %d vectors", n)
	}
}

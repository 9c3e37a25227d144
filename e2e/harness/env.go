// Package harness gives the end-to-end tests what they stand on: a tailer process, a database of its own, topics
// of its own, and waits that poll an event and say what they saw when it does not come.
package harness

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Env is the value of an environment variable that names a server or a binary; without it the test is skipped.
func Env(t testing.TB, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		t.Skipf("%s is not set", name)
	}
	return v
}

// Full reports whether the long form of the suite is asked for.
func Full() bool { return os.Getenv("E2E_FULL") != "" && os.Getenv("E2E_FULL") != "0" }

// Either is the first value in the long form of the suite, else the second.
func Either[T any](full, short T) T {
	if Full() {
		return full
	}
	return short
}

// Seed is E2E_SEED, or the clock; it is printed so that a failure can be tried again.
func Seed(t testing.TB) int64 {
	t.Helper()
	seed := time.Now().UnixNano()
	if v := os.Getenv("E2E_SEED"); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			t.Fatalf("E2E_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("E2E_SEED=%d", seed)
	return seed
}

// Unique is a short text that no other test has, not even one of another run on the same servers.
func Unique() string {
	b := make([]byte, 4)
	rand.Read(b) // Never fails.
	return hex.EncodeToString(b)
}

var ports struct {
	sync.Mutex // guards taken
	taken      map[int]bool
}

// FreePort is a TCP port on loopback that nobody listens on and that this process gives out once.
func FreePort(t testing.TB) int {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	if ports.taken == nil {
		ports.taken = map[int]bool{}
	}
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if !ports.taken[port] {
			ports.taken[port] = true
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// ClosedAddr is an address on loopback that refuses connections.
func ClosedAddr(t testing.TB) string { return fmt.Sprintf("127.0.0.1:%d", FreePort(t)) }

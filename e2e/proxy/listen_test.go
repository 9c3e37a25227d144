package proxy

import (
	"net"
	"os/exec"
	"sync"
	"testing"
	"time"
)

func TestAPortIsFreeAgainAtOnceWhileProcessesAreStarted(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	done := make(chan struct{})
	var starting sync.WaitGroup
	for range 4 {
		starting.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					_ = exec.Command("true").Run()
				}
			}
		})
	}
	defer starting.Wait()
	defer close(done)
	for begin, n := time.Now(), 1; time.Since(begin) < time.Second; n++ {
		StopListening(l)
		if l, err = net.Listen("tcp", address); err != nil {
			t.Fatalf("the %dth time: %v", n, err)
		}
	}
	l.Close()
}

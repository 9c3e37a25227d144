package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// patience bounds a wait for what the server does by itself.
const patience = 10 * time.Second

// serve runs a server with so many metrics, its limits changed by f.
func serve(t *testing.T, metrics int, f func(*http.Server)) *Server {
	t.Helper()
	reg := prometheus.NewRegistry()
	for i := range metrics {
		reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: fmt.Sprint("tailer_gauge_", i), Help: strings.Repeat("x", 100)}))
	}
	s := New(Config{Addr: "127.0.0.1:0"}, healthy(), reg, slog.New(slog.DiscardHandler))
	f(s.server)
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return s
}

// hostile opens a connection of a client that means no good.
func hostile(t *testing.T, s *Server, request string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	// The server may have closed it already.
	_, _ = io.WriteString(c, request)
	return c
}

// answers asks as a probe does, on a connection of its own.
func answers(t *testing.T, s *Server) {
	t.Helper()
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	began := time.Now()
	resp, err := c.Get("http://" + s.Addr().String() + "/healthz")
	if err != nil {
		t.Fatalf("a probe was not answered: %v", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("a probe was answered %s", resp.Status)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("a probe was answered after %v", took)
	}
}

// cutOff waits for the server to close c.
func cutOff(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	var timeout net.Error
	if _, err := io.Copy(io.Discard, c); errors.As(err, &timeout) && timeout.Timeout() {
		t.Error("a hostile client was not cut off")
	}
}

// A thousand clients that never end their request, and keep coming, take
// neither the probes' place nor memory.
func TestThousandSlowClients(t *testing.T) {
	s := start(t, time.Minute) // no time-out helps
	before := runtime.NumGoroutine()
	for n := range 1000 {
		hostile(t, s, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
		if n%100 == 99 {
			answers(t, s)
		}
	}
	// What serves those that were cut off ends soon.
	limit := before + 2*connections + 10
	for end := time.Now().Add(patience); runtime.NumGoroutine() > limit && time.Now().Before(end); {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > limit {
		t.Errorf("%d goroutines for 1000 clients, %d before them", n, before)
	}
}

// A header without end is refused before it fills memory.
func TestHugeHeaders(t *testing.T) {
	s := start(t, headerTimeout)
	c := hostile(t, s, "GET /healthz HTTP/1.1\r\nHost: x\r\n")
	line := []byte("X-Huge: " + strings.Repeat("x", 1<<16) + "\r\n")
	taken := 0
	c.SetWriteDeadline(time.Now().Add(patience))
	for ; taken < 64<<20; taken += len(line) {
		if _, err := c.Write(line); err != nil {
			break
		}
	}
	// What the kernel buffers is taken too.
	if taken > 32<<20 {
		t.Errorf("%d bytes of a header were taken", taken)
	}
	long := hostile(t, s, "GET /"+strings.Repeat("x", 2*headerBytes)+" HTTP/1.1\r\nHost: x\r\n\r\n")
	line1, err := bufio.NewReader(long).ReadString('\n')
	if err != nil || !strings.Contains(line1, "431") {
		t.Errorf("a long path is answered %q, %v", line1, err)
	}
	answers(t, s)
}

// A client that asks and never reads is cut off when its answer is due.
func TestNeverReadingClient(t *testing.T) {
	s := serve(t, 500, func(h *http.Server) { h.WriteTimeout = 200 * time.Millisecond })
	c := hostile(t, s, "")
	c.SetWriteDeadline(time.Now().Add(patience))
	var err error
	for err == nil {
		_, err = io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Error("a client that never reads was not cut off")
	}
	answers(t, s)
}

// A body that was announced holds up no answer, and one that comes a byte at
// a time is not waited for longer than any request.
func TestSlowBodies(t *testing.T) {
	s := serve(t, 0, func(h *http.Server) { h.ReadTimeout = 200 * time.Millisecond })
	for _, method := range []string{"GET", "POST"} {
		c := hostile(t, s, method+" /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
		status, err := bufio.NewReader(c).ReadString('\n')
		if want := map[string]string{"GET": "200", "POST": "405"}[method]; err != nil || !strings.Contains(status, want) {
			t.Errorf("%s is answered %q, %v", method, status, err)
		}
		cutOff(t, c)
	}
	answers(t, s)
}

// Idle connections, and such that send nothing at all, do not stay.
func TestIdleClients(t *testing.T) {
	s := serve(t, 0, func(h *http.Server) { h.ReadHeaderTimeout, h.IdleTimeout = 50*time.Millisecond, 50*time.Millisecond })
	cutOff(t, hostile(t, s, ""))
	cutOff(t, hostile(t, s, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"))
}

// The limits that the tests above shorten are those that a server has.
func TestServerHasLimits(t *testing.T) {
	h := New(Config{}, healthy(), prometheus.NewRegistry(), slog.New(slog.DiscardHandler)).server
	for name, d := range map[string]time.Duration{
		"ReadHeaderTimeout": h.ReadHeaderTimeout, "ReadTimeout": h.ReadTimeout, "WriteTimeout": h.WriteTimeout, "IdleTimeout": h.IdleTimeout,
	} {
		if d <= 0 || d > time.Minute {
			t.Errorf("%s is %v", name, d)
		}
	}
	if h.MaxHeaderBytes <= 0 || h.MaxHeaderBytes > 1<<16 {
		t.Errorf("MaxHeaderBytes is %d", h.MaxHeaderBytes)
	}
}

package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/outboxtest"
	"github.com/tailer-io/tailer/internal/pipeline"
)

type fake struct {
	status        pipeline.Status
	health, ready error
	traffic       pipeline.Traffic
	errors        []pipeline.Trouble
}

func (f *fake) Status() pipeline.Status { return f.status }
func (f *fake) Health() error           { return f.health }
func (f *fake) Ready() error            { return f.ready }

func (f *fake) Traffic(int) pipeline.Traffic { return f.traffic }
func (f *fake) Errors() []pipeline.Trouble   { return f.errors }

func healthy() *fake {
	return &fake{status: pipeline.Status{
		Name: "orders", Version: "1.2.3", State: pipeline.Streaming, Position: "0/16B3748", ServerPosition: "0/16B3900",
		Source: pipeline.StatusSource{Kind: "postgres", Identity: "7/shop"}, LagSeconds: 0.25, LagBytes: 2048,
		Published: 1234567, Poison: map[string]uint64{"skip": 2},
	}}
}

func get(t *testing.T, h http.Handler, method, path string) (int, http.Header, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w.Code, w.Header(), w.Body.String()
}

func TestProbes(t *testing.T) {
	f := healthy()
	h := handler(f, prometheus.NewRegistry(), false)
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, _, body := get(t, h, "GET", path); code != 200 || body != "ok\n" {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	f.health, f.ready = errors.New("no batch for 61s"), errors.New("produce:\n broker is down")
	for path, want := range map[string]string{"/healthz": "no batch for 61s\n", "/readyz": "produce: broker is down\n"} {
		if code, _, body := get(t, h, "GET", path); code != 503 || body != want {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
}

func TestStatus(t *testing.T) {
	f := healthy()
	f.status.LagBytes, f.status.LagTransactions = pipeline.Number(math.NaN()), pipeline.Number(math.NaN())
	code, header, body := get(t, handler(f, prometheus.NewRegistry(), false), "GET", "/status")
	if code != 200 || header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v", code, header)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if got["name"] != "orders" || got["state"] != "streaming" || got["lag_bytes"] != nil || got["published"] != 1234567.0 {
		t.Errorf("got %s", body)
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "tailer_things_total"})
	reg.MustRegister(c)
	c.Inc()
	if code, _, body := get(t, handler(healthy(), reg, false), "GET", "/metrics"); code != 200 || !strings.Contains(body, "tailer_things_total 1") {
		t.Errorf("%d %s", code, body)
	}
}

func TestMethodsAndPaths(t *testing.T) {
	h := handler(healthy(), prometheus.NewRegistry(), false)
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"POST", "/status", 405}, {"DELETE", "/", 405}, {"PUT", "/nothing", 405}, {"HEAD", "/healthz", 200},
		{"GET", "/nothing", 404}, {"GET", "/status/x", 404}, {"GET", "/debug/pprof/", 404}, {"GET", "/", 200},
	} {
		code, header, _ := get(t, h, c.method, c.path)
		if code != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, code, c.want)
		}
		if code == 405 && header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s %s: Allow %q", c.method, c.path, header.Get("Allow"))
		}
	}
}

func TestPprofByOption(t *testing.T) {
	h := handler(healthy(), prometheus.NewRegistry(), true)
	if code, _, _ := get(t, h, "GET", "/debug/pprof/heap"); code != 200 {
		t.Errorf("heap: %d", code)
	}
	if code, _, _ := get(t, h, "GET", "/debug/pprof/cmdline"); code != 404 {
		t.Errorf("cmdline, where a password may stand: %d", code)
	}
}

func TestPage(t *testing.T) {
	f := healthy()
	at := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	f.errors = []pipeline.Trouble{{First: at.Add(-time.Minute), Last: at, Times: 1200, Text: "<b>broker</b> is down"}}
	f.traffic = pipeline.Traffic{
		Seconds: make([]uint64, 600), Known: 1951, Other: 4321,
		Topics: []pipeline.TopicTraffic{{Topic: "outbox.event.<i>", Recent: 1500, Total: 98765, Last: at.Add(85 * time.Second)}},
	}
	for i := range 5 {
		f.traffic.Seconds[300+i], f.traffic.Seconds[595+i] = 1500, 30
	}
	f.ready = errors.New("not yet")
	w := httptest.NewRecorder()
	page(f, func() time.Time { return at.Add(90 * time.Second) })(w, httptest.NewRequest("GET", "/", nil))
	body := w.Body.String()
	for _, want := range []string{
		"orders", "streaming", "0/16B3748", "0/16B3900", "0.2 s", "2.0 KiB", "1\u202f234\u202f567", "Poison, skip",
		"&lt;b&gt;broker&lt;/b&gt; is down", "1m30s ago", "1\u202f200 times in 1m0s", "not ready: not yet",
		"outbox.event.&lt;i&gt;", "98\u202f765", "5s ago", "1\u202f950 other topics", "4\u202f321 rows", "at most 1\u202f500/s", ">15/s<", `http-equiv="refresh"`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in\n%s", want, body)
		}
	}
	for _, no := range []string{"http://", "https://", "<script", "ZgotmplZ"} {
		if strings.Contains(body, no) {
			t.Errorf("%q in the page, which must work without the internet", no)
		}
	}
}

func TestUnknownLag(t *testing.T) {
	nan := math.NaN()
	if seconds(nan) != unknown || size(nan) != unknown || seconds(125) != "2m5s" || size(900) != "900 B" {
		t.Error(seconds(nan), size(nan), seconds(125), size(900))
	}
}

// start runs a server on a free port; its Run has ended when the test has.
func start(t *testing.T, headers time.Duration) *Server {
	t.Helper()
	s := New(Config{Addr: "127.0.0.1:0"}, healthy(), prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	s.server.ReadHeaderTimeout = headers
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

func TestEveryRefusalHasItsText(t *testing.T) { outboxtest.Refusals(t, nil) }

func TestAddressTaken(t *testing.T) {
	addr := start(t, headerTimeout).Addr().String()
	err := New(Config{Addr: addr}, healthy(), prometheus.NewRegistry(), slog.New(slog.DiscardHandler)).Listen()
	want := "--http-addr: cannot listen: listen tcp " + addr + ": bind: address already in use; choose another address, or \"\" to switch the server off"
	var bad *outbox.Invalid
	if !errors.As(err, &bad) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A client that never finishes its request neither holds up others nor the
// end of the server, and is cut off.
func TestSlowClient(t *testing.T) {
	s := start(t, 50*time.Millisecond)
	slow, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprint(slow, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	resp, err := http.Get("http://" + s.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	slow.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.Copy(io.Discard, slow); err != nil {
		t.Errorf("the slow client was not cut off: %v", err)
	}
}

func TestTooManyConnections(t *testing.T) {
	s := start(t, headerTimeout)
	var oldest net.Conn
	for range connections + 1 {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := bufio.NewReader(c).ReadByte(); err != nil {
			t.Fatalf("a new connection is not answered: %v", err)
		}
		if oldest == nil {
			oldest = c
		}
	}
	oldest.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.Copy(io.Discard, oldest); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the oldest connection was not closed for one beyond the limit")
	}
}

func TestPlot(t *testing.T) {
	seconds := make([]uint64, 600)
	for i := range 5 {
		seconds[i], seconds[300+i] = 1, 1300
	}
	p := newPlot(seconds, 1000)
	want := []bar{
		{X: "0.00", Y: "99.00", Width: "4.00", Height: "1.00", Rate: "1/s", Ago: "10m0s ago"},
		{X: "300.00", Y: "35.00", Width: "4.00", Height: "65.00", Rate: "1\u202f300/s", Ago: "5m0s ago"},
	}
	if !slices.Equal(p.Bars, want) || p.Top != "2\u202f000/s" || p.Peak != "1\u202f300/s" || p.Now != "0/s" || p.Span != "10 min" || p.Quiet {
		t.Errorf("got %+v", p)
	}
	// Two seconds later the same bars stand one place further to the left.
	p = newPlot(append(seconds[2:], 0, 100), 1002)
	if len(p.Bars) != 2 || p.Bars[0].Rate != "1\u202f300/s" || p.Bars[0].X != "295.00" || p.Bars[1].Rate != "50/s" {
		t.Errorf("two seconds later: %+v", p.Bars)
	}
	if p := newPlot(make([]uint64, 600), 1000); len(p.Bars) != 0 || !p.Quiet || p.Top != "1/s" {
		t.Errorf("when idle: %+v", p)
	}
	if p := newPlot(nil, 0); len(p.Bars) != 0 || p.Now != "0/s" {
		t.Errorf("with nothing known: %+v", p)
	}
	for in, want := range map[float64]float64{0: 1, 0.3: 1, 1: 1, 1.1: 2, 3: 5, 7: 10, 10: 10, 999: 1000, 20001: 50000} {
		if got := niceAbove(in); got != want {
			t.Errorf("above %g: %g, want %g", in, got, want)
		}
	}
}

package admin

import (
	"bufio"
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// Whatever a client asks: an answer that says what it is, and never more than
// a look.
func FuzzRequest(f *testing.F) {
	f.Add([]byte("GET /status HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"))
	f.Add([]byte("POST //../healthz?a=%00 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"))
	f.Add([]byte("GET /metrics?name[]=go_info HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text\r\n\r\n"))
	f.Add([]byte("OPTIONS * HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))
	h := handler(healthy(), prometheus.NewRegistry(), false)
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if !slices.Contains([]int{200, 301, 307, 308, 400, 404, 405, 406, 503}, w.Code) {
			t.Errorf("%q: %d", raw, w.Code)
		}
		if r.Method != "GET" && r.Method != "HEAD" && w.Code != 405 {
			t.Errorf("%s is answered %d", r.Method, w.Code)
		}
		if w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%q: no Cache-Control", raw)
		}
	})
}

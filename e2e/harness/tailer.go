package harness

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Tailer is a `tailer run` with its own HTTP port.
type Tailer struct {
	*Process
	addr string
}

// Status is what tests look at in /status.
type Status struct {
	Name, Version, State, Reason string
	Source                       struct{ Kind, Identity string }
	Position                     string
	ServerPosition               string   `json:"server_position"`
	LagSeconds                   *float64 `json:"lag_seconds"`
	LagBytes                     *float64 `json:"lag_bytes"`
	LagTransactions              *float64 `json:"lag_transactions"`
	Published                    int64
	Poison                       map[string]any
	LastError                    struct{ Time, Text string } `json:"last_error"`
}

// web asks its own question and is patient with nobody: an HTTP server that hangs is a finding.
var web = &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// Get asks one page; the code is 0 when nobody answers.
func (p *Tailer) Get(path string) (code int, body string) {
	response, err := web.Get("http://" + p.addr + path)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(b)
}

// Status reads /status; the zero value when nobody answers.
func (p *Tailer) Status() (s Status) {
	if _, body := p.Get("/status"); json.Unmarshal([]byte(body), &s) != nil {
		return Status{}
	}
	return s
}

// State is the state that /status names, or nothing.
func (p *Tailer) State() string { return p.Status().State }

// Addr is host:port of the process's HTTP server.
func (p *Tailer) Addr() string { return p.addr }

// Counts waits until a metric has come to want, and no further. What is counted is counted once the broker has
// answered, which a consumer does not wait for.
func (p *Tailer) Counts(c *Case, want int, name string, labels ...string) {
	c.Helper()
	c.Wait(fmt.Sprint(name, " of ", labels, " is ", want), 10*time.Second, func() (bool, string) {
		n := p.Metric(name, labels...)
		if n > float64(want) {
			c.Fatalf("%s of %v is %v, want %d", name, labels, n, want)
		}
		return n == float64(want), fmt.Sprint(n)
	})
}

// Metric is the sum of all samples of a metric that carry every given label ("name=value"); NaN when there is
// none. The name goes without the prefix tailer_.
func (p *Tailer) Metric(name string, labels ...string) float64 {
	_, body := p.Get("/metrics")
	sum, found := 0.0, false
	for line := range strings.Lines(body) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if brace := strings.IndexByte(line, '}'); brace >= 0 { // a label's value may hold a space
			series, value, ok = line[:brace+1], strings.TrimSpace(line[brace+1:]), true
		}
		base, rest, _ := strings.Cut(series, "{")
		if !ok || base != "tailer_"+name {
			continue
		}
		matches := true
		for _, l := range labels {
			key, v, _ := strings.Cut(l, "=")
			matches = matches && strings.Contains(rest, key+`="`+v+`"`)
		}
		if n, err := strconv.ParseFloat(value, 64); err == nil && matches {
			sum, found = sum+n, true
		}
	}
	if !found {
		return math.NaN()
	}
	return sum
}

// PeakRSS is the most memory the process ever had resident, in bytes.
func (p *Tailer) PeakRSS() int64 {
	p.t.Helper()
	n, err := PeakRSS(p.PID())
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// FileRSS is what of it is the binary's own pages, which the kernel takes back when it likes, in bytes.
func (p *Tailer) FileRSS() int64 {
	p.t.Helper()
	n, err := statusBytes(p.PID(), "RssFile:")
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// PeakRSS reads VmHWM of a process, in bytes.
func PeakRSS(pid int) (int64, error) { return statusBytes(pid, "VmHWM:") }

// statusBytes is a size that proc_pid_status(5) shows.
func statusBytes(pid int, name string) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, name); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no %s", pid, name)
}

// Stop asks the process to stop and demands what the contract says: exit status 0 within 5 seconds.
func (p *Tailer) Stop() {
	p.t.Helper()
	p.Signal(syscall.SIGTERM)
	p.Want(0, 5*time.Second)
}

func (p *Tailer) diagnose() string {
	state := "gone"
	if p.Running() {
		_, state = p.Get("/status")
	}
	return fmt.Sprintf("--- tailer %d, %s\n%s", p.PID(), strings.TrimSpace(state), tail(p.Stderr(), 60))
}

// Package admin is tailer's HTTP server: metrics, health, readiness, status for
// programs and a page for people. It only ever reads, and what it shows holds
// no payload and no secret.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/pipeline"
)

// Limits against clients that are slow, stuck or many. A probe or a scrape
// needs a fraction of each.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 15 * time.Second
	idleTimeout   = time.Minute
	headerBytes   = 8 << 10
	connections   = 64
	closeTimeout  = time.Second
)

// Reporter is what the server asks; the pipeline is one. Its methods are
// called from many goroutines and must answer at once.
type Reporter interface {
	// Status is what /status and the page show.
	Status() pipeline.Status
	// Health is nil while the process makes progress or retries.
	Health() error
	// Ready is nil when messages flow, or when a standby could take over.
	Ready() error
	// Traffic is what was committed lately, with at most so many topics.
	Traffic(topics int) pipeline.Traffic
	// Errors are the newest errors, the newest first.
	Errors() []pipeline.Trouble
}

// Config says where to listen.
type Config struct {
	// Addr is host:port; port 0 takes a free one.
	Addr string
	// Pprof serves Go's profiles at /debug/pprof/.
	Pprof bool
}

// Server is the HTTP server.
type Server struct {
	cfg      Config
	log      *slog.Logger
	server   *http.Server
	listener net.Listener

	mu   sync.Mutex // guards open
	open []net.Conn // the oldest first
}

// New makes a server that listens nowhere yet.
func New(cfg Config, r Reporter, g prometheus.Gatherer, log *slog.Logger) *Server {
	s := &Server{cfg: cfg, log: log}
	s.server = &http.Server{
		Handler:           handler(r, g, cfg.Pprof),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytes,
		ConnState:         s.limit,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s
}

// Listen binds the address. It is apart from Run so that an address that is
// taken ends the start before anything else is touched: an *outbox.Invalid.
func (s *Server) Listen() error {
	l, err := net.Listen("tcp", s.cfg.Addr)
	if err != nil {
		return &outbox.Invalid{Option: "http-addr", Text: fmt.Sprintf("cannot listen: %v", err),
			Hint: `choose another address, or "" to switch the server off`}
	}
	s.listener = l
	return nil
}

// Addr is where the server listens, nil before Listen.
func (s *Server) Addr() net.Addr {
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// Run serves until ctx ends, then lets requests finish for up to a second.
func (s *Server) Run(ctx context.Context) error {
	if s.listener == nil {
		if err := s.Listen(); err != nil {
			return err
		}
	}
	s.log.Info("http server listens", "addr", s.listener.Addr().String())
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(s.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve http: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := s.server.Shutdown(grace); err != nil {
		s.server.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve http: %w", err)
	}
	return nil
}

// limit closes the oldest connection when there are too many, so that no client
// can make the process grow, and none can keep a probe out by holding all that
// are allowed: a probe's own is young when it ends.
func (s *Server) limit(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		if len(s.open) == connections {
			s.open[0].Close()
			s.open = slices.Delete(s.open, 0, 1)
		}
		s.open = append(s.open, c)
	case http.StateClosed, http.StateHijacked:
		if i := slices.Index(s.open, c); i >= 0 {
			s.open = slices.Delete(s.open, i, i+1)
		}
	}
}

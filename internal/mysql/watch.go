package mysql

import (
	"context"
	"strings"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// watchSession is the watcher's own connection, opened when there is none and
// again after it broke. A server that is not the one Connect found is an error.
func (s *Source) watchSession(ctx context.Context) (*session, error) {
	s.watchMu.Lock()
	defer s.watchMu.Unlock()
	if s.id.server == "" {
		return nil, errSessionLost
	}
	if s.watch != nil && !s.watch.lost() {
		return s.watch, nil
	}
	s.watch.close()
	s.watch = nil
	x, err := s.openSame(ctx, "open the watcher's session")
	if err != nil {
		return nil, err
	}
	s.watch = x
	return x, nil
}

// Watch checks that the log still brings every outbox row: its settings and
// filters, the tables with their engines, columns and character sets. A
// difference is a Refusal with the statement that mends it and the last
// position known to be good. It may be called beside Stream.
func (s *Source) Watch(ctx context.Context) error {
	x, err := s.watchSession(ctx)
	if err != nil {
		return err
	}
	// The position is taken first: what is found in order below was so there.
	at, err := s.end(ctx, x)
	if err != nil {
		return err
	}
	id, err := s.identify(ctx, x)
	if err != nil {
		return err
	}
	if err := s.stillPrimary(id); err != nil {
		return err
	}
	for _, f := range id.flaws() {
		return s.since(f)
	}
	if id.mode != s.id.mode {
		return outbox.Refuse(ReasonCheckpoint, hintNow, "gtid_mode was changed to %s: positions are written in another form now", id.vars["gtid_mode"])
	}
	if _, err := s.loadTables(ctx, x, true); err != nil {
		return s.since(err)
	}
	s.watchMu.Lock()
	s.good = at.String()
	s.watchMu.Unlock()
	return nil
}

// since adds to a Refusal from where on rows may be missing.
func (s *Source) since(err error) error {
	r, ok := err.(*outbox.Refusal)
	if !ok {
		return err
	}
	s.watchMu.Lock()
	defer s.watchMu.Unlock()
	good := "the start"
	if s.good != "" {
		good = s.good
	}
	c := *r
	c.Text += "; in order up to " + good
	return &c
}

// Gauges asks how far the server's log is, and for how long it is kept: by its
// age, and not for us. It may be called beside Stream.
func (s *Source) Gauges(ctx context.Context) (outbox.Gauges, error) {
	g := outbox.Gauges{ConfirmedLagBytes: -1, RetainedBytes: -1, SafeBytes: -1}
	x, err := s.watchSession(ctx)
	if err != nil {
		return g, err
	}
	p, err := s.end(ctx, x)
	if err != nil {
		return g, err
	}
	g.At, g.Server, g.InTransactions = time.Now(), s.position(&p), p.mode != byFile
	return g, s.loadKeep(ctx, x, &g)
}

// Behind is how much log lies between p and end: transactions where positions
// are GTIDs, bytes in files (between files an estimate). 0 when p has reached
// end, -1 when one of them is no position of this kind. It asks nobody.
func (s *Source) Behind(p, end outbox.Position) float64 {
	if p.Kind != end.Kind || p.IsZero() || end.IsZero() {
		return -1
	}
	m := byGTID
	switch {
	case p.Kind == outbox.MariaDB:
		m = byDomain
	case isFile(p.Text) && isFile(end.Text):
		m = byFile
	}
	a, err := parsePlace(m, p.Text)
	if err != nil {
		return -1
	}
	b, err := parsePlace(m, end.Text)
	if err != nil {
		return -1
	}
	return b.behind(&a)
}

// isFile: a file's name has a dot, a GTID set has none.
func isFile(text string) bool { return strings.Contains(text, ".") }

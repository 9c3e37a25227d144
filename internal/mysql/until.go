package mysql

import (
	"context"
	"fmt"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Until sets where Stream ends: "now", or a position as ParsePosition takes
// it, or "" for never. Everything that the position holds is handed over;
// transactions that stand before its last one in the log, and that it does not
// hold, come with it. It is called after Connect, before Stream. Anything else
// is *outbox.Invalid.
func (s *Source) Until(ctx context.Context, until string) error {
	if until == "" {
		s.until = nil
		return nil
	}
	x, err := s.control()
	if err != nil {
		return err
	}
	var p place
	if until == "now" {
		if p, err = s.end(ctx, x); err != nil {
			return err
		}
	} else if p, err = parsePlace(s.id.mode, until); err != nil {
		return &outbox.Invalid{Option: "until", Text: fmt.Sprintf("%q is no position of this server", until), Hint: "allowed are now, or " + s.Example()}
	}
	s.until = &p
	return nil
}

// Example shows what a position looks like.
func (s *Source) Example() string {
	if s.addr != nil && s.addr.kind == outbox.MariaDB {
		return "a GTID position such as 0-1-42,1-7-100"
	}
	return "a GTID set such as 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-23; with gtid_mode off, FILE:OFFSET such as binlog.000012:345"
}

// ParsePosition reads a position that an operator typed: a GTID set, a MariaDB
// GTID position, or FILE:OFFSET. It opens no connection and does not compare
// with the server: Prove does that.
func (s *Source) ParsePosition(text string) (outbox.Position, error) {
	modes := []mode{byGTID, byFile}
	kind := outbox.MySQL
	if s.addr != nil && s.addr.kind == outbox.MariaDB {
		modes, kind = []mode{byDomain}, outbox.MariaDB
	}
	for _, m := range modes {
		if p, err := parsePlace(m, text); err == nil && text != "" {
			return outbox.Position{Kind: kind, Text: p.String()}, nil
		}
	}
	return outbox.Position{}, fmt.Errorf("parse position %q: want %s", text, s.Example())
}

// Now is the end of the server's log: a checkpoint there skips everything
// committed before.
func (s *Source) Now(ctx context.Context) (outbox.Resume, error) {
	x, err := s.control()
	if err != nil {
		return outbox.Resume{}, err
	}
	p, err := s.end(ctx, x)
	if err != nil {
		return outbox.Resume{}, err
	}
	return s.resume(&p), nil
}

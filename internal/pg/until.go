package pg

import (
	"context"
	"fmt"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Until sets where Stream ends: "now", an LSN such as 0/16B3748, or "" for
// never. Every transaction whose commit begins before that position is handed
// over, and none behind it; Stream ends at that very place. It is called
// after Connect, before Stream. Anything else is *outbox.Invalid.
func (s *Source) Until(ctx context.Context, until string) error {
	if until == "" {
		s.until = 0
		return nil
	}
	if until != "now" {
		l, err := parseLSN(until)
		if err != nil || l == 0 {
			return &outbox.Invalid{Option: "until", Text: fmt.Sprintf("%q is no position", until), Hint: "allowed are now, or an LSN such as 0/16B3748"}
		}
		s.until = l
		return nil
	}
	x, err := s.control()
	if err != nil {
		return err
	}
	s.until, err = insertEnd(ctx, x)
	return err
}

// insertEnd is the end of the log, which the stream is going to get past: every
// row that could be seen before lies in front of it.
func insertEnd(ctx context.Context, x *session) (lsn, error) {
	r, err := x.row(ctx, `select pg_current_wal_insert_lsn()`)
	if err != nil {
		return 0, fmt.Errorf("ask for the log's end: %w", err)
	}
	end, err := parseLSN(r[0])
	if err != nil {
		return 0, fmt.Errorf("ask for the log's end: %w", err)
	}
	// An idle server never gets past its own end: a transaction with a number
	// leaves the record of its commit, which the server flushes soon. A message
	// in the log would be seen, and published, by other readers.
	if _, err := x.query(ctx, `select pg_current_xact_id()`); err != nil {
		return 0, fmt.Errorf("move the log past its end: %w", err)
	}
	return end, nil
}

// Example shows what a position looks like.
func (s *Source) Example() string { return "an LSN such as 0/16B3748" }

// ParsePosition reads an LSN that an operator typed. It is not compared with
// the server: Prove does that.
func (s *Source) ParsePosition(text string) (outbox.Position, error) {
	l, err := parseLSN(text)
	if err != nil {
		return outbox.Position{}, err
	}
	if l == 0 {
		return outbox.Position{}, fmt.Errorf("parse LSN %q: it is no place in the log", text)
	}
	return position(l), nil
}

// Now is the end of the server's log, on the current timeline: a checkpoint
// there skips everything committed before.
func (s *Source) Now(ctx context.Context) (outbox.Resume, error) {
	x, err := s.control()
	if err != nil {
		return outbox.Resume{}, err
	}
	r, err := x.row(ctx, `select pg_current_wal_flush_lsn()`)
	if err != nil {
		return outbox.Resume{}, fmt.Errorf("ask for the log's end: %w", err)
	}
	l, err := parseLSN(r[0])
	if err != nil {
		return outbox.Resume{}, fmt.Errorf("ask for the log's end: %w", err)
	}
	return s.resumeAt(l), nil
}

package mysql

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Prepare does nothing: MySQL has no publication.
func (s *Source) Prepare(context.Context) error { return nil }

// Anchor says that there is none: MySQL keeps its log by time, not for anybody.
func (s *Source) Anchor(context.Context) (exists bool, at outbox.Resume, err error) {
	return false, outbox.Resume{}, nil
}

// DropAnchor does nothing: there is none.
func (s *Source) DropAnchor(context.Context) error { return nil }

// Count is the number of rows in the outbox tables, counted no further than
// limit+1.
func (s *Source) Count(ctx context.Context, limit int64) (int64, error) {
	x, err := s.control()
	if err != nil {
		return 0, err
	}
	chosen := s.chosenTables()
	parts := make([]string, len(chosen))
	for i, t := range chosen {
		parts[i] = fmt.Sprintf("(select 1 from %s limit %d)", t.quoted(), limit+1)
	}
	r, err := x.row(ctx, fmt.Sprintf("select count(*) from (select * from (%s) all_rows limit %d) first_rows", strings.Join(parts, " union all "), limit+1))
	if err != nil {
		return 0, s.privilegeError("count rows", err)
	}
	return strconv.ParseInt(r[0], 10, 64)
}

// Confirm does nothing: there is nobody to tell.
func (s *Source) Confirm(context.Context, outbox.Position) error { return nil }

// ConfirmWait does nothing either.
func (s *Source) ConfirmWait(context.Context, outbox.Position) error { return nil }

package mysql

import (
	"context"
	"slices"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Choose says which of the configured tables, by their index, Count, View and
// Stream are about from now on; nil for all. To Stream the others are foreign
// tables. It is not called while Stream runs.
func (s *Source) Choose(tables []bool) { s.chosen = slices.Clone(tables) }

func isChosen(chosen []bool, table int) bool { return chosen == nil || chosen[table] }

func (s *Source) chosenTables() []Table {
	var list []Table
	for i, t := range s.cfg.Tables {
		if isChosen(s.chosen, i) {
			list = append(list, t)
		}
	}
	return list
}

// Publish does nothing: the log brings the rows of every table.
func (s *Source) Publish(context.Context) error { return nil }

// View opens a consistent view of the chosen tables, as CreateAnchor does. What
// stands in the log before the last transaction of its position, and is not part
// of that, holds no row of theirs: who has written to them was waited for, and
// who writes to them later comes later.
func (s *Source) View(ctx context.Context) (outbox.Snapshot, error) {
	a, err := s.CreateAnchor(ctx, outbox.Filter{})
	if err != nil || s.cfg.NoSnapshot {
		return a, err
	}
	v := a.(*snapshot)
	// It may be long since Connect looked. If a table is changed from here on,
	// the server refuses to read it in this view.
	if v.facts, err = s.loadTables(ctx, s.ctl, true); err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

// Withdraw does nothing: there is no list of tables on the server.
func (s *Source) Withdraw(context.Context, string) (string, error) { return "", nil }

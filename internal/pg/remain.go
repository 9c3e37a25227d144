package pg

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

const (
	// remainShown is how many ids of a table a refusal names.
	remainShown = 10
	// remainCounted is how far rows are counted for it.
	remainCounted = 1_000_000
	// remainFor is how long an answer serves: with --on-refusal wait the same
	// refusal comes every few seconds, and the question reads whole tables.
	remainFor = 10 * time.Minute
)

// remaining is the refusal that withRemaining told last.
type remaining struct {
	about string // what it is about: reason and checkpoint
	told  *outbox.Refusal
	at    time.Time
}

// withRemaining adds to a refusal over rows that may be lost, or published and
// gone from the database, what the outbox tables hold now: how many rows, and
// the ids of those that were written last. That is what an operator holds
// against the topics to find out which. Other errors pass; about is which checkpoint
// was held against the server.
func (s *Source) withRemaining(ctx context.Context, x *session, about string, err error) error {
	var r *outbox.Refusal
	if !errors.As(err, &r) || r.Reason == ReasonSlotForeign {
		return err
	}
	about = r.Reason + " at " + about
	if s.remain.about != about || time.Since(s.remain.at) > remainFor {
		told := *r
		told.Text += "; " + s.remainingText(ctx, x)
		s.remain = remaining{about: about, told: &told, at: time.Now()}
	}
	return s.remain.told
}

func (s *Source) remainingText(ctx context.Context, x *session) string {
	var parts []string
	for _, t := range s.cfg.Tables {
		text, err := s.remainingOf(ctx, x, t)
		if err != nil {
			text = fmt.Sprintf("table %s cannot be read for the ids it still holds: %s", t, message(err))
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// remainingOf orders by the age of the transaction that wrote the row last: that
// is the order of writing, more or less, whatever the key is.
func (s *Source) remainingOf(ctx context.Context, x *session, t Table) (string, error) {
	id := quoteIdent(t.Columns[0]) // the id is the first wanted column of every table
	count, err := x.row(ctx, fmt.Sprintf("select count(*) from (select 1 from %s limit %d) rows", t.quoted(), remainCounted+1))
	if err != nil {
		return "", err
	}
	if count[0] == "0" {
		return fmt.Sprintf("table %s is empty", t), nil
	}
	rows, err := x.query(ctx, fmt.Sprintf("select %s::text from %s order by age(xmin), ctid desc limit %d", id, t.quoted(), remainShown))
	if err != nil {
		return "", err
	}
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r[0]
	}
	if count[0] == fmt.Sprint(remainCounted+1) {
		count[0] = fmt.Sprintf("more than %d", remainCounted)
	}
	return fmt.Sprintf("table %s holds %s rows now, the ids written last are %s", t, count[0], strings.Join(ids, ", ")), nil
}

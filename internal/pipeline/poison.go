package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tailer-io/tailer/internal/checkpoint"
	"github.com/tailer-io/tailer/internal/deadletter"
	"github.com/tailer-io/tailer/internal/outbox"
)

// What --on-poison allows.
const (
	Halt       = "halt"
	Skip       = "skip"
	DeadLetter = "dead-letter"
)

// What was done with a row that cannot be published: the label action of
// tailer_events_poison_total, and the key in /status.
const (
	actionHalt       = "halt"
	actionSkip       = "skip"
	actionDeadLetter = "dead_letter"
)

// verdict is what becomes of a batch's rows that cannot be published.
type verdict struct {
	// resume is where reading goes on once the messages are committed.
	resume outbox.Resume
	// left are the rows that are left out for good with that.
	left []leaving
	// halted is the row right behind resume; nil when there is none.
	halted *checkpoint.Halted
}

// leaving is a row that is left out, and what was done with it.
type leaving struct {
	outbox.Poison
	action string
}

// chosen tells of rows that an operator has decided about: true to keep them in
// the dead-letter topic.
type chosen map[int]bool

// sortOut applies --on-poison to the rows that m.Poison names, except those
// that were chosen. Dead letters are added to the messages. At a row that halts,
// everything from it on is taken out: what stands before it is published, and
// the verdict resumes right at it.
func (p *Pipeline) sortOut(ctx context.Context, b *outbox.Batch, m *outbox.Messages, by chosen) (verdict, error) {
	v := verdict{resume: b.Resume}
	if len(m.Poison) == 0 {
		return v, nil
	}
	var bury []outbox.Poison
	stop := len(b.Rows) // the row to halt at
	for i := range m.Poison {
		q := &m.Poison[i]
		action := p.cfg.OnPoison
		if keep, ok := by[q.Row]; ok {
			action = Skip
			if keep {
				action = DeadLetter
			}
		}
		switch action {
		case Skip:
			v.left = append(v.left, leaving{*q, actionSkip})
		case DeadLetter:
			bury = append(bury, *q)
			v.left = append(v.left, leaving{*q, actionDeadLetter})
		default:
			stop, v.halted = q.Row, halted(b, q)
		}
		if v.halted != nil {
			break
		}
	}
	if len(bury) > 0 {
		refused, err := p.bury(ctx, b, bury)
		if err != nil {
			return v, err
		}
		if refused != nil {
			stop, v.halted = refused.Row, halted(b, refused)
		}
		m.List = append(m.List, p.letters.List...)
	}
	if v.halted != nil {
		m.List = slices.DeleteFunc(m.List, func(msg outbox.Message) bool { return msg.Row >= stop })
		v.left = slices.DeleteFunc(v.left, func(l leaving) bool { return l.Row >= stop })
		v.resume = b.ResumeBefore(stop)
	}
	return v, nil
}

// bury makes dead letters of rows, in p.letters. It returns the first row of
// which there can be none, nil if there is no such.
func (p *Pipeline) bury(ctx context.Context, b *outbox.Batch, rows []outbox.Poison) (*outbox.Poison, error) {
	room, err := p.sink.Room(ctx, p.cfg.DeadLetterTopic)
	if err != nil {
		return nil, sinkOrRefusal(err)
	}
	w := deadletter.Writer{Name: p.cfg.Name, Tailer: p.cfg.Version, Topic: p.cfg.DeadLetterTopic,
		Source: deadletter.Source{Kind: p.identity.Kind, Identity: p.identity.ID}}
	m := &p.letters
	m.Reset()
	for i := range rows {
		if err := w.Write(m, b, &rows[i], room); err != nil {
			return nil, err
		}
	}
	if err := p.admit(ctx, m, b); err != nil {
		return nil, err
	}
	if len(m.Poison) == 0 {
		return nil, nil
	}
	refused := m.Poison[0]
	for i := range rows {
		if rows[i].Row == refused.Row {
			refused.Reason = fmt.Sprintf("%s; and it cannot be kept as a dead letter: %s", rows[i].Reason, refused.Reason)
		}
	}
	return &refused, nil
}

// halted is the note of a row that halts.
func halted(b *outbox.Batch, q *outbox.Poison) *checkpoint.Halted {
	txn, _ := b.TxnText(b.Rows[q.Row].Txn)
	return &checkpoint.Halted{Table: q.Table, ID: q.ID, Position: q.Position, Transaction: string(txn), Ordinal: b.Ordinal(q.Row), Reason: q.Reason}
}

// halt is the Refusal to end with once the batch is committed; nil for none.
func (v *verdict) halt() error {
	if v.halted == nil {
		return nil
	}
	return refuseHalted(v.halted, "everything before it is published, nothing after it")
}

func refuseHalted(h *checkpoint.Halted, published string) error {
	q := outbox.Poison{Table: h.Table, ID: shortID(h.ID), Position: h.Position, Reason: h.Reason}
	return outbox.Refuse("poison", "make it fit (topic limits, rights, mapping, --max-row-bytes) and start again; or "+
		skipHint(h.ID)+"run with --on-poison dead-letter or skip",
		"%s; %s", q.Error(), published)
}

// shownID is how many bytes of an id people are shown.
const shownID = 200

// shortID is an id as people are shown it, once.
func shortID(id string) string {
	if len(id) <= shownID {
		return id
	}
	end := shownID
	for !utf8.RuneStart(id[end]) {
		end--
	}
	return fmt.Sprintf("%s... (%d bytes)", id[:end], len(id))
}

// skipHint tells how to step over the row with an id, if that can be typed.
func skipHint(id string) string {
	const steps = " steps over this row, with --dead-letter keeping it; or "
	switch {
	case strings.ContainsRune(id, 0):
		return "" // no program can be given it
	case len(id) > shownID:
		return "`tailer checkpoint skip --id ID`, with the whole id as `tailer checkpoint show` has it," + steps
	}
	return "`tailer checkpoint skip --id " + quoteShell(id) + "`" + steps
}

// quoteShell writes a word as a shell reads it: bash, ksh and zsh where a
// character cannot be shown.
func quoteShell(s string) string {
	plain := func(c rune) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("-_.:/@%+=,", c)
	}
	if s != "" && strings.TrimFunc(s, plain) == "" {
		return s
	}
	if strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return escapeShell(s)
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// escapeShell writes a word of several lines, or worse, in one.
func escapeShell(s string) string {
	var b strings.Builder
	b.WriteString("$'")
	for _, c := range s {
		switch {
		case c == '\'' || c == '\\':
			b.WriteString(`\` + string(c))
		case c == '\n':
			b.WriteString(`\n`)
		case unicode.IsPrint(c):
			b.WriteRune(c)
		default:
			for _, x := range []byte(string(c)) {
				fmt.Fprintf(&b, `\x%02x`, x)
			}
		}
	}
	return b.String() + "'"
}

// snapshotHalted ends a snapshot at a row that cannot be published.
type snapshotHalted struct{ row *checkpoint.Halted }

func (e snapshotHalted) Error() string { return e.row.Reason }

// haltSnapshot ends a start whose snapshot halted at a row: the record before
// the snapshot names it.
func (p *Pipeline) haltSnapshot(ctx context.Context, rec *checkpoint.Record, row *checkpoint.Halted) error {
	published := "nothing of the snapshot is published"
	if !p.cfg.Transactional {
		published = "rows of the snapshot before it are published, and will be again"
	}
	refusal := refuseHalted(row, published)
	// Nothing may be committed before the snapshot's own transaction is aborted
	// for certain.
	if !p.abandon(ctx, rec) {
		return refusal
	}
	rec.Halted, rec.Time = row, time.Now().UTC()
	if err := p.keep(ctx, rec); err != nil {
		p.log.Warn("the row at which the snapshot halted could not be noted; `tailer checkpoint skip` will not know it", "err", oneLine(err))
	}
	return refusal
}

// stepOver takes the rows out of a snapshot's messages that an operator has
// stepped over, whether they can be published now or not.
func (p *Pipeline) stepOver(b *outbox.Batch, m *outbox.Messages, list []checkpoint.SteppedOver) chosen {
	if len(list) == 0 {
		return nil
	}
	by := chosen{}
	named := func(row int) bool {
		table, id := p.cfg.Tables[b.Rows[row].Shape.Table], p.mapper.ID(b, row)
		for _, s := range list {
			if s.Table == table && s.ID == id {
				by[row] = s.DeadLetter
				return true
			}
		}
		return false
	}
	for i := range m.Poison {
		named(m.Poison[i].Row)
	}
	m.List = slices.DeleteFunc(m.List, func(msg outbox.Message) bool {
		if msg.Row < 0 || !named(msg.Row) {
			return false
		}
		m.Poison = append(m.Poison, outbox.Poison{Row: msg.Row, Table: p.cfg.Tables[b.Rows[msg.Row].Shape.Table],
			ID: p.mapper.ID(b, msg.Row), Position: string(b.PositionText(msg.Row)), Reason: "stepped over by tailer checkpoint skip"})
		return true
	})
	slices.SortStableFunc(m.Poison, func(a, b outbox.Poison) int { return a.Row - b.Row })
	return by
}

// leftOut counts rows that were left out and not logged yet, by what was done
// with them.
type leftOut map[string]*unlogged

type unlogged struct {
	logged time.Time // when that was said last
	rows   int
}

// tally counts rows that were left out.
type tally struct {
	rows map[leavingAs]int
	last map[string]outbox.Poison // by action
}

type leavingAs struct{ table, action string }

func (t *tally) add(list []leaving) {
	if t.rows == nil {
		t.rows, t.last = map[leavingAs]int{}, map[string]outbox.Poison{}
	}
	for _, l := range list {
		t.rows[leavingAs{l.Table, l.action}]++
		t.last[l.action] = l.Poison
	}
}

// all is how many rows were left out.
func (t *tally) all() (n int) {
	for _, rows := range t.rows {
		n += rows
	}
	return n
}

// noteVerdict counts what a committed batch left out, and where it halted.
func (p *Pipeline) noteVerdict(v *verdict) {
	if len(v.left) > 0 {
		var t tally
		t.add(v.left)
		p.noteLeft(&t)
	}
	if v.halted != nil {
		p.countPoison(actionHalt, 1)
		p.metrics.poison.WithLabelValues(v.halted.Table, actionHalt).Inc()
	}
}

// noteLeft counts every row that was left out, and logs each action at most
// once a minute, with how many rows it was since.
func (p *Pipeline) noteLeft(t *tally) {
	if p.left == nil {
		p.left = leftOut{actionSkip: {}, actionDeadLetter: {}}
	}
	for as, n := range t.rows {
		p.countPoison(as.action, n)
		p.metrics.poison.WithLabelValues(as.table, as.action).Add(float64(n))
		p.left[as.action].rows += n
	}
	for action, q := range t.last {
		u := p.left[action]
		if time.Since(u.logged) < time.Minute {
			continue
		}
		text := "skipped rows that cannot be published"
		if action == actionDeadLetter {
			text = "put rows that cannot be published into the dead-letter topic"
		}
		p.log.Warn(text, "rows", u.rows, "total", p.poisoned(action), "table", q.Table, "id", q.ID, "position", q.Position, "reason", q.Reason)
		u.logged, u.rows = time.Now(), 0
	}
}

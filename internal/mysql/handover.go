package mysql

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Left is where another reader of this server's log left it.
type Left struct {
	// File and Offset are where the transaction that was being read begins, at
	// its BEGIN (MariaDB: its GTID), else where reading goes on.
	File   string
	Offset uint64
	// GTIDs are the transactions that are done with, without the one that was
	// being read; "" if the reader knows none.
	GTIDs string
	// Events is how many events of the transaction that was being read are done
	// with, its BEGIN or GTID included; 0 for no such transaction.
	Events uint64
	// Rows is how many rows of the next event are done with. 0 inside a
	// transaction means all of it.
	Rows uint64
	// Annotated tells, in MariaDB, whether the reader has the server send
	// annotations and so counts them among the events; nil if that is not known.
	Annotated *bool
}

// Resume is where reading goes on behind what another reader has done. Inside
// a transaction that is told by reading it, and counting its events as the
// other one does. It wants Connect before, and changes nothing. What cannot be
// proven is a Refusal.
func (s *Source) Resume(ctx context.Context, l Left) (outbox.Resume, error) {
	at, err := s.leftAt(ctx, l)
	if err != nil || l.Events == 0 && l.Rows == 0 {
		return at, err
	}
	if err := s.Prove(ctx, at); err != nil {
		return at, err
	}
	c := &counter{src: s, left: l, result: at}
	if err := c.run(ctx); err != nil {
		return at, fmt.Errorf("count the rows of the open transaction that are published: %w", err)
	}
	return c.result, nil
}

// leftAt is the position behind the transactions that are done with.
func (s *Source) leftAt(ctx context.Context, l Left) (outbox.Resume, error) {
	if s.id.mode == byFile {
		file, err := parseFilePos(fmt.Sprintf("%s:%d", l.File, l.Offset))
		if err != nil {
			return outbox.Resume{}, &outbox.Invalid{Text: err.Error()}
		}
		return s.transactionAt(ctx, file)
	}
	if l.GTIDs == "" {
		return outbox.Resume{}, outbox.Refuse(ReasonCheckpoint, "let the other reader go on with GTIDs, and stop it again",
			"the server names transactions by GTIDs, and the place %s:%d comes without", l.File, l.Offset)
	}
	p, err := parsePlace(s.id.mode, l.GTIDs)
	if err != nil {
		return outbox.Resume{}, &outbox.Invalid{Text: err.Error()}
	}
	if s.id.mode == byDomain && strings.Count(l.GTIDs, ",")+1 != len(p.domain) && !strings.EqualFold(s.id.vars["gtid_strict_mode"], "ON") {
		// Which of a domain's transactions came last is told by their numbers.
		return outbox.Resume{}, outbox.Refuse(ReasonStrict, "name the last transaction of each domain with `tailer checkpoint set POSITION`",
			"the GTIDs %s hold several servers of one domain, and gtid_strict_mode is off: which of them is the last cannot be told", l.GTIDs)
	}
	return s.resume(&p), nil
}

// transactionAt is the position, in file mode, of a place between transactions,
// or between a transaction's GTID event and its BEGIN: then it is before the
// former. The file is read up to there, because events are found from its
// beginning only.
func (s *Source) transactionAt(ctx context.Context, want filePos) (outbox.Resume, error) {
	at := place{mode: byFile, file: want}
	if want.offset == 4 { // the beginning of a file
		return s.resume(&at), nil
	}
	from := place{mode: byFile, file: filePos{want.file, 4}}
	f := &feed{mode: byFile, at: from.file}
	d := &dump{src: s}
	d.event = func(h header, _ []byte) error {
		before := f.at
		switch h.typ {
		case replication.ROTATE_EVENT:
			if h.flags&replication.LOG_EVENT_ARTIFICIAL_F == 0 {
				return errEvent
			}
			return nil
		case replication.HEARTBEAT_EVENT, replication.HEARTBEAT_LOG_EVENT_V2:
			return errEvent // the log ends here
		}
		if err := f.follow(h); err != nil {
			return err
		}
		switch {
		case f.at.offset < want.offset:
			return nil
		case f.at.offset > want.offset:
			return errEvent
		}
		if h.typ == replication.ANONYMOUS_GTID_EVENT || h.typ == replication.GTID_EVENT {
			at.file = before
		}
		return errFound
	}
	switch err := d.run(ctx, &from); {
	case errors.Is(err, errFound):
		return s.resume(&at), nil
	case errors.Is(err, errEvent):
		return outbox.Resume{}, outbox.Refuse(ReasonAhead, hintNow, "no event of the server's log begins at %s", want)
	default:
		return outbox.Resume{}, fmt.Errorf("look for %s in the log: %w", want, err)
	}
}

// errEvent ends a reading that has met something else than what it looked for.
var errEvent = errors.New("another event")

// counter reads the first transaction behind a position and counts the outbox
// rows of it that another reader has done.
type counter struct {
	src    *Source
	left   Left
	f      *feed
	result outbox.Resume // Position is where the transaction begins

	events uint64 // of the transaction, those the other reader counts
	begun  bool   // the transaction's GTID was met
	start  filePos
	quiet  uint32 // place of the last heartbeat
}

func (c *counter) run(ctx context.Context) error {
	s := c.src
	ctx, cancel := context.WithTimeoutCause(ctx, probeWithin, fmt.Errorf("the transaction did not come within %s", probeWithin))
	defer cancel()
	x, err := s.control()
	if err != nil {
		return err
	}
	h := outbox.NewHandoff(1, outbox.Limits{Rows: 1, Bytes: 1}, c.result)
	if c.f, err = newFeed(ctx, s, c.result, h); err != nil {
		return err
	}
	defer c.f.payload.close()
	c.f.reload = func(i int) (tableFacts, error) { return s.reloadTable(ctx, x, i) }
	c.f.until = nil
	c.f.skip = math.MaxUint64 // rows are counted, and nothing else
	from, err := s.resumable(ctx, &c.f.done)
	if err != nil {
		return err
	}
	d := &dump{src: s, every: time.Second, notes: s.id.kind == outbox.MariaDB, event: c.event}
	if err := d.run(ctx, &from); !errors.Is(err, errFound) {
		return err
	}
	return nil
}

// event takes one event of the log. errFound says that the result is there.
func (c *counter) event(h header, body []byte) error {
	switch h.typ {
	case replication.HEARTBEAT_EVENT, replication.HEARTBEAT_LOG_EVENT_V2:
		if c.quiet == h.end {
			return c.gone("the log ends before it")
		}
		c.quiet = h.end
		return nil
	case replication.GTID_EVENT, replication.ANONYMOUS_GTID_EVENT, replication.GTID_TAGGED_LOG_EVENT:
		if err := c.f.event(h, body, false); err != nil {
			return err
		}
		c.begun, c.start = true, c.f.at
		return nil
	case replication.MARIADB_GTID_EVENT:
		c.begun, c.start = true, filePos{c.f.at.file, uint64(h.end) - uint64(h.size)}
	case replication.TRANSACTION_PAYLOAD_EVENT:
		if err := c.f.follow(h); err != nil {
			return err
		}
		if err := c.f.payload.each(body, func(h header, body []byte) error { return c.inside(h, body, true) }); err != nil {
			return err
		}
		return nil
	}
	if !c.begun {
		return c.f.event(h, body, false)
	}
	return c.inside(h, body, false)
}

// inside takes an event of the transaction.
func (c *counter) inside(h header, body []byte, compressed bool) error {
	if h.typ == replication.MARIADB_ANNOTATE_ROWS_EVENT {
		switch {
		case c.left.Annotated == nil:
			return outbox.Refuse(ReasonOpen, "say whether the connector's include.query is true, with --debezium-include-query=false (its default) or =true",
				"the place is inside a transaction with annotations, and whether the other reader counts them is not known")
		case !*c.left.Annotated:
			return c.f.event(h, body, compressed)
		}
	}
	rows := c.f.rows
	if err := c.f.event(h, body, compressed); err != nil {
		return err
	}
	if !c.f.in {
		// It has ended: no more than this is behind an event that stands alone,
		// such as DDL, which the other reader counts on from.
		if rows > 0 {
			return c.gone(fmt.Sprintf("it has %d events only", c.events+1))
		}
		return errFound
	}
	if c.events < c.left.Events {
		c.events++
		return nil
	}
	// This event is the one that Rows is about.
	if !c.atStart(compressed) {
		return c.gone(fmt.Sprintf("it begins at %s", c.start))
	}
	done := c.f.rows
	if c.left.Rows > 0 && !hasRows(h.typ) {
		return c.gone(fmt.Sprintf("event %d of it has no rows", c.events))
	}
	if c.left.Rows > 0 && done > rows {
		if rows+c.left.Rows > done {
			return c.gone(fmt.Sprintf("event %d of it has %d rows only", c.events, done-rows))
		}
		done = rows + c.left.Rows
	}
	if done > 0 {
		c.result.Open = &outbox.Open{Txn: c.f.group.name.text(c.f.mode), Rows: done}
	}
	return errFound
}

// atStart: does the transaction begin where the other reader says? What is
// inside a compressed one has no place of its own. The server takes checksums
// off what it sends, so MariaDB's GTID may be longer in the file.
func (c *counter) atStart(compressed bool) bool {
	if c.start.file != c.left.File {
		return false
	}
	short := c.start.offset - c.left.Offset
	return compressed || short == 0 || c.f.mode == byDomain && short == checksumSize
}

const checksumSize = 4

// hasRows: is it an event that the other reader counts rows of?
func hasRows(t replication.EventType) bool {
	switch t {
	case replication.WRITE_ROWS_EVENTv1, replication.WRITE_ROWS_EVENTv2, replication.MARIADB_WRITE_ROWS_COMPRESSED_EVENT_V1,
		replication.UPDATE_ROWS_EVENTv1, replication.UPDATE_ROWS_EVENTv2, replication.MARIADB_UPDATE_ROWS_COMPRESSED_EVENT_V1,
		replication.DELETE_ROWS_EVENTv1, replication.DELETE_ROWS_EVENTv2, replication.MARIADB_DELETE_ROWS_COMPRESSED_EVENT_V1:
		return true
	}
	return false
}

// gone refuses a transaction that is not the one that was left.
func (c *counter) gone(why string) error {
	return outbox.Refuse(ReasonOpen, "connect to the server that the other reader was connected to; or let it go on, and stop it again when it has caught up",
		"the transaction behind %s is not the one at %s:%d of which %d events and %d rows are published: %s",
		c.result.Position.Text, c.left.File, c.left.Offset, c.left.Events, c.left.Rows, why)
}

package mysql

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/tailer-io/tailer/internal/outbox"
)

const (
	// lockWithin bounds for how long the tables are tried to be locked, and
	// lockPause lies between two tries. Polite ones step back behind whoever
	// wants to write: they hold nobody up, a transaction that has only read
	// does not hold them up, and where those that write overlap all the time
	// they never get the lock. The others stand before those who come later,
	// for lockWait at most, and wait for readers too. The first politeTries
	// are polite, then every second one.
	lockWithin  = 2 * time.Minute
	politeTries = 3
	politeWait  = 1 // second, the least that lock_wait_timeout takes
	lockWait    = 500 * time.Millisecond
	lockPause   = time.Second
	// lockHeld is for how long the server lets the session that has the lock
	// be silent, in seconds: a host that hangs must not hold up the writers.
	lockHeld = 5
)

// snapshot is an outbox.Snapshot: a transaction that sees the tables as of a
// position in the log.
type snapshot struct {
	src    *Source
	resume outbox.Resume
	began  time.Time
	x      *session

	table  int
	shape  *outbox.Shape
	next   func() (row []mysql.FieldValue, err error, ok bool) // nil between tables
	stop   func()
	before uint64   // rows handed out
	reals  []column // of the columns that are FLOAT or DOUBLE
	text   []byte   // scratch

	some someRows // nil: all rows

	chosen []bool       // by table; nil for all
	facts  []tableFacts // of the tables
}

// CreateAnchor opens a consistent view of the tables; there is no anchor that
// would keep the log.
//
// MySQL: the tables are locked against writes for the moment in which a second
// session begins its view and reads the server's position. Whoever has written
// to them must have committed first, so the lock is tried for a moment, given
// up, and tried again: see lockTables. MariaDB gives the position of a view
// without any lock. The view gives the rows that f chooses.
func (s *Source) CreateAnchor(ctx context.Context, f outbox.Filter) (outbox.Snapshot, error) {
	if s.cfg.NoSnapshot && f.IsZero() {
		r, err := s.Now(ctx)
		if err != nil {
			return nil, err
		}
		return &snapshot{src: s, resume: r, table: len(s.cfg.Tables)}, nil
	}
	x, err := s.open(ctx, "open the snapshot's session")
	if err != nil {
		return nil, err
	}
	p, err := s.view(ctx, x)
	if err != nil {
		x.close()
		return nil, err
	}
	s.log.Info("opened snapshot", "position", p.String())
	v := &snapshot{src: s, resume: s.resume(&p), began: time.Now(), x: x, chosen: s.chosen, facts: s.tables}
	if !f.IsZero() {
		v.some = &chosenRows{f}
	}
	return v, nil
}

func (s *Source) view(ctx context.Context, x *session) (place, error) {
	if err := s.sameServer(ctx, x); err != nil {
		return place{}, err
	}
	for _, sql := range []string{"set session transaction isolation level repeatable read", fmt.Sprintf("set session net_write_timeout = %d", writeTimeout)} {
		if _, err := x.query(ctx, sql); err != nil {
			return place{}, fmt.Errorf("prepare the snapshot: %w", err)
		}
	}
	if s.id.mode == byDomain {
		return s.viewMariaDB(ctx, x)
	}
	locker, err := s.openSame(ctx, "open the session that locks")
	if err != nil {
		return place{}, err
	}
	defer locker.close()
	if err := s.lockTables(ctx, locker, x); err != nil {
		return place{}, err
	}
	if _, err := x.query(ctx, "start transaction with consistent snapshot, read only"); err != nil {
		return place{}, fmt.Errorf("begin the snapshot: %w", err)
	}
	p, err := s.end(ctx, x)
	if err != nil {
		return place{}, err
	}
	// A session that the server has ended meanwhile held no lock any more when
	// the position was read: this fails then.
	if _, err := locker.query(ctx, "unlock tables"); err != nil {
		return place{}, fmt.Errorf("unlock the tables: %w", err)
	}
	return p, nil
}

func (s *Source) viewMariaDB(ctx context.Context, x *session) (place, error) {
	if _, err := x.query(ctx, "start transaction with consistent snapshot, read only"); err != nil {
		return place{}, fmt.Errorf("begin the snapshot: %w", err)
	}
	rows, err := x.query(ctx, "show status like 'binlog_snapshot_%'")
	if err != nil {
		return place{}, fmt.Errorf("ask for the snapshot's position: %w", err)
	}
	at := make(map[string]string)
	for _, r := range rows {
		at[strings.ToLower(r[0])] = r[1]
	}
	offset, err := strconv.ParseUint(at["binlog_snapshot_position"], 10, 64)
	if err != nil {
		return place{}, fmt.Errorf("ask for the snapshot's position: %w", err)
	}
	p := place{mode: byDomain}
	if p.domain, err = domainsAt(ctx, x, at["binlog_snapshot_file"], offset); err != nil {
		return place{}, fmt.Errorf("ask for the snapshot's position: %w", err)
	}
	return p, nil
}

// domainsAt is the GTID position at a place in a MariaDB log file. NULL says
// that the place is none; the empty text is the position before everything.
func domainsAt(ctx context.Context, x *session, file string, offset uint64) (domainPos, error) {
	at := fmt.Sprintf("binlog_gtid_pos(%%s, %d)", offset)
	r, err := x.row(ctx, "select "+at+" is null, "+at, file, file)
	if err != nil {
		return nil, err
	}
	if r[0] != "0" {
		return nil, fmt.Errorf("the server finds no event at %s:%d", file, offset)
	}
	return parseDomainPos(r[1])
}

// lockTables takes the lock on locker, or gives up after s.lockWithin; killer
// is another session, to end a try in time.
//
// A request for LOCK TABLES ... READ lets everybody pass who wants to write,
// one for WRITE nobody who comes later; see
// https://dev.mysql.com/doc/refman/8.4/en/lock-tables.html.
func (s *Source) lockTables(ctx context.Context, locker, killer *session) error {
	for _, v := range []string{fmt.Sprintf("lock_wait_timeout = %d", politeWait), fmt.Sprintf("wait_timeout = %d", lockHeld)} {
		if _, err := locker.query(ctx, "set session "+v); err != nil {
			return fmt.Errorf("prepare the lock: %w", err)
		}
	}
	begin, writable := time.Now(), true
	for try := 1; time.Since(begin) < s.lockWithin; try++ {
		err := s.tryTables(ctx, locker, killer, try <= politeTries || try%2 != 0 || !writable)
		if err == nil {
			return nil
		}
		switch errorCode(err) {
		case mysql.ER_LOCK_WAIT_TIMEOUT, mysql.ER_QUERY_INTERRUPTED:
		case mysql.ER_OPTION_PREVENTS_STATEMENT:
			writable = false // a replica with read_only takes no lock for writing
			continue
		default:
			return s.privilegeError("lock the tables", err)
		}
		s.log.Info("snapshot waits for transactions that use the outbox", "try", try)
		if err := pause(ctx, lockPause); err != nil {
			return err
		}
	}
	return outbox.Refuse(ReasonSnapshot, "end the transaction that holds the outbox (SELECT * FROM information_schema.innodb_trx shows it), or start with --snapshot never",
		"the outbox could not be locked for a moment within %s: a transaction that has written to it does not end, or others write to it all the time beside one that has read it and does not end", s.lockWithin)
}

func (s *Source) tryTables(ctx context.Context, locker, killer *session, polite bool) error {
	kind := " write"
	if polite {
		kind = " read"
	} else {
		// The server itself counts in seconds. What comes too late finds no
		// statement, and does nothing.
		late := time.AfterFunc(lockWait, func() { _, _ = killer.query(ctx, fmt.Sprintf("kill query %d", locker.id)) })
		defer late.Stop()
	}
	chosen := s.chosenTables()
	names := make([]string, len(chosen))
	for i, t := range chosen {
		names[i] = t.quoted() + kind
	}
	_, err := locker.query(ctx, "lock tables "+strings.Join(names, ", "))
	return err
}

// Resume is where streaming takes over.
func (v *snapshot) Resume() outbox.Resume { return v.resume }

// Read appends rows to b until it is full or the tables are read: then more is
// false. Rows come in the order of the primary key, one table after the other;
// the whole snapshot is one transaction named "snapshot". Memory is constant:
// the server is only read as far as there is room.
func (v *snapshot) Read(ctx context.Context, b *outbox.Batch, l outbox.Limits) (more bool, err error) {
	if v.table >= len(v.src.cfg.Tables) {
		return false, nil
	}
	conn := v.x.conn
	if conn == nil {
		return false, errSessionLost
	}
	_ = conn.SetDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(past) })
	defer stop()
	begun := false
	for v.table < len(v.src.cfg.Tables) {
		if !isChosen(v.chosen, v.table) {
			v.table++
			continue
		}
		if v.next == nil {
			v.openTable()
		}
		for !b.Full(l) {
			row, err, ok := v.next()
			if err != nil {
				if cause := context.Cause(ctx); cause != nil {
					return false, cause
				}
				if _, ok := v.some.(*chosenRows); ok {
					return false, v.src.chosenError("read the snapshot", v.src.cfg.Tables[v.table], plain(err))
				}
				return false, v.src.privilegeError("read the snapshot", plain(err))
			}
			if !ok {
				v.closeTable()
				break
			}
			if !begun {
				b.Begin([]byte(outbox.SnapshotTxn), v.began, v.before)
				begun = true
			}
			b.Add(v.shape)
			at := 0
			for i := range v.shape.Columns {
				if v.shape.Columns[i].Missing {
					continue
				}
				switch f := &row[at]; f.Type {
				case mysql.FieldValueTypeNull:
				case mysql.FieldValueTypeFloat:
					v.text = v.reals[i].appendReal(v.text[:0], f.AsFloat64())
					b.SetCell(i, v.text)
				default:
					b.SetCell(i, f.AsString())
				}
				at++
			}
			v.addRest(b, row[at:])
			v.before++
		}
		if b.Full(l) {
			// There may be no row left; the next call finds that out.
			return true, nil
		}
	}
	return false, nil
}

// addRest adds the columns of the shape's Rest to the row added last.
func (v *snapshot) addRest(b *outbox.Batch, rest []mysql.FieldValue) {
	for i := range v.shape.Rest {
		switch f := &rest[i]; f.Type {
		case mysql.FieldValueTypeNull:
		case mysql.FieldValueTypeFloat:
			v.text = v.reals[len(v.shape.Columns)+i].appendReal(v.text[:0], f.AsFloat64())
			b.SetRest(i, v.text)
		default:
			b.SetRest(i, f.AsString())
		}
	}
}

// openTable begins to read a table. Rows are pulled one by one out of the
// library's callback.
func (v *snapshot) openTable() {
	t, f := v.src.cfg.Tables[v.table], &v.facts[v.table]
	v.shape = f.shape(v.table, t)
	names := t.Columns
	if v.src.whole {
		f.addRest(v.shape, t)
		for _, c := range v.shape.Rest {
			names = append(names[:len(names):len(names)], c.Name)
		}
	}
	v.reals = make([]column, len(names))
	var list []string
	for i, name := range names {
		known := f.column(name)
		if known == nil {
			continue
		}
		list = append(list, known.asText())
		if known.dataType == "float" || known.dataType == "double" {
			v.reals[i] = column{typ: storedAs[known.dataType][0], scale: known.scale, zerofill: known.zerofill()}
		}
	}
	sql := wholeTable(t, list) + inOrder(t, f)
	if v.some != nil {
		sql = v.some.selectSQL(t, f, list)
	}
	conn := v.x.conn
	v.next, v.stop = iter.Pull2(func(yield func([]mysql.FieldValue, error) bool) {
		var res mysql.Result
		err := conn.ExecuteSelectStreaming(sql, &res, func(row []mysql.FieldValue) error {
			if !yield(row, nil) {
				return errStopped
			}
			return nil
		}, nil)
		if err != nil && !errors.Is(err, errStopped) {
			yield(nil, err)
		}
	})
}

var errStopped = errors.New("stopped")

// wholeTable reads a table in no order; columns are in the form in which they
// are read.
func wholeTable(t Table, columns []string) string {
	return "select " + strings.Join(columns, ", ") + " from " + t.quoted()
}

// inOrder is the clause that asks for a snapshot's order; "" where there is
// none.
func inOrder(t Table, f *tableFacts) string {
	var by []string
	if t.SnapshotOrder != "" {
		by = append(by, quoteIdent(t.SnapshotOrder)) // what is NULL comes first
	}
	for _, c := range f.key {
		if !strings.EqualFold(c, t.SnapshotOrder) {
			by = append(by, quoteIdent(c))
		}
	}
	if len(by) == 0 {
		return ""
	}
	return " order by " + strings.Join(by, ", ")
}

// asText selects a column so that the library leaves its text alone: it parses
// what comes as a number. FLOAT and DOUBLE are written anew, as for the log:
// CAST writes them in another way than the server does when it is asked for
// the column.
func (c *columnFacts) asText() string {
	switch c.dataType {
	case "tinyint", "smallint", "mediumint", "int", "bigint", "year":
		return "cast(" + quoteIdent(c.name) + " as char)"
	case "bit":
		return "cast(" + quoteIdent(c.name) + " as binary)"
	}
	return quoteIdent(c.name)
}

func (v *snapshot) closeTable() {
	v.stop()
	v.next, v.stop = nil, nil
	v.table++
}

// Close ends the view.
func (v *snapshot) Close() {
	if v.x == nil {
		return
	}
	v.x.mu.Lock()
	if v.x.conn != nil {
		// A result that was not read to its end would have to be read first.
		_ = v.x.conn.Close()
		v.x.conn = nil
	}
	v.x.mu.Unlock()
	if v.stop != nil {
		v.stop()
		v.next, v.stop = nil, nil
	}
}

package mysql

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/tailer-io/tailer/internal/outbox"
)

// feed turns the events of the log into batches: it follows transactions and
// table maps, skips what an earlier run has done, cuts what is too large, and
// says how far the log is done with. It belongs to the goroutine that reads.
type feed struct {
	ctx     context.Context
	kind    outbox.Kind
	mode    mode
	mariadb bool
	tables  []Table
	facts   []tableFacts
	// reload asks for a table's facts again, after its description changed.
	reload     func(index int) (tableFacts, error)
	reach      *reach
	relook     func() error              // looks up what leads to the outbox again; nil: nothing to ask
	sight      string                    // the rights to see all of that
	fits       func(*outbox.Shape) error // asks the mapping
	collations map[int]string            // character set by collation id
	h          *outbox.Handoff
	limits     outbox.Limits
	until      *place // nil: never

	maps    []tableMap // by table
	payload payload
	scratch []byte

	// done is what is done with, and branch goes with it; once moved is set, its
	// last and before are to be made of the two names. Texts are made when they
	// are asked for, and dirty says that something changed since told.
	done         place
	branch       lineage
	moved        bool
	last, before txnName
	told         outbox.Resume
	dirty        bool
	heard        bool  // a heartbeat came since the last settle
	created      int64 // time of the file that is being read, in seconds
	at           filePos

	// The transaction that is open, if any.
	in    bool
	group group
	rows  uint64 // its outbox rows so far

	// open is the transaction that an earlier run cut; nil when it is done
	// with. skip is how many of its rows are still to be passed over.
	open *outbox.Open
	skip uint64

	// batch is the one being appended to, nil while the hand-over has it.
	// begun says that the open transaction has rows in it, from index first.
	batch *outbox.Batch
	begun bool
	first int
	// between is what was done since the last transaction in the batch.
	between place
	any     bool // between holds something
	marks   []mark

	text [128]byte
}

// group is one transaction in the log, from its GTID on.
type group struct {
	name       txnName
	at         int64 // commit time, microseconds since 1970
	standalone bool  // one statement, which no COMMIT follows
	began      bool  // a BEGIN was seen, or is implied
	xa         bool  // it began with XA START
	prepared   bool  // it ends with XA PREPARE: the GTID says so
}

// mark is a savepoint: how many outbox rows there were.
type mark struct {
	name string
	rows uint64
}

func newFeed(ctx context.Context, s *Source, r outbox.Resume, h *outbox.Handoff) (*feed, error) {
	p, err := parsePlace(s.id.mode, r.Position.Text)
	if err != nil {
		return nil, err
	}
	l, err := parseLineage(r.Lineage)
	if err != nil {
		return nil, err
	}
	if l.server != s.id.server {
		// After a failover: what was read last keeps its name and time.
		l.server = s.id.server
	}
	f := &feed{
		ctx: ctx, kind: s.id.kind, mode: s.id.mode, mariadb: s.id.kind == outbox.MariaDB,
		tables: s.cfg.Tables, facts: slices.Clone(s.tables), collations: s.collations, fits: s.fits, h: h, limits: h.Limits(), until: s.until,
		maps: make([]tableMap, len(s.cfg.Tables)), done: p, branch: l, dirty: true, at: p.file,
		reach: s.ways, sight: s.sight(),
	}
	f.between.mode = f.mode
	if r.Open != nil {
		if _, err := parseTxnName(f.mode, r.Open.Txn); err != nil {
			return nil, err
		}
		f.open = &outbox.Open{Txn: r.Open.Txn, Rows: r.Open.Rows}
		f.skip = r.Open.Rows
	}
	return f, nil
}

// event takes one event. outbox.ErrEnd says that the position to stop at is
// reached.
func (f *feed) event(h header, body []byte, inside bool) error {
	if !inside {
		if err := f.follow(h); err != nil {
			return err
		}
	}
	switch h.typ {
	case replication.TABLE_MAP_EVENT:
		return f.tableMap(body)
	case replication.WRITE_ROWS_EVENTv1:
		return f.writeRows(body, 1, false)
	case replication.WRITE_ROWS_EVENTv2:
		return f.writeRows(body, 2, false)
	case replication.MARIADB_WRITE_ROWS_COMPRESSED_EVENT_V1:
		return f.writeRows(body, 1, true)
	case replication.QUERY_EVENT:
		return f.query(body)
	case replication.MARIADB_QUERY_COMPRESSED_EVENT:
		return f.compressedQuery(body)
	case replication.XID_EVENT:
		return f.commit()
	case replication.XA_PREPARE_LOG_EVENT:
		return f.xaPrepare(body)
	case replication.TRANSACTION_PAYLOAD_EVENT:
		if inside {
			return f.malformed("payload", fmt.Errorf("it stands inside another"))
		}
		return f.payload.each(body, func(h header, body []byte) error { return f.event(h, body, true) })
	case replication.GTID_EVENT, replication.ANONYMOUS_GTID_EVENT:
		g, at, err := scanGTID(body)
		if err != nil {
			return f.malformed("GTID", err)
		}
		return f.begin(h, group{name: txnName{gtid: g}, at: at})
	case replication.GTID_TAGGED_LOG_EVENT:
		g, at, err := scanTaggedGTID(body)
		if err != nil {
			return f.malformed("tagged GTID", err)
		}
		return f.begin(h, group{name: txnName{gtid: g}, at: at})
	case replication.MARIADB_GTID_EVENT:
		g, flags, err := scanMariaDBGTID(body, h.server)
		if err != nil {
			return f.malformed("GTID", err)
		}
		standalone := flags&flagStandalone != 0
		return f.begin(h, group{
			name: txnName{domain: g}, at: int64(h.time) * 1e6,
			standalone: standalone, began: !standalone, prepared: flags&flagPreparedXA != 0,
		})
	case replication.HEARTBEAT_EVENT, replication.HEARTBEAT_LOG_EVENT_V2:
		f.heard = true
	case replication.FORMAT_DESCRIPTION_EVENT:
		f.created = int64(h.time)
		if f.mode == byFile && !f.in {
			f.branch.created, f.dirty = f.created, true
		}
	case replication.ROTATE_EVENT:
		p, err := scanRotate(body)
		if err != nil {
			return f.malformed("rotate", err)
		}
		f.at = p
		f.move()
	case replication.EXECUTE_LOAD_QUERY_EVENT:
		return f.loadStatement(body)
	case replication.INCIDENT_EVENT:
		return outbox.Refuse(ReasonBinlog, hintReset, "the server noted behind %s that its log has lost transactions (an incident event)", f.done.String())
	case replication.UPDATE_ROWS_EVENTv1, replication.DELETE_ROWS_EVENTv1, replication.UPDATE_ROWS_EVENTv2, replication.DELETE_ROWS_EVENTv2,
		replication.MARIADB_UPDATE_ROWS_COMPRESSED_EVENT_V1, replication.MARIADB_DELETE_ROWS_COMPRESSED_EVENT_V1,
		replication.PARTIAL_UPDATE_ROWS_EVENT, replication.ROWS_QUERY_EVENT, replication.MARIADB_ANNOTATE_ROWS_EVENT,
		replication.PREVIOUS_GTIDS_EVENT, replication.MARIADB_GTID_LIST_EVENT, replication.MARIADB_BINLOG_CHECKPOINT_EVENT,
		replication.MARIADB_START_ENCRYPTION_EVENT, replication.STOP_EVENT, replication.INTVAR_EVENT, replication.RAND_EVENT,
		replication.USER_VAR_EVENT, replication.BEGIN_LOAD_QUERY_EVENT, replication.APPEND_BLOCK_EVENT, replication.DELETE_FILE_EVENT,
		replication.IGNORABLE_EVENT, replication.TRANSACTION_CONTEXT_EVENT, replication.VIEW_CHANGE_EVENT:
	default:
		if h.flags&replication.LOG_EVENT_IGNORABLE_F == 0 {
			return outbox.Refuse(ReasonUnsupported, "use a version of tailer that knows this server, and report it",
				"behind %s stands an event of type %d, which tailer does not know", f.done.String(), h.typ)
		}
	}
	return nil
}

// follow keeps the place in the file. Events have 32 bits for it, so what a
// transaction of more than 4 GB wraps is added again.
func (f *feed) follow(h header) error {
	if h.end == 0 || h.flags&replication.LOG_EVENT_ARTIFICIAL_F != 0 ||
		h.typ == replication.HEARTBEAT_EVENT || h.typ == replication.HEARTBEAT_LOG_EVENT_V2 || h.typ == replication.ROTATE_EVENT {
		return nil
	}
	end := f.at.offset&^0xffffffff | uint64(h.end)
	if end < f.at.offset {
		end += 1 << 32
	}
	f.at.offset = end
	if f.mode == byFile && !f.in && h.typ != replication.GTID_EVENT && h.typ != replication.ANONYMOUS_GTID_EVENT {
		f.move()
		// At the end of a file that has just been begun there is no commit.
		if f.until != nil && f.reached(f.until) {
			return outbox.ErrEnd
		}
	}
	return nil
}

// move notes, in file mode, that the log is done with up to here.
func (f *feed) move() {
	if f.mode == byFile && !f.in && f.done.file != f.at {
		if f.done.file.file != f.at.file {
			f.branch.created = 0 // the file's own description follows
		}
		f.done.file, f.dirty = f.at, true
	}
}

func (f *feed) begin(h header, g group) error {
	if f.in {
		return f.malformed("GTID", fmt.Errorf("a transaction begins inside %s", f.group.name.text(f.mode)))
	}
	if f.mode == byFile {
		// Not the event's end less its size: checksums are taken off what is
		// sent, and not off the file.
		g.name.file = f.done.file
	}
	if g.at == 0 {
		g.at = int64(h.time) * 1e6
	}
	f.in, f.group, f.rows, f.begun, f.marks = true, g, 0, false, f.marks[:0]
	return nil
}

// tableMap takes the description of a table, which precedes its rows in every
// statement.
func (f *feed) tableMap(body []byte) error {
	id, schema, name, err := scanTableName(body)
	if err != nil {
		return f.malformed("table map", err)
	}
	for i := range f.maps {
		m := &f.maps[i]
		if string(schema) != f.facts[i].schema || string(name) != f.facts[i].name {
			if m.id == id {
				m.id = 0 // the number is another table's now
			}
			continue
		}
		m.id = id
		if m.stale || !bytes.Equal(m.body, body[6:]) {
			if err := f.describe(i, body); err != nil {
				return err
			}
			f.maps[i].id = id
		}
	}
	return nil
}

// describe takes a description that differs from the last one, or comes behind
// DDL. What was asked of information_schema is asked again when it may be of
// before: the table was changed meanwhile.
func (f *feed) describe(i int, body []byte) error {
	m := &f.maps[i]
	if m.body != nil || m.stale {
		if err := f.look(i); err != nil {
			return err
		}
	}
	d, err := describe(f.tables[i], i, &f.facts[i], body, f.collations, f.mariadb)
	if err != nil {
		return f.malformed("table map", err)
	}
	if m.shape != nil && sameShape(m.shape, d.shape) {
		d.shape = m.shape // its users compare pointers
	} else if err := f.fits(d.shape); err != nil {
		return misfit(err)
	}
	d.body = bytes.Clone(body[6:])
	*m = *d
	return nil
}

func sameShape(a, b *outbox.Shape) bool {
	for i := range a.Columns {
		if a.Columns[i] != b.Columns[i] {
			return false
		}
	}
	return a.Table == b.Table
}

// writeRows takes inserted rows; those of other tables cost a comparison.
func (f *feed) writeRows(body []byte, version int, compressed bool) error {
	id, err := scanTableID(body)
	if err != nil {
		return f.malformed("rows", err)
	}
	var m *tableMap
	for i := range f.maps {
		if f.maps[i].id == id && f.maps[i].shape != nil {
			m = &f.maps[i]
		}
	}
	if m == nil {
		return nil
	}
	e, err := scanRows(body, version)
	if err != nil {
		return f.malformed("rows", err)
	}
	if e.columns != len(m.columns) {
		return f.malformed("rows", fmt.Errorf("%d columns, the table map has %d", e.columns, len(m.columns)))
	}
	if compressed {
		if e.rows, err = inflate(e.rows, maxEvent); err != nil {
			return f.malformed("compressed rows", err)
		}
	}
	if err := f.complete(m, e.present); err != nil {
		return err
	}
	m.taken = true
	for rows := e.rows; len(rows) > 0; {
		n, err := f.insert(m, e.present, rows)
		if err != nil {
			return err
		}
		if n <= 0 {
			return f.malformed("rows", fmt.Errorf("a row has no length"))
		}
		rows = rows[n:]
	}
	return nil
}

// complete refuses rows that come without a wanted column.
func (f *feed) complete(m *tableMap, present []byte) error {
	for i := range m.columns {
		if w := m.columns[i].want; w >= 0 && !isBitSet(present, i) {
			return outbox.Refuse(ReasonImage, imageHint+"; `tailer checkpoint set --now` steps over what was written before",
				"rows of table %s come without column %q: they were written with binlog_row_image other than FULL", f.tables[m.shape.Table], m.shape.Columns[w].Name)
		}
	}
	return nil
}

// insert adds one row, or passes it over when an earlier run has done it. It
// returns the row's length.
func (f *feed) insert(m *tableMap, present, row []byte) (int, error) {
	if !f.in {
		return 0, f.malformed("rows", fmt.Errorf("they stand outside a transaction"))
	}
	if f.group.prepared {
		return 0, f.preparedXA()
	}
	if f.open != nil && f.rows == 0 && f.group.name.text(f.mode) != f.open.Txn {
		return 0, f.openGone()
	}
	if f.skip > 0 {
		n, err := m.rowSize(present, row)
		if err != nil {
			return 0, f.malformed("row", err)
		}
		f.skip--
		f.rows++
		return n, nil
	}
	if f.batch != nil && f.begun && f.batch.Full(f.limits) {
		if err := f.cut(); err != nil {
			return 0, err
		}
	}
	if f.batch == nil {
		if err := f.acquire(); err != nil {
			return 0, err
		}
	}
	if !f.begun {
		f.first = len(f.batch.Rows)
		f.batch.Begin(f.group.name.append(f.mode, f.text[:0]), microTime(f.group.at), f.rows)
		f.begun = true
	}
	n, err := m.addRow(f.batch, present, row, &f.scratch)
	if err != nil {
		return 0, f.malformed("row", err)
	}
	f.rows++
	return n, nil
}

// acquire takes a batch to append to. An empty one begins at what is done by
// now, unless a transaction goes on in it.
func (f *feed) acquire() error {
	b, err := f.h.Acquire(f.ctx)
	if err != nil {
		return err
	}
	if len(b.Txns) == 0 {
		if f.rows == 0 {
			b.Start = f.resume()
		}
		f.forget()
	}
	b.After = f.after
	f.batch = b
	return nil
}

func (f *feed) after(b *outbox.Batch, n int) outbox.Resume { return after(f.kind, f.mode, b, n) }

// forget empties between.
func (f *feed) forget() {
	if f.any {
		f.between.set.clear()
		f.between.domain = f.between.domain[:0]
		f.any = false
	}
}

// cut hands over a full batch in the middle of a transaction.
func (f *feed) cut() error {
	if f.group.xa {
		// Whether it ends in one phase is not known before its end.
		return f.preparedXA()
	}
	r := f.resume()
	r.Open = &outbox.Open{Txn: f.group.name.text(f.mode), Rows: f.rows}
	f.begun = false
	f.push(r)
	f.forget()
	return nil
}

func (f *feed) push(r outbox.Resume) {
	f.batch.Resume = r
	f.h.Push(f.batch)
	f.batch = nil
}

// commit ends the open transaction.
func (f *feed) commit() error {
	if !f.in {
		return f.malformed("commit", fmt.Errorf("no transaction is open"))
	}
	f.in = false
	g := &f.group
	if f.open != nil && g.name.text(f.mode) == f.open.Txn {
		if f.skip > 0 {
			return outbox.Refuse(ReasonOpen, hintReset,
				"transaction %s, of which the checkpoint holds the first %d outbox rows, ends after %d now", f.open.Txn, f.open.Rows, f.rows)
		}
		f.open = nil
	}
	f.rows = 0
	f.dirty = true
	if f.mode == byFile {
		f.done.file, f.branch.created = f.at, f.created
	} else {
		f.advance(g)
	}
	switch {
	case f.begun:
		f.begun = false
		f.batch.End(f.step())
		f.forget()
		if f.batch.Full(f.limits) {
			f.push(f.resume())
		}
	case f.mode == byGTID:
		f.between.set.add(g.name.gtid)
		f.any = true
	case f.mode == byDomain:
		f.between.domain.set(g.name.domain)
		f.any = true
	}
	if f.until != nil && f.reached(f.until) {
		return outbox.ErrEnd
	}
	return nil
}

// advance adds a transaction to what is done with, as place.done does, without
// making texts.
func (f *feed) advance(g *group) {
	f.moved, f.last, f.branch.at = true, g.name, g.at
	if f.mode == byGTID {
		f.done.set.add(g.name.gtid)
		return
	}
	f.before.domain, _ = f.done.domain.last(g.name.domain.domain)
	f.done.domain.set(g.name.domain)
}

// step is the text of the step over the transaction that has just ended.
func (f *feed) step() []byte {
	switch {
	case f.mode == byFile:
		return appendStep(f.text[:0], &f.done, f.created)
	case f.any:
		return appendStep(f.text[:0], &f.between, f.group.at)
	}
	return appendStep(f.text[:0], nil, f.group.at)
}

// rollback ends the open transaction without its rows. A group that ends so
// is in the log only when a statement in it could not be taken back (a table of
// an engine without transactions, a temporary table): everything else that is
// rolled back never gets there.
func (f *feed) rollback() error {
	if f.in && f.rows > 0 {
		if !f.begun || f.batch.Txns[len(f.batch.Txns)-1].Before > 0 || f.open != nil {
			return f.rolledBack()
		}
		f.batch.Truncate(f.first)
	}
	f.begun, f.rows = false, 0
	return f.commit()
}

func (f *feed) rolledBack() error {
	return outbox.Refuse(ReasonRollback, "rows of it were published; compensate for them, then `tailer checkpoint set --now` goes on behind the end of the log",
		"transaction %s was too large for one batch, its first rows were published, and it was rolled back", f.group.name.text(f.mode))
}

func (f *feed) preparedXA() error {
	return outbox.Refuse(ReasonXA, "write to the outbox in a transaction of its own kind: XA COMMIT ... ONE PHASE, small enough for one batch, or a plain COMMIT; "+
		"`tailer checkpoint set` with a position that holds this transaction steps over it, and its rows are then not published",
		"transaction %s is an XA transaction that is only prepared: its rows are in the log although it may still be rolled back", f.group.name.text(f.mode))
}

func (f *feed) xaPrepare(body []byte) error {
	onePhase, err := scanXAPrepare(body)
	if err != nil {
		return f.malformed("XA prepare", err)
	}
	if !onePhase && f.rows > 0 {
		return f.preparedXA()
	}
	return f.commit()
}

func (f *feed) openGone() error {
	return outbox.Refuse(ReasonOpen, hintReset,
		"transaction %s, of which the checkpoint holds the first %d outbox rows, does not come again before %s: its other rows are lost",
		f.open.Txn, f.open.Rows, f.group.name.text(f.mode))
}

// settle is called before reading waits for the server: what ends on a commit
// is left for the publisher, and progress without rows is told.
func (f *feed) settle() {
	switch {
	case f.batch != nil && f.begun && f.batch.Overfull(f.limits) && !f.group.xa:
		_ = f.cut() // which fails for XA only
	case f.batch != nil && !f.begun:
		f.batch.Resume = f.resume()
		f.h.Rest(f.batch)
		f.batch = nil
	case f.batch == nil && f.rows == 0 && (f.dirty || f.heard):
		f.heard = false
		f.h.Advance(f.resume(), false)
	}
	// An error is the end of the stream, which the read that follows meets too.
	_ = f.h.Room(f.ctx)
}

// end hands the last position over, as a batch of its own if need be.
func (f *feed) end() error {
	if f.batch == nil {
		if err := f.acquire(); err != nil {
			return err
		}
	}
	f.push(f.resume())
	return outbox.ErrEnd
}

// abandon leaves the whole transactions of a batch to the publisher although
// the one behind them cannot be read.
func (f *feed) abandon() {
	if f.batch == nil {
		return
	}
	if f.begun {
		if f.batch.Txns[len(f.batch.Txns)-1].Before > 0 {
			return
		}
		f.batch.Truncate(f.first)
		f.begun = false
	}
	f.batch.Resume = f.resume()
	f.h.Rest(f.batch)
	f.batch = nil
}

// resume is what a checkpoint has to say at the end of what is done with. A
// transaction that an earlier run cut and that was not met yet stays open.
func (f *feed) resume() outbox.Resume {
	if f.dirty {
		if f.moved {
			f.branch.last, f.branch.before = f.last.text(f.mode), ""
			if f.before.domain != (domainGTID{}) {
				f.branch.before = f.before.domain.String()
			}
		}
		f.told = outbox.Resume{
			Position: outbox.Position{Kind: f.kind, Text: f.done.String()},
			Lineage:  f.branch.String(),
		}
		f.dirty = false
	}
	r := f.told
	if f.open != nil {
		open := *f.open
		r.Open = &open
	}
	return r
}

// reached: is everything up to u done with?
func (f *feed) reached(u *place) bool { return u.behind(&f.done) == 0 }

// malformed makes an error of an event that cannot be; it names the place.
// Refusals pass.
func (f *feed) malformed(what string, err error) error {
	if r, ok := err.(*outbox.Refusal); ok {
		return r
	}
	if f.in {
		return fmt.Errorf("decode %s in transaction %s: %w", what, f.group.name.text(f.mode), err)
	}
	return fmt.Errorf("decode %s behind %s: %w", what, f.done.String(), err)
}

// rowSize is the length of a row.
func (m *tableMap) rowSize(present, row []byte) (int, error) {
	given := 0
	for i := range m.columns {
		if isBitSet(present, i) {
			given++
		}
	}
	at, n := (given+7)/8, -1
	if len(row) < at {
		return 0, errShort
	}
	bitmap := row[:at]
	for i := range m.columns {
		if !isBitSet(present, i) {
			continue
		}
		if n++; isBitSet(bitmap, n) {
			continue
		}
		size, err := m.columns[i].valueSize(row[at:])
		if err != nil {
			return 0, err
		}
		if size > len(row)-at {
			return 0, errShort
		}
		at += size
	}
	return at, nil
}

package mysql

import (
	"context"
	"fmt"
	"slices"
	"time"

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
	whole   bool // see Source.WholeRows
	tables  []Table
	chosen  []bool // see Source.Choose
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
	until      *place        // nil: never
	ahead      time.Duration // of our clock, the server's

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
		ctx: ctx, kind: s.id.kind, mode: s.id.mode, mariadb: s.id.kind == outbox.MariaDB, whole: s.whole,
		tables: s.cfg.Tables, chosen: s.chosen, facts: slices.Clone(s.tables), collations: s.collations, fits: s.fits, h: h, limits: h.Limits(), until: s.until,
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

package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/tailer-io/tailer/internal/outbox"
)

const (
	hintReset = "`tailer recover --where ...` begins anew with the rows of the gap, where the table still has them; `tailer checkpoint reset` accepts it: the next start is then a first start"
	hintNow   = "accept it with `tailer checkpoint set --now`: what was committed before is then not published"
)

// Prove returns nil when streaming from r is proven to neither lose nor repeat
// a row. What fails is a Refusal; a question that cannot be asked is a
// transient error. A zero r (from now on, keeping nothing) needs no proof.
//
// With GTIDs: the server has everything that the checkpoint holds; its log
// goes back to the checkpoint; and, since a server that lost the end of its
// log uses numbers again, the transaction read last is read once more and must
// have the commit time that it had. Where the log does not go back that far
// this is passed over, with a warning, on the same server only. With files: the
// server is the same one, and so is the file.
//
// Of several hosts one that is refused is passed over while there is another:
// see hosts.go.
func (s *Source) Prove(ctx context.Context, r outbox.Resume) error {
	return s.passOver(s.prove(ctx, r))
}

func (s *Source) prove(ctx context.Context, r outbox.Resume) error {
	x, err := s.control()
	if err != nil {
		return err
	}
	if r.IsZero() {
		return nil
	}
	p, err := parsePlace(s.id.mode, r.Position.Text)
	if err != nil {
		return outbox.Refuse(ReasonCheckpoint, hintNow, "the checkpoint cannot be used on this server (gtid_mode %q): %v", s.id.vars["gtid_mode"], err)
	}
	l, err := parseLineage(r.Lineage)
	if err != nil {
		return outbox.Refuse(ReasonCheckpoint, hintNow, "the checkpoint cannot be used: %v", err)
	}
	var open *txnName
	if r.Open != nil {
		n, err := parseTxnName(s.id.mode, r.Open.Txn)
		if err != nil {
			return outbox.Refuse(ReasonOpen, hintNow, "the checkpoint cannot be used: %v", err)
		}
		open = &n
	}
	switch s.id.mode {
	case byGTID:
		return s.proveGTID(ctx, x, &p, l, open)
	case byDomain:
		return s.proveDomain(ctx, x, &p, l, open)
	}
	return s.proveFile(ctx, &p, l)
}

// proveGTID is Prove for MySQL with GTIDs.
func (s *Source) proveGTID(ctx context.Context, x *session, p *place, l lineage, open *txnName) error {
	held := *p
	if open != nil {
		held.set = gtidSet{}
		held.set.union(&p.set)
		held.set.add(open.gtid)
	}
	var missing, purged *gtidSet
	err := s.settle(ctx, func() (settled bool, err error) {
		missing, purged, err = s.lacks(ctx, x, &held.set)
		return err != nil || missing.empty(), err
	})
	if err != nil {
		return err
	}
	if !missing.empty() {
		return outbox.Refuse(ReasonAhead, hintNow,
			"the server (%s) lacks transactions that the checkpoint (of server %s) holds: %s; their rows were published and are lost in the database", s.id.server, l.server, missing)
	}
	if gone := purged.minus(&p.set); !gone.empty() {
		return outbox.Refuse(ReasonPurged, hintReset,
			"the log behind the checkpoint is gone: the server has purged %s, which the checkpoint does not hold", gone)
	}
	if l.last == "" {
		return nil
	}
	last, err := parseGTID(l.last)
	if err != nil {
		return outbox.Refuse(ReasonCheckpoint, hintNow, "the checkpoint cannot be used: %v", err)
	}
	if purged.contains(last) {
		return s.acceptPurged(l)
	}
	earlier := place{mode: byGTID}
	earlier.set.union(&p.set)
	earlier.set.remove(last)
	return s.proveLast(ctx, &earlier, &txnName{gtid: last}, l)
}

// lacks is what of a set the server does not have, and what it has purged.
func (s *Source) lacks(ctx context.Context, x *session, held *gtidSet) (missing, purged *gtidSet, err error) {
	row, err := x.row(ctx, "select @@global.gtid_executed, @@global.gtid_purged")
	if err != nil {
		return nil, nil, fmt.Errorf("ask for the server's GTIDs: %w", err)
	}
	executed, err := parseGTIDSet(row[0])
	if err != nil {
		return nil, nil, fmt.Errorf("ask for the server's GTIDs: %w", err)
	}
	purged, err = parseGTIDSet(row[1])
	if err != nil {
		return nil, nil, fmt.Errorf("ask for the server's GTIDs: %w", err)
	}
	return held.minus(executed), purged, nil
}

// settleWithin is for how long a server is given the benefit of the doubt. It
// sends a transaction to the readers of its log before it counts it as
// executed: for a moment, or until a replica has acknowledged it, for which
// semi-synchronous replication waits 10 s by default. A replica that is about
// to be promoted may be applying its last transactions.
const settleWithin = 12 * time.Second

// settle asks until the server has what it should, or the time is over.
func (s *Source) settle(ctx context.Context, ask func() (settled bool, err error)) error {
	for begin := time.Now(); ; {
		settled, err := ask()
		if err != nil || settled || time.Since(begin) > s.patience {
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// acceptPurged: the log does not go back to the transaction read last, though
// it does to what follows.
func (s *Source) acceptPurged(l lineage) error {
	if l.server != s.id.server {
		return outbox.Refuse(ReasonServer, hintNow,
			"another server answers (%s, the checkpoint is of %s), and it has purged %s, which was read last: that its history is the same cannot be proven",
			s.id.server, l.server, l.last)
	}
	s.log.Warn("the server has purged the transaction that was read last; whether its history is still the same cannot be checked", "gtid", l.last)
	return nil
}

// proveDomain is Prove for MariaDB. Its positions hold the last transaction of
// each domain, and stand for all before it: that is true only where numbers
// grow, which gtid_strict_mode enforces.
func (s *Source) proveDomain(ctx context.Context, x *session, p *place, l lineage, open *txnName) error {
	if l.server != s.id.server && !strings.EqualFold(s.id.vars["gtid_strict_mode"], "ON") {
		return outbox.Refuse(ReasonStrict, "SET GLOBAL gtid_strict_mode = ON on every server, or "+hintNow,
			"another server answers (%s, the checkpoint is of %s) and its gtid_strict_mode is off: that its GTIDs stand for the same transactions cannot be proven",
			s.id.server, l.server)
	}
	held := append(domainPos(nil), p.domain...)
	if open != nil {
		held.set(open.domain)
	}
	var end place
	var missing *domainGTID
	err := s.settle(ctx, func() (settled bool, err error) {
		end, err = s.end(ctx, x)
		missing = nil
		for _, g := range held {
			if have, ok := end.domain.last(g.domain); !ok || have.seq < g.seq {
				missing = &g
			}
		}
		return missing == nil, err
	})
	if err != nil {
		return err
	}
	if missing != nil {
		return outbox.Refuse(ReasonAhead, hintNow,
			"the server (%s) ends with %s and lacks %s, which the checkpoint (of server %s) holds: rows were published that are lost in the database",
			s.id.server, end.String(), missing, l.server)
	}
	purged, err := s.purgedDomains(ctx, x)
	if err != nil {
		return err
	}
	for _, g := range purged {
		if have, _ := p.domain.last(g.domain); have.seq < g.seq {
			return outbox.Refuse(ReasonPurged, hintReset,
				"the log behind the checkpoint is gone: it begins behind %s, and the checkpoint holds domain %d up to %d only", g, g.domain, have.seq)
		}
	}
	if l.last == "" {
		return nil
	}
	last, err := parseDomainGTID(l.last)
	if err != nil {
		return outbox.Refuse(ReasonCheckpoint, hintNow, "the checkpoint cannot be used: %v", err)
	}
	earlier := place{mode: byDomain, domain: append(domainPos(nil), p.domain...)}
	if i, ok := earlier.domain.find(last.domain); ok {
		earlier.domain = append(earlier.domain[:i], earlier.domain[i+1:]...)
	}
	var before domainGTID
	if l.before != "" {
		if before, err = parseDomainGTID(l.before); err != nil {
			return outbox.Refuse(ReasonCheckpoint, hintNow, "the checkpoint cannot be used: %v", err)
		}
		earlier.domain.set(before)
	}
	if g, ok := purged.last(last.domain); ok && before.seq < g.seq {
		return s.acceptPurged(l)
	}
	return s.proveLast(ctx, &earlier, &txnName{domain: last}, l)
}

// purgedDomains is the position at which the oldest log file begins.
func (s *Source) purgedDomains(ctx context.Context, x *session) (domainPos, error) {
	rows, err := x.query(ctx, "show binary logs")
	if err != nil {
		return nil, s.privilegeError("list the log's files", err)
	}
	if len(rows) == 0 {
		return nil, outbox.Refuse(ReasonBinlog, logHint, "the server has no log files")
	}
	p, err := domainsAt(ctx, x, rows[0][0], 4)
	if err != nil {
		return nil, fmt.Errorf("ask where the log begins: %w", err)
	}
	return p, nil
}

// errFound ends a reading that has met what it looked for.
var errFound = errors.New("found")

// probeWithin is how long to look for one transaction at most.
const probeWithin = 30 * time.Second

// proveLast reads the log from one transaction earlier and compares the one
// that was read last. The server claims to have that one, so it stands before
// what is the log's end now; a log that is read up to there does not hold it,
// and no more does one in strict mode that brings a higher number of its
// domain.
func (s *Source) proveLast(ctx context.Context, from *place, last *txnName, l lineage) error {
	now, _, err := s.logStatus(ctx, s.ctl, s.id)
	if err != nil {
		return s.privilegeError("ask for the log's end", err)
	}
	end := logEnd{at: now}
	strict := strings.EqualFold(s.id.vars["gtid_strict_mode"], "ON")
	ctx, cancel := context.WithTimeoutCause(ctx, probeWithin, fmt.Errorf("read the transaction read last once more: it did not come within %s", probeWithin))
	defer cancel()
	m := from.mode
	want, server := last.text(m), s.id.server
	at, dry, quiet, instead := int64(0), false, uint32(0), ""
	d := &dump{src: s, every: time.Second}
	d.event = func(h header, body []byte) error {
		var n txnName
		var when int64
		var err error
		if dry = end.behind(h, body); dry {
			return errFound
		}
		switch h.typ {
		case replication.GTID_EVENT:
			n.gtid, when, err = scanGTID(body)
		case replication.GTID_TAGGED_LOG_EVENT:
			n.gtid, when, err = scanTaggedGTID(body)
		case replication.MARIADB_GTID_EVENT:
			n.domain, _, err = scanMariaDBGTID(body, h.server)
		case replication.HEARTBEAT_EVENT, replication.HEARTBEAT_LOG_EVENT_V2:
			// One comes after transactions that were passed over; when the
			// next one says the same place, the log has ended.
			dry = quiet == h.end
			quiet = h.end
			if dry {
				return errFound
			}
			return nil
		default:
			return nil
		}
		if err != nil {
			return fmt.Errorf("decode GTID: %w", err)
		}
		if when == 0 {
			when = int64(h.time) * 1e6
		}
		if n.text(m) != want {
			if m == byDomain && strict && n.domain.domain == last.domain.domain && n.domain.seq >= last.domain.seq {
				instead = n.text(m)
				return errFound
			}
			return nil
		}
		at = when
		return errFound
	}
	if err := d.run(ctx, from); !errors.Is(err, errFound) {
		return err
	}
	switch {
	case instead != "":
		return outbox.Refuse(ReasonHistory, hintNow,
			"the server (%s) has %s where %s was read last: it lacks that transaction, whose rows were published", server, instead, want)
	case dry:
		return outbox.Refuse(ReasonHistory, hintNow, "the server (%s) does not bring %s again, which was read last, although it claims to have it", server, want)
	case at != l.at:
		return outbox.Refuse(ReasonHistory, hintNow,
			"transaction %s was committed at %s on this server (%s) and at %s when it was read: the server lost the end of its log and uses numbers again; rows were published that are lost in the database, and new ones bear the same GTIDs",
			want, microTime(at).UTC().Format(timeText), server, microTime(l.at).UTC().Format(timeText))
	}
	return nil
}

// logEnd watches a reading for the place that was once the log's end.
type logEnd struct {
	at   filePos
	file string // that is being read
}

// behind tells whether an event stands behind the log's former end.
func (e *logEnd) behind(h header, body []byte) bool {
	if h.typ == replication.ROTATE_EVENT && len(body) > 8 {
		e.file = string(body[8:])
		return newerFile(e.file, e.at.file)
	}
	// Heartbeats say where the server is. One may be sent again at the end.
	return e.file == e.at.file && e.at.offset <= 1<<32-1 && uint64(h.end) > e.at.offset
}

// newerFile tells whether log file a follows b, in one row of numbered files.
func newerFile(a, b string) bool {
	i, iok := fileNumber(a)
	j, jok := fileNumber(b)
	return iok && jok && i > j
}

const timeText = "2006-01-02T15:04:05.000000Z"

// proveFile is Prove without GTIDs: a place in a file means something on one
// server only, and only while that file is the same.
func (s *Source) proveFile(ctx context.Context, p *place, l lineage) error {
	if l.server != s.id.server {
		return outbox.Refuse(ReasonServer, "switch gtid_mode on, which makes a failover provable; "+hintNow,
			"another server answers (%s, the checkpoint is of %s), and its log files are not the same", s.id.server, l.server)
	}
	if l.created == 0 {
		return nil
	}
	from, err := s.resumable(ctx, p)
	if err != nil {
		return err
	}
	if from.file.file != p.file.file {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, probeWithin, fmt.Errorf("read the log file's description: it did not come within %s", probeWithin))
	defer cancel()
	created := int64(0)
	d := &dump{src: s}
	d.event = func(h header, _ []byte) error {
		if h.typ != replication.FORMAT_DESCRIPTION_EVENT {
			return nil
		}
		created = int64(h.time)
		return errFound
	}
	if err := d.run(ctx, &from); !errors.Is(err, errFound) {
		return err
	}
	if created != l.created {
		return outbox.Refuse(ReasonHistory, hintNow,
			"log file %s was begun at %s, and the one that the checkpoint speaks of at %s: the server's log was reset", p.file.file,
			time.Unix(created, 0).UTC().Format(time.RFC3339), time.Unix(l.created, 0).UTC().Format(time.RFC3339))
	}
	return nil
}

// resumable is where the server can be told to begin. Its command has 32 bits
// for the offset; a place behind that is the end of a transaction that filled
// its file, and the next file follows it.
func (s *Source) resumable(ctx context.Context, p *place) (place, error) {
	if p.mode != byFile || p.file.offset <= 1<<32-1 {
		return *p, nil
	}
	rows, err := s.ctl.query(ctx, "show binary logs")
	if err != nil {
		return *p, s.privilegeError("list the log's files", err)
	}
	n, _ := fileNumber(p.file.file)
	for _, r := range rows {
		if i, ok := fileNumber(r[0]); ok && i == n+1 {
			return place{mode: byFile, file: filePos{r[0], 4}}, nil
		}
	}
	return *p, outbox.Refuse(ReasonPurged, hintNow, "the checkpoint at %s lies behind 4 GB, and no log file follows", p.file)
}

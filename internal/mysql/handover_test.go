package mysql

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tailer-io/tailer/internal/outbox"
)

// logged is an event as SHOW BINLOG EVENTS has it.
type logged struct {
	at   uint64
	kind string
}

// eventsOf lists the events of a transaction as another reader counts
// them: from BEGIN on, in MariaDB from its GTID on; with its annotations.
func (w *world) eventsOf(file, name string) []logged {
	w.Helper()
	r, err := w.admin.Execute("show binlog events in '" + file + "'")
	if err != nil {
		w.Fatal(err)
	}
	var out []logged
	begun := false
	for i := range r.RowNumber() {
		pos, _ := r.GetUint(i, 1)
		kind, _ := r.GetString(i, 2)
		info, _ := r.GetString(i, 5)
		switch {
		case !begun:
			if begun = strings.HasSuffix(strings.TrimRight(info, "'"), " "+name) || strings.HasSuffix(info, "'"+name+"'"); !begun || !w.mariadb() {
				continue
			}
		case strings.HasPrefix(kind, "Gtid") || strings.HasPrefix(kind, "Anonymous"):
			return out
		}
		out = append(out, logged{pos, kind})
		if kind == "Xid" || kind == "Transaction_payload" {
			return out
		}
	}
	w.Fatalf("transaction %s does not stand in %s", name, file)
	return nil
}

// written is one transaction: what its events with rows insert into the outbox.
func (w *world) written() []int {
	w.exec("begin", insert(1, 2, 3), "insert into other values (1, 'x'), (2, 'y')", insert(4), "update outbox set payload = 'changed' where id = 1",
		insert(5, 6), "delete from outbox where id = 5", "commit")
	return []int{3, 0, 1, 0, 2, 0}
}

// Every place inside a transaction that another reader can name leads to the
// very row that follows it.
func TestResumeInside(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox().exec("create table other (id int primary key, v text) engine=innodb")
		s := w.source()
		start := w.here(s)
		w.resumesInside(s, start, w.written(), nil)
	})
}

func TestResumeInsideCompressed(t *testing.T) {
	w := newWorld(t, "STACK_MYSQL_URL")
	w.outbox().exec("create table other (id int primary key, v text) engine=innodb")
	s := w.source()
	start := w.here(s)
	w.written()
	plain := w.begins(s, start)
	kinds := w.eventsOf(plain.file, plain.name)
	w.exec("truncate table outbox", "truncate table other", "set binlog_transaction_compression = ON")
	start = w.here(s)
	w.resumesInside(s, start, w.written(), kinds)
}

func TestResumeInsideFileMode(t *testing.T) {
	t.Parallel()
	w := private(t, "STACK_MYSQL_URL", 1, "--gtid-mode=OFF", "--enforce-gtid-consistency=OFF")
	w.app()
	w.exec("create table other (id int primary key, v text)")
	s := w.source()
	w.exec(insert(100))
	start := w.here(s)
	inserted := w.written()
	place, _ := parseFilePos(start.Position.Text)
	events := w.eventsAt(place)
	w.everyPlace(s, Left{File: place.file, Offset: events[0].at}, start, place.String(), events, inserted)

	// A place between transactions, one between a GTID and its BEGIN, and the
	// beginning of a file.
	for _, c := range []struct {
		at   uint64
		want filePos
	}{{place.offset, place}, {events[0].at, place}, {4, filePos{place.file, 4}}} {
		r, err := s.Resume(w.ctx(), Left{File: place.file, Offset: c.at})
		if err != nil || r.Open != nil || r.Position.Text != c.want.String() {
			t.Errorf("at %d: %+v, %v, want %s", c.at, r, err, c.want)
		}
	}
	_, err := s.Resume(w.ctx(), Left{File: place.file, Offset: events[0].at + 1})
	w.refused(err, ReasonAhead)
}

// eventsAt is eventsOf in file mode.
func (w *world) eventsAt(at filePos) []logged {
	w.Helper()
	r, err := w.admin.Execute("show binlog events in '" + at.file + "' from " + strconv.FormatUint(at.offset, 10))
	if err != nil {
		w.Fatal(err)
	}
	var out []logged
	for i := range r.RowNumber() {
		pos, _ := r.GetUint(i, 1)
		kind, _ := r.GetString(i, 2)
		if i > 0 {
			out = append(out, logged{pos, kind})
		}
	}
	return out
}

type beginning struct {
	name, file string
	before     outbox.Resume
}

// begins says where the transaction with row 1 begins.
func (w *world) begins(s *Source, start outbox.Resume) beginning {
	w.Helper()
	for _, b := range w.drain(s, start) {
		for i, r := range b.rows {
			if r == row(1) {
				files, err := w.admin.Execute("show binary logs")
				if err != nil {
					w.Fatal(err)
				}
				file, _ := files.GetString(files.RowNumber()-1, 0)
				return beginning{b.txns[i], file, b.before[i]}
			}
		}
	}
	w.Fatal("row 1 does not come")
	return beginning{}
}

// resumesInside tries every place of the transaction with row 1; kinds are its
// events where the server does not show them.
func (w *world) resumesInside(s *Source, start outbox.Resume, inserted []int, kinds []logged) {
	w.Helper()
	at := w.begins(s, start)
	events := w.eventsOf(at.file, at.name)
	left := Left{File: at.file, Offset: events[0].at, GTIDs: at.before.Position.Text}
	if kinds != nil {
		events = kinds
	}
	if !w.mariadb() {
		w.everyPlace(s, left, at.before, at.name, events, inserted)
		return
	}
	if !slices.ContainsFunc(events, func(e logged) bool { return e.kind == "Annotate_rows" }) {
		w.Fatalf("no annotations: %v", events)
	}
	left.Events, left.Rows = 2, 1
	_, err := s.Resume(w.ctx(), left)
	w.refused(err, ReasonOpen)
	left.Rows = 0
	yes, no := true, false
	left.Annotated = &yes
	w.everyPlace(s, left, at.before, at.name, events, inserted)
	left.Annotated = &no
	events = slices.DeleteFunc(events, func(e logged) bool { return e.kind == "Annotate_rows" })
	w.everyPlace(s, left, at.before, at.name, events, inserted)
}

// everyPlace compares what Resume says of each place with what the statements
// inserted.
func (w *world) everyPlace(s *Source, left Left, before outbox.Resume, name string, events []logged, inserted []int) {
	w.Helper()
	total, nth := 0, 0
	expect := func(done int) {
		w.Helper()
		r, err := s.Resume(w.ctx(), left)
		if err != nil {
			w.Fatalf("event %d, row %d: %v", left.Events, left.Rows, err)
		}
		if r.Position != before.Position || (r.Open == nil) != (done == 0) || r.Open != nil && *r.Open != (outbox.Open{Txn: name, Rows: uint64(done)}) {
			w.Errorf("event %d, row %d: %+v, want %d rows of %s", left.Events, left.Rows, r, done, name)
		}
	}
	for i, e := range events[:len(events)-1] { // the last one is the commit
		rows := strings.Contains(strings.ToLower(e.kind), "_rows") && !strings.HasPrefix(e.kind, "Annotate")
		here := 0
		if rows {
			here = inserted[nth]
			nth++
		}
		left.Events = uint64(i)
		if i > 0 {
			for r := 1; r <= here; r++ {
				left.Rows = uint64(r)
				expect(total + r)
			}
			if here > 0 {
				left.Rows = uint64(here + 1)
				_, err := s.Resume(w.ctx(), left)
				w.refused(err, ReasonOpen)
			}
			if !rows {
				left.Rows = 1
				_, err := s.Resume(w.ctx(), left)
				w.refused(err, ReasonOpen)
			}
			left.Rows = 0
			expect(total + here) // the whole event
		}
		total += here
	}
	if nth != len(inserted) || total != 6 {
		w.Fatalf("%d events with rows, %d rows: %v", nth, total, events)
	}
	left.Events = uint64(len(events))
	_, err := s.Resume(w.ctx(), left)
	w.refused(err, ReasonOpen)
	left.Events, left.File = 2, "binlog.999999"
	if before.Position.Text != name { // in file mode that file is not there
		_, err = s.Resume(w.ctx(), left)
		w.refused(err, ReasonOpen)
	}
}

// What another reader with GTIDs cannot mean.
func TestResumeRefuses(t *testing.T) {
	onServers(t, func(w *world) {
		s := w.outbox().source()
		start := w.here(s)
		_, err := s.Resume(w.ctx(), Left{File: "binlog.000001", Offset: 4})
		w.refused(err, ReasonCheckpoint)
		if _, err = s.Resume(w.ctx(), Left{File: "binlog.000001", Offset: 4, GTIDs: "no set"}); err == nil || !strings.Contains(err.Error(), "no set") {
			t.Errorf("got %v", err)
		}
		r, err := s.Resume(w.ctx(), Left{File: "binlog.000001", Offset: 4, GTIDs: start.Position.Text})
		if err != nil || fmt.Sprint(r) != fmt.Sprint(start) {
			t.Errorf("%+v, %v, want %+v", r, err, start)
		}
		if !w.mariadb() {
			return
		}
		several := Left{File: "binlog.000001", Offset: 4, GTIDs: "5-1-10,5-2-11"}
		s.id.vars["gtid_strict_mode"] = "ON"
		if r, err = s.Resume(w.ctx(), several); err != nil || r.Position.Text != "5-2-11" {
			t.Errorf("%+v, %v", r, err)
		}
		s.id.vars["gtid_strict_mode"] = "OFF"
		_, err = s.Resume(w.ctx(), several)
		w.refused(err, ReasonStrict)
	})
}

package mysql

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// none is the text of a position before the first transaction. An empty text
// would mean that there is no position.
const none = "none"

// gtid names one MySQL transaction: source UUID, tag (since 8.3; usually
// empty), number. See
// https://dev.mysql.com/doc/refman/8.4/en/replication-gtids-concepts.html.
type gtid struct {
	sid [16]byte
	tag string
	gno uint64
}

func (g gtid) append(dst []byte) []byte {
	dst = appendSID(dst, g.sid)
	if g.tag != "" {
		dst = append(dst, ':')
		dst = append(dst, g.tag...)
	}
	dst = append(dst, ':')
	return strconv.AppendUint(dst, g.gno, 10)
}

func (g gtid) String() string { return string(g.append(nil)) }

// interval is a run of numbers, both ends included.
type interval struct{ first, last uint64 }

// gtidRun is what a set holds of one source and tag: intervals in order, with
// gaps between them.
type gtidRun struct {
	sid       [16]byte
	tag       string
	intervals []interval
}

func (r *gtidRun) compare(sid [16]byte, tag string) int {
	if c := bytes.Compare(r.sid[:], sid[:]); c != 0 {
		return c
	}
	return strings.Compare(r.tag, tag)
}

// gtidSet is a set of MySQL transactions. The zero value is empty. Adding the
// transaction that follows the one added last, which is what a log brings,
// costs a comparison and no allocation.
type gtidSet struct {
	runs []gtidRun // sorted by UUID, then tag; none is empty
	last int       // the run used last
}

// find returns where the run of a source is, or would be.
func (s *gtidSet) find(sid [16]byte, tag string) (int, bool) {
	if s.last < len(s.runs) && s.runs[s.last].sid == sid && s.runs[s.last].tag == tag {
		return s.last, true
	}
	i, ok := slices.BinarySearchFunc(s.runs, gtid{sid: sid, tag: tag}, func(r gtidRun, g gtid) int { return r.compare(g.sid, g.tag) })
	if ok {
		s.last = i
	}
	return i, ok
}

func (s *gtidSet) add(g gtid) { s.addRun(g.sid, g.tag, interval{g.gno, g.gno}) }

func (s *gtidSet) addRun(sid [16]byte, tag string, v interval) {
	i, ok := s.find(sid, tag)
	if !ok {
		s.runs = slices.Insert(s.runs, i, gtidRun{sid: sid, tag: tag, intervals: []interval{v}})
		s.last = i
		return
	}
	r := &s.runs[i]
	if n := len(r.intervals) - 1; r.intervals[n].last+1 == v.first {
		r.intervals[n].last = v.last
		return
	}
	r.intervals = insertInterval(r.intervals, v)
}

// insertInterval adds v and joins what touches.
func insertInterval(list []interval, v interval) []interval {
	at, _ := slices.BinarySearchFunc(list, v.first, func(i interval, n uint64) int {
		if i.last+1 < n {
			return -1
		}
		return 1
	})
	end := at
	for end < len(list) && list[end].first <= v.last+1 {
		v.first, v.last = min(v.first, list[end].first), max(v.last, list[end].last)
		end++
	}
	return slices.Replace(list, at, end, v)
}

// remove takes one transaction out; one that is not in the set is no error.
func (s *gtidSet) remove(g gtid) {
	i, ok := s.find(g.sid, g.tag)
	if !ok {
		return
	}
	r := &s.runs[i]
	for k, v := range r.intervals {
		if g.gno < v.first || g.gno > v.last {
			continue
		}
		var rest []interval
		if v.first < g.gno {
			rest = append(rest, interval{v.first, g.gno - 1})
		}
		if g.gno < v.last {
			rest = append(rest, interval{g.gno + 1, v.last})
		}
		r.intervals = slices.Replace(r.intervals, k, k+1, rest...)
		break
	}
	if len(r.intervals) == 0 {
		s.runs = slices.Delete(s.runs, i, i+1)
		s.last = 0
	}
}

func (s *gtidSet) contains(g gtid) bool {
	i, ok := s.find(g.sid, g.tag)
	return ok && slices.ContainsFunc(s.runs[i].intervals, func(v interval) bool { return v.first <= g.gno && g.gno <= v.last })
}

// minus is what is in s and not in o.
func (s *gtidSet) minus(o *gtidSet) *gtidSet {
	out := new(gtidSet)
	for _, r := range s.runs {
		var other []interval
		if i, ok := o.find(r.sid, r.tag); ok {
			other = o.runs[i].intervals
		}
		if left := minusIntervals(r.intervals, other); len(left) > 0 {
			out.runs = append(out.runs, gtidRun{sid: r.sid, tag: r.tag, intervals: left})
		}
	}
	return out
}

// minusIntervals is what is in a and not in b.
func minusIntervals(a, b []interval) []interval {
	var out []interval
	for _, v := range a {
		for _, w := range b {
			if w.last < v.first {
				continue
			}
			if w.first > v.last {
				break
			}
			if v.first < w.first {
				out = append(out, interval{v.first, w.first - 1})
			}
			v.first = w.last + 1
			if v.first > v.last {
				break
			}
		}
		if v.first <= v.last {
			out = append(out, v)
		}
	}
	return out
}

// union adds all of o.
func (s *gtidSet) union(o *gtidSet) {
	for _, r := range o.runs {
		for _, v := range r.intervals {
			s.addRun(r.sid, r.tag, v)
		}
	}
}

// count is the number of transactions.
func (s *gtidSet) count() uint64 {
	var n uint64
	for _, r := range s.runs {
		for _, v := range r.intervals {
			n += v.last - v.first + 1
		}
	}
	return n
}

func (s *gtidSet) empty() bool { return len(s.runs) == 0 }

// clear empties the set and keeps its memory.
func (s *gtidSet) clear() { s.runs, s.last = s.runs[:0], 0 }

// append writes the set as the server does: sorted by UUID, tags of one UUID
// behind it, intervals in order. The empty set is "none".
func (s *gtidSet) append(dst []byte) []byte {
	if len(s.runs) == 0 {
		return append(dst, none...)
	}
	for i, r := range s.runs {
		if i == 0 || s.runs[i-1].sid != r.sid {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendSID(dst, r.sid)
		}
		if r.tag != "" {
			dst = append(dst, ':')
			dst = append(dst, r.tag...)
		}
		for _, v := range r.intervals {
			dst = append(dst, ':')
			dst = strconv.AppendUint(dst, v.first, 10)
			if v.last > v.first {
				dst = append(dst, '-')
				dst = strconv.AppendUint(dst, v.last, 10)
			}
		}
	}
	return dst
}

func (s *gtidSet) String() string { return string(s.append(nil)) }

// parseGTIDSet reads a set as the server writes it, with or without white
// space, in any order; "none" and "" are the empty set.
func parseGTIDSet(text string) (*gtidSet, error) {
	s := new(gtidSet)
	if text == none || strings.TrimSpace(text) == "" {
		return s, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		fields := strings.Split(strings.TrimSpace(part), ":")
		sid, err := parseSID(strings.TrimSpace(fields[0]))
		if err != nil {
			return nil, fmt.Errorf("parse GTID set: %w", err)
		}
		tag, pending := "", true // an interval has to follow
		for _, f := range fields[1:] {
			f = strings.TrimSpace(f)
			if validTag(f) {
				if tag != "" && pending {
					return nil, fmt.Errorf("parse GTID set: tag %q has no interval", tag)
				}
				tag, pending = strings.ToLower(f), true
				continue
			}
			v, err := parseInterval(f)
			if err != nil {
				return nil, fmt.Errorf("parse GTID set: %w", err)
			}
			s.addRun(sid, tag, v)
			pending = false
		}
		if pending {
			return nil, fmt.Errorf("parse GTID set: %q has no interval at its end", part)
		}
	}
	return s, nil
}

// parseGTID reads one transaction's name.
func parseGTID(text string) (gtid, error) {
	s, err := parseGTIDSet(text)
	if err != nil {
		return gtid{}, err
	}
	if s.count() != 1 {
		return gtid{}, fmt.Errorf("parse GTID %q: it does not name one transaction", text)
	}
	r := s.runs[0]
	return gtid{r.sid, r.tag, r.intervals[0].first}, nil
}

// maxGNO is the greatest number of a transaction: 2^63-2, see
// https://dev.mysql.com/doc/refman/8.4/en/replication-gtids-concepts.html.
const maxGNO = 1<<63 - 2

func parseInterval(text string) (interval, error) {
	first, last, ranged := strings.Cut(text, "-")
	a, err := strconv.ParseUint(first, 10, 64)
	b := a
	if err == nil && ranged {
		b, err = strconv.ParseUint(last, 10, 64)
	}
	if err != nil || a < 1 || b < a || b > maxGNO {
		return interval{}, fmt.Errorf("%q is no interval of transaction numbers", text)
	}
	return interval{a, b}, nil
}

// validTag: a letter or underscore, then letters, digits, underscores; 32 at
// most.
func validTag(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

func parseSID(s string) ([16]byte, error) {
	var sid [16]byte
	plain := s
	if len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' {
		plain = s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	}
	if len(plain) != 32 {
		return sid, fmt.Errorf("%q is no UUID", s)
	}
	if _, err := hex.Decode(sid[:], []byte(plain)); err != nil {
		return sid, fmt.Errorf("%q is no UUID", s)
	}
	return sid, nil
}

// appendSID writes 16 bytes as a UUID.
func appendSID(dst []byte, sid [16]byte) []byte {
	for i, n := 0, 0; i < 5; i++ {
		if i > 0 {
			dst = append(dst, '-')
		}
		length := [5]int{4, 2, 2, 2, 6}[i]
		dst = hex.AppendEncode(dst, sid[n:n+length])
		n += length
	}
	return dst
}

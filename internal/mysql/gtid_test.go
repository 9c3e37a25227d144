package mysql

import (
	"testing"

	library "github.com/go-mysql-org/go-mysql/mysql"
)

const (
	uuidA = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	uuidB = "4e11fa47-71ca-11e1-9e33-c80aa9429562"
)

func TestGTIDSet(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "none",
		"none":                                   "none",
		uuidA + ":1":                             uuidA + ":1",
		uuidA + ":1-5:7-9":                       uuidA + ":1-5:7-9",
		uuidA + ":7-9:1-5:6":                     uuidA + ":1-9",
		uuidA + ":1-3:2-8":                       uuidA + ":1-8",
		uuidB + ":1,\n" + uuidA + ":2":           uuidA + ":2," + uuidB + ":1",
		uuidA + ":tag:1-2:1-5":                   uuidA + ":tag:1-5",
		uuidA + ":1-3:Tag_1:1:5:other:2":         uuidA + ":1-3:other:2:tag_1:1:5",
		"3E11FA47-71CA-11E1-9E33-C80AA9429562:1": uuidA + ":1",
	} {
		s, err := parseGTIDSet(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := s.String(); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{uuidA, uuidA + ":", uuidA + ":0", uuidA + ":5-4", uuidA + ":tag", "x:1", uuidA + ":1,", uuidA + ":9223372036854775808"} {
		if s, err := parseGTIDSet(text); err == nil {
			t.Errorf("%q: %s, want an error", text, s)
		}
	}
}

func set(t *testing.T, text string) *gtidSet {
	t.Helper()
	s, err := parseGTIDSet(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestGTIDSetOperations(t *testing.T) {
	a := set(t, uuidA+":1-10:20-30:tag:5")
	b := set(t, uuidA+":3-5:25,"+uuidB+":1")
	if got := a.minus(b).String(); got != uuidA+":1-2:6-10:20-24:26-30:tag:5" {
		t.Errorf("minus: %s", got)
	}
	if got := b.minus(a).String(); got != uuidB+":1" {
		t.Errorf("minus: %s", got)
	}
	if got := a.count(); got != 22 {
		t.Errorf("count %d, want 22", got)
	}
	g, err := parseGTID(uuidA + ":25")
	if err != nil {
		t.Fatal(err)
	}
	a.remove(g)
	if a.contains(g) || a.String() != uuidA+":1-10:20-24:26-30:tag:5" {
		t.Errorf("remove: %s", a)
	}
	a.add(g)
	tagged, _ := parseGTID(uuidA + ":tag:5")
	a.remove(tagged)
	if got := a.String(); got != uuidA+":1-10:20-30" {
		t.Errorf("remove the last of a tag: %s", got)
	}
	a.union(b)
	if got := a.String(); got != uuidA+":1-10:20-30,"+uuidB+":1" {
		t.Errorf("union: %s", got)
	}
}

func TestGTIDSetAddAllocatesNothing(t *testing.T) {
	s := set(t, uuidA+":1-10,"+uuidB+":1")
	g, _ := parseGTID(uuidA + ":10")
	var text []byte
	if n := testing.AllocsPerRun(100, func() {
		g.gno++
		s.add(g)
		text = s.append(text[:0])
	}); n != 0 {
		t.Errorf("%.0f allocations a transaction, want 0", n)
	}
}

func TestDomainPos(t *testing.T) {
	p, err := parseDomainPos("10-1-5,0-2-7,0-1-9")
	if err != nil || p.String() != "0-1-9,10-1-5" {
		t.Errorf("%s, %v", p, err)
	}
	p.set(domainGTID{2, 1, 1})
	if p.String() != "0-1-9,2-1-1,10-1-5" {
		t.Errorf("%s", p)
	}
	for _, text := range []string{"0-1", "a-1-2", "0-1-2-3", "0-4294967296-1"} {
		if p, err := parseDomainPos(text); err == nil {
			t.Errorf("%q: %s, want an error", text, p)
		}
	}
}

func TestFilePos(t *testing.T) {
	less := [][2]string{{"binlog.999999:4", "binlog.1000000:4"}, {"binlog.000002:9", "binlog.000002:10"}, {"binlog.000009:5000000000", "binlog.000010:4"}}
	for _, c := range less {
		a, err1 := parseFilePos(c[0])
		b, err2 := parseFilePos(c[1])
		if err1 != nil || err2 != nil || a.compare(b) >= 0 || b.compare(a) <= 0 || a.compare(a) != 0 || a.String() != c[0] {
			t.Errorf("%s is not before %s (%v, %v)", c[0], c[1], err1, err2)
		}
	}
	for _, text := range []string{"binlog.000001", "binlog:4", "binlog.000001:3", ":4", "binlog.000001:x"} {
		if p, err := parseFilePos(text); err == nil {
			t.Errorf("%q: %s, want an error", text, p)
		}
	}
}

func TestLineage(t *testing.T) {
	for _, l := range []lineage{
		{server: uuidA}, {server: uuidA, last: uuidB + ":tag:5", at: 17}, {server: "x=", last: "0-1-5", at: 3, before: "0-2-4"}, {server: "s", created: 99},
	} {
		got, err := parseLineage(l.String())
		if err != nil || got != l {
			t.Errorf("%s: %+v, %v", l, got, err)
		}
	}
	if _, err := parseLineage("s;at=x"); err == nil {
		t.Error("a malformed time is no error")
	}
}

func FuzzGTIDSet(f *testing.F) {
	for _, s := range []string{uuidA + ":1-5:7,tag:3", uuidA + ":1:tag:2-9," + uuidB + ":4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseGTIDSet(text)
		if err != nil {
			return
		}
		again, err := parseGTIDSet(s.String())
		if err != nil || again.String() != s.String() {
			t.Fatalf("%q: %s, then %v", text, s, err)
		}
		if s.empty() {
			return
		}
		if !s.minus(again).empty() {
			t.Fatalf("%s is not within itself", s)
		}
		theirs, err := library.ParseMysqlGTIDSet(s.String())
		if err != nil || theirs.String() != s.String() {
			t.Fatalf("the library reads %s as %v, %v", s, theirs, err)
		}
	})
}

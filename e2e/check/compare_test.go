package check

import (
	"fmt"
	"strings"
	"testing"
)

// A judge that cannot condemn is worthless: each test below feeds one kind of damage and demands that exactly
// that class reports it.

const topic = "outbox.event.order"

var partitions = map[string]int32{topic: 3}

func wants(n int) []Want {
	var w []Want
	for i := range n {
		key := fmt.Sprintf("agg-%d", i%4)
		w = append(w, Want{ID: fmt.Sprintf("id-%03d", i), Topic: topic, Key: key, Value: []byte(fmt.Sprint("v", i)),
			Seq: int64(i/4 + 1)})
	}
	return w
}

// published is what a correct relay makes of the list.
func published(w []Want) []Record {
	next := map[int32]int64{}
	var out []Record
	for _, m := range w {
		p := Partition([]byte(m.Key), 3)
		out = append(out, Record{Topic: m.Topic, Partition: p, Offset: next[p], Key: []byte(m.Key), Value: m.Value,
			Headers: []Header{{"id", []byte(m.ID)}}})
		next[p]++
	}
	return out
}

// counts is the report as class=number for every class that found something.
func counts(r *Report) string {
	var s []string
	for _, c := range r.classes() {
		if len(c.found) > 0 {
			s = append(s, fmt.Sprintf("%s=%d", c.name, len(c.found)))
		}
	}
	return strings.Join(s, " ")
}

func TestCompareReportsEachKindOfDamage(t *testing.T) {
	w := wants(40)
	cases := []struct {
		name   string
		damage func(r []Record) []Record
		once   string // findings with ExactlyOnce
		least  string // findings with AtLeastOnce
	}{
		{"nothing wrong", func(r []Record) []Record { return r }, "", ""},
		{"lost", func(r []Record) []Record { return append(r[:7:7], r[8:]...) }, "lost=1", "lost=1"},
		{"all lost", func([]Record) []Record { return nil }, "lost=40", "lost=40"},
		{"doubled", func(r []Record) []Record {
			c := r[5]
			c.Offset = 1000
			return append(r, c)
		}, "doubled=1", ""},
		{"a whole stretch again", func(r []Record) []Record {
			for _, c := range r[8:20] {
				c.Offset += 1000
				r = append(r, c)
			}
			return r
		}, "doubled=12", ""},
		{"swapped", func(r []Record) []Record {
			r[4].Offset, r[8].Offset = r[8].Offset, r[4].Offset
			return r
		}, "disordered=1", "disordered=1"},
		{"foreign id", func(r []Record) []Record {
			return append(r, Record{Topic: topic, Offset: 1000, Key: []byte("agg-1"), Headers: []Header{{"id", []byte("x")}}})
		}, "foreign=1", "foreign=1"},
		{"no id", func(r []Record) []Record {
			r[3].Headers = nil
			return r
		}, "lost=1 foreign=1", "lost=1 foreign=1"},
		{"in the topic of another aggregate", func(r []Record) []Record {
			r[3].Topic = "outbox.event.customer"
			return r
		}, "lost=1 foreign=1", "lost=1 foreign=1"},
		{"wrong value", func(r []Record) []Record {
			r[3].Value = []byte("v3 ")
			return r
		}, "wrong=1", "wrong=1"},
		{"null for empty", func(r []Record) []Record {
			r[3].Value = nil
			return r
		}, "wrong=1", "wrong=1"},
		{"wrong key", func(r []Record) []Record {
			r[3].Key = []byte("agg-3 ")
			r[3].Partition = Partition(r[3].Key, 3)
			return r
		}, "wrong=1", "wrong=1"},
		{"one header too many", func(r []Record) []Record {
			r[3].Headers = append(r[3].Headers, Header{"type", nil})
			return r
		}, "wrong=1", "wrong=1"},
		{"wrong partition", func(r []Record) []Record {
			r[39].Partition = (r[39].Partition + 1) % 3
			r[39].Offset = 1000
			return r
		}, "misplaced=1", "misplaced=1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for mode, expected := range map[Mode]string{ExactlyOnce: c.once, AtLeastOnce: c.least} {
				report := Compare(w, c.damage(published(w)), partitions, mode)
				if found := counts(report); found != expected {
					t.Errorf("mode %d: found %q, wanted %q\n%s", mode, found, expected, report)
				}
				if report.Clean() != (expected == "") {
					t.Errorf("mode %d: Clean() is %t for %q", mode, report.Clean(), expected)
				}
			}
		})
	}
}

func TestCompareJudgesByOffsetNotByArrival(t *testing.T) {
	w := wants(40)
	r := published(w)
	for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
		r[i], r[j] = r[j], r[i]
	}
	if report := Compare(w, r, partitions, ExactlyOnce); !report.Clean() {
		t.Fatal(report)
	}
}

func TestCompareRefusesAListWithDoubles(t *testing.T) {
	w := append(wants(8), wants(1)...)
	if found := counts(Compare(w, published(w[:8]), partitions, ExactlyOnce)); found != "wrong=1" {
		t.Fatal(found)
	}
}

func TestCompareWithoutOrder(t *testing.T) {
	w := wants(40)
	for i := range w {
		w[i].Seq = 0
	}
	r := published(w)
	r[4].Offset, r[8].Offset = r[8].Offset, r[4].Offset
	if report := Compare(w, r, partitions, ExactlyOnce); !report.Clean() {
		t.Fatal(report)
	}
}

// Vectors of Kafka's own UtilsTest.testMurmur2.
func TestMurmur2(t *testing.T) {
	for key, hash := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string":                       -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		if got := int32(murmur2([]byte(key))); got != hash {
			t.Errorf("%q: %d, wanted %d", key, got, hash)
		}
	}
}

func TestReportNamesExamples(t *testing.T) {
	w := wants(20)
	s := Compare(w, nil, partitions, ExactlyOnce).String()
	if !strings.Contains(s, "lost 20") || !strings.Contains(s, "id-000") || !strings.Contains(s, "and 15 more") {
		t.Fatal(s)
	}
}

func TestSamplerJudgesALead(t *testing.T) {
	s := &Sampler{compare: func(a, b string) (int, error) { return strings.Compare(a, b), nil }}
	s.judge("0/5", "") // no record yet
	s.judge("0/5", "0/5")
	s.judge("0/4", "0/5")
	s.judge("0/6", "0/5")
	if s.samples != 3 || len(s.led) != 1 {
		t.Fatalf("%d samples, led %v", s.samples, s.led)
	}
}

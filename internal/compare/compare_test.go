package compare

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/tailer-io/tailer/internal/outbox"
)

// log is a topic in memory.
type log []*outbox.Record

// rec makes a record of "id key value [header=value ...]" at the end of a
// partition; "-" is no id, "null" is null.
func (l *log) add(partition int32, text string) *outbox.Record {
	f := strings.Fields(text)
	null := func(s string) []byte {
		if s == "null" {
			return nil
		}
		return []byte(s)
	}
	r := &outbox.Record{Partition: partition, Key: null(f[1]), Value: null(f[2])}
	for _, o := range *l {
		if o.Partition == partition {
			r.Offset = o.Offset + 1
		}
	}
	if f[0] != "-" {
		r.Headers = append(r.Headers, outbox.Header{Key: []byte("id"), Value: []byte(f[0])})
	}
	for _, h := range f[3:] {
		name, value, _ := strings.Cut(h, "=")
		r.Headers = append(r.Headers, outbox.Header{Key: []byte(name), Value: null(value)})
	}
	*l = append(*l, r)
	return r
}

func logOf(texts ...string) log {
	var l log
	for _, t := range texts {
		l.add(0, t)
	}
	return l
}

func (l log) at(p Place) *outbox.Record {
	for _, r := range l {
		if r.Partition == p.Partition && r.Offset == p.Offset {
			return r
		}
	}
	return nil
}

func run(t *testing.T, a, b log, opt Options) *Result {
	t.Helper()
	if opt.IDHeader == "" {
		opt.IDHeader = "id"
	}
	if opt.Limit == 0 {
		opt.Limit = 10
	}
	c := New(opt)
	// The bytes belong to the caller: what is kept must not point to them.
	give := func(l log, f func(*outbox.Record)) {
		for _, r := range l {
			lent := *r
			lent.Key, lent.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
			f(&lent)
			clear(lent.Key)
			clear(lent.Value)
		}
	}
	give(a, c.AddA)
	give(b, c.AddB)
	r := c.Finish()
	r.A.Topic, r.B.Topic, r.A.Partitions, r.B.Partitions = "orders", "shadow.orders", 1, 1
	err := r.Explain(func(n Name, p Place) (*outbox.Record, error) {
		if n == A {
			return a.at(p), nil
		}
		return b.at(p), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// counts is "missing 1, both 2", without zeros.
func counts(r *Result) string {
	list := []string{fmt.Sprintf("both %d", r.Both)}
	for k := range kinds {
		if n := r.Count(k); n > 0 {
			list = append(list, fmt.Sprintf("%s %d", k, n))
		}
	}
	return strings.Join(list, ", ")
}

func TestKinds(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b log
		opt  Options
		want string
	}{
		{"nothing", nil, nil, Options{}, "both 0"},
		{"equal", logOf("1 k a", "2 k b"), logOf("1 k a", "2 k b"), Options{}, "both 2"},
		{"missing", logOf("1 k a", "2 k b"), logOf("1 k a"), Options{}, "both 1, missing in B 1"},
		{"extra", logOf("1 k a"), logOf("1 k a", "2 k b"), Options{}, "both 1, extra in B 1"},
		{"extra, twice", logOf("1 k a"), logOf("2 k b", "2 k b", "1 k a"), Options{}, "both 1, extra in B 2"},
		{"more copies in A", logOf("1 k a", "1 k a", "1 k a"), logOf("1 k a"), Options{}, "both 1, duplicate in A 2"},
		{"more copies in B", logOf("1 k a"), logOf("1 k a", "1 k a", "1 k a"), Options{}, "both 1, duplicate in B 2"},
		{"as many copies", logOf("1 k a", "1 k a"), logOf("1 k a", "1 k a"), Options{}, "both 2"},
		{"all copies missing", logOf("1 k a", "1 k a"), logOf("2 k a"), Options{}, "both 0, missing in B 2, extra in B 1"},
		{"key", logOf("1 k a"), logOf("1 m a"), Options{}, "both 1, key differs 1"},
		{"null key", logOf("1 null a"), logOf("1 m a"), Options{}, "both 1, key differs 1"},
		{"value", logOf("1 k a"), logOf("1 k b"), Options{}, "both 1, value differs 1"},
		{"tombstone", logOf("1 k null"), logOf("1 k b"), Options{}, "both 1, value differs 1"},
		{"headers: value", logOf("1 k a x=1"), logOf("1 k a x=2"), Options{}, "both 1, headers differ 1"},
		{"headers: null", logOf("1 k a x=null"), logOf("1 k a x="), Options{}, "both 1, headers differ 1"},
		{"headers: order", logOf("1 k a x=1 y=2"), logOf("1 k a y=2 x=1"), Options{}, "both 1, headers differ 1"},
		{"headers: border", logOf("1 k a x=1y=2"), logOf("1 k a x=1 y=2"), Options{}, "both 1, headers differ 1"},
		{"headers: more", logOf("1 k a"), logOf("1 k a x=1"), Options{}, "both 1, headers differ 1"},
		{"headers ignored", logOf("1 k a t=5"), logOf("1 k a u=6"), Options{IgnoreHeaders: []string{"t", "u"}}, "both 1"},
		{"id header ignored", logOf("1 k a"), logOf("1 k a"), Options{IgnoreHeaders: []string{"id"}}, "both 1"},
		{"another id header", logOf("- k a event=1"), logOf("- k b event=1"), Options{IDHeader: "event"}, "both 1, value differs 1"},
		{"all at once", logOf("1 k a"), logOf("1 m b x=1"), Options{}, "both 1, key differs 1, value differs 1, headers differ 1"},
		{"no id", logOf("- k a", "- k b"), logOf("- k b", "- k a"), Options{}, "both 2, reordered in B 1"},
		{"no id, value", logOf("- k a"), logOf("- k b"), Options{}, "both 0, missing in B 1, extra in B 1"},
		{"no id, border", logOf("- k ab"), logOf("- ka b"), Options{}, "both 0, missing in B 1, extra in B 1"},
		{"no id, null", logOf("- k null"), logOf("- k -"), Options{}, "both 0, missing in B 1, extra in B 1"},
		{"id on one side", logOf("1 k a"), logOf("- k a"), Options{}, "both 0, missing in B 1, extra in B 1"},
		{"reordered", logOf("1 k a", "2 k b", "3 k c"), logOf("2 k b", "3 k c", "1 k a"), Options{}, "both 3, reordered in B 1"},
		{"reordered, one early", logOf("1 k a", "2 k b", "3 k c"), logOf("3 k c", "1 k a", "2 k b"), Options{}, "both 3, reordered in B 2"},
		{"other keys", logOf("1 k a", "2 l b"), logOf("2 l b", "1 k a"), Options{}, "both 2"},
		{"null keys", logOf("1 null a", "2 null b"), logOf("2 null b", "1 null a"), Options{}, "both 2"},
		{"replay in A", logOf("1 k a", "2 k b", "1 k a", "2 k b"), logOf("1 k a", "2 k b"), Options{}, "both 2, duplicate in A 2"},
		{"replays elsewhere", logOf("1 k a", "2 k b", "1 k a"), logOf("1 k a", "1 k a", "2 k b"), Options{}, "both 3"},
	} {
		if got := counts(run(t, c.a, c.b, c.opt)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// An id is never taken for a key and a value, whatever bytes it has.
func TestIDIsNoRecord(t *testing.T) {
	a, b := logOf("- k v"), logOf("x k v")
	b[0].Headers[0].Value = []byte("\x02\x00\x00\x00\x00\x00\x00\x00kv") // what is hashed of a
	if got := counts(run(t, a, b, Options{})); got != "both 0, missing in B 1, extra in B 1" {
		t.Error(got)
	}
}

func TestPartitions(t *testing.T) {
	var a, b log
	a.add(0, "1 k a")
	a.add(0, "2 k b")
	a.add(1, "3 l c")
	b.add(0, "3 l c")
	b.add(1, "2 k b")
	b.add(2, "1 k a")
	if got := counts(run(t, a, b, Options{})); got != "both 3, partition differs 3" {
		t.Error(got) // and no order: it holds in a partition only
	}
	if got := counts(run(t, a, b, Options{IgnorePartition: true})); got != "both 3" {
		t.Error(got)
	}
}

func TestTimes(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	timed := func(texts ...string) (l log) {
		for _, text := range texts {
			minute, rest, _ := strings.Cut(text, " ")
			d, err := time.ParseDuration(minute + "m")
			if err != nil {
				t.Fatal(err)
			}
			l.add(0, rest).Time = noon.Add(d)
		}
		return l
	}
	a := timed("-9 1 k a", "-1 2 k b", "0 3 k c", "5 4 k d", "9 5 k e", "11 6 k f", "12 6 k f", "13 7 k g")
	b := timed("-9 0 k a", "-2 2 k x", "-1 3 k c", "5 4 k d", "10 5 k e", "11 8 k h", "11 8 k h")
	r := run(t, a, b, Options{Since: noon, Until: noon.Add(10 * time.Minute)})
	// 3 and 5 have counterparts outside; 2 differs where nobody asked.
	if got := counts(r); got != "both 3" || r.A.Outside != 5 || r.B.Outside != 4 {
		t.Errorf("%s, outside %d and %d", got, r.A.Outside, r.B.Outside)
	}
	r = run(t, a, b, Options{Since: noon.Add(-5 * time.Minute)})
	if got := counts(r); got != "both 4, missing in B 3, extra in B 2, value differs 1" || r.A.Outside != 1 || r.B.Outside != 1 ||
		r.A.Duplicates != 1 || r.B.Duplicates != 1 {
		t.Errorf("%s, outside %d and %d", got, r.A.Outside, r.B.Outside)
	}
}

// naive counts the same with maps of whole records.
func naive(a, b log, opt Options) [kinds]int64 {
	var n [kinds]int64
	name := func(r *outbox.Record) string {
		if id := idOf(r, opt.IDHeader); id != nil {
			return "id " + string(id)
		}
		return fmt.Sprintf("record %q %t %q", r.Key, r.Value == nil, r.Value)
	}
	type pair struct{ a, b *outbox.Record }
	var pairs []pair
	copies := func(l log) map[string]log {
		m := make(map[string]log)
		for _, r := range l {
			m[name(r)] = append(m[name(r)], r)
		}
		return m
	}
	inA, inB := copies(a), copies(b)
	for k, list := range inA {
		other := inB[k]
		for i := range list {
			switch {
			case i < len(other):
				if i == 0 {
					pairs = append(pairs, pair{list[0], other[0]})
				}
				n[Value] += btoi(!bytes.Equal(list[i].Value, other[i].Value) || (list[i].Value == nil) != (other[i].Value == nil))
				n[Key] += btoi(!bytes.Equal(list[i].Key, other[i].Key))
				n[Headers] += btoi(fmt.Sprint(list[i].Headers) != fmt.Sprint(other[i].Headers))
				n[Partition] += btoi(list[i].Partition != other[i].Partition)
			case len(other) == 0:
				n[Missing]++
			default:
				n[DuplicateA]++
			}
		}
	}
	for k, list := range inB {
		if len(inA[k]) == 0 {
			n[Extra] += int64(len(list))
		} else {
			n[DuplicateB] += int64(max(0, len(list)-len(inA[k])))
		}
	}
	for _, p := range pairs {
		for _, q := range pairs {
			same := bytes.Equal(p.a.Key, p.b.Key) && bytes.Equal(p.a.Key, q.a.Key) && bytes.Equal(q.a.Key, q.b.Key) &&
				p.a.Partition == q.a.Partition && p.b.Partition == q.b.Partition
			if same && q.a.Offset > p.a.Offset && q.b.Offset < p.b.Offset {
				n[Reordered]++
				break
			}
		}
	}
	return n
}

func btoi(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// The table and the streaming find what whole records in maps find.
func TestAgainstMaps(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		ids, size := 1+rng.IntN(40), rng.IntN(60)
		topic := func() (l log) {
			for p := range int32(1 + rng.IntN(3)) {
				for range size {
					id := fmt.Sprint(rng.IntN(ids))
					if rng.IntN(8) == 0 {
						id = "-"
					}
					r := l.add(p, fmt.Sprintf("%s k%d v%d h=%d", id, rng.IntN(3), rng.IntN(2), rng.IntN(2)))
					if rng.IntN(9) == 0 {
						r.Value = nil
					}
				}
			}
			return l
		}
		a, b := topic(), topic()
		r := run(t, a, b, Options{})
		if want := naive(a, b, r.opt); r.counts != want {
			t.Fatalf("seed %d: got %v, want %v", seed, r.counts, want)
		}
		c := r.counts
		if r.A.Records != r.Both+c[Missing]+c[DuplicateA] || r.B.Records != r.Both+c[Extra]+c[DuplicateB] {
			t.Fatalf("seed %d: the sums are wrong: %+v", seed, r)
		}
		if self := run(t, a, a, Options{}); !self.Equal() {
			t.Fatalf("seed %d: it differs from itself: %s", seed, counts(self))
		}
	}
}

// One id with very many copies must not be walked through for each of them.
func TestManyCopies(t *testing.T) {
	const n = 150_000
	c := New(Options{IDHeader: "id"})
	r := logOf("1 k a")[0]
	begin := time.Now()
	for i := range int64(n) {
		r.Offset = i
		c.AddA(r)
	}
	for i := range int64(n) {
		r.Offset = i
		c.AddB(r)
	}
	res := c.Finish()
	if res.Both != n || !res.Equal() || res.A.Duplicates != n-1 || res.B.Duplicates != n-1 {
		t.Errorf("%s", counts(res))
	}
	// Going through the ring would be 10^10 steps.
	if d := time.Since(begin); d > 20*time.Second {
		t.Errorf("took %s", d)
	}
}

// What the package comment says of the cost.
func TestCost(t *testing.T) {
	if n := unsafe.Sizeof(entry{}); n != 56 {
		t.Errorf("an entry has %d bytes", n)
	}
	const n = 1 << 15
	c := New(Options{IDHeader: "id"})
	r := logOf("1 k a")[0]
	each := func(f func(*outbox.Record)) float64 {
		return testing.AllocsPerRun(1, func() {
			for i := range int64(n) {
				r.Headers[0].Value = strconv.AppendInt(r.Headers[0].Value[:0], i, 10)
				r.Offset = i
				f(r)
			}
		}) / n
	}
	if a, b := each(c.AddA), each(c.AddB); a > 0.01 || b > 0.01 {
		t.Errorf("%.2f allocations a record of A, %.2f of B", a, b)
	}
}

func TestText(t *testing.T) {
	a := logOf("1 k a", "2 k {\"price\":10,\"currency\":\"EUR\",\"name\":\"long-enough-to-be-cut\"}", "3 k c type=x", "4 k d", "5 m e", "5 m e", "6 m f a=1", "7 m null")
	b := logOf("2 k {\"price\":10,\"currency\":\"USD\",\"name\":\"long-enough-to-be-cut\"}", "1 k a", "3 k c type=y", "5 m e", "6 m f b=1", "7 m \x00", "8 m \xff", `9 m {"a":1}`)
	r := run(t, a, b, Options{})
	r.Notes = []string{"B was still written"}
	var out bytes.Buffer
	if err := r.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	want := `A  orders         8 records in 1 partition
B  shadow.orders  8 records in 1 partition

in both                       6
missing in B                  1
extra in B                    2
duplicate in A                1
duplicate in B                0
reordered in B                1
key differs                   0
value differs                 2
headers differ                2
partition differs             0

note: B was still written

missing in B: id "4", key "k", A partition 0 offset 3
  value "d"

extra in B: id "8", key "m", B partition 0 offset 6
  value "\xff"

extra in B: id "9", key "m", B partition 0 offset 7
  value ` + "`{\"a\":1}`" + `

duplicate in A: id "5", key "m", A partition 0 offset 5

reordered in B: id "1", key "k", A partition 0 offset 0, B partition 0 offset 1
  behind id "2" of the same key at B partition 0 offset 0, which A has later: partition 0 offset 1

value differs: id "2", key "k", A partition 0 offset 1, B partition 0 offset 0
  value, first at byte 24
  A  60 bytes
     00000010  72 65 6e 63 79 22 3a 22 45 55 52 22 2c 22 6e 61  |rency":"EUR","na|
     00000020  6d 65 22 3a 22 6c 6f 6e 67 2d 65 6e 6f 75 67 68  |me":"long-enough|
  B  60 bytes
     00000010  72 65 6e 63 79 22 3a 22 55 53 44 22 2c 22 6e 61  |rency":"USD","na|
     00000020  6d 65 22 3a 22 6c 6f 6e 67 2d 65 6e 6f 75 67 68  |me":"long-enough|

value differs: id "7", key "m", A partition 0 offset 7, B partition 0 offset 5
  value, first at byte 0
  A  null
  B  1 bytes
     00000000  00                                               |.|

headers differ: id "3", key "k", A partition 0 offset 2, B partition 0 offset 2
  header 2 ("type"), first at byte 0
  A  1 bytes
     00000000  78                                               |x|
  B  1 bytes
     00000000  79                                               |y|

headers differ: id "6", key "m", A partition 0 offset 6, B partition 0 offset 4
  header 2 is a="1" in A and b="1" in B

different
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestJSON(t *testing.T) {
	a, b := logOf("1 k a", "2 k b", "\xff k c"), logOf("1 k a", "2 k bc")
	var out bytes.Buffer
	if err := run(t, a, b, Options{}).WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	err := json.Unmarshal([]byte(`{"equal": false, "in_both": 2, "notes": [],
  "a": {"topic": "orders", "partitions": 1, "records": 3, "without_id": 0, "duplicates": 0, "outside": 0},
  "b": {"topic": "shadow.orders", "partitions": 1, "records": 2, "without_id": 0, "duplicates": 0, "outside": 0},
  "differences": {"missing_in_b": 1, "extra_in_b": 0, "duplicate_in_a": 0, "duplicate_in_b": 0, "reordered": 0,
    "key_differs": 0, "value_differs": 1, "headers_differ": 0, "partition_differs": 0},
  "examples": [
    {"kind": "missing_in_b", "id": {"base64": "/w=="}, "key": "k", "a": {"partition": 0, "offset": 2}},
    {"kind": "value_differs", "id": "2", "key": "k", "a": {"partition": 0, "offset": 1}, "b": {"partition": 0, "offset": 1}, "what": "value",
     "first_difference": {"offset": 1, "a": {"length": 1, "from": 0, "hex": "62", "text": "b"}, "b": {"length": 2, "from": 0, "hex": "6263", "text": "bc"}}}]}`), &want)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got\n%v\nwant\n%v", got, want)
	}
}

func TestLimitAndLost(t *testing.T) {
	var a log
	for i := range 30 {
		a.add(0, fmt.Sprintf("%d k v", i))
	}
	if r := run(t, a, nil, Options{Limit: 3}); len(r.Examples) != 3 || r.Count(Missing) != 30 || r.Examples[0].A.Offset != 0 {
		t.Errorf("%+v", r)
	}
	c := New(Options{IDHeader: "id", Limit: 1})
	c.AddA(a[0])
	r := c.Finish()
	if err := r.Explain(func(Name, Place) (*outbox.Record, error) { return nil, nil }); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := r.WriteText(&out); err != nil || !strings.Contains(out.String(), "missing in B: A partition 0 offset 0\n  A has removed it meanwhile\n") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestNotes(t *testing.T) {
	a, b := logOf("1 k a", "1 k a", "- k a"), logOf("1 k a", "1 k a")
	r := run(t, a, b, Options{})
	r.B.Partitions = 6
	got := strings.Join(r.notes(), "\n")
	want := `without header "id", and matched by key and value: 1 record of A, 0 of B
with the id of an earlier one: 1 record of A, 1 of B; copies that both sides have are no difference
the topics have different numbers of partitions, which spreads keys differently; --ignore-partition allows that`
	if got != want {
		t.Errorf("got\n%s", got)
	}
}

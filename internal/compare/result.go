package compare

// Kind is a kind of difference.
type Kind int

// The kinds, in the order in which they are shown.
const (
	Missing    Kind = iota // in A and not in B
	Extra                  // in B and not in A
	DuplicateA             // a copy that A has more than B
	DuplicateB             // a copy that B has more than A
	Reordered              // behind a record of its key that it is before in A
	Key
	Value
	Headers
	Partition
	kinds
)

var kindNames = [kinds]struct{ text, json string }{
	{"missing in B", "missing_in_b"},
	{"extra in B", "extra_in_b"},
	{"duplicate in A", "duplicate_in_a"},
	{"duplicate in B", "duplicate_in_b"},
	{"reordered in B", "reordered"},
	{"key differs", "key_differs"},
	{"value differs", "value_differs"},
	{"headers differ", "headers_differ"},
	{"partition differs", "partition_differs"},
}

// String is the kind for people.
func (k Kind) String() string { return kindNames[k].text }

// MarshalText is the kind for machines.
func (k Kind) MarshalText() ([]byte, error) { return []byte(kindNames[k].json), nil }

// Place is where a record stands in its topic.
type Place struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
}

// Side is what was read of one topic.
type Side struct {
	Topic      string `json:"topic"`
	Partitions int    `json:"partitions"`
	// Records is how many were read.
	Records int64 `json:"records"`
	// WithoutID is how many of them have no header that matches them.
	WithoutID int64 `json:"without_id"`
	// Duplicates is how many have an id that one before them has, whether the
	// other side has as many or not.
	Duplicates int64 `json:"duplicates"`
	// Outside is how many do not count, because they are not of the time that
	// is compared.
	Outside int64 `json:"outside"`
}

// Example is one difference.
type Example struct {
	Kind Kind
	// A and B are where the record stands; nil where it does not.
	A, B *Place
	// AheadA and AheadB are where the record stands that came before a
	// reordered one in B and behind it in A; else nil.
	AheadA, AheadB *Place

	// detail is what Explain found.
	detail detail
}

// Result is what a comparison found. Records of A are those in Both, those that
// are Missing or DuplicateA, and those Outside; of B likewise.
type Result struct {
	A, B Side
	// Both is how many records have a counterpart.
	Both int64
	// Notes are what the reader of the result has to know besides, one sentence
	// each.
	Notes []string
	// Examples are the first few of each kind.
	Examples []Example

	counts [kinds]int64
	opt    Options
}

// Count is how many differences of a kind there are.
func (r *Result) Count(k Kind) int64 { return r.counts[k] }

// Equal reports whether there is no difference.
func (r *Result) Equal() bool { return r.counts == [kinds]int64{} }

func (r *Result) add(k Kind, e Example) {
	r.counts[k]++
	if r.counts[k] > int64(r.opt.Limit) {
		return
	}
	e.Kind = k
	r.Examples = append(r.Examples, e)
}

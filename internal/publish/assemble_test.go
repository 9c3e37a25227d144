package publish

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tailer-io/tailer/internal/outbox"
)

func testTopic(name string, parts int) *topic {
	t := &topic{name: name, limits: defaultLimits()}
	for i := range parts {
		t.parts = append(t.parts, &part{topic: t, index: int32(i), leader: int32(i % 2)})
	}
	return t
}

// The size of a record is what another implementation encodes it to.
func TestRecordSizeIsExact(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	some := func(n int) []byte {
		switch rnd.IntN(4) {
		case 0:
			return nil
		case 1:
			return []byte{}
		}
		return make([]byte, rnd.IntN(n))
	}
	for range 2000 {
		msg := &outbox.Message{Key: some(200), Value: some(40_000)}
		for range rnd.IntN(4) {
			msg.Headers = append(msg.Headers, outbox.Header{Key: make([]byte, rnd.IntN(80)), Value: some(300)})
		}
		delta, n := rnd.Int64N(1<<rnd.IntN(40)+1)-1<<10, rnd.Int64N(100_000)
		want := kmsg.Record{TimestampDelta64: delta, OffsetDelta: int32(n), Key: msg.Key, Value: msg.Value}
		for _, h := range msg.Headers {
			want.Headers = append(want.Headers, kmsg.Header{Key: string(h.Key), Value: h.Value})
		}
		body := len(want.AppendTo(nil)) - 1 // its length, zero, takes one byte
		if got, want := recordSize(msg, delta, n), body+varintSize(int64(body)); got != want {
			t.Fatalf("size %d, want %d for delta %d, number %d, %+v", got, want, delta, n, msg)
		}
	}
}

func TestVarintSize(t *testing.T) {
	for _, v := range []int64{0, -1, 63, 64, -64, -65, 8191, 8192, 1 << 40, math.MaxInt64, math.MinInt64} {
		if got, want := varintSize(v), len(binaryVarint(v)); got != want {
			t.Errorf("varintSize(%d) = %d, want %d", v, got, want)
		}
	}
}

func TestAssembleSplits(t *testing.T) {
	top := testTopic("t", 4)
	top.limits.maxBytes = 10_000
	m := load("t", 1000, 300)
	var a assembler
	seen := make(map[int32]int)
	flush := func() {
		for a.busy > 0 {
			s := a.shipments[0]
			sum := 0
			for _, b := range s.batches {
				a.seal(b, producer{id: 7, epoch: 3}, true)
				if b.size > 10_000 {
					t.Errorf("batch of %d bytes", b.size)
				}
				if got := int32(seen[b.part.index]); b.wire.FirstSequence != got {
					t.Errorf("partition %d: first sequence %d, want %d", b.part.index, b.wire.FirstSequence, got)
				}
				size := batchOverhead
				for i, r := range b.wire.Records {
					if r.OffsetDelta != int64(i) {
						t.Errorf("offset delta %d of record %d", r.OffsetDelta, i)
					}
					size += recordSize(&outbox.Message{Key: r.Key, Value: r.Value, Headers: []outbox.Header{{Key: r.Headers[0].Key, Value: r.Headers[0].Value}}},
						r.TimestampDelta.Milliseconds(), r.OffsetDelta)
				}
				if size != b.size {
					t.Errorf("size %d, counted %d", b.size, size)
				}
				seen[b.part.index] += len(b.wire.Records)
				sum += b.size
			}
			if sum != s.bytes {
				t.Errorf("shipment of %d bytes, counted %d", s.bytes, sum)
			}
			a.release(s)
		}
	}
	for i := range m.List {
		msg := &m.List[i]
		p := top.parts[partitionOf(msg.Key, 4)]
		if !a.add(p, msg, int64(1000+i)) {
			flush()
			if !a.add(p, msg, int64(1000+i)) {
				t.Fatal("no room in an empty shipment")
			}
		}
	}
	flush()
	if total := seen[0] + seen[1] + seen[2] + seen[3]; total != 1000 {
		t.Errorf("%d records", total)
	}
}

func TestAssembleTimes(t *testing.T) {
	top := testTopic("t", 1)
	var a assembler
	for _, ms := range []int64{5000, 4000, 9000} { // a column's time may go back
		if !a.add(top.parts[0], &outbox.Message{Value: []byte("v")}, ms) {
			t.Fatal("no room")
		}
	}
	b := top.parts[0].open
	a.seal(b, producer{}, false)
	if b.wire.FirstTimestamp.UnixMilli() != 5000 || b.wire.MaxTimestamp.UnixMilli() != 9000 || b.wire.Records[1].TimestampDelta != -time.Second {
		t.Errorf("first %v, max %v, delta %v", b.wire.FirstTimestamp, b.wire.MaxTimestamp, b.wire.Records[1].TimestampDelta)
	}
}

// A released record does not hold on to the bytes of a source's batch.
func TestReleaseForgets(t *testing.T) {
	top := testTopic("t", 1)
	var a assembler
	a.add(top.parts[0], &load("t", 1, 10).List[0], 0)
	s := a.shipments[0]
	r := s.batches[0].wire.Records[0]
	a.release(s)
	if r.Key != nil || r.Value != nil || r.Headers[0].Value != nil {
		t.Errorf("still holds %v", r)
	}
	if top.parts[0].open != nil || a.busy != 0 {
		t.Error("not released")
	}
}

func TestSequenceWraps(t *testing.T) {
	for _, c := range []struct{ s, n, want int32 }{
		{0, 1, 1}, {math.MaxInt32, 1, 0}, {math.MaxInt32 - 1, 1, math.MaxInt32}, {math.MaxInt32 - 2, 10, 7},
	} {
		if got := nextSequence(c.s, c.n); got != c.want {
			t.Errorf("%d + %d = %d, want %d", c.s, c.n, got, c.want)
		}
	}
}

func TestAssembleAllocatesNothing(t *testing.T) {
	top := testTopic("t", 12)
	m := load("t", 1000, 300)
	var a assembler
	run := func() {
		for i := range m.List {
			if !a.add(top.parts[partitionOf(m.List[i].Key, 12)], &m.List[i], 1000) {
				t.Fatal("no room")
			}
		}
		for a.busy > 0 {
			for _, b := range a.shipments[0].batches {
				a.seal(b, producer{}, true)
			}
			a.release(a.shipments[0])
		}
	}
	for range 20 { // batches change partitions until all have grown enough
		run()
	}
	if n := testing.AllocsPerRun(20, run); n > 0 {
		t.Errorf("%v allocations for 1000 messages", n)
	}
}

func TestLegalTopic(t *testing.T) {
	for name, want := range map[string]bool{
		"outbox.event.order": true, "a": true, "A_b-c.9": true, "...": true,
		"": false, ".": false, "..": false, "a b": false, "a/b": false, "ä": false,
		string(bytes.Repeat([]byte("a"), 249)): true, string(bytes.Repeat([]byte("a"), 250)): false,
	} {
		if _, ok := legalTopic(name); ok != want {
			t.Errorf("legalTopic(%q) = %v", name, ok)
		}
	}
}

func TestChoose(t *testing.T) {
	id := outbox.Header{Key: []byte("id"), Value: []byte("4711")}
	for _, c := range []struct {
		msg  outbox.Message
		want int32
	}{
		{outbox.Message{Key: []byte("order-1")}, partitionOf([]byte("order-1"), 12)},
		{outbox.Message{Key: []byte{}}, partitionOf(nil, 12)},
		{outbox.Message{Headers: []outbox.Header{id}}, partitionOf([]byte("4711"), 12)},
		{outbox.Message{}, 0},
	} {
		if got := choose(&c.msg, 12); got != c.want {
			t.Errorf("%+v: %d, want %d", c.msg, got, c.want)
		}
	}
}

func TestErrorsNameKafkasWords(t *testing.T) {
	err := fmt.Errorf("x: %w", &brokerError{step: "produce", topic: "orders", partition: 3, code: sarama.ErrProducerFenced})
	if want := "x: produce, topic orders partition 3: PRODUCER_FENCED"; err.Error() != want {
		t.Errorf("%q", err)
	}
	if !Fenced(err) || Fenced(&brokerError{code: sarama.ErrNotEnoughReplicas}) || Fenced(nil) {
		t.Error("Fenced")
	}
}

func binaryVarint(v int64) []byte { return binary.AppendVarint(nil, v) }

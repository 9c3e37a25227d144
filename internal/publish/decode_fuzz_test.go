package publish

import (
	"slices"
	"strings"
	"testing"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tailer-io/tailer/internal/outbox"
)

// A fetch answer of any batches: never a record outside the window, one twice,
// or one before it is asked for; without aborted transactions none is missing.
func FuzzCommitted(f *testing.F) {
	f.Add([]byte{0x11, 0x21, 0x92, 0x30}, []byte{1, 0}, int8(0), int8(20))
	f.Add([]byte{0x80, 0x10, 0xc1, 0x01}, []byte{}, int8(1), int8(3))
	f.Fuzz(func(t *testing.T, batches, aborted []byte, from, to int8) {
		var block sarama.FetchResponseBlock
		at, all := int64(0), []int64{}
		for _, b := range batches {
			pid, n := int64(b&3), int64(b>>4&3)
			var set *sarama.Records
			if b&0x80 != 0 {
				set = marker(pid, at, uint16(b>>2&1))
				if b&0x40 != 0 {
					set.RecordBatch.Records = nil
				}
				n = 0
			} else {
				set = data(pid, at, b&4 != 0, make([]string, n+1)...)
				set.RecordBatch.PartialTrailingRecord = b&8 != 0
				for k := range n + 1 {
					if b&8 == 0 && at+k >= int64(from) && at+k < int64(to) {
						all = append(all, at+k)
					}
				}
			}
			block.RecordsSet = append(block.RecordsSet, set, &sarama.Records{})
			at += n + 1
		}
		for i := 0; i+1 < len(aborted); i += 2 {
			block.AbortedTransactions = append(block.AbortedTransactions, &sarama.AbortedTransaction{ProducerID: int64(aborted[i] & 3), FirstOffset: int64(aborted[i+1])})
		}
		var got []int64
		next := committed(&block, int64(from), int64(to), func(r record) { got = append(got, r.offset) })
		if next < int64(from) {
			t.Errorf("next is %d, asked from %d", next, from)
		}
		for i, o := range got {
			if !slices.Contains(all, o) || i > 0 && o <= got[i-1] {
				t.Fatalf("gives %v of %v", got, all)
			}
		}
		if len(block.AbortedTransactions) == 0 && len(got) != len(all) {
			t.Errorf("gives %v, want %v", got, all)
		}
	})
}

// A server of any answers does not break the conversation; only the right
// proof ends it.
func FuzzSCRAM(f *testing.F) {
	f.Add("r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096", "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=")
	f.Add("e=unknown-user", "")
	f.Add("r=,s=,i=0", "v=")
	f.Fuzz(func(t *testing.T, first, final string) {
		if _, rounds, ok := strings.Cut(first, "i="); ok && len(strings.SplitN(rounds, ",", 2)[0]) > 5 {
			return // hashes for long; the broker is one that the operator has named
		}
		c := scramGenerator(sarama.SASLTypeSCRAMSHA512)()
		if err := c.Begin("user", "password", ""); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Step(""); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Step(first); err != nil {
			return
		}
		if _, err := c.Step(final); err == nil && c.Done() {
			t.Errorf("takes %q and %q for a server that knows the password", first, final)
		}
	})
}

// Whatever a message holds, its size is known before it is sent.
func FuzzRecordSize(f *testing.F) {
	f.Add([]byte("key"), []byte("value"), "h", []byte("x"), int64(5), uint16(3))
	f.Add([]byte{}, []byte{}, "", []byte{}, int64(-1), uint16(0))
	f.Fuzz(func(t *testing.T, key, value []byte, header string, text []byte, delta int64, n uint16) {
		msg := &outbox.Message{Key: key, Value: value, Headers: []outbox.Header{{Key: []byte(header), Value: text}, {Key: []byte{}, Value: nil}}}
		if got, want := recordSize(msg, delta, int64(n)), encodedSize(msg, delta, int32(n)); got != want {
			t.Errorf("size %d, want %d", got, want)
		}
	})
}

// encodedSize is what another implementation encodes a record to, in bytes.
func encodedSize(msg *outbox.Message, delta int64, n int32) int {
	r := kmsg.Record{TimestampDelta64: delta, OffsetDelta: n, Key: msg.Key, Value: msg.Value}
	for _, h := range msg.Headers {
		r.Headers = append(r.Headers, kmsg.Header{Key: string(h.Key), Value: h.Value})
	}
	body := len(r.AppendTo(nil)) - 1 // its length, zero, takes one byte
	return body + varintSize(int64(body))
}

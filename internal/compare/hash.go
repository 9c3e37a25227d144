package compare

import (
	"hash/maphash"
	"slices"

	"github.com/tailer-io/tailer/internal/outbox"
)

// id stands for what matches records.
type id struct{ a, b uint64 }

// digest is what is kept of a record.
type digest struct {
	id                  id
	key, value, headers uint64
	// named says that the id is the header's.
	named bool
}

// hasher makes digests. Its seeds are those of this process: nobody can make
// two records that look alike.
type hasher struct {
	first, second maphash.Hash
	idHeader      string
	ignored       []string
}

func newHasher(idHeader string, ignored []string) *hasher {
	h := &hasher{idHeader: idHeader, ignored: ignored}
	h.first.SetSeed(maphash.MakeSeed())
	h.second.SetSeed(maphash.MakeSeed())
	return h
}

func (h *hasher) digest(r *outbox.Record) digest {
	var d digest
	d.key = h.bytes(r.Key)
	d.value = h.bytes(r.Value)
	d.headers = h.list(r.Headers)
	text := idOf(r, h.idHeader)
	if d.named = text != nil; d.named {
		h.start()
		h.write(text)
	} else {
		h.start()
		h.prefixed(r.Key)
		h.write(r.Value)
		h.second.WriteByte(1) // and not the id of that text
		if r.Value == nil {
			h.second.WriteByte(0)
		}
	}
	d.id = id{h.first.Sum64(), h.second.Sum64()}
	return d
}

// idOf is the value of the first header of that name, nil without one.
func idOf(r *outbox.Record, name string) []byte {
	for i := range r.Headers {
		if string(r.Headers[i].Key) == name {
			return r.Headers[i].Value
		}
	}
	return nil
}

func (h *hasher) start() {
	h.first.Reset()
	h.second.Reset()
}

func (h *hasher) write(v []byte) {
	h.first.Write(v)
	h.second.Write(v)
}

// prefixed writes v so that what follows it cannot be taken for a part of it.
func (h *hasher) prefixed(v []byte) {
	n := uint64(len(v)) + 1
	if v == nil {
		n = 0
	}
	var b [8]byte
	for i := range b {
		b[i] = byte(n >> (8 * i))
	}
	h.write(b[:])
	h.write(v)
}

// bytes tells null from empty.
func (h *hasher) bytes(v []byte) uint64 {
	if v == nil {
		return 0
	}
	h.first.Reset()
	h.first.Write(v)
	return max(h.first.Sum64(), 1)
}

// list takes names, values and order into account, but for ignored names.
func (h *hasher) list(headers []outbox.Header) uint64 {
	h.start()
	for i := range headers {
		if slices.Contains(h.ignored, string(headers[i].Key)) {
			continue
		}
		h.prefixed(headers[i].Key)
		h.prefixed(headers[i].Value)
	}
	return h.first.Sum64()
}

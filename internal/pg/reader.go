package pg

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"
)

const (
	bufferSize = 64 << 10
	// No message of the server is longer than 1 GB, the limit of its own
	// allocations; a length beyond it comes from something else.
	maxMessage = 1<<30 + 1<<20
	headerSize = 5
)

// reader cuts the server's bytes into messages: a type byte, a length of four
// bytes that counts itself, and a body; see
// https://www.postgresql.org/docs/current/protocol-message-formats.html.
//
// It lives two lives on one buffer. During set-up it is an io.Reader in front
// of pgconn's frontend, which reads ahead as far as it is let; so it is never
// given more than the rest of the message it is reading, and once streaming
// begins no byte is left behind in a buffer that nobody looks at. From then on
// take and fill give messages in place.
type reader struct {
	src  io.Reader
	buf  []byte
	r, w int    // the unread bytes are buf[r:w]
	base []byte // the buffer of ordinary size, kept while a large one is in use
	max  int    // the longest message that is believed

	// Set-up.
	header [headerSize]byte
	seen   int // bytes of the header that were passed on
	left   int // bytes of the body that were not

	reads   atomic.Uint64 // reads completed
	pending atomic.Bool   // a read waits for the server
}

func newReader(src io.Reader) *reader {
	b := make([]byte, bufferSize)
	return &reader{src: src, buf: b, base: b, max: maxMessage}
}

// Read passes on bytes of one message only. It is for set-up.
func (d *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if d.r == d.w {
		if err := d.fill(); err != nil {
			return 0, err
		}
	}
	if d.seen < headerSize {
		n := copy(d.header[d.seen:], d.buf[d.r:d.w])
		n = min(n, len(p))
		copy(p, d.buf[d.r:d.r+n])
		d.r, d.seen = d.r+n, d.seen+n
		if d.seen == headerSize {
			length := int(binary.BigEndian.Uint32(d.header[1:]))
			if length < 4 || length > d.max {
				return 0, fmt.Errorf("read message: length %d of message %q cannot be", length, d.header[0])
			}
			if d.left = length - 4; d.left == 0 {
				d.seen = 0
			}
		}
		return n, nil
	}
	n := copy(p, d.buf[d.r:min(d.w, d.r+d.left)])
	d.r, d.left = d.r+n, d.left-n
	if d.left == 0 {
		d.seen = 0
	}
	return n, nil
}

// between reports whether set-up ended between two messages.
func (d *reader) between() bool { return d.seen == 0 && d.left == 0 }

// take returns the next message if it is complete in the buffer; ok is false
// when fill must be called first. The body is valid until the next call of
// take or fill.
func (d *reader) take() (typ byte, body []byte, ok bool, err error) {
	if d.w-d.r < headerSize {
		return 0, nil, false, nil
	}
	length := int(binary.BigEndian.Uint32(d.buf[d.r+1:]))
	if length < 4 || length > d.max {
		return 0, nil, false, fmt.Errorf("read message: length %d of message %q cannot be", length, d.buf[d.r])
	}
	end := d.r + 1 + length
	if end > d.w {
		return 0, nil, false, nil
	}
	typ, body = d.buf[d.r], d.buf[d.r+headerSize:end:end]
	d.r = end
	return typ, body, true, nil
}

// fill reads once, as much as there is and fits. It makes room first: for the
// message that is begun, if that is larger than the buffer, and back to the
// ordinary size after it.
func (d *reader) fill() error {
	need := headerSize
	if d.w-d.r >= headerSize && d.left == 0 && d.seen == 0 {
		need = 1 + int(binary.BigEndian.Uint32(d.buf[d.r+1:]))
	}
	switch {
	case need > len(d.buf):
		d.move(make([]byte, need))
	case len(d.buf) > len(d.base) && need <= len(d.base) && d.w-d.r < len(d.base):
		d.move(d.base)
	case d.r == d.w:
		d.r, d.w = 0, 0
	case d.r+need > len(d.buf) || d.w == len(d.buf):
		d.move(d.buf)
	}
	d.pending.Store(true)
	n, err := d.src.Read(d.buf[d.w:])
	d.pending.Store(false)
	d.reads.Add(1)
	d.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// shrink gives up a large buffer whose message has been taken.
func (d *reader) shrink() {
	if len(d.buf) > len(d.base) && d.w-d.r < len(d.base) {
		d.move(d.base)
	}
}

// move puts the unread bytes at the start of to.
func (d *reader) move(to []byte) {
	n := copy(to, d.buf[d.r:d.w])
	d.buf, d.r, d.w = to, 0, n
}

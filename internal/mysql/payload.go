package mysql

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// payload opens transactions that MySQL compressed (binlog_transaction_compression):
// one event around all events of the transaction. They are inflated as a
// stream, one event at a time, so that only the compressed bytes are in memory
// whole. See https://dev.mysql.com/doc/refman/8.4/en/binary-log-transaction-compression.html.
type payload struct {
	zstd *zstd.Decoder // made at the first use
	buf  []byte        // one event
}

// maxWindow bounds what a decoder holds; the server's own levels need 8 MB at
// most.
const maxWindow = 8 << 20

// keepEvent is the size up to which the buffer for one event is kept.
const keepEvent = 1 << 20

// each calls f with every event inside a payload event.
func (p *payload) each(b []byte, f func(h header, body []byte) error) error {
	r, err := p.open(b)
	if err != nil {
		return err
	}
	defer func() {
		if cap(p.buf) > keepEvent {
			p.buf = nil
		}
	}()
	var head [headerSize]byte
	for {
		if _, err := io.ReadFull(r, head[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("inflate payload: %w", err)
		}
		h := scanHeader(head[:])
		n := int(h.size) - headerSize
		if n < 0 || n > maxEvent {
			return fmt.Errorf("inflate payload: an event of %d bytes", h.size)
		}
		if p.buf, err = readInto(r, p.buf[:0], n); err != nil {
			return fmt.Errorf("inflate payload: %w", err)
		}
		if err := f(h, p.buf); err != nil {
			return err
		}
	}
}

// readInto reads n bytes; the buffer grows with what really comes, not with
// what a damaged header promises.
func readInto(r io.Reader, buf []byte, n int) ([]byte, error) {
	for len(buf) < n {
		step := min(n-len(buf), max(64<<10, len(buf)))
		at := len(buf)
		if cap(buf)-at < step {
			bigger := make([]byte, at, at+step)
			copy(bigger, buf)
			buf = bigger
		}
		buf = buf[:at+step]
		if _, err := io.ReadFull(r, buf[at:]); err != nil {
			return buf[:at], fmt.Errorf("it ends inside an event: %w", err)
		}
	}
	return buf, nil
}

// Fields before the compressed bytes.
const (
	payloadEnd         = 0
	payloadCompression = 2
	compressionZstd    = 0
	compressionNone    = 255
)

// open reads the fields in front and returns what inflates the rest.
func (p *payload) open(b []byte) (io.Reader, error) {
	r := reader{b: b}
	compression := -1
	for {
		field := r.packed()
		if r.bad {
			return nil, fmt.Errorf("read payload: %w", errShort)
		}
		if field == payloadEnd {
			break
		}
		v := reader{b: r.bytes(r.packed())}
		if field == payloadCompression {
			compression = v.packed()
		}
		if v.bad || r.bad {
			return nil, fmt.Errorf("read payload: %w", errShort)
		}
	}
	switch compression {
	case compressionNone:
		return bytes.NewReader(r.b), nil
	case compressionZstd:
	default:
		return nil, fmt.Errorf("read payload: compression %d is not known", compression)
	}
	if p.zstd == nil {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("make a zstd decoder: %w", err)
		}
		p.zstd = d
	}
	if err := p.zstd.Reset(bytes.NewReader(r.b)); err != nil {
		return nil, fmt.Errorf("read payload: %w", err)
	}
	return p.zstd, nil
}

func (p *payload) close() {
	if p.zstd != nil {
		p.zstd.Close()
	}
}

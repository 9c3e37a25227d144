package publish

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"math"
	"time"
	"unicode/utf8"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Stdout is a Sink that writes a line of JSON for each message:
//
//	{"topic":"...","partition_key":"...","key":"...","value":"...","headers":[["id","..."]],"position":"..."}
//
// in this order of members. Text is a string, bytes that are not UTF-8 are
// {"base64":"..."}, SQL NULL is null. partition_key is what chooses the
// partition: the key, or without one the header "id"; null when the partition
// is given outright. position is the source's text for the row's transaction;
// null for a message that is no row. There are no transactions: Join and
// Commit do nothing.
type Stdout struct {
	w     io.Writer
	buf   []byte
	batch *outbox.Batch
}

// NewStdout makes a Stdout that writes to w, with one Write for some dozen
// kilobytes of lines.
func NewStdout(w io.Writer) *Stdout { return &Stdout{w: w} }

// flushAt is how many bytes of lines are gathered before they are written.
const flushAt = 64 << 10

// Fence does nothing: nobody else writes to our stdout.
func (s *Stdout) Fence(context.Context, time.Duration) error { return nil }

// Admit remembers b, whose positions Produce prints, until the next Admit.
// Every message is fit for stdout.
func (s *Stdout) Admit(_ context.Context, _ *outbox.Messages, b *outbox.Batch) error {
	s.batch = b
	return nil
}

// Room is without limit.
func (s *Stdout) Room(context.Context, string) (int, error) { return math.MaxInt, nil }

// Join does nothing.
func (s *Stdout) Join(context.Context, *outbox.Messages) error { return nil }

// Produce writes the lines of m and returns when the last byte is written. Its
// error is the writer's, such as EPIPE when the reader of a pipe has gone.
func (s *Stdout) Produce(ctx context.Context, m *outbox.Messages) error {
	s.buf = s.buf[:0]
	for i := range m.List {
		s.buf = s.appendLine(s.buf, &m.List[i])
		if len(s.buf) >= flushAt {
			if err := s.flush(ctx); err != nil {
				return err
			}
		}
	}
	return s.flush(ctx)
}

// Commit does nothing.
func (s *Stdout) Commit(context.Context) error { return nil }

// Close does nothing; the writer belongs to the caller.
func (s *Stdout) Close() {}

func (s *Stdout) flush(ctx context.Context) error {
	if ctx.Err() != nil {
		return fmt.Errorf("write stdout: %w", context.Cause(ctx))
	}
	if len(s.buf) == 0 {
		return nil
	}
	_, err := s.w.Write(s.buf)
	s.buf = s.buf[:0]
	if err != nil {
		return fmt.Errorf("write stdout: %w", err)
	}
	return nil
}

func (s *Stdout) appendLine(dst []byte, msg *outbox.Message) []byte {
	var position []byte
	if s.batch != nil && msg.Row >= 0 {
		position = s.batch.PositionText(msg.Row)
	}
	return AppendLine(dst, msg, position, "")
}

// AppendLine appends a message as Stdout writes it, with its line feed;
// position is nil for none. more are further members behind the others, as JSON
// that begins with a comma, or "".
func AppendLine(dst []byte, msg *outbox.Message, position []byte, more string) []byte {
	dst = append(dst, `{"topic":`...)
	dst = appendText(dst, msg.Topic)
	dst = append(dst, `,"partition_key":`...)
	dst = appendBytes(dst, PartitionKey(msg))
	dst = append(dst, `,"key":`...)
	dst = appendBytes(dst, msg.Key)
	dst = append(dst, `,"value":`...)
	dst = appendBytes(dst, msg.Value)
	dst = append(dst, `,"headers":[`...)
	for i := range msg.Headers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '[')
		dst = appendBytes(dst, msg.Headers[i].Key)
		dst = append(dst, ',')
		dst = appendBytes(dst, msg.Headers[i].Value)
		dst = append(dst, ']')
	}
	dst = append(dst, `],"position":`...)
	dst = appendBytes(dst, position)
	dst = append(dst, more...)
	return append(dst, "}\n"...)
}

// PartitionKey is what chooses the partition; nil when nothing does.
func PartitionKey(msg *outbox.Message) []byte {
	switch {
	case msg.Partition >= 0:
		return nil
	case msg.Key == nil:
		return headerID(msg)
	default:
		return msg.Key
	}
}

func appendBytes(dst, v []byte) []byte {
	switch {
	case v == nil:
		return append(dst, "null"...)
	case utf8.Valid(v):
		return appendText(dst, v)
	}
	dst = append(dst, `{"base64":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, v)
	return append(dst, `"}`...)
}

// appendText writes a JSON string (RFC 8259) and escapes what must be escaped,
// nothing else: encoding/json also escapes < > & and the line separators.
func appendText[T string | []byte](dst []byte, v T) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := range len(v) {
		c := v[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, v[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, `\u00`...)
			dst = append(dst, hex[c>>4], hex[c&15])
		}
	}
	dst = append(dst, v[from:]...)
	return append(dst, '"')
}

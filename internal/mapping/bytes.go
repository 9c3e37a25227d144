package mapping

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/tailer-io/tailer/internal/mapping/connect"
	"github.com/tailer-io/tailer/internal/outbox"
)

// bytesForm says how the text of a cell becomes bytes.
type bytesForm uint8

const (
	asIs     bytesForm = iota
	fromHex            // \x and hex digits
	fromUUID           // sixteen bytes, as the text of a UUID
)

const (
	uuidBytes = 16
	uuidText  = 36
)

var (
	errHex  = errors.New("is not in the hex form that the server was asked for")
	errUUID = fmt.Errorf("is no UUID: it has not %d bytes", uuidBytes)
)

// of is a cell as it goes out: nil for NULL.
func (f bytesForm) of(b *outbox.Batch, r *outbox.Row, col int, out *outbox.Messages) ([]byte, error) {
	v, ok := b.Value(r, col)
	switch {
	case !ok:
		return nil, nil
	case f == fromHex:
		return unhex(v, out)
	case f == fromUUID:
		if len(v) != uuidBytes {
			return nil, errUUID
		}
		return connect.AppendUUID(out.Bytes(uuidText)[:0], v), nil
	}
	return v, nil
}

func unhex(v []byte, out *outbox.Messages) ([]byte, error) {
	if len(v) < 2 || v[0] != '\\' || v[1] != 'x' || len(v)%2 != 0 {
		return nil, errHex
	}
	if len(v) == 2 {
		return v[:0], nil // empty, and not nil: nil would be a tombstone
	}
	raw := out.Bytes(hex.DecodedLen(len(v) - 2))
	if _, err := hex.Decode(raw, v[2:]); err != nil {
		return nil, errHex
	}
	return raw, nil
}

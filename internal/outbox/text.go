package outbox

import (
	"encoding/hex"
	"unicode/utf8"
)

// IDText is an id as people see and type it: as it is, or as 0x and hex digits
// where its bytes are no text.
func IDText(id []byte) string {
	if utf8.Valid(id) {
		return string(id)
	}
	return "0x" + hex.EncodeToString(id)
}

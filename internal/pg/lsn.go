package pg

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pglogrepl"

	"github.com/tailer-io/tailer/internal/outbox"
)

// lsn is a byte position in the log, see
// https://www.postgresql.org/docs/current/datatype-pg-lsn.html. Zero is "none".
type lsn = pglogrepl.LSN

// parseLSN reads "X/X", two hexadecimal numbers of 32 bits. It is strict where
// pglogrepl.ParseLSN scans and leaves trailing text unread: an operator types
// these.
func parseLSN(s string) (lsn, error) {
	hi, lo, ok := strings.Cut(s, "/")
	if !ok || hi == "" || lo == "" || len(hi) > 8 || len(lo) > 8 || strings.ContainsAny(s, "+-_xX") {
		return 0, fmt.Errorf("parse LSN %q: want X/X in hexadecimal, for example 0/16B3748", s)
	}
	h, err := strconv.ParseUint(hi, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("parse LSN %q: want X/X in hexadecimal, for example 0/16B3748", s)
	}
	l, err := strconv.ParseUint(lo, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("parse LSN %q: want X/X in hexadecimal, for example 0/16B3748", s)
	}
	return lsn(h<<32 | l), nil
}

// appendLSN appends the text as Postgres prints it: upper-case hexadecimal
// without leading zeros.
func appendLSN(b []byte, l lsn) []byte {
	b = appendHex(b, uint32(l>>32))
	b = append(b, '/')
	return appendHex(b, uint32(l))
}

func appendHex(b []byte, v uint32) []byte {
	const digits = "0123456789ABCDEF"
	shift := 28
	for shift > 0 && v>>shift == 0 {
		shift -= 4
	}
	for ; shift >= 0; shift -= 4 {
		b = append(b, digits[v>>shift&15])
	}
	return b
}

// position is l in the vocabulary of the pipeline.
func position(l lsn) outbox.Position {
	return outbox.Position{Kind: outbox.Postgres, Text: string(appendLSN(make([]byte, 0, 17), l))}
}

// positionLSN reads a position back; one of another kind of source is an error.
func positionLSN(p outbox.Position) (lsn, error) {
	if p.Kind != outbox.Postgres {
		return 0, fmt.Errorf("read position %q: it is of kind %q, not %q", p.Text, p.Kind, outbox.Postgres)
	}
	return parseLSN(p.Text)
}

// behind is the log from a to b in bytes, 0 when b lies before a.
func behind(a, b lsn) uint64 {
	if b < a {
		return 0
	}
	return uint64(b - a)
}

// appendOpen names a transaction as outbox.Open.Txn does: "XID@FINAL_LSN", where
// the final LSN is where its commit record begins. The transaction id alone
// comes round again after 2^32 transactions.
func appendOpen(b []byte, xid uint32, final lsn) []byte {
	b = strconv.AppendUint(b, uint64(xid), 10)
	b = append(b, '@')
	return appendLSN(b, final)
}

// parseOpen reads what appendOpen wrote.
func parseOpen(s string) (xid uint32, final lsn, err error) {
	x, l, ok := strings.Cut(s, "@")
	if !ok {
		return 0, 0, fmt.Errorf("parse open transaction %q: want XID@LSN", s)
	}
	v, err := strconv.ParseUint(x, 10, 32)
	if err != nil {
		return 0, 0, fmt.Errorf("parse open transaction %q: want XID@LSN", s)
	}
	if final, err = parseLSN(l); err != nil {
		return 0, 0, fmt.Errorf("parse open transaction: %w", err)
	}
	return uint32(v), final, nil
}

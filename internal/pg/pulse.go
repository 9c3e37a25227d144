package pg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

const (
	statusEvery = 5 * time.Second
	pulseEvery  = time.Second
	untilPulse  = 50 * time.Millisecond // while a position is waited for
	writeWithin = 10 * time.Second
)

var errSilent = errors.New("the server was silent for 20 s, although asked: connection dropped")

// pulse writes status updates, alone: nobody else writes to the connection
// while it runs. So keepalives are answered while the reader waits for the
// publisher, and the reader never waits for a write. It also notices a server
// that has gone silent, without a timer for each read.
type pulse struct {
	conn  net.Conn
	d     *reader
	f     *feed
	h     *outbox.Handoff
	every time.Duration
	kick  chan struct{} // send a status update now
	fail  atomic.Pointer[error]

	msg [statusSize]byte
}

func newPulse(conn net.Conn, d *reader, f *feed, h *outbox.Handoff) *pulse {
	p := &pulse{conn: conn, d: d, f: f, h: h, every: pulseEvery, kick: make(chan struct{}, 1)}
	if f.until != 0 {
		p.every = untilPulse
	}
	return p
}

// now asks for a status update without waiting for it.
func (p *pulse) now() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// run serves until done is closed, or until something fails: then it makes the
// reader return, which finds the cause in fail.
func (p *pulse) run(done <-chan struct{}) {
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	var sent, quiet time.Time // last status update; since when a read waits in vain
	quiet = time.Now()
	reads := p.d.reads.Load()
	for {
		var now time.Time
		ask := false
		select {
		case <-done:
			return
		case <-p.kick:
			now = time.Now()
		case now = <-tick.C:
			n := p.d.reads.Load()
			if n != reads {
				p.h.Heard()
			}
			if n != reads || !p.d.pending.Load() {
				// While the reader waits for the publisher the server's
				// silence proves nothing.
				reads, quiet = n, now
				if now.Sub(sent) < statusEvery {
					continue
				}
				break
			}
			if now.Sub(quiet) >= senderTimeout {
				p.stop(errSilent)
				return
			}
			// Nothing came since the last tick. A server that is busy with
			// other tables says how far it is only when it is asked.
			ask = true
		}
		sent = now
		if err := p.send(now, ask); err != nil {
			p.stop(fmt.Errorf("send status update: %w", err))
			return
		}
	}
}

func (p *pulse) stop(err error) {
	p.fail.Store(&err)
	_ = p.conn.SetReadDeadline(time.Unix(1, 0))
}

func (p *pulse) send(now time.Time, ask bool) error {
	return writeStatus(p.conn, p.msg[:], lsn(p.f.published.Load()), lsn(p.f.confirmed.Load()), now, ask)
}

const statusSize = 5 + 34

// writeStatus sends a standby status update in a CopyData message, see
// https://www.postgresql.org/docs/current/protocol-replication.html. flush is
// what the server may forget; it is never zero, because it begins with the
// position that streaming started from. written is what was received.
func writeStatus(conn net.Conn, msg []byte, written, flush lsn, now time.Time, ask bool) error {
	const epoch = 946684800 * 1e6 // 2000-01-01 in Unix microseconds
	written = max(written, flush)
	msg[0] = 'd'
	binary.BigEndian.PutUint32(msg[1:], statusSize-1)
	msg[5] = 'r'
	binary.BigEndian.PutUint64(msg[6:], uint64(written))
	binary.BigEndian.PutUint64(msg[14:], uint64(flush))
	binary.BigEndian.PutUint64(msg[22:], uint64(flush))
	binary.BigEndian.PutUint64(msg[30:], uint64(now.UnixMicro()-epoch))
	msg[38] = 0
	if ask {
		msg[38] = 1
	}
	if err := conn.SetWriteDeadline(now.Add(writeWithin)); err != nil {
		return err
	}
	_, err := conn.Write(msg[:statusSize])
	return err
}

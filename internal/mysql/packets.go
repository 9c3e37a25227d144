package mysql

import "net"

const (
	// readSize is how much is asked of the server's connection at once.
	readSize = 64 << 10
	// largePacket is the size of a packet that is worth waiting for what was
	// read before it.
	largePacket = 1 << 20
)

// packets is the connection under the library's while the log is read, with a
// buffer of its own. It never passes on more than one packet (a length of three
// bytes, a number, a body; see
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html).
// So everything before a packet has been handled when the library asks for its
// header, and the library makes room for a packet only when its header is
// passed on: a large row is not begun while others are being published.
//
// The library itself has a buffer for plain connections, which knows nothing of
// packets, and none for TLS.
type packets struct {
	net.Conn
	before func() // before each read, and before a large packet; may be nil

	buf  []byte
	r, w int // the unread bytes are buf[r:w]
	left int // bytes of the current packet that were not passed on
}

const packetHeader = 4

func newPackets(c net.Conn, before func()) *packets {
	return &packets{Conn: c, before: before, buf: make([]byte, readSize)}
}

// Read passes on bytes of one packet.
func (p *packets) Read(b []byte) (int, error) {
	for p.left == 0 {
		if p.w-p.r < packetHeader {
			if err := p.fill(); err != nil {
				return 0, err
			}
			continue
		}
		length := int(littleEndian(p.buf[p.r : p.r+3]))
		if length >= largePacket && p.before != nil {
			p.before()
		}
		p.left = packetHeader + length
	}
	if p.r == p.w {
		if err := p.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(b, p.buf[p.r:min(p.w, p.r+p.left)])
	p.r, p.left = p.r+n, p.left-n
	return n, nil
}

// fill reads once.
func (p *packets) fill() error {
	p.w = copy(p.buf, p.buf[p.r:p.w])
	p.r = 0
	if p.before != nil {
		p.before()
	}
	n, err := p.Conn.Read(p.buf[p.w:])
	p.w += n
	if n > 0 {
		return nil // an error comes again
	}
	return err
}

package credential

import (
	"errors"
	"net"
	"syscall"
)

// AlertFirst wraps a connection that TLS is to be spoken on, so that a peer
// which refuses our certificate is heard. In TLS 1.3 it judges the certificate
// when our side of the handshake is through (RFC 8446, section 4.4.2 and
// appendix A): it sends an alert and closes, and resets the connection when it
// has not read what we have written by then. The error of such a write does
// not say why, and the alert is there to be read. So that error is left to the
// next read, which brings the alert or the connection's end.
func AlertFirst(c net.Conn) net.Conn { return alertFirst{c} }

// Bare is the connection that AlertFirst wrapped; any other is returned as it is.
func Bare(c net.Conn) net.Conn {
	if a, ok := c.(alertFirst); ok {
		return a.Conn
	}
	return c
}

type alertFirst struct{ net.Conn }

func (c alertFirst) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return len(b), nil
	}
	return n, err
}

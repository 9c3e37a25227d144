package publish

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// giveUp makes the kernel give a connection up when what was sent stays
// unacknowledged for too long (TCP_USER_TIMEOUT, tcp(7)).
func giveUp(_, _ string, c syscall.RawConn) error {
	var err error
	if cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unheard.Milliseconds()))
	}); cerr != nil {
		return cerr
	}
	return err
}

package pg

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// userTimeout makes the kernel give a connection up when data that we sent
// stays unacknowledged for that many milliseconds (TCP_USER_TIMEOUT, tcp(7)).
func userTimeout(fd uintptr, ms int) error {
	return unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, ms)
}

// canLowWater says that poll honours SO_RCVLOWAT here.
const canLowWater = true

// lowWater sets SO_RCVLOWAT (socket(7)): a waiting reader is woken once that
// many bytes are there. Lowering it wakes a reader that now has enough.
func lowWater(c syscall.RawConn, n int) error { return setSocket(c, unix.SO_RCVLOWAT, n) }

// fixedBuffer sets what the socket's receive buffer has room for, in bytes, once
// and for all (SO_RCVBUF, socket(7)): it does not grow by itself any more.
func fixedBuffer(c syscall.RawConn, n int) error { return setSocket(c, unix.SO_RCVBUF, n) }

func setSocket(c syscall.RawConn, option, n int) error {
	var err error
	if cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, n)
	}); cerr != nil {
		return cerr
	}
	return err
}

// queued is how many bytes there are to read (SIOCINQ, tcp(7)); 0 when that
// cannot be asked.
func queued(fd uintptr) int {
	n, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
	if err != nil {
		return 0
	}
	return n
}

// nap sleeps in the kernel, which is exact to some 50 us. A signal ends it.
func nap(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil)
}

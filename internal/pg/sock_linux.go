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
func lowWater(c syscall.RawConn, n int) error {
	return setSocket(c, unix.SOL_SOCKET, unix.SO_RCVLOWAT, n)
}

// narrow bounds, in bytes, how much the other side may send that is not read yet
// (TCP_WINDOW_CLAMP, tcp(7)); what it was told before stays true. The buffer has
// room for at least twice as much, for small packets take more room than they
// have bytes, and no longer grows (SO_BUF_LOCK, Linux 5.14), which would widen the
// window.
func narrow(c syscall.RawConn, n int) error {
	var err error
	if cerr := c.Control(func(fd uintptr) {
		s := int(fd)
		if err = unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_BUF_LOCK, unix.SOCK_RCVBUF_LOCK); err != nil {
			return
		}
		// What is set is doubled by the kernel (socket(7)).
		if size, _ := unix.GetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUF); size < 4*n {
			_ = unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUF, 2*n)
		}
		err = unix.SetsockoptInt(s, unix.IPPROTO_TCP, unix.TCP_WINDOW_CLAMP, n)
	}); cerr != nil {
		return cerr
	}
	return err
}

// widen ends what narrow did.
func widen(c syscall.RawConn) error {
	if err := setSocket(c, unix.SOL_SOCKET, unix.SO_BUF_LOCK, 0); err != nil {
		return err
	}
	return setSocket(c, unix.IPPROTO_TCP, unix.TCP_WINDOW_CLAMP, 1<<30) // the most there is (RFC 7323)
}

func setSocket(c syscall.RawConn, level, option, n int) error {
	var err error
	if cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), level, option, n)
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

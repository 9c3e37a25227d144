package proxy

import (
	"net"
	"syscall"
)

// StopListening closes a listener on TCP so that the port is free when it returns. Close alone does not do that: a process
// that is being started meanwhile has a copy of the socket until its program begins, and the port stays taken as long.
func StopListening(l net.Listener) {
	if c, ok := l.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			// Of all copies; shutdown(2) of a socket that listens is what Linux makes of it.
			_ = raw.Control(func(fd uintptr) { _ = syscall.Shutdown(int(fd), syscall.SHUT_RDWR) })
		}
	}
	l.Close()
}

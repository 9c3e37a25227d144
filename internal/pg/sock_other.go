//go:build !linux

package pg

import (
	"syscall"
	"time"
)

// Elsewhere the keepalive probes alone find a dead peer, and reading is woken
// for every message: slower, not wrong.
func userTimeout(uintptr, int) error { return nil }

const canLowWater = false

func lowWater(syscall.RawConn, int) error { return nil }

func narrow(syscall.RawConn, int) error { return nil }

func widen(syscall.RawConn) error { return nil }

func queued(uintptr) int { return 0 }

func nap(d time.Duration) { time.Sleep(d) }

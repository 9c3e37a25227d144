//go:build !linux

package publish

import "syscall"

// Elsewhere keepalive probes and answerTimeout find a dead peer: later.
func giveUp(string, string, syscall.RawConn) error { return nil }

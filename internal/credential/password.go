// Package credential is about logging in: it gets passwords from where they are
// kept, anew for each connection (one that was rotated is picked up by the
// next), and tells certificates that are not accepted from broken connections.
package credential

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Password gives the password as it is now. It may be called from several
// goroutines. The text of an error holds no password.
type Password func(context.Context) (string, error)

// commandWithin bounds a command: a token service that hangs is an error to
// retry, not a process that hangs with it.
const commandWithin = 30 * time.Second

var errEmpty = errors.New("it is empty")

// File reads a file and cuts off one trailing newline.
func File(path string) Password {
	return func(context.Context) (string, error) {
		data, err := os.ReadFile(path)
		if err == nil && trim(data) == "" {
			err = errEmpty
		}
		var at *fs.PathError
		if errors.As(err, &at) {
			err = at.Err // the path is named already
		}
		if err != nil {
			return "", fmt.Errorf("read password file %s: %w", path, err)
		}
		return trim(data), nil
	}
}

// Command runs a line of shell and takes what it prints, less a trailing
// newline. What it says on stderr is part of the error when it fails.
func Command(line string) Password {
	return func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeoutCause(ctx, commandWithin, fmt.Errorf("it did not end within %s", commandWithin))
		defer cancel()
		var stdout, stderr bytes.Buffer
		cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		cmd.WaitDelay = time.Second // for what it left running with its output open
		err := cmd.Run()
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case err != nil && stderr.Len() > 0:
			err = fmt.Errorf("%w: %s", err, lastLine(stderr.String()))
		case err == nil && trim(stdout.Bytes()) == "":
			err = errors.New("it printed nothing")
		}
		if err != nil {
			return "", fmt.Errorf("run the password command: %w", err)
		}
		return trim(stdout.Bytes()), nil
	}
}

// trim cuts off one newline: a password may end in blanks.
func trim(b []byte) string {
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	s = s[strings.LastIndexByte(s, '\n')+1:]
	return s[:min(len(s), 200)]
}

// Command tailer publishes the rows of transactional outbox tables to Kafka by
// reading the database's log. It is the one place that knows every part: it
// builds them from the configuration and joins them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/tailer-io/tailer/internal/outbox"
)

// version is set by the linker; see the Makefile.
var version = "dev"

// The exit statuses, besides 0. A crash is none of them but SIGABRT.
const (
	exitFailed  = 1 // a restart may cure it
	exitInvalid = 2 // usage, configuration, mapping that does not fit
	exitRefused = 3 // an operator must decide
)

func main() {
	debug.SetTraceback("crash") // a panic must not look like status 2
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	// The first signal asks for a clean stop; from then on the second one
	// has its usual effect, which is to end the process at once.
	context.AfterFunc(ctx, stop)
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ()}
	os.Exit(a.execute(ctx, os.Args[1:]))
}

// app is what a command sees of the world.
type app struct {
	stdin   *os.File
	stdout  io.Writer // results
	stderr  io.Writer // the rest
	environ []string
}

// execute runs one command line and returns the exit status.
func (a *app) execute(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
	case asksJSON(cmd, args):
		reportJSON(a.stderr, err)
	default:
		report(a.stderr, err)
	}
	return exitStatus(err)
}

// exitStatus maps an error to the process's exit status.
func exitStatus(err error) int {
	var invalid *outbox.Invalid
	var refusal *outbox.Refusal
	switch {
	case err == nil:
		return 0
	case errors.As(err, &invalid):
		return exitInvalid
	case errors.As(err, &refusal):
		return exitRefused
	default:
		return exitFailed
	}
}

// report prints an error in a line, and its hint in another.
func report(w io.Writer, err error) {
	text, hint := parted(err)
	fmt.Fprintf(w, "tailer: %s\n", text)
	if hint != "" {
		fmt.Fprintf(w, "hint: %s\n", hint)
	}
}

// parted is an error's text without its hint, and the hint where it ends with
// one, each in one line.
func parted(err error) (text, hint string) {
	text, hint = err.Error(), hintOf(err)
	if hint == "" || !strings.HasSuffix(text, "; "+hint) {
		return oneLine(text), ""
	}
	return oneLine(strings.TrimSuffix(text, "; "+hint)), oneLine(hint)
}

// oneLine joins the lines of a text: some libraries' errors have several.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func hintOf(err error) string {
	var invalid *outbox.Invalid
	var refusal *outbox.Refusal
	switch {
	case errors.As(err, &invalid):
		return invalid.Hint
	case errors.As(err, &refusal):
		return refusal.Hint
	}
	return ""
}

// reasonOf is the reason of a refusal, "" of all else.
func reasonOf(err error) string {
	var refusal *outbox.Refusal
	if errors.As(err, &refusal) {
		return refusal.Reason
	}
	return ""
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tailer-io/tailer/internal/outbox"
)

// The forms of a command's result, for --output. The members of the JSON are
// listed in docs/commands.md: they may be added to, none changes meaning.
const (
	outputText = "text"
	outputJSON = "json"
)

// addOutput gives a command the flag --output, checked before it runs.
func addOutput(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVar(output, "output", outputText, "text or json, on stdout; with json an error is JSON too, on stderr")
	cmd.PreRunE = func(*cobra.Command, []string) error { return checkOutput(*output) }
}

func checkOutput(output string) error {
	if output != outputText && output != outputJSON {
		return &outbox.Invalid{Option: "output", Text: fmt.Sprintf("%q is not one of text, json", output)}
	}
	return nil
}

// print prints a result: lines for people, or the document for machines.
func (a *app) print(output string, lines []string, document any) error {
	if output == outputJSON {
		return printJSON(a.stdout, document)
	}
	a.printLines(lines)
	return nil
}

func (a *app) printLines(lines []string) {
	for _, l := range lines {
		fmt.Fprintln(a.stdout, l)
	}
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// asksJSON reports whether this command line asks for JSON. It looks at the
// words: what cannot be parsed must be reported in the right form too.
func asksJSON(cmd *cobra.Command, args []string) bool {
	if cmd == nil || cmd.Flags().Lookup("output") == nil {
		return false
	}
	asked := false
	for i, arg := range args {
		value, found := strings.CutPrefix(arg, "--output=")
		if arg == "--output" && i+1 < len(args) {
			value, found = args[i+1], true
		}
		if found {
			asked = value == outputJSON
		}
	}
	return asked
}

// failure is an error as --output json has it, in one line of stderr.
type failure struct {
	Error  string `json:"error"`
	Hint   string `json:"hint,omitempty"`
	Reason string `json:"reason,omitempty"` // of a refusal: the label of tailer_refused
	Status int    `json:"status"`           // the exit status
}

// reportJSON is report for machines.
func reportJSON(w io.Writer, err error) {
	f := failure{Status: exitStatus(err), Reason: reasonOf(err)}
	f.Error, f.Hint = parted(err)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(f) // there is nobody left to tell
}

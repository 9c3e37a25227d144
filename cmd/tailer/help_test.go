package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// commands gives every command that does something, cobra's own left out.
func commands(root *cobra.Command) (list []*cobra.Command) {
	for _, c := range root.Commands() {
		switch {
		case c.Name() == "completion", c.Name() == "help":
		case c.HasSubCommands():
			list = append(list, commands(c)...)
		default:
			list = append(list, c)
		}
	}
	return list
}

// inner finds a command line within $( ).
var inner = regexp.MustCompile(`\$\(([^)]*)\)`)

// quoted finds one word in double quotes.
var quoted = regexp.MustCompile(`"[^"]*"`)

// tailerLines gives the words behind tailer of every tailer that a line of
// shell runs. It knows pipes, redirections, $( ) and double quotes, and no more.
func tailerLines(line string) (lines [][]string) {
	for _, m := range inner.FindAllStringSubmatch(line, -1) {
		lines = append(lines, tailerLines(m[1])...)
	}
	line = quoted.ReplaceAllString(inner.ReplaceAllString(line, "VALUE"), "VALUE")
	for part := range strings.SplitSeq(line, "|") {
		part, _, _ = strings.Cut(part, ">")
		words := strings.Fields(part)
		if len(words) > 0 && words[0] == "tailer" {
			lines = append(lines, words[1:])
		}
	}
	return lines
}

func TestTailerLines(t *testing.T) {
	got := tailerLines(`curl -s http://h/ | tailer checkpoint set "$(tailer checkpoint show --name x)" --name y > out`)
	if len(got) != 2 || strings.Join(got[0], " ") != "checkpoint show --name x" || strings.Join(got[1], " ") != "checkpoint set VALUE --name y" {
		t.Errorf("got %q", got)
	}
}

func TestTailerLinesQuoted(t *testing.T) {
	got := tailerLines(`tailer recover --where "a > 1 | 2" --yes`)
	if len(got) != 1 || strings.Join(got[0], " ") != "recover --where VALUE --yes" {
		t.Errorf("got %q", got)
	}
}

func TestEveryCommandIsExplainedWithExamplesThatParse(t *testing.T) {
	for _, cmd := range commands((&app{}).root()) {
		path := cmd.CommandPath()
		if cmd.Short == "" || cmd.Long == "" || cmd.Example == "" {
			t.Errorf("%s: short %q, long %q, example %q", path, cmd.Short, cmd.Long, cmd.Example)
		}
		shown := false
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			lines := tailerLines(line)
			if len(lines) == 0 || !strings.HasPrefix(line, "  ") {
				t.Errorf("%s: the example %q runs no tailer, or is not indented by two", path, line)
			}
			for _, args := range lines {
				// A tree of its own each time: flags keep what was parsed.
				found, rest, err := (&app{}).root().Find(args)
				if err != nil {
					t.Errorf("%s: the example %q: %v", path, line, err)
					continue
				}
				if err := found.ParseFlags(rest); err != nil {
					t.Errorf("%s: the example %q: %v", path, line, err)
					continue
				}
				if err := found.ValidateArgs(found.Flags().Args()); err != nil {
					t.Errorf("%s: the example %q: %v", path, line, err)
				}
				shown = shown || found.CommandPath() == path
			}
		}
		if !shown {
			t.Errorf("%s: no example shows the command itself", path)
		}
	}
}

// What a machine may want to read it gets as JSON: all but the log of run.
func TestEveryResultComesAsJSONToo(t *testing.T) {
	for _, cmd := range commands((&app{}).root()) {
		has := cmd.Flags().Lookup("output") != nil
		if want := cmd.Name() != "run"; has != want {
			t.Errorf("%s has --output: %v, want %v", cmd.CommandPath(), has, want)
		}
		if has && !strings.Contains(cmd.Example, "--output json") {
			t.Errorf("%s shows no example with --output json", cmd.CommandPath())
		}
	}
}

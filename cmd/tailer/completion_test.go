package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestCompletion(t *testing.T) {
	files, none, some := cobra.ShellCompDirectiveDefault, cobra.ShellCompDirectiveNoFileComp, cobra.ShellCompDirectiveFilterFileExt
	for _, c := range []struct {
		words     string // the last one is being completed; a trailing blank begins a new one
		want      []string
		directive cobra.ShellCompDirective
	}{
		{"run --preset ", []string{"debezium", "eventuate", "cloudevents"}, none},
		{"run --preset=c", []string{"debezium", "eventuate", "cloudevents"}, none}, // the shell picks those that begin so
		{"run --delivery ", []string{"exactly-once", "at-least-once"}, none},
		{"run --until ", []string{"now"}, none},
		{"run --name ", nil, none},
		{"run --config ", []string{"yaml", "yml"}, some},
		{"run --kafka-tls-ca-file ", nil, files},
		{"run ", nil, none},
		{"check --output ", []string{"text", "json"}, none},
		{"compare --isolation ", []string{"read_committed", "read_uncommitted"}, none},
		{"convert debezium ", []string{"json", "properties"}, some},
		{"checkpoint s", []string{"set", "show", "skip"}, none},
		{"checkpoint set --from-debezium-offset ", []string{"json"}, some},
		{"te", []string{"teardown"}, none},
	} {
		args := append([]string{"__completeNoDesc"}, strings.Split(c.words, " ")...)
		status, stdout, stderr := execute(t, nil, args...)
		lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
		got, last := lines[:len(lines)-1], lines[len(lines)-1]
		if status != 0 || !slices.Equal(got, c.want) || last != ":"+directive(c.directive) {
			t.Errorf("%q: status %d, got %q and directive %s, want %q and :%s\n%s", c.words, status, got, last, c.want, directive(c.directive), stderr)
		}
	}
}

func directive(d cobra.ShellCompDirective) string { return string(rune('0' + d)) }

func TestCompletionScripts(t *testing.T) {
	for shell, want := range map[string]string{
		"bash": "complete -o default -F __start_tailer tailer", "zsh": "#compdef tailer", "fish": "complete -c tailer", "powershell": "Register-ArgumentCompleter",
	} {
		if status, stdout, stderr := execute(t, nil, "completion", shell); status != 0 || !strings.Contains(stdout, want) {
			t.Errorf("%s: status %d, no %q in %d bytes; %s", shell, status, want, len(stdout), stderr)
		}
	}
}

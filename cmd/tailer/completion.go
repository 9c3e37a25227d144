package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tailer-io/tailer/internal/config"
)

// flagChoices are the values of the flags that are no options.
var flagChoices = map[string][]string{
	"output":                 {outputText, outputJSON},
	"isolation":              {readCommitted, readUncommitted},
	"debezium-include-query": {"true", "false"},
}

// flagFiles are the flags besides options whose value is the path of a file,
// with the extensions that such files have; none for any.
var flagFiles = map[string][]string{
	"config":               {"yaml", "yml"},
	"worker":               {"properties"},
	"from-debezium-offset": {"json"},
}

// complete teaches the shells what may follow: of a choice its values, of what
// names a file the files, of all else nothing. cobra's own would be the names
// of files everywhere.
func complete(cmd *cobra.Command) {
	if cmd.ValidArgsFunction == nil && cmd.Runnable() {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if c := completeFlag(f.Name); c != nil {
			// The error says that there is one already.
			_ = cmd.RegisterFlagCompletionFunc(f.Name, c)
		}
	})
	for _, sub := range cmd.Commands() {
		complete(sub)
	}
}

// completeFlag is what may follow a flag; nil for any file.
func completeFlag(name string) cobra.CompletionFunc {
	if values := append(config.Choices(name), flagChoices[name]...); len(values) > 0 {
		return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
	}
	if extensions, ok := flagFiles[name]; ok {
		return filesNamed(extensions)
	}
	if config.NamesFile(name) {
		return nil
	}
	return cobra.NoFileCompletions
}

// filesNamed completes the names of files with these extensions.
func filesNamed(extensions []string) cobra.CompletionFunc {
	return cobra.FixedCompletions(extensions, cobra.ShellCompDirectiveFilterFileExt)
}

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tailer-io/tailer/internal/config"
	"github.com/tailer-io/tailer/internal/outbox"
)

// root is the command tree.
func (a *app) root() *cobra.Command {
	root := group("tailer", `tailer reads the rows that an application inserts into its outbox tables from
the database's log and publishes each as one keyed Kafka message, exactly once
and in the order of commits.

Every option is also an environment variable (--kafka-brokers is
TAILER_KAFKA_BROKERS) and a key of the YAML file that --config names
(kafka-brokers). A flag beats the environment, which beats the file.`)
	root.Short = "publish a transactional outbox to Kafka by tailing the database's log"
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(a.runCommand(), a.checkCommand(), a.setupCommand(), a.teardownCommand(),
		a.planCommand(), a.statusCommand(), a.checkpointCommand(), a.recoverCommand(), a.republishCommand(), a.replayCommand(),
		a.convertCommand(), a.compareCommand(), a.versionCommand())
	complete(root)
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil && completion != root {
		completion.Args, completion.RunE = cobra.ArbitraryArgs, needsSubcommand // cobra's own forgives anything
	}
	return root
}

// group is a command that does nothing without one of its subcommands.
func group(use, long string) *cobra.Command {
	return &cobra.Command{
		Use:  use,
		Long: long,
		Args: cobra.ArbitraryArgs, // so that an unknown command gets to RunE
		RunE: needsSubcommand,
	}
}

func needsSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	return unknownCommand(cmd, args[0])
}

func unknownCommand(cmd *cobra.Command, name string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	hint := fmt.Sprintf("%s knows %s", cmd.CommandPath(), strings.Join(names, ", "))
	if n := config.Nearest(name, names); n != "" {
		hint = "did you mean " + n + "?"
	}
	return &outbox.Invalid{Text: fmt.Sprintf("unknown command %q", name), Hint: hint}
}

// flagError makes an error about flags one of usage: it says what a flag takes
// whose value is wrong, and names the nearest flag to one that is unknown.
func flagError(cmd *cobra.Command, err error) error {
	bad := &outbox.Invalid{Text: err.Error(), Hint: "`" + cmd.CommandPath() + " --help` lists the flags"}
	var wrong *pflag.InvalidValueError
	if errors.As(err, &wrong) {
		return &outbox.Invalid{Option: wrong.GetFlag().Name, Text: fmt.Sprintf("%q is not %s", wrong.GetValue(), flagForms[wrong.GetFlag().Value.Type()])}
	}
	var missing *pflag.NotExistError
	if errors.As(err, &missing) {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if n := config.Nearest(missing.GetSpecifiedName(), names); n != "" {
			bad.Hint = "did you mean --" + n + "?"
		}
	}
	return bad
}

// flagForms are what the flags of the commands take, by pflag's types; the
// options' own are read by config.
var flagForms = map[string]string{
	"bool": "one of true, false", "int": "a whole number", "duration": "a duration such as 5ms, 15s, 1m or 24h", "stringSlice": "a list with commas between",
}

// noArguments refuses arguments.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &outbox.Invalid{Text: fmt.Sprintf("unexpected argument %q", args[0]), Hint: "options begin with --"}
	}
	return nil
}

// load reads the configuration of a command and makes its logger.
func (a *app) load(c config.Command, cmd *cobra.Command) (*config.Config, *slog.Logger, error) {
	cfg, err := config.Load(c, cmd.Flags(), a.environ)
	if err != nil {
		return nil, nil, err
	}
	options := &slog.HandlerOptions{Level: cfg.Level()}
	var handler slog.Handler = slog.NewTextHandler(a.stderr, options)
	if cfg.LogFormat == "json" {
		handler = slog.NewJSONHandler(a.stderr, options)
	}
	log := slog.New(handler)
	for _, w := range cfg.Warnings {
		log.Warn(w)
	}
	return cfg, log, nil
}

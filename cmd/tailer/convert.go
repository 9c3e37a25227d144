package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/tailer-io/tailer/internal/convert"
	"github.com/tailer-io/tailer/internal/outbox"
)

func (a *app) convertCommand() *cobra.Command {
	cmd := group("convert", "Print another relay's configuration as tailer's YAML.")
	cmd.Short = "print another relay's configuration as tailer's"
	cmd.AddCommand(a.convertDebeziumCommand())
	return cmd
}

// convertFlags are the flags of convert debezium.
type convertFlags struct {
	force  bool
	tables []string
	worker string
	output string
}

func (a *app) convertDebeziumCommand() *cobra.Command {
	var f convertFlags
	cmd := &cobra.Command{
		Use:   "debezium FILE",
		Short: "from a Debezium connector with the Outbox Event Router",
		Long: `Read the configuration of a Debezium connector (the JSON of Kafka Connect, or
the properties of Debezium Server; - is standard input) and print the equivalent
YAML. Status 1 if an option that changes bytes, routing or order could not be
carried over: each is named, and nothing is printed. With --force the rest is
printed, with status 0. With --output json the YAML, the notes and what was lost
are one document on stdout.`,
		Example: `  tailer convert debezium connector.json > tailer.yaml
  tailer convert debezium connector.json --worker connect-distributed.properties
  tailer convert debezium application.properties --outbox-table public.outbox
  tailer convert debezium connector.json --output json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &outbox.Invalid{Text: "one file is wanted", Hint: "tailer convert debezium FILE; - is standard input"}
			}
			return nil
		},
		ValidArgsFunction: filesNamed([]string{"json", "properties"}),
		RunE:              func(_ *cobra.Command, args []string) error { return a.convertDebezium(args[0], f) },
	}
	cmd.Flags().BoolVar(&f.force, "force", false, "print what there is, whatever could not be carried over")
	cmd.Flags().StringSliceVar(&f.tables, "outbox-table", nil, "the outbox tables, where table.include.list is a pattern; repeatable")
	cmd.Flags().StringVar(&f.worker, "worker", "", "properties of the Connect worker, for the converters that the connector does not name")
	addOutput(cmd, &f.output)
	return cmd
}

func (a *app) convertDebezium(path string, f convertFlags) error {
	data, err := a.readArgument("", path)
	if err != nil {
		return err
	}
	options := convert.Options{Tables: f.tables}
	if f.worker != "" {
		if options.Worker, err = a.readArgument("worker", f.worker); err != nil {
			return err
		}
	}
	result, err := convert.Debezium(data, options)
	if err != nil {
		return &outbox.Invalid{Text: fmt.Sprintf("%s: %s", path, err), Hint: "wanted is the JSON of a connector, or properties of Debezium Server"}
	}
	if err := a.printConverted(result, f); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	if len(result.Lost) > 0 && !f.force {
		return fmt.Errorf("convert: %d lost, as named above; --force prints the rest", len(result.Lost))
	}
	return nil
}

// converted is what convert prints with --output json.
type converted struct {
	YAML  *string  `json:"yaml"`  // null where something was lost, without --force
	Notes []string `json:"notes"` // what to know about it
	Lost  []string `json:"lost"`  // what could not be carried over
}

func (a *app) printConverted(result *convert.Result, f convertFlags) error {
	whole := len(result.Lost) == 0 || f.force
	if f.output == outputJSON {
		c := converted{Notes: append([]string{}, result.Notes...), Lost: append([]string{}, result.Lost...)}
		if whole {
			text := string(result.YAML)
			c.YAML = &text
		}
		return printJSON(a.stdout, c)
	}
	for _, n := range result.Notes {
		fmt.Fprintf(a.stderr, "note: %s\n", oneLine(n))
	}
	for _, l := range result.Lost {
		fmt.Fprintf(a.stderr, "lost: %s\n", oneLine(l))
	}
	if !whole {
		return nil
	}
	_, err := a.stdout.Write(result.YAML)
	return err
}

// readArgument reads a file, or standard input for -; option is what names it, ""
// for an argument.
func (a *app) readArgument(option, path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(a.stdin)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &outbox.Invalid{Option: option, Text: fmt.Sprintf("cannot be read: %v", err)}
	}
	return data, nil
}

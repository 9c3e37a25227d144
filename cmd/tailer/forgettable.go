package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tailer-io/tailer/internal/checkpoint"
	"github.com/tailer-io/tailer/internal/config"
	"github.com/tailer-io/tailer/internal/outbox"
)

// tableForgotten is what checkpoint forget-table prints with --output json.
type tableForgotten struct {
	Name     string             `json:"name"`
	Table    string             `json:"table"`
	Replaced *checkpoint.Record `json:"replaced"`
}

func (a *app) checkpointForgetTable() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "forget-table TABLE",
		Short: "take a table out of the checkpoint that is not configured any more",
		Long: `Take a table out of the checkpoint, and in Postgres out of the publication, after
it was taken out of the configuration: until then run refuses (tables_changed).
TABLE is its name as the refusal has it. Rows of it that are committed behind the
checkpoint's position are given up; those up to there are published.

It refuses while the checkpoint stands inside a transaction. The record that is
replaced is printed, in the form that set takes; in Postgres, what was committed to
the table since it left the publication does not come back with it.`,
		Example: `  tailer checkpoint forget-table public.outbox_old --config /etc/tailer.yaml
  tailer checkpoint forget-table public.outbox_old --config /etc/tailer.yaml --output json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &outbox.Invalid{Text: "checkpoint forget-table wants one TABLE"}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.forgetTable(cmd, args[0], output) },
	}
	config.AddFlags(cmd.Flags(), config.Checkpoint)
	addOutput(cmd, &output)
	return cmd
}

func (a *app) forgetTable(cmd *cobra.Command, table, output string) error {
	cfg, p, err := a.buildForCheckpoint(cmd)
	if err != nil {
		return err
	}
	old, did, err := p.pipeline.ForgetTable(cmd.Context(), table)
	if old == nil {
		return fmt.Errorf("forget table %s: %w", table, err)
	}
	lines := append(replaced(old),
		fmt.Sprintf("%s has forgotten table %s: its rows up to %s are published, those behind are given up", cfg.Name, table, old.Position))
	if did != "" {
		lines = append(lines, did)
	}
	if printed := a.print(output, lines, tableForgotten{cfg.Name, table, old}); printed != nil {
		return printed
	}
	if err != nil {
		return fmt.Errorf("the table is forgotten, and the publication still lists it, which does no harm: %w", err)
	}
	return nil
}

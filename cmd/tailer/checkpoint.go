package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tailer-io/tailer/internal/checkpoint"
	"github.com/tailer-io/tailer/internal/config"
	"github.com/tailer-io/tailer/internal/outbox"
)

func (a *app) checkpointCommand() *cobra.Command {
	cmd := group("checkpoint", `Look at the checkpoint, or change where the next start begins. set and reset
refuse (status 3) while an instance of the name is active.`)
	cmd.Short = "show, set or reset the saved position"
	cmd.AddCommand(a.checkpointShow(), a.checkpointSet(), a.checkpointReset())
	return cmd
}

func (a *app) checkpointShow() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "print the checkpoint as JSON",
		Long:    "Print the newest committed checkpoint as JSON. Nothing is changed, and a running\ntailer notices nothing. Status 1 if there is none.",
		Example: "  tailer checkpoint show --config /etc/tailer.yaml",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, p, err := a.buildForCheckpoint(cmd)
			if err != nil {
				return err
			}
			record, err := p.pipeline.ShowCheckpoint(cmd.Context())
			if err != nil {
				return fmt.Errorf("read the checkpoint: %w", err)
			}
			if record == nil {
				return fmt.Errorf("there is no checkpoint of %s", cfg.Name)
			}
			return printJSON(a.stdout, record)
		},
	}
	config.AddFlags(cmd.Flags(), config.Checkpoint)
	return cmd
}

func (a *app) checkpointSet() *cobra.Command {
	var now, fromSlot bool
	cmd := &cobra.Command{
		Use:   "set [POSITION]",
		Short: "make the next start stream from a position, from now or from the slot",
		Long: `Make the next start stream from a position of the log, from the slot's confirmed
position (Postgres), or from now on. A position is an LSN, a GTID set, MariaDB's
GTID position, or FILE:OFFSET of a binlog. Rows between the old and the new
position are skipped, or published again. The position is proven against the
server first; the record that is replaced is printed.`,
		Example: `  tailer checkpoint set 0/16B3748 --config /etc/tailer.yaml
  tailer checkpoint set 0-1-42 --config /etc/tailer.yaml
  tailer checkpoint set --from-slot --config /etc/tailer.yaml
  tailer checkpoint set --now --config /etc/tailer.yaml`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return a.setCheckpoint(cmd, args, now, fromSlot) },
	}
	config.AddFlags(cmd.Flags(), config.Checkpoint)
	cmd.Flags().BoolVar(&now, "now", false, "skip everything that is committed so far")
	cmd.Flags().BoolVar(&fromSlot, "from-slot", false, "Postgres: go on at the slot's confirmed position")
	return cmd
}

func (a *app) setCheckpoint(cmd *cobra.Command, args []string, now, fromSlot bool) error {
	ways := len(args)
	for _, given := range []bool{now, fromSlot} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return &outbox.Invalid{Text: "checkpoint set wants exactly one of POSITION, --now and --from-slot"}
	}
	cfg, p, err := a.buildForCheckpoint(cmd)
	if err != nil {
		return err
	}
	var at func(context.Context) (outbox.Resume, error)
	switch {
	case now:
		at = p.source.Now
	case fromSlot:
		at = p.atSlot
	default:
		if at, err = p.atPosition(args[0]); err != nil {
			return err
		}
	}
	var set outbox.Resume
	old, err := p.pipeline.SetCheckpoint(cmd.Context(), func(ctx context.Context) (r outbox.Resume, err error) {
		set, err = at(ctx)
		return set, err
	})
	if err != nil {
		return fmt.Errorf("set the checkpoint: %w", err)
	}
	a.printReplaced(old)
	a.printLines([]string{fmt.Sprintf("the next start of %s streams from %s", cfg.Name, set.Position.Text)})
	return nil
}

// atSlot is the slot's confirmed position.
func (p *parts) atSlot(ctx context.Context) (outbox.Resume, error) {
	exists, at, err := p.source.Anchor(ctx)
	if err == nil && !exists {
		err = outbox.Refuse("slot_missing", "`tailer checkpoint reset` starts anew, `tailer checkpoint set POSITION` goes on elsewhere", "there is no slot to start from")
	}
	return at, err
}

// atPosition is a position that the user names, on the server's current branch
// of history.
func (p *parts) atPosition(text string) (func(context.Context) (outbox.Resume, error), error) {
	position, err := p.source.ParsePosition(text)
	if err != nil {
		return nil, &outbox.Invalid{Text: err.Error(), Hint: "want " + p.source.Example() + "; or --now"}
	}
	return func(ctx context.Context) (outbox.Resume, error) {
		r, err := p.source.Now(ctx)
		r.Position = position
		return r, err
	}, nil
}

func (a *app) checkpointReset() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reset",
		Short: "forget the checkpoint and drop the slot: the next start is a first start",
		Long: `Forget the checkpoint and, in Postgres, drop the replication slot. The next start
is a first start: with --snapshot initial it publishes the rows that are in the tables, with
--snapshot never only what is inserted from then on. The record that is
forgotten is printed.`,
		Example: "  tailer checkpoint reset --config /etc/tailer.yaml",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, p, err := a.buildForCheckpoint(cmd)
			if err != nil {
				return err
			}
			old, err := p.pipeline.ResetCheckpoint(cmd.Context())
			if err != nil {
				return fmt.Errorf("reset the checkpoint: %w", err)
			}
			a.printReplaced(old)
			a.printLines([]string{fmt.Sprintf("the next start of %s is a first start", cfg.Name)})
			return nil
		},
	}
	config.AddFlags(cmd.Flags(), config.Checkpoint)
	return cmd
}

// buildForCheckpoint makes the parts, of which one must be a store.
func (a *app) buildForCheckpoint(cmd *cobra.Command) (*config.Config, *parts, error) {
	cfg, log, err := a.load(config.Checkpoint, cmd)
	if err != nil {
		return nil, nil, err
	}
	if cfg.Sink == config.SinkStdout && cfg.CheckpointFile == "" {
		return nil, nil, &outbox.Invalid{Option: "checkpoint-file", Text: "is required with --sink stdout, which keeps no checkpoint without it"}
	}
	p, err := build(cfg, log, a.stdout)
	return cfg, p, err
}

func (a *app) printReplaced(old *checkpoint.Record) {
	if old != nil {
		a.printLines([]string{"replaced " + string(old.Encode())})
	}
}

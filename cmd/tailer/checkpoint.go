package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tailer-io/tailer/internal/checkpoint"
	"github.com/tailer-io/tailer/internal/config"
	"github.com/tailer-io/tailer/internal/outbox"
)

func (a *app) checkpointCommand() *cobra.Command {
	cmd := group("checkpoint", `Look at the checkpoint, or change where the next start begins. set, skip,
forget-table and reset refuse (status 3) while an instance of the name is active.`)
	cmd.Short = "show, set or reset the saved position, step over a row, forget a table"
	cmd.AddCommand(a.checkpointShow(), a.checkpointSet(), a.checkpointSkip(), a.checkpointForgetTable(), a.checkpointReset())
	return cmd
}

func (a *app) checkpointShow() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "show",
		Short: "print the checkpoint as JSON",
		Long: `Print the newest committed checkpoint as JSON, whatever --output says. Nothing is
changed, and a running tailer notices nothing. Status 1 if there is none.`,
		Example: `  tailer checkpoint show --config /etc/tailer.yaml
  tailer checkpoint show --config /etc/tailer.yaml --output json`,
		Args: noArguments,
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
	addOutput(cmd, &output)
	return cmd
}

func (a *app) checkpointSet() *cobra.Command {
	var now, fromSlot bool
	var output string
	var debezium debeziumOffset
	cmd := &cobra.Command{
		Use:   "set [POSITION]",
		Short: "make the next start stream from a position, from now or from the slot",
		Long: `Make the next start stream from a position of the log, from the slot's confirmed
position (Postgres), from where a Debezium connector stopped, or from now on. A
position is an LSN, a GTID set, MariaDB's GTID position, or FILE:OFFSET of a
binlog; or a record as show prints it and as set, skip, forget-table and reset print
the one that they replace, which may stand inside a transaction. Rows between the old and
the new position are skipped, or published again. The position is proven against
the server first; the record that is replaced is printed.

A connector's offset may stand inside a transaction too: its first rows are then
counted in the log. Stop the connector before its offset is read.`,
		Example: `  tailer checkpoint set 0/16B3748 --config /etc/tailer.yaml
  tailer checkpoint set 0-1-42 --config /etc/tailer.yaml
  tailer checkpoint set --from-slot --config /etc/tailer.yaml
  tailer checkpoint set --now --config /etc/tailer.yaml --output json
  curl -s http://connect:8083/connectors/orders/offsets | tailer checkpoint set --from-debezium-offset - --config /etc/tailer.yaml
  tailer checkpoint set "$(tailer checkpoint show --config /etc/tailer.yaml)" --config /etc/tailer.yaml`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.setCheckpoint(cmd, args, now, fromSlot, debezium, output)
		},
	}
	config.AddFlags(cmd.Flags(), config.Checkpoint)
	cmd.Flags().BoolVar(&now, "now", false, "skip everything that is committed so far")
	cmd.Flags().BoolVar(&fromSlot, "from-slot", false, "Postgres: go on at the slot's confirmed position")
	debezium.flags(cmd)
	addOutput(cmd, &output)
	return cmd
}

// checkpointSet is what checkpoint set prints with --output json.
type checkpointSet struct {
	Name     string             `json:"name"`
	Replaced *checkpoint.Record `json:"replaced"` // null for none
	Position string             `json:"position"` // where the next start streams from
	Open     *outbox.Open       `json:"open"`     // how far into the transaction behind it; null: not at all
}

func (a *app) setCheckpoint(cmd *cobra.Command, args []string, now, fromSlot bool, debezium debeziumOffset, output string) error {
	ways := len(args)
	for _, given := range []bool{now, fromSlot, debezium.file != ""} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return &outbox.Invalid{Text: "checkpoint set wants exactly one of POSITION, --now, --from-slot and --from-debezium-offset"}
	}
	if debezium.file == "" && debezium.includeQuery != "" {
		return &outbox.Invalid{Option: "debezium-include-query", Text: "is for --from-debezium-offset alone"}
	}
	cfg, p, err := a.buildForCheckpoint(cmd)
	if err != nil {
		return err
	}
	var at func(context.Context) (outbox.Resume, error)
	switch {
	case now:
		at = p.source.Now
	case fromSlot && cfg.SourceKind() != outbox.Postgres:
		return &outbox.Invalid{Option: "from-slot", Text: fmt.Sprintf("is for postgres:// only; %s:// has no slot", cfg.SourceKind()),
			Hint: "want " + p.source.Example() + "; or --now"}
	case fromSlot:
		at = p.atSlot
	case debezium.file != "":
		if at, err = debezium.position(a, cfg, p); err != nil {
			return err
		}
	case strings.HasPrefix(strings.TrimSpace(args[0]), "{"):
		if at, err = p.atRecord(cfg, args[0]); err != nil {
			return err
		}
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
	return a.print(output, append(replaced(old), fmt.Sprintf("the next start of %s streams from %s%s", cfg.Name, set.Position.Text, inside(set.Open))),
		checkpointSet{cfg.Name, old, set.Position.Text, set.Open})
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
		return nil, &outbox.Invalid{Text: fmt.Sprintf("%q is no position", text), Hint: "want " + p.source.Example() + "; or --now"}
	}
	return func(ctx context.Context) (outbox.Resume, error) {
		r, err := p.source.Now(ctx)
		r.Position = position
		return r, err
	}, nil
}

// atRecord is where a record says, with its transaction if it stands inside one.
func (p *parts) atRecord(cfg *config.Config, text string) (func(context.Context) (outbox.Resume, error), error) {
	r, err := checkpoint.Decode([]byte(text))
	var refused *outbox.Refusal
	switch {
	case errors.As(err, &refused) && refused.Reason == checkpoint.ReasonUnreadable:
		return nil, &outbox.Invalid{Text: refused.Text, Hint: "want a record as `tailer checkpoint show` prints it, or " + p.source.Example()}
	case err != nil:
		return nil, err
	}
	switch {
	case r.Phase != checkpoint.PhaseStreaming:
		return nil, &outbox.Invalid{Text: "the record is of a first start that did not finish: it names no position", Hint: "`tailer checkpoint reset` starts anew"}
	case r.Source.Kind != cfg.SourceKind():
		return nil, &outbox.Invalid{Text: fmt.Sprintf("the record is of another kind of database: it is of %s, and --source-url names %s", r.Source.Kind, cfg.SourceKind())}
	case r.Open != nil && r.Open.Tables != checkpoint.TablesHash(cfg.TableNames()):
		return nil, &outbox.Invalid{Text: "the record stands inside a transaction whose rows were counted for other tables", Hint: "configure the same tables"}
	}
	return func(context.Context) (outbox.Resume, error) { return r.Resume(), nil }, nil
}

func (a *app) checkpointSkip() *cobra.Command {
	var id, output string
	var keep bool
	cmd := &cobra.Command{
		Use:   "skip --id ID",
		Short: "step over exactly the row at which it halted",
		Long: `Step over exactly the row at which tailer halted because it cannot be published
(status 3): the next start goes on right behind it, in the middle of its
transaction if need be. ID must be the id of that very row, as the refusal named
it. The record that is replaced is printed, in the form that set takes.

With --dead-letter the row is read from the log once more and put into the
dead-letter topic, in the transaction that moves the checkpoint.

A snapshot (of a first start, or of a table that was added) publishes everything or nothing: there the row is noted,
and the next start leaves it out, or puts it into the dead-letter topic.`,
		Example: `  tailer checkpoint skip --id 2f6a7c1e-8a5e-4a53-9d0f-1f3a5b7c9d11 --config /etc/tailer.yaml
  tailer checkpoint skip --id 1042 --dead-letter --config /etc/tailer.yaml --output json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.skipHalted(cmd, id, keep, output) },
	}
	config.AddFlags(cmd.Flags(), config.Checkpoint)
	cmd.Flags().StringVar(&id, "id", "", "id of the row, as the refusal named it; empty for NULL")
	cmd.Flags().BoolVar(&keep, "dead-letter", false, "keep the row in the dead-letter topic")
	addOutput(cmd, &output)
	return cmd
}

// checkpointSkipped is what checkpoint skip prints with --output json.
type checkpointSkipped struct {
	Name     string             `json:"name"`
	Replaced *checkpoint.Record `json:"replaced"`
	Row      skippedRow         `json:"row"`
	Snapshot bool               `json:"snapshot"` // the row is left out of the snapshot of the next start
	// DeadLetterTopic is where the row is or will be kept, null for nowhere.
	DeadLetterTopic *string `json:"dead_letter_topic"`
}

// skippedRow is the row that was stepped over.
type skippedRow struct {
	Table    string `json:"table"`
	ID       string `json:"id"` // "" for NULL
	Position string `json:"position"`
}

func (a *app) skipHalted(cmd *cobra.Command, id string, keep bool, output string) error {
	if !cmd.Flags().Changed("id") {
		return &outbox.Invalid{Option: "id", Text: "is required: the id of the row at which it halted"}
	}
	cfg, p, err := a.buildForCheckpoint(cmd)
	if err != nil {
		return err
	}
	row, old, err := p.pipeline.SkipHalted(cmd.Context(), id, keep)
	if err != nil {
		return fmt.Errorf("step over a row: %w", err)
	}
	if cfg.Sink == config.SinkStdout && keep {
		return nil // stdout has the dead letter, and is for nothing else
	}
	doc := checkpointSkipped{cfg.Name, old, skippedRow{row.Table, row.ID, row.Position}, old.Phase == checkpoint.PhaseSnapshot || row.InSnapshot(), nil}
	line := fmt.Sprintf("the next start of %s goes on behind the row with id %q of table %s at %s", cfg.Name, row.ID, row.Table, row.Position)
	kept := ", which is in " + cfg.DeadLetterTopic + " now"
	if doc.Snapshot {
		line = fmt.Sprintf("the snapshot of the next start of %s leaves out the row with id %q of table %s", cfg.Name, row.ID, row.Table)
		kept = " and puts it into " + cfg.DeadLetterTopic
	}
	if keep {
		line += kept
		doc.DeadLetterTopic = &cfg.DeadLetterTopic
	}
	return a.print(output, append(replaced(old), line), doc)
}

// checkpointForgotten is what checkpoint reset prints with --output json.
type checkpointForgotten struct {
	Name     string             `json:"name"`
	Replaced *checkpoint.Record `json:"replaced"` // null for none
}

func (a *app) checkpointReset() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "reset",
		Short: "forget the checkpoint and drop the slot: the next start is a first start",
		Long: `Forget the checkpoint and, in Postgres, drop the replication slot. The next start
is a first start: with --snapshot initial it publishes the rows that are in the tables, with
--snapshot never only what is inserted from then on. The record that is
forgotten is printed.`,
		Example: `  tailer checkpoint reset --config /etc/tailer.yaml
  tailer checkpoint reset --config /etc/tailer.yaml --output json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, p, err := a.buildForCheckpoint(cmd)
			if err != nil {
				return err
			}
			old, err := p.pipeline.ResetCheckpoint(cmd.Context())
			if err != nil {
				return fmt.Errorf("reset the checkpoint: %w", err)
			}
			return a.print(output, append(replaced(old), fmt.Sprintf("the next start of %s is a first start", cfg.Name)),
				checkpointForgotten{cfg.Name, old})
		},
	}
	config.AddFlags(cmd.Flags(), config.Checkpoint)
	addOutput(cmd, &output)
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

// replaced is the line about the record that a command replaced, in the form
// that set takes; none for none.
func replaced(old *checkpoint.Record) []string {
	if old == nil {
		return nil
	}
	return []string{"replaced " + string(old.Encode())}
}

package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tailer-io/tailer/internal/checkpoint"
	"github.com/tailer-io/tailer/internal/config"
	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/pipeline"
)

// recovered is what recover prints with --output json.
type recovered struct {
	Name     string             `json:"name"`
	Replaced *checkpoint.Record `json:"replaced"` // null for none, and with --dry-run
	Tables   []rowsOfTable      `json:"tables"`
	Position *string            `json:"position"` // where the next start streams from, null with --dry-run
}

// rowsOfTable counts the rows of a table that are published, or would be.
type rowsOfTable struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
	// All is how many the table has; missing where nobody has counted them.
	All *int64 `json:"all,omitempty"`
}

func (a *app) recoverCommand() *cobra.Command {
	var c choosing
	var dryRun, yes bool
	var output string
	cmd := &cobra.Command{
		Use:   "recover (--where SQL | --from-id ID)",
		Short: "begin anew where the log is lost, with some of the rows in the tables",
		Long: `Begin anew where the log behind the checkpoint is lost: the slot was dropped or
invalidated, the binlog purged, the database restored. It replaces slot and
checkpoint as a first start does, and publishes those rows of its snapshot that
you choose, in one transaction with the new checkpoint: none that are committed
later is missed, and the next ` + "`tailer run`" + ` streams on from there. A tailer that
waits (--on-refusal wait) does so by itself.

Choose the rows that were committed since the old checkpoint, and some before:
those are published twice. Rows that are deleted already are lost. --dry-run
counts, and changes nothing. The condition has to choose rows that are yet to come
as well: those that are committed before the new slot is there, and are not
chosen, are lost. ` + "`tailer checkpoint show`" + ` has in last_commit when the newest
published row was committed. --where is one expression in the database's own SQL,
evaluated read-only, with times in UTC; it applies to every table that has not
been left out by --table.

It asks first; --yes answers for scripts. It refuses (status 3) while an instance
is active. If it is cut off it has either done everything or can be said again;
a tailer that is started then begins anew with the same rows.`,
		Example: `  tailer recover --where "created_at > '2026-01-02 15:00'" --dry-run --config /etc/tailer.yaml
  tailer recover --where "created_at > '2026-01-02 15:00'" --config /etc/tailer.yaml
  tailer recover --from-id 1042 --table public.outbox --yes --config /etc/tailer.yaml --output json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.recover(cmd, &c, dryRun, yes, output) },
	}
	config.AddFlags(cmd.Flags(), config.Recover)
	c.flags(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "count the rows, and change nothing")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	addOutput(cmd, &output)
	return cmd
}

func (a *app) recover(cmd *cobra.Command, c *choosing, dryRun, yes bool, output string) error {
	cfg, log, err := a.load(config.Recover, cmd)
	if err != nil {
		return err
	}
	if keepsNothing(cfg) {
		return &outbox.Invalid{Option: "checkpoint-file", Text: "is required with --sink stdout, which keeps no checkpoint without it"}
	}
	f, err := c.filter(cfg)
	if err != nil {
		return err
	}
	p, err := build(cfg, log, a.stdout)
	if err != nil {
		return err
	}
	if dryRun {
		return a.countChosen(cmd.Context(), cfg, p, f, output)
	}
	out := a.stdout
	if cfg.Sink == config.SinkStdout || output == outputJSON {
		out = a.stderr // stdout has the messages, or the document, and is for nothing else
	}
	doc := recovered{Name: cfg.Name, Tables: []rowsOfTable{}}
	rec, err := p.pipeline.Recover(cmd.Context(), f, func(r pipeline.Recovery) error {
		doc.Replaced = r.Replaced
		for i, t := range cfg.TableNames() {
			doc.Tables = append(doc.Tables, rowsOfTable{Table: t, Rows: r.Chosen[i]})
		}
		printRecovery(out, cfg, f, r)
		if yes {
			return nil
		}
		return a.confirm(fmt.Sprintf("begin anew, with %s?", plural(sum(r.Chosen))))
	})
	if err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	doc.Position = &rec.Position
	line := fmt.Sprintf("published; the next start of %s streams from %s", cfg.Name, rec.Position)
	if cfg.Sink == config.SinkStdout {
		fmt.Fprintln(out, line)
		return nil
	}
	return a.print(output, []string{line}, doc)
}

// countChosen says how many rows would be published, of how many.
func (a *app) countChosen(ctx context.Context, cfg *config.Config, p *parts, f outbox.Filter, output string) error {
	defer p.source.Close()
	chosen, err := p.source.CountChosen(ctx, f)
	if err != nil {
		return fmt.Errorf("count the rows: %w", err)
	}
	all, err := p.source.CountChosen(ctx, outbox.Filter{})
	if err != nil {
		return fmt.Errorf("count the rows: %w", err)
	}
	var lines []string
	doc := recovered{Name: cfg.Name, Tables: []rowsOfTable{}}
	for i, t := range cfg.TableNames() {
		lines = append(lines, fmt.Sprintf("%s: %d of %s", t, chosen[i], plural(all[i])))
		doc.Tables = append(doc.Tables, rowsOfTable{t, chosen[i], &all[i]})
	}
	last := plural(sum(chosen)) + " would be published; nothing was changed"
	if n := sum(chosen); n > cfg.SnapshotMaxRows {
		last = fmt.Sprintf("%s would be published: it would be refused, because that is more than --snapshot-max-rows %d", plural(n), cfg.SnapshotMaxRows)
	}
	return a.print(output, append(lines, last), doc)
}

// printRecovery says what is about to be done.
func printRecovery(w io.Writer, cfg *config.Config, f outbox.Filter, r pipeline.Recovery) {
	if r.Replaced != nil {
		fmt.Fprintf(w, "replaces %s\n", r.Replaced.Encode())
	}
	if r.Continues {
		fmt.Fprintf(w, "NOTHING IS LOST: the log goes on at that checkpoint, and so would `tailer run`; rows behind it that are not chosen will be\n")
	}
	if cfg.PgSlot != "" {
		fmt.Fprintf(w, "makes slot %s anew\n", cfg.PgSlot)
	}
	for i, t := range cfg.TableNames() {
		fmt.Fprintf(w, "publishes %s of %s\n", plural(r.Chosen[i]), t)
	}
	fmt.Fprintf(w, "chosen are %s\n", f)
	if r.Replaced != nil && !r.Replaced.LastCommit.IsZero() {
		fmt.Fprintf(w, "the newest row that is published already was committed at %s, by the database's clock\n", r.Replaced.LastCommit.UTC().Format(time.RFC3339Nano))
	}
}

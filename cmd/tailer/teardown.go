package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tailer-io/tailer/internal/checkpoint"
	"github.com/tailer-io/tailer/internal/config"
	"github.com/tailer-io/tailer/internal/outbox"
)

func (a *app) teardownCommand() *cobra.Command {
	var yes bool
	var output string
	cmd := &cobra.Command{
		Use:   "teardown",
		Short: "drop slot and publication, forget the checkpoint",
		Long: `Forget the checkpoint of this name and, in Postgres, drop the replication slot and
the publication. A later run is a first start again. Asks first; --yes answers for scripts.
The record that is forgotten is printed. The topics with messages stay, and so does the checkpoint topic.`,
		Example: `  tailer teardown --config /etc/tailer.yaml
  tailer teardown --config /etc/tailer.yaml --yes
  tailer teardown --config /etc/tailer.yaml --yes --output json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.teardown(cmd, yes, output) },
	}
	config.AddFlags(cmd.Flags(), config.Teardown)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	addOutput(cmd, &output)
	return cmd
}

// tornDown is what teardown prints with --output json.
type tornDown struct {
	Name     string             `json:"name"`
	Replaced *checkpoint.Record `json:"replaced"` // the record that is forgotten, null for none
	Done     []string           `json:"done"`     // a line each
}

func (a *app) teardown(cmd *cobra.Command, yes bool, output string) error {
	cfg, log, err := a.load(config.Teardown, cmd)
	if err != nil {
		return err
	}
	p, err := build(cfg, log, a.stdout)
	if err != nil {
		return err
	}
	if !yes {
		question := fmt.Sprintf("forget the checkpoint of %s?", cfg.Name)
		if what := p.source.Belongings(); len(what) > 0 {
			question = fmt.Sprintf("drop %s and forget the checkpoint of %s?", strings.Join(what, " and "), cfg.Name)
		}
		if err := a.confirm(question); err != nil {
			return err
		}
	}
	old, err := p.forget(cmd.Context())
	if err != nil {
		return fmt.Errorf("forget the checkpoint: %w", err)
	}
	defer p.source.Close()
	more, err := p.source.Teardown(cmd.Context())
	done := []string{}
	if old != nil {
		if cfg.PgSlot != "" {
			done = append(done, "dropped slot "+cfg.PgSlot)
		}
		done = append(done, "forgot the checkpoint of "+cfg.Name)
		more = slices.DeleteFunc(more, func(line string) bool { return strings.HasPrefix(line, "slot ") }) // gone already
	}
	done = append(done, more...)
	if perr := a.print(output, append(replaced(old), done...), tornDown{cfg.Name, old, done}); perr != nil && err == nil {
		return fmt.Errorf("write stdout: %w", perr)
	}
	if err != nil {
		return fmt.Errorf("tear down the database's part: %w", err)
	}
	return nil
}

// forget drops slot and checkpoint, where there is a store, and returns the
// record. Without a checkpoint topic there is nothing to forget, and none is
// created for it.
func (p *parts) forget(ctx context.Context) (*checkpoint.Record, error) {
	switch {
	case p.file != nil:
	case p.kafka == nil:
		return nil, nil
	default:
		there, err := p.kafka.Exists(ctx)
		if err != nil || !there {
			p.kafka.Close()
			return nil, err
		}
	}
	return p.pipeline.ResetCheckpoint(ctx)
}

// confirm asks on the terminal. Whoever cannot be asked has to say --yes.
func (a *app) confirm(question string) error {
	cannot := &outbox.Invalid{Option: "yes", Text: "is required where there is no terminal to ask on"}
	info, err := a.stdin.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return cannot
	}
	fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	answer, err := bufio.NewReader(a.stdin).ReadString('\n')
	if errors.Is(err, io.EOF) && answer == "" {
		fmt.Fprintln(a.stderr)
		return cannot // /dev/null is a character device too
	}
	if said := strings.ToLower(strings.TrimSpace(answer)); said != "y" && said != "yes" {
		return errors.New("not confirmed; nothing was changed")
	}
	return nil
}

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

	"github.com/tailer-io/tailer/internal/config"
	"github.com/tailer-io/tailer/internal/outbox"
)

func (a *app) teardownCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "teardown",
		Short: "drop slot and publication, forget the checkpoint",
		Long: `Forget the checkpoint of this name and, in Postgres, drop the replication slot and
the publication. A later run is a first start again. Asks first; --yes answers for scripts.
The topics with messages stay, and so does the checkpoint topic.`,
		Example: `  tailer teardown --config /etc/tailer.yaml
  tailer teardown --config /etc/tailer.yaml --yes`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.teardown(cmd, yes) },
	}
	config.AddFlags(cmd.Flags(), config.Teardown)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (a *app) teardown(cmd *cobra.Command, yes bool) error {
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
	forgot, err := p.forget(cmd.Context())
	if err != nil {
		return fmt.Errorf("forget the checkpoint: %w", err)
	}
	defer p.source.Close()
	done, err := p.source.Teardown(cmd.Context())
	if forgot {
		if cfg.PgSlot != "" {
			a.printLines([]string{"dropped slot " + cfg.PgSlot})
		}
		a.printLines([]string{"forgot the checkpoint of " + cfg.Name})
		done = slices.DeleteFunc(done, func(line string) bool { return strings.HasPrefix(line, "slot ") }) // gone already
	}
	a.printLines(done)
	if err != nil {
		return fmt.Errorf("tear down the database's part: %w", err)
	}
	return nil
}

// forget drops slot and checkpoint, where there is a store. Without a
// checkpoint topic there is nothing to forget, and none is created for it.
func (p *parts) forget(ctx context.Context) (bool, error) {
	switch {
	case p.file != nil:
	case p.kafka == nil:
		return false, nil
	default:
		there, err := p.kafka.Exists(ctx)
		if err != nil || !there {
			p.kafka.Close()
			return false, err
		}
	}
	old, err := p.pipeline.ResetCheckpoint(ctx)
	return old != nil, err
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

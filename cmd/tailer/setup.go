package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tailer-io/tailer/internal/config"
	"github.com/tailer-io/tailer/internal/pipeline"
)

func (a *app) setupCommand() *cobra.Command {
	var print bool
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "create what is missing: publication, checkpoint topic, slot",
		Long: `Create what is missing: the checkpoint topic and, in Postgres, the publication
and, with --snapshot never, the replication slot. (The slot of a first start with
snapshot is run's own to make.) run does the same by itself where it has the rights;
setup is for when it has not: --print prints the statements and command lines,
with the least rights that run needs, and changes nothing.`,
		Example: `  tailer setup --config /etc/tailer.yaml
  tailer setup --config /etc/tailer.yaml --print > setup.txt`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.setup(cmd, print) },
	}
	config.AddFlags(cmd.Flags(), config.Setup)
	cmd.Flags().BoolVar(&print, "print", false, "print what to do instead of doing it")
	return cmd
}

func (a *app) setup(cmd *cobra.Command, print bool) error {
	cfg, log, err := a.load(config.Setup, cmd)
	if err != nil {
		return err
	}
	p, err := build(cfg, log, a.stdout)
	if err != nil {
		return err
	}
	if print {
		a.printLines(p.source.SetupSQL())
		if p.kafka != nil {
			a.printLines(p.kafka.SetupLines(cfg.Name))
		}
		return nil
	}
	defer p.source.Close()
	done, err := p.source.Setup(cmd.Context(), cfg.Snapshot == config.SnapshotNever)
	a.printLines(done)
	if err != nil {
		return fmt.Errorf("set up the database: %w", err)
	}
	if p.kafka == nil {
		return nil
	}
	defer p.kafka.Close()
	if cfg.CheckpointTopic != "" {
		if err := a.createTopic(cmd.Context(), p, cfg.CheckpointTopic); err != nil {
			return err
		}
	}
	if cfg.OnPoison != pipeline.DeadLetter {
		return nil
	}
	return a.createDeadLetters(cmd.Context(), p, cfg.DeadLetterTopic)
}

// createDeadLetters makes the dead-letter topic unless it is there.
func (a *app) createDeadLetters(ctx context.Context, p *parts, topic string) error {
	created, err := p.kafka.SetupDeadLetters(ctx)
	if err != nil {
		return fmt.Errorf("create the dead-letter topic: %w", err)
	}
	line := "dead-letter topic " + topic + " is there already"
	if created {
		line = "created dead-letter topic " + topic
	}
	a.printLines([]string{line})
	return nil
}

// createTopic makes the checkpoint topic unless it is there.
func (a *app) createTopic(ctx context.Context, p *parts, topic string) error {
	there, err := p.kafka.Exists(ctx)
	if err != nil {
		return fmt.Errorf("look for the checkpoint topic: %w", err)
	}
	if there {
		a.printLines([]string{"checkpoint topic " + topic + " is there already"})
		return nil
	}
	if err := p.kafka.Create(ctx); err != nil {
		return fmt.Errorf("create the checkpoint topic: %w", err)
	}
	a.printLines([]string{"created checkpoint topic " + topic})
	return nil
}

func (a *app) printLines(lines []string) {
	for _, l := range lines {
		fmt.Fprintln(a.stdout, l)
	}
}

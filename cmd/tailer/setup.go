package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tailer-io/tailer/internal/config"
	"github.com/tailer-io/tailer/internal/pipeline"
)

func (a *app) setupCommand() *cobra.Command {
	var print bool
	var output string
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "create what is missing: publication, checkpoint topic, slot",
		Long: `Create what is missing: the checkpoint topic and, in Postgres, the publication
and, with --snapshot never, the replication slot. (The slot of a first start with
snapshot is run's own to make.) run does the same by itself where it has the rights;
setup is for when it has not: --print prints the statements and command lines,
with the least rights that run needs, and changes nothing.`,
		Example: `  tailer setup --config /etc/tailer.yaml
  tailer setup --config /etc/tailer.yaml --print > setup.txt
  tailer setup --config /etc/tailer.yaml --output json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.setup(cmd, print, output) },
	}
	config.AddFlags(cmd.Flags(), config.Setup)
	cmd.Flags().BoolVar(&print, "print", false, "print what to do instead of doing it")
	addOutput(cmd, &output)
	return cmd
}

// setupPrinted is what setup --print prints with --output json: statements,
// and command lines.
type setupPrinted struct {
	Database []string `json:"database"`
	Kafka    []string `json:"kafka"`
}

// setupDone is what setup prints with --output json: what it did, a line each.
type setupDone struct {
	Done []string `json:"done"`
}

func (a *app) setup(cmd *cobra.Command, print bool, output string) error {
	cfg, log, err := a.load(config.Setup, cmd)
	if err != nil {
		return err
	}
	p, err := build(cfg, log, a.stdout)
	if err != nil {
		return err
	}
	if print {
		lines := setupPrinted{Database: p.source.SetupSQL(), Kafka: []string{}}
		if p.kafka != nil {
			lines.Kafka = p.kafka.SetupLines(cfg.Name)
		}
		return a.print(output, slices.Concat(lines.Database, lines.Kafka), lines)
	}
	done, err := setUp(cmd.Context(), cfg, p)
	if perr := a.print(output, done, setupDone{Done: append([]string{}, done...)}); err == nil && perr != nil {
		err = fmt.Errorf("write stdout: %w", perr)
	}
	return err
}

// setUp creates what is missing and says so line by line, also beside an error.
func setUp(ctx context.Context, cfg *config.Config, p *parts) (done []string, err error) {
	defer p.source.Close()
	added, _, err := p.changedTables(ctx)
	if err != nil {
		added = nil // what keeps the checkpoint from being read shows below
	}
	if done, err = p.source.Setup(ctx, cfg.Snapshot == config.SnapshotNever); err != nil {
		return done, fmt.Errorf("set up the database: %w", err)
	}
	if len(added) > 0 {
		if err := p.pipeline.PublishAdded(ctx); err != nil {
			return done, fmt.Errorf("set up the database: %w", err)
		}
		done = append(done, "the log brings the rows of "+strings.Join(added, ", ")+", which the next start of run adds")
	}
	if p.kafka == nil {
		return done, nil
	}
	defer p.kafka.Close()
	if cfg.CheckpointTopic != "" {
		line, err := createTopic(ctx, p, cfg.CheckpointTopic)
		if err != nil {
			return done, err
		}
		done = append(done, line)
	}
	if cfg.OnPoison != pipeline.DeadLetter {
		return done, nil
	}
	line, err := createDeadLetters(ctx, p, cfg.DeadLetterTopic)
	if err != nil {
		return done, err
	}
	return append(done, line), nil
}

// createDeadLetters makes the dead-letter topic unless it is there.
func createDeadLetters(ctx context.Context, p *parts, topic string) (string, error) {
	created, err := p.kafka.SetupDeadLetters(ctx)
	switch {
	case err != nil:
		return "", fmt.Errorf("create the dead-letter topic: %w", err)
	case created:
		return "created dead-letter topic " + topic, nil
	default:
		return "dead-letter topic " + topic + " is there already", nil
	}
}

// createTopic makes the checkpoint topic unless it is there.
func createTopic(ctx context.Context, p *parts, topic string) (string, error) {
	there, err := p.kafka.Exists(ctx)
	if err != nil {
		return "", fmt.Errorf("look for the checkpoint topic: %w", err)
	}
	if there {
		return "checkpoint topic " + topic + " is there already", nil
	}
	if err := p.kafka.Create(ctx); err != nil {
		return "", fmt.Errorf("create the checkpoint topic: %w", err)
	}
	return "created checkpoint topic " + topic, nil
}

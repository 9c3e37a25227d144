package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/tailer-io/tailer/internal/admin"
	"github.com/tailer-io/tailer/internal/config"
	"github.com/tailer-io/tailer/internal/outbox"
)

func (a *app) runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "tail and publish until stopped",
		Long: `Tail the outbox tables and publish until SIGTERM or SIGINT, or until --until is
reached. Status 1: a failure that a restart may cure; 2: wrong configuration;
3: refused, an operator must decide.`,
		Example: `  tailer run --source-url postgres://app@127.0.0.1:5432/shop --kafka-brokers 127.0.0.1:9092
  tailer run --source-url mariadb://app@127.0.0.1:3306/shop --kafka-brokers 127.0.0.1:9092
  tailer run --source-url postgres://app@127.0.0.1:5432/shop --sink stdout
  tailer run --config /etc/tailer.yaml --until now`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.run(cmd) },
	}
	config.AddFlags(cmd.Flags(), config.Run)
	return cmd
}

func (a *app) run(cmd *cobra.Command) error {
	cfg, log, err := a.load(config.Run, cmd)
	if err != nil {
		return err
	}
	p, err := build(cfg, log, a.stdout)
	if err != nil {
		return err
	}
	if cfg.Until != "" && cfg.Until != "now" {
		if _, err := p.source.ParsePosition(cfg.Until); err != nil {
			return &outbox.Invalid{Option: "until", Text: fmt.Sprintf("%q is no position", cfg.Until), Hint: "allowed are now and " + p.source.Example()}
		}
	}
	if os.Getenv("GOGC") == "" {
		// Half of Go's own pace: there is little garbage, and memory beside the
		// application is dearer than the little time it costs.
		debug.SetGCPercent(50)
	}
	group, ctx := errgroup.WithContext(cmd.Context())
	// The server answers until the pipeline has ended: a stop is to be seen.
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	if cfg.HTTPAddr != "" {
		server := admin.New(admin.Config{Addr: cfg.HTTPAddr, Pprof: cfg.HTTPPprof}, p.pipeline, p.registry, log)
		if err := server.Listen(); err != nil {
			return err
		}
		group.Go(func() error { return server.Run(serving) })
	}
	log.Info("starting", "version", version, "options", cfg.String())
	group.Go(func() error {
		defer stopServing()
		return p.pipeline.Run(ctx)
	})
	if err := group.Wait(); err != nil {
		return err
	}
	log.Info("stopped", "published", p.pipeline.Status().Published)
	return nil
}

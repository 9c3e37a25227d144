package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tailer-io/tailer/internal/config"
	"github.com/tailer-io/tailer/internal/deadletter"
	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/pipeline"
	"github.com/tailer-io/tailer/internal/publish"
)

// replaying are the flags of replay that are no options.
type replaying struct {
	ids    []string
	since  string
	dryRun bool
	output string
}

func (a *app) replayCommand() *cobra.Command {
	var r replaying
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "publish dead-lettered rows again",
		Long: `Publish the rows in the dead-letter topic again, once what made them unpublishable
is mended: each is mapped with today's configuration, in the order in which they
were given up. It runs beside tailer. Rows that were too large for the
dead-letter topic are read from their table; a row that is not there any more is
gone, and said to be.

What is replayed is marked in the dead-letter topic, in the transaction that
publishes it: a second replay, or one after a crash, publishes nothing twice.
(With --delivery at-least-once the marks follow the rows, and a crash in between
publishes them twice.) Rows that still cannot be published stay, with the reason.

Status 0 if nothing stays and nothing is gone, else 1.`,
		Example: `  tailer replay --config /etc/tailer.yaml --dry-run
  tailer replay --config /etc/tailer.yaml
  tailer replay --config /etc/tailer.yaml --id 1042 --id 1043
  tailer replay --config /etc/tailer.yaml --since 2h --output json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.replay(cmd, r) },
	}
	config.AddFlags(cmd.Flags(), config.Replay)
	f := cmd.Flags()
	f.StringArrayVar(&r.ids, "id", nil, "replay the row with this id only, as the dead letter has it; repeatable")
	f.StringVar(&r.since, "since", "", "replay what was given up from then on only: a time such as 2026-01-02T15:04:05Z, or 2h for two hours ago")
	f.BoolVar(&r.dryRun, "dry-run", false, "say what would be done, and do nothing")
	addOutput(cmd, &r.output)
	return cmd
}

func (a *app) replay(cmd *cobra.Command, r replaying) error {
	since, err := parseTime("since", r.since, time.Now())
	if err != nil {
		return err
	}
	cfg, log, err := a.load(config.Replay, cmd)
	if err != nil {
		return err
	}
	if cfg.Sink != config.SinkKafka {
		return &outbox.Invalid{Option: "sink", Text: "is " + cfg.Sink + ": only Kafka keeps dead letters that can be read again"}
	}
	b, err := beside(cfg, publish.ReplaySuffix, log)
	if err != nil {
		return err
	}
	defer b.source.Close()
	k := publish.NewKafka(b.kafka, log, nil)
	defer k.Close()
	reader := publish.NewReader(b.kafka, true, log)
	defer reader.Close()
	c := deadletter.Config{
		Name: cfg.Name, Letters: &letters{reader, cfg.DeadLetterTopic}, TopicName: cfg.DeadLetterTopic,
		Tables: cfg.TableNames(), Wanted: b.mapper.Columns, Optional: b.mapper.Optional,
		Mapper: b.mapper, Sink: k, Rows: &rowFinder{source: b.source}, Timeout: cfg.KafkaTransactionTimeout,
		Limits: pipeline.DefaultLimits, IDs: r.ids, Since: since, DryRun: r.dryRun,
	}
	if r.dryRun {
		c.Sink = &previewSink{Kafka: k}
	}
	printer := &replayPrinter{w: a.stdout, json: r.output == outputJSON, dryRun: r.dryRun}
	sum, err := deadletter.NewReplay(c, log, printer.outcome).Run(cmd.Context())
	if perr := printer.summary(sum, err); err == nil {
		err = perr
	}
	switch left := sum.Stays + sum.Gone; {
	case err != nil:
		return fmt.Errorf("replay dead letters: %w", err)
	case left > 0:
		return fmt.Errorf("replay dead letters: %d of %d could not be published", left, left+sum.Replayed)
	case len(sum.Unknown) > 0:
		return fmt.Errorf("replay dead letters: there is none with id %q", sum.Unknown)
	}
	return nil
}

// letters is the dead-letter topic as deadletter wants it.
type letters struct {
	reader *publish.Reader
	topic  string
}

func (l *letters) Span(ctx context.Context, since time.Time) (start, end, hidden int64, err error) {
	spans, err := l.reader.Spans(ctx, l.topic, since)
	if err != nil {
		return 0, 0, 0, err
	}
	return spans[0].Start, spans[0].End, spans[0].Hidden, nil
}

func (l *letters) Read(ctx context.Context, from, to int64, f func(*outbox.Record)) error {
	_, err := l.reader.Read(ctx, l.topic, 0, publish.Span{Start: from, End: to}, f)
	return err
}

// rowFinder reads rows from the database, to which it connects when that is
// needed.
type rowFinder struct {
	source    source
	connected bool
}

func (r *rowFinder) ByID(ctx context.Context, table int, id []byte) (outbox.Snapshot, error) {
	if !r.connected {
		if _, err := r.source.Connect(ctx); err != nil {
			return nil, err
		}
		r.connected = true
	}
	return r.source.ByID(ctx, table, id)
}

// previewSink admits messages without creating a topic, for a dry run. Nothing
// else is asked of it.
type previewSink struct{ *publish.Kafka }

func (p *previewSink) Admit(ctx context.Context, m *outbox.Messages, _ *outbox.Batch) error {
	for i := range m.List {
		msg := &m.List[i]
		_, reason, err := p.Preview(ctx, msg)
		if err != nil {
			return err
		}
		if reason != "" {
			m.Poison = append(m.Poison, outbox.Poison{Row: msg.Row, Reason: reason})
		}
	}
	return nil
}

// replayPrinter prints what becomes of each letter, and the sum.
type replayPrinter struct {
	w      io.Writer
	json   bool
	dryRun bool
	list   []deadletter.Outcome // for JSON
	failed error
}

func (p *replayPrinter) outcome(o deadletter.Outcome) {
	if p.json {
		p.list = append(p.list, o)
		return
	}
	what := string(o.What)
	if p.dryRun && o.What == deadletter.Replayed {
		what = "would be replayed"
	}
	line := fmt.Sprintf("%s: id %q", what, o.ID)
	if o.Table != "" {
		line += fmt.Sprintf(" of table %s at %s", o.Table, o.Position)
	}
	if o.Changed {
		line += ", as its table has it now, which is not what was given up: the row has changed, or which columns are mapped"
	}
	if o.Reason != "" {
		line += ": " + oneLine(o.Reason)
	}
	if _, err := fmt.Fprintln(p.w, line); err != nil && p.failed == nil {
		p.failed = fmt.Errorf("write stdout: %w", err)
	}
}

func (p *replayPrinter) summary(sum deadletter.Summary, failed error) error {
	if p.json {
		if p.list == nil {
			p.list = []deadletter.Outcome{}
		}
		doc := struct {
			DryRun  bool                 `json:"dry_run"`
			Letters []deadletter.Outcome `json:"letters"`
			deadletter.Summary
			Error string `json:"error,omitempty"`
		}{DryRun: p.dryRun, Letters: p.list, Summary: sum}
		if failed != nil {
			doc.Error = failed.Error()
		}
		return printJSON(p.w, doc)
	}
	if p.failed == nil {
		what := "replayed"
		if p.dryRun {
			what = "would be replayed"
		}
		_, p.failed = fmt.Fprintf(p.w, "%d %s, %d stay, %d gone, %d were replayed before\n", sum.Replayed, what, sum.Stays, sum.Gone, sum.Already)
	}
	return p.failed
}

var _ deadletter.Sink = (*publish.Kafka)(nil)

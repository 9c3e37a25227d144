package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tailer-io/tailer/internal/config"
	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/pipeline"
	"github.com/tailer-io/tailer/internal/publish"
	"github.com/tailer-io/tailer/internal/republish"
)

// republishing are the flags of republish that are no options.
type republishing struct {
	choosing
	topic      string
	skipPoison bool
	dryRun     bool
	output     string
}

// republished is what republish prints with --output json, also beside an error
// about rows that cannot be published.
type republished struct {
	Name   string        `json:"name"`
	Tables []rowsOfTable `json:"tables"` // what was published, with --dry-run what would be
	Poison []poisonRow   `json:"poison"` // rows that cannot be published
}

// poisonRow is a row that cannot be published.
type poisonRow struct {
	Table  string `json:"table"`
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

func (a *app) republishCommand() *cobra.Command {
	var r republishing
	cmd := &cobra.Command{
		Use:   "republish (--where SQL | --from-id ID)",
		Short: "publish rows a second time, beside a running tailer",
		Long: `Publish those rows of the outbox tables again that you choose: for a consumer that
has lost them, or with --topic for a new one. CONSUMERS OF THE TOPIC SEE THEM
TWICE, behind younger rows of the same key. It runs beside tailer and does not
move its position.

The rows are read in one snapshot, mapped with today's configuration, and
published in one transaction: all of them, or none if it is cut off. (With
--delivery at-least-once a part may be.) That transaction has to end within the
broker's transaction.max.timeout.ms; publish more than fits in several goes.

A row that cannot be published is named, and nothing is published then (status
1); --skip-poison leaves such rows out. --where is one expression in the
database's own SQL, evaluated read-only, with times in UTC.`,
		Example: `  tailer republish --where "id in (1042, 1043)" --config /etc/tailer.yaml --output json
  tailer republish --where "created_at >= '2026-01-02'" --topic orders.rebuilt --dry-run --config /etc/tailer.yaml
  tailer republish --from-id 1042 --table public.outbox --config /etc/tailer.yaml`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.republish(cmd, &r) },
	}
	config.AddFlags(cmd.Flags(), config.Republish)
	r.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&r.topic, "topic", "", "send all of them to this topic, whatever the mapping says")
	f.BoolVar(&r.skipPoison, "skip-poison", false, "leave out rows that cannot be published, instead of publishing nothing")
	f.BoolVar(&r.dryRun, "dry-run", false, "say what would be published, and publish nothing")
	addOutput(cmd, &r.output)
	return cmd
}

func (a *app) republish(cmd *cobra.Command, r *republishing) error {
	cfg, log, err := a.load(config.Republish, cmd)
	if err != nil {
		return err
	}
	filter, err := r.filter(cfg)
	switch {
	case err != nil:
		return err
	case cfg.Sink != config.SinkKafka:
		return &outbox.Invalid{Option: "sink", Text: "is " + cfg.Sink + ": rows are published again to Kafka only; `tailer plan` prints the newest"}
	case r.topic != "" && (r.topic == cfg.CheckpointTopic || r.topic == cfg.DeadLetterTopic):
		return &outbox.Invalid{Option: "topic", Text: r.topic + " is tailer's own"}
	}
	b, err := beside(cfg, publish.RepublishSuffix, log)
	if err != nil {
		return err
	}
	k := publish.NewKafka(b.kafka, log, nil)
	defer k.Close()
	rows, err := b.source.Chosen(cmd.Context(), filter)
	if err != nil {
		return fmt.Errorf("read the outbox: %w", err)
	}
	defer rows.Close()
	c := republish.Config{Tables: cfg.TableNames(), Rows: rows, Mapper: b.mapper, Sink: k, Limits: pipeline.DefaultLimits,
		Topic: r.topic, SkipPoison: r.skipPoison, DryRun: r.dryRun}
	if r.dryRun {
		c.Sink = &previewSink{Kafka: k}
	}
	doc := republished{Name: cfg.Name, Tables: []rowsOfTable{}, Poison: []poisonRow{}}
	var lines []string
	done, err := republish.Run(cmd.Context(), c, log, func(q outbox.Poison) {
		row := poisonRow{q.Table, q.ID, oneLine(q.Reason)}
		doc.Poison = append(doc.Poison, row)
		lines = append(lines, fmt.Sprintf("cannot be published: id %q of table %s: %s", row.ID, row.Table, row.Reason))
	})
	if err != nil {
		if !errors.Is(err, republish.ErrPoison) {
			return fmt.Errorf("republish: %w", err)
		}
		if printed := a.print(r.output, lines, doc); printed != nil {
			return printed
		}
		return r.poisoned(cfg, plural(int64(done.Poison)))
	}
	verb := "published again: "
	if r.dryRun {
		verb = "would be published again: "
	}
	for i, t := range cfg.TableNames() {
		n := int64(done.Published[i])
		doc.Tables = append(doc.Tables, rowsOfTable{Table: t, Rows: n})
		lines = append(lines, fmt.Sprintf("%s%s of %s", verb, plural(n), t))
	}
	return a.print(r.output, lines, doc)
}

// poisoned says what it means that so many rows cannot be published.
func (r *republishing) poisoned(cfg *config.Config, rows string) error {
	outcome := ", so nothing was"
	switch {
	case r.dryRun:
		outcome = ", so nothing would be"
	case !cfg.Transactional():
		outcome = "; the rows before them are published"
	}
	return fmt.Errorf("republish: %s cannot be published%s; --skip-poison leaves them out", rows, outcome)
}

package main

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/tailer-io/tailer/internal/compare"
	"github.com/tailer-io/tailer/internal/config"
	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/publish"
)

const (
	readCommitted   = "read_committed"
	readUncommitted = "read_uncommitted"

	// progressEvery is how often a long comparison says where it is.
	progressEvery = 10 * time.Second
	// compareGC is the garbage collector's target while topics are compared:
	// what is kept has no pointers and costs the collector nothing, so it need
	// not let as much garbage again pile up.
	compareGC = 20
)

// comparing are the flags of compare that are no options.
type comparing struct {
	isolation    string
	since, until string
	slack        time.Duration
	opt          compare.Options
	output       string
}

func (a *app) compareCommand() *cobra.Command {
	var c comparing
	cmd := &cobra.Command{
		Use:   "compare TOPIC_A TOPIC_B",
		Short: "missing, extra, reordered per key, first differing bytes of two topics",
		Long: `Read two topics to their ends, and tell what the second one, B, has otherwise than
the first, A: after a shadow run beside another relay, for example. Records are
matched by the header id; without one, by key and value. Of each kind of
difference all are counted and some are shown. Times of records are not compared.

Status 0 if the topics are equal, 1 if they differ or cannot be read.

With --since and --until a record counts if it was published in that time; its
counterpart may have been published up to --slack earlier, or any time later. So
topics can be compared that begin at different times, or are still written to.

Memory: about 75 bytes for each record of A and each that only B has, and 60 for
each key of one partition.`,
		Example: `  tailer compare orders shadow.orders --kafka-brokers 127.0.0.1:9092
  tailer compare orders shadow.orders --since 2h --until 1m --config /etc/tailer.yaml
  tailer compare orders shadow.orders --ignore-header __debezium.context.runId --ignore-partition --output json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return a.compare(cmd, args, c) },
	}
	config.AddFlags(cmd.Flags(), config.Compare)
	f := cmd.Flags()
	f.StringVar(&c.isolation, "isolation", readCommitted, "read_committed, or read_uncommitted: aborted records too, and open transactions")
	f.StringVar(&c.opt.IDHeader, "id-header", "id", "header that matches records")
	f.StringArrayVar(&c.opt.IgnoreHeaders, "ignore-header", nil, "header that may differ or be missing; repeatable")
	f.BoolVar(&c.opt.IgnorePartition, "ignore-partition", false, "a record may be in another partition")
	f.StringVar(&c.since, "since", "", "compare what was published from then on: a time such as 2026-01-02T15:04:05Z, or 2h for two hours ago")
	f.StringVar(&c.until, "until", "", "compare what was published before then; the same forms")
	f.DurationVar(&c.slack, "slack", 10*time.Minute, "with --since: how much earlier a counterpart may have been published")
	f.IntVar(&c.opt.Limit, "limit", 10, "examples of each kind that are shown")
	addOutput(cmd, &c.output)
	return cmd
}

// complete checks the flags and reads the times.
func (c *comparing) complete(args []string) (err error) {
	switch {
	case len(args) != 2:
		return &outbox.Invalid{Text: fmt.Sprintf("compare wants TOPIC_A and TOPIC_B, not %d arguments", len(args))}
	case args[0] == args[1]:
		return &outbox.Invalid{Text: fmt.Sprintf("compare wants two topics, and both are %q", args[0])}
	case c.isolation != readCommitted && c.isolation != readUncommitted:
		return &outbox.Invalid{Option: "isolation", Text: fmt.Sprintf("%q is not one of %s, %s", c.isolation, readCommitted, readUncommitted)}
	case c.opt.IDHeader == "":
		return &outbox.Invalid{Option: "id-header", Text: "is empty; a name that no record has matches records by key and value"}
	case c.opt.Limit < 0:
		return &outbox.Invalid{Option: "limit", Text: fmt.Sprintf("%d is negative; 0 shows no examples", c.opt.Limit)}
	case c.slack < 0:
		return &outbox.Invalid{Option: "slack", Text: fmt.Sprintf("%s is negative; 0 takes counterparts of the same time only", c.slack)}
	}
	now := time.Now()
	if c.opt.Since, err = parseTime("since", c.since, now); err != nil {
		return err
	}
	if c.opt.Until, err = parseTime("until", c.until, now); err != nil {
		return err
	}
	if !c.opt.Until.IsZero() && !c.opt.Since.Before(c.opt.Until) {
		return &outbox.Invalid{Option: "until", Text: "is not later than --since"}
	}
	return nil
}

// parseTime reads a time, or how long ago it was; "" is the zero time.
func parseTime(option, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(s); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, &outbox.Invalid{Option: option, Text: fmt.Sprintf("%q is neither a time such as 2026-01-02T15:04:05Z nor a duration such as 2h", s)}
	}
	return t, nil
}

func (a *app) compare(cmd *cobra.Command, args []string, c comparing) error {
	if err := c.complete(args); err != nil {
		return err
	}
	cfg, log, err := a.load(config.Compare, cmd)
	if err != nil {
		return err
	}
	kafka, err := kafkaConfig(cfg)
	if err != nil {
		return err
	}
	kafka.ClientID = "tailer.compare"
	defer debug.SetGCPercent(debug.SetGCPercent(compareGC))
	reader := publish.NewReader(kafka, c.isolation == readCommitted, log)
	defer reader.Close()
	result, err := compareTopics(cmd.Context(), reader, args, c, log)
	if err != nil {
		return fmt.Errorf("compare topics: %w", err)
	}
	if c.output == outputJSON {
		err = result.WriteJSON(a.stdout)
	} else {
		err = result.WriteText(a.stdout)
	}
	if err != nil {
		return fmt.Errorf("write stdout: %w", err)
	}
	if !result.Equal() {
		return fmt.Errorf("the topics %s and %s differ", args[0], args[1])
	}
	return nil
}

// compareTopics reads both topics, A first, and then the examples.
func compareTopics(ctx context.Context, reader *publish.Reader, topics []string, c comparing, log *slog.Logger) (*compare.Result, error) {
	from := c.opt.Since
	if !from.IsZero() {
		from = from.Add(-c.slack)
	}
	var spans [2][]publish.Span
	for i, topic := range topics {
		var err error
		if spans[i], err = reader.Spans(ctx, topic, from); err != nil {
			return nil, err
		}
	}
	comparison := compare.New(c.opt)
	var notes []string
	for i, add := range []func(*outbox.Record){comparison.AddA, comparison.AddB} {
		found, err := readTopic(ctx, reader, topics[i], spans[i], add, log)
		if err != nil {
			return nil, err
		}
		notes = append(notes, found...)
	}
	result := comparison.Finish()
	result.Notes = notes
	result.A.Topic, result.B.Topic = topics[0], topics[1]
	result.A.Partitions, result.B.Partitions = len(spans[0]), len(spans[1])
	return result, result.Explain(func(side compare.Name, at compare.Place) (*outbox.Record, error) {
		topic := topics[0]
		if side == compare.B {
			topic = topics[1]
		}
		return reader.At(ctx, topic, at.Partition, at.Offset)
	})
}

// readTopic gives every record of a topic, and says what it could not read.
func readTopic(ctx context.Context, reader *publish.Reader, topic string, spans []publish.Span, add func(*outbox.Record), log *slog.Logger) (notes []string, err error) {
	records, next := 0, time.Now().Add(progressEvery)
	for i, span := range spans {
		removed, err := reader.Read(ctx, topic, int32(i), span, func(r *outbox.Record) {
			add(r)
			if records++; records%10_000 == 0 && time.Now().After(next) {
				next = next.Add(progressEvery)
				log.Info("comparing", "topic", topic, "partition", i, "offset", r.Offset, "end", span.End, "records", records)
			}
		})
		if err != nil {
			return nil, err
		}
		if removed > 0 {
			notes = append(notes, fmt.Sprintf("%d offsets of partition %d of %s were deleted by its retention before they were read", removed, i, topic))
		}
		if span.Hidden > 0 {
			notes = append(notes, fmt.Sprintf("%d offsets of partition %d of %s are in an open transaction or behind one, and were not read", span.Hidden, i, topic))
		}
	}
	return notes, nil
}

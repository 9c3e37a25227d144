package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/tailer-io/tailer/internal/config"
	"github.com/tailer-io/tailer/internal/mapping"
	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/publish"
)

// planKafkaTimeout bounds how long plan asks the brokers: what they know is
// welcome and not needed.
const planKafkaTimeout = 10 * time.Second

// planLimits keep the memory of plan small, whatever --rows says.
var planLimits = outbox.Limits{Rows: 1000, Bytes: 4 << 20}

// planning are the flags of plan that are no options.
type planning struct {
	rows    int
	orderBy string
	full    bool
	output  string
}

func (a *app) planCommand() *cobra.Command {
	var p planning
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "print the messages that the newest rows of the outbox would become",
		Long: `Print the messages that the newest rows of each outbox table would become, the
oldest first, and why a row could not be published. Nothing is touched: one
read-only transaction in an ordinary session, without slot, publication or lock.

The newest rows are those that come last in the order of the primary key, or of
--order-by. Random keys have no newest: name a column with a time or a sequence.

Kafka need not be there. Where it answers, partitions are shown of topics that
exist, and their limits are applied.

With --output json a line each, as --sink stdout prints it, with table, partition
(null: not known) and timestamp (null: the time of publishing) besides; a row that
cannot be published is {"table","id","poison"}.`,
		Example: `  tailer plan --source-url postgres://app@127.0.0.1:5432/shop
  tailer plan --config /etc/tailer.yaml --rows 100 --order-by created_at --full
  tailer plan --config /etc/tailer.yaml --output json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.plan(cmd, p) },
	}
	config.AddFlags(cmd.Flags(), config.Plan)
	f := cmd.Flags()
	f.IntVar(&p.rows, "rows", 10, "how many rows of each table")
	f.StringVar(&p.orderBy, "order-by", "", "column that tells what is newest (default the primary key)")
	f.BoolVar(&p.full, "full", false, "print keys, values and headers in full length")
	addOutput(cmd, &p.output)
	return cmd
}

func (a *app) plan(cmd *cobra.Command, p planning) error {
	if p.rows < 1 {
		return &outbox.Invalid{Option: "rows", Text: fmt.Sprintf("%d is not 1 or more", p.rows)}
	}
	cfg, log, err := a.load(config.Plan, cmd)
	if err != nil {
		return err
	}
	mapper, err := newMapper(cfg)
	if err != nil {
		return err
	}
	source, err := newSource(cfg, mapper, log)
	if err != nil {
		return err
	}
	kafka, err := previewer(cfg, log)
	if err != nil {
		return err
	}
	defer kafka.close()
	printer := planPrinter(&planText{w: a.stdout, full: p.full})
	if p.output == outputJSON {
		printer = &planJSON{w: a.stdout}
	}
	view, err := source.Newest(cmd.Context(), p.rows, p.orderBy)
	if err != nil {
		return fmt.Errorf("read the outbox: %w", err)
	}
	defer view.Close()
	if err := planRows(cmd.Context(), view, mapper, kafka, cfg.TableNames(), printer); err != nil {
		return err
	}
	return printer.done()
}

// planRows prints what becomes of each row of a view, in its order.
func planRows(ctx context.Context, view outbox.Snapshot, mapper *mapping.Mapper, kafka *preview, tables []string, printer planPrinter) error {
	batch, messages := new(outbox.Batch), new(outbox.Messages)
	for more := true; more; {
		batch.Reset(planLimits.Bytes)
		messages.Reset()
		var err error
		if more, err = view.Read(ctx, batch, planLimits); err != nil {
			return fmt.Errorf("read the outbox: %w", err)
		}
		mapper.Map(batch, messages)
		poison, list := messages.Poison, messages.List
		for i := range batch.Rows {
			var rows []planned
			for ; len(poison) > 0 && poison[0].Row == i; poison = poison[1:] {
				rows = append(rows, planned{poison: &poison[0]})
			}
			for ; len(list) > 0 && list[0].Row == i; list = list[1:] {
				rows = append(rows, planned{message: &list[0], partitionKey: publish.PartitionKey(&list[0])})
			}
			for _, r := range rows {
				r.table = tables[batch.Rows[i].Shape.Table]
				if r.poison == nil {
					if reason := kafka.look(ctx, r.message); reason != "" {
						r.poison = &outbox.Poison{Row: i, Table: r.table, ID: string(batchID(batch, i)), Reason: reason}
					}
				}
				if err := printer.print(&r); err != nil {
					return fmt.Errorf("write stdout: %w", err)
				}
			}
		}
	}
	return nil
}

// batchID is the id of a row: the first wanted column of every table.
func batchID(b *outbox.Batch, row int) []byte {
	id, _ := b.Value(&b.Rows[row], 0)
	return id
}

// planned is what becomes of a row.
type planned struct {
	table        string
	message      *outbox.Message
	partitionKey []byte         // before a partition was chosen
	poison       *outbox.Poison // nil: the message can be published
}

type planPrinter interface {
	print(*planned) error
	done() error
}

// preview asks Kafka about messages as long as it answers; nil without Kafka.
type preview struct {
	kafka *publish.Kafka
	log   *slog.Logger
}

func previewer(cfg *config.Config, log *slog.Logger) (*preview, error) {
	if cfg.Sink != config.SinkKafka || len(cfg.KafkaBrokers) == 0 {
		return &preview{}, nil
	}
	kafka, err := newKafka(cfg, log, nil)
	return &preview{kafka: kafka, log: log}, err
}

func (p *preview) close() {
	if p.kafka != nil {
		p.kafka.Close()
	}
}

// look puts the partition into a message where Kafka knows it, and says why the
// message cannot be published.
func (p *preview) look(ctx context.Context, m *outbox.Message) (reason string) {
	if p.kafka == nil {
		return publish.Illegal(m)
	}
	ctx, cancel := context.WithTimeout(ctx, planKafkaTimeout)
	defer cancel()
	_, reason, err := p.kafka.Preview(ctx, m)
	if err != nil {
		p.log.Warn("Kafka cannot be asked: no partitions are shown", "err", err)
		p.close()
		p.kafka = nil
		return publish.Illegal(m)
	}
	return reason
}

// write is w.Write for the printers.
func write(w io.Writer, b []byte) error {
	_, err := w.Write(b)
	return err
}

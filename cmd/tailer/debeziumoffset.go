package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tailer-io/tailer/internal/config"
	"github.com/tailer-io/tailer/internal/convert"
	"github.com/tailer-io/tailer/internal/mysql"
	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/pg"
)

// debeziumOffset is how checkpoint set takes over from Debezium.
type debeziumOffset struct {
	file         string // "" when it is not asked for
	includeQuery string // "true", "false" or "" for not known
}

func (d *debeziumOffset) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.file, "from-debezium-offset", "",
		"go on where a Debezium connector stopped: a file with what GET /connectors/NAME/offsets answers; - is standard input")
	cmd.Flags().StringVar(&d.includeQuery, "debezium-include-query", "",
		"MariaDB: true or false, as the connector's include.query; wanted when it stopped inside a transaction")
}

// position reads the offset, and gives what turns it into a position once the
// source is connected.
func (d *debeziumOffset) position(a *app, cfg *config.Config, p *parts) (func(context.Context) (outbox.Resume, error), error) {
	annotated, err := d.annotated()
	if err != nil {
		return nil, err
	}
	data, err := a.readArgument("from-debezium-offset", d.file)
	if err != nil {
		return nil, err
	}
	offset, err := convert.ReadOffset(data)
	if err != nil {
		return nil, &outbox.Invalid{Option: "from-debezium-offset", Text: err.Error(),
			Hint: "wanted is what GET /connectors/NAME/offsets of Kafka Connect answers for a connector that is stopped"}
	}
	switch source := p.source.(type) {
	case *pg.Source:
		if o := offset.Postgres; o != nil {
			return func(ctx context.Context) (outbox.Resume, error) { return source.Resume(ctx, leftPostgres(o)) }, nil
		}
	case *mysql.Source:
		if o := offset.Binlog; o != nil {
			left := mysql.Left{File: o.File, Offset: o.Pos, GTIDs: o.GTIDs, Events: o.Events, Rows: o.Rows, Annotated: annotated}
			return func(ctx context.Context) (outbox.Resume, error) { return source.Resume(ctx, left) }, nil
		}
	}
	return nil, &outbox.Invalid{Option: "from-debezium-offset", Text: fmt.Sprintf("the offset is of another kind of database than %s, which --source-url names", cfg.SourceKind())}
}

func (d *debeziumOffset) annotated() (*bool, error) {
	if d.includeQuery == "" {
		return nil, nil
	}
	b, err := strconv.ParseBool(d.includeQuery)
	if err != nil {
		return nil, &outbox.Invalid{Option: "debezium-include-query", Text: fmt.Sprintf("%q is neither true nor false", d.includeQuery)}
	}
	return &b, nil
}

// leftPostgres says which change of which transaction was the last one. Where a
// change begins must not be compared with the last commit: it may begin right
// there, and belong to a transaction that began before.
func leftPostgres(o *convert.PostgresOffset) pg.Left {
	left := pg.Left{Commit: o.Commit, Transaction: o.Transaction, Change: o.LSN}
	switch o.Event {
	case "COMMIT":
		left.Transaction = 0 // that has ended
	case "BEGIN":
		// Its place is that of the first change, which is not done with.
		left.Change--
	}
	return left
}

// inside says how far a position reaches into the transaction behind it.
func inside(open *outbox.Open) string {
	if open == nil {
		return ""
	}
	return fmt.Sprintf(", behind the first %d outbox rows of transaction %s", open.Rows, open.Txn)
}

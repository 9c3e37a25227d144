package main

import (
	"context"
	"log/slog"

	"github.com/tailer-io/tailer/internal/config"
	"github.com/tailer-io/tailer/internal/mapping"
	"github.com/tailer-io/tailer/internal/mysql"
	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/pg"
	"github.com/tailer-io/tailer/internal/pipeline"
)

// source is a database: what the pipeline wants of it, and what the commands
// beside run do with it. pg.Source and mysql.Source are such.
type source interface {
	pipeline.Source
	pipeline.Cleaner
	// Check is the preflight. It opens what it needs; Close closes it.
	Check(ctx context.Context) []outbox.Finding
	// Setup creates what is missing, and says so line by line; withAnchor asks
	// for what makes the server keep its log (the slot), too.
	Setup(ctx context.Context, withAnchor bool) (done []string, err error)
	// SetupSQL gives the statements for the least rights. It opens nothing.
	SetupSQL() []string
	// Teardown removes what Setup and run created, and says so line by line.
	Teardown(ctx context.Context) (done []string, err error)
	// Belongings names what Teardown removes; nil for nothing.
	Belongings() []string
	// ParsePosition reads a position that an operator typed.
	ParsePosition(text string) (outbox.Position, error)
	// Example shows what such a position looks like.
	Example() string
	// Now is the end of the server's log. It wants Reach or Connect before.
	Now(ctx context.Context) (outbox.Resume, error)
	// Newest gives the newest rows of each table, the oldest first, in a
	// session of its own that touches nothing. orderBy is a column, "" for the
	// primary key.
	Newest(ctx context.Context, rows int, orderBy string) (outbox.Snapshot, error)
	// Chosen gives the rows that f chooses as of now, in a session of its own
	// that touches nothing.
	Chosen(ctx context.Context, f outbox.Filter) (outbox.Snapshot, error)
	// ByID gives the rows of a configured table whose id equals one that the
	// log brought. It wants Connect before.
	ByID(ctx context.Context, table int, id []byte) (outbox.Snapshot, error)
}

// newSource makes the source that the URL's scheme names.
func newSource(cfg *config.Config, mapper *mapping.Mapper, log *slog.Logger) (source, error) {
	switch cfg.SourceKind() {
	case outbox.MySQL, outbox.MariaDB:
		return newMySQL(cfg, mapper, log)
	default:
		return newPostgres(cfg, mapper, log)
	}
}

func newPostgres(cfg *config.Config, mapper *mapping.Mapper, log *slog.Logger) (source, error) {
	c := pg.Config{
		URL:         cfg.SourceURL,
		Password:    cfg.Password(),
		Name:        cfg.Name,
		Slot:        cfg.PgSlot,
		Publication: cfg.PgPublication,
		Temporary:   keepsNothing(cfg),
		Check:       mapper.Check,
		Cleanup:     cfg.Cleanup, CleanupAfter: cfg.CleanupAfter,
	}
	for i, t := range cfg.Tables {
		c.Tables = append(c.Tables, pg.Table{Schema: t.Schema, Name: t.Name, Columns: mapper.Columns(i), Optional: mapper.Optional(i),
			CleanupColumn: t.CleanupColumn, SnapshotOrder: cfg.SnapshotOrderBy})
	}
	if err := pg.Validate(c); err != nil {
		return nil, err
	}
	return pg.New(c, log), nil
}

func newMySQL(cfg *config.Config, mapper *mapping.Mapper, log *slog.Logger) (source, error) {
	c := mysql.Config{
		URL:        cfg.SourceURL,
		Password:   cfg.Password(),
		Name:       cfg.Name,
		ServerID:   cfg.MySQLServerID,
		NoSnapshot: cfg.Snapshot == config.SnapshotNever,
		Temporary:  keepsNothing(cfg),
		Check:      mapper.Check,
		Cleanup:    cfg.Cleanup, CleanupAfter: cfg.CleanupAfter,
	}
	for i, t := range cfg.Tables {
		c.Tables = append(c.Tables, mysql.Table{Schema: t.Schema, Name: t.Name, Columns: mapper.Columns(i), Optional: mapper.Optional(i),
			CleanupColumn: t.CleanupColumn, SnapshotOrder: cfg.SnapshotOrderBy})
	}
	if err := mysql.Validate(c); err != nil {
		return nil, err
	}
	return mysql.New(c, log), nil
}

// keepsNothing tells that there is no checkpoint: the stream begins now, and
// whatever is made for it on the server goes with it.
func keepsNothing(cfg *config.Config) bool {
	return cfg.Sink == config.SinkStdout && cfg.CheckpointFile == ""
}

package pipeline

import (
	"context"

	"github.com/tailer-io/tailer/internal/checkpoint"
)

// ChangedTables compares the configured tables with those of the checkpoint, as
// it is: the next start adds the one, and refuses because of the other. From
// then on the source is about the tables that were there before. Nobody is
// fenced, and nothing is changed.
func (p *Pipeline) ChangedTables(ctx context.Context) (added, removed []string, err error) {
	rec, err := p.ShowCheckpoint(ctx)
	if err != nil || rec == nil || rec.Phase != checkpoint.PhaseStreaming {
		return nil, nil, err
	}
	p.adopt(rec)
	return rec.Added(p.configured), rec.Removed(p.configured), nil
}

// PublishAdded makes the log bring the rows of tables that ChangedTables found to
// be added: what the next start would do first, for those who run it without the
// right to. An instance that is active with the old list passes them over.
func (p *Pipeline) PublishAdded(ctx context.Context) error {
	if p.added == nil {
		return nil
	}
	p.source.Choose(p.added.chosen)
	return p.source.Publish(ctx)
}

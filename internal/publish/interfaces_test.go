package publish_test

import (
	"github.com/tailer-io/tailer/internal/pipeline"
	"github.com/tailer-io/tailer/internal/publish"
)

var (
	_ pipeline.Sink            = (*publish.Kafka)(nil)
	_ pipeline.Sink            = (*publish.Stdout)(nil)
	_ pipeline.CheckpointTopic = (*publish.Kafka)(nil)
)

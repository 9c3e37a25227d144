package main

import (
	"log/slog"

	"github.com/tailer-io/tailer/internal/config"
	"github.com/tailer-io/tailer/internal/mapping"
	"github.com/tailer-io/tailer/internal/publish"
)

// besides are the parts of a command that publishes beside a running tailer.
type besides struct {
	mapper *mapping.Mapper
	source source
	kafka  publish.KafkaConfig
}

// beside makes them, with no connection open. The transactional id ends in
// suffix: the command and a running tailer do not fence each other, two of the
// same command do.
func beside(cfg *config.Config, suffix string, log *slog.Logger) (b besides, err error) {
	if b.mapper, err = newMapper(cfg); err != nil {
		return b, err
	}
	if b.source, err = newSource(cfg, b.mapper, log); err != nil {
		return b, err
	}
	if b.kafka, err = kafkaConfig(cfg); err != nil {
		return b, err
	}
	b.kafka.TransactionalID += suffix
	b.kafka.ClientID = b.kafka.TransactionalID
	return b, nil
}

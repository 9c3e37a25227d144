package main

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/tailer-io/tailer/internal/checkpoint"
	"github.com/tailer-io/tailer/internal/config"
	"github.com/tailer-io/tailer/internal/mapping"
	"github.com/tailer-io/tailer/internal/mapping/connect"
	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/pipeline"
	"github.com/tailer-io/tailer/internal/publish"
)

// parts are what a configuration describes, joined, with no connection open.
type parts struct {
	registry *prometheus.Registry
	source   source
	kafka    *publish.Kafka   // nil with --sink stdout
	file     *checkpoint.File // nil without --checkpoint-file
	pipeline *pipeline.Pipeline
}

// build makes the parts; stdout is where --sink stdout writes.
func build(cfg *config.Config, log *slog.Logger, stdout io.Writer) (*parts, error) {
	p := &parts{registry: prometheus.NewRegistry()}
	p.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mapper, err := newMapper(cfg)
	if err != nil {
		return nil, err
	}
	if p.source, err = newSource(cfg, mapper, log); err != nil {
		return nil, err
	}
	if cfg.CheckpointFile != "" {
		p.file = checkpoint.NewFile(cfg.CheckpointFile)
	}
	joined := settings(cfg)
	joined.Source, joined.Mapper = p.source, mapper
	if cfg.Sink == config.SinkKafka {
		if p.kafka, err = newKafka(cfg, log, p.registry); err != nil {
			return nil, err
		}
		joined.Sink, joined.Cluster = p.kafka, p.kafka
	} else {
		joined.Sink = publish.NewStdout(stdout)
	}
	// An interface that holds a nil pointer is not nil: assign only what is there.
	if p.file != nil {
		joined.File = p.file
	} else if p.kafka != nil {
		joined.Topic = p.kafka
	}
	if cfg.Cleanup {
		joined.Cleaner = p.source
	}
	p.pipeline = pipeline.New(joined, log, p.registry)
	return p, nil
}

// settings are the pipeline's plain values.
func settings(cfg *config.Config) pipeline.Config {
	return pipeline.Config{
		Name:               cfg.Name,
		Version:            version,
		Instance:           instance(),
		SourceKind:         cfg.SourceKind(),
		SinkKind:           cfg.Sink,
		CheckpointTopic:    cfg.CheckpointTopic,
		Transactional:      cfg.Transactional(),
		Tables:             cfg.TableNames(),
		CommitInterval:     cfg.CommitInterval,
		TransactionTimeout: cfg.KafkaTransactionTimeout,
		BoundMemory:        true,
		Snapshot:           cfg.Snapshot == config.SnapshotInitial,
		SnapshotMaxRows:    cfg.SnapshotMaxRows,
		RequireCheckpoint:  cfg.RequireCheckpoint,
		CreateTopics:       cfg.CreateTopics,
		Until:              cfg.Until,
		OnPoison:           cfg.OnPoison,
		DeadLetterTopic:    cfg.DeadLetterTopic,
		OnRefusal:          cfg.OnRefusal,
		UnreadyBytes:       int64(cfg.SlotWALUnreadyBytes),
		Retention:          cfg.CleanupAfter,
	}
}

func newMapper(cfg *config.Config) (*mapping.Mapper, error) {
	m := mapping.Config{TopicPrefix: cfg.TopicPrefix, MaxRowBytes: int(cfg.MaxRowBytes),
		Source: connect.Postgres, Run: runID()}
	switch cfg.SourceKind() {
	case outbox.MySQL:
		m.Source = connect.MySQL
	case outbox.MariaDB:
		m.Source = connect.MariaDB
	}
	for _, t := range cfg.Tables {
		table := t.Mapping
		table.Name = t.String()
		m.Tables = append(m.Tables, table)
	}
	return mapping.New(m)
}

func newKafka(cfg *config.Config, log *slog.Logger, reg prometheus.Registerer) (*publish.Kafka, error) {
	c, err := kafkaConfig(cfg)
	if err != nil {
		return nil, err
	}
	return publish.NewKafka(c, log, reg), nil
}

func kafkaConfig(cfg *config.Config) (publish.KafkaConfig, error) {
	security := publish.Security{
		TLS:          cfg.KafkaTLS,
		CAFile:       cfg.KafkaTLSCAFile,
		CertFile:     cfg.KafkaTLSCertFile,
		KeyFile:      cfg.KafkaTLSKeyFile,
		Mechanism:    cfg.KafkaSASLMechanism,
		Username:     cfg.KafkaSASLUsername,
		PasswordFile: cfg.KafkaSASLPasswordFile,
		TokenFile:    cfg.KafkaSASLTokenFile,
		TokenURL:     cfg.KafkaSASLTokenURL,
		Scope:        cfg.KafkaSASLScope,
	}
	if err := security.Validate(); err != nil {
		return publish.KafkaConfig{}, err
	}
	return publish.KafkaConfig{
		Security:         security,
		Brokers:          cfg.KafkaBrokers,
		ClientID:         "tailer." + cfg.Name,
		Transactional:    cfg.Transactional(),
		TransactionalID:  "tailer." + cfg.Name,
		Compression:      publish.Compression(cfg.KafkaCompression),
		CreateTopics:     cfg.CreateTopics,
		TopicPartitions:  cfg.TopicPartitions,
		TopicReplication: cfg.TopicReplication,
		CheckpointTopic:  cfg.CheckpointTopic,
		DeadLetterTopic:  cfg.DeadLetterTopic,
		DeadLetters:      cfg.OnPoison == pipeline.DeadLetter,
		TopicPrefix:      cfg.TopicPrefix,
	}, nil
}

// runID is a UUID of version 7, as Debezium has it for a run.
func runID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	binary.BigEndian.PutUint64(b[:], uint64(time.Now().UnixMilli())<<16|uint64(b[6])<<8|uint64(b[7]))
	b[6], b[8] = 0x70|b[6]&0x0f, 0x80|b[8]&0x3f
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// instance names this process, for people and to tell two starts apart.
func instance() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	var unique [4]byte
	_, _ = rand.Read(unique[:]) // it never fails
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), hex.EncodeToString(unique[:]))
}

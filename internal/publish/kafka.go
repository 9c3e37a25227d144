package publish

import (
	"log/slog"
	"time"

	"github.com/IBM/sarama"
	"github.com/prometheus/client_golang/prometheus"
)

// KafkaConfig says how to reach Kafka and what to ask of it.
type KafkaConfig struct {
	// Brokers are host:port of some brokers; the others are found through
	// them. At least one.
	Brokers []string
	// ClientID names this client in the broker's logs and quotas; "" means
	// "tailer".
	ClientID string
	// Transactional chooses exactly-once: everything between Join and Commit
	// is one Kafka transaction. Without it the producer is idempotent only.
	Transactional bool
	// TransactionalID is "tailer.<name>"; used when Transactional is set.
	TransactionalID string
	// Compression of record batches; the zero value is none.
	Compression Compression
	// CreateTopics allows Admit to create a topic that was never seen.
	CreateTopics bool
	// TopicPartitions is the partition count of topics created; 0 or -1 is
	// the broker's default (num.partitions).
	TopicPartitions int32
	// TopicReplication is the replication factor of topics created; 0 or -1
	// is the broker's default (default.replication.factor).
	TopicReplication int16
	// CheckpointTopic is the topic that the methods of pipeline's
	// CheckpointTopic speak of. Admit never creates it. "" when checkpoints
	// are kept elsewhere.
	CheckpointTopic string
	// DeadLetterTopic is where dead letters go: it is created with one
	// partition, and keeps its records for ever. "" when there is none.
	DeadLetterTopic string
	// DeadLetters says that rows do go there, so that Check and SetupLines
	// speak of it.
	DeadLetters bool
	// TopicPrefix is what the names of all message topics begin with, as far
	// as that is known: SetupLines asks for rights on no others. "" asks for
	// rights on all topics.
	TopicPrefix string
	// Security protects the connections; the zero value does not.
	Security Security
	// MaxRequestBytes is the largest request that the brokers take
	// (socket.request.max.bytes); 0 is their default, 100 MiB.
	MaxRequestBytes int
}

// Compression is a codec for record batches.
type Compression string

// The codecs, as --kafka-compression names them.
const (
	None   Compression = "none"
	Gzip   Compression = "gzip"
	Snappy Compression = "snappy"
	LZ4    Compression = "lz4"
	Zstd   Compression = "zstd"
)

// Compressions lists the codecs, for usage texts and validation.
func Compressions() []Compression { return []Compression{None, Gzip, Snappy, LZ4, Zstd} }

func (c Compression) codec() sarama.CompressionCodec {
	switch c {
	case Gzip:
		return sarama.CompressionGZIP
	case Snappy:
		return sarama.CompressionSnappy
	case LZ4:
		return sarama.CompressionLZ4
	case Zstd:
		return sarama.CompressionZSTD
	default:
		return sarama.CompressionNone
	}
}

const (
	// defaultMaxRequest is the brokers' default socket.request.max.bytes, and
	// the largest request that sarama encodes.
	defaultMaxRequest = 100 << 20
	// requestSlack is room for everything in a Produce request that is not a
	// record batch: header, ids, topic names.
	requestSlack = 4096
)

// Kafka is a Sink and the CheckpointTopic of one name. It is made by NewKafka,
// opens connections when it needs them, and is used by one goroutine at a
// time.
type Kafka struct {
	cfg     KafkaConfig
	log     *slog.Logger
	metrics *metrics

	cluster cluster
	topics  map[string]*topic
	last    *topic // the one looked up last: neighbours often share a topic
	refused map[string]refused

	refreshed   time.Time // when the topics were looked at last
	stale       bool      // leaders or coordinator may have moved
	coordinator *node     // of the transactional id; nil when unknown

	producer   producer
	assembler  assembler
	answers    answers
	membership membership
}

// producer is what InitProducerId gave us.
type producer struct {
	id    int64
	epoch int16
	// ready is set by Fence and taken back by the first error: only Fence
	// goes on then.
	ready bool
	// broken is that first error.
	broken error
}

// NewKafka makes a Kafka that is not connected: nothing is opened or started
// before the first call that needs it. It registers
// tailer_kafka_commit_duration_seconds and tailer_kafka_transactions_total
// with reg, which may be nil.
func NewKafka(cfg KafkaConfig, log *slog.Logger, reg prometheus.Registerer) *Kafka {
	if cfg.ClientID == "" {
		cfg.ClientID = "tailer"
	}
	if cfg.MaxRequestBytes <= 0 || cfg.MaxRequestBytes > defaultMaxRequest {
		cfg.MaxRequestBytes = defaultMaxRequest
	}
	relayLogs(log)
	k := &Kafka{
		cfg:     cfg,
		log:     log,
		metrics: newMetrics(reg),
		topics:  make(map[string]*topic),
		refused: make(map[string]refused),
	}
	k.cluster = newCluster(cfg)
	k.assembler.codec = cfg.Compression.codec()
	k.membership.number = 1
	return k
}

// Close ends every connection. A later call opens them again; the producer id
// is forgotten, so that call has to be Fence before anything is produced.
func (k *Kafka) Close() {
	k.cluster.close()
	k.coordinator = nil
	k.producer = producer{}
	k.stale = true
}

package publish

import (
	"context"
	"errors"
	"fmt"

	"github.com/IBM/sarama"
)

// errNotFenced is returned when something is to be sent before Fence.
var errNotFenced = errors.New("no producer id yet; Fence comes first")

// class says what an error means for the request that met it.
type class int

const (
	// fatal: asking again changes nothing.
	fatal class = iota
	// retriable: the same request may succeed later, perhaps elsewhere.
	retriable
	// fenced: the producer id or epoch is not valid any more.
	fenced
)

// brokerError is an error code in a broker's answer, see
// https://kafka.apache.org/protocol#protocol_error_codes.
type brokerError struct {
	step      string // what was asked for, such as "produce"
	topic     string // "" when the answer is about none
	partition int32
	code      sarama.KError
	text      string // the broker's own words, may be empty
}

func (e *brokerError) Error() string {
	s := e.step
	if e.topic != "" {
		s = fmt.Sprintf("%s, topic %s partition %d", e.step, e.topic, e.partition)
	}
	s += ": " + codeName(e.code)
	if e.text != "" {
		s += ": " + e.text
	}
	if h := codes[e.code].hint; h != "" {
		s += "; " + h
	}
	return s
}

// Unwrap lets errors.Is compare with sarama's codes.
func (e *brokerError) Unwrap() error { return e.code }

// Fenced reports whether the brokers do not accept this producer any more:
// PRODUCER_FENCED, INVALID_PRODUCER_EPOCH or INVALID_PRODUCER_ID_MAPPING. That
// alone does not prove a rival: the coordinator bumps the epoch itself when a
// transaction times out.
func Fenced(err error) bool { return classify(err) == fenced }

// classify sorts errors. Everything that is no answer of a broker is a broken
// or missing connection, hence retriable, except the end of the context.
func classify(err error) class {
	var code sarama.KError
	switch {
	case errors.As(err, &code):
		return codes[code].class
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fatal
	default:
		return retriable
	}
}

// isCode reports whether err is that answer of a broker.
func isCode(err error, code sarama.KError) bool {
	var c sarama.KError
	return errors.As(err, &c) && c == code
}

// codeName is Kafka's own name of an error code.
func codeName(c sarama.KError) string {
	if k, ok := codes[c]; ok {
		return k.name
	}
	return fmt.Sprintf("error code %d (%s)", int16(c), c.Error())
}

type codeInfo struct {
	name  string
	class class
	hint  string
}

// codes are the answers that the requests of this package may get.
var codes = map[sarama.KError]codeInfo{
	-1:  {"UNKNOWN_SERVER_ERROR", retriable, "the broker's log has the cause"},
	1:   {"OFFSET_OUT_OF_RANGE", fatal, ""},
	2:   {"CORRUPT_MESSAGE", retriable, ""},
	3:   {"UNKNOWN_TOPIC_OR_PARTITION", retriable, ""},
	5:   {"LEADER_NOT_AVAILABLE", retriable, ""},
	6:   {"NOT_LEADER_OR_FOLLOWER", retriable, ""},
	7:   {"REQUEST_TIMED_OUT", retriable, ""},
	8:   {"BROKER_NOT_AVAILABLE", retriable, ""},
	9:   {"REPLICA_NOT_AVAILABLE", retriable, ""},
	10:  {"MESSAGE_TOO_LARGE", fatal, "the topic's max.message.bytes was lowered"},
	13:  {"NETWORK_EXCEPTION", retriable, ""},
	14:  {"COORDINATOR_LOAD_IN_PROGRESS", retriable, ""},
	15:  {"COORDINATOR_NOT_AVAILABLE", retriable, ""},
	16:  {"NOT_COORDINATOR", retriable, ""},
	17:  {"INVALID_TOPIC_EXCEPTION", fatal, ""},
	18:  {"RECORD_LIST_TOO_LARGE", fatal, "the topic's segment.bytes is smaller than a record batch"},
	19:  {"NOT_ENOUGH_REPLICAS", retriable, "fewer replicas are in sync than min.insync.replicas asks for"},
	20:  {"NOT_ENOUGH_REPLICAS_AFTER_APPEND", retriable, "fewer replicas are in sync than min.insync.replicas asks for"},
	29:  {"TOPIC_AUTHORIZATION_FAILED", fatal, "grant what tailer setup --print lists"},
	31:  {"CLUSTER_AUTHORIZATION_FAILED", fatal, "grant what tailer setup --print lists"},
	32:  {"INVALID_TIMESTAMP", fatal, "a record's time is outside what the topic's message.timestamp.* settings allow"},
	33:  {"UNSUPPORTED_SASL_MECHANISM", fatal, ""},
	34:  {"ILLEGAL_SASL_STATE", fatal, ""},
	35:  {"UNSUPPORTED_VERSION", fatal, "tailer needs Kafka 2.5 or newer"},
	36:  {"TOPIC_ALREADY_EXISTS", fatal, ""},
	37:  {"INVALID_PARTITIONS", fatal, ""},
	38:  {"INVALID_REPLICATION_FACTOR", fatal, "--topic-replication asks for more replicas than there are brokers"},
	40:  {"INVALID_CONFIG", fatal, ""},
	41:  {"NOT_CONTROLLER", retriable, ""},
	42:  {"INVALID_REQUEST", fatal, ""},
	43:  {"UNSUPPORTED_FOR_MESSAGE_FORMAT", fatal, ""},
	44:  {"POLICY_VIOLATION", fatal, "the broker's create.topic.policy forbids it"},
	45:  {"OUT_OF_ORDER_SEQUENCE_NUMBER", fatal, ""},
	46:  {"DUPLICATE_SEQUENCE_NUMBER", fatal, ""},
	47:  {"INVALID_PRODUCER_EPOCH", fenced, ""},
	48:  {"INVALID_TXN_STATE", fatal, ""},
	49:  {"INVALID_PRODUCER_ID_MAPPING", fenced, ""},
	50:  {"INVALID_TRANSACTION_TIMEOUT", fatal, "--kafka-transaction-timeout exceeds the broker's transaction.max.timeout.ms"},
	51:  {"CONCURRENT_TRANSACTIONS", retriable, ""},
	53:  {"TRANSACTIONAL_ID_AUTHORIZATION_FAILED", fatal, "grant what tailer setup --print lists"},
	56:  {"KAFKA_STORAGE_ERROR", retriable, ""},
	58:  {"SASL_AUTHENTICATION_FAILED", fatal, ""},
	59:  {"UNKNOWN_PRODUCER_ID", fatal, ""},
	74:  {"FENCED_LEADER_EPOCH", retriable, ""},
	75:  {"UNKNOWN_LEADER_EPOCH", retriable, ""},
	76:  {"UNSUPPORTED_COMPRESSION_TYPE", fatal, "choose another --kafka-compression"},
	78:  {"OFFSET_NOT_AVAILABLE", retriable, ""},
	87:  {"INVALID_RECORD", fatal, "a compacted topic takes no record without a key"},
	89:  {"THROTTLING_QUOTA_EXCEEDED", retriable, ""},
	90:  {"PRODUCER_FENCED", fenced, ""},
	100: {"UNKNOWN_TOPIC_ID", retriable, ""},
	120: {"TRANSACTION_ABORTABLE", fatal, ""},
}

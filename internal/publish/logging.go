package publish

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/IBM/sarama"
	gometrics "github.com/rcrowley/go-metrics"
)

// Keys of log attributes, declared once.
const (
	keyTopic       = "topic"
	keyPartition   = "partition"
	keyPartitions  = "partitions"
	keyReplication = "replication"
	keyBefore      = "before"
	keyErr         = "err"
	keyProducerID  = "producer_id"
	keyEpoch       = "epoch"
	keyMaxBytes    = "max_message_bytes"
)

// sarama's logger is one variable for the whole process, read by its
// goroutines without a lock. So it is set once, before any of them runs, to a
// relay that can be pointed elsewhere at any time.
var relayTo atomic.Pointer[slog.Logger]

func init() {
	sarama.Logger = relay{}
	// sarama keeps several histograms per topic, of some 16 KB each, for a
	// registry that nobody here reads. This is the library's own switch.
	gometrics.UseNilMetrics = true
}

func relayLogs(log *slog.Logger) { relayTo.Store(log) }

type relay struct{}

func (r relay) Print(v ...any)            { r.debug(fmt.Sprint(v...)) }
func (r relay) Printf(f string, v ...any) { r.debug(fmt.Sprintf(f, v...)) }
func (r relay) Println(v ...any)          { r.debug(fmt.Sprintln(v...)) }
func (relay) debug(text string) {
	if log := relayTo.Load(); log != nil {
		log.Debug("kafka client", "text", strings.TrimSpace(text))
	}
}

package publish

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	commit       prometheus.Histogram
	transactions prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	return &metrics{
		commit: register(reg, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "tailer_kafka_commit_duration_seconds",
			Help:    "Time from asking the transaction coordinator to commit until its answer.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60},
		})),
		transactions: register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tailer_kafka_transactions_total",
			Help: "Kafka transactions committed.",
		})),
	}
}

// register gives back the collector that stands in the registry already, if
// one does: a second Kafka of the same process counts into the same series.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	if reg == nil {
		return c
	}
	err := reg.Register(c)
	var known prometheus.AlreadyRegisteredError
	if errors.As(err, &known) {
		if old, ok := known.ExistingCollector.(C); ok {
			return old
		}
	}
	return c
}

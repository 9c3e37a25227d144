package pipeline

import (
	"math"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tailer-io/tailer/internal/outbox"
)

// metrics are counted by batch, never by row. Labels come from the
// configuration or from closed sets.
type metrics struct {
	tables    []string
	read      []prometheus.Counter // by table
	sent      []prometheus.Counter // by table
	poison    *prometheus.CounterVec
	latency   prometheus.Histogram
	batchRows prometheus.Histogram
	restarts  *prometheus.CounterVec
	traffic   *traffic
	cleanup   *cleanupMetrics // nil without a Cleaner
	// What was counted and not yet added, by table.
	readN, sentN []int
}

func newMetrics(reg prometheus.Registerer, r *report, cfg Config) *metrics {
	m := &metrics{
		tables:  cfg.Tables,
		traffic: newTraffic(),
		readN:   make([]int, len(cfg.Tables)),
		sentN:   make([]int, len(cfg.Tables)),
		poison: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tailer_events_poison_total", Help: "Rows that could not be published, by what was done with them.",
		}, []string{"table", "action"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "tailer_publish_latency_seconds",
			Help:    "Time from the source's commit to the broker's, of the oldest row of each batch.",
			Buckets: []float64{0.0005, 0.001, 0.002, 0.004, 0.006, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60},
		}),
		batchRows: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tailer_batch_events", Help: "Rows in a batch; idle checkpoints left out.",
			Buckets: []float64{1, 3, 10, 30, 100, 300, 1000, 3000, 10000},
		}),
		restarts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tailer_pipeline_restarts_total", Help: "Restarts inside the process: of the sink alone, or of the whole pipeline.",
		}, []string{"reason"}),
	}
	read := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tailer_events_read_total", Help: "Outbox rows read, published or left out, up to the newest checkpoint.",
	}, []string{"table"})
	sent := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tailer_events_published_total", Help: "Outbox rows committed to the sink.",
	}, []string{"table"})
	for _, t := range cfg.Tables {
		m.read = append(m.read, read.WithLabelValues(t))
		m.sent = append(m.sent, sent.WithLabelValues(t))
	}
	for _, reason := range []string{"source", "sink", "checkpoint", "diverged", "rival"} {
		m.restarts.WithLabelValues(reason)
	}
	reg.MustRegister(read, sent, m.poison, m.latency, m.batchRows, m.restarts, &gauges{report: r})
	if cfg.Cleaner != nil {
		m.cleanup = newCleanupMetrics(reg, cfg.Tables)
	}
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "tailer_info", Help: "Always 1; what this instance joins.",
	}, []string{"name", "source", "sink"})
	info.WithLabelValues(cfg.Name, string(cfg.SourceKind), cfg.SinkKind).Set(1)
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "tailer_build_info", Help: "Always 1; the binary.",
	}, []string{"version", "goversion"})
	build.WithLabelValues(cfg.Version, runtime.Version()).Set(1)
	reg.MustRegister(info, build)
	return m
}

// forget drops what was counted and never committed.
func (m *metrics) forget() {
	clear(m.readN)
	clear(m.sentN)
	m.traffic.forget()
}

// count counts the rows of a batch that is on its way, and returns how many are
// published.
func (m *metrics) count(b *outbox.Batch, msgs *outbox.Messages) (sent int) {
	for i := range b.Rows {
		m.readN[b.Rows[i].Shape.Table]++
	}
	for i := range msgs.List {
		if msg := &msgs.List[i]; msg.Row >= 0 && !msg.Letter {
			m.sentN[b.Rows[msg.Row].Shape.Table]++
			sent++
		}
	}
	m.traffic.count(msgs.List)
	return sent
}

// flush adds what was counted: it is committed.
func (m *metrics) flush() {
	for i := range m.tables {
		m.read[i].Add(float64(m.readN[i]))
		m.sent[i].Add(float64(m.sentN[i]))
	}
	m.traffic.flush()
	m.forget()
}

// committed notes that a batch and its checkpoint are committed.
func (p *Pipeline) committed(b *outbox.Batch, m *outbox.Messages, try attempt) {
	p.last = try.next
	p.checkpointed(try.next)
	p.mayClean()
	if len(b.Rows) == 0 {
		return
	}
	p.metrics.forget()
	sent := p.metrics.count(b, m)
	p.metrics.flush()
	p.metrics.batchRows.Observe(float64(len(b.Rows)))
	p.metrics.latency.Observe(time.Since(b.Oldest()).Seconds())
	p.published.Add(uint64(sent))
	p.noteVerdict(&try.verdict)
}

// fail notes and logs an error that is going to be retried.
func (p *Pipeline) fail(err error) {
	side := string(p.cfg.SourceKind)
	switch kindOf(err) {
	case "sink":
		side = p.cfg.SinkKind
	case "diverged", "checkpoint":
		side = "checkpoint"
	}
	p.failed(side, err)
	p.log.Warn("failed; trying again", "side", side, "err", oneLine(err))
}

// restarted counts a restart of the whole pipeline, or of the sink alone.
func (p *Pipeline) restarted(kind string) { p.metrics.restarts.WithLabelValues(kind).Inc() }

var (
	descLag       = desc("source_lag_seconds", "Now minus the commit time of the oldest row read and not committed; 0 when the server's end is reached, NaN when the server cannot be asked.")
	descLagBytes  = desc("source_lag_bytes", "Log between what was read and the server's end.")
	descLagTxns   = desc("source_lag_transactions", "Transactions between what was read and the server's end, where positions are GTIDs; then there is no source_lag_bytes.")
	descConfirmed = desc("slot_confirmed_lag_bytes", "Log between the confirmed position and the server's end.")
	descRetained  = desc("slot_retained_bytes", "Log that the server keeps for us.")
	descSafe      = desc("slot_safe_wal_bytes", "Log that may still be written before the server cuts us off.")
	descSaved     = desc("checkpoint_timestamp_seconds", "When the newest checkpoint was made, Unix time.")
	descError     = desc("last_error_timestamp_seconds", "When the newest error happened, Unix time; 0 for never.")
	descInFlight  = desc("in_flight_bytes", "Rows handed over and not committed.")
	descSource    = desc("source_connected", "1 while the source answers.")
	descSink      = desc("sink_connected", "1 while the sink answers.")
	descActive    = desc("active", "1 when this instance publishes, 0 when it stands by.")
	descRefused   = prometheus.NewDesc("tailer_refused", "1 while an operator must decide.", []string{"reason"}, nil)
)

func desc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("tailer_"+name, help, nil, nil)
}

var (
	nan           = math.NaN()
	unknownGauges = outbox.Gauges{ConfirmedLagBytes: nan, RetainedBytes: nan, SafeBytes: nan}
)

// gauges are read from the report when they are asked for.
type gauges struct{ report *report }

func (g *gauges) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descLag, descLagBytes, descLagTxns, descConfirmed, descRetained, descSafe, descSaved,
		descError, descInFlight, descSource, descSink, descActive, descRefused} {
		c <- d
	}
}

func (g *gauges) Collect(c chan<- prometheus.Metric) {
	r := g.report
	r.mu.Lock()
	defer r.mu.Unlock()
	put := func(d *prometheus.Desc, v float64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	put(descLag, r.lag())
	known := r.gauges
	if r.pollErr != nil {
		known = unknownGauges
	}
	if r.gauges.InTransactions {
		put(descLagTxns, r.logBehind(r.readUpTo()))
	} else {
		put(descLagBytes, r.logBehind(r.readUpTo()))
	}
	for d, v := range map[*prometheus.Desc]float64{descConfirmed: known.ConfirmedLagBytes,
		descRetained: known.RetainedBytes, descSafe: known.SafeBytes} {
		if v < 0 {
			v = nan
		}
		put(d, v)
	}
	put(descSaved, unix(r.saved))
	if r.lastError.Time != nil {
		put(descError, unix(*r.lastError.Time))
	} else {
		put(descError, 0)
	}
	flying := 0
	if r.handoff != nil {
		flying = r.handoff.InFlight()
	}
	if r.hand != nil {
		flying += r.handBytes
	}
	put(descInFlight, float64(flying))
	put(descSource, oneIf(r.sourceOK))
	put(descSink, oneIf(r.sinkOK))
	put(descActive, oneIf(r.active))
	if r.refusal != "" {
		put(descRefused, 1, r.refusal)
	}
}

func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixNano()) / 1e9
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

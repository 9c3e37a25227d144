package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tailer-io/tailer/internal/checkpoint"
	"github.com/tailer-io/tailer/internal/outbox"
)

// Config says what is joined, and how it behaves.
type Config struct {
	// Name identifies the instance; see --name.
	Name string
	// Version is the binary's version, noted in checkpoints.
	Version string
	// Instance names this process, different in every start.
	Instance string

	Source Source
	Sink   Sink
	Mapper Mapper
	// SourceKind and SinkKind ("kafka", "stdout") are for people.
	SourceKind outbox.Kind
	SinkKind   string
	// Cluster is what the sink writes to; nil for stdout.
	Cluster Cluster
	// Topic holds the checkpoints; nil when File does, or nothing does.
	Topic CheckpointTopic
	// CheckpointTopic is the topic's name.
	CheckpointTopic string
	// File is the checkpoint store of stdout and at-least-once; nil for none.
	File Store

	// Transactional is exactly-once delivery.
	Transactional bool
	// Tables are the configured names of the outbox tables.
	Tables []string
	// CommitInterval is the least time between the begins of two
	// transactions.
	CommitInterval time.Duration
	// TransactionTimeout is how long the broker lets a transaction be open.
	TransactionTimeout time.Duration
	// Limits bounds a batch; the zero value takes DefaultLimits.
	Limits outbox.Limits
	// BoundMemory has the process keep the memory that is promised whatever the
	// rows are. It is for a process that does nothing else.
	BoundMemory bool
	// Snapshot makes the first start publish the rows already in the tables.
	Snapshot bool
	// SnapshotMaxRows is the number of rows above which a first start refuses.
	SnapshotMaxRows int64
	// RequireCheckpoint refuses a first start.
	RequireCheckpoint bool
	// CreateTopics allows to create the checkpoint topic.
	CreateTopics bool
	// Until is where to stop: "", "now", or a position.
	Until string
	// OnPoison is what is done about rows that cannot be published: Halt, Skip
	// or DeadLetter.
	OnPoison string
	// DeadLetterTopic is where DeadLetter puts them.
	DeadLetterTopic string
	// OnRefusal is "exit" or "wait".
	OnRefusal string
	// UnreadyBytes is how much log the source may keep for us while this is
	// ready; 0 for any amount.
	UnreadyBytes int64
	// Cleaner deletes published rows; nil keeps them.
	Cleaner Cleaner
	// Retention is how old they get; it paces the search for them.
	Retention time.Duration
}

// DefaultLimits bounds a batch. Three of them are in use. With 5,000 rows the
// transaction's fixed cost is spread thin; twice as many drained no faster, and
// took 15 MiB more.
var DefaultLimits = outbox.Limits{Rows: 5_000, Bytes: 2 << 20}

const (
	// batches is how many batches there are: one committing, one waiting or at
	// rest, one being filled.
	batches = 3
	// idleInterval is the longest time between two checkpoints.
	idleInterval = 5 * time.Second
	// takeOverAfter is how long a standby sees no new record before it fences
	// a holder that keeps the lock.
	takeOverAfter = 3 * idleInterval
	// watchInterval is how often the source is asked for gauges and the
	// publication is checked.
	watchInterval = 10 * time.Second
	// commitWithin and stopWithin bound, from the moment a stop is asked for,
	// the last commit and the last confirmation.
	commitWithin = 3 * time.Second
	stopWithin   = 4 * time.Second
	// refusedRetry is how often --on-refusal wait looks again.
	refusedRetry = 5 * time.Second
)

// errStop is the cause of a stop that was asked for.
var errStop = errors.New("stopping")

// Pipeline moves rows from one source to one sink. Run may be called once.
type Pipeline struct {
	cfg    Config
	log    *slog.Logger
	source Source
	sink   Sink
	mapper Mapper
	topic  CheckpointTopic
	file   Store
	// configured are the tables' names, sorted.
	configured []string

	// The following belong to the goroutine that runs the session.
	identity outbox.Identity
	cluster  string
	tables   []string           // that records are written for: see adopt
	added    *addedTables       // nil when there are none
	last     *checkpoint.Record // what is committed; nil before the first one
	msgs     outbox.Messages
	letters  outbox.Messages
	memory   memory
	fences   int
	left     leftOut
	force    bool // the lock's holder is to be fenced and evicted
	// tookLock tells that this session is past standing by.
	tookLock bool
	// wroteBarrier is true from the first barrier of this process on, until
	// another instance's has come behind it: see succeeded.
	wroteBarrier bool

	durable atomic.Pointer[outbox.Position] // the newest checkpoint's, for cleanUp

	report  // what others may see; locked inside
	metrics *metrics
}

// New returns a pipeline that does nothing yet. Its metrics are registered
// with reg.
func New(cfg Config, log *slog.Logger, reg prometheus.Registerer) *Pipeline {
	if cfg.Limits == (outbox.Limits{}) {
		cfg.Limits = DefaultLimits
	}
	p := &Pipeline{
		cfg:    cfg,
		log:    log,
		source: cfg.Source,
		sink:   cfg.Sink,
		mapper: cfg.Mapper,
		topic:  cfg.Topic,
		file:   cfg.File,
		memory: newMemory(cfg.BoundMemory),

		configured: checkpoint.Sorted(cfg.Tables),
	}
	p.tables = p.configured
	p.report.begin(cfg)
	p.metrics = newMetrics(reg, &p.report, cfg)
	return p
}

// Run publishes until ctx ends or --until is reached (nil), an operator must
// decide (*outbox.Refusal), or the configuration does not fit
// (*outbox.Invalid). Everything else is retried inside, with backoff.
func (p *Pipeline) Run(ctx context.Context) error {
	defer p.sink.Close()
	defer p.source.Close()
	var retry backoff
	for {
		start := time.Now()
		err := p.session(ctx)
		if time.Since(start) > time.Minute {
			retry.reset()
		}
		var refusal *outbox.Refusal
		var invalid *outbox.Invalid
		switch {
		case ctx.Err() != nil && !errors.As(err, &refusal), errors.Is(err, outbox.ErrEnd):
			p.setState(Stopping, "")
			return nil
		case errors.As(err, &refusal):
			p.refuse(refusal)
			if p.cfg.OnRefusal != "wait" || p.keepsNothing() && p.everStreamed() {
				return refusal
			}
			p.log.Error("refused; waiting for the cause to go away", "reason", refusal.Reason, "err", refusal.Text, "hint", refusal.Hint)
			if !pause(ctx, refusedRetry) {
				return nil
			}
			continue
		case errors.As(err, &invalid):
			return err
		case errors.Is(err, errExtended):
			continue
		case errors.Is(err, errRival):
			p.log.Warn("stepping back to standby", "err", err)
			p.restarted("rival")
			continue
		case p.keepsNothing() && p.everStreamed():
			return fmt.Errorf("%w; without a checkpoint what was committed meanwhile would go unseen, so this run ends", err)
		}
		p.fail(err)
		p.restarted(kindOf(err))
		if !retry.wait(ctx) {
			return nil
		}
	}
}

// session runs once from the first connection to the first error that the sink
// alone cannot get over. It returns with every goroutine ended.
func (p *Pipeline) session(ctx context.Context) error {
	defer p.setActive(false)
	p.setState(Starting, "")
	resume, err := p.start(ctx)
	switch {
	case err != nil:
	case p.added != nil:
		err = p.extend(ctx)
	default:
		err = p.stream(ctx, resume, p.cfg.Until)
	}
	err = p.stillTrue(ctx, err)
	p.sink.Close()
	p.source.Close()
	return err
}

// stillTrue lets a refusal stand only while the name's lock is ours. A process
// that slept compares what it read before with what the one that took over has
// made since: a slot ahead of an old checkpoint is then no news for an operator.
// The lock is asked for afterwards, for whoever took over took it first.
func (p *Pipeline) stillTrue(ctx context.Context, err error) error {
	if !isRefusal(err) || !p.tookLock || ctx.Err() != nil {
		return err
	}
	if lost := p.stillLocked(ctx); lost != nil {
		return fmt.Errorf("%w; what was found before does not count: %v", lost, err)
	}
	return err
}

// stream reads and publishes side by side: one goroutine reads the log into
// batches, this one commits them, a third looks after the source, a fourth
// deletes what is published and old. It ends with outbox.ErrEnd at until, a
// position or "now"; "" is never.
func (p *Pipeline) stream(ctx context.Context, resume outbox.Resume, until string) error {
	if err := p.source.Until(ctx, until); err != nil {
		return err
	}
	p.source.WholeRows(p.cfg.OnPoison == DeadLetter)
	reading, stopReading := context.WithCancelCause(ctx)
	defer stopReading(errStop)
	h := outbox.NewHandoff(batches, p.cfg.Limits, resume)
	p.streaming(h)
	defer p.streaming(nil)

	read := make(chan struct{})
	go func() { // owner: this function, which waits for read
		defer close(read)
		h.Close(p.source.Stream(reading, resume, h))
	}()
	watched := make(chan struct{})
	go func() { // owner: this function, which waits for watched
		defer close(watched)
		if err := p.watch(reading); err != nil {
			stopReading(err)
		}
	}()
	cleaned := make(chan struct{})
	go func() { // owner: this function, which waits for cleaned
		defer close(cleaned)
		p.cleanUp(reading)
	}()

	asked := make(chan time.Time, 1) // when the stop was asked for
	defer context.AfterFunc(ctx, func() { asked <- time.Now() })()
	err := p.publishAll(ctx, h)
	if ctx.Err() != nil || p.added == nil && (err == nil || errors.Is(err, outbox.ErrEnd)) {
		p.setState(Stopping, "")
	}
	stopReading(errStop)
	<-read
	<-watched
	<-cleaned // before the lock goes with its session
	if cause := context.Cause(reading); errors.Is(err, context.Canceled) && cause != nil {
		err = cause
	}
	if p.last != nil && !p.keepsNothing() && (errors.Is(err, outbox.ErrEnd) || ctx.Err() != nil) {
		// The last confirmation is worth a moment: without it the server
		// sends again what was published, and keeps that much more log.
		end := time.Now()
		if ctx.Err() != nil {
			end = <-asked
		}
		last, cancel := context.WithDeadline(context.WithoutCancel(ctx), end.Add(stopWithin))
		defer cancel()
		if cerr := p.source.ConfirmWait(last, p.last.Resume().Position); cerr != nil {
			p.log.Warn("the database does not show the last position as confirmed; the next start will read some rows again and drop them", "err", cerr)
		}
	}
	return err
}

// publishAll commits batch after batch. It returns when ctx ends, when the
// reader has ended and all of its batches are committed, or with the first
// error that ends the session.
func (p *Pipeline) publishAll(ctx context.Context, h *outbox.Handoff) error {
	// What was begun is brought to an end although ctx ends: for so long.
	detached, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(errStop)
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(commitWithin, func() { cancel(errStop) })
	})()

	idle := time.Now().Add(idleInterval)
	var begun time.Time
	for {
		if wait := p.cfg.CommitInterval - time.Since(begun); wait > 0 && !pause(ctx, wait) {
			return context.Cause(ctx)
		}
		b, err := h.Take(ctx, idle)
		if err != nil {
			return err
		}
		begun = time.Now()
		fresh := b
		if b == nil {
			// Nothing was read: the record shows that we live.
			fresh = &outbox.Batch{}
			if p.last != nil {
				fresh.Start, fresh.Resume = p.last.Resume(), p.last.Resume()
			}
		}
		p.inHand(fresh)
		if fresh.Resume.Position.IsZero() {
			p.turned() // without a checkpoint, and before the first keepalive
		} else if err := p.publish(detached, ctx, fresh); err != nil {
			return err
		}
		p.inHand(nil)
		if b != nil {
			p.letGo(b)
			h.Recycle(b)
		}
		idle = time.Now().Add(idleInterval)
	}
}

// watch asks the source for its gauges, checks that its log still brings every
// row, and that the name's lock is still ours, until ctx ends or a check says
// that this session must.
func (p *Pipeline) watch(ctx context.Context) error {
	for {
		p.poll(ctx)
		err := p.source.Watch(ctx)
		switch {
		case isRefusal(err), errors.Is(err, outbox.ErrOtherServer):
			return err
		case err != nil && ctx.Err() == nil:
			p.log.Warn("the source could not be checked", "err", err)
		}
		if !pause(ctx, watchInterval) {
			return nil
		}
		if err := p.stillLocked(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// stillLocked is an error when the name's lock is lost: from then on another
// instance may be active, and without transactions nothing else keeps the two
// apart. Being asked also keeps a session alive that has nothing else to do.
func (p *Pipeline) stillLocked(ctx context.Context) error {
	if p.keepsNothing() {
		return nil // it has taken none
	}
	if err := p.source.Locked(ctx); err != nil {
		return fmt.Errorf("keep the lock of %s: %w", p.cfg.Name, err)
	}
	return nil
}

// poll refreshes the source's gauges.
func (p *Pipeline) poll(ctx context.Context) {
	asking, cancel := context.WithTimeout(ctx, watchInterval)
	defer cancel()
	g, err := p.source.Gauges(asking)
	if err != nil && ctx.Err() != nil {
		return // we stop; that is no news about the server
	}
	p.polled(g, err, p.source.Behind)
	if err == nil {
		p.warnOfCutOff(g)
	}
}

// pause waits; false means that ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// kindOf names an error's side for the metric pipeline_restarts_total.
func kindOf(err error) string {
	var store storeError
	switch {
	case errors.Is(err, errDiverged):
		return "diverged"
	case errors.As(err, &store):
		return "checkpoint"
	case isSinkError(err):
		return "sink"
	default:
		return "source"
	}
}

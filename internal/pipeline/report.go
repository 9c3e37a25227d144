package pipeline

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tailer-io/tailer/internal/checkpoint"
	"github.com/tailer-io/tailer/internal/outbox"
)

const (
	// stuckAfter is how long nothing may turn before /healthz says so.
	stuckAfter = 60 * time.Second
	// staleAfter is how old the server's last answer may be for a standby.
	staleAfter = 3 * watchInterval
	// slowAfter is how long a commit may take before /readyz says so.
	slowAfter = 10 * time.Second
)

// report is what others may see of the pipeline, at any time, from any
// goroutine.
type report struct {
	published atomic.Uint64

	mu         sync.Mutex // guards all below
	name       string
	version    string
	state      State
	reason     string
	identity   outbox.Identity
	position   string // the newest checkpoint's
	saved      time.Time
	lastError  StatusError
	errors     []Trouble // the newest first
	poison     map[string]uint64
	refusal    string // its reason, while refused
	adding     string // which tables are being added, for people
	active     bool
	sourceOK   bool
	sinkOK     bool
	streamedBy int // how often streaming began
	turn       time.Time
	handoff    *outbox.Handoff
	hand       *outbox.Batch // being committed
	handOldest time.Time
	handBytes  int
	handSince  time.Time

	asked    time.Time // when the source was polled last
	gauges   outbox.Gauges
	pollErr  error
	behind   func(p, end outbox.Position) float64
	caughtUp time.Time // when we last were at the server's end
	runway   runway

	unreadyBytes float64 // 0 for no limit
}

func (r *report) begin(cfg Config) {
	now := time.Now()
	r.name, r.version, r.state = cfg.Name, cfg.Version, Starting
	r.unreadyBytes = float64(cfg.UnreadyBytes)
	r.turn, r.caughtUp = now, now
	r.poison = map[string]uint64{}
	r.pollErr = errors.New("the source was not asked yet")
}

// setState notes what the pipeline does. A start after an error keeps saying
// retrying, or refused, until it gets somewhere.
func (r *report) setState(s State, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn = time.Now()
	if s == Starting && (r.state == Retrying || r.state == Refused) {
		return
	}
	r.state, r.reason = s, reason
	if s != Refused {
		r.refusal = ""
	}
}

// failed notes an error that will be retried; side says whose it is.
func (r *report) failed(side string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.turn = now
	text := side + ": " + oneLine(err)
	r.state, r.reason = Retrying, text
	r.noteError(now, text)
	switch kindOf(err) {
	case "sink":
		r.sinkOK = false
	case "source":
		// What the server said before is not known to hold any more.
		r.sourceOK, r.pollErr = false, err
	}
}

// recovered notes that the sink works again while the stream went on.
func (r *report) recovered() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flow()
	r.sinkOK = true
}

func (r *report) refuse(e *outbox.Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.turn = now
	// The state says already that it is refused.
	r.state, r.reason, r.refusal = Refused, strings.TrimPrefix(e.Error(), "refused: "), e.Reason
	r.noteError(now, e.Error())
}

func (r *report) connected(id outbox.Identity) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.identity, r.sourceOK = id, true
	r.turn = time.Now()
}

func (r *report) everStreamed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.streamedBy > 0
}

func (r *report) sinkUp(up bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sinkOK = up
}

func (r *report) setActive(a bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.active = a
}

// turned notes progress.
func (r *report) turned() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn = time.Now()
}

// streaming notes the hand-over of the stream that begins; nil when it ended.
func (r *report) streaming(h *outbox.Handoff) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handoff, r.hand, r.handOldest = h, nil, time.Time{}
	if h != nil {
		r.flow()
		r.refusal = ""
		r.streamedBy++
		r.turn = time.Now()
	}
}

// flow sets the state in which batches flow. r.mu is held.
func (r *report) flow() {
	r.state, r.reason = Streaming, ""
	if r.adding != "" {
		r.state, r.reason = Snapshotting, r.adding
	}
}

// extending notes that tables are being added; "" ends it.
func (r *report) extending(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.adding = what; what != "" {
		r.flow()
		r.turn = time.Now()
	}
}

// inHand notes the batch that is being committed; nil when there is none.
func (r *report) inHand(b *outbox.Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hand, r.handOldest = b, time.Time{}
	if b != nil {
		r.handSince, r.handOldest, r.handBytes = time.Now(), b.Oldest(), b.Bytes()
	} else if r.atEnd() {
		r.caughtUp = time.Now()
	}
}

func (r *report) checkpointed(rec *checkpoint.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.position, r.saved, r.turn = rec.Position, rec.Time, time.Now()
}

// observed notes the checkpoint of the active instance, while standing by.
func (r *report) observed(rec *checkpoint.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.position, r.saved = rec.Position, rec.Time
	if r.atEnd() {
		r.caughtUp = time.Now()
	}
}

func (r *report) countPoison(action string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.poison[action] += uint64(n)
}

// poisoned is how many rows one action was done with.
func (r *report) poisoned(action string) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.poison[action]
}

// readUpTo is how far the log was read; without a stream, the newest
// checkpoint. r.mu is held.
func (r *report) readUpTo() outbox.Position {
	if r.handoff == nil {
		return outbox.Position{Kind: r.identity.Kind, Text: r.position}
	}
	return r.handoff.ReadUpTo().Position
}

// logBehind is the log between p and the server's end as it was asked for
// last, in bytes or, where gauges say so, transactions; NaN when nobody can
// say. r.mu is held.
func (r *report) logBehind(p outbox.Position) float64 {
	if r.pollErr != nil || r.behind == nil || p.IsZero() {
		return math.NaN()
	}
	if n := r.behind(p, r.gauges.Server); n >= 0 {
		return n
	}
	return math.NaN()
}

func (r *report) lastPoll() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

func (r *report) polled(g outbox.Gauges, err error, behind func(p, end outbox.Position) float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked, r.gauges, r.pollErr, r.behind = time.Now(), g, err, behind
	if r.atEnd() {
		r.caughtUp = r.asked
	}
	if err == nil {
		r.sourceOK = true
	} else if r.state == Standby || r.state == Streaming {
		r.sourceOK = false
	}
}

// oldest is the commit time of the oldest row that was read and is not
// committed. r.mu is held.
func (r *report) oldest() time.Time {
	t := r.handOldest
	if t.IsZero() && r.handoff != nil {
		t = r.handoff.Oldest()
	}
	return t
}

// atEnd tells whether everything up to the server's end, as it was asked for
// last, is read and committed. r.mu is held.
func (r *report) atEnd() bool {
	return r.oldest().IsZero() && r.logBehind(r.readUpTo()) == 0
}

// lag is source_lag_seconds. r.mu is held.
func (r *report) lag() float64 {
	now := time.Now()
	if t := r.oldest(); !t.IsZero() {
		return max(now.Sub(t).Seconds(), 0)
	}
	switch {
	case r.pollErr != nil, r.readUpTo().IsZero():
		return math.NaN()
	case r.atEnd():
		r.caughtUp = now
		return 0
	default:
		// Nothing of ours is known to be waiting, but the server is ahead: at
		// most so old is what we have not seen yet.
		return now.Sub(r.caughtUp).Seconds()
	}
}

// opening tells that the stream was begun and the log is not being read yet.
// r.mu is held.
func (r *report) opening() bool {
	return r.state == Streaming && (r.handoff == nil || !r.handoff.Opened())
}

// Status is what /status shows.
func (r *report) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Status{
		Name:           r.name,
		Version:        r.version,
		State:          r.state,
		Reason:         r.reason,
		Source:         StatusSource{Kind: string(r.identity.Kind), Identity: r.identity.ID},
		Position:       r.position,
		ServerPosition: r.gauges.Server.Text,
		LagSeconds:     Number(r.lag()),
		Published:      r.published.Load(),
		Poison:         map[string]uint64{},
		LastError:      r.lastError,
	}
	here := outbox.Position{Kind: r.identity.Kind, Text: r.position}
	behind := r.logBehind(here)
	s.LagBytes, s.LagTransactions = Number(behind), Number(math.NaN())
	if r.gauges.InTransactions {
		s.LagBytes, s.LagTransactions = s.LagTransactions, s.LagBytes
	}
	if behind == 0 {
		s.ServerPosition = s.Position // which may be newer than the last answer
	}
	s.LogSecondsLeft = Number(r.runway.now.seconds())
	switch {
	case r.opening():
		s.State, s.Reason = Starting, "opening the log"
	case s.State == Streaming && r.atEnd():
		s.State = CaughtUp
	}
	for k, v := range r.poison {
		s.Poison[k] = v
	}
	return s
}

// Health returns nil while batches, idle checkpoints or retries turn; see
// /healthz.
func (r *report) Health() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d := time.Since(r.turn); d > stuckAfter {
		return fmt.Errorf("nothing has turned for %.0f s: no batch, no idle checkpoint, no retry (state %s)", d.Seconds(), r.state)
	}
	if r.handoff != nil && r.handoff.Opened() {
		if d := time.Since(r.handoff.LastHeard()); d > stuckAfter {
			return fmt.Errorf("the reader of the log has been silent for %.0f s", d.Seconds())
		}
	}
	return nil
}

// Ready returns nil when rows flow, or this process stands by and could take
// over, and the source does not keep too much log for us; see /readyz.
func (r *report) Ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.flowing(); err != nil {
		return err
	}
	if kept := r.gauges.RetainedBytes; r.unreadyBytes > 0 && r.pollErr == nil && kept > r.unreadyBytes {
		return fmt.Errorf("the database keeps %.0f bytes of log for the slot, more than --slot-wal-unready-bytes %.0f", kept, r.unreadyBytes)
	}
	return nil
}

// flowing is Ready, whatever log is kept. r.mu is held.
func (r *report) flowing() error {
	if r.opening() {
		return errors.New("starting: opening the log")
	}
	switch r.state {
	case Streaming:
		if d := time.Since(r.handSince); r.hand != nil && d > slowAfter {
			return fmt.Errorf("a commit to the sink has taken %.0f s so far", d.Seconds())
		}
		if r.pollErr != nil && r.handoff != nil && time.Since(r.handoff.LastHeard()) > slowAfter {
			return fmt.Errorf("the source does not answer: %v", r.pollErr)
		}
		return nil
	case Standby:
		if !r.sourceOK {
			return fmt.Errorf("standing by, and the source does not answer: %v", r.pollErr)
		}
		if d := time.Since(r.asked); d > staleAfter {
			return fmt.Errorf("standing by, and the source has not answered for %.0f s", d.Seconds())
		}
		if !r.sinkOK {
			return errors.New("standing by, and the sink was not reached")
		}
		return nil
	default:
		if r.reason != "" {
			return fmt.Errorf("%s: %s", r.state, r.reason)
		}
		return errors.New(string(r.state))
	}
}

// oneLine is an error's text without the line breaks that some drivers put in.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

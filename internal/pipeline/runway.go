package pipeline

import (
	"math"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// How long the source will go on keeping the log that we have not read yet.

const (
	// rateWindow is the time over which the rate is taken at which log is
	// written; with less than rateLeast of it there is none yet.
	rateWindow = 5 * time.Minute
	rateLeast  = 2 * watchInterval
	// soon and verySoon are the time that is left at which it is said.
	soon     = time.Hour
	verySoon = 10 * time.Minute
	// longest is what an estimate says at most.
	longest = 100 * 24 * time.Hour
)

// room is how much log could still be written at some time.
type room struct {
	at    time.Time
	bytes float64
}

// cutOff is what is known of the moment from which the source does not keep the
// log any more that we need.
type cutOff struct {
	// left is the time until then; known tells whether there is an estimate.
	left  time.Duration
	known bool
	// bytes is how much log may be written until then; negative without such a
	// limit.
	bytes float64
	// setting names the limit that is reached first; "" for none.
	setting string
	// urgency is 0 while there is nothing to say, 1 when it is soon, and 2 when
	// it is very soon.
	urgency int
}

// estimate makes a cutOff of the room that there was over time, the oldest
// first, of what the source said last, and of the age of the oldest log that we
// need (negative when that is not known).
func estimate(rooms []room, g outbox.Gauges, age time.Duration) cutOff {
	c := cutOff{bytes: g.SafeBytes}
	if g.SafeBytes >= 0 {
		c.setting = "max_slot_wal_keep_size"
		c.left, c.known = emptyIn(rooms)
		// What is free and what is held are together what the limit allows.
		if g.RetainedBytes >= 0 && g.SafeBytes < (g.SafeBytes+g.RetainedBytes)/10 {
			c.urgency = 1
		}
		c.urge(soon, verySoon)
	}
	gone := g.Away
	if g.ByAge {
		gone = age
	}
	if g.Keep > 0 && gone >= 0 {
		byTime := cutOff{bytes: c.bytes, setting: g.KeepSetting, left: max(g.Keep-gone, 0), known: true}
		// Where little is kept there is little left at the best of times.
		byTime.urge(min(soon, g.Keep/4), min(verySoon, g.Keep/10))
		if !c.known || byTime.left < c.left {
			byTime.urgency = max(byTime.urgency, c.urgency)
			return byTime
		}
	}
	return c
}

func (c *cutOff) urge(soon, verySoon time.Duration) {
	switch {
	case c.known && c.left < verySoon:
		c.urgency = 2
	case c.known && c.left < soon:
		c.urgency = 1
	}
}

// emptyIn is when there is no room left if it goes on to shrink as it did; ok is
// false when it did not, or was not watched for long enough. Steps upwards, when
// the slot moves, are part of the rate.
func emptyIn(rooms []room) (left time.Duration, ok bool) {
	if len(rooms) == 0 {
		return 0, false
	}
	first, last := rooms[0], rooms[len(rooms)-1]
	if last.bytes <= 0 {
		return 0, true
	}
	lost, took := first.bytes-last.bytes, last.at.Sub(first.at)
	if lost <= 0 || took < rateLeast {
		return 0, false
	}
	seconds := last.bytes / (lost / took.Seconds())
	return time.Duration(min(seconds, longest.Seconds()) * float64(time.Second)), true
}

// runway remembers what polls said, and when somebody was warned.
type runway struct {
	rooms  []room
	now    cutOff
	logged time.Time
	level  int // that was logged last
	told   bool
}

// again is how often what goes on is said again, by urgency.
var again = [...]time.Duration{1: 10 * time.Minute, 2: time.Minute}

// note takes what a poll said.
func (r *runway) note(g outbox.Gauges, age time.Duration) {
	if g.SafeBytes < 0 {
		r.rooms = nil
	} else {
		r.rooms = append(r.rooms, room{g.At, g.SafeBytes})
		for len(r.rooms) > 1 && g.At.Sub(r.rooms[0].at) > rateWindow {
			r.rooms = r.rooms[1:]
		}
	}
	r.now = estimate(r.rooms, g, age)
}

// due tells whether it is time to warn: when it got more urgent than was said
// last, and else now and then.
func (r *runway) due(now time.Time) bool {
	u := r.now.urgency
	if u == 0 || u <= r.level && now.Sub(r.logged) < again[u] {
		return false
	}
	r.level, r.logged = u, now
	return true
}

// seconds is what /status says; NaN when there is no estimate.
func (c *cutOff) seconds() float64 {
	if !c.known {
		return math.NaN()
	}
	return c.left.Seconds()
}

// noteRunway takes what a poll said, and tells what is to be logged: that the
// end is near, and once, that the source has little patience with a tailer that
// is away.
func (r *report) noteRunway(g outbox.Gauges) (near *cutOff, impatient bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.runway.note(g, r.age())
	impatient = g.Keep > 0 && !g.ByAge && !r.runway.told
	r.runway.told = r.runway.told || impatient
	if r.runway.due(time.Now()) {
		c := r.runway.now
		near = &c
	}
	return near, impatient
}

// age is how old the oldest log may be that we need: that of the oldest row that
// is not published, or that of the checkpoint; negative when neither is known.
// r.mu is held.
func (r *report) age() time.Duration {
	age := time.Duration(-1)
	if r.handoff != nil {
		if lag := r.lag(); !math.IsNaN(lag) {
			age = time.Duration(lag * float64(time.Second))
		}
	}
	if !r.saved.IsZero() {
		age = max(age, time.Since(r.saved))
	}
	return age
}

// warnOfCutOff logs what noteRunway found.
func (p *Pipeline) warnOfCutOff(g outbox.Gauges) {
	near, impatient := p.noteRunway(g)
	if impatient {
		p.log.Warn("the database gives up the slot when nobody reads from it for a time: tailer must not be away for longer", "setting", g.KeepSetting, "time", g.Keep)
	}
	if near == nil {
		return
	}
	args := []any{"setting", near.setting}
	if near.known {
		args = append(args, "time_left", near.left.Round(time.Second))
	}
	if near.bytes >= 0 {
		args = append(args, "bytes_left", int64(near.bytes))
	}
	p.log.Warn("the database will soon not keep the log any more that is not read yet; rows would be lost to tailer", args...)
}

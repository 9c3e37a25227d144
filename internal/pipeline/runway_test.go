package pipeline

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

func TestEstimate(t *testing.T) {
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const none = -1
	// every 10 s, in MB
	rooms := func(mb ...float64) (list []room) {
		for i, n := range mb {
			list = append(list, room{begin.Add(time.Duration(i) * watchInterval), n * 1e6})
		}
		return list
	}
	size := func(safe, retained float64) outbox.Gauges {
		return outbox.Gauges{SafeBytes: safe * 1e6, RetainedBytes: retained * 1e6}
	}
	idle := func(g outbox.Gauges, keep, away time.Duration) outbox.Gauges {
		g.Keep, g.Away, g.KeepSetting = keep, away, "idle"
		return g
	}
	unlimited := outbox.Gauges{SafeBytes: none, RetainedBytes: 5e6}
	aged := outbox.Gauges{SafeBytes: none, RetainedBytes: none, Keep: 30 * 24 * time.Hour, ByAge: true, KeepSetting: "expire"}
	short := aged
	short.Keep = 20 * time.Minute

	for name, c := range map[string]struct {
		rooms   []room
		g       outbox.Gauges
		age     time.Duration
		left    time.Duration // none: not known
		urgency int
		setting string
	}{
		"no limit":                       {nil, unlimited, none, none, 0, ""},
		"one look":                       {rooms(500), size(500, 100), none, none, 0, "max_slot_wal_keep_size"},
		"too short a time":               {rooms(500, 490), size(490, 110), none, none, 0, "max_slot_wal_keep_size"},
		"steady":                         {rooms(500, 500, 500), size(500, 100), none, none, 0, "max_slot_wal_keep_size"},
		"growing":                        {rooms(100, 300, 500), size(500, 100), none, none, 0, "max_slot_wal_keep_size"},
		"an hour and a half":             {rooms(7240, 7230, 7220, 7200), size(7200, 100), none, 90 * time.Minute, 0, "max_slot_wal_keep_size"},
		"half an hour":                   {rooms(1840, 1820, 1800), size(1800, 900), none, 15 * time.Minute, 1, "max_slot_wal_keep_size"},
		"five minutes":                   {rooms(340, 320, 300), size(300, 900), none, 150 * time.Second, 2, "max_slot_wal_keep_size"},
		"a step upwards is in the rate":  {rooms(100, 50, 500, 450, 60), size(60, 100), none, time.Minute, 2, "max_slot_wal_keep_size"},
		"little is left, and stays":      {rooms(90, 90, 90), size(90, 910), none, none, 1, "max_slot_wal_keep_size"},
		"a tenth is not little":          {rooms(100, 100, 100), size(100, 900), none, none, 0, "max_slot_wal_keep_size"},
		"all is gone":                    {rooms(40, 20, -10), size(-1, 900), none, none, 0, ""},
		"nothing is left":                {rooms(40, 20, 0), size(0, 900), none, 0, 2, "max_slot_wal_keep_size"},
		"hardly shrinking":               {rooms(1e6+0.001, 1e6, 1e6), size(1e6, 1), none, longest, 0, "max_slot_wal_keep_size"},
		"idle, and long allowed":         {nil, idle(unlimited, 24*time.Hour, 2*time.Hour), none, 22 * time.Hour, 0, "idle"},
		"idle for nearly too long":       {nil, idle(unlimited, 24*time.Hour, 23*time.Hour+30*time.Minute), none, 30 * time.Minute, 1, "idle"},
		"somebody reads":                 {nil, idle(unlimited, 24*time.Hour, none), none, none, 0, ""},
		"the slot sooner than the time":  {rooms(340, 320, 300), idle(size(300, 900), 24*time.Hour, time.Hour), none, 150 * time.Second, 2, "max_slot_wal_keep_size"},
		"the time sooner than the slot":  {rooms(340, 320, 300), idle(size(300, 900), time.Hour, time.Hour-time.Second), none, time.Second, 2, "idle"},
		"log of a minute ago":            {nil, aged, time.Minute, 30*24*time.Hour - time.Minute, 0, "expire"},
		"log that is nearly too old":     {nil, aged, 30*24*time.Hour - 5*time.Minute, 5 * time.Minute, 2, "expire"},
		"log that is too old":            {nil, aged, 31 * 24 * time.Hour, 0, 2, "expire"},
		"log of unknown age":             {nil, aged, none, none, 0, ""},
		"little is kept, and all is new": {nil, short, time.Second, 20*time.Minute - time.Second, 0, "expire"},
		"little is kept":                 {nil, short, 17 * time.Minute, 3 * time.Minute, 1, "expire"},
	} {
		got := estimate(c.rooms, c.g, c.age)
		if c.left == none && got.known || c.left != none && (!got.known || got.left.Round(time.Second) != c.left) ||
			got.urgency != c.urgency || got.setting != c.setting {
			t.Errorf("%s: %+v, want left %s, urgency %d, setting %q", name, got, c.left, c.urgency, c.setting)
		}
	}
}

// What gets worse is said at once, what goes on now and then, what flaps not
// every time.
func TestWarningsKeepTheirDistance(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var r runway
	for _, s := range []struct {
		after   time.Duration
		urgency int
		due     bool
	}{
		{0, 0, false}, {0, 1, true}, {watchInterval, 1, false}, {watchInterval, 0, false}, {watchInterval, 1, false},
		{10 * time.Minute, 1, true}, {watchInterval, 2, true}, {watchInterval, 2, false}, {watchInterval, 1, false},
		{watchInterval, 2, false}, {time.Minute, 2, true}, {time.Minute, 1, false}, {10 * time.Minute, 1, true}, {watchInterval, 2, true},
	} {
		now = now.Add(s.after)
		r.now.urgency = s.urgency
		if due := r.due(now); due != s.due {
			t.Errorf("urgency %d at %s: due %v", s.urgency, now, due)
		}
	}
}

func TestRoomsAreThoseOfTheLastMinutes(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var r runway
	for i := range 100 {
		r.note(outbox.Gauges{At: now.Add(time.Duration(i) * watchInterval), SafeBytes: 1e9, RetainedBytes: 1}, -1)
	}
	if n := len(r.rooms); n != int(rateWindow/watchInterval)+1 {
		t.Errorf("%d rooms are kept", n)
	}
	r.note(outbox.Gauges{At: now, SafeBytes: -1}, -1)
	if len(r.rooms) != 0 {
		t.Error("the rooms of a limit that was lifted are kept")
	}
}

func TestReadyMindsTheLogThatIsKept(t *testing.T) {
	for _, state := range []State{Streaming, Standby} {
		var r report
		r.begin(Config{UnreadyBytes: 1000})
		r.setState(state, "")
		r.sinkUp(true)
		if state == Streaming {
			h := outbox.NewHandoff(1, outbox.Limits{Rows: 1, Bytes: 1}, outbox.Resume{})
			h.Open()
			r.streaming(h)
		}
		behind := func(_, _ outbox.Position) float64 { return 0 }
		for kept, ready := range map[float64]bool{0: true, 1000: true, 1001: false, -1: true} {
			r.polled(outbox.Gauges{RetainedBytes: kept}, nil, behind)
			err := r.Ready()
			if (err == nil) != ready {
				t.Errorf("%s with %v bytes: %v", state, kept, err)
			}
			if err != nil && !strings.Contains(err.Error(), "1001") {
				t.Errorf("it does not say how much: %v", err)
			}
		}
		r.unreadyBytes = 0
		r.polled(outbox.Gauges{RetainedBytes: math.MaxFloat64}, nil, behind)
		if err := r.Ready(); err != nil {
			t.Errorf("%s without a limit: %v", state, err)
		}
	}
}

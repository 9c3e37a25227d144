package pipeline

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

const (
	// trafficSeconds is how far back traffic is known by the second.
	trafficSeconds = 600
	// trafficMinutes is the same for each topic, by the minute.
	trafficMinutes = trafficSeconds / 60
	// trafficTopics bounds the topics that are counted apart. Where there are
	// more, the less busy half is counted together.
	trafficTopics = 2000
)

// traffic counts committed messages by second and by topic, for people: topic
// names come from rows, which no metric's label may. It costs a few nanoseconds
// a message, and no allocation once it knows the topics.
type traffic struct {
	// What was counted and is not committed yet belongs to the goroutine that
	// runs the session.
	pending      map[string]int
	pendingOther int

	mu      sync.Mutex // guards all below
	seconds [trafficSeconds]slot
	topics  map[string]*topicTraffic
	other   uint64
}

// slot is the count of one unit of time since the epoch, of which the ring
// holds one in every len(ring).
type slot struct {
	at int64
	n  uint64
}

func (s *slot) add(at int64, n int) {
	if s.at != at {
		s.at, s.n = at, 0
	}
	s.n += uint64(n)
}

type topicTraffic struct {
	total   uint64
	last    time.Time
	minutes [trafficMinutes]slot
}

func (t *topicTraffic) recent(minute int64) (n uint64) {
	for i := range t.minutes {
		if s := t.minutes[i]; s.at > minute-trafficMinutes {
			n += s.n
		}
	}
	return n
}

func newTraffic() *traffic {
	return &traffic{pending: map[string]int{}, topics: map[string]*topicTraffic{}}
}

// forget drops what was counted and never committed.
func (t *traffic) forget() {
	clear(t.pending)
	t.pendingOther = 0
}

// count counts the messages of a batch that is on its way; those that are no
// row are left out. A few topics are mostly all there are, in any order: the
// first ones are told apart by comparing, which costs less than a look into
// the map.
func (t *traffic) count(list []outbox.Message) {
	var near [8]struct {
		topic string
		n     int
	}
	used := 0
next:
	for i := range list {
		if list[i].Row < 0 {
			continue
		}
		topic := list[i].Topic
		for k := range near[:used] {
			if near[k].topic == topic {
				near[k].n++
				continue next
			}
		}
		if used == len(near) {
			t.hold(topic, 1)
			continue
		}
		near[used].topic, near[used].n = topic, 1
		used++
	}
	for _, c := range near[:used] {
		t.hold(c.topic, c.n)
	}
}

func (t *traffic) hold(topic string, n int) {
	if have, ok := t.pending[topic]; ok || len(t.pending) < trafficTopics {
		t.pending[topic] = have + n
		return
	}
	t.pendingOther += n
}

// flush adds what was counted: it is committed. The caller forgets it then.
func (t *traffic) flush() {
	now := time.Now()
	second, minute := now.Unix(), now.Unix()/60
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := t.pendingOther
	for topic, n := range t.pending {
		sum += n
		known := t.topics[topic]
		if known == nil {
			t.makeRoom(minute)
			known = &topicTraffic{}
			t.topics[strings.Clone(topic)] = known
		}
		known.total += uint64(n)
		known.last = now
		known.minutes[minute%trafficMinutes].add(minute, n)
	}
	t.other += uint64(t.pendingOther)
	t.seconds[second%trafficSeconds].add(second, sum)
}

// makeRoom forgets the less busy half of the topics when there is no room for
// another: a topic that grows busy late is found all the same. t.mu is held.
func (t *traffic) makeRoom(minute int64) {
	if len(t.topics) < trafficTopics {
		return
	}
	for _, dropped := range t.busiest(minute)[trafficTopics/2:] {
		t.other += dropped.Total
		delete(t.topics, dropped.Topic)
	}
}

// busiest are all known topics, those of the last minutes first. t.mu is held.
func (t *traffic) busiest(minute int64) []TopicTraffic {
	list := make([]TopicTraffic, 0, len(t.topics))
	for topic, known := range t.topics {
		list = append(list, TopicTraffic{Topic: topic, Recent: known.recent(minute), Total: known.total, Last: known.last})
	}
	slices.SortFunc(list, func(a, b TopicTraffic) int {
		return cmp.Or(cmp.Compare(b.Recent, a.Recent), cmp.Compare(b.Total, a.Total), cmp.Compare(a.Topic, b.Topic))
	})
	return list
}

// Traffic is what was committed to the sink: rows, by time and by topic.
type Traffic struct {
	// Seconds are the rows of each of the last ten minutes' whole seconds, the
	// oldest first.
	Seconds []uint64
	// End is the Unix time at which the last of them ended.
	End int64
	// Topics are the busiest topics since the process started, those of the
	// last ten minutes first.
	Topics []TopicTraffic
	// Known is how many topics are counted apart, Topics among them.
	Known int
	// Other counts rows of topics that are not counted apart any more.
	Other uint64
}

// TopicTraffic is one topic's part.
type TopicTraffic struct {
	Topic string
	// Recent counts the last nine to ten minutes, Total since the topic was
	// first seen by this process.
	Recent, Total uint64
	// Last is when a row was committed last.
	Last time.Time
}

// read copies what is known, with at most so many topics.
func (t *traffic) read(topics int) Traffic {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.busiest(now.Unix() / 60)
	r := Traffic{Seconds: make([]uint64, trafficSeconds), Known: len(list), End: now.Unix(), Other: t.other}
	r.Topics = slices.Clone(list[:min(topics, len(list))])
	first := r.End - trafficSeconds // this very second is not over
	for i := range r.Seconds {
		at := first + int64(i)
		if s := t.seconds[at%trafficSeconds]; s.at == at {
			r.Seconds[i] = s.n
		}
	}
	return r
}

// Traffic is what was committed lately, with at most so many of the busiest
// topics.
func (p *Pipeline) Traffic(topics int) Traffic { return p.metrics.traffic.read(topics) }

package pipeline

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// messages makes n messages, of the topics in turn, and a checkpoint.
func messages(n int, topics ...string) []outbox.Message {
	var list []outbox.Message
	for i := range n {
		list = append(list, outbox.Message{Topic: topics[i%len(topics)], Row: i})
	}
	return append(list, outbox.Message{Topic: "tailer-checkpoint.test", Row: -1})
}

// manyTopics are names of one length, the dearest to compare.
func manyTopics(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("outbox.event.order-%02d", i))
	}
	return list
}

func (t *traffic) commit(list []outbox.Message) {
	t.forget()
	t.count(list)
	t.flush()
}

func sum(list []uint64) (n uint64) {
	for _, v := range list {
		n += v
	}
	return n
}

func TestTrafficBySecondAndTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		traffic := newTraffic()
		traffic.commit(messages(30, "a", "b", "b"))
		time.Sleep(2 * time.Second)
		traffic.count(messages(500, "c")) // and its transaction is aborted
		traffic.commit(messages(8, "a"))
		time.Sleep(time.Second)

		r := traffic.read(1)
		last := r.Seconds[len(r.Seconds)-3:]
		if sum(r.Seconds) != 38 || last[0] != 30 || last[1] != 0 || last[2] != 8 {
			t.Errorf("by second: %v, in all %d", last, sum(r.Seconds))
		}
		want := TopicTraffic{Topic: "b", Recent: 20, Total: 20, Last: time.Now().Add(-3 * time.Second)}
		if len(r.Topics) != 1 || r.Known != 2 || r.Topics[0] != want {
			t.Errorf("the busiest of %d: %+v", r.Known, r.Topics)
		}

		// What is older than ten minutes is no traffic any more, also where the
		// ring was not written meanwhile.
		time.Sleep(10 * time.Minute)
		if r := traffic.read(9); sum(r.Seconds) != 0 || r.Topics[0].Recent != 0 || r.Topics[0].Total != 20 {
			t.Errorf("after ten minutes: %d, %+v", sum(r.Seconds), r.Topics)
		}
		traffic.commit(messages(1, "a"))
		time.Sleep(time.Second)
		if r := traffic.read(9); sum(r.Seconds) != 1 || r.Topics[0].Topic != "a" || r.Topics[0].Recent != 1 || r.Topics[0].Total != 19 {
			t.Errorf("and after another row: %d, %+v", sum(r.Seconds), r.Topics)
		}
	})
}

// Topics come from rows: however many there are, few are kept, the busy ones
// among them, and no row goes uncounted.
func TestTrafficIsBounded(t *testing.T) {
	traffic := newTraffic()
	const junk = 25_000
	rows := 0
	for i := range junk {
		list := messages(1, fmt.Sprint("junk-", i))
		if i%100 == 99 {
			list = append(list, messages(5, "early")...)
		}
		if i > junk/2 && i%100 == 0 {
			list = append(list, messages(7, "late")...)
		}
		for _, m := range list {
			if m.Row >= 0 {
				rows++
			}
		}
		traffic.commit(list)
		if n := len(traffic.topics); n > trafficTopics {
			t.Fatalf("%d topics are kept", n)
		}
	}
	r := traffic.read(trafficTopics)
	if r.Topics[0].Topic != "early" || r.Topics[0].Total != 5*junk/100 || r.Topics[1].Topic != "late" {
		t.Errorf("the busiest: %+v", r.Topics[:2])
	}
	total := r.Other
	for _, topic := range r.Topics {
		total += topic.Total
	}
	if total != uint64(rows) {
		t.Errorf("%d of %d rows are counted", total, rows)
	}

	// A snapshot is one transaction of any number of topics.
	for i := range junk {
		traffic.count(messages(1, fmt.Sprint("more-", i)))
	}
	if n := len(traffic.pending); n > trafficTopics {
		t.Errorf("%d topics are kept of what is not committed", n)
	}
}

// Nothing is allocated for a row, nor for a batch.
func TestTrafficAllocatesNothing(t *testing.T) {
	traffic := newTraffic()
	list := messages(5000, manyTopics(12)...)
	traffic.commit(list)
	if n := testing.AllocsPerRun(100, func() { traffic.commit(list) }); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}

func BenchmarkTraffic(b *testing.B) {
	for _, topics := range []int{1, 3, 12} {
		b.Run(fmt.Sprintf("topics=%d", topics), func(b *testing.B) {
			traffic := newTraffic()
			const rows = 5000
			list := messages(rows, manyTopics(topics)...)
			b.ReportAllocs()
			for b.Loop() {
				traffic.commit(list)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
		})
	}
}

func TestErrorsThatComeBackAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r report
		r.begin(Config{Name: "test", Version: "1"})
		first := time.Now()
		for range 3 {
			r.failed("kafka", fmt.Errorf("broker is down"))
			time.Sleep(time.Minute)
		}
		r.refuse(&outbox.Refusal{Reason: "poison", Text: "row 1", Hint: "skip it"})
		list := r.Errors()
		want := Trouble{First: first, Last: first.Add(2 * time.Minute), Times: 3, Text: "kafka: broker is down"}
		if len(list) != 2 || list[0].Times != 1 || list[1] != want {
			t.Errorf("got %+v", list)
		}
		if s := r.Status(); s.LastError.Text != list[0].Text || !s.LastError.Time.Equal(list[0].Last) {
			t.Errorf("the last error is %+v", s.LastError)
		}
		for i := range 50 {
			r.failed("kafka", fmt.Errorf("trouble %d", i))
		}
		if list := r.Errors(); len(list) != keptErrors || list[0].Text != "kafka: trouble 49" {
			t.Errorf("kept %d, first %+v", len(list), list[0])
		}
	})
}

package publish

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Admit makes everything ready that can be made ready without writing: topics
// are found, or created where that is allowed; each message's Partition is
// replaced by the one chosen for it; its size and time are held against what
// the topic takes. A row that can never be published is taken out of m.List
// and named in m.Poison, without its Table, which is not known here, and with
// the value of the header "id" for its ID. A message that is no row and does
// not fit is an error. Messages admitted once may be admitted again.
func (k *Kafka) Admit(ctx context.Context, m *outbox.Messages, b *outbox.Batch) error {
	if k.stale || time.Since(k.refreshed) > refreshEvery {
		if err := k.refresh(ctx); err != nil {
			return err
		}
	}
	now := time.Now()
	kept, poisoned := 0, false
	for i := range m.List {
		msg := &m.List[i]
		reason, err := k.admit(ctx, msg, now)
		if err != nil {
			return err
		}
		if reason != "" {
			if msg.Row < 0 {
				return fmt.Errorf("message with key %q to topic %s cannot be published: %s", msg.Key, msg.Topic, reason)
			}
			m.Poison = append(m.Poison, poison(msg, b, reason))
			poisoned = true
			continue
		}
		if kept != i {
			m.List[kept] = *msg
		}
		kept++
	}
	if poisoned {
		clear(m.List[kept:])
		m.List = m.List[:kept]
		slices.SortStableFunc(m.Poison, func(a, b outbox.Poison) int { return a.Row - b.Row })
	}
	return nil
}

func poison(msg *outbox.Message, b *outbox.Batch, reason string) outbox.Poison {
	p := outbox.Poison{Row: msg.Row, ID: string(headerID(msg)), Reason: reason}
	if b != nil && msg.Row < len(b.Rows) {
		p.Position = string(b.PositionText(msg.Row))
	}
	return p
}

// admit prepares one message; reason says why it is poison.
func (k *Kafka) admit(ctx context.Context, msg *outbox.Message, now time.Time) (reason string, err error) {
	t := k.find(msg.Topic)
	if t == nil || t.gone || !t.denied.IsZero() {
		if t, reason, err = k.target(ctx, msg.Topic); err != nil || reason != "" {
			return reason, err
		}
	}
	switch {
	case msg.Partition < 0:
		msg.Partition = choose(msg, len(t.parts))
	case int(msg.Partition) >= len(t.parts):
		return fmt.Sprintf("topic %s has %d partitions, none is number %d", t.name, len(t.parts), msg.Partition), nil
	}
	if reason = k.misfit(t, msg, now); reason == "" {
		return "", nil
	}
	// The limits may be old: look again before a row is called poison.
	if time.Since(t.limits.read) > limitsTrusted {
		if err := k.readLimits(ctx, t); err != nil {
			return "", err
		}
		reason = k.misfit(t, msg, now)
	}
	return reason, nil
}

// choose gives the partition that the key decides. A message without a key
// goes where its id decides, so that a second attempt finds the same one.
func choose(msg *outbox.Message, n int) int32 {
	key := msg.Key
	if key == nil {
		if key = headerID(msg); key == nil {
			return 0
		}
	}
	return partitionOf(key, n)
}

func headerID(msg *outbox.Message) []byte {
	for i := range msg.Headers {
		if k := string(msg.Headers[i].Key); k == "id" || k == "ce_id" {
			return msg.Headers[i].Value
		}
	}
	return nil
}

// maxTime is the latest time that sarama encodes: it goes through nanoseconds.
const maxTime = math.MaxInt64 / int64(time.Millisecond)

// misfit says why a topic would not take a message; "" when it does.
func (k *Kafka) misfit(t *topic, msg *outbox.Message, now time.Time) string {
	// The smallest batch that can hold it: alone, both deltas zero.
	size := batchOverhead + recordSize(msg, 0, 0)
	if size > t.limits.maxBytes {
		return fmt.Sprintf("it takes a record batch of %d bytes, and max.message.bytes of topic %s is %d", size, t.name, t.limits.maxBytes)
	}
	if size > k.cfg.MaxRequestBytes-requestSlack {
		return fmt.Sprintf("it takes a record batch of %d bytes, and the brokers take requests of %d", size, k.cfg.MaxRequestBytes)
	}
	if t.limits.compact && msg.Key == nil {
		return fmt.Sprintf("its key is null, and topic %s is compacted: it takes no record without a key", t.name)
	}
	if msg.Time.IsZero() {
		return ""
	}
	if reason := unstorable(msg); reason != "" {
		return reason
	}
	switch {
	case now.Sub(msg.Time) > t.limits.before:
		return fmt.Sprintf("its time %s is older than %s of topic %s allows", msg.Time.UTC().Format(time.RFC3339), configBefore, t.name)
	case msg.Time.Sub(now) > t.limits.after:
		return fmt.Sprintf("its time %s is further ahead than %s of topic %s allows", msg.Time.UTC().Format(time.RFC3339), configAfter, t.name)
	}
	return ""
}

// unstorable says why no topic can store the time of a message; "" when it can.
func unstorable(msg *outbox.Message) string {
	if msg.Time.IsZero() {
		return ""
	}
	if ms := msg.Time.UnixMilli(); ms < 0 || ms > maxTime {
		return fmt.Sprintf("Kafka cannot store the time %s", msg.Time.UTC().Format(time.RFC3339))
	}
	return ""
}

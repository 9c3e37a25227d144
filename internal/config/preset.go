package config

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/tailer-io/tailer/internal/mapping"
)

// maxOutboxID is the greatest eventuate.outbox.id that Eventuate's
// DatabaseIdGenerator takes.
const maxOutboxID = 1<<48 - 1

// applyPreset puts what the preset says into the mapping of every table.
func (c *Config) applyPreset(f *file) error {
	switch {
	case c.OutboxID != "" && c.Preset != PresetEventuate:
		return invalid("outbox-id", "is for --preset %s only", PresetEventuate)
	case c.CloudEventsSource != "" && c.Preset != PresetCloudEvents:
		return invalid("cloudevents-source", "is for --preset %s only", PresetCloudEvents)
	}
	for i := range c.Tables {
		t := &c.Tables[i]
		line := c.tablesLine
		if i < len(f.tables) {
			line = f.tables[i].line
		}
		switch c.Preset {
		case PresetEventuate:
			if !reflect.DeepEqual(t.Mapping, mapping.Table{}) {
				return f.bad(line, "table %s has a mapping, and --preset %s has its own: only the key table is allowed", t, PresetEventuate)
			}
			e, err := c.eventuate(t)
			if err != nil {
				return err
			}
			t.Mapping.Eventuate = e
		case PresetCloudEvents:
			if t.Mapping.CloudEvents == nil {
				t.Mapping.CloudEvents = &mapping.CloudEvents{}
			}
			setDefault(&c.CloudEventsSource, "/"+c.Name)
			t.Mapping.CloudEvents.Source = c.CloudEventsSource
		default:
			if t.Mapping.CloudEvents != nil {
				return f.bad(line, "table %s has attributes, which are for --preset %s only", t, PresetCloudEvents)
			}
		}
	}
	return nil
}

// eventuate is how a table of Eventuate Tram makes ids. Of its shards
// (message0, message1 ...) each adds its number to the id of the outbox, as
// Eventuate's producer and its polling reader do: ids stay apart.
func (c *Config) eventuate(t *Table) (*mapping.Eventuate, error) {
	if c.OutboxID == "" {
		return &mapping.Eventuate{}, nil
	}
	id, err := strconv.ParseUint(c.OutboxID, 10, 64)
	if err != nil || id > maxOutboxID {
		return nil, invalid("outbox-id", "%q is not a whole number from 0 to %d", c.OutboxID, maxOutboxID)
	}
	shard := t.Name[len(strings.TrimRight(t.Name, "0123456789")):]
	if shard != "" {
		n, err := strconv.ParseUint(shard, 10, 16)
		if err != nil {
			return nil, invalid("outbox-table", "%s: the number of a shard is at most %d", t, 1<<16-1)
		}
		id += n
	}
	return &mapping.Eventuate{DatabaseIDs: true, OutboxID: id}, nil
}

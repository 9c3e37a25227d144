package check

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/promqltest"
)

// healthy is an idle tailer, as series of Prometheus' own notation; 240 steps
// of 15 seconds are an hour.
var healthy = map[string]string{
	`up{job="tailer",instance="a"}`:                                              "1x240",
	`process_start_time_seconds{job="tailer",instance="a"}`:                      "-1000x240",
	`process_resident_memory_bytes{job="tailer",instance="a"}`:                   "24e6x240",
	`tailer_info{job="tailer",instance="a",name="orders",sink="kafka"}`:          "1x240",
	`tailer_active{job="tailer",instance="a"}`:                                   "1x240",
	`tailer_source_connected{job="tailer",instance="a"}`:                         "1x240",
	`tailer_sink_connected{job="tailer",instance="a"}`:                           "1x240",
	`tailer_source_lag_seconds{job="tailer",instance="a"}`:                       "0x240",
	`tailer_source_lag_bytes{job="tailer",instance="a"}`:                         "0x240",
	`tailer_slot_retained_bytes{job="tailer",instance="a"}`:                      "2e3x240",
	`tailer_slot_safe_wal_bytes{job="tailer",instance="a"}`:                      "NaNx240",
	`tailer_checkpoint_timestamp_seconds{job="tailer",instance="a"}`:             "1+15x240",
	`tailer_pipeline_restarts_total{job="tailer",instance="a",reason="source"}`:  "0x240",
	`tailer_pipeline_restarts_total{job="tailer",instance="a",reason="sink"}`:    "0x240",
	`tailer_pipeline_restarts_total{job="tailer",instance="a",reason="rival"}`:   "0x240",
	`tailer_publish_latency_seconds_bucket{job="tailer",instance="a",le="1"}`:    "100x240",
	`tailer_publish_latency_seconds_bucket{job="tailer",instance="a",le="10"}`:   "100x240",
	`tailer_publish_latency_seconds_bucket{job="tailer",instance="a",le="+Inf"}`: "100x240",
}

// Each failure raises its alert, within so many minutes, and no other.
func TestEveryFailureRaisesItsAlert(t *testing.T) {
	// name is the metric with further labels, in the notation `metric{label="x"}`.
	cases := []struct {
		what    string
		change  map[string]string // series, with job and instance left out, in place of or beside healthy's
		want    []string
		minutes int // by when at the latest
	}{
		{"nothing at all", nil, nil, 60},
		{"it is gone", map[string]string{`up`: "1x20 0x220"}, []string{"TailerDown"}, 10},
		{"it is restarted every five minutes",
			map[string]string{`process_start_time_seconds`: "0x20 300x20 600x20 900x20 1200x20 1500x20 1800x20 2100x100"},
			[]string{"TailerRestarting"}, 30},
		{"one restart", map[string]string{`process_start_time_seconds`: "0x20 300x220"}, nil, 60},
		{"it refuses, inactive and not connected", map[string]string{`tailer_refused{reason="slot_lost"}`: "_x20 1x220",
			`tailer_active`: "1x20 0x220", `tailer_sink_connected`: "1x20 0x220", `tailer_source_lag_seconds`: "0x20 NaNx220"},
			[]string{"TailerRefused"}, 10},
		{"it stands by for nobody", map[string]string{`tailer_active`: "0x240"}, []string{"TailerNobodyActive"}, 10},
		{"it stands by for another", map[string]string{`tailer_active`: "0x240", `tailer_active{instance="b"}`: "1x240",
			`tailer_info{instance="b",name="orders",sink="kafka"}`: "1x240", `tailer_checkpoint_timestamp_seconds`: "1x240"}, nil, 60},
		{"the database is away", map[string]string{`tailer_source_connected`: "1x20 0x220", `tailer_source_lag_seconds`: "0x20 NaNx220",
			`tailer_active`: "1x20 0x220", `tailer_checkpoint_timestamp_seconds`: "1+15x20 301x220"},
			[]string{"TailerSourceDisconnected"}, 15},
		{"the database is away for two minutes", map[string]string{`tailer_source_connected`: "1x20 0x8 1x200"}, nil, 60},
		{"Kafka is away, and nothing waits", map[string]string{`tailer_sink_connected`: "1x20 0x220",
			`tailer_checkpoint_timestamp_seconds`: "1+15x20 301x220"}, []string{"TailerSinkDisconnected"}, 15},
		{"connections flap", map[string]string{`tailer_pipeline_restarts_total{reason="sink"}`: "0x20 0+0.2x200"}, []string{"TailerFlapping"}, 40},
		{"an outage that is over", map[string]string{`tailer_sink_connected`: "1x20 0x60 1x160",
			`tailer_pipeline_restarts_total{reason="sink"}`: "0x20 0+1x60 60x160"}, []string{"TailerSinkDisconnected"}, 15},
		{"three restarts in half an hour", map[string]string{`tailer_pipeline_restarts_total{reason="sink"}`: "0x20 1x20 2x20 3x180"}, nil, 60},
		{"rivals", map[string]string{`tailer_pipeline_restarts_total{reason="rival"}`: "0x20 0+0.05x200"}, []string{"TailerRivals"}, 60},
		{"a hand-over", map[string]string{`tailer_pipeline_restarts_total{reason="rival"}`: "0x20 1x220"}, nil, 60},
		{"it lags", map[string]string{`tailer_source_lag_seconds`: "0x20 0+15x220"}, []string{"TailerLagging"}, 20},
		{"it lags for two minutes", map[string]string{`tailer_source_lag_seconds`: "0x20 90x8 0x200"}, nil, 60},
		{"it is stuck", map[string]string{`tailer_checkpoint_timestamp_seconds`: "1+15x20 301x220"}, []string{"TailerStuck"}, 20},
		{"a first start does not end", map[string]string{`tailer_checkpoint_timestamp_seconds`: "0x240",
			`process_start_time_seconds`: "0x240"}, []string{"TailerStuck"}, 36},
		{"a first start takes its time", map[string]string{`tailer_checkpoint_timestamp_seconds`: "0x80 1200+15x160",
			`process_start_time_seconds`: "0x240"}, nil, 60},
		{"it keeps no checkpoint", map[string]string{`tailer_checkpoint_timestamp_seconds`: "0x240",
			`tailer_info{name="orders",sink="kafka"}`: "_x240", `tailer_info{name="orders",sink="stdout"}`: "1x240"}, nil, 60},
		{"it is slow", map[string]string{
			`tailer_publish_latency_seconds_bucket{le="10"}`: "100+10x240", `tailer_publish_latency_seconds_bucket{le="+Inf"}`: "100+10x240"},
			[]string{"TailerSlow"}, 20},
		{"the first poison row of this process", map[string]string{
			`tailer_events_poison_total{table="public.outbox",action="skip"}`: "_x40 1x200"}, []string{"TailerPoison"}, 11},
		{"another poison row", map[string]string{
			`tailer_events_poison_total{table="public.outbox",action="dead-letter"}`: "1x130 2x110"}, []string{"TailerPoison"}, 35},
		{"poison rows long ago", map[string]string{
			`tailer_events_poison_total{table="public.outbox",action="skip"}`: "7x240"}, []string{}, 29},
		{"log is held back", map[string]string{`tailer_slot_retained_bytes`: "2e3x20 20e9x220"}, []string{"TailerLogHeldBack"}, 25},
		{"the slot is nearly lost", map[string]string{`tailer_slot_retained_bytes`: "2e3x20 80e6x220",
			`tailer_slot_safe_wal_bytes`: "100e6x20 20e6x220"}, []string{"TailerSlotNearLoss"}, 10},
		{"the slot is lost, and Kafka away", map[string]string{`tailer_slot_retained_bytes`: "2e3x20 NaNx220",
			`tailer_slot_safe_wal_bytes`: "100e6x20 0x220", `tailer_sink_connected`: "0x240"},
			[]string{"TailerSinkDisconnected", "TailerSlotNearLoss"}, 10},
		{"the slot is lost, and it says so", map[string]string{`tailer_slot_retained_bytes`: "2e3x20 NaNx220",
			`tailer_slot_safe_wal_bytes`: "100e6x20 0x220", `tailer_active`: "1x20 0x220",
			`tailer_refused{reason="slot_lost"}`: "_x20 1x220"}, []string{"TailerRefused"}, 10},
		{"a small limit, and all is well", map[string]string{`tailer_slot_safe_wal_bytes`: "64e6x240"}, nil, 60},
		{"rows are deleted", map[string]string{`tailer_cleanup_done_timestamp_seconds`: "1+15x240"}, nil, 60},
		{"rows are deleted no more", map[string]string{`tailer_cleanup_done_timestamp_seconds`: "1+15x20 301x220"},
			[]string{"TailerCleanupStuck"}, 55},
		{"rows were never deleted", map[string]string{`tailer_cleanup_done_timestamp_seconds`: "0x240"}, []string{"TailerCleanupStuck"}, 35},
		{"a standby deletes none", map[string]string{`tailer_active`: "0x240", `tailer_active{instance="b"}`: "1x240",
			`tailer_info{instance="b",name="orders",sink="kafka"}`: "1x240", `tailer_checkpoint_timestamp_seconds`: "1x240",
			`tailer_cleanup_done_timestamp_seconds`: "0x240"}, nil, 60},
		{"memory", map[string]string{`process_resident_memory_bytes`: "200e6x240"}, []string{"TailerMemory"}, 20},
	}
	raised := map[string]bool{}
	for _, c := range cases {
		t.Run(c.what, func(t *testing.T) {
			fired := fires(t, c.change)
			if c.what == "poison rows long ago" {
				// They are news to Prometheus in its first half hour.
				if first := fired["TailerPoison"]; first != 0 {
					t.Errorf("not seen at once, but after %v", first)
				}
				return
			}
			names := slices.Sorted(maps.Keys(fired))
			if !slices.Equal(names, c.want) {
				t.Fatalf("raised %v, want %v", fired, c.want)
			}
			for name, at := range fired {
				raised[name] = true
				if at > time.Duration(c.minutes)*time.Minute {
					t.Errorf("%s came after %v", name, at)
				}
			}
		})
	}
	for _, r := range alerts(t) {
		if !raised[r.Alert] {
			t.Errorf("no case raises %s", r.Alert)
		}
	}
}

// notANumber is what the notation has no repetition for.
var notANumber = regexp.MustCompile(`NaNx[0-9]+`)

// fires runs an hour and says when each alert fired first.
func fires(t *testing.T, change map[string]string) map[string]time.Duration {
	t.Helper()
	series := maps.Clone(healthy)
	for name, values := range change {
		metric, more, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
		full := fmt.Sprintf(`%s{job="tailer"`, metric)
		if !strings.Contains(more, "instance=") {
			full += `,instance="a"`
		}
		if more != "" {
			full += "," + more
		}
		full += "}"
		series[full] = values
	}
	var load strings.Builder
	load.WriteString("load 15s\n")
	for name, values := range series {
		fmt.Fprintf(&load, "  %s %s\n", name, notANumber.ReplaceAllStringFunc(values, func(s string) string {
			n, _ := strconv.Atoi(s[4:])
			return strings.Repeat("NaN ", n+1)
		}))
	}
	e := newEngine(t, promqltest.LoadedStorage(t, load.String()))
	fired := map[string]time.Duration{}
	for at := time.Duration(0); at <= time.Hour; at += 15 * time.Second {
		firing, _ := e.at(t, time.Unix(0, 0).Add(at))
		for _, name := range firing {
			if _, ok := fired[name]; !ok {
				fired[name] = at
			}
		}
	}
	return fired
}

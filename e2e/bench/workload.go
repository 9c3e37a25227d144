package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tailer-io/tailer/e2e/bench/source"
)

// workload is what contenders are given: a backlog to drain, or a steady load.
type workload struct {
	name       string
	backlog    source.Backlog // Prefix is the world's
	partitions int
	flags      []string // for tailer
	rate       int      // one-row transactions a second; 0 is a drain
	cold       bool     // what is kept running between drains is started as well
	perf       bool     // perf counts, and nothing is timed
}

const (
	defaultSize = 200 // an event then has about 250 bytes in all
	defaultKeys = 1000
)

func (o *options) drain(name string, events, rows int) workload {
	return workload{name: name, partitions: o.partitions,
		backlog: source.Backlog{Events: max(10, events), Rows: rows, Size: defaultSize, Keys: defaultKeys, Kinds: 1}}
}

func (o *options) steady(rate int, duration time.Duration) workload {
	wl := o.drain(fmt.Sprintf("steady-%d", rate), int((warmUp+duration).Seconds()*float64(rate)), 1)
	wl.backlog.Keys, wl.rate = steadyKeys, rate
	return wl
}

// scaled is a number of events of the full benchmark, made smaller by -scale.
func (o *options) scaled(events int) int { return int(float64(events) * o.scale) }

// comparison is what every contender goes through.
func (o *options) comparison() []workload {
	list := []workload{
		o.drain("drain-1", o.scaled(200_000), 1),
		o.drain("drain-100", o.scaled(300_000), 100),
		o.drain("drain-1000000", o.scaled(1_000_000), 1_000_000),
		o.steady(1000, o.duration),
		o.steady(5000, o.duration),
	}
	for _, size := range []struct{ bytes, events int }{{100, 300_000}, {1000, 200_000}, {10_000, 50_000}} {
		wl := o.drain(fmt.Sprintf("size-%d", size.bytes), o.scaled(size.events), 100)
		wl.backlog.Size = size.bytes
		list = append(list, wl)
	}
	start := o.drain("start", 10, 1)
	start.cold = true
	return append(append(list, start), o.work()...)
}

// work is counted, not timed: what a drain does beyond what the same does with ten events.
func (o *options) work() (list []workload) {
	if !o.perf {
		return nil
	}
	for _, rows := range []int{1, 100} {
		work, base := o.drain(fmt.Sprintf("work-%d", rows), o.scaled(200_000), rows), o.drain(fmt.Sprintf("base-%d", rows), 10, rows)
		work.perf, base.perf = true, true
		list = append(list, work, base)
	}
	return list
}

// growth is how cost grows with what surrounds an event.
func (o *options) growth() (list []workload) {
	for _, rows := range []int{1, 100} {
		for _, foreign := range []int{0, 99} {
			wl := o.drain(fmt.Sprintf("foreign-%d-%d", rows, foreign), o.scaled(10_000), rows)
			wl.backlog.Foreign = foreign
			list = append(list, wl)
		}
	}
	for _, events := range []int{10, 1000, 100_000, 1_000_000, 10_000_000} {
		events = max(10, o.scaled(events))
		list = append(list, o.drain(fmt.Sprintf("backlog-%d", events), events, 100))
	}
	for _, topics := range []int{1, 10, 100, 1000} {
		wl := o.drain(fmt.Sprintf("topics-%d", topics), o.scaled(100_000), 100)
		// As many keys as share no factor with the topics, so that all keys come to all topics.
		wl.partitions, wl.backlog.Kinds, wl.backlog.Keys = 12, topics, 1009
		list = append(list, wl)
	}
	for _, keys := range []int{10, 1000, 100_000, 1_000_000} {
		wl := o.drain(fmt.Sprintf("keys-%d", keys), o.scaled(1_000_000), 100)
		wl.backlog.Keys = keys
		list = append(list, wl)
	}
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		wl := o.drain("codec-"+codec, o.scaled(200_000), 100)
		wl.flags = []string{"--kafka-compression=" + codec}
		list = append(list, wl)
	}
	return list
}

// chosen are the workloads whose names begin with one of the words; all without words.
func chosen(all []workload, words string) (list []workload, err error) {
	if words == "" {
		return all, nil
	}
	for word := range strings.SplitSeq(words, ",") {
		found := false
		for _, wl := range all {
			if wl.name == word || strings.HasPrefix(wl.name, word+"-") {
				list, found = append(list, wl), true
			}
		}
		if !found {
			return nil, fmt.Errorf("-workloads: there is no %q", word)
		}
	}
	return list, nil
}

// plain are the workloads of `make bench`: rows in each transaction, big, and latency.
func (o *options) plain(words string) (list []workload, err error) {
	for word := range strings.SplitSeq(words, ",") {
		rows, err := strconv.Atoi(word)
		switch {
		case word == "latency":
			list = append(list, o.steady(o.rate, o.duration))
		case word == "big":
			list = append(list, o.drain("drain-1000000", 1_000_000, 1_000_000))
		case err != nil || rows < 1:
			return nil, fmt.Errorf("-workloads: %q is neither a number of rows, nor big, nor latency", word)
		default:
			list = append(list, o.drain(fmt.Sprintf("drain-%d", rows), o.events, rows))
		}
	}
	return list, nil
}

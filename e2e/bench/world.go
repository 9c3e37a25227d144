package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailer-io/tailer/e2e/bench/relay"
	"github.com/tailer-io/tailer/e2e/bench/source"
	"github.com/tailer-io/tailer/e2e/bench/verify"
)

// world is a database and its topics, for one workload in one round.
type world struct {
	o        *options
	workload workload
	backlog  source.Backlog
	db       source.Database
	relay    relay.World
	topics   []string
	client   *kgo.Client
	kafka    *kadm.Client
	met      []contender // those that may keep something of it
	touched  bool        // the broker has had a record in each partition
	before   int64       // appended before a contender began
	warm     int         // events that were inserted to see that a relay carries something
}

func newWorld(ctx context.Context, o *options, wl workload) (w *world, err error) {
	b := make([]byte, 4)
	rand.Read(b)
	id := hex.EncodeToString(b)
	w = &world{o: o, workload: wl, backlog: wl.backlog}
	w.backlog.Prefix = "bench" + id
	for _, kind := range w.backlog.AllKinds() {
		w.topics = append(w.topics, verify.TopicPrefix+kind)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if w.client, err = kgo.NewClient(kgo.SeedBrokers(strings.Split(o.brokers, ",")...)); err != nil {
		return w, err
	}
	w.kafka = kadm.NewClient(w.client)
	if w.db, err = o.server.Create(ctx, "bench_"+id); err != nil {
		return w, fmt.Errorf("create database: %w", err)
	}
	w.relay = relay.World{Kind: o.server.Kind(), Database: w.db, Brokers: o.brokers, Flags: wl.flags}
	return w, w.createTopics(ctx)
}

func (w *world) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	var failed []error
	if w.db != nil {
		for _, c := range w.met {
			if err := c.forget(ctx, w); err != nil {
				failed = append(failed, fmt.Errorf("%s: forget %s: %w", c.name(), w.db.Name(), err))
			}
		}
		failed = append(failed, w.db.Drop(ctx))
	}
	if w.kafka != nil {
		failed = append(failed, w.deleteTopics(ctx, w.topics))
		w.client.Close()
	}
	return errors.Join(failed...)
}

// flows inserts an event that is none of the backlog, and again every second, until a relay has carried one.
func (w *world) flows(ctx context.Context, i relay.Instance) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	conn, err := w.db.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	topic := w.topics[:1]
	before, err := w.appended(ctx, topic)
	if err != nil {
		return err
	}
	for tick := 0; ; tick++ {
		if tick%100 == 0 {
			if _, err := conn.ExecContext(ctx, w.backlog.Insert(w.warmEvent())); err != nil {
				return err
			}
		}
		now, err := w.appended(ctx, topic)
		if err != nil {
			return err
		}
		if now > before {
			return nil
		}
		if err := i.Failed(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nothing that was inserted arrived: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// warmEvent is a new event that is none of the backlog, for the first topic.
func (w *world) warmEvent() int {
	w.warm++
	kinds := w.backlog.Kinds
	return (verify.FirstWarm/kinds + w.warm) * kinds
}

// read reads the topics back and returns what was there.
func (w *world) read(ctx context.Context) (*verify.Tally, error) {
	tally := verify.New(w.backlog)
	err := verify.Read(ctx, w.o.brokers, w.topics, func(r *kgo.Record) { tally.Add(r) })
	return tally, err
}

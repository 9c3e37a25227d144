package mysql_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tailer-io/tailer/internal/mapping"
	"github.com/tailer-io/tailer/internal/mysql"
	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/outboxtest"
	"github.com/tailer-io/tailer/internal/pipeline"
)

const (
	outboxSQL = `create table outbox (id int primary key, aggregatetype varchar(20), aggregateid varchar(20), type varchar(20), payload text) engine=innodb`
	topic     = "tailer-checkpoint.test"
)

// start runs a pipeline between a real database and a broker in memory.
func start(t *testing.T, w *mysql.World, br *outboxtest.Broker, n int, until string) (stop func(error), done chan error) {
	t.Helper()
	m, err := mapping.New(mapping.Config{Tables: []mapping.Table{{Name: "outbox"}}})
	if err != nil {
		t.Fatal(err)
	}
	client := outboxtest.NewClient(br, topic)
	source := w.Source(mysql.Table{Name: "outbox", Columns: m.Columns(0)})
	p := pipeline.New(pipeline.Config{
		Name: "test", Version: "1", Instance: fmt.Sprint("instance-", n),
		Source: source, Sink: client, Mapper: m, Cluster: client, Topic: client, CheckpointTopic: topic,
		SourceKind: outbox.MySQL, SinkKind: "kafka", Transactional: true, Tables: []string{"outbox"}, TransactionTimeout: time.Second,
		Limits: outbox.Limits{Rows: 7, Bytes: 1 << 20}, Snapshot: true, SnapshotMaxRows: 1000,
		CreateTopics: true, Until: until, OnPoison: "halt", OnRefusal: "exit",
	}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ctx, cancel := context.WithCancelCause(context.Background())
	done = make(chan error, 1)
	var running sync.WaitGroup
	running.Go(func() { done <- p.Run(ctx) })
	t.Cleanup(func() {
		cancel(nil)
		running.Wait()
	})
	return cancel, done
}

// The commit sequence over a real log: starts that crash at faults of the
// broker, between and inside transactions, publish every row once and in order.
func TestPipeline(t *testing.T) {
	mysql.OnServers(t, func(w *mysql.World) {
		t := w.TB.(*testing.T)
		w.Exec(outboxSQL)
		id := 0
		insert := func(exec func(...string), rows int) {
			for range rows {
				id++
				exec(fmt.Sprintf("insert into outbox values (%d, 'order', 'a%d', 'created', 'p%d')", id, id%5, id))
			}
		}
		insert(w.Exec, 20) // for the snapshot
		br := outboxtest.NewBroker()
		other := w.Session()
		crash := errors.New("crash")
		for i, call := range []outboxtest.Call{outboxtest.Produce, outboxtest.Commit, outboxtest.Commit, outboxtest.Produce, outboxtest.Newest} {
			ended := make(chan struct{})
			var stop func(error)
			var done chan error
			var once sync.Once
			br.Inject(outboxtest.Fault{Call: call, N: 3 + i, Done: i%2 == 0, Then: func() { once.Do(func() { close(ended) }) }})
			stop, done = start(t, w, br, i, "")
			for n := range 6 {
				insert(other, 1+n)
				other("begin")
				insert(other, 5*n+1) // some do not fit a batch
				other("commit")
				other("begin")
				keep := id
				insert(other, 2)
				other("rollback")
				id = keep
			}
			select {
			case <-ended:
			case <-time.After(2 * time.Second): // this call is not made so often
			}
			stop(crash)
			<-done
		}
		br.Inject()
		_, done := start(t, w, br, 100, "now")
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("the pipeline does not end")
		}
		_, values := br.Committed(topic)
		if len(values) != id {
			t.Errorf("%d messages, want %d", len(values), id)
		}
		for i, v := range values {
			if want := fmt.Sprintf("p%d", i+1); v != want {
				t.Fatalf("message %d is %s, want %s", i, v, want)
			}
		}
	})
}

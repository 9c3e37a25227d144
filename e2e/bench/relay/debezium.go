package relay

import (
	"context"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tailer-io/tailer/e2e/bench/measure"
)

// Debezium is a Debezium connector with the outbox event router.
type Debezium struct {
	Worker *Worker
	Tuned  bool
}

// Tuning is what the tuned connector sets beyond the other's options.
var Tuning = map[string]string{
	"poll.interval.ms":             "10",
	"max.batch.size":               "20480",
	"max.queue.size":               "81920",
	"producer.override.batch.size": "524288",
}

// Name implements Relay.
func (r *Debezium) Name() string {
	if r.Tuned {
		return "debezium tuned"
	}
	return "debezium"
}

// ExactlyOnce implements Relay.
func (r *Debezium) ExactlyOnce() bool { return false }

func (r *Debezium) connector(w World) string {
	if r.Tuned {
		return w.Database.Name() + "_dbz_tuned"
	}
	return w.Database.Name() + "_dbz"
}

// Options are the connector's options, for a world; and what the documentation prints of them.
func (r *Debezium) Options(w World) map[string]string {
	a, name := w.Database.Address(), r.connector(w)
	options := map[string]string{
		"tasks.max":         "1",
		"database.hostname": a.Host,
		"database.port":     a.Port,
		"database.user":     a.User,
		"database.password": a.Password,
		"topic.prefix":      name,
		"snapshot.mode":     "no_data",
		"key.converter":     "org.apache.kafka.connect.storage.StringConverter",
		"value.converter":   "org.apache.kafka.connect.storage.StringConverter",
		// Without these the message would be longer than the router's documentation says.
		"extended.headers.enabled": "false",
		"transforms":               "outbox",
		"transforms.outbox.type":   "io.debezium.transforms.outbox.EventRouter",
	}
	switch w.Kind {
	case "postgres":
		maps.Copy(options, map[string]string{
			"connector.class":             "io.debezium.connector.postgresql.PostgresConnector",
			"database.dbname":             a.Database,
			"database.sslmode":            "disable",
			"plugin.name":                 "pgoutput",
			"slot.name":                   name,
			"publication.name":            a.Database,
			"publication.autocreate.mode": "disabled",
			"table.include.list":          "public.outbox",
		})
	default:
		class := "io.debezium.connector.mysql.MySqlConnector"
		if w.Kind == "mariadb" {
			class = "io.debezium.connector.mariadb.MariaDbConnector"
		}
		maps.Copy(options, map[string]string{
			"connector.class":                                        class,
			"database.server.id":                                     strconv.Itoa(1<<20 + int(crc32.ChecksumIEEE([]byte(name))%(1<<30))),
			"database.ssl.mode":                                      map[string]string{"mysql": "disabled", "mariadb": "disable"}[w.Kind],
			"database.include.list":                                  a.Database,
			"table.include.list":                                     a.Database + ".outbox",
			"include.schema.changes":                                 "false",
			"schema.history.internal":                                "io.debezium.storage.file.history.FileSchemaHistory",
			"schema.history.internal.file.filename":                  r.history(w),
			"schema.history.internal.store.only.captured.tables.ddl": "true",
		})
		if w.Kind == "mysql" {
			options["driver.allowPublicKeyRetrieval"] = "true"
		}
	}
	if r.Tuned {
		maps.Copy(options, Tuning)
	}
	return options
}

func (r *Debezium) history(w World) string {
	return filepath.Join(r.Worker.Dir, r.connector(w)+".history")
}

// Reset implements Relay: each world is new to it.
func (r *Debezium) Reset(context.Context, World) error { return nil }

// Start implements Relay.
func (r *Debezium) Start(ctx context.Context, w World, how How) (Instance, error) {
	name := r.connector(w)
	if how.Cold {
		r.Worker.down()
	}
	begun := time.Now()
	if err := r.Worker.up(ctx); err != nil {
		return nil, err
	}
	i := &connector{child: r.Worker.child, worker: r.Worker, name: name, begun: begun}
	if !how.Cold {
		// What the worker uses from here on is counted; but not what it used to start.
		i.used = i.Process().CPU()
		i.begun = time.Now()
		if err := measure.ForgetPeak(i.Process().PID); err != nil {
			return nil, fmt.Errorf("forget the peak of memory: %w", err)
		}
	}
	var known map[string]any
	if err := r.Worker.call("GET", "/connectors/"+name+"/config", nil, &known); err != nil {
		return i, r.Worker.call("PUT", "/connectors/"+name+"/config", r.Options(w), nil)
	}
	return i, r.Worker.call("PUT", "/connectors/"+name+"/resume", nil, nil)
}

// Forget implements Relay.
func (r *Debezium) Forget(ctx context.Context, w World) error {
	os.Remove(r.history(w))
	if err := r.Worker.up(ctx); err != nil {
		return err
	}
	var known []string
	if err := r.Worker.call("GET", "/connectors", nil, &known); err != nil || !slices.Contains(known, r.connector(w)) {
		return err
	}
	return r.Worker.call("DELETE", "/connectors/"+r.connector(w), nil, nil)
}

// Close implements Relay.
func (r *Debezium) Close() { r.Worker.down() }

// connector is a running connector; its process is the worker.
type connector struct {
	*child
	worker *Worker
	name   string
	begun  time.Time
	used   float64
}

func (c *connector) Begun() time.Time { return c.begun }
func (c *connector) Used() float64    { return c.used }

type status struct {
	Connector struct{ State string }
	Tasks     []struct{ State, Trace string }
}

func (c *connector) status() (s status, err error) {
	return s, c.worker.call("GET", "/connectors/"+c.name+"/status", nil, &s)
}

func (c *connector) Failed() error {
	if err := c.child.Failed(); err != nil {
		return err
	}
	s, err := c.status()
	if err != nil {
		return nil // it is being made
	}
	for _, task := range s.Tasks {
		if task.State == "FAILED" {
			cause, _, _ := strings.Cut(task.Trace, "\n\tat")
			return fmt.Errorf("its task failed: %s; the log is %s", cause, c.worker.log())
		}
	}
	return nil
}

func (c *connector) Stop() error {
	if err := c.worker.call("PUT", "/connectors/"+c.name+"/stop", nil, nil); err != nil {
		return err
	}
	return c.worker.until(context.Background(), "the connector is stopped", func() bool {
		s, err := c.status()
		return err == nil && s.Connector.State == "STOPPED" && len(s.Tasks) == 0
	})
}

// Kill leaves the worker alone: others need it.
func (c *connector) Kill() { c.worker.call("PUT", "/connectors/"+c.name+"/stop", nil, nil) }

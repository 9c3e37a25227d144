package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailer-io/tailer/e2e/check"
)

// world is a database and a topic for one round.
type world struct {
	o      *options
	name   string
	kind   string // aggregatetype
	topic  string
	url    string
	admin  *pgx.Conn
	db     *pgx.Conn
	client *kgo.Client
	kafka  *kadm.Client
}

func newWorld(ctx context.Context, o *options) (w *world, err error) {
	b := make([]byte, 4)
	rand.Read(b)
	id := hex.EncodeToString(b)
	w = &world{o: o, name: "bench_" + id, kind: "bench" + id}
	w.topic = "outbox.event." + w.kind
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.admin, err = pgx.Connect(ctx, o.postgres); err != nil {
		return w, err
	}
	if _, err = w.admin.Exec(ctx, "CREATE DATABASE "+w.name); err != nil {
		return w, err
	}
	u, err := url.Parse(o.postgres)
	if err != nil {
		return w, err
	}
	u.Path = "/" + w.name
	w.url = u.String()
	if w.db, err = pgx.Connect(ctx, w.url); err != nil {
		return w, err
	}
	if _, err = w.db.Exec(ctx, `CREATE TABLE outbox (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), aggregatetype text NOT NULL,
		aggregateid text NOT NULL, type text NOT NULL, payload text)`); err != nil {
		return w, err
	}
	if w.client, err = kgo.NewClient(kgo.SeedBrokers(strings.Split(o.brokers, ",")...)); err != nil {
		return w, err
	}
	w.kafka = kadm.NewClient(w.client)
	// The broker's clock stamps each record when it is appended: the end of a drain is read from there.
	stamp := "LogAppendTime"
	_, err = w.kafka.CreateTopic(ctx, int32(o.partitions), 1, map[string]*string{"message.timestamp.type": &stamp}, w.topic)
	return w, err
}

func (w *world) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if w.db != nil {
		w.db.Close(ctx)
	}
	if w.admin != nil {
		for ctx.Err() == nil {
			w.admin.Exec(ctx, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = $1 AND active", w.name)
			w.admin.Exec(ctx, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1 AND NOT active", w.name)
			if _, err := w.admin.Exec(ctx, "DROP DATABASE IF EXISTS "+w.name+" WITH (FORCE)"); err == nil {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		w.admin.Close(ctx)
	}
	if w.client != nil {
		w.kafka.DeleteTopics(ctx, w.topic, "tailer-checkpoint."+w.name)
		w.client.Close()
	}
}

// process is a running tailer.
type process struct {
	cmd   *exec.Cmd
	addr  string
	begun time.Time
	done  chan error
}

func (w *world) start(delivery string, more ...string) (*process, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	l.Close()
	args := []string{"run", "--name=" + w.name, "--source-url=" + w.url, "--kafka-brokers=" + w.o.brokers,
		"--http-addr=" + addr, "--delivery=" + delivery, "--snapshot=never"}
	args = append(append(args, w.o.extra...), more...)
	p := &process{cmd: exec.Command(w.o.tailer, args...), addr: addr, done: make(chan error, 1)}
	if w.o.verbose {
		p.cmd.Stderr = os.Stderr
	}
	p.begun = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.done <- p.cmd.Wait() }()
	return p, nil
}

// status asks /status; the zero value while nobody answers.
func (p *process) status() (s struct {
	State     string
	Published int
}) {
	client := http.Client{Timeout: time.Second}
	response, err := client.Get("http://" + p.addr + "/status")
	if err != nil {
		return s
	}
	defer response.Body.Close()
	json.NewDecoder(response.Body).Decode(&s)
	return s
}

// until waits for a status; a process that ends before is an error.
func (p *process) until(ctx context.Context, what string, pause time.Duration, reached func(state string, published int) bool) error {
	for deadline := time.Now().Add(5 * time.Minute); ; {
		if s := p.status(); reached(s.State, s.Published) {
			return nil
		}
		select {
		case err := <-p.done:
			p.done <- err
			return fmt.Errorf("tailer ended (%v) before: %s", err, what)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within 5 minutes: %s", what)
		}
	}
}

func (p *process) ready(ctx context.Context) error {
	return p.until(ctx, "ready", 10*time.Millisecond, func(state string, _ int) bool { return state == "streaming" || state == "caught_up" })
}

func (p *process) stop() error {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-p.done:
		return err
	case <-time.After(10 * time.Second):
		p.kill()
		return fmt.Errorf("tailer did not stop within 10 s")
	}
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
	}
}

// cpu is the user and system time of a process so far, in seconds, from fields 14 and 15 of /proc/PID/stat.
func cpu(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(b), ") ") // The name in front may hold anything.
	fields := strings.Fields(rest)
	if !ok || len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("/proc/%d/stat: %q %q", pid, fields[11], fields[12])
	}
	const ticks = 100 // USER_HZ, the same on every Linux that Go runs on
	return (user + system) / ticks, nil
}

// readBack reads the topic as a consumer does and demands n different ids, each once.
func (w *world) readBack(ctx context.Context, n int, doublesAllowed bool) (last time.Time, err error) {
	records, err := check.Read(ctx, w.o.brokers, check.Committed, w.topic)
	if err != nil {
		return last, err
	}
	ids := make(map[string]struct{}, n)
	var newest int64
	for i := range records {
		id, ok := records[i].ID()
		if !ok {
			return last, fmt.Errorf("a record without id at offset %d", records[i].Offset)
		}
		ids[id] = struct{}{}
		newest = max(newest, records[i].Millis)
	}
	if len(ids) != n || (len(records) != n && !doublesAllowed) {
		return last, fmt.Errorf("%d records with %d different ids for %d events: no figure", len(records), len(ids), n)
	}
	return time.UnixMilli(newest), nil
}

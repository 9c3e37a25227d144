package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Worker is a Kafka Connect worker, distributed, started with what Kafka's own script gives the JVM by default. It
// stays up between runs, warm, as it would in production.
type Worker struct {
	Java, ClassPath, Plugins string
	Brokers                  string
	Dir                      string // scratch
	Name                     string // of this run; begins the names of its topics

	addr string
	*child
}

// Topics are those that it keeps for itself.
func (k *Worker) Topics() []string {
	return []string{k.Name + "-offsets", k.Name + "-configs", k.Name + "-status"}
}

// up starts it unless it runs, and waits until it answers.
func (k *Worker) up(ctx context.Context) error {
	if err := k.launch(); err != nil {
		return err
	}
	return k.await(ctx)
}

// launch starts it unless it runs.
func (k *Worker) launch() error {
	if k.child != nil {
		return nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	k.addr = l.Addr().String()
	l.Close()
	if err := os.MkdirAll(k.Dir, 0o755); err != nil {
		return err
	}
	properties, logging := filepath.Join(k.Dir, "worker.properties"), filepath.Join(k.Dir, "log4j2.xml")
	topics := k.Topics()
	if err := os.WriteFile(properties, fmt.Appendf(nil, `bootstrap.servers=%s
group.id=%s
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
offset.storage.topic=%s
offset.storage.replication.factor=1
offset.storage.partitions=1
config.storage.topic=%s
config.storage.replication.factor=1
status.storage.topic=%s
status.storage.replication.factor=1
status.storage.partitions=1
listeners=http://%s
plugin.path=%s
plugin.discovery=service_load
`, k.Brokers, k.Name, topics[0], topics[1], topics[2], k.addr, filepath.Dir(k.Plugins)), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(logging, []byte(`<Configuration status="error"><Appenders><File name="file" fileName="`+k.log()+`">
<PatternLayout pattern="%d %p %c %m%n"/></File></Appenders><Loggers><Root level="info"><AppenderRef ref="file"/></Root></Loggers></Configuration>
`), 0o644); err != nil {
		return err
	}
	cmd := exec.Command(k.Java, "-Xms256M", "-Xmx2G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
		"-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true",
		"-Dlog4j2.configurationFile="+logging, "-cp", k.ClassPath, "org.apache.kafka.connect.cli.ConnectDistributed", properties)
	k.child, err = spawn(cmd, false, false)
	return err
}

func (k *Worker) log() string { return filepath.Join(k.Dir, "connect.log") }

// await waits until it answers.
func (k *Worker) await(ctx context.Context) error {
	return k.until(ctx, "Kafka Connect answers", func() bool { return k.call("GET", "/connectors", nil, nil) == nil })
}

// down ends it.
func (k *Worker) down() {
	if k.child == nil {
		return
	}
	k.child.Stop()
	k.child = nil
}

// until asks until it is so.
func (k *Worker) until(ctx context.Context, what string, so func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for !so() {
		select {
		case <-k.done:
			return fmt.Errorf("the worker of Kafka Connect ended before: %s; its log is %s", what, k.log())
		case <-ctx.Done():
			return fmt.Errorf("%w before: %s; the log is %s", ctx.Err(), what, k.log())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// call asks the worker; out may be nil.
func (k *Worker) call(method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	request, err := http.NewRequest(method, "http://"+k.addr+path, body)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: time.Minute}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, b)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

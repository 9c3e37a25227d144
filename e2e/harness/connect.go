package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Connect is a worker of Kafka Connect, distributed, with Debezium's connector for one kind of source.
type Connect struct {
	t    testing.TB
	addr string
	log  string
	done chan struct{} // closed when the process is gone
}

// NewConnect starts a worker, which ends with the test; without what `scripts/stack debezium SOURCE` exports the test
// is skipped.
func NewConnect(t testing.TB, kafka *Kafka) *Connect {
	t.Helper()
	classPath, plugins, java := Env(t, "STACK_CONNECT_CLASSPATH"), Env(t, "STACK_DEBEZIUM"), Env(t, "STACK_JAVA")
	dir, name := t.TempDir(), "connect-"+Unique()
	k := &Connect{t: t, addr: fmt.Sprintf("127.0.0.1:%d", FreePort(t)), log: filepath.Join(dir, "connect.log"), done: make(chan struct{})}
	properties, logging := filepath.Join(dir, "worker.properties"), filepath.Join(dir, "log4j2.xml")
	write := func(file, format string, args ...any) {
		if err := os.WriteFile(file, fmt.Appendf(nil, format, args...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(properties, `bootstrap.servers=%s
group.id=%s
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
offset.storage.topic=%[2]s-offsets
offset.storage.replication.factor=1
offset.storage.partitions=1
config.storage.topic=%[2]s-configs
config.storage.replication.factor=1
status.storage.topic=%[2]s-status
status.storage.replication.factor=1
status.storage.partitions=1
listeners=http://%s
plugin.path=%s
plugin.discovery=service_load
`, kafka.Brokers, name, k.addr, filepath.Dir(plugins))
	write(logging, `<Configuration status="error"><Appenders><File name="file" fileName="%s"><PatternLayout pattern="%%d %%p %%c %%m%%n"/></File>
</Appenders><Loggers><Root level="info"><AppenderRef ref="file"/></Root></Loggers></Configuration>
`, k.log)
	cmd := exec.Command(java, "-Xms128M", "-Xmx1G", "-XX:+UseSerialGC", "-Dlog4j2.configurationFile="+logging, "-cp", classPath,
		"org.apache.kafka.connect.cli.ConnectDistributed", properties)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process
		cmd.Wait()
		close(k.done)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-k.done
		kafka.Delete(t, kafka.Topics(t, name)...)
	})
	k.Until("Kafka Connect answers", func() bool { return k.try("GET", "/connectors", nil, nil) == nil })
	return k
}

// Until asks until it is so.
func (k *Connect) Until(what string, so func() bool) {
	k.t.Helper()
	deadline := time.After(2 * time.Minute)
	for !so() {
		select {
		case <-k.done:
			k.t.Fatalf("Kafka Connect ended before: %s\n%s", what, k.Log())
		case <-deadline:
			k.t.Fatalf("not within 2 minutes: %s\n%s", what, k.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Log is the end of the worker's log.
func (k *Connect) Log() string {
	b, err := os.ReadFile(k.log)
	if err != nil {
		return err.Error()
	}
	return tail(string(b), 60)
}

// Call asks the worker and returns what it answers.
func (k *Connect) Call(method, path string, in any) []byte {
	k.t.Helper()
	var out []byte
	if err := k.try(method, path, in, &out); err != nil {
		k.t.Fatalf("%v\n%s", err, k.Log())
	}
	return out
}

func (k *Connect) try(method, path string, in any, out *[]byte) error {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return err
		}
	}
	request, err := http.NewRequest(method, "http://"+k.addr+path, &body)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, response.Status, b)
	}
	if out != nil {
		*out = b
	}
	return err
}

// Start makes a connector with these options, or lets it go on.
func (k *Connect) Start(name string, options map[string]string) {
	k.t.Helper()
	if err := k.Try(name, options); err != nil {
		k.t.Fatalf("%v\n%s", err, k.Log())
	}
}

// Try is Start for options that the connector may refuse, or its task fail at.
func (k *Connect) Try(name string, options map[string]string) error {
	k.t.Helper()
	if err := k.try("PUT", "/connectors/"+name+"/config", options, nil); err != nil {
		return err
	}
	k.Call("PUT", "/connectors/"+name+"/resume", nil)
	failed := ""
	k.Until("the connector runs", func() bool {
		failed = k.Failed(name)
		s := k.status(name)
		return failed != "" || len(s.Tasks) == 1 && s.Tasks[0].State == "RUNNING"
	})
	if failed != "" {
		return fmt.Errorf("the connector's task failed: %s", failed)
	}
	return nil
}

// Failed is the trace of what a connector's task, or it itself, failed at, "" while it has not failed.
func (k *Connect) Failed(name string) string {
	s := k.status(name)
	if s.Connector.State == "FAILED" {
		return s.Connector.Trace
	}
	for _, task := range s.Tasks {
		if task.State == "FAILED" {
			return task.Trace
		}
	}
	return ""
}

// Logged counts the lines of the worker's log that contain a text.
func (k *Connect) Logged(text string) int {
	b, err := os.ReadFile(k.log)
	if err != nil {
		k.t.Fatal(err)
	}
	return bytes.Count(b, []byte(text))
}

// Stop stops a connector as a person would, and returns its offsets: the answer of Kafka Connect.
func (k *Connect) Stop(name string) []byte {
	k.t.Helper()
	k.Call("PUT", "/connectors/"+name+"/stop", nil)
	k.Until("the connector is stopped", func() bool {
		s := k.status(name)
		return s.Connector.State == "STOPPED" && len(s.Tasks) == 0
	})
	return k.Call("GET", "/connectors/"+name+"/offsets", nil)
}

// Delete removes a connector, and waits until its tasks are gone.
func (k *Connect) Delete(name string) {
	k.t.Helper()
	k.try("DELETE", "/connectors/"+name, nil, nil) // it may have been refused
	k.Until("the connector is gone", func() bool { return k.try("GET", "/connectors/"+name+"/status", nil, nil) != nil })
}

type connectorStatus struct {
	Connector struct{ State, Trace string }
	Tasks     []struct{ State, Trace string }
}

func (k *Connect) status(name string) (s connectorStatus) {
	var b []byte
	if k.try("GET", "/connectors/"+name+"/status", nil, &b) == nil {
		json.Unmarshal(b, &s) // what is no status is none
	}
	return s
}

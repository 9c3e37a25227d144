package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailer-io/tailer/e2e/bench/measure"
	"github.com/tailer-io/tailer/e2e/bench/relay"
	"github.com/tailer-io/tailer/e2e/bench/report"
)

// suite is `bench compare` and `bench growth`: each run goes to a file at once, so that a run that was interrupted
// has not been for nothing, and tables and plots are made of the file.
func (o *options) suite(ctx context.Context, verb string, workloads func() []workload) error {
	if err := o.open(ctx); err != nil {
		return err
	}
	defer o.server.Close()
	if err := measure.PerfWorks(); err != nil {
		fmt.Fprintf(os.Stderr, "bench: without instructions and system calls: %v\n", err)
	} else {
		o.perf = true
	}
	if err := o.contend(verb == "compare"); err != nil {
		return err
	}
	defer o.leave()
	list, err := chosen(workloads(), o.workloads)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	file := filepath.Join(o.out, verb+"-"+o.source+".jsonl")
	head := report.File{Time: time.Now().UTC().Format(time.RFC3339), Source: o.source, Machine: machine(), Settings: o.settings()}
	if head.Versions, err = o.versions(ctx); err != nil {
		return err
	}
	first := 0
	if o.append {
		old, err := report.Read(file)
		if err != nil {
			return err
		}
		// Rounds go on counting: a pair is of one round.
		for _, r := range old.Runs {
			first = max(first, r.Round+1)
		}
	} else if err := head.Create(file); err != nil {
		return err
	}
	if err := o.run(ctx, list, func(r report.Run) error {
		r.Round += first
		return report.Append(file, r)
	}); err != nil {
		return err
	}
	return report.Render(file)
}

// contend chooses the contenders: in growth tailer alone, and what the server's own program does with the same.
func (o *options) contend(all bool) error {
	list, err := o.tailers()
	if err != nil {
		return err
	}
	if all {
		list = append(list, o.secured()...)
		if plugins := os.Getenv("STACK_DEBEZIUM"); plugins != "" {
			o.dbz = &relay.Worker{Java: env("STACK_JAVA", "java"), ClassPath: os.Getenv("STACK_CONNECT_CLASSPATH"), Plugins: plugins,
				Brokers: o.brokers, Dir: filepath.Join(os.TempDir(), fmt.Sprintf("bench-connect-%d", os.Getpid())),
				Name: fmt.Sprintf("bench-connect-%d", time.Now().Unix())}
			list = append(list, carrier{&relay.Debezium{Worker: o.dbz}}, carrier{&relay.Debezium{Worker: o.dbz, Tuned: true}})
		}
		for _, c := range relay.Commands(os.Environ(), o.stderr()) {
			list = append(list, carrier{c})
		}
	}
	list = append(list, serverReader(o.server.Reader()), tailerReader(o.tailer, o.extra))
	if classPath := os.Getenv("STACK_KAFKA_CLASSPATH"); all && classPath != "" {
		list = append(list, producer{env("STACK_JAVA", "java"), classPath})
	}
	for _, c := range list {
		wanted := o.only == ""
		for word := range strings.SplitSeq(o.only, ",") {
			wanted = wanted || strings.HasPrefix(c.name(), word)
		}
		if wanted {
			o.contenders = append(o.contenders, c)
		}
	}
	if len(o.contenders) == 0 {
		return fmt.Errorf("-contenders: none begins with %q", o.only)
	}
	return nil
}

// secured are tailers with TLS on one of its ways.
func (o *options) secured() (list []contender) {
	dir, broker := os.Getenv("STACK_TLS_DIR"), os.Getenv("STACK_KAFKA_MTLS")
	if dir == "" {
		return nil
	}
	required := map[bool]string{true: "sslmode=require", false: "ssl-mode=required"}[o.source == "postgres"]
	flags := strings.Fields(o.extra)
	certified := append([]string{"--kafka-tls-ca-file=" + dir + "/ca.pem", "--kafka-tls-cert-file=" + dir + "/client.pem",
		"--kafka-tls-key-file=" + dir + "/client.key"}, flags...)
	for _, r := range []*relay.Tailer{
		{Special: "TLS from the database", Parameter: required, Flags: flags},
		{Special: "TLS to Kafka", Brokers: broker, Flags: certified},
	} {
		r.Binary, r.Delivery, r.Stderr = o.tailer, "exactly-once", o.stderr()
		list = append(list, carrier{r})
	}
	return list
}

// leave ends what contenders kept running, and removes what it kept.
func (o *options) leave() {
	for _, c := range o.contenders {
		c.close()
	}
	if o.dbz == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(o.brokers, ",")...)); err == nil {
		kadm.NewClient(client).DeleteTopics(ctx, o.dbz.Topics()...)
		client.Close()
	}
	os.RemoveAll(o.dbz.Dir)
}

// versions are those of everything that takes part.
func (o *options) versions(ctx context.Context) ([]string, error) {
	server, err := o.server.Version(ctx)
	if err != nil {
		return nil, err
	}
	tailer, err := (&relay.Tailer{Binary: o.tailer}).Version()
	if err != nil {
		return nil, err
	}
	list := []string{tailer, server}
	for _, jar := range []struct{ name, folder, file string }{
		{"Apache Kafka ", filepath.Dir(os.Getenv("STACK_KAFKA_CLASSPATH")), "kafka-clients-"},
		{"Kafka Connect ", filepath.Dir(os.Getenv("STACK_CONNECT_CLASSPATH")), "connect-runtime-"},
		{"Debezium ", os.Getenv("STACK_DEBEZIUM"), "debezium-connector-" + o.source + "-"},
	} {
		found, _ := filepath.Glob(filepath.Join(jar.folder, jar.file+"*.jar"))
		if len(found) == 1 && jar.folder != "." {
			version := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(found[0]), jar.file), ".jar")
			list = append(list, jar.name+version)
		}
	}
	if out, err := exec.Command(env("STACK_JAVA", "java"), "-version").CombinedOutput(); err == nil {
		line, _, _ := strings.Cut(string(out), "\n")
		list = append(list, line)
	}
	return list, nil
}

// machine is what all of it ran on.
func machine() string {
	model, kernel, memory := "", "", ""
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, rest, _ := strings.Cut(string(b), "model name\t: ")
		model, _, _ = strings.Cut(rest, "\n")
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel = strings.TrimSpace(string(b))
	}
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kilobytes float64
		fmt.Sscanf(string(b), "MemTotal: %f", &kilobytes)
		memory = fmt.Sprintf("%.0f GiB", kilobytes/(1<<20))
	}
	return fmt.Sprintf("%d processors (%s), %s, %s %s", runtime.NumCPU(), model, memory, runtime.GOOS, kernel)
}

// settings say how everything was set.
func (o *options) settings() []report.Setting {
	list := []report.Setting{
		{What: "tailer", How: strings.TrimSpace("defaults; --snapshot never " + o.extra)},
		{What: o.server.Reader(), How: "discards what it reads: into " + map[bool]string{true: "/dev/null, pgoutput protocol 1", false: "a file in memory, --read-from-remote-server --raw"}[o.source == "postgres"]},
		{What: report.Discarding, How: "`--sink stdout --checkpoint-file`, into /dev/null: it reads, maps and prints, and publishes nothing"},
		{What: "server", How: "that of `scripts/stack`: every commit is flushed (steady loads); backlogs are written with lowered durability, which is restored before anybody reads"},
		{What: "broker", How: "that of `scripts/stack`: one broker; topics with LogAppendTime, one replica"},
		{What: "connections", How: "loopback, without TLS unless the contender's name says so"},
		{What: "events", How: fmt.Sprintf("%d partitions and %d keys unless the workload says otherwise, payloads of %d bytes of text; a transaction's rows are written by one statement", o.partitions, defaultKeys, defaultSize)},
	}
	if o.dbz != nil {
		pairs := func(m map[string]string) string {
			var words []string
			for _, key := range slices.Sorted(maps.Keys(m)) {
				words = append(words, key+"="+m[key])
			}
			return strings.Join(words, ", ")
		}
		list = append(list, report.Setting{What: "debezium", How: "one distributed Connect worker that stays up, with the JVM options of Kafka's script (-Xms256M -Xmx2G); " +
			"defaults, the outbox router's too; extended.headers.enabled=false, for the same message"},
			report.Setting{What: "debezium tuned", How: "the same with " + pairs(relay.Tuning)})
	}
	for _, c := range relay.Commands(os.Environ(), nil) {
		list = append(list, report.Setting{What: c.Label, How: "`" + c.Command + "`"})
	}
	return list
}

// render makes tables and plots of all figures in the folder.
func (o *options) render() error {
	files, err := filepath.Glob(filepath.Join(o.out, "*.jsonl"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := report.Render(file); err != nil {
			return err
		}
	}
	return nil
}

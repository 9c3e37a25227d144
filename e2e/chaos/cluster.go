package chaos

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/tailer-io/tailer/e2e/harness"
)

// Node is one broker. Whoever asks it at Target is told to go on to Listen, where a wire of ours stands.
type Node struct {
	ID             int32
	Listen, Target string
}

// Cluster is the Kafka under test.
type Cluster struct {
	Nodes []Node
	Own   bool // its brokers may be killed
	kafka *harness.Kafka
	dir   string // of the server kafka3, when it is ours
}

// ways are the ways to the one broker, ownWays those to the three of our own, that no world uses.
var ways, ownWays = harness.Ways("STACK_KAFKA_FAULTS"), harness.Ways("STACK_KAFKA3_FAULTS")

// NewCluster is the cluster that the environment names, by a way that belongs to the test until it ends; where all are
// taken, it waits for one.
func NewCluster(t testing.TB, kafka *harness.Kafka) *Cluster {
	t.Helper()
	c := &Cluster{kafka: kafka, Own: own()}
	free := ways()
	if c.Own {
		free = ownWays()
		c.dir = filepath.Join(harness.Env(t, "STACK_DIR"), "kafka3")
	}
	if cap(free) == 0 {
		t.Skip("scripts/stack env names no ways to a broker for proxies")
	}
	way := <-free
	t.Cleanup(func() { free <- way })
	for i, pair := range strings.Split(way, ",") {
		listen, target, _ := strings.Cut(pair, "/")
		c.Nodes = append(c.Nodes, Node{ID: int32(i + 1), Listen: listen, Target: target})
	}
	return c
}

// own reports whether the servers belong to this run.
func own() bool { return os.Getenv("CHAOS_SERVERS") == "own" }

func (c *Cluster) home(id int32) string { return filepath.Join(c.dir, strconv.Itoa(int(id))) }

// pid is that of a running broker, 0 when it does not run.
func (c *Cluster) pid(id int32) int {
	return livePID(filepath.Join(c.home(id), "pid"), filepath.Join(c.home(id), "server.properties"))
}

// livePID is the number in a pid file's first line if that process lives and has the text on its command line, else 0.
func livePID(file, text string) int {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return 0
	}
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !strings.Contains(string(command), text) {
		return 0
	}
	return pid
}

// end sends a signal to a process and waits until it is gone.
func end(t testing.TB, what string, pid func() int, signal syscall.Signal) {
	t.Helper()
	n := pid()
	if n == 0 {
		t.Fatalf("%s does not run", what)
	}
	if err := syscall.Kill(n, signal); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	for deadline := time.Now().Add(time.Minute); pid() != 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not end", what)
		}
	}
}

// Kill is kill -9 of a broker.
func (c *Cluster) Kill(t testing.TB, id int32) { c.End(t, id, syscall.SIGKILL) }

// End ends a broker by a signal.
func (c *Cluster) End(t testing.TB, id int32, signal syscall.Signal) {
	t.Helper()
	end(t, fmt.Sprint("broker ", id), func() int { return c.pid(id) }, signal)
}

// stack runs scripts/stack.
func stack(args ...string) error {
	if out, err := exec.Command("../../scripts/stack", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("scripts/stack %v: %w\n%s", args, err, out)
	}
	return nil
}

// Mend starts the brokers that are gone, and waits until every partition has all its replicas in sync.
func (c *Cluster) Mend(t testing.TB) {
	t.Helper()
	if !c.Own {
		return
	}
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		var started error
		for _, n := range c.Nodes {
			if c.pid(n.ID) == 0 {
				// The script's patience may end before a busy machine has the broker up.
				started = errors.Join(started, stack("start-broker", strconv.Itoa(int(n.ID))))
			}
		}
		behind, err := c.behind()
		if err == nil && behind == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the cluster does not heal: %v %v\n%v", behind, err, started)
		}
	}
}

// behind names a partition without leader or with fewer replicas in sync than it has.
func (c *Cluster) behind() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	topics, err := c.kafka.Admin.ListTopicsWithInternal(ctx)
	if err != nil {
		return "", err
	}
	found := ""
	topics.EachPartition(func(p kadm.PartitionDetail) {
		if p.Leader < 0 || len(p.ISR) < len(p.Replicas) {
			found = fmt.Sprintf("%s/%d: leader %d, in sync %v of %v", p.Topic, p.Partition, p.Leader, p.ISR, p.Replicas)
		}
	})
	return found, nil
}

// coordinatorTopic is where coordinators keep what they know of transactions: who leads the partition of a transactional
// id coordinates it.
const coordinatorTopic = "__transaction_state"

// Coordinator is the broker that coordinates the transactions of a tailer.
func (c *Cluster) Coordinator(name string) (int32, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	id := transactionalID(name)
	answer := c.kafka.Admin.FindTxnCoordinators(ctx, id)[id]
	return answer.NodeID, answer.Err
}

func transactionalID(name string) string { return "tailer." + name }

// coordinatorPartition is the one of coordinatorTopic that a tailer's transactions belong to: by the hash code of a Java
// string (org.apache.kafka.coordinator.transaction, TransactionStateManager.partitionFor).
func (c *Cluster) coordinatorPartition(t testing.TB, name string) int32 {
	t.Helper()
	var hash int32
	for _, b := range []byte(transactionalID(name)) {
		hash = 31*hash + int32(b)
	}
	return (hash & math.MaxInt32) % int32(len(c.details(t, coordinatorTopic)[coordinatorTopic].Partitions))
}

// Forgotten reports whether the coordinator has forgotten the transactional id of a tailer.
func (c *Cluster) Forgotten(t testing.TB, name string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	id := transactionalID(name)
	described, err := c.kafka.Admin.DescribeTransactions(ctx, id)
	if err != nil {
		t.Fatalf("describe transaction: %v", err)
	}
	return errors.Is(described[id].Err, kerr.TransactionalIDNotFound)
}

// Lead makes one broker the leader of all these partitions and returns it: the leader of one of them, which is all of it
// where there is only one.
func (c *Cluster) Lead(t testing.TB, all kadm.TopicsSet) int32 {
	t.Helper()
	leader := int32(-1)
	c.reorder(t, all, func(p kadm.PartitionDetail) []int32 {
		if leader < 0 {
			leader = p.Leader
		}
		others := slices.DeleteFunc(slices.Clone(p.Replicas), func(id int32) bool { return id == leader })
		return append([]int32{leader}, others...)
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		elsewhere := ""
		for _, p := range c.partitions(t, all) {
			if p.Leader != leader {
				elsewhere = fmt.Sprintf("%s/%d: %d", p.Topic, p.Partition, p.Leader)
			}
		}
		if elsewhere == "" {
			return leader
		}
		if time.Now().After(deadline) {
			t.Fatalf("broker %d does not become the leader of %s", leader, elsewhere)
		}
	}
}

func (c *Cluster) details(t testing.TB, topics ...string) kadm.TopicDetails {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	details, err := c.kafka.Admin.ListTopics(ctx, topics...)
	if err == nil {
		err = details.Error()
	}
	if err != nil {
		t.Fatalf("list topics: %v", err)
	}
	return details
}

func (c *Cluster) partitions(t testing.TB, all kadm.TopicsSet) (list []kadm.PartitionDetail) {
	t.Helper()
	for _, topic := range all.Sorted() {
		details := c.details(t, topic.Topic)[topic.Topic].Partitions
		for _, index := range topic.Partitions {
			list = append(list, details[index])
		}
	}
	return list
}

// MoveLeaders makes another replica the leader of every partition of the topics.
func (c *Cluster) MoveLeaders(t testing.TB, topics ...string) {
	t.Helper()
	var all kadm.TopicsSet
	c.details(t, topics...).EachPartition(func(p kadm.PartitionDetail) { all.Add(p.Topic, p.Partition) })
	c.reorder(t, all, func(p kadm.PartitionDetail) []int32 {
		return append(slices.Clone(p.Replicas[1:]), p.Replicas[0])
	})
}

// reorder gives partitions their replicas in another order, and makes the first of them the leader.
func (c *Cluster) reorder(t testing.TB, all kadm.TopicsSet, replicas func(kadm.PartitionDetail) []int32) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var order kadm.AlterPartitionAssignmentsReq
	for _, p := range c.partitions(t, all) {
		order.Assign(p.Topic, p.Partition, replicas(p))
	}
	answers, err := c.kafka.Admin.AlterPartitionAssignments(ctx, order)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		t.Fatalf("reorder replicas: %v", err)
	}
	if _, err := c.kafka.Admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, all); err != nil {
		t.Fatalf("elect leaders: %v", err)
	}
}

// Set changes a setting of topics; an empty value goes back to the default.
func (c *Cluster) Set(t testing.TB, topics []string, name, value string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	change := kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value}
	if value == "" {
		change = kadm.AlterConfig{Op: kadm.DeleteConfig, Name: name}
	}
	answers, err := c.kafka.Admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{change}, topics...)
	for _, a := range answers {
		if err == nil {
			err = a.Err
		}
	}
	if err != nil {
		t.Fatalf("set %s of %v: %v", name, topics, err)
	}
}

package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/IBM/sarama"
)

// cluster knows the brokers: who they are, who is the controller, and one
// connection to each that was needed. sarama's Client does the same and more,
// but sleeps and retries inside, deaf to contexts, and keeps a goroutine that
// refreshes on its own; here a caller decides when to look again.
type cluster struct {
	conf       *sarama.Config
	security   Security
	worked     bool // a connection stood once
	seeds      []*node
	nodes      map[int32]*node // by broker id, as the newest metadata lists them
	id         string          // the cluster's id
	controller int32
	probe      string // a topic to name when only the brokers are asked for

	answer, next time.Duration // answerTimeout and nextAfter
}

func newCluster(cfg KafkaConfig) cluster {
	conf := sarama.NewConfig()
	conf.ClientID = cfg.ClientID
	// The version only caps what sarama may say; each request is lowered to
	// what the broker at hand announced.
	conf.Version = sarama.V2_8_0_0
	conf.Net.DialTimeout = dialTimeout
	conf.Net.ReadTimeout = ioTimeout
	conf.Net.WriteTimeout = ioTimeout
	conf.Net.MaxOpenRequests = maxInFlight
	c := cluster{conf: conf, security: cfg.Security, nodes: make(map[int32]*node), answer: answerTimeout, next: nextAfter}
	for _, addr := range cfg.Brokers {
		c.seeds = append(c.seeds, &node{id: -1, addr: addr})
	}
	// sarama cannot ask for "no topics" and would list them all. Naming one
	// internal topic costs nothing, whether we may see it or not.
	if c.probe = cfg.CheckpointTopic; c.probe == "" {
		c.probe = "__transaction_state"
	}
	return c
}

// refused gives the error of a connection that was not made its class.
func (c *cluster) refused(err error) error {
	explained := c.security.explain(err)
	if c.worked && explained != err {
		return errors.New(explained.Error()) // it may pass: no longer Invalid
	}
	return explained
}

func (c *cluster) close() {
	for _, n := range c.all() {
		n.close()
	}
}

// all are the nodes to ask when any broker will do: those connected first.
func (c *cluster) all() []*node {
	list := make([]*node, 0, len(c.nodes)+len(c.seeds))
	for _, n := range c.nodes {
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b *node) int { return int(a.id) - int(b.id) })
	list = append(list, c.seeds...)
	slices.SortStableFunc(list, func(a, b *node) int {
		switch {
		case a.isOpen() == b.isOpen():
			return 0
		case a.isOpen():
			return -1
		default:
			return 1
		}
	})
	return list
}

// metadata asks for the brokers and for these topics, and remembers the
// former. An error code of a topic is left to the caller.
func (c *cluster) metadata(ctx context.Context, topics ...string) (map[string]*sarama.TopicMetadata, error) {
	if len(topics) == 0 {
		topics = []string{c.probe}
	}
	resp, n, err := anyNode(ctx, c, "ask for metadata", func(b *sarama.Broker) (*sarama.MetadataResponse, error) {
		req := sarama.NewMetadataRequest(c.conf.Version, topics)
		req.IncludeTopicAuthorizedOperations = true
		resp, err := b.GetMetadata(req)
		if err == nil && len(resp.Brokers) == 0 {
			// A broker that is just starting knows nobody yet.
			return nil, errors.New("knows no brokers yet")
		}
		return resp, err
	})
	if err != nil {
		return nil, err
	}
	c.learn(resp, n)
	found := make(map[string]*sarama.TopicMetadata, len(resp.Topics))
	for _, t := range resp.Topics {
		found[t.Name] = t
	}
	return found, nil
}

// learn takes over the list of brokers. from is the node that answered; when
// it is a seed, its connection is handed to the broker that it turns out to be.
func (c *cluster) learn(resp *sarama.MetadataResponse, from *node) {
	if resp.ClusterID != nil {
		c.id = *resp.ClusterID
	}
	c.controller = resp.ControllerID
	listed := make(map[int32]bool, len(resp.Brokers))
	for _, b := range resp.Brokers {
		listed[b.ID()] = true
		c.register(b.ID(), b.Addr())
		if n := c.nodes[b.ID()]; from.id < 0 && from.addr == n.addr && !n.isOpen() {
			n.link, from.link = from.link, nil
		}
	}
	for id, n := range c.nodes {
		if !listed[id] {
			n.close()
			delete(c.nodes, id)
		}
	}
	if len(c.nodes) > 0 {
		for _, n := range c.seeds {
			n.close()
		}
	}
}

// register gives the node of a broker, closing a connection to an address
// that it left.
func (c *cluster) register(id int32, addr string) *node {
	n := c.nodes[id]
	if n == nil {
		n = &node{id: id, addr: addr}
		c.nodes[id] = n
	}
	if n.addr != addr {
		n.close()
		n.addr = addr
	}
	return n
}

// coordinator finds the broker that runs the transactions of an id.
func (c *cluster) coordinator(ctx context.Context, transactionalID string) (*node, error) {
	const step = "find transaction coordinator"
	resp, _, err := anyNode(ctx, c, step, func(b *sarama.Broker) (*sarama.FindCoordinatorResponse, error) {
		return b.FindCoordinator(&sarama.FindCoordinatorRequest{
			Version:         3,
			CoordinatorKey:  transactionalID,
			CoordinatorType: sarama.CoordinatorTransaction,
		})
	})
	if err != nil {
		return nil, err
	}
	if resp.Err != sarama.ErrNoError {
		return nil, &brokerError{step: step, code: resp.Err, text: deref(resp.ErrMsg)}
	}
	return c.register(resp.Coordinator.ID(), resp.Coordinator.Addr()), nil
}

// configs reads settings of topics or brokers, by name; one that the broker
// does not know is missing. When only some resources may be read it returns
// those, with the error of another.
func (c *cluster) configs(ctx context.Context, of *node, kind sarama.ConfigResourceType, resources []string, names ...string) (map[string]map[string]string, error) {
	const step = "describe configs"
	req := &sarama.DescribeConfigsRequest{Version: 2}
	for _, r := range resources {
		req.Resources = append(req.Resources, &sarama.ConfigResource{Type: kind, Name: r, ConfigNames: names})
	}
	ask := func(b *sarama.Broker) (*sarama.DescribeConfigsResponse, error) { return b.DescribeConfigs(req) }
	var resp *sarama.DescribeConfigsResponse
	var err error
	if of != nil {
		resp, err = call(ctx, c, of, ask)
	} else {
		resp, _, err = anyNode(ctx, c, step, ask)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", step, err)
	}
	out := make(map[string]map[string]string)
	for _, r := range resp.Resources {
		if code := sarama.KError(r.ErrorCode); code != sarama.ErrNoError {
			err = &brokerError{step: step + " of " + r.Name, code: code, text: r.ErrorMsg}
			continue
		}
		m := make(map[string]string, len(r.Configs))
		for _, e := range r.Configs {
			m[e.Name] = e.Value
		}
		out[r.Name] = m
	}
	return out, err
}

// createTopic creates one topic and waits until every partition has a leader.
// existed is true when somebody else was faster.
func (c *cluster) createTopic(ctx context.Context, name string, detail *sarama.TopicDetail) (*sarama.TopicMetadata, bool, error) {
	step := "create topic " + name
	if _, err := c.metadata(ctx); err != nil { // the controller may have moved
		return nil, false, err
	}
	n := c.nodes[c.controller]
	if n == nil {
		return nil, false, fmt.Errorf("%s: %w", step, &brokerError{step: "find controller", code: sarama.ErrBrokerNotAvailable})
	}
	resp, err := call(ctx, c, n, func(b *sarama.Broker) (*sarama.CreateTopicsResponse, error) {
		return b.CreateTopics(sarama.NewCreateTopicsRequest(c.conf.Version,
			map[string]*sarama.TopicDetail{name: detail}, 10*time.Second, false))
	})
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", step, err)
	}
	res := resp.TopicErrors[name]
	switch {
	case res == nil:
		return nil, false, fmt.Errorf("%s: the broker's answer does not name it", step)
	case res.Err != sarama.ErrNoError && res.Err != sarama.ErrTopicAlreadyExists:
		return nil, false, &brokerError{step: step, code: res.Err, text: deref(res.ErrMsg)}
	}
	existed := res.Err == sarama.ErrTopicAlreadyExists
	for b := newBackoff(5*time.Millisecond, 200*time.Millisecond, 30*time.Second); ; {
		found, err := c.metadata(ctx, name)
		if err != nil {
			return nil, existed, err
		}
		if t := found[name]; t != nil && t.Err == sarama.ErrNoError && c.led(ctx, t) {
			return t, existed, nil
		}
		if err := b.wait(ctx); err != nil {
			return nil, existed, fmt.Errorf("%s: it has no leaders yet: %w", step, err)
		}
	}
}

// led reports whether every partition has a leader that knows it. Metadata of
// a topic that was just created runs ahead of the leaders, which would still
// answer NOT_LEADER_OR_FOLLOWER to a Produce request and break a transaction:
// so they are asked for offsets first.
func (c *cluster) led(ctx context.Context, t *sarama.TopicMetadata) bool {
	byLeader := make(map[int32]*sarama.OffsetRequest)
	for _, p := range t.Partitions {
		if c.nodes[p.Leader] == nil {
			return false
		}
		req := byLeader[p.Leader]
		if req == nil {
			req = sarama.NewOffsetRequest(c.conf.Version)
			byLeader[p.Leader] = req
		}
		req.AddBlock(t.Name, p.ID, sarama.OffsetNewest, 1)
	}
	for leader, req := range byLeader {
		resp, err := call(ctx, c, c.nodes[leader], func(b *sarama.Broker) (*sarama.OffsetResponse, error) {
			return b.GetAvailableOffsets(req)
		})
		if err != nil {
			return false
		}
		for _, block := range resp.Blocks[t.Name] {
			if block.Err != sarama.ErrNoError {
				return false
			}
		}
	}
	return len(t.Partitions) > 0
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

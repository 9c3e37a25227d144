package model

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tailer-io/tailer/internal/mapping"
	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/outboxtest"
	"github.com/tailer-io/tailer/internal/pipeline"
)

// asCoded is the way in which the code's calls differ from the protocol that is
// explored here; none when they do not.
const asCoded = none

// Every step of the code is one of the model, and a crash there is explored.
func TestEveryStepIsModelled(t *testing.T) {
	x := explore(small, none, "")
	alone := adding.but("a table is added, alone", func(b *bounds) { b.instances = 1 })
	for step := range explore(alone, none, "").steps {
		x.steps[step] = true
	}
	code := stepsInCode(t)
	if len(code) < 10 {
		t.Fatalf("steps.go declares only %v", code)
	}
	for _, step := range code {
		if !x.steps[step] {
			t.Errorf("no action of the model reaches %s: the code has a step that is not explored", step)
		}
	}
	for step := range x.steps {
		if !slices.Contains(code, step) {
			t.Errorf("the model reaches %s, which steps.go does not declare", step)
		}
	}
}

// stepsInCode are the values of the constants of type Step in steps.go.
func stepsInCode(t *testing.T) []pipeline.Step {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../pipeline/steps.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var steps []pipeline.Step
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); ok && name.Name == "Step" {
			for _, v := range spec.Values {
				s, err := strconv.Unquote(v.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				steps = append(steps, pipeline.Step(s))
			}
		}
		return true
	})
	return steps
}

// calls are those that the code makes for an action of the model.
var calls = []struct{ action, calls string }{
	{"reads the checkpoint without", "newest"},
	{"takes the lock", "lock"},
	{"InitProducerId", "fence"},
	{"commits the barrier", "join produce commit"},
	{"reads the checkpoint up to", "newest-barrier"},
	{"creates the publication", "prepare"},
	{"commits the record of phase snapshot", "join produce commit"},
	{"creates the slot", "create"},
	{"produces rows", "join produce"},
	{"commits the snapshot", "commit"},
	{"has proven", "prove"},
	{"opens the log", "stream"},
	{"joins", "join"},
	{"produces", "produce"},
	{"ends the transaction", "commit"},
	{"still has the lock", "locked"},
	{"sees no barrier of a rival", "newest"},
	{"confirms", "confirm"},
	// Looks at what was read, and says so.
	{"starts", ""}, {"may start", ""}, {"maps", ""}, {"goes on", ""},
}

// The code makes the calls of the model's actions, in their order: through a
// first start, a transaction that is cut, and a commit whose answer is lost.
func TestCodeMakesTheCallsOfTheModel(t *testing.T) {
	want := modelCalls(t)
	got := codeCalls(t)
	if !slices.Equal(got, want) {
		t.Errorf("the code calls\n %v, the model\n %v", strings.Join(got, " "), strings.Join(want, " "))
	}
}

// modelCalls runs one instance of the model: the first batch's commit is
// done, and its answer lost.
func modelCalls(t *testing.T) []string {
	w := world{bounds: small, mutant: asCoded}
	x := search{world: w}
	s := x.begin()
	var out []string
	for s.published < w.row(w.whole(), 0) || s.in[0].pc != streaming {
		var next []state
		var actions []action
		w.emit = func(a action, n state) {
			if !a.fault || strings.HasPrefix(a.text, "ends the transaction: it is done") {
				actions, next = append(actions, a), append(next, n)
			}
		}
		w.instance(&s, 0)
		if s.lag || s.in[0].pc == streaming && s.log < w.whole() {
			actions, next = nil, nil
			w.servers(&s)
		}
		if len(next) == 0 {
			t.Fatalf("the model stands still after %v", out)
		}
		n := 0
		if a := actions[0]; a.step == pipeline.StepCommitted && s.faults > 0 {
			n = 1
		}
		// The batch is full, not ended at the first commit.
		if actions[0].step == pipeline.StepMapped {
			n = len(next) - 1
		}
		if actions[n].who == 0 {
			out = append(out, callsOf(t, actions[n])...)
		}
		s = next[n]
	}
	return out
}

func callsOf(t *testing.T, a action) []string {
	for _, c := range calls {
		if strings.HasPrefix(a.text, c.action) {
			return strings.Fields(c.calls)
		}
	}
	t.Fatalf("no calls are known for %q", a.text)
	return nil
}

// recorder notes the calls that the code makes.
type recorder struct {
	mu   sync.Mutex // guards list
	list []string
}

func (r *recorder) note(call string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// A first start looks for the record again when it has the lock, which to
	// the model is the same look.
	if n := len(r.list); call == "newest" && n > 1 && r.list[n-1] == "lock" && r.list[n-2] == "newest" {
		return
	}
	r.list = append(r.list, call)
}

type notedSource struct {
	*outboxtest.Source
	r *recorder
}

func (s notedSource) TryLock(ctx context.Context) (bool, string, error) {
	s.r.note("lock")
	return s.Source.TryLock(ctx)
}

func (s notedSource) Locked(ctx context.Context) error {
	s.r.note("locked")
	return s.Source.Locked(ctx)
}

func (s notedSource) Prepare(ctx context.Context) error {
	s.r.note("prepare")
	return s.Source.Prepare(ctx)
}

func (s notedSource) CreateAnchor(ctx context.Context, f outbox.Filter) (outbox.Snapshot, error) {
	s.r.note("create")
	return s.Source.CreateAnchor(ctx, f)
}

func (s notedSource) Prove(ctx context.Context, r outbox.Resume) error {
	s.r.note("prove")
	return s.Source.Prove(ctx, r)
}

func (s notedSource) Stream(ctx context.Context, r outbox.Resume, h *outbox.Handoff) error {
	s.r.note("stream")
	return s.Source.Stream(ctx, r, h)
}

func (s notedSource) Confirm(ctx context.Context, p outbox.Position) error {
	s.r.note("confirm")
	return s.Source.Confirm(ctx, p)
}

type notedClient struct {
	*outboxtest.Client
	r *recorder
}

func (c notedClient) Fence(ctx context.Context, d time.Duration) error {
	c.r.note("fence")
	return c.Client.Fence(ctx, d)
}

func (c notedClient) Join(ctx context.Context, m *outbox.Messages) error {
	c.r.note("join")
	return c.Client.Join(ctx, m)
}

func (c notedClient) Produce(ctx context.Context, m *outbox.Messages) error {
	c.r.note("produce")
	return c.Client.Produce(ctx, m)
}

func (c notedClient) Commit(ctx context.Context) error {
	c.r.note("commit")
	return c.Client.Commit(ctx)
}

func (c notedClient) Newest(ctx context.Context, keys []string, upTo *outbox.Barrier) (map[string][]byte, error) {
	if upTo != nil {
		c.r.note("newest-barrier")
	} else {
		c.r.note("newest")
	}
	return c.Client.Newest(ctx, keys, upTo)
}

// codeCalls runs the code through the same history.
func codeCalls(t *testing.T) []string {
	t.Helper()
	const topic = "tailer-checkpoint.test"
	db, br, r := outboxtest.NewDatabase(), outboxtest.NewBroker(), &recorder{}
	source := notedSource{outboxtest.NewSource(db), r}
	client := notedClient{outboxtest.NewClient(br, topic), r}
	if err := client.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	m, err := mapping.New(mapping.Config{Tables: []mapping.Table{{Name: "outbox"}}})
	if err != nil {
		t.Fatal(err)
	}
	p := pipeline.New(pipeline.Config{
		Name: "test", Version: "1", Instance: "one", Source: source, Sink: client, Mapper: m, Cluster: client, Topic: client, CheckpointTopic: topic,
		SourceKind: outbox.Postgres, SinkKind: "kafka", Transactional: true, Tables: []string{"outbox"}, TransactionTimeout: time.Second,
		Limits: outbox.Limits{Rows: 2, Bytes: 1 << 20}, Snapshot: true, SnapshotMaxRows: 1000, CreateTopics: true, OnPoison: "halt", OnRefusal: "exit",
	}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	db.Insert("a-1")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	wait := func(what string, ok func() bool) {
		for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: never; %+v", what, p.Status())
			}
		}
	}
	seen := func(call string, times int) func() bool {
		return func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			n := 0
			for _, c := range r.list {
				if c == call {
					n++
				}
			}
			return n == times
		}
	}
	wait("the log is read", seen("stream", 1))
	br.Inject(outboxtest.Fault{Call: outboxtest.Commit, N: 1, Done: true})
	db.Insert("a-2", "a-3", "a-4")
	wait("both parts are confirmed", seen("confirm", 2))
	r.mu.Lock()
	list := slices.Clone(r.list)
	r.mu.Unlock()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if keys, _ := br.Committed(topic); len(keys) != 4 {
		t.Error(fmt.Sprint(len(keys), " rows arrived, want 4"))
	}
	return list
}

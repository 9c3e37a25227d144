package pipeline

// Step names a point in the start order or the commit sequence. Tests end the
// process at every one of them; see steps_faults.go.
type Step string

// The steps, in order.
const (
	StepRead   Step = "start.read"   // the checkpoint was read without a producer
	StepLocked Step = "start.locked" // the name's lock is ours
	StepFenced Step = "start.fenced" // nobody else can commit under the name
	StepBarred Step = "start.barrier"
	StepProved Step = "start.proved" // the server continues where we stopped

	StepFirstPublication Step = "first.publication"
	StepFirstPhase       Step = "first.phase"     // record phase: snapshot is committed
	StepFirstSlot        Step = "first.slot"      // the anchor exists
	StepFirstProduced    Step = "first.produced"  // the snapshot's messages, not committed
	StepFirstCommitted   Step = "first.committed" // record phase: streaming is committed

	// While tables are added; see extend.go.
	StepExtendPublication Step = "extend.publication" // the log brings their rows
	StepExtendCaughtUp    Step = "extend.caught_up"   // read up to a moment ago, with the old list
	StepExtendView        Step = "extend.view"        // the snapshot is open
	StepExtendBoundary    Step = "extend.boundary"    // read exactly up to it, with the old list
	StepExtendProduced    Step = "extend.produced"    // the snapshot's messages, not committed
	StepExtendCommitted   Step = "extend.committed"   // the record with the new list is committed

	StepMapped    Step = "commit.mapped"
	StepJoined    Step = "commit.joined"
	StepProduced  Step = "commit.produced"
	StepCommitted Step = "commit.committed"
	StepConfirmed Step = "commit.confirmed"
)

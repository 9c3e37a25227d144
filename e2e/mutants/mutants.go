package main

// mutant is tailer with one step broken.
type mutant struct {
	what  string
	edits []edit
	// tests is a regular expression for the end-to-end tests of which one at least has to fail.
	tests string
	full  bool // in the long form
}

// edit replaces a text that stands in the file once.
type edit struct{ file, old, new string }

const (
	core    = "TestMixedLoadIsPublishedExactlyOnceInOrder|TestKill9LosesDoublesAndReordersNothing"
	crashes = "TestCrashAtAnyStepLosesAndDoublesNothing"
	faults  = "TestAFaultAtAnyRequestOfTheCommitSequenceLosesAndDoublesNothing"
)

// mutants break the commit sequence, the order of a start and of a first start, and what proves where to go on. What only
// an interleaving of a few instructions would show is searched for in internal/model; that rows are skipped in the very
// transaction that was cut, and in no other, is a test of each source.
var mutants = []mutant{
	// The commit sequence, internal/pipeline/commit.go.
	{"messages lose their order: the rows of a batch are taken from the end", []edit{{"internal/pipeline/commit.go",
		"	p.mapper.Map(b, m)\n	if err := p.admit(ctx, m, b); err != nil {\n		return try, err",
		"	p.mapper.Map(b, m)\n	slices.Reverse(m.List)\n	if err := p.admit(ctx, m, b); err != nil {\n		return try, err"}}, core, false},
	{"partitions are not named to the transaction", []edit{{"internal/pipeline/commit.go",
		"	if err := p.sink.Join(ctx, m); err != nil {\n		return try, sinkError{err}", "	if err := error(nil); err != nil {\n		return try, sinkError{err}"}},
		core, false},
	{"the checkpoint is no part of the transaction", []edit{{"internal/pipeline/commit.go",
		"		m.List = append(m.List, p.toTopic(p.cfg.Name, rec.Encode()))", "		_ = rec"}}, core, false},
	{"acknowledgements are not looked at", []edit{{"internal/publish/produce.go",
		"		if err := k.next().check(); err != nil && first == nil {", "		if err := k.next().check(); false && first == nil {"}}, faults, false},
	{"the transaction is not ended", []edit{{"internal/pipeline/commit.go",
		"	if err := p.sink.Commit(ctx); err != nil {\n		return try, sinkError{err} // or it did: the outcome is unknown",
		"	if err := error(nil); err != nil {\n		return try, sinkError{err}"}}, core, false},
	{"the transaction is aborted", []edit{{"internal/publish/txn.go", "TransactionResult: true,", "TransactionResult: false,"}}, core, false},
	{"the database is told before the transaction ends", []edit{{"internal/pipeline/commit.go",
		"	if err := p.sink.Commit(ctx); err != nil {\n		return try, sinkError{err} // or it did: the outcome is unknown",
		"	_ = p.source.Confirm(ctx, try.next.Resume().Position)\n	if err := p.sink.Commit(ctx); err != nil {\n		return try, sinkError{err}"}},
		core + "|" + faults, false},
	{"the database is told what was read, not what is published", []edit{{"internal/pg/pulse.go",
		"lsn(p.f.confirmed.Load()), now, ask)", "lsn(p.f.published.Load()), now, ask)"}}, core, false},
	{"the database is told nothing", []edit{{"internal/pg/confirm.go",
		"		if s.conf.CompareAndSwap(old, uint64(at)) {\n			return true", "		if true {\n			return false"}},
		"TestAnIdleOutboxHoldsBackNoLog", false},
	{"at-least-once: the checkpoint is saved before the messages are sent", []edit{{"internal/pipeline/commit.go",
		"	p.memory.reclaim()\n", "	p.memory.reclaim()\n	if err := p.save(ctx, try.next); err != nil {\n		return try, err\n	}\n"}},
		"TestAtLeastOnceThroughFaultsOfTheBroker|TestAtLeastOnceLosesAndReordersNothingThroughKill9", true},

	// An outcome in doubt, internal/pipeline/recover.go.
	{"a transaction in doubt is taken for committed", []edit{{"internal/pipeline/recover.go",
		"			case rec.SameResume(try.next):", "			case true:"}}, faults, false},
	{"a transaction in doubt is taken for aborted", []edit{
		{"internal/pipeline/recover.go", "			case rec.SameResume(try.next):", "			case false:"},
		{"internal/pipeline/recover.go", "			case rec.SameResume(before):", "			case true || rec.SameResume(before):"}}, faults, false},
	{"who woke up does not ask who fenced it", []edit{
		{"internal/pipeline/recover.go", "		if who := barrierInstance(got[p.barrierKey()]); who != p.cfg.Instance {",
			"		if who := barrierInstance(got[p.barrierKey()]); false {"},
		{"internal/pipeline/recover.go", "	if err := p.stillLocked(ctx); err != nil {\n		return nil, err", "	if err := error(nil); err != nil {\n		return nil, err"}},
		"TestAPausedInstanceIsFenced", true},

	// The order of a start, internal/pipeline/start.go.
	{"the lock is not asked for", []edit{{"internal/pipeline/standby.go",
		"		if held {\n			return nil", "		if held || true {\n			return nil"}}, "TestASecondInstanceStandsByAndTakesOver", false},
	{"whose checkpoint it is is not looked at before others are fenced", []edit{{"internal/pipeline/start.go",
		"	return rec, rec.Fits(p.cfg.Name, p.identity, p.cluster, p.configured)\n", "	return rec, nil\n"}},
		"TestTheSameNameOnAnotherDatabaseIsRefusedAndTheFirstNoticesNothing", false},
	{"the checkpoint is not held against the server", []edit{{"internal/pipeline/start.go",
		"	if err := p.source.Prove(ctx, rec.Resume()); err != nil {\n		return outbox.Resume{}, fmt.Errorf(\"compare the checkpoint with the server: %w\", err)",
		"	if err := error(nil); err != nil {\n		return outbox.Resume{}, err"}},
		"TestACheckpointThatLeadsTheServerIsRefused|TestASlotMovedByHandIsRefused", false},
	{"rows of a cut transaction are not skipped", []edit{{"internal/pg/feed.go", "		f.skip = r.Open.Rows", "		f.skip = 0"}},
		"TestKill9InsideOfALargeTransactionLosesAndDoublesNothing", false},

	// The first start, internal/pipeline/first.go.
	{"no record says that a first start is under way", []edit{{"internal/pipeline/first.go",
		"	if err := p.keep(ctx, rec); err != nil {\n		return nil, err\n	}\n	reached(StepFirstPhase)", "	reached(StepFirstPhase)"}},
		"TestCrashAtAnyStepOfTheFirstStartLosesAndDoublesNothing", false},
	{"the snapshot is not one transaction", []edit{{"internal/pipeline/first.go",
		"		rows += p.metrics.count(&b, m)\n", "		rows += p.metrics.count(&b, m)\n		if err := p.sink.Commit(ctx); err != nil {\n			return nil, sinkError{err}\n		}\n"}},
		"TestAFirstStartSurvivesFaultsOfTheBroker|TestCrashAtAnyStepOfTheFirstStartLosesAndDoublesNothing", true},
	{"the slot that a first start left is used again", []edit{{"internal/pipeline/first.go",
		"		if err := p.source.DropAnchor(ctx); err != nil {", "		if err := error(nil); err != nil {"}},
		"TestCrashAtAnyStepOfTheFirstStartLosesAndDoublesNothing", false},
}

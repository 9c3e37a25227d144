package model

import "testing"

// mutant is a way in which the protocol is broken.
type mutant uint8

const (
	none mutant = iota
	confirmFirst
	confirmInside
	confirmRead
	noFence
	believedBefore
	noLock
	evictFirst
	noPhase
	slotKept
	viewedBefore
	publicationLate
	dropUnlocked
	snapshotUnread
	haltUnread
	anyPhase
	firstUncompared
	noProof
	anyServer
	skipByCount
	noOpen
	openWhole
	joinRemembered
	errorIgnored
	takenCommitted
	takenAborted
	doubtUnfenced
	divergedResent
	checkpointApart
	checkpointFirst
	boundaryLate
	boundaryEarly
	extendUnread
	addedLate
)

// Every step that a guarantee rests on is left out, or done at another place,
// and the search must find what that breaks. A mutant that is not found says
// that the model, or its bounds, cannot see what the step is for.
var mutants = []struct {
	mutant mutant
	name   string
	bounds bounds
	breaks string
}{
	{confirmFirst, "the position is confirmed before the transaction commits", small, confirmLeads},
	{confirmInside, "the end of a transaction that is published in part is confirmed", small, confirmLeads},
	{confirmRead, "a clean stop confirms what is read, not what is committed", small, confirmLeads},
	{noFence, "no fencing: every process has a transactional id of its own", small, committedFenced},
	{believedBefore, "the checkpoint read before InitProducerId is believed after it", small, publishedTwice},
	{noLock, "the lock is not taken", small, twoActive},
	{evictFirst, "a silent holder is evicted before it is fenced", small, evictedUnfenced},
	{noPhase, "the slot is made without a record of phase snapshot before it", small, stuck},
	{slotKept, "a first start goes on with the slot of one that did not finish", small, publishedTwice},
	{viewedBefore, "the tables are read as of a moment before the slot", longer, rowsLost},
	{publicationLate, "the publication is made after the slot", small, stuck},
	{dropUnlocked, "the slot is dropped though the lock may be lost", small, stuck},
	{snapshotUnread, "the checkpoint is not read after fencing for the snapshot", small, publishedTwice},
	{haltUnread, "an abandoned snapshot's record is written again without reading the checkpoint after fencing", small, publishedTwice},
	{anyPhase, "before the snapshot, a rival's record of phase snapshot is taken for one's own", small, stuck},
	{firstUncompared, "the checkpoint is not compared after the snapshot", small, publishedTwice},
	{noProof, "the checkpoint is not compared with the server", failingOver, skippedElsewhere},
	{anyServer, "the log is read from whichever server answers", failingOver, skippedElsewhere},
	{skipByCount, "an open transaction's rows are skipped in any transaction", failingSoon, skippedElsewhere},
	{noOpen, "the checkpoint does not say how much of a transaction is published", small, publishedTwice},
	{openWhole, "a transaction that is published in part counts as published", longer, rowsLost},
	{joinRemembered, "partitions joined once are not joined again", small, confirmLeads},
	{errorIgnored, "a failed produce does not stop the transaction", small, rowsLost},
	{takenCommitted, "an unknown outcome is taken for committed", small, confirmLeads},
	{takenAborted, "an unknown outcome is taken for aborted", small, publishedTwice},
	{doubtUnfenced, "an unknown outcome is looked up without fencing", small, publishedTwice},
	{divergedResent, "a checkpoint that is neither is taken for the one before", small, publishedTwice},
	{checkpointApart, "the checkpoint follows in a transaction of its own", small, publishedTwice},
	{boundaryLate, "the old list is read beyond the added table's snapshot", adding, rowsLost},
	{boundaryEarly, "the old list is not read up to the added table's snapshot", adding, publishedTwice},
	{extendUnread, "the checkpoint is not read after fencing for the added table's snapshot", adding, publishedTwice},
	{addedLate, "the added table is published behind its snapshot", adding, rowsLost},
	{checkpointFirst, "the checkpoint goes ahead in a transaction of its own", small, rowsLost},
}

func TestMutants(t *testing.T) {
	skipUnderRace(t)
	for _, c := range mutants {
		t.Run(c.name, func(t *testing.T) {
			x := explore(c.bounds, c.mutant, c.breaks)
			if x.bad == "" {
				t.Fatalf("not found in %d states: %s", len(x.states), c.breaks)
			}
			t.Logf("found after %d states, in %d actions:\n%s", len(x.states), len(x.trace), x)
		})
	}
}

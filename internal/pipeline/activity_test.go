package pipeline_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tailer-io/tailer/internal/outboxtest"
)

// A batch that is sent twice, because its first transaction is aborted, counts
// once; rows of the snapshot count too; what went wrong is told.
func TestTrafficCountsWhatIsCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.db.Insert("a-0", "b-0") // for the snapshot
		i := w.start("")
		synctest.Wait()
		w.br.Inject(outboxtest.Fault{Call: outboxtest.Commit, N: 1})
		w.db.Insert("a-1", "a-2", "a-3")
		time.Sleep(10 * time.Second)
		traffic := i.Traffic(10)
		var total, seconds uint64
		for _, topic := range traffic.Topics {
			total += topic.Total
			if strings.HasPrefix(topic.Topic, "tailer-checkpoint") {
				t.Errorf("%s is no topic of rows", topic.Topic)
			}
		}
		for _, n := range traffic.Seconds {
			seconds += n
		}
		if total != 5 || seconds != 5 || i.Status().Published != 5 {
			t.Errorf("by topic %d, by second %d, published %d, want 5", total, seconds, i.Status().Published)
		}
		if errs := i.Errors(); len(errs) != 1 || !strings.Contains(errs[0].Text, outboxtest.ErrFault.Error()) {
			t.Errorf("errors: %+v", errs)
		}
		i.crash()
		<-i.done
	})
}

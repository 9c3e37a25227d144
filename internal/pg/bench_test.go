package pg_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// BenchmarkDrain reads a backlog from a real server and discards it. One
// operation is one row; the server works on the same machine.
func BenchmarkDrain(b *testing.B) {
	for _, perTxn := range []int{1, 100} {
		b.Run(fmt.Sprintf("rows=%d", perTxn), func(b *testing.B) {
			db := newDatabase(b)
			s, at := db.anchored()
			db.exec(`set synchronous_commit = off`)
			db.exec(`do $$ begin for i in 1..%d loop
insert into outbox (aggregateid, payload) select g::text, jsonb_build_object('x', repeat('y', 250)) from generate_series(1, %d) g; commit; end loop; end $$`,
				(b.N+perTxn-1)/perTxn, perTxn)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			h := outbox.NewHandoff(3, wide, at)
			ended := make(chan error, 1)
			before := cpu()
			b.ResetTimer()
			go func() { err := s.Stream(ctx, at, h); h.Close(err); ended <- err }()
			for n := 0; n < b.N; {
				batch, err := h.Take(ctx, time.Time{})
				if err != nil {
					b.Fatal(err)
				}
				n += len(batch.Rows)
				h.Recycle(batch)
			}
			b.StopTimer()
			b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			cancel()
			<-ended
		})
	}
}

// cpu is the processor time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

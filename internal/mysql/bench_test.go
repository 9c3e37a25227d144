package mysql

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// BenchmarkDrain reads a backlog and throws it away: rows a second of the
// source alone, its processor time and its reads. 300 bytes of payload, in
// transactions of one row and of 100, plain and over TLS.
func BenchmarkDrain(b *testing.B) {
	for _, env := range serverVars {
		for _, size := range []int{1, 100} {
			b.Run(fmt.Sprintf("%s/%d-row", strings.ToLower(strings.Split(env, "_")[1]), size), func(b *testing.B) {
				w, start, total := backlog(b, env, size)
				for _, mode := range []tlsMode{tlsDisabled, tlsRequired} {
					b.Run("tls-"+string(mode), func(b *testing.B) { drain(b, w, mode, start, total) })
				}
			})
		}
	}
}

// backlog writes what is to be read.
func backlog(b *testing.B, env string, size int) (w *world, start outbox.Resume, total int) {
	b.Helper()
	if os.Getenv(env) == "" {
		b.Skip(env + " is not set")
	}
	total = 50_000
	if size > 1 {
		total = 300_000
	}
	w = newWorld(b, env)
	w.outbox()
	w.exec("create table seq (n int primary key)", "insert into seq values (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)")
	start = w.here(w.source())
	if size == 1 {
		// Several writers, as a commit waits for the disk.
		var wg sync.WaitGroup
		for i := range 8 {
			c := w.session()
			wg.Go(func() {
				for range total / 8 {
					if _, err := c.Execute(fmt.Sprintf("insert into outbox (k, payload) values ('k%d', repeat('x', 300))", i)); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	} else {
		for range total / size {
			w.exec("insert into outbox (k, payload) select concat('k', a.n), repeat('x', 300) from seq a, seq b")
		}
	}
	return w, start, total
}

// reads is how many reads of any kind this process has asked the system for.
func reads() float64 {
	var n float64
	text, _ := os.ReadFile("/proc/self/io")
	if _, after, ok := strings.Cut(string(text), "syscr: "); ok {
		fmt.Sscan(after, &n)
	}
	return n
}

// processor is the time that this process has spent, in seconds.
func processor() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

func drain(b *testing.B, w *world, mode tlsMode, start outbox.Resume, total int) {
	cfg := w.config()
	cfg.URL += "?ssl-mode=" + string(mode)
	s := New(cfg, quiet())
	defer s.Close()
	if _, err := s.Connect(w.ctx()); err != nil {
		b.Skip(err) // a server without TLS
	}
	b.ReportAllocs()
	b.ResetTimer()
	asked, spent := reads(), processor()
	for range b.N {
		if err := s.Until(w.ctx(), "now"); err != nil {
			b.Fatal(err)
		}
		h := outbox.NewHandoff(3, outbox.Limits{Rows: 10_000, Bytes: 4 << 20}, start)
		ctx := w.ctx()
		go func() { h.Close(s.Stream(ctx, start, h)) }()
		n := 0
		for {
			batch, err := h.Take(ctx, time.Time{})
			if errors.Is(err, outbox.ErrEnd) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			n += len(batch.Rows)
			h.Recycle(batch)
		}
		if n != total {
			b.Fatalf("%d rows, want %d", n, total)
		}
	}
	all := float64(total) * float64(b.N)
	b.ReportMetric(all/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric((reads()-asked)/all, "reads/row")
	b.ReportMetric((processor()-spent)/all*1e6, "cpu-us/row")
}
